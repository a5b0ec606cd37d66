#include "io/store_sqlite.h"

#include "core/utf8.h"

#include <string.h>

#define CHUNK_BYTES (256u << 10)
#define SALVAGE_TRIES 300

/* A list of chunks being filled. */
struct list {
  struct stwi_chunk **head, *tail;
};

static void list_of(struct list *list, struct stwi_chunk **head) {
  *list = (struct list){.head = head, .tail = *head};
  while (list->tail != NULL && list->tail->next != NULL)
    list->tail = list->tail->next;
}

static struct stwi_msg *append(struct list *list, const void *key, uint8_t key_size,
                               const void *body, uint32_t size) {
  const size_t footprint = stwi_msg_footprint(key_size, size);
  if (footprint > UINT32_MAX)
    return NULL;
  if (list->tail == NULL || list->tail->size - list->tail->used < footprint) {
    struct stwi_chunk *chunk =
        stwi_chunk_new(footprint > CHUNK_BYTES ? (uint32_t)footprint : CHUNK_BYTES);
    if (chunk == NULL)
      return NULL;
    *(list->tail == NULL ? list->head : &list->tail->next) = chunk;
    list->tail = chunk;
  }
  return stwi_chunk_append(list->tail, key, key_size, body, size);
}

/* ---- rows ---- */

static bool is_between(int64_t value, int64_t low, int64_t high) {
  return value >= low && value <= high;
}

/* What a row may say; `first` is its place or its lane. */
static bool is_sound(sqlite3_stmt *row) {
  if (sqlite3_column_bytes(row, 8) > UINT8_MAX ||
      !is_between(sqlite3_column_int64(row, 3), 0, STW_GUARANTEE_COUNT - 1) ||
      !is_between(sqlite3_column_int64(row, 4), 0, 1) ||
      !is_between(sqlite3_column_int64(row, 5), 0, UINT32_MAX) || sqlite3_column_int64(row, 2) < 1)
    return false;
  const void *body = sqlite3_column_blob(row, 9);
  const int size = sqlite3_column_bytes(row, 9);
  return sqlite3_column_int64(row, 4) == 0 || size == 0 || stwi_utf8_valid(body, (size_t)size);
}

/* What is left of a ttl counts from now: the outbox stamps the message when it takes it. */
static void date(struct stwi_msg *msg, sqlite3_stmt *row, uint64_t wall_ms) {
  const uint64_t admitted_ms = (uint64_t)sqlite3_column_int64(row, 6);
  const int64_t ends_ms = sqlite3_column_int64(row, 7);
  const uint64_t age_ms = wall_ms > admitted_ms ? wall_ms - admitted_ms : 0;
  msg->waited_ns = age_ms < STWI_NEVER / 2 / STWI_MS ? age_ms * STWI_MS : STWI_NEVER / 2;
  if (ends_ms <= 0)
    return;
  const uint64_t left_ms = (uint64_t)ends_ms > wall_ms ? (uint64_t)ends_ms - wall_ms : 0;
  msg->ttl_ns = left_ms == 0                         ? 1
                : left_ms < STWI_NEVER / 4 / STWI_MS ? left_ms * STWI_MS
                                                     : STWI_NEVER / 4;
}

static int take_row(struct list *list, sqlite3_stmt *row, uint64_t wall_ms, struct stwi_msg **msg) {
  if (!is_sound(row))
    return SQLITE_CORRUPT;
  const void *body = sqlite3_column_blob(row, 9), *key = sqlite3_column_blob(row, 8);
  const int size = sqlite3_column_bytes(row, 9), key_size = sqlite3_column_bytes(row, 8);
  if ((body == NULL && size > 0) || (key == NULL && key_size > 0))
    return SQLITE_NOMEM;
  *msg = append(list, key, (uint8_t)key_size, body, (uint32_t)size);
  if (*msg == NULL)
    return SQLITE_NOMEM;
  (*msg)->id.stream = (uint64_t)sqlite3_column_int64(row, 1);
  (*msg)->id.number = (uint64_t)sqlite3_column_int64(row, 2);
  (*msg)->guarantee = (uint8_t)sqlite3_column_int(row, 3);
  (*msg)->is_text = sqlite3_column_int(row, 4) != 0;
  (*msg)->attempts = (uint32_t)sqlite3_column_int64(row, 5);
  (*msg)->cause = STW_CAUSE_REQUESTED;
  date(*msg, row, wall_ms);
  return SQLITE_OK;
}

