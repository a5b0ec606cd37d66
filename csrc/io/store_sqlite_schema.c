#include "io/store_sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 1000
#define CHECKPOINT_PAGES "256"
#define JOURNAL_BYTES "1048576"

#define MOVED_SQL "CREATE INDEX moved ON outbox(stream, admission) WHERE " STWI_SQL_IS_MOVED

#define META_SQL                                                                                   \
  "CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), stream INTEGER NOT NULL, "            \
  "level INTEGER NOT NULL, is_clean INTEGER NOT NULL, is_sorted INTEGER NOT NULL, "                \
  "last_data INTEGER NOT NULL, last_control INTEGER NOT NULL, cid BLOB NOT NULL, "                 \
  "is_welcomed INTEGER NOT NULL, incarnation INTEGER NOT NULL, token BLOB NOT NULL, "              \
  "processed_data INTEGER NOT NULL, processed_control INTEGER NOT NULL, "                          \
  "found_data INTEGER NOT NULL, found_control INTEGER NOT NULL) STRICT"

/* The statements as SQLite keeps them: a file with other ones is not used. */
static const struct {
  const char *name, *sql;
} objects[] = {
    {"messages", "CREATE VIEW messages AS SELECT place >> 62 AS lane, "
                 "place & 4611686018427387903 AS number, stream, admission, attempts, "
                 "admitted_ms, ends_ms, key, body FROM outbox"},
    {"meta", META_SQL},
    {"moved", MOVED_SQL},
    {"outbox", "CREATE TABLE outbox(place INTEGER PRIMARY KEY, stream INTEGER NOT NULL, "
               "admission INTEGER NOT NULL, guarantee INTEGER NOT NULL, "
               "is_text INTEGER NOT NULL, attempts INTEGER NOT NULL, "
               "admitted_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, key BLOB NOT NULL, "
               "body BLOB NOT NULL) STRICT"},
    {"parked", "CREATE TABLE parked(rank INTEGER PRIMARY KEY, lane INTEGER NOT NULL, "
               "stream INTEGER NOT NULL, admission INTEGER NOT NULL, guarantee INTEGER NOT NULL, "
               "is_text INTEGER NOT NULL, attempts INTEGER NOT NULL, "
               "admitted_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, key BLOB NOT NULL, "
               "body BLOB NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, "
               "UNIQUE(stream, admission)) STRICT"},
};

const struct stwi_sql_step stwi_sql_steps[] = {
    {MOVED_SQL "; ALTER TABLE meta RENAME TO meta_1; " META_SQL
               "; INSERT INTO meta SELECT *, 0, 0 FROM meta_1; DROP TABLE meta_1"}};
const uint32_t stwi_sql_version = 2;

/* ---- troubles ---- */

static bool is_space(int why) {
  return why == ENOSPC || why == EDQUOT || why == EFBIG;
}

static int last_errno(sqlite3_file *file) {
  int why = 0;
  if (file != NULL && file->pMethods != NULL)
    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &why);
  return why;
}

/* The errno behind a code.  A write of a COMMIT fails without leaving it in the handle; but the
 * files know. */
static int errno_of(sqlite3 *db, int code) {
  if (db == NULL || code != SQLITE_IOERR_WRITE)
    return db == NULL ? 0 : sqlite3_system_errno(db);
  sqlite3_file *main = NULL, *journal = NULL;
  sqlite3_file_control(db, NULL, SQLITE_FCNTL_FILE_POINTER, &main);
  sqlite3_file_control(db, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &journal);
  const int why = last_errno(journal);
  return why != 0 ? why : last_errno(main);
}

static bool is_permission(int why) {
  return why == EACCES || why == EPERM;
}

