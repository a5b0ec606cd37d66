#include "io/store_sqlite.h"

#include <string.h>

#define ROW_VALUES "?, ?, ?, ?, ?, ?, ?, ?, ?"

static const char put_sql[] = "INSERT OR REPLACE INTO outbox(place, stream, admission, guarantee, "
                              "is_text, attempts, admitted_ms, ends_ms, key, body) "
                              "VALUES(?, " ROW_VALUES ")";
static const char park_sql[] =
    "INSERT INTO parked(lane, stream, admission, guarantee, is_text, attempts, admitted_ms, "
    "ends_ms, key, body, state, cause) VALUES(?, " ROW_VALUES ", ?, ?) "
    "ON CONFLICT(stream, admission) DO UPDATE SET lane = excluded.lane, "
    "attempts = excluded.attempts, ends_ms = excluded.ends_ms, state = excluded.state, "
    "cause = excluded.cause";
static const char meta_sql[] =
    "UPDATE meta SET stream = ?, level = ?, is_clean = ?, is_sorted = ?, last_data = ?, "
    "last_control = ?, cid = ?, is_welcomed = ?, incarnation = ?, token = ?, processed_data = ?, "
    "processed_control = ?, found_data = ?, found_control = ?";

int stwi_sql_prepare(struct stwi_sql *sql) {
  const struct {
    sqlite3_stmt **statement;
    const char *text;
  } list[] = {
      {&sql->put, put_sql},
      {&sql->settle, "DELETE FROM outbox WHERE place BETWEEN ? AND ?"},
      {&sql->remove, "DELETE FROM outbox WHERE place = ?"},
      {&sql->park, park_sql},
      {&sql->forget, "DELETE FROM parked WHERE stream = ? AND admission = ?"},
      {&sql->meta, meta_sql},
  };
  int code = SQLITE_OK;
  for (size_t i = 0; i < sizeof list / sizeof list[0] && code == SQLITE_OK; i++)
    code = sqlite3_prepare_v3(sql->db, list[i].text, -1, SQLITE_PREPARE_PERSISTENT,
                              list[i].statement, NULL);
  return code;
}

/* ---- records ---- */

void stwi_sql_record_of(struct stwi_sql_record *record, const struct stwi_msg *msg, stwi_time now,
                        uint64_t wall_ms) {
  const uint64_t stamped_ago = now > msg->admitted ? now - msg->admitted : 0;
  const uint64_t age_ms = (stamped_ago + msg->waited_ns) / STWI_MS;
  *record = (struct stwi_sql_record){
      .number = msg->number,
      .id = msg->id,
      .admitted_ms = wall_ms > age_ms ? wall_ms - age_ms : 0,
      .size = msg->size,
      .attempts = msg->attempts,
      .cause = msg->cause,
      .lane = msg->lane,
      .key_size = msg->key_size,
      .is_text = msg->is_text,
      .guarantee = msg->guarantee,
      .state = msg->state,
  };
  /* The field of a message that has ended is a link of a list. */
  const bool has_ttl = msg->state != STW_MESSAGE_DEAD && msg->state != STW_MESSAGE_UNKNOWN;
  if (!has_ttl || msg->ttl_ns == 0)
    return;
  const uint64_t left_ns = msg->ttl_ns > stamped_ago ? msg->ttl_ns - stamped_ago : 0;
  record->ends_ms = wall_ms + left_ns / STWI_MS + 1;
}

static int64_t place_of(uint64_t lane, uint64_t number) {
  return (int64_t)(lane << 62 | number);
}

