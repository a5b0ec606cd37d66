#include "io/store_sqlite.h"

#include "io/clock.h"

#include <string.h>

static void find_fault(stw_outbox_report *report, const char *text) {
  if (report->is_sound)
    stwi_sql_say(report->detail, "%s", text);
  report->is_sound = false;
}

static int check_pages(sqlite3 *db, stw_outbox_report *report) {
  sqlite3_stmt *row = NULL;
  int code = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &row, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(row);
  if (code == SQLITE_ROW) {
    const char *text = (const char *)sqlite3_column_text(row, 0);
    if (text == NULL || strcmp(text, "ok") != 0)
      find_fault(report, text == NULL ? "the integrity check failed" : text);
  }
  sqlite3_finalize(row);
  return code == SQLITE_ROW ? SQLITE_OK : code;
}

static void count_queued(const struct stwi_restored *found, stw_outbox_report *report) {
  struct stwi_msg *msg = stwi_chunks_first(found->chunks);
  for (; msg != NULL; msg = stwi_chunks_after(msg)) {
    report->queued[msg->lane]++;
    report->queued_bytes[msg->lane] += msg->size;
  }
}

static void count_parked(const struct stwi_restored *found, stw_outbox_report *report) {
  struct stwi_msg *msg = stwi_chunks_first(found->parked);
  for (; msg != NULL; msg = stwi_chunks_after(msg)) {
    report->held += msg->state == STW_MESSAGE_HELD;
    report->dead += msg->state == STW_MESSAGE_DEAD;
    report->unknown += msg->state == STW_MESSAGE_UNKNOWN;
  }
}

static int check_ids(sqlite3 *db, stw_outbox_report *report) {
  int64_t twice = 0;
  const int code = stwi_sql_number(
      db,
      "SELECT count(*) FROM (SELECT 1 FROM (SELECT stream, admission FROM outbox UNION ALL "
      "SELECT stream, admission FROM parked) GROUP BY stream, admission HAVING count(*) > 1)",
      &twice);
  if (code == SQLITE_OK && twice > 0)
    find_fault(report, "two messages have the same id");
  return code;
}

static int check_rows(sqlite3 *db, stw_outbox_report *report) {
  struct stwi_restored found = {0};
  const int code = stwi_sql_read(db, stwi_clock_wall_ms(), &found);
  if (stwi_sql_trouble(db, code) == STWI_SQL_DAMAGED)
    find_fault(report, "a message that cannot be: its number, words or text are wrong");
  count_queued(&found, report);
  count_parked(&found, report);
  stwi_chunk_free_list(found.chunks);
  stwi_chunk_free_list(found.parked);
  return report->is_sound ? code : SQLITE_OK;
}

stw_status stwi_store_file_check(struct stwi_store_file *file, stw_outbox_report *report,
                                 char *detail) {
  sqlite3 *db = file->sql.db;
  *report = (stw_outbox_report){.struct_size = sizeof *report,
                                .version = stwi_sql_version,
                                .is_sound = true,
                                .file_bytes = stwi_sql_place_size(&file->place, "") +
                                              stwi_sql_place_size(&file->place, "-wal")};
  struct stwi_sql_meta meta = {0};
  int code = check_pages(db, report);
  if (code == SQLITE_OK)
    code = stwi_sql_read_meta(db, &meta);
  if (code == SQLITE_OK)
    code = check_rows(db, report);
  if (code == SQLITE_OK)
    code = check_ids(db, report);
  memcpy(report->last_number, meta.last, sizeof report->last_number);
  report->was_clean = meta.is_clean;
  if (stwi_sql_trouble(db, code) == STWI_SQL_DAMAGED) {
    find_fault(report, sqlite3_errmsg(db));
    code = SQLITE_OK;
  }
  return stwi_sql_file_answer(file, code, detail);
}