enum stwi_sql_trouble stwi_sql_trouble(sqlite3 *db, int code) {
  switch (code & 0xff) {
  case SQLITE_OK:
  case SQLITE_ROW:
  case SQLITE_DONE:
    return STWI_SQL_NONE;
  case SQLITE_FULL:
    return STWI_SQL_FULL;
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return STWI_SQL_BUSY;
  case SQLITE_NOMEM:
    return STWI_SQL_MEMORY;
  case SQLITE_IOERR:
    if (code == SQLITE_IOERR_NOMEM)
      return STWI_SQL_MEMORY;
    return code != SQLITE_IOERR_FSYNC && is_space(errno_of(db, code)) ? STWI_SQL_FULL
                                                                      : STWI_SQL_BROKEN;
  case SQLITE_CANTOPEN:
  case SQLITE_PERM:
  case SQLITE_READONLY:
  case SQLITE_AUTH:
    return STWI_SQL_BROKEN;
  default:
    return STWI_SQL_DAMAGED;
  }
}

stw_status stwi_sql_refuse(sqlite3 *db, int code, const char *path, char *detail) {
  const char *tail = stwi_sql_tail(path);
  const int why = errno_of(db, code);
  const char *text = why != 0 ? strerror(why) : sqlite3_errstr(code);
  switch (stwi_sql_trouble(db, code)) {
  case STWI_SQL_FULL:
    stwi_sql_say(detail, "%s: no space left for it: free some", tail);
    return STW_E_STORE;
  case STWI_SQL_BUSY:
    stwi_sql_say(detail, "%s: another program (sqlite3?) keeps it locked: end that", tail);
    return STW_E_LOCKED;
  case STWI_SQL_MEMORY:
    stwi_sql_say(detail, "%s: no memory to open it", tail);
    return STW_E_MEMORY;
  case STWI_SQL_DAMAGED:
    stwi_sql_say(detail, "%s: damaged (%s): open it with a conn to have it replaced", tail, text);
    return STW_E_STORE;
  default:
    if ((code & 0xff) == SQLITE_READONLY)
      text = "it cannot be written";
    if ((code & 0xff) == SQLITE_READONLY || is_permission(why))
      stwi_sql_say(detail, "%s: %s: chmod u+w it, what lies beside it, and its folder", tail, text);
    else
      stwi_sql_say(detail, "%s: %s: check the disk and the permissions", tail, text);
    return STW_E_STORE;
  }
}

/* ---- open ---- */

int stwi_sql_run(sqlite3 *db, const char *text) {
  return sqlite3_exec(db, text, NULL, NULL, NULL);
}

int stwi_sql_number(sqlite3 *db, const char *text, int64_t *number) {
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v2(db, text, -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(statement);
  if (code == SQLITE_ROW)
    *number = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return code == SQLITE_ROW ? SQLITE_OK : code == SQLITE_DONE ? SQLITE_CORRUPT : code;
}

static int guard(sqlite3 *db) {
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, BUSY_MS);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  return stwi_sql_run(db, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
                          "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON;");
}

static bool is_known(const char *name, const char *sql) {
  for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
    if (name != NULL && strcmp(name, objects[i].name) == 0)
      return strcmp(sql, objects[i].sql) == 0;
  }
  return false;
}

/* The tables are these and no others. */
static int check_objects(sqlite3 *db) {
  sqlite3_stmt *list = NULL;
  int code = sqlite3_prepare_v2(db, "SELECT name, sql FROM sqlite_schema", -1, &list, NULL);
  size_t known = 0;
  bool is_strange = false;
  while (code == SQLITE_OK && (code = sqlite3_step(list)) == SQLITE_ROW) {
    const char *sql = (const char *)sqlite3_column_text(list, 1);
    const bool is_ours = sql != NULL && is_known((const char *)sqlite3_column_text(list, 0), sql);
    is_strange |= sql != NULL && !is_ours; /* an index of a UNIQUE has no text */
    known += is_ours;
    code = SQLITE_OK;
  }
  sqlite3_finalize(list);
  if (code != SQLITE_DONE)
    return code;
  return is_strange || known != sizeof objects / sizeof objects[0] ? SQLITE_CORRUPT : SQLITE_OK;
}

static int check_version(sqlite3 *db, int64_t *version) {
  int64_t application = 0;
  int code = stwi_sql_number(db, "PRAGMA application_id", &application);
  if (code == SQLITE_OK && application != STWI_SQL_APPLICATION)
    return SQLITE_CORRUPT;
  if (code == SQLITE_OK)
    code = stwi_sql_number(db, "PRAGMA user_version", version);
  return code == SQLITE_OK && (*version < 1 || *version > stwi_sql_version) ? SQLITE_CORRUPT : code;
}

