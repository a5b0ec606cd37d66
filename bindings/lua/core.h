/* core.h: what the files of `steadwire.core` share.
 *
 * The C module is a thin skin over the ABI: it converts values and nothing else.  Handlers,
 * receipts, waiting and the loop are Lua, in lua/steadwire.  No function here yields or calls
 * back into Lua, so the same source serves every Lua, inside any coroutine.
 *
 * Misuse (a wrong type) raises.  What the engine refuses answers nil, message, code.
 */
#ifndef STEADWIRE_LUA_CORE_H
#define STEADWIRE_LUA_CORE_H

#include "compat.h"

#include <stdarg.h>
#include <stdbool.h>
#include <steadwire/steadwire.h>

#define STWI_LUA_BATCH 256
#define STWI_LUA_ID_SIZE 32 /* hex digits */

/* The userdata of one conn.  Each has its own mailbox, so that one slow reader stops only itself.
 * A batch stays lent until it is used up: a Lua error in between loses no event. */
typedef struct stwi_lua_conn {
  stw_mailbox mailbox;
  stw_conn conn;
  stw_guarantee guarantee; /* of a send that names none */
  bool is_open;            /* mailbox and conn are ours to free */
  size_t next, count;      /* of batch */
  const stw_event *batch[STWI_LUA_BATCH];
} stwi_lua_conn;

/* Pushes nil, the sentence of stw_last_error and the status's name.  Returns 3. */
int stwi_lua_refuse(lua_State *L, stw_status status);

/* The same with a sentence of ours. */
int stwi_lua_refuse_as(lua_State *L, stw_status status, const char *sentence);

/* true, or as stwi_lua_refuse. */
int stwi_lua_answer(lua_State *L, stw_status status);

/* Raises "<caller of the Lua face>: <sentence> [code]".  Does not return. */
void stwi_lua_misuse(lua_State *L, stw_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

/* The string at `index`; raises, calling it `what`, for any other type. */
const char *stwi_lua_check_string(lua_State *L, int index, const char *what, size_t *size);

/* Seconds as a number, or a text with unit: 15, "15", "1.5s", "250ms", "2min", "1h".
 * None, nil and math.huge: `fallback`.  Raises for anything else. */
int64_t stwi_lua_duration_ms(lua_State *L, int index, int64_t fallback);

/* Lends the config in the userdata at the top of the stack after setting every option of the
 * table at `index`.  NULL: *status and stw_last_error say why.  The userdata frees it. */
stw_config *stwi_lua_config(lua_State *L, int index, stw_status *status);

/* Reads the options of a send.  `key` is borrowed from the table.  Raises for an unknown name. */
void stwi_lua_send_options(lua_State *L, int index, stw_send_options *options);

/* The lane named at `index`; raises for any other value. */
stw_lane stwi_lua_check_lane(lua_State *L, int index);

/* Reads {url =, token =, headers = {name = value}, expires_in =} and supplies it. */
int stwi_lua_supply(lua_State *L, stw_conn conn, int index);

/* Pushes an event, a view as a table: words by name, times in seconds. */
void stwi_lua_push_event(lua_State *L, const stw_event *event);
void stwi_lua_push_view(lua_State *L, const stw_conn_view *view);

/* Each sets one field of the table at the top of the stack. */
void stwi_lua_set_count(lua_State *L, const char *name, uint64_t count);
void stwi_lua_set_seconds(lua_State *L, const char *name, uint64_t ns);
void stwi_lua_set_text(lua_State *L, const char *name, const char *text);
void stwi_lua_set_flag(lua_State *L, const char *name, bool flag);
void stwi_lua_set_word(lua_State *L, const char *name, const stw_word *word);

void stwi_lua_push_id(lua_State *L, stw_message_id id);
/* Raises unless the value at `index` is a message id. */
stw_message_id stwi_lua_check_id(lua_State *L, int index);

/* The first offset at which `data` is not UTF-8 (RFC 3629), `size` if there is none. */
size_t stwi_lua_utf8_valid(const char *data, size_t size);

/* Pushes the names of the lists: states, causes, options and the others. */
void stwi_lua_push_words(lua_State *L);

/* The userdata at `index`; raises for anything else. */
stwi_lua_conn *stwi_lua_check_conn(lua_State *L, int index);
/* The conn of argument 1; NULL after it was freed: then nil, message, "closed" are pushed. */
stwi_lua_conn *stwi_lua_open_conn(lua_State *L);
int stwi_lua_open(lua_State *L); /* core.open(options) */
void stwi_lua_register_conn(lua_State *L);
void stwi_lua_register_config(lua_State *L);

/* Answers the lua_State's engine; makes it where there is none, or only one from before fork(). */
stw_status stwi_lua_default_engine(lua_State *L, stw_engine *engine);

int stwi_lua_conn_outbox(lua_State *L); /* conn:outbox() */
int stwi_lua_outbox_open(lua_State *L); /* core.outbox(path, may_edit) */
void stwi_lua_register_outbox(lua_State *L);

#endif