static int take_queued(struct list *list, sqlite3_stmt *row, uint64_t wall_ms) {
  const int64_t place = sqlite3_column_int64(row, 0);
  const uint64_t number = (uint64_t)place & STWI_SQL_NUMBER_MAX;
  if (place <= 0 || number == 0)
    return SQLITE_CORRUPT;
  struct stwi_msg *msg;
  const int code = take_row(list, row, wall_ms, &msg);
  if (code != SQLITE_OK)
    return code;
  msg->number = number;
  msg->lane = (uint8_t)((uint64_t)place >> 62);
  msg->state = STW_MESSAGE_QUEUED;
  return SQLITE_OK;
}

static bool find_state(const char *name, uint8_t *state) {
  static const stw_message_state parked[] = {STW_MESSAGE_HELD, STW_MESSAGE_DEAD,
                                             STW_MESSAGE_UNKNOWN};
  for (size_t i = 0; name != NULL && i < sizeof parked / sizeof parked[0]; i++) {
    *state = (uint8_t)parked[i];
    if (strcmp(name, stw_message_state_at(parked[i])->name) == 0)
      return true;
  }
  return false;
}

/* A cause of a later version reads as the host's wish. */
static uint16_t find_cause(const char *name) {
  const stw_cause_info *info;
  for (uint16_t i = 0; name != NULL && (info = stw_cause_at(i)) != NULL; i++) {
    if (strcmp(name, info->name) == 0)
      return (uint16_t)info->cause;
  }
  return STW_CAUSE_REQUESTED;
}

static int take_parked(struct list *list, sqlite3_stmt *row, uint64_t wall_ms) {
  const int64_t lane = sqlite3_column_int64(row, 0);
  uint8_t state;
  if (!is_between(lane, 0, STW_LANE_COUNT - 1) ||
      !find_state((const char *)sqlite3_column_text(row, 10), &state))
    return SQLITE_CORRUPT;
  struct stwi_msg *msg;
  const int code = take_row(list, row, wall_ms, &msg);
  if (code != SQLITE_OK)
    return code;
  msg->lane = (uint8_t)lane;
  msg->state = state;
  msg->cause = find_cause((const char *)sqlite3_column_text(row, 11));
  return SQLITE_OK;
}

