#include "io/store_sqlite.h"

#include "io/clock.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define QUICK_CHECK_BYTES (64ll << 20) /* larger files are checked by being read */

/* ---- one file ---- */

uint64_t stwi_sql_count(const struct stwi_chunk *chunks) {
  uint64_t count = 0;
  for (; chunks != NULL; chunks = chunks->next)
    count += chunks->count;
  return count;
}

static void drop_messages(struct stwi_restored *restored) {
  stwi_chunk_free_list(restored->chunks);
  stwi_chunk_free_list(restored->parked);
  restored->chunks = restored->parked = NULL;
}

static int check_quickly(sqlite3 *db) {
  int64_t pages = 0, bytes = 0;
  int code = stwi_sql_number(db, "PRAGMA page_count", &pages);
  if (code == SQLITE_OK)
    code = stwi_sql_number(db, "PRAGMA page_size", &bytes);
  if (code != SQLITE_OK || pages * bytes > QUICK_CHECK_BYTES)
    return code;
  sqlite3_stmt *check = NULL;
  code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &check, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(check);
  const char *answer = code == SQLITE_ROW ? (const char *)sqlite3_column_text(check, 0) : NULL;
  if (code == SQLITE_ROW)
    code = answer != NULL && strcmp(answer, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
  sqlite3_finalize(check);
  return code;
}

/* Marks the file as in use and decides about what may have been written. */
static int begin_use(struct stwi_sql *sql, struct stwi_sql_meta *meta,
                     struct stwi_restored *restored) {
  restored->is_unclean = !meta->is_clean;
  restored->may_lag = !meta->is_clean && meta->level == STWI_LEVEL_PROCESS;
  int code = stwi_sql_run(sql->db, "BEGIN IMMEDIATE");
  if (code == SQLITE_OK && !meta->is_sorted)
    code = stwi_sql_sort(sql->db, !meta->is_clean);
  meta->is_clean = meta->is_sorted = false;
  if (code == SQLITE_OK)
    code = stwi_sql_write_meta(sql, meta);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "COMMIT");
  return code;
}

static int use(struct stwi_sql *sql, const struct stwi_sql_place *place, struct stwi_sql_meta *meta,
               struct stwi_restored *restored) {
  struct stwi_sql_meta found;
  int code = stwi_sql_attach(sql, place->path);
  if (code == SQLITE_OK)
    code = stwi_sql_migrate(sql, place, stwi_sql_steps, stwi_sql_version);
  if (code == SQLITE_OK)
    code = check_quickly(sql->db);
  if (code == SQLITE_OK)
    code = stwi_sql_read_meta(sql->db, &found);
  if (code == SQLITE_OK)
    code = stwi_sql_prepare(sql);
  if (code == SQLITE_OK)
    code = stwi_sql_accept(sql);
  if (code != SQLITE_OK)
    return code;
  const enum stwi_store_level level = meta->level;
  *meta = found;
  const bool was_clean = found.is_clean, lags = found.level == STWI_LEVEL_PROCESS;
  meta->level = level;
  code = begin_use(sql, meta, restored);
  restored->is_unclean = !was_clean;
  restored->may_lag = !was_clean && lags;
  return code == SQLITE_OK ? stwi_sql_read(sql->db, stwi_clock_wall_ms(), restored) : code;
}

static int begin_file(struct stwi_sql *sql, const struct stwi_sql_place *place,
                      struct stwi_sql_meta *meta, struct stwi_restored *salvaged) {
  int code = stwi_sql_begin_new(sql, place, meta);
  uint64_t count = 0;
  const uint64_t wall_ms = stwi_clock_wall_ms();
  if (code == SQLITE_OK && salvaged != NULL) {
    code = stwi_sql_add(sql, meta, salvaged->chunks, 0, wall_ms, &count);
    if (code == SQLITE_OK)
      code = stwi_sql_add(sql, meta, salvaged->parked, 0, wall_ms, &count);
    if (code == SQLITE_OK)
      code = stwi_sql_sort(sql->db, true);
  }
  return code == SQLITE_OK ? stwi_sql_finish_new(sql, place) : code;
}

/* The damaged file keeps its bytes under another name, its WAL beside it. */
static int move_aside(const struct stwi_sql_place *place, char *suffix, size_t size) {
  char wal[64];
  snprintf(suffix, size, ".damaged-%" PRIu64, stwi_clock_wall_ms());
  snprintf(wal, sizeof wal, "%s-wal", suffix);
  stwi_sql_place_remove(place, "-shm");
  if (stwi_sql_place_has(place, "-wal") && stwi_sql_place_rename(place, "-wal", wal) != 0)
    return SQLITE_IOERR;
  if (stwi_sql_place_rename(place, "", suffix) != 0 || stwi_sql_place_sync(place) != 0)
    return SQLITE_IOERR;
  return SQLITE_OK;
}

