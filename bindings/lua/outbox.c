/* An outbox, of a live conn or of a file: one userdata, since the ABI's calls are the same. */
#include "core.h"

#include <string.h>

#define OUTBOX_TYPE "steadwire.core.outbox"
#define PAGE 64
#define BODY_FIRST 4096

typedef struct lua_outbox {
  stw_outbox handle;
  bool is_file; /* ours to close */
} lua_outbox;

static lua_outbox *check_outbox(lua_State *L) {
  return luaL_checkudata(L, 1, OUTBOX_TYPE);
}

static lua_outbox *push_outbox(lua_State *L) {
  lua_outbox *self = lua_newuserdata(L, sizeof *self);
  memset(self, 0, sizeof *self);
  luaL_getmetatable(L, OUTBOX_TYPE);
  lua_setmetatable(L, -2);
  return self;
}

int stwi_lua_conn_outbox(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  push_outbox(L)->handle = stw_outbox_of(self->conn);
  return 1;
}

int stwi_lua_outbox_open(lua_State *L) {
  size_t size;
  const char *path = stwi_lua_check_string(L, 1, "the path of an outbox", &size);
  bool may_edit = lua_toboolean(L, 2);
  if (strlen(path) != size)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "the path of an outbox holds a NUL byte");
  lua_outbox *self = push_outbox(L);
  stw_status status = stw_outbox_open(path, may_edit, &self->handle);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  self->is_file = true;
  return 1;
}

/* close() -> true | nil, message, code; twice is fine */
static int outbox_close(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  bool is_file = self->is_file;
  self->is_file = false;
  return stwi_lua_answer(L, is_file ? stw_outbox_close(self->handle) : STW_OK);
}

static void push_entry(lua_State *L, const stw_outbox_entry *entry) {
  lua_createtable(L, 0, 16);
  stwi_lua_push_id(L, entry->id);
  lua_setfield(L, -2, "id");
  stwi_lua_set_count(L, "number", entry->number);
  stwi_lua_set_count(L, "position", entry->position);
  stwi_lua_set_word(L, "lane", stw_lane_at((size_t)entry->lane));
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
  const stw_cause_info *cause = entry->number ? NULL : stw_cause_at((size_t)entry->cause);
  if (cause)
    stwi_lua_set_text(L, "cause", cause->name);
}

static uint32_t bits_of(lua_State *L, int index, const char *name,
                        const stw_word *(*at)(size_t index)) {
  uint32_t bits = 0;
  lua_getfield(L, index, name);
  if (!lua_isnil(L, -1)) {
    size_t size;
    const char *text = stwi_lua_check_string(L, lua_gettop(L), name, &size);
    const stw_word *word;
    for (size_t i = 0; (word = at(i)); i++)
      if (!strcmp(word->name, text))
        bits = 1u << word->value;
    if (!bits)
      stwi_lua_misuse(L, STW_E_ARGUMENT, "there is no %s '%s'", name, text);
  }
  lua_pop(L, 1);
  return bits;
}

/* The filter {state =, lane =, key =, older_than =} at `index`, nil for all; the key is borrowed
 * from the table. */
static stw_outbox_filter check_filter(lua_State *L, int index) {
  stw_outbox_filter filter = {.struct_size = sizeof filter};
  if (lua_isnoneornil(L, index))
    return filter;
  if (lua_type(L, index) != LUA_TTABLE)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "a filter is a table, not a %s", luaL_typename(L, index));
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(name, "state") != 0 && strcmp(name, "lane") != 0 && strcmp(name, "key") != 0 &&
        strcmp(name, "older_than") != 0)
      stwi_lua_misuse(L, STW_E_ARGUMENT,
                      "a filter has no field '%s': it takes state, lane, key, older_than",
                      *name ? name : luaL_typename(L, -2));
  }
  filter.states = bits_of(L, index, "state", stw_message_state_at);
  filter.lanes = bits_of(L, index, "lane", stw_lane_at);
  lua_getfield(L, index, "key");
  if (!lua_isnil(L, -1))
    filter.key = stwi_lua_check_string(L, lua_gettop(L), "key", &filter.key_size);
  lua_getfield(L, index, "older_than");
  filter.older_than_ns = (uint64_t)stwi_lua_duration_ms(L, lua_gettop(L), 0) * 1000000u;
  lua_pop(L, 2);
  return filter;
}

/* list(cursor, filter) -> array of at most PAGE entries, cursor of the next page or nil at the end
 * | nil, message, code.  A cursor is a string: it may need 64 bits. */
