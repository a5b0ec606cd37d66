#include "core.h"

#define PAGE 64
#define BODY_FIRST 4096

static void push_entry(lua_State *L, const stw_outbox_entry *entry) {
  lua_createtable(L, 0, 12);
  stwi_lua_push_id(L, entry->id);
  lua_setfield(L, -2, "id");
  stwi_lua_set_count(L, "number", entry->id.number);
  stwi_lua_set_word(L, "state", stw_message_state_at((size_t)entry->state));
  stwi_lua_set_word(L, "proof", stw_proof_at((size_t)entry->proof));
  stwi_lua_set_word(L, "guarantee", stw_guarantee_at((size_t)entry->guarantee));
  stwi_lua_set_flag(L, "text", entry->is_text);
  stwi_lua_set_count(L, "attempts", entry->attempts);
  stwi_lua_set_count(L, "size", entry->size);
  stwi_lua_set_seconds(L, "age", entry->age_ns);
  if (entry->ttl_left_ns)
    stwi_lua_set_seconds(L, "ttl_left", entry->ttl_left_ns);
  if (entry->key[0])
    stwi_lua_set_text(L, "key", entry->key);
}

/* outbox_list(after) -> array of at most PAGE entries | nil, message, code */
int stwi_lua_outbox_list(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  lua_Number after = luaL_checknumber(L, 2);
  luaL_argcheck(L, after >= 0 && after < 9007199254740992.0, 2, "a message number");
  stw_outbox_entry entries[PAGE];
  size_t count = 0;
  uint64_t cursor = (uint64_t)after;
  stw_status status =
      stw_outbox_list(stw_outbox_of(self->conn), NULL, &cursor, entries, PAGE, &count);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_entry(L, &entries[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

/* outbox_body(id) -> body | nil, message, code */
int stwi_lua_outbox_body(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  stw_message_id id = stwi_lua_check_id(L, 2);
  char small[BODY_FIRST];
  size_t size = 0;
  stw_status status = stw_outbox_body(stw_outbox_of(self->conn), id, small, sizeof small, &size);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  if (size <= sizeof small) {
    lua_pushlstring(L, small, size);
    return 1;
  }
  size_t room = size;
  char *large = lua_newuserdata(L, room);
  status = stw_outbox_body(stw_outbox_of(self->conn), id, large, room, &size);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_pushlstring(L, large, room);
  return 1;
}

/* outbox_cancel(id) -> true | nil, message, code */
int stwi_lua_outbox_cancel(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  return stwi_lua_answer(L, stw_outbox_cancel(stw_outbox_of(self->conn), stwi_lua_check_id(L, 2)));
}