static int open_database(struct stwi_sql *sql, const char *name, int flags) {
  const int more = SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  *sql = (struct stwi_sql){0};
  return sqlite3_open_v2(name, &sql->db, flags | more, NULL);
}

static int check_database(struct stwi_sql *sql) {
  int64_t version = 0;
  int code = guard(sql->db);
  if (code == SQLITE_OK)
    code = check_version(sql->db, &version);
  if (code == SQLITE_OK && version == stwi_sql_version)
    code = check_objects(sql->db);
  return code;
}

int stwi_sql_attach(struct stwi_sql *sql, const char *path) {
  const int code = open_database(sql, path, SQLITE_OPEN_READWRITE);
  if (code == SQLITE_OK && sqlite3_db_readonly(sql->db, NULL) == 1)
    return SQLITE_READONLY;
  return code == SQLITE_OK ? check_database(sql) : code;
}

/* As a URI, in which SQLite is told that nobody writes to the file. */
static void name_immutable(const char *path, char *uri, size_t size) {
  size_t used = (size_t)snprintf(uri, size, "file:");
  for (; *path != '\0' && used + 20 < size; path++) {
    const bool is_special = strchr("%?#", *path) != NULL;
    used += (size_t)snprintf(uri + used, size - used, is_special ? "%%%02X" : "%c", *path);
  }
  snprintf(uri + used, size - used, "?immutable=1");
}

static int attach_immutable(struct stwi_sql *sql, const char *path) {
  char uri[3 * STWI_SQL_PATH_BYTES + 20];
  stwi_sql_detach(sql);
  name_immutable(path, uri, sizeof uri);
  const int code = open_database(sql, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  return code == SQLITE_OK ? check_database(sql) : code;
}

/* Beside a file that cannot be written SQLite would leave a WAL that cannot be written either; in a
 * folder that cannot be written there is no place for one. */
int stwi_sql_attach_to_read(struct stwi_sql *sql, const char *path, bool is_quiet) {
  int code = open_database(sql, path, SQLITE_OPEN_READWRITE);
  if (code == SQLITE_OK && is_quiet && sqlite3_db_readonly(sql->db, NULL) == 1)
    return attach_immutable(sql, path);
  if (code == SQLITE_OK)
    code = check_database(sql);
  if (is_quiet && ((code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN))
    return attach_immutable(sql, path);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "PRAGMA query_only=ON");
  if (code == SQLITE_OK && is_quiet)
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
  return code;
}

int stwi_sql_set_level(struct stwi_sql *sql, enum stwi_store_level level) {
  return stwi_sql_run(sql->db, level == STWI_LEVEL_DURABLE ? "PRAGMA synchronous=FULL"
                                                           : "PRAGMA synchronous=NORMAL");
}

int stwi_sql_accept(struct stwi_sql *sql) {
  int code = stwi_sql_set_level(sql, STWI_LEVEL_DURABLE);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=" JOURNAL_BYTES
                                 "; PRAGMA wal_autocheckpoint=" CHECKPOINT_PAGES);
  if (code == SQLITE_OK)
    sqlite3_db_config(sql->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
  return code;
}

void stwi_sql_detach(struct stwi_sql *sql) {
  sqlite3_stmt *const statements[] = {sql->put,  sql->settle, sql->remove,
                                      sql->park, sql->forget, sql->meta};
  for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
    sqlite3_finalize(statements[i]);
  sqlite3_close(sql->db);
  *sql = (struct stwi_sql){0};
}

/* ---- older files ---- */

static int back_up(struct stwi_sql *sql, const struct stwi_sql_place *place, int64_t version) {
  char suffix[40], path[STWI_SQL_PATH_BYTES];
  snprintf(suffix, sizeof suffix, ".backup-v%lld", (long long)version);
  if (stwi_sql_place_begin(place, suffix) != 0)
    return SQLITE_CANTOPEN;
  stwi_sql_place_name(place, suffix, path);
  sqlite3_stmt *copy = NULL;
  int code = sqlite3_prepare_v2(sql->db, "VACUUM INTO ?1", -1, &copy, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_bind_text(copy, 1, path, -1, SQLITE_STATIC);
  if (code == SQLITE_OK)
    code = sqlite3_step(copy);
  sqlite3_finalize(copy);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

int stwi_sql_migrate(struct stwi_sql *sql, const struct stwi_sql_place *place,
                     const struct stwi_sql_step *steps, uint32_t version) {
  int64_t found = 0;
  int code = stwi_sql_number(sql->db, "PRAGMA user_version", &found);
  if (code != SQLITE_OK || found >= version)
    return code;
  code = back_up(sql, place, found);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "BEGIN IMMEDIATE");
  for (int64_t i = found; i < version && code == SQLITE_OK; i++)
    code = stwi_sql_run(sql->db, steps[i - 1].text);
  char text[40];
  snprintf(text, sizeof text, "PRAGMA user_version=%u", (unsigned)version);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, text);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "COMMIT");
  if (code != SQLITE_OK)
    stwi_sql_run(sql->db, "ROLLBACK");
  return code;
}