static int read_all(sqlite3 *db, const char *text, struct list *list, uint64_t wall_ms,
                    int (*take)(struct list *, sqlite3_stmt *, uint64_t)) {
  sqlite3_stmt *rows = NULL;
  int code = sqlite3_prepare_v2(db, text, -1, &rows, NULL);
  while (code == SQLITE_OK && (code = sqlite3_step(rows)) == SQLITE_ROW)
    code = take(list, rows, wall_ms);
  sqlite3_finalize(rows);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int stwi_sql_read(sqlite3 *db, uint64_t wall_ms, struct stwi_restored *restored) {
  struct list queued, parked;
  list_of(&queued, &restored->chunks);
  list_of(&parked, &restored->parked);
  const int code = read_all(db, "SELECT " STWI_SQL_COLUMNS " FROM outbox ORDER BY place", &queued,
                            wall_ms, take_queued);
  if (code != SQLITE_OK)
    return code;
  return read_all(db, "SELECT " STWI_SQL_PARKED_COLUMNS " FROM parked ORDER BY rank", &parked,
                  wall_ms, take_parked);
}

/* ---- what is left of a damaged file ---- */

/* Rows from `from` on, until the damage; answers the last place that was read. */
static int64_t read_from(sqlite3 *db, int64_t from, struct list *list, uint64_t wall_ms,
                         bool *is_end) {
  sqlite3_stmt *rows = NULL;
  int64_t last = from - 1;
  int code = sqlite3_prepare_v2(
      db, "SELECT " STWI_SQL_COLUMNS " FROM outbox WHERE place >= ? ORDER BY place", -1, &rows,
      NULL);
  if (code == SQLITE_OK)
    code = sqlite3_bind_int64(rows, 1, from);
  while (code == SQLITE_OK && (code = sqlite3_step(rows)) == SQLITE_ROW) {
    last = sqlite3_column_int64(rows, 0);
    code = take_queued(list, rows, wall_ms);
    if (code == SQLITE_CORRUPT)
      code = SQLITE_OK; /* a row that cannot be: the next one may */
  }
  sqlite3_finalize(rows);
  *is_end = code == SQLITE_DONE || code == SQLITE_NOMEM;
  return last;
}

/* Steps over the damage in strides that double until something can be read again. */
static void salvage_queued(sqlite3 *db, struct list *list, uint64_t wall_ms) {
  int64_t at = 1, stride = 1;
  bool is_end = false;
  for (int tries = 0; tries < SALVAGE_TRIES && !is_end; tries++) {
    const int64_t last = read_from(db, at, list, wall_ms, &is_end);
    stride = last >= at ? 1 : 2 * stride;
    at = last >= at ? last : at;
    if (stride >= INT64_MAX / 4 || at > INT64_MAX - stride)
      return;
    at += stride;
  }
}

void stwi_sql_salvage(sqlite3 *db, uint64_t wall_ms, struct stwi_restored *restored) {
  struct list queued, parked;
  list_of(&queued, &restored->chunks);
  list_of(&parked, &restored->parked);
  salvage_queued(db, &queued, wall_ms);
  read_all(db, "SELECT " STWI_SQL_PARKED_COLUMNS " FROM parked ORDER BY rank", &parked, wall_ms,
           take_parked);
}

/* ---- meta ---- */

static bool take_bytes(sqlite3_stmt *row, int column, void *bytes, int size) {
  const void *blob = sqlite3_column_blob(row, column);
  if (blob == NULL || sqlite3_column_bytes(row, column) != size)
    return false;
  memcpy(bytes, blob, (size_t)size);
  return true;
}

static bool take_meta(sqlite3_stmt *row, struct stwi_sql_meta *meta) {
  struct stwi_session_saved *session = &meta->session;
  meta->stream = (uint64_t)sqlite3_column_int64(row, 0);
  meta->level =
      sqlite3_column_int(row, 1) == STWI_LEVEL_DURABLE ? STWI_LEVEL_DURABLE : STWI_LEVEL_PROCESS;
  meta->is_clean = sqlite3_column_int(row, 2) != 0;
  meta->is_sorted = sqlite3_column_int(row, 3) != 0;
  meta->last[STW_LANE_DATA] = (uint64_t)sqlite3_column_int64(row, 4);
  meta->last[STW_LANE_CONTROL] = (uint64_t)sqlite3_column_int64(row, 5);
  session->is_welcomed = sqlite3_column_int(row, 7) != 0;
  session->incarnation = (uint64_t)sqlite3_column_int64(row, 8);
  session->processed[STW_LANE_DATA] = (uint64_t)sqlite3_column_int64(row, 10);
  session->processed[STW_LANE_CONTROL] = (uint64_t)sqlite3_column_int64(row, 11);
  session->found_next[STW_LANE_DATA] = (uint64_t)sqlite3_column_int64(row, 12);
  session->found_next[STW_LANE_CONTROL] = (uint64_t)sqlite3_column_int64(row, 13);
  return take_bytes(row, 6, session->cid, sizeof session->cid) &&
         take_bytes(row, 9, session->token, sizeof session->token) &&
         meta->last[STW_LANE_DATA] < STWI_SQL_NUMBER_MAX &&
         meta->last[STW_LANE_CONTROL] < STWI_SQL_NUMBER_MAX &&
         session->found_next[STW_LANE_DATA] <= STWI_SQL_NUMBER_MAX &&
         session->found_next[STW_LANE_CONTROL] <= STWI_SQL_NUMBER_MAX && (meta->stream & 1) == 0;
}

/* The row of meta lags behind: see the writer. */
static int raise_last(sqlite3 *db, struct stwi_sql_meta *meta) {
  static const char *const texts[STW_LANE_COUNT] = {
      "SELECT ifnull(max(place), 0) FROM outbox WHERE place < 4611686018427387904",
      "SELECT ifnull(max(place), 0) FROM outbox WHERE place >= 4611686018427387904"};
  int code = SQLITE_OK;
  for (int lane = 0; lane < STW_LANE_COUNT && code == SQLITE_OK; lane++) {
    int64_t place = 0;
    code = stwi_sql_number(db, texts[lane], &place);
    const uint64_t number = place > 0 ? (uint64_t)place & STWI_SQL_NUMBER_MAX : 0;
    if (number >= STWI_SQL_NUMBER_MAX)
      return SQLITE_CORRUPT;
    if (number > meta->last[lane])
      meta->last[lane] = number;
  }
  return code;
}

int stwi_sql_read_meta(sqlite3 *db, struct stwi_sql_meta *meta) {
  sqlite3_stmt *row = NULL;
  int code = sqlite3_prepare_v2(
      db,
      "SELECT stream, level, is_clean, is_sorted, last_data, last_control, cid, is_welcomed, "
      "incarnation, token, processed_data, processed_control, found_data, "
      "found_control FROM meta WHERE one = 1",
      -1, &row, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(row);
  if (code == SQLITE_ROW)
    code = take_meta(row, meta) ? SQLITE_OK : SQLITE_CORRUPT;
  else if (code == SQLITE_DONE)
    code = SQLITE_CORRUPT;
  sqlite3_finalize(row);
  return code == SQLITE_OK ? raise_last(db, meta) : code;
}