static int step(sqlite3_stmt *statement) {
  const int code = sqlite3_step(statement);
  sqlite3_reset(statement);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

static void bind_row(sqlite3_stmt *statement, const struct stwi_sql_record *record) {
  const uint8_t *key = (const uint8_t *)(record + 1);
  sqlite3_bind_int64(statement, 2, (int64_t)record->id.stream);
  sqlite3_bind_int64(statement, 3, (int64_t)record->id.number);
  sqlite3_bind_int(statement, 4, record->guarantee);
  sqlite3_bind_int(statement, 5, record->is_text);
  sqlite3_bind_int64(statement, 6, record->attempts);
  sqlite3_bind_int64(statement, 7, (int64_t)record->admitted_ms);
  sqlite3_bind_int64(statement, 8, (int64_t)record->ends_ms);
  sqlite3_bind_blob(statement, 9, key, record->key_size, SQLITE_STATIC);
  sqlite3_bind_blob64(statement, 10, key + record->key_size, record->size, SQLITE_STATIC);
}

static int put(struct stwi_sql *sql, const struct stwi_sql_record *record) {
  sqlite3_bind_int64(sql->put, 1, place_of(record->lane, record->number));
  bind_row(sql->put, record);
  return step(sql->put);
}

static int remove_at(struct stwi_sql *sql, const struct stwi_sql_record *record) {
  sqlite3_bind_int64(sql->remove, 1, place_of(record->lane, record->number));
  return step(sql->remove);
}

static const char *cause_name(unsigned cause) {
  const stw_cause_info *info = stw_cause_at(cause);
  return info == NULL ? "requested" : info->name;
}

static int park(struct stwi_sql *sql, const struct stwi_sql_record *record) {
  int code = record->number == 0 ? SQLITE_OK : remove_at(sql, record);
  if (code != SQLITE_OK)
    return code;
  sqlite3_bind_int(sql->park, 1, record->lane);
  bind_row(sql->park, record);
  const stw_word *state = stw_message_state_at(record->state);
  sqlite3_bind_text(sql->park, 11, state == NULL ? "held" : state->name, -1, SQLITE_STATIC);
  sqlite3_bind_text(sql->park, 12, cause_name(record->cause), -1, SQLITE_STATIC);
  return step(sql->park);
}

static int settle(struct stwi_sql *sql, const struct stwi_sql_record *record) {
  sqlite3_bind_int64(sql->settle, 1, place_of(record->lane, 1));
  sqlite3_bind_int64(sql->settle, 2, place_of(record->lane, record->number));
  return step(sql->settle);
}

static int forget(struct stwi_sql *sql, const struct stwi_sql_record *record) {
  sqlite3_bind_int64(sql->forget, 1, (int64_t)record->id.stream);
  sqlite3_bind_int64(sql->forget, 2, (int64_t)record->id.number);
  return step(sql->forget);
}

int stwi_sql_apply(struct stwi_sql *sql, const struct stwi_sql_record *record) {
  switch (record->op) {
  case STWI_STORE_PUT:
    return put(sql, record);
  case STWI_STORE_SETTLED:
    return settle(sql, record);
  case STWI_STORE_REMOVE:
    return remove_at(sql, record);
  case STWI_STORE_PARK:
    return park(sql, record);
  case STWI_STORE_FORGET:
    return forget(sql, record);
  default:
    return SQLITE_OK; /* SESSION and INBOUND: see stwi_sql_write_meta */
  }
}

int stwi_sql_write_meta(struct stwi_sql *sql, const struct stwi_sql_meta *meta) {
  const struct stwi_session_saved *session = &meta->session;
  sqlite3_bind_int64(sql->meta, 1, (int64_t)meta->stream);
  sqlite3_bind_int(sql->meta, 2, (int)meta->level);
  sqlite3_bind_int(sql->meta, 3, meta->is_clean);
  sqlite3_bind_int(sql->meta, 4, meta->is_sorted);
  sqlite3_bind_int64(sql->meta, 5, (int64_t)meta->last[STW_LANE_DATA]);
  sqlite3_bind_int64(sql->meta, 6, (int64_t)meta->last[STW_LANE_CONTROL]);
  sqlite3_bind_blob(sql->meta, 7, session->cid, sizeof session->cid, SQLITE_STATIC);
  sqlite3_bind_int(sql->meta, 8, session->is_welcomed);
  sqlite3_bind_int64(sql->meta, 9, (int64_t)session->incarnation);
  sqlite3_bind_blob(sql->meta, 10, session->token, sizeof session->token, SQLITE_STATIC);
  sqlite3_bind_int64(sql->meta, 11, (int64_t)session->processed[STW_LANE_DATA]);
  sqlite3_bind_int64(sql->meta, 12, (int64_t)session->processed[STW_LANE_CONTROL]);
  sqlite3_bind_int64(sql->meta, 13, (int64_t)session->found_next[STW_LANE_DATA]);
  sqlite3_bind_int64(sql->meta, 14, (int64_t)session->found_next[STW_LANE_CONTROL]);
  return step(sql->meta);
}

/* ---- in bulk ---- */

#define SORT_SQL(condition)                                                                        \
  "INSERT OR REPLACE INTO parked(lane, stream, admission, guarantee, is_text, attempts, "          \
  "admitted_ms, ends_ms, key, body, state, cause) "                                                \
  "SELECT place >> 62, stream, admission, guarantee, is_text, attempts, admitted_ms, 0, key, "     \
  "body, 'unknown', 'local_stop' FROM outbox WHERE " condition " ORDER BY admitted_ms;"            \
  "DELETE FROM outbox WHERE " condition

int stwi_sql_sort(sqlite3 *db, bool is_unclean) {
  return stwi_sql_run(db, is_unclean ? SORT_SQL("guarantee = 1")
                                     : SORT_SQL("guarantee = 1 AND attempts > 0"));
}

/* The ids that are there, in memory. */
static int list_ids(sqlite3 *db, sqlite3_stmt **seen) {
  int code = stwi_sql_run(
      db, "DROP TABLE IF EXISTS temp.ids;"
          "CREATE TEMP TABLE ids(stream, admission, PRIMARY KEY(stream, admission)) WITHOUT ROWID;"
          "INSERT OR IGNORE INTO temp.ids SELECT stream, admission FROM outbox;"
          "INSERT OR IGNORE INTO temp.ids SELECT stream, admission FROM parked;");
  if (code == SQLITE_OK)
    code = sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO temp.ids VALUES(?, ?)", -1, seen, NULL);
  return code;
}

static int bind_message(struct stwi_sql *sql, struct stwi_sql_meta *meta,
                        const struct stwi_msg *msg, stwi_time now, uint64_t wall_ms) {
  struct stwi_sql_record record;
  stwi_sql_record_of(&record, msg, now, wall_ms);
  const bool is_parked = msg->state == STW_MESSAGE_HELD || msg->state == STW_MESSAGE_DEAD ||
                         msg->state == STW_MESSAGE_UNKNOWN;
  record.number = is_parked ? 0 : ++meta->last[msg->lane];
  sqlite3_stmt *statement = is_parked ? sql->park : sql->put;
  bind_row(statement, &record);
  sqlite3_bind_blob(statement, 9, stwi_msg_key(msg), msg->key_size, SQLITE_STATIC);
  sqlite3_bind_blob64(statement, 10, stwi_msg_body(msg), msg->size, SQLITE_STATIC);
  if (!is_parked) {
    sqlite3_bind_int64(statement, 1, place_of(record.lane, record.number));
    return step(statement);
  }
  const stw_word *state = stw_message_state_at(msg->state);
  sqlite3_bind_int(statement, 1, msg->lane);
  sqlite3_bind_text(statement, 11, state->name, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 12, cause_name(msg->cause), -1, SQLITE_STATIC);
  return step(statement);
}

int stwi_sql_add(struct stwi_sql *sql, struct stwi_sql_meta *meta, struct stwi_chunk *chunks,
                 stwi_time now, uint64_t wall_ms, uint64_t *count) {
  sqlite3_stmt *seen = NULL;
  int code = list_ids(sql->db, &seen);
  for (struct stwi_chunk *chunk = chunks; chunk != NULL && code == SQLITE_OK; chunk = chunk->next) {
    struct stwi_msg *msg = stwi_chunk_first(chunk);
    for (; msg != NULL && code == SQLITE_OK; msg = stwi_chunk_after(msg)) {
      sqlite3_bind_int64(seen, 1, (int64_t)msg->id.stream);
      sqlite3_bind_int64(seen, 2, (int64_t)msg->id.number);
      code = step(seen);
      if (code != SQLITE_OK || sqlite3_changes(sql->db) == 0)
        continue;
      code = bind_message(sql, meta, msg, now, wall_ms);
      (*count)++;
    }
  }
  sqlite3_finalize(seen);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "DROP TABLE temp.ids");
  return code == SQLITE_OK ? stwi_sql_write_meta(sql, meta) : code;
}