/* ---- a new file ---- */

static int write_schema(sqlite3 *db) {
  char text[120];
  snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%u",
           STWI_SQL_APPLICATION, (unsigned)stwi_sql_version);
  int code = stwi_sql_run(db, text);
  for (size_t i = sizeof objects / sizeof objects[0]; i > 0 && code == SQLITE_OK; i--)
    code = stwi_sql_run(db, objects[i - 1].sql);
  if (code == SQLITE_OK)
    code = stwi_sql_run(db,
                        "INSERT INTO meta VALUES(1, 0, 0, 1, 1, 0, 0, x'', 0, 0, x'', 0, 0, 0, 0)");
  return code;
}

/* The file counts only when it is whole (.ready), so its own journal need not survive anything. */
int stwi_sql_begin_new(struct stwi_sql *sql, const struct stwi_sql_place *place,
                       const struct stwi_sql_meta *meta) {
  char path[STWI_SQL_PATH_BYTES];
  *sql = (struct stwi_sql){0};
  const int why = stwi_sql_place_begin(place, ".new");
  if (why != 0)
    return is_space(why) ? SQLITE_FULL : SQLITE_CANTOPEN;
  stwi_sql_place_name(place, ".new", path);
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
  int code = sqlite3_open_v2(path, &sql->db, flags | SQLITE_OPEN_PRIVATECACHE, NULL);
  if (code == SQLITE_OK)
    code = guard(sql->db);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=FULL; BEGIN");
  if (code == SQLITE_OK)
    code = write_schema(sql->db);
  if (code == SQLITE_OK)
    code = stwi_sql_prepare(sql);
  return code == SQLITE_OK ? stwi_sql_write_meta(sql, meta) : code;
}

/* A WAL of the old file must never meet the new one. */
static int take_place(const struct stwi_sql_place *place) {
  int why = stwi_sql_place_remove(place, "-wal");
  if (why == 0)
    why = stwi_sql_place_remove(place, "-shm");
  if (why == 0)
    why = stwi_sql_place_sync(place);
  if (why == 0)
    why = stwi_sql_place_rename(place, ".ready", "");
  if (why == 0)
    why = stwi_sql_place_sync(place);
  return why == 0 ? SQLITE_OK : SQLITE_IOERR;
}

int stwi_sql_finish_new(struct stwi_sql *sql, const struct stwi_sql_place *place) {
  int code = stwi_sql_run(sql->db, "COMMIT");
  if (code != SQLITE_OK)
    return code;
  stwi_sql_detach(sql);
  if (stwi_sql_place_rename(place, ".new", ".ready") != 0 || stwi_sql_place_sync(place) != 0)
    return SQLITE_IOERR;
  return take_place(place);
}

int stwi_sql_tidy_new(const struct stwi_sql_place *place) {
  if (stwi_sql_place_remove(place, ".new") != 0)
    return SQLITE_IOERR;
  return stwi_sql_place_has(place, ".ready") ? take_place(place) : SQLITE_OK;
}
