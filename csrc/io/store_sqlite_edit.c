#include "io/store_sqlite.h"

#include "io/clock.h"

static int run_for(sqlite3 *db, const char *text, int64_t first, int64_t second) {
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(db, text, -1, &statement, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_int64(statement, 1, first);
    if (sqlite3_bind_parameter_count(statement) > 1)
      sqlite3_bind_int64(statement, 2, second);
    code = sqlite3_step(statement);
  }
  sqlite3_finalize(statement);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int64_t place_of(const stw_outbox_entry *entry, int64_t position) {
  return (int64_t)((uint64_t)entry->lane << 62 | (uint64_t)position);
}

static int cancel(sqlite3 *db, const stw_outbox_entry *entry, int64_t position) {
  if (entry->number == 0)
    return run_for(db, "DELETE FROM parked WHERE rank = ?1", position, 0);
  return run_for(db, "DELETE FROM outbox WHERE place = ?1", place_of(entry, position), 0);
}

static int hold(sqlite3 *db, const stw_outbox_entry *entry, int64_t position) {
  const int code =
      run_for(db,
              "INSERT INTO parked(lane, stream, admission, guarantee, is_text, attempts, "
              "admitted_ms, ends_ms, key, body, state, cause) SELECT place >> 62, stream, "
              "admission, guarantee, is_text, attempts, admitted_ms, ends_ms, key, body, 'held', "
              "'requested' FROM outbox WHERE place = ?1",
              place_of(entry, position), 0);
  return code == SQLITE_OK ? cancel(db, entry, position) : code;
}

/* To the end of a lane, from wherever it is. */
static int move(sqlite3 *db, const stw_outbox_entry *entry, int64_t position, stw_lane lane,
                struct stwi_sql_meta *meta) {
  static const char from_parked[] =
      "INSERT INTO outbox SELECT ?1, stream, admission, guarantee, is_text, 0, admitted_ms, "
      "ends_ms, key, body FROM parked WHERE rank = ?2";
  static const char from_outbox[] =
      "INSERT INTO outbox SELECT ?1, stream, admission, guarantee, is_text, attempts, "
      "admitted_ms, ends_ms, key, body FROM outbox WHERE place = ?2";
  const int64_t end = (int64_t)((uint64_t)lane << 62 | ++meta->last[lane]);
  const int code = entry->number == 0 ? run_for(db, from_parked, end, position)
                                      : run_for(db, from_outbox, end, place_of(entry, position));
  return code == SQLITE_OK ? cancel(db, entry, position) : code;
}

static bool fits(const stw_outbox_entry *entry, stw_edit edit) {
  switch (edit) {
  case STW_EDIT_RELEASE:
    return entry->state == STW_MESSAGE_HELD;
  case STW_EDIT_REQUEUE:
    return entry->state == STW_MESSAGE_DEAD || entry->state == STW_MESSAGE_UNKNOWN;
  case STW_EDIT_HOLD:
    return entry->number != 0 && entry->attempts == 0;
  default:
    return entry->number == 0 || entry->attempts == 0;
  }
}

static int perform(struct stwi_store_file *file, const stw_outbox_entry *entry, int64_t position,
                   stw_edit edit, struct stwi_sql_meta *meta) {
  sqlite3 *db = file->sql.db;
  switch (edit) {
  case STW_EDIT_CANCEL:
    return cancel(db, entry, position);
  case STW_EDIT_HOLD:
    return hold(db, entry, position);
  case STW_EDIT_PRIORITISE:
    return move(db, entry, position, STW_LANE_CONTROL, meta);
  case STW_EDIT_DEMOTE:
    return move(db, entry, position, STW_LANE_DATA, meta);
  default:
    return move(db, entry, position, entry->lane, meta);
  }
}

/* Begins a transaction in which what the last user left undecided is decided. */
static int begin(struct stwi_store_file *file, struct stwi_sql_meta *meta) {
  int code = stwi_sql_run(file->sql.db, "BEGIN IMMEDIATE");
  if (code == SQLITE_OK)
    code = stwi_sql_read_meta(file->sql.db, meta);
  if (code == SQLITE_OK && !meta->is_sorted)
    code = stwi_sql_sort(file->sql.db, !meta->is_clean);
  meta->is_sorted = true;
  return code;
}

static stw_status end(struct stwi_store_file *file, int code, char *detail) {
  if (code == SQLITE_OK)
    code = stwi_sql_run(file->sql.db, "COMMIT");
  const stw_status status = stwi_sql_file_answer(file, code, detail);
  if (sqlite3_get_autocommit(file->sql.db) == 0)
    stwi_sql_run(file->sql.db, "ROLLBACK");
  file->cursor = 0;
  return status;
}

static stw_status need_edit(const struct stwi_store_file *file, char *detail) {
  if (file->may_edit)
    return STW_OK;
  stwi_sql_say(detail, "%s: opened for reading only: open it with may_edit",
               stwi_sql_tail(file->place.path));
  return STW_E_STATE;
}

static stw_status try_edit(struct stwi_store_file *file, stw_message_id id, stw_edit edit,
                           struct stwi_sql_meta *meta, int *code, char *detail) {
  stw_outbox_entry entry;
  int64_t position = 0;
  *code = stwi_sql_file_find(file, id, &entry, &position);
  if (*code == SQLITE_NOTFOUND)
    return stwi_sql_file_no_message(detail);
  if (*code == SQLITE_OK && !fits(&entry, edit)) {
    const stw_word *word = stw_edit_at(edit);
    stwi_sql_say(detail, "%s does not fit a message that is %s%s", word->name,
                 stw_message_state_at(entry.state)->name,
                 entry.attempts > 0 ? " and was written before" : "");
    return STW_E_STATE;
  }
  if (*code == SQLITE_OK)
    *code = perform(file, &entry, position, edit, meta);
  if (*code == SQLITE_OK)
    *code = stwi_sql_write_meta(&file->sql, meta);
  return STW_OK;
}

stw_status stwi_store_file_edit(struct stwi_store_file *file, stw_message_id id, stw_edit edit,
                                char *detail) {
  if (stw_edit_at(edit) == NULL) {
    stwi_sql_say(detail, "there is no edit %d", (int)edit);
    return STW_E_ARGUMENT;
  }
  stw_status status = need_edit(file, detail);
  if (status != STW_OK)
    return status;
  struct stwi_sql_meta meta;
  int code = begin(file, &meta);
  if (code == SQLITE_OK)
    status = try_edit(file, id, edit, &meta, &code, detail);
  if (status == STW_OK)
    return end(file, code, detail);
  stwi_sql_run(file->sql.db, "ROLLBACK");
  return status;
}

stw_status stwi_store_file_add(struct stwi_store_file *file, struct stwi_chunk *chunks,
                               uint64_t *count, char *detail) {
  *count = 0;
  const stw_status status = need_edit(file, detail);
  if (status != STW_OK)
    return status;
  struct stwi_sql_meta meta;
  int code = begin(file, &meta);
  if (code == SQLITE_OK)
    code = stwi_sql_add(&file->sql, &meta, chunks, 0, stwi_clock_wall_ms(), count);
  const stw_status ended = end(file, code, detail);
  if (ended != STW_OK)
    *count = 0;
  return ended;
}