static int replace(struct stwi_sql *sql, const struct stwi_sql_place *place,
                   struct stwi_sql_meta *meta, char *detail) {
  char suffix[40], path[STWI_SQL_PATH_BYTES];
  struct stwi_restored salvaged = {0};
  int code = move_aside(place, suffix, sizeof suffix);
  if (code != SQLITE_OK)
    return code;
  stwi_sql_place_name(place, suffix, path);
  struct stwi_sql damaged;
  stwi_sql_attach(&damaged, path);
  stwi_sql_salvage(damaged.db, stwi_clock_wall_ms(), &salvaged);
  stwi_sql_detach(&damaged);
  code = begin_file(sql, place, meta, &salvaged);
  stwi_sql_say(detail,
               "%s: damaged: kept as %s%s, a new file begun with the %" PRIu64
               " messages that could be read",
               stwi_sql_tail(place->path), place->name, suffix,
               stwi_sql_count(salvaged.chunks) + stwi_sql_count(salvaged.parked));
  drop_messages(&salvaged);
  return code;
}

static stw_status refuse_kind(const struct stwi_sql_place *place, enum stwi_sql_kind kind,
                              uint32_t version, char *detail) {
  const char *path = stwi_sql_tail(place->path);
  if (kind == STWI_SQL_NEWER)
    stwi_sql_say(detail, "%s: of version %u, this steadwire reads up to %u: use a newer one", path,
                 (unsigned)version, (unsigned)stwi_sql_version);
  else
    stwi_sql_say(detail, "%s: not an outbox file: choose another path", path);
  return STW_E_FORMAT;
}

static stw_status enter(struct stwi_sql *sql, const struct stwi_sql_place *place,
                        struct stwi_sql_meta *meta, struct stwi_restored *restored,
                        stw_store_health *health, char *detail) {
  enum stwi_sql_kind kind;
  uint32_t version = 0;
  int code = stwi_sql_tidy_new(place);
  if (code != SQLITE_OK)
    return stwi_sql_refuse(NULL, code, place->path, detail);
  const stw_status status = stwi_sql_place_probe(place, &kind, &version, detail);
  if (status != STW_OK)
    return status;
  if (kind == STWI_SQL_NEWER || kind == STWI_SQL_FOREIGN)
    return refuse_kind(place, kind, version, detail);
  if (kind == STWI_SQL_MISSING)
    code = begin_file(sql, place, meta, NULL);
  if (code == SQLITE_OK)
    code = use(sql, place, meta, restored);
  if (stwi_sql_trouble(sql->db, code) == STWI_SQL_DAMAGED) {
    stwi_sql_detach(sql);
    drop_messages(restored);
    code = replace(sql, place, meta, detail);
    if (code == SQLITE_OK)
      code = use(sql, place, meta, restored);
    restored->is_unclean = restored->may_lag = true;
    *health = STW_STORE_MOVED_ASIDE;
  }
  return code == SQLITE_OK ? STW_OK : stwi_sql_refuse(sql->db, code, place->path, detail);
}

