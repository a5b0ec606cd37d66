#include "io/store_sqlite.h"

#include "core/mem.h"
#include "io/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LANE_BIT (1ull << 62)

stw_status stwi_sql_file_answer(const struct stwi_store_file *file, int code, char *detail) {
  return code == SQLITE_OK ? STW_OK : stwi_sql_refuse(file->sql.db, code, file->place.path, detail);
}

stw_status stwi_sql_file_no_message(char *detail) {
  stwi_sql_say(detail, "no message of this id in the file");
  return STW_E_NOT_FOUND;
}

/* ---- open ---- */

static int attach(struct stwi_store_file *file) {
  const char *path = file->place.path;
  if (file->may_edit)
    return stwi_sql_attach(&file->sql, path);
  return stwi_sql_attach_to_read(&file->sql, path, stwi_sql_place_size(&file->place, "-wal") == 0);
}

/* To the version of now; then it is ready for use. */
static stw_status bring_up(struct stwi_store_file *file, char *detail) {
  struct stwi_sql *sql = &file->sql;
  struct stwi_sql_meta meta;
  int64_t version = 0;
  int code = stwi_sql_number(sql->db, "PRAGMA user_version", &version);
  if (code == SQLITE_OK && version < stwi_sql_version && !file->may_edit) {
    stwi_sql_say(detail,
                 "%s: of version %u: open it for editing, or with a conn, to bring it up to "
                 "version %u",
                 stwi_sql_tail(file->place.path), (unsigned)version, (unsigned)stwi_sql_version);
    return STW_E_FORMAT;
  }
  if (code == SQLITE_OK)
    code = stwi_sql_migrate(sql, &file->place, stwi_sql_steps, stwi_sql_version);
  if (code == SQLITE_OK)
    code = stwi_sql_read_meta(sql->db, &meta);
  if (code == SQLITE_OK && file->may_edit)
    code = stwi_sql_prepare(sql);
  if (code == SQLITE_OK && file->may_edit)
    code = stwi_sql_accept(sql);
  return stwi_sql_file_answer(file, code, detail);
}

static stw_status enter(struct stwi_store_file *file, char *detail) {
  const char *path = file->place.path;
  enum stwi_sql_kind kind;
  uint32_t version = 0;
  const stw_status status = stwi_sql_place_probe(&file->place, &kind, &version, detail);
  if (status != STW_OK)
    return status;
  if (kind == STWI_SQL_MISSING) {
    stwi_sql_say(detail, "%s: no such file, or an empty one", stwi_sql_tail(path));
    return STW_E_STORE;
  }
  if (kind == STWI_SQL_FOREIGN || kind == STWI_SQL_NEWER) {
    stwi_sql_say(detail,
                 kind == STWI_SQL_FOREIGN ? "%s: not an outbox file (its version: %u)"
                                          : "%s: of version %u: use the steadwire that wrote it",
                 stwi_sql_tail(path), (unsigned)version);
    return STW_E_FORMAT;
  }
  const int code = attach(file);
  return code == SQLITE_OK ? bring_up(file, detail) : stwi_sql_file_answer(file, code, detail);
}

stw_status stwi_store_file_open(const char *path, bool may_edit, struct stwi_store_file **file,
                                char *detail) {
  *file = NULL;
  struct stwi_store_file *self = stwi_alloc(sizeof *self);
  if (self == NULL) {
    stwi_sql_say(detail, "no memory");
    return STW_E_MEMORY;
  }
  *self = (struct stwi_store_file){.may_edit = may_edit};
  stw_status status =
      stwi_sql_place_open(&self->place, path, may_edit ? STWI_SQL_EDIT : STWI_SQL_READ, detail);
  if (status == STW_OK)
    status = enter(self, detail);
  if (status != STW_OK) {
    stwi_store_file_close(self);
    return status;
  }
  *file = self;
  return STW_OK;
}

void stwi_store_file_close(struct stwi_store_file *file) {
  if (file == NULL)
    return;
  stwi_sql_detach(&file->sql);
  stwi_sql_place_close(&file->place);
  stwi_free(file);
}

/* ---- entries ---- */

#define ENTRY_COLUMNS                                                                              \
  "stream, admission, guarantee, is_text, attempts, admitted_ms, ends_ms, key, length(body)"

static const char queued_sql[] =
    "SELECT " ENTRY_COLUMNS ", place & 4611686018427387903, place >> 62, 'queued', 'requested' "
    "FROM outbox WHERE place BETWEEN ?1 AND ?2 ORDER BY place";
static const char parked_sql[] = "SELECT " ENTRY_COLUMNS ", rank, lane, state, cause "
                                 "FROM parked WHERE rank BETWEEN ?1 AND ?2 ORDER BY rank";
