/* store_sqlite.h: the pieces of the outbox file, for store_sqlite*.c only.
 *
 *   place   where the file lies: who may use it, its lock, the files beside it
 *   schema  its tables, how one is begun, opened and moved aside
 *   read    rows to messages, also of a damaged file
 *   write   records to rows
 *   writer  the thread that commits
 *   file    a file at rest: opened and looked into
 *   edit    ... changed
 *   check   ... checked
 *
 * Beside <path> lie, while it is used: -wal and -shm (SQLite's), .lock, .reserve (64 KiB to give up
 * when the disk is full), .new (being written), .ready (complete, about to take the path's place).
 */
#ifndef STWI_IO_STORE_SQLITE_H
#define STWI_IO_STORE_SQLITE_H

#include "core/chunk.h"
#include "io/store.h"

#include <sqlite3.h>
#include <sys/types.h>

#define STWI_SQL_APPLICATION 0x53545744 /* "STWD" */
#define STWI_SQL_DETAIL_BYTES 200
#define STWI_SQL_PATH_BYTES 1024
#define STWI_SQL_NUMBER_MAX ((1ull << 62) - 1) /* a lane is the two bits above */

/* ---- place ---- */

struct stwi_sql_use;

struct stwi_sql_place {
  char path[STWI_SQL_PATH_BYTES]; /* the real folder and the name */
  const char *name;               /* in path */
  int folder;                     /* descriptor, -1: closed */
  struct stwi_sql_use *use;       /* entry of the process's list */
};

enum stwi_sql_claim {
  STWI_SQL_READ, /* among other readers of this process; no lock */
  STWI_SQL_EDIT, /* alone in this process, locked against others */
  STWI_SQL_OWN   /* as EDIT; the refusal inside this process is E_LOCKED, too */
};

enum stwi_sql_kind { STWI_SQL_MISSING, STWI_SQL_OURS, STWI_SQL_NEWER, STWI_SQL_FOREIGN };

/* Checks folder, file and the files beside it, registers the use and locks.  E_LOCKED, E_BUSY,
 * E_STORE, E_MEMORY; nothing is held after a refusal. */
stw_status stwi_sql_place_open(struct stwi_sql_place *place, const char *path,
                               enum stwi_sql_claim claim, char *detail);
/* Unlocks.  Idempotent. */
void stwi_sql_place_close(struct stwi_sql_place *place);

/* By the first bytes of the file, which is not opened by SQLite for that. */
stw_status stwi_sql_place_probe(const struct stwi_sql_place *place, enum stwi_sql_kind *kind,
                                uint32_t *version, char *detail);
/* Whether <path><suffix> is there. */
bool stwi_sql_place_has(const struct stwi_sql_place *place, const char *suffix);
/* Its bytes; 0 where there is none. */
uint64_t stwi_sql_place_size(const struct stwi_sql_place *place, const char *suffix);
void stwi_sql_place_name(const struct stwi_sql_place *place, const char *suffix, char *path);
/* Of the files beside it and of the file itself (""); 0 or an errno. */
int stwi_sql_place_remove(const struct stwi_sql_place *place, const char *suffix);
int stwi_sql_place_rename(const struct stwi_sql_place *place, const char *from, const char *to);
int stwi_sql_place_sync(const struct stwi_sql_place *place);
/* An empty file, ours alone; an older one of that name is removed. */
int stwi_sql_place_begin(const struct stwi_sql_place *place, const char *suffix);
/* Makes the reserve; false where there is no space for it. */
bool stwi_sql_place_reserve(const struct stwi_sql_place *place);

/* Counts the forks that led to this process: a store of another count is dead. */
unsigned stwi_sql_forks(void);

/* ---- text ---- */