static int outbox_list(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  uint64_t cursor = 0;
  size_t size = 0;
  if (!lua_isnoneornil(L, 2)) {
    const char *bytes = stwi_lua_check_string(L, 2, "a cursor", &size);
    if (size != sizeof cursor)
      stwi_lua_misuse(L, STW_E_ARGUMENT, "a cursor is what page() gave");
    memcpy(&cursor, bytes, sizeof cursor);
  }
  stw_outbox_filter filter = check_filter(L, 3);
  stw_outbox_entry entries[PAGE];
  size_t count = 0;
  stw_status status = stw_outbox_list(self->handle, &filter, &cursor, entries, PAGE, &count);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_entry(L, &entries[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  if (!cursor)
    return 1;
  lua_pushlstring(L, (const char *)&cursor, sizeof cursor);
  return 2;
}

/* get(id) -> entry | nil, message, code */
static int outbox_get(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  stw_outbox_entry entry;
  stw_status status = stw_outbox_get(self->handle, stwi_lua_check_id(L, 2), &entry);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  push_entry(L, &entry);
  return 1;
}

/* body(id) -> body | nil, message, code */
static int outbox_body(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  stw_message_id id = stwi_lua_check_id(L, 2);
  char small[BODY_FIRST];
  size_t size = 0;
  stw_status status = stw_outbox_body(self->handle, id, small, sizeof small, &size);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  if (size <= sizeof small) {
    lua_pushlstring(L, small, size);
    return 1;
  }
  size_t room = size;
  char *large = lua_newuserdata(L, room);
  status = stw_outbox_body(self->handle, id, large, room, &size);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_pushlstring(L, large, room);
  return 1;
}

/* edit(id, name) -> true | nil, message, code */
static int outbox_edit(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  stw_message_id id = stwi_lua_check_id(L, 2);
  size_t size;
  const char *name = stwi_lua_check_string(L, 3, "an edit", &size);
  if (!strcmp(name, "cancel"))
    return stwi_lua_answer(L, stw_outbox_cancel(self->handle, id));
  const stw_word *word;
  for (size_t i = 0; (word = stw_edit_at(i)); i++)
    if (!strcmp(word->name, name))
      return stwi_lua_answer(L, stw_outbox_edit(self->handle, id, (stw_edit)word->value));
  stwi_lua_misuse(L, STW_E_ARGUMENT, "there is no edit '%s'", name);
  return 0;
}

static int count_or_refusal(lua_State *L, stw_status status, uint64_t count) {
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  stwi_lua_push_count(L, count);
  return 1;
}

/* export(path, filter) -> count | nil, message, code */
static int outbox_export(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  size_t size;
  const char *path = stwi_lua_check_string(L, 2, "the path of an export", &size);
  stw_outbox_filter filter = check_filter(L, 3);
  uint64_t count = 0;
  stw_status status = stw_outbox_export(self->handle, &filter, path, &count);
  return count_or_refusal(L, status, count);
}

/* import(path) -> count | nil, message, code */
static int outbox_import(lua_State *L) {
  lua_outbox *self = check_outbox(L);
  size_t size;
  const char *path = stwi_lua_check_string(L, 2, "the path of an export", &size);
  uint64_t count = 0;
  stw_status status = stw_outbox_import(self->handle, path, &count);
  return count_or_refusal(L, status, count);
}

static void set_lanes(lua_State *L, const char *name, const uint64_t *counts) {
  lua_createtable(L, 0, STW_LANE_COUNT);
  const stw_word *word;
  for (size_t i = 0; (word = stw_lane_at(i)); i++)
    stwi_lua_set_count(L, word->name, counts[i]);
  lua_setfield(L, -2, name);
}

/* check() -> report | nil, message, code */
static int outbox_check(lua_State *L) {
  stw_outbox_report report = {.struct_size = sizeof report};
  stw_status status = stw_outbox_check(check_outbox(L)->handle, &report);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_createtable(L, 0, 11);
  set_lanes(L, "queued", report.queued);
  set_lanes(L, "queued_bytes", report.queued_bytes);
  set_lanes(L, "last_number", report.last_number);
  stwi_lua_set_count(L, "held", report.held);
  stwi_lua_set_count(L, "dead", report.dead);
  stwi_lua_set_count(L, "unknown", report.unknown);
  stwi_lua_set_count(L, "file_bytes", report.file_bytes);
  stwi_lua_set_count(L, "version", report.version);
  stwi_lua_set_flag(L, "clean", report.was_clean);
  stwi_lua_set_flag(L, "sound", report.is_sound);
  stwi_lua_set_text(L, "detail", report.detail);
  return 1;
}

void stwi_lua_register_outbox(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"list", outbox_list},   {"get", outbox_get},       {"body", outbox_body},
      {"edit", outbox_edit},   {"export", outbox_export}, {"import", outbox_import},
      {"check", outbox_check}, {"close", outbox_close},   {NULL, NULL},
  };
  luaL_newmetatable(L, OUTBOX_TYPE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, outbox_close);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