/* By id: at the place that it names, moved, or parked.  ?3 is that place. */
#define HERE " FROM outbox WHERE place = ?3 AND stream = ?1 AND admission = ?2"
#define MOVED " FROM outbox WHERE stream = ?1 AND admission = ?2 AND " STWI_SQL_IS_MOVED
#define PARKED " FROM parked WHERE stream = ?1 AND admission = ?2"
#define QUEUED_COLUMNS                                                                             \
  ENTRY_COLUMNS ", place & 4611686018427387903, place >> 62, 'queued', 'requested', 0"
static const char find_sql[] =
    "SELECT " QUEUED_COLUMNS HERE " UNION ALL SELECT " QUEUED_COLUMNS MOVED
    " UNION ALL SELECT " ENTRY_COLUMNS ", rank, lane, state, cause, 1" PARKED;
static const char body_sql[] = "SELECT key, body" HERE " UNION ALL SELECT key, body" MOVED
                               " UNION ALL SELECT key, body" PARKED;

/* *row: its first row, if the code is ROW; DONE: no such message.  To be finalized. */
static int select_by_id(sqlite3 *db, const char *text, stw_message_id id, sqlite3_stmt **row) {
  const int code = sqlite3_prepare_v2(db, text, -1, row, NULL);
  if (code != SQLITE_OK)
    return code;
  const uint64_t named = id.number <= STWI_SQL_NUMBER_MAX ? (id.stream & 1) << 62 | id.number : 0;
  sqlite3_bind_int64(*row, 1, (int64_t)id.stream);
  sqlite3_bind_int64(*row, 2, (int64_t)id.number);
  sqlite3_bind_int64(*row, 3, (int64_t)named);
  return sqlite3_step(*row);
}

static stw_message_state state_of(const char *name) {
  for (size_t i = 0; name != NULL && stw_message_state_at(i) != NULL; i++) {
    if (strcmp(name, stw_message_state_at(i)->name) == 0)
      return (stw_message_state)i;
  }
  return STW_MESSAGE_DEAD;
}

static stw_cause cause_of(const char *name) {
  for (size_t i = 0; name != NULL && stw_cause_at(i) != NULL; i++) {
    if (strcmp(name, stw_cause_at(i)->name) == 0)
      return stw_cause_at(i)->cause;
  }
  return STW_CAUSE_REQUESTED;
}

static uint64_t ns_between(uint64_t from_ms, uint64_t to_ms) {
  const uint64_t ms = to_ms > from_ms ? to_ms - from_ms : 0;
  return ms < STWI_NEVER / STWI_MS ? ms * STWI_MS : STWI_NEVER - 1;
}

static void read_entry(sqlite3_stmt *row, bool is_parked, uint64_t wall_ms,
                       stw_outbox_entry *entry) {
  const int64_t ends_ms = sqlite3_column_int64(row, 6);
  const void *key = sqlite3_column_blob(row, 7);
  size_t key_size = key == NULL ? 0 : (size_t)sqlite3_column_bytes(row, 7);
  *entry = (stw_outbox_entry){
      .id = {(uint64_t)sqlite3_column_int64(row, 0), (uint64_t)sqlite3_column_int64(row, 1)},
      .state = state_of((const char *)sqlite3_column_text(row, 11)),
      .proof = STW_PROOF_STORED,
      .guarantee = (stw_guarantee)sqlite3_column_int(row, 2),
      .is_text = sqlite3_column_int(row, 3) != 0,
      .attempts = (uint32_t)sqlite3_column_int64(row, 4),
      .size = (uint64_t)sqlite3_column_int64(row, 8),
      .age_ns = ns_between((uint64_t)sqlite3_column_int64(row, 5), wall_ms),
      .lane = sqlite3_column_int64(row, 10) == STW_LANE_CONTROL ? STW_LANE_CONTROL : STW_LANE_DATA,
      .number = is_parked ? 0 : (uint64_t)sqlite3_column_int64(row, 9),
      .cause = cause_of((const char *)sqlite3_column_text(row, 12)),
  };
  if (ends_ms > 0)
    entry->ttl_left_ns = ns_between(wall_ms, (uint64_t)ends_ms) + 1;
  key_size = key_size < sizeof entry->key ? key_size : sizeof entry->key - 1;
  if (key_size > 0)
    memcpy(entry->key, key, key_size);
}

static bool passes(const stw_outbox_filter *filter, sqlite3_stmt *row,
                   const stw_outbox_entry *entry) {
  if (filter == NULL)
    return true;
  if ((filter->states != 0 && (filter->states & 1u << entry->state) == 0) ||
      (filter->lanes != 0 && (filter->lanes & 1u << entry->lane) == 0) ||
      entry->age_ns < filter->older_than_ns)
    return false;
  if (filter->key == NULL)
    return true;
  const void *key = sqlite3_column_blob(row, 7);
  const size_t size = (size_t)sqlite3_column_bytes(row, 7);
  return size == filter->key_size && (size == 0 || memcmp(key, filter->key, size) == 0);
}