void stwi_sql_say(char *detail, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The end of a path that is too long for a sentence. */
const char *stwi_sql_tail(const char *path);

/* ---- schema ---- */

struct stwi_sql_meta {
  uint64_t stream;
  uint64_t last[STW_LANE_COUNT];
  struct stwi_session_saved session;
  enum stwi_store_level level; /* of its last user */
  bool is_clean;               /* its last user closed it */
  bool is_sorted; /* messages that may have been written are parked already, although unclean */
};

struct stwi_sql {
  sqlite3 *db; /* NULL: closed */
  sqlite3_stmt *put, *settle, *remove, *park, *forget, *meta;
};

/* What a failed call of SQLite means. */
enum stwi_sql_trouble {
  STWI_SQL_NONE,
  STWI_SQL_FULL,    /* no space, quota or file size; the handle goes on */
  STWI_SQL_BUSY,    /* another program has locked it; the handle goes on */
  STWI_SQL_MEMORY,  /* likewise */
  STWI_SQL_DAMAGED, /* the file is no good */
  STWI_SQL_BROKEN   /* the disk is no good: never this handle again */
};
enum stwi_sql_trouble stwi_sql_trouble(sqlite3 *db, int code);
/* The status and the sentence for it. */
stw_status stwi_sql_refuse(sqlite3 *db, int code, const char *path, char *detail);

/* Opens with all guards up and checks version and tables; SQLite's code, READONLY for a
 * file that cannot be written.  The handle does not write when it is closed until stwi_sql_accept.
 */
int stwi_sql_attach(struct stwi_sql *sql, const char *path);
/* The same, to be read only.  SQLite makes a WAL in order to read; `is_quiet` says that there was
 * nothing in one before, so that it is removed in the end, or, where the file cannot be written,
 * not made at all. */
int stwi_sql_attach_to_read(struct stwi_sql *sql, const char *path, bool is_quiet);
/* To be written from now on: WAL, synced at every commit, nothing left beside it at the end. */
int stwi_sql_accept(struct stwi_sql *sql);
int stwi_sql_set_level(struct stwi_sql *sql, enum stwi_store_level level);
void stwi_sql_detach(struct stwi_sql *sql);
/* Runs statements without results. */
int stwi_sql_run(sqlite3 *db, const char *text);
/* One number; SQLite's code. */
int stwi_sql_number(sqlite3 *db, const char *text, int64_t *number);

/* Each step brings the schema from version i to i + 1, the last one to the version of now. */
struct stwi_sql_step {
  const char *text;
};
extern const struct stwi_sql_step stwi_sql_steps[];
extern const uint32_t stwi_sql_version;
/* Brings an older file up, in one transaction, after a copy to <path>.backup-v<version>. */
int stwi_sql_migrate(struct stwi_sql *sql, const struct stwi_sql_place *place,
                     const struct stwi_sql_step *steps, uint32_t version);

/* Begins <path>.new with an open transaction in it, in which the caller writes what it has. */
int stwi_sql_begin_new(struct stwi_sql *sql, const struct stwi_sql_place *place,
                       const struct stwi_sql_meta *meta);
/* Commits and closes it and puts it in the path's place; also true after a loss of power at any
 * point: either the old or the new file is there. SQLite's code. */
int stwi_sql_finish_new(struct stwi_sql *sql, const struct stwi_sql_place *place);
/* Ends what a process has left half done. */
int stwi_sql_tidy_new(const struct stwi_sql_place *place);

/* ---- read ---- */

int stwi_sql_read_meta(sqlite3 *db, struct stwi_sql_meta *meta);
/* All messages; those of the two tables in their orders.  Appends to the lists of `restored`.
 * SQLITE_CORRUPT for a row that cannot be. */
int stwi_sql_read(sqlite3 *db, uint64_t wall_ms, struct stwi_restored *restored);
/* What can be read of a damaged file; bounded tries. */
void stwi_sql_salvage(sqlite3 *db, uint64_t wall_ms, struct stwi_restored *restored);
/* Rows of outbox whose id does not name their place; they have an index by id. */
#define STWI_SQL_IS_MOVED                                                                          \
  "(admission <> (place & 4611686018427387903) OR (stream & 1) <> (place >> 62))"
#define STWI_SQL_COLUMNS                                                                           \
  "place, stream, admission, guarantee, is_text, attempts, admitted_ms, ends_ms, key, body"
#define STWI_SQL_PARKED_COLUMNS                                                                    \
  "lane, stream, admission, guarantee, is_text, attempts, admitted_ms, ends_ms, key, body, state," \
  " cause"

/* ---- write ---- */

/* A change as it lies in a batch; key and body follow it. */
struct stwi_sql_record {
  uint64_t serial, number;
  stw_message_id id;
  uint64_t admitted_ms, ends_ms; /* wall clock; ends 0: never */
  uint32_t size, attempts;
  uint16_t cause;
  uint8_t op, lane, key_size, is_text, guarantee, state;
};

/* Fills the record for a message, without key and body. */
void stwi_sql_record_of(struct stwi_sql_record *record, const struct stwi_msg *msg, stwi_time now,
                        uint64_t wall_ms);
int stwi_sql_prepare(struct stwi_sql *sql);
int stwi_sql_apply(struct stwi_sql *sql, const struct stwi_sql_record *record);
int stwi_sql_write_meta(struct stwi_sql *sql, const struct stwi_sql_meta *meta);
/* Messages at_most_once go from their lanes to the parked ones, as UNKNOWN: all that may have been
 * written (of an unclean file), or those that are known to have been. */
int stwi_sql_sort(sqlite3 *db, bool is_unclean);
/* Adds messages at the ends of their lanes (those with a number) or parked, unless their id is
 * there; *count says how many were new. In the caller's transaction. */
int stwi_sql_add(struct stwi_sql *sql, struct stwi_sql_meta *meta, struct stwi_chunk *chunks,
                 stwi_time now, uint64_t wall_ms, uint64_t *count);

/* ---- open ---- */

/* Opens the file at a claimed place or begins one, repairs, reads. `meta` comes with what a new
 * file is begun with.  E_FORMAT, E_STORE, E_MEMORY, E_LOCKED. */
stw_status stwi_sql_enter(struct stwi_sql *sql, const struct stwi_sql_place *place,
                          struct stwi_sql_meta *meta, struct stwi_restored *restored,
                          stw_store_health *health, char *detail);
uint64_t stwi_sql_count(const struct stwi_chunk *chunks);

/* ---- a file at rest ---- */

struct stwi_store_file {
  struct stwi_sql_place place;
  struct stwi_sql sql;
  bool may_edit;
  uint64_t cursor; /* of the last page, and how many entries came before it */
  uint32_t position;
};

/* The status and the sentence for SQLite's code. */
stw_status stwi_sql_file_answer(const struct stwi_store_file *file, int code, char *detail);
stw_status stwi_sql_file_no_message(char *detail); /* E_NOT_FOUND */
/* *position: its number or its rank. SQLITE_NOTFOUND where there is none. */
int stwi_sql_file_find(struct stwi_store_file *file, stw_message_id id, stw_outbox_entry *entry,
                       int64_t *position);

/* ---- writer ---- */

/* Takes `sql` and `place`. E_MEMORY, E_SYSTEM. */
stw_status stwi_sql_writer_start(const struct stwi_store_options *options, struct stwi_sql *sql,
                                 struct stwi_sql_place *place, const struct stwi_sql_meta *meta,
                                 struct stwi_store *store, char *detail);

#endif