stw_status stwi_sql_enter(struct stwi_sql *sql, const struct stwi_sql_place *place,
                          struct stwi_sql_meta *meta, struct stwi_restored *restored,
                          stw_store_health *health, char *detail) {
  *sql = (struct stwi_sql){0};
  *health = STW_STORE_OK;
  detail[0] = '\0';
  const stw_status status = enter(sql, place, meta, restored, health, detail);
  if (status != STW_OK) {
    if (sql->db != NULL)
      sqlite3_db_config(sql->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    stwi_sql_detach(sql);
    drop_messages(restored);
    return status;
  }
  const uint64_t count = stwi_sql_count(restored->chunks) + stwi_sql_count(restored->parked);
  if (*health == STW_STORE_OK && count > 0) {
    *health = STW_STORE_RECOVERED;
    stwi_sql_say(detail, "%s: %" PRIu64 " messages of an earlier process",
                 stwi_sql_tail(place->path), count);
  }
  return STW_OK;
}

/* ---- a folder ---- */

#define NAME_PREFIX "outbox-"
#define NAME_SUFFIX ".db"

/* An opening in progress. */
struct opening {
  const struct stwi_store_options *options;
  struct stwi_sql sql;
  struct stwi_sql_place place;
  struct stwi_sql_meta meta;
  struct stwi_restored *restored;
  stw_store_health *health;
  char *detail;
};

static void fresh_meta(const struct stwi_store_options *options, struct stwi_sql_meta *meta) {
  *meta = (struct stwi_sql_meta){.stream = options->new_stream & ~1ull,
                                 .level = options->level,
                                 .is_clean = true,
                                 .is_sorted = true};
  memcpy(meta->session.cid, options->new_cid, sizeof meta->session.cid);
}

static bool is_outbox_name(const struct dirent *entry) {
  const size_t length = strlen(entry->d_name), prefix = strlen(NAME_PREFIX);
  const size_t suffix = strlen(NAME_SUFFIX);
  return length > prefix + suffix && strncmp(entry->d_name, NAME_PREFIX, prefix) == 0 &&
         strcmp(entry->d_name + length - suffix, NAME_SUFFIX) == 0;
}

static int filter_name(const struct dirent *entry) {
  return is_outbox_name(entry);
}

/* Claims the file `name` of the folder if its owner is dead and it is still there. */
static bool claim(const struct opening *opening, const char *name, struct stwi_sql_place *place) {
  char path[STWI_SQL_PATH_BYTES], detail[STWI_SQL_DETAIL_BYTES];
  const int length = snprintf(path, sizeof path, "%s%s", opening->options->path, name);
  if (length < 0 || (size_t)length >= sizeof path ||
      stwi_sql_place_open(place, path, STWI_SQL_OWN, detail) != STW_OK)
    return false;
  if (stwi_sql_place_has(place, "") || stwi_sql_place_has(place, ".ready"))
    return true;
  stwi_sql_place_close(place);
  return false;
}

/* The first dead owner's file goes on as ours: its session and its numbers live on. */
static bool take_over(struct opening *opening, const char *name) {
  if (!claim(opening, name, &opening->place))
    return false;
  fresh_meta(opening->options, &opening->meta);
  if (stwi_sql_enter(&opening->sql, &opening->place, &opening->meta, opening->restored,
                     opening->health, opening->detail) == STW_OK)
    return true;
  stwi_sql_place_close(&opening->place);
  return false;
}

static int copy_messages(struct opening *opening, struct stwi_restored *found, uint64_t *count) {
  const stwi_time now = 0; /* what was read is not stamped: its age is in waited_ns */
  const uint64_t wall_ms = stwi_clock_wall_ms();
  struct stwi_sql *sql = &opening->sql;
  int code = stwi_sql_run(sql->db, "BEGIN IMMEDIATE");
  if (code == SQLITE_OK)
    code = stwi_sql_add(sql, &opening->meta, found->chunks, now, wall_ms, count);
  if (code == SQLITE_OK)
    code = stwi_sql_add(sql, &opening->meta, found->parked, now, wall_ms, count);
  if (code == SQLITE_OK)
    code = stwi_sql_run(sql->db, "COMMIT");
  if (code != SQLITE_OK)
    stwi_sql_run(sql->db, "ROLLBACK");
  return code;
}

/* A crash between commit and removal leaves both files: the ids tell what is there already. */
static void adopt(struct opening *opening, const char *name) {
  struct stwi_sql_place place;
  if (!claim(opening, name, &place))
    return;
  char detail[STWI_SQL_DETAIL_BYTES];
  struct stwi_sql sql;
  struct stwi_sql_meta meta;
  struct stwi_restored found = {0};
  stw_store_health health;
  uint64_t count = 0;
  fresh_meta(opening->options, &meta);
  if (stwi_sql_enter(&sql, &place, &meta, &found, &health, detail) == STW_OK &&
      copy_messages(opening, &found, &count) == SQLITE_OK) {
    opening->restored->adopted += count;
    stwi_sql_detach(&sql);
    static const char *const files[] = {"", "-wal", "-shm", ".reserve"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
      stwi_sql_place_remove(&place, files[i]);
    stwi_sql_place_sync(&place);
  }
  stwi_sql_detach(&sql);
  drop_messages(&found);
  stwi_sql_place_close(&place);
}

static stw_status open_at(struct opening *opening, const char *path) {
  stw_status status = stwi_sql_place_open(&opening->place, path, STWI_SQL_OWN, opening->detail);
  if (status != STW_OK)
    return status;
  fresh_meta(opening->options, &opening->meta);
  status = stwi_sql_enter(&opening->sql, &opening->place, &opening->meta, opening->restored,
                          opening->health, opening->detail);
  if (status != STW_OK)
    stwi_sql_place_close(&opening->place);
  return status;
}

static stw_status begin_own(struct opening *opening) {
  char path[STWI_SQL_PATH_BYTES];
  const int length = snprintf(path, sizeof path, "%s" NAME_PREFIX "%016" PRIx64 NAME_SUFFIX,
                              opening->options->path, stwi_clock_random());
  if (length < 0 || (size_t)length >= sizeof path) {
    stwi_sql_say(opening->detail, "%s: too long a path", stwi_sql_tail(opening->options->path));
    return STW_E_STORE;
  }
  return open_at(opening, path);
}

static void adopt_all(struct opening *opening, struct dirent **names, int count, int first) {
  struct stwi_restored *restored = opening->restored;
  restored->adopted = stwi_sql_count(restored->chunks) + stwi_sql_count(restored->parked);
  const uint64_t own = restored->adopted;
  for (int i = first; i < count; i++)
    adopt(opening, names[i]->d_name);
  if (restored->adopted == 0)
    return;
  if (*opening->health != STW_STORE_MOVED_ASIDE) {
    *opening->health = STW_STORE_ADOPTED;
    stwi_sql_say(opening->detail, "%s: %" PRIu64 " messages of processes that have died",
                 stwi_sql_tail(opening->options->path), restored->adopted);
  }
  if (restored->adopted == own)
    return;
  drop_messages(restored);
}

static stw_status open_folder(struct opening *opening) {
  const char *path = opening->options->path;
  if (mkdir(path, 0700) != 0 && errno != EEXIST) {
    stwi_sql_say(opening->detail, "%s: %s", stwi_sql_tail(path), strerror(errno));
    return STW_E_STORE;
  }
  struct dirent **names = NULL;
  int count = scandir(path, &names, filter_name, alphasort);
  if (count < 0) {
    stwi_sql_say(opening->detail, "%s: %s", stwi_sql_tail(path), strerror(errno));
    return errno == ENOMEM ? STW_E_MEMORY : STW_E_STORE;
  }
  int next = 0;
  bool is_open = false;
  while (next < count && !is_open)
    is_open = take_over(opening, names[next++]->d_name);
  const stw_status status = is_open ? STW_OK : begin_own(opening);
  if (status == STW_OK)
    adopt_all(opening, names, count, next);
  for (int i = 0; i < count; i++)
    free(names[i]);
  free(names);
  return status;
}

/* ---- open ---- */

/* Fills what the caller gets beside the messages, and those again if a folder added some. */
static stw_status finish(struct opening *opening) {
  struct stwi_restored *restored = opening->restored;
  int code = SQLITE_OK;
  if (restored->adopted > 0 && restored->chunks == NULL && restored->parked == NULL)
    code = stwi_sql_read(opening->sql.db, stwi_clock_wall_ms(), restored);
  if (code == SQLITE_OK)
    code = stwi_sql_set_level(&opening->sql, opening->options->level);
  if (code != SQLITE_OK)
    return stwi_sql_refuse(opening->sql.db, code, opening->place.path, opening->detail);
  restored->has_store = true;
  restored->session = opening->meta.session;
  memcpy(restored->last_number, opening->meta.last, sizeof restored->last_number);
  return STW_OK;
}

stw_status stwi_store_sqlite_open(const struct stwi_store_options *options,
                                  struct stwi_store *store, struct stwi_restored *restored,
                                  uint64_t *stream, stw_store_health *health, char *detail) {
  *store = (struct stwi_store){0};
  *restored = (struct stwi_restored){0};
  *health = STW_STORE_FAILED;
  detail[0] = '\0';
  struct opening opening = {
      .options = options, .restored = restored, .health = health, .detail = detail};
  const size_t length = strlen(options->path);
  const bool is_folder = length > 0 && options->path[length - 1] == '/';
  stw_status status = is_folder ? open_folder(&opening) : open_at(&opening, options->path);
  if (status == STW_OK) {
    status = finish(&opening);
    if (status == STW_OK)
      status = stwi_sql_writer_start(options, &opening.sql, &opening.place, &opening.meta, store,
                                     detail);
    if (status != STW_OK) {
      stwi_sql_detach(&opening.sql);
      stwi_sql_place_close(&opening.place);
    }
  }
  if (status != STW_OK) {
    drop_messages(restored);
    *health = STW_STORE_FAILED;
    return status;
  }
  *stream = opening.meta.stream;
  return STW_OK;
}