/* ---- list ---- */

struct page {
  const stw_outbox_filter *filter;
  stw_outbox_entry *entries;
  size_t max, count;
  uint64_t cursor, wall_ms;
  uint32_t position;
  bool is_full;
};

/* Entries of one section behind `after`; stops at the first that has no room any more. */
static int list_section(sqlite3 *db, uint64_t section, uint64_t after, struct page *page) {
  const bool is_parked = section == STWI_CURSOR_PARKED;
  const uint64_t base = section == STWI_CURSOR_CONTROL ? LANE_BIT : 0;
  const uint64_t end = is_parked ? (uint64_t)INT64_MAX : base + STWI_SQL_NUMBER_MAX;
  sqlite3_stmt *rows = NULL;
  int code = sqlite3_prepare_v2(db, is_parked ? parked_sql : queued_sql, -1, &rows, NULL);
  sqlite3_bind_int64(rows, 1, (int64_t)(base + after + 1));
  sqlite3_bind_int64(rows, 2, (int64_t)end);
  while (code == SQLITE_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
    stw_outbox_entry entry;
    read_entry(rows, is_parked, page->wall_ms, &entry);
    entry.position = page->position;
    code = SQLITE_OK;
    if (passes(page->filter, rows, &entry)) {
      page->is_full = page->count == page->max;
      if (page->is_full)
        break;
      page->entries[page->count++] = entry;
    }
    page->position++;
    page->cursor = section << STWI_CURSOR_SHIFT | (uint64_t)sqlite3_column_int64(rows, 9);
  }
  sqlite3_finalize(rows);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int count_before(sqlite3 *db, uint64_t cursor, uint32_t *position) {
  static const char *const texts[] = {
      NULL,
      "SELECT count(*) FROM outbox WHERE place BETWEEN 4611686018427387904 AND ?1 + "
      "4611686018427387904",
      "SELECT (SELECT count(*) FROM outbox WHERE place >= 4611686018427387904) + "
      "(SELECT count(*) FROM outbox WHERE place <= ?1)",
      "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM parked WHERE rank <= ?1)"};
  *position = 0;
  if (cursor == 0)
    return SQLITE_OK;
  sqlite3_stmt *row = NULL;
  int code = sqlite3_prepare_v2(db, texts[cursor >> STWI_CURSOR_SHIFT], -1, &row, NULL);
  sqlite3_bind_int64(row, 1, (int64_t)(cursor & STWI_SQL_NUMBER_MAX));
  if (code == SQLITE_OK)
    code = sqlite3_step(row);
  if (code == SQLITE_ROW)
    *position = (uint32_t)sqlite3_column_int64(row, 0);
  sqlite3_finalize(row);
  return code == SQLITE_ROW ? SQLITE_OK : code;
}

/* Is it 0, or where a message may have been?  The rank of a parked one that is gone may be any. */
static int check_cursor(sqlite3 *db, uint64_t cursor, bool *is_known) {
  const uint64_t section = cursor >> STWI_CURSOR_SHIFT, number = cursor & STWI_CURSOR_NUMBER;
  *is_known = cursor == 0 || (section == STWI_CURSOR_PARKED && number > 0);
  if (*is_known || section == 0 || number == 0)
    return SQLITE_OK;
  struct stwi_sql_meta meta;
  const int code = stwi_sql_read_meta(db, &meta);
  if (code == SQLITE_OK)
    *is_known =
        number <= meta.last[section == STWI_CURSOR_CONTROL ? STW_LANE_CONTROL : STW_LANE_DATA];
  return code;
}

stw_status stwi_store_file_list(struct stwi_store_file *file, const stw_outbox_filter *filter,
                                uint64_t *cursor, stw_outbox_entry *entries, size_t max,
                                size_t *count, char *detail) {
  *count = 0;
  const uint64_t first = *cursor >> STWI_CURSOR_SHIFT, after = *cursor & STWI_CURSOR_NUMBER;
  bool is_known = false;
  int code = check_cursor(file->sql.db, *cursor, &is_known);
  if (code == SQLITE_OK && !is_known) {
    stwi_sql_say(detail, "cursor %" PRIu64 " came from no call: begin with 0", *cursor);
    return STW_E_ARGUMENT;
  }
  struct page page = {.filter = filter,
                      .entries = entries,
                      .max = max,
                      .cursor = *cursor,
                      .wall_ms = stwi_clock_wall_ms(),
                      .position = file->position};
  if (code == SQLITE_OK && (*cursor == 0 || *cursor != file->cursor))
    code = count_before(file->sql.db, *cursor, &page.position);
  for (uint64_t section = first == 0 ? STWI_CURSOR_CONTROL : first;
       section <= STWI_CURSOR_PARKED && code == SQLITE_OK && !page.is_full; section++)
    code = list_section(file->sql.db, section, section == first ? after : 0, &page);
  if (code != SQLITE_OK)
    return stwi_sql_file_answer(file, code, detail);
  *count = page.count;
  *cursor = file->cursor = page.is_full ? page.cursor : 0;
  file->position = page.position;
  return STW_OK;
}

/* ---- one message ---- */

int stwi_sql_file_find(struct stwi_store_file *file, stw_message_id id, stw_outbox_entry *entry,
                       int64_t *position) {
  sqlite3_stmt *row = NULL;
  const int code = select_by_id(file->sql.db, find_sql, id, &row);
  if (code == SQLITE_ROW) {
    read_entry(row, sqlite3_column_int(row, 13) == 1, stwi_clock_wall_ms(), entry);
    *position = sqlite3_column_int64(row, 9);
  }
  sqlite3_finalize(row);
  return code == SQLITE_ROW ? SQLITE_OK : code == SQLITE_DONE ? SQLITE_NOTFOUND : code;
}

stw_status stwi_store_file_get(struct stwi_store_file *file, stw_message_id id,
                               stw_outbox_entry *entry, char *detail) {
  int64_t position = 0;
  int code = stwi_sql_file_find(file, id, entry, &position);
  if (code == SQLITE_NOTFOUND)
    return stwi_sql_file_no_message(detail);
  if (code == SQLITE_OK) {
    const uint64_t section = entry->number == 0                ? STWI_CURSOR_PARKED
                             : entry->lane == STW_LANE_CONTROL ? STWI_CURSOR_CONTROL
                                                               : STWI_CURSOR_DATA;
    uint32_t upto = 0;
    code = count_before(file->sql.db, section << STWI_CURSOR_SHIFT | (uint64_t)position, &upto);
    entry->position = upto > 0 ? upto - 1 : 0;
  }
  return stwi_sql_file_answer(file, code, detail);
}

stw_status stwi_store_file_body(struct stwi_store_file *file, stw_message_id id, uint8_t **body,
                                size_t *size, char *detail) {
  *body = NULL;
  *size = 0;
  sqlite3_stmt *row = NULL;
  int code = select_by_id(file->sql.db, body_sql, id, &row);
  if (code == SQLITE_ROW) {
    const void *bytes = sqlite3_column_blob(row, 1);
    *size = bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(row, 1);
    *body = malloc(*size + 1);
    if (*body == NULL)
      code = SQLITE_NOMEM;
    else if (*size > 0)
      memcpy(*body, bytes, *size);
  }
  sqlite3_finalize(row);
  if (code == SQLITE_DONE)
    return stwi_sql_file_no_message(detail);
  return code == SQLITE_ROW ? STW_OK : stwi_sql_file_answer(file, code, detail);
}

/* `row`: key, body. */
static struct stwi_chunk *chunk_of(sqlite3_stmt *row, const stw_outbox_entry *entry) {
  const void *key = sqlite3_column_blob(row, 0);
  const size_t key_size = key == NULL ? 0 : (size_t)sqlite3_column_bytes(row, 0);
  const void *body = sqlite3_column_blob(row, 1);
  const size_t size = body == NULL ? 0 : (size_t)sqlite3_column_bytes(row, 1);
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(key_size, size));
  if (chunk == NULL)
    return NULL;
  struct stwi_msg *msg = stwi_chunk_append(chunk, key, (uint8_t)key_size, body, (uint32_t)size);
  if (msg == NULL) {
    stwi_chunk_free(chunk);
    return NULL;
  }
  msg->id = entry->id;
  msg->number = entry->number;
  msg->lane = (uint8_t)entry->lane;
  msg->guarantee = (uint8_t)entry->guarantee;
  msg->is_text = entry->is_text;
  msg->ttl_ns = entry->ttl_left_ns;
  msg->waited_ns = entry->age_ns;
  msg->attempts = entry->attempts;
  msg->state = (uint8_t)entry->state;
  msg->cause = (uint16_t)entry->cause;
  return chunk;
}

stw_status stwi_store_file_copy(struct stwi_store_file *file, const stw_outbox_entry *entry,
                                struct stwi_chunk **chunk, char *detail) {
  *chunk = NULL;
  sqlite3_stmt *row = NULL;
  int code = select_by_id(file->sql.db, body_sql, entry->id, &row);
  if (code == SQLITE_ROW && (*chunk = chunk_of(row, entry)) == NULL)
    code = SQLITE_NOMEM;
  sqlite3_finalize(row);
  if (code == SQLITE_DONE)
    return stwi_sql_file_no_message(detail);
  return code == SQLITE_ROW ? STW_OK : stwi_sql_file_answer(file, code, detail);
}
