/* engine.h: the engine thread: mailbox of commands in, core step, effects out.
 *
 * The ring: host -> commands and admitted messages -> the thread stamps `now` -> inputs -> core
 * step -> effects -> transport and mailboxes -> host.
 */
#ifndef STWI_CLIENT_ENGINE_H
#define STWI_CLIENT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <steadwire/outbox.h>

#include "client/port.h"
#include "client/port_store.h"
#include "core/engine_core.h"
#include "io/loop.h"
#include "io/transport.h"

/* A question for the engine thread; the asker waits. */
enum stwi_query_kind {
  STWI_QUERY_LIST,  /* entries behind `cursor`; E_ARGUMENT: no call gave it */
  STWI_QUERY_GET,   /* the entry of `id` */
  STWI_QUERY_BODY,  /* of `id` */
  STWI_QUERY_COPY,  /* messages behind `cursor`, whole, into `chunks` */
  STWI_QUERY_KNOW,  /* which of `ids` are there */
  STWI_QUERY_JUDGE, /* may `edit` be done to `id`? */
  STWI_QUERY_EDIT,  /* may `edit` be done to `id`?  Then it is. */
  STWI_QUERY_MOVED  /* is `id` at `lane` and behind `after` now? */
};

struct stwi_query {
  _Atomic uint32_t refs; /* asker and engine */
  pthread_mutex_t lock;
  pthread_cond_t answered;
  bool is_answered;
  stw_status status;
  enum stwi_query_kind kind;
  stw_message_id id;
  stw_edit edit;
  stw_lane lane; /* GET, EDIT: out: where it is */
  stw_message_state state;
  uint64_t cursor; /* LIST, COPY: in and out; 0 behind the last */
  uint64_t after;
  stw_outbox_filter filter;
  uint8_t key[UINT8_MAX]; /* what filter.key points to */
  size_t max, count;      /* LIST: entries; BODY: bytes, whole size; KNOW: ids */
  stw_outbox_entry *entries;
  uint8_t *body;
  struct stwi_chunk *chunks;
  stw_message_id *ids; /* KNOW: those that are there get number 0 */
};

enum stwi_command_kind {
  STWI_COMMAND_OPEN,
  STWI_COMMAND_INPUT, /* `input` as it is; its strings live in `text` */
  STWI_COMMAND_QUERY
};

struct stwi_command {
  struct stwi_command *next;
  enum stwi_command_kind kind;
  struct stwi_port *port; /* held; NULL for engine-wide inputs */
  struct stwi_input input;
  struct stwi_query *query;
  uint8_t text[];
};

struct stwi_pending; /* inputs that came while effects were performed */

/* A slot of the core.  It is given back when its conn is forgotten and the transport has said DOWN
 * for each of its links: a late DOWN must not reach a link of the next conn. */
struct stwi_place {
  struct stwi_port *port; /* held; NULL: none, or forgotten */
  uint32_t links;         /* dialled and not down yet */
  bool is_leaving;
  struct stwi_store store; /* of the port; ops NULL: none */
  bool is_store_dirty, has_store_failed;
  uint32_t next_dirty; /* slot + 1 */
};

struct stwi_engine {
  _Atomic uint32_t refs;
  pthread_t thread;
  pthread_mutex_t lock;
  struct stwi_command *command_first, *command_last;
  struct stwi_port *submitted;
  bool is_stopping, is_stopped;
  stwi_store_opener open_store; /* set once, before the first conn */
  uint32_t *free_slots;
  uint32_t free_count, free_capacity, slot_count;

  /* engine thread only */
  struct stwi_loop *loop;
  struct stwi_transport transport;
  struct stwi_core *core;
  struct stwi_effects effects;
  struct stwi_place *places; /* by slot */
  uint32_t place_count;
  bool is_stepping;
  struct stwi_pending *pending_first, *pending_last;
  struct stwi_pending *pending_free; /* kept, so that the usual few need no memory */
  uint32_t pending_kept;
  uint32_t store_dirty;        /* slot + 1 of the first store that has a batch to flush */
  struct stwi_mailbox *locked; /* held locked while a run of events is put */
  stwi_time last_turn;
  uint64_t last_boot;
  struct stwi_hints *hints; /* NULL: the machine tells nothing */
  bool has_clock_news;      /* the wall clock was set: perhaps the machine slept */
};

/* Makes the transport of an engine, on its thread. */
typedef struct stwi_transport (*stwi_transport_maker)(void *arg, struct stwi_loop *loop,
                                                      struct stwi_sink sink, const char **why);

/* Starts the thread.  E_MEMORY, E_SYSTEM (the sentence is set). `make` NULL: transport_ws. */
stw_status stwi_engine_start(struct stwi_engine **engine, stwi_transport_maker make, void *arg);
void stwi_engine_stop(struct stwi_engine *engine); /* joins; idempotent */
void stwi_engine_hold(struct stwi_engine *engine);
void stwi_engine_drop(struct stwi_engine *engine);

/* Any thread.  False where the engine has stopped: the command was not taken (and is freed). */
bool stwi_engine_command(struct stwi_engine *engine, struct stwi_command *command);
struct stwi_command *stwi_command_new(enum stwi_command_kind kind, struct stwi_port *port,
                                      size_t text_bytes);
void stwi_command_free(struct stwi_command *command);
void stwi_engine_submit(
    struct stwi_port *port); /* the port has news; once until they are collected */
bool stwi_engine_slot(struct stwi_engine *engine, uint32_t *slot); /* a free slot of the core */

/* query.c */
struct stwi_query *stwi_query_new(enum stwi_query_kind kind);
void stwi_query_drop(struct stwi_query *query);
/* Engine: answers; `core` NULL: E_CLOSED.  Then tells who asked. */
void stwi_query_look(struct stwi_query *query, const struct stwi_core *core, uint32_t slot,
                     stwi_time now);
void stwi_query_tell(struct stwi_query *query);
/* Waits for at most 1 s. */
stw_status stwi_query_wait(struct stwi_query *query);

#endif
