#include "io/store_sqlite.h"

#include "core/mem.h"
#include "io/clock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define BLOCK_BYTES 65536u
#define FULL_RETRY_NS STWI_S
#define FAILED_RETRY_NS (5 * STWI_S)

/* Records lie one behind the other in blocks. */
struct block {
  struct block *next;
  size_t used, size;
  _Alignas(8) uint8_t bytes[];
};

/* The changes of one turn, which stand or fall together. */
struct batch {
  struct batch *next;
  struct block *first, *last;
  uint64_t serial;
  bool adds;   /* has PUT or PARK */
  bool is_all; /* the answer to wants_all */
};

enum state {
  WORKING,
  STUCK,  /* no space, locked or no memory: the same handle, tried again */
  ASKING, /* the handle is gone: waits for everything, to write it to a new file */
  FAILED  /* that did not work either */
};

struct store {
  /* of the engine thread */
  struct batch *collecting;
  bool has_lost;    /* add() had no memory */
  bool next_is_all; /* what is added from now on answers wants_all */
  stwi_time now;    /* of the batch */
  uint64_t wall_ms;

  /* under `guard` */
  pthread_mutex_t guard;
  pthread_cond_t work, done;
  struct batch *queued, *queued_last;
  struct stwi_store_news news;
  bool is_lossy, is_closing, is_done, is_abandoned;

  /* of the writer */
  struct batch *pending, *pending_last;
  struct stwi_sql sql;
  struct stwi_sql_place place;
  struct stwi_sql_meta meta;
  uint64_t written_last[STW_LANE_COUNT];
  bool is_meta_dirty, has_reserve;
  enum state state;
  stwi_time retry_at;

  enum stwi_store_level level;
  void *owner;
  void (*wake)(void *owner);
  unsigned forks;
  pthread_t thread;
};

/* ---- batches ---- */

static void free_batches(struct batch *batch) {
  while (batch != NULL) {
    struct batch *next = batch->next;
    while (batch->first != NULL) {
      struct block *block = batch->first;
      batch->first = block->next;
      stwi_free(block);
    }
    stwi_free(batch);
    batch = next;
  }
}

static size_t record_size(const struct stwi_sql_record *record) {
  return (sizeof *record + record->key_size + record->size + 7) & ~(size_t)7;
}

static struct stwi_sql_record *reserve(struct batch *batch, size_t size) {
  struct block *block = batch->last;
  if (block == NULL || block->size - block->used < size) {
    const size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    block = stwi_alloc(sizeof *block + room);
    if (block == NULL)
      return NULL;
    *block = (struct block){.size = room};
    *(batch->last == NULL ? &batch->first : &batch->last->next) = block;
    batch->last = block;
  }
  struct stwi_sql_record *record = (void *)(block->bytes + block->used);
  block->used += size;
  return record;
}

static struct batch *collecting(struct store *store) {
  if (store->collecting == NULL) {
    store->collecting = stwi_alloc(sizeof *store->collecting);
    if (store->collecting == NULL)
      return NULL;
    *store->collecting = (struct batch){.is_all = store->next_is_all};
    store->now = stwi_clock_monotonic();
    store->wall_ms = stwi_clock_wall_ms();
  }
  return store->collecting;
}

static bool append_message(struct store *store, struct batch *batch,
                           const struct stwi_store_change *change) {
  struct stwi_sql_record head;
  stwi_sql_record_of(&head, change->msg, store->now, store->wall_ms);
  head.op = (uint8_t)change->op;
  head.serial = change->serial;
  struct stwi_sql_record *record = reserve(batch, record_size(&head));
  if (record == NULL)
    return false;
  *record = head;
  memcpy(record + 1, stwi_msg_key(change->msg), (size_t)head.key_size + head.size);
  batch->adds = true;
  return true;
}

static bool append_change(struct batch *batch, const struct stwi_store_change *change) {
  struct stwi_sql_record head = {.op = (uint8_t)change->op,
                                 .serial = change->serial,
                                 .lane = (uint8_t)change->lane,
                                 .number = change->number,
                                 .id = change->id};
  head.size = change->op == STWI_STORE_SESSION ? sizeof *change->session : 0;
  struct stwi_sql_record *record = reserve(batch, record_size(&head));
  if (record == NULL)
    return false;
  *record = head;
  if (head.size > 0)
    memcpy(record + 1, change->session, head.size);
  return true;
}

/* Calls `visit` with every record until one answers other than SQLITE_OK. */
static int each(struct store *store, const struct batch *batch,
                int (*visit)(struct store *, const struct stwi_sql_record *)) {
  int code = SQLITE_OK;
  for (const struct block *block = batch->first; block != NULL; block = block->next) {
    for (size_t at = 0; at < block->used && code == SQLITE_OK;) {
      const struct stwi_sql_record *record = (const void *)(block->bytes + at);
      code = visit(store, record);
      at += record_size(record);
    }
  }
  return code;
}

/* ---- what the engine thread calls ---- */

static bool is_forked(const struct store *store) {
  return store->forks != stwi_sql_forks();
}

static bool store_add(void *self, const struct stwi_store_change *change) {
  struct store *store = self;
  if (is_forked(store))
    return true;
  struct batch *batch = store->has_lost ? NULL : collecting(store);
  const bool is_message = change->op == STWI_STORE_PUT || change->op == STWI_STORE_PARK;
  const bool is_added = batch != NULL && (is_message ? append_message(store, batch, change)
                                                     : append_change(batch, change));
  if (is_added)
    batch->serial = change->serial;
  else
    store->has_lost = true;
  return is_added;
}

static void store_flush(void *self) {
  struct store *store = self;
  if (is_forked(store))
    return;
  if (store->next_is_all && !store->has_lost && collecting(store) == NULL)
    store->has_lost = true;
  struct batch *batch = store->collecting;
  if (batch == NULL && !store->has_lost)
    return;
  store->collecting = NULL;
  store->next_is_all = false;
  pthread_mutex_lock(&store->guard);
  if (store->has_lost) {
    store->is_lossy = true;
    free_batches(batch);
  } else {
    *(store->queued == NULL ? &store->queued : &store->queued_last->next) = batch;
    store->queued_last = batch;
  }
  store->has_lost = false;
  pthread_cond_signal(&store->work);
  pthread_mutex_unlock(&store->guard);
}

static void store_collect(void *self, struct stwi_store_news *news) {
  struct store *store = self;
  *news = (struct stwi_store_news){0};
  if (is_forked(store))
    return;
  pthread_mutex_lock(&store->guard);
  *news = store->news;
  store->news.has_changed = store->news.wants_all = false;
  struct batch *old = NULL;
  if (news->wants_all) {
    old = store->queued;
    store->queued = store->queued_last = NULL;
  }
  pthread_mutex_unlock(&store->guard);
  if (!news->wants_all)
    return;
  free_batches(old);
  free_batches(store->collecting);
  store->collecting = NULL;
  store->has_lost = false;
  store->next_is_all = true;
}

/* ---- news ---- */

static void say(struct store *store, stw_store_health health, const char *detail) {
  pthread_mutex_lock(&store->guard);
  if (store->news.health != health || strcmp(store->news.detail, detail) != 0) {
    store->news.health = health;
    store->news.has_changed = true;
    stwi_sql_say(store->news.detail, "%s", detail);
  }
  pthread_mutex_unlock(&store->guard);
}

static void wake(struct store *store) {
  pthread_mutex_lock(&store->guard);
  if (!store->is_closing)
    store->wake(store->owner);
  pthread_mutex_unlock(&store->guard);
}

static void drop_pending(struct store *store) {
  free_batches(store->pending);
  store->pending = store->pending_last = NULL;
}

/* Once committed. */
static int raise_upto(struct store *store, const struct stwi_sql_record *record) {
  uint64_t *upto = &store->news.upto[record->lane];
  if (record->op == STWI_STORE_PUT && record->number > *upto)
    *upto = record->number;
  return SQLITE_OK;
}

static void tell_committed(struct store *store) {
  pthread_mutex_lock(&store->guard);
  for (const struct batch *batch = store->pending; batch != NULL; batch = batch->next) {
    each(store, batch, raise_upto);
    store->news.serial = batch->serial > store->news.serial ? batch->serial : store->news.serial;
  }
  pthread_mutex_unlock(&store->guard);
  drop_pending(store);
}

/* ---- commits ---- */

static int fold(struct store *store, const struct stwi_sql_record *record) {
  struct stwi_sql_meta *meta = &store->meta;
  switch (record->op) {
  case STWI_STORE_SESSION:
    memcpy(&meta->session, record + 1, sizeof meta->session);
    store->is_meta_dirty = true;
    break;
  case STWI_STORE_INBOUND:
    if (record->number > meta->session.processed[record->lane])
      meta->session.processed[record->lane] = record->number;
    store->is_meta_dirty = true;
    break;
  case STWI_STORE_FORGET:
    break;
  default:
    if (record->number > meta->last[record->lane])
      meta->last[record->lane] = record->number;
    /* As long as its message lies there the highest number needs no row of its own. */
    if (record->op != STWI_STORE_PUT &&
        meta->last[record->lane] != store->written_last[record->lane])
      store->is_meta_dirty = true;
  }
  return SQLITE_OK;
}

static int apply(struct store *store, const struct stwi_sql_record *record) {
  return stwi_sql_apply(&store->sql, record);
}

static int apply_settled(struct store *store, const struct stwi_sql_record *record) {
  return record->op == STWI_STORE_SETTLED ? stwi_sql_apply(&store->sql, record) : SQLITE_OK;
}

static int write_meta(struct store *store) {
  return store->is_meta_dirty ? stwi_sql_write_meta(&store->sql, &store->meta) : SQLITE_OK;
}

static void note_written(struct store *store) {
  if (store->is_meta_dirty)
    memcpy(store->written_last, store->meta.last, sizeof store->written_last);
  store->is_meta_dirty = false;
}

static int end_transaction(struct store *store, int code) {
  if (code == SQLITE_OK)
    code = stwi_sql_run(store->sql.db, "COMMIT");
  if (code == SQLITE_OK)
    note_written(store);
  else if (sqlite3_get_autocommit(store->sql.db) == 0)
    stwi_sql_run(store->sql.db, "ROLLBACK");
  return code;
}

static int commit(struct store *store) {
  int code = stwi_sql_run(store->sql.db, "BEGIN IMMEDIATE");
  for (struct batch *batch = store->pending; batch != NULL && code == SQLITE_OK;
       batch = batch->next)
    code = each(store, batch, apply);
  if (code == SQLITE_OK)
    code = write_meta(store);
  return end_transaction(store, code);
}

/* On a full disk: what takes nothing away that is still to be written.  A message that moves is
 * removed and put in the same turn, so such a turn gives only what has settled.  All of it is done
 * once more with the rest. */
static int commit_removals(struct store *store) {
  int code = stwi_sql_run(store->sql.db, "BEGIN IMMEDIATE");
  for (struct batch *batch = store->pending; batch != NULL && code == SQLITE_OK;
       batch = batch->next)
    code = each(store, batch, batch->adds ? apply_settled : apply);
  if (code == SQLITE_OK)
    code = write_meta(store);
  return end_transaction(store, code);
}

/* ---- troubles ---- */

static void ask_for_all(struct store *store) {
  drop_pending(store);
  store->state = ASKING;
  pthread_mutex_lock(&store->guard);
  store->news.wants_all = true;
  pthread_mutex_unlock(&store->guard);
}

static void fail(struct store *store, int code) {
  char detail[STWI_SQL_DETAIL_BYTES];
  stwi_sql_refuse(store->sql.db, code, store->place.path, detail);
  stwi_sql_detach(&store->sql);
  drop_pending(store);
  store->state = FAILED;
  store->retry_at = stwi_clock_monotonic() + FAILED_RETRY_NS;
  say(store, STW_STORE_FAILED, detail);
}

/* The handle may believe pages to be on the disk that are not: it must not write any more, not even
 * when it is closed. */
static void abandon(struct store *store) {
  sqlite3_db_config(store->sql.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  stwi_sql_detach(&store->sql);
  ask_for_all(store);
}

static void get_stuck(struct store *store, int code, enum stwi_sql_trouble trouble) {
  char detail[STWI_SQL_DETAIL_BYTES];
  stwi_sql_refuse(store->sql.db, code, store->place.path, detail);
  store->state = STUCK;
  store->retry_at = stwi_clock_monotonic() + FULL_RETRY_NS;
  say(store, trouble == STWI_SQL_FULL ? STW_STORE_FULL : STW_STORE_FAILED, detail);
  if (trouble != STWI_SQL_FULL)
    return;
  stwi_sql_place_remove(&store->place, ".reserve");
  store->has_reserve = false;
  if (stwi_sql_trouble(store->sql.db, commit_removals(store)) >= STWI_SQL_DAMAGED)
    abandon(store);
}

static void write_pending(struct store *store) {
  if (store->pending == NULL)
    return;
  const int code = commit(store);
  const enum stwi_sql_trouble trouble = stwi_sql_trouble(store->sql.db, code);
  if (trouble == STWI_SQL_NONE) {
    tell_committed(store);
    if (store->state == STUCK)
      say(store, STW_STORE_OK, "");
    store->state = WORKING;
    if (!store->has_reserve)
      store->has_reserve = stwi_sql_place_reserve(&store->place);
  } else if (trouble < STWI_SQL_DAMAGED)
    get_stuck(store, code, trouble);
  else
    abandon(store);
}

/* The reserve comes first: what it needs is not there for messages. */
static void try_again(struct store *store, bool is_due) {
  if (!is_due) {
    if (stwi_sql_trouble(store->sql.db, commit_removals(store)) >= STWI_SQL_DAMAGED)
      abandon(store);
    return;
  }
  store->has_reserve = store->has_reserve || stwi_sql_place_reserve(&store->place);
  if (store->has_reserve || store->news.health != STW_STORE_FULL)
    write_pending(store);
  else
    store->retry_at = stwi_clock_monotonic() + FULL_RETRY_NS;
}

static int reopen(struct store *store) {
  int code = stwi_sql_attach(&store->sql, store->place.path);
  if (code == SQLITE_OK)
    code = stwi_sql_prepare(&store->sql);
  if (code == SQLITE_OK)
    code = stwi_sql_accept(&store->sql);
  return code == SQLITE_OK ? stwi_sql_set_level(&store->sql, store->level) : code;
}

static void rewrite(struct store *store) {
  int code = stwi_sql_begin_new(&store->sql, &store->place, &store->meta);
  for (struct batch *batch = store->pending; batch != NULL && code == SQLITE_OK;
       batch = batch->next)
    code = each(store, batch, apply);
  if (code == SQLITE_OK)
    code = stwi_sql_finish_new(&store->sql, &store->place);
  if (code == SQLITE_OK)
    code = reopen(store);
  if (code != SQLITE_OK) {
    fail(store, code);
    return;
  }
  store->is_meta_dirty = true;
  note_written(store);
  store->state = WORKING;
  char detail[STWI_SQL_DETAIL_BYTES];
  stwi_sql_say(detail, "%s: writing failed; everything was written to a new file",
               stwi_sql_tail(store->place.path));
  tell_committed(store);
  say(store, STW_STORE_REWRITTEN, detail);
}

/* Everything is only asked for when a new file can be written at all. */
static void probe(struct store *store) {
  int code = stwi_sql_begin_new(&store->sql, &store->place, &store->meta);
  if (code == SQLITE_OK)
    code = stwi_sql_run(store->sql.db, "COMMIT");
  if (code != SQLITE_OK) {
    fail(store, code);
    return;
  }
  stwi_sql_detach(&store->sql);
  stwi_sql_place_remove(&store->place, ".new");
  ask_for_all(store);
}

/* ---- the thread ---- */

/* What came before the answer to wants_all is part of the answer. */
static void take(struct store *store, struct batch *batch, bool is_lossy) {
  while (batch != NULL) {
    struct batch *next = batch->next;
    batch->next = NULL;
    each(store, batch, fold);
    const bool is_wanted = store->state == WORKING || store->state == STUCK ||
                           (store->state == ASKING && (batch->is_all || store->pending != NULL));
    if (is_wanted) {
      *(store->pending == NULL ? &store->pending : &store->pending_last->next) = batch;
      store->pending_last = batch;
    } else
      free_batches(batch);
    batch = next;
  }
  if (is_lossy && store->state != FAILED && store->sql.db != NULL)
    abandon(store);
  else if (is_lossy && store->state == ASKING)
    ask_for_all(store);
}

static void act(struct store *store, bool has_new) {
  const bool is_due = stwi_clock_monotonic() >= store->retry_at;
  if (store->state == WORKING)
    write_pending(store);
  else if (store->state == STUCK && (is_due || has_new))
    try_again(store, is_due);
  else if (store->state == ASKING && store->pending != NULL)
    rewrite(store);
  else if (store->state == FAILED && is_due)
    probe(store);
}

static void wait_for_work(struct store *store) {
  const bool is_timed = store->state == STUCK || store->state == FAILED;
  const struct timespec until = {.tv_sec = (time_t)(store->retry_at / STWI_S),
                                 .tv_nsec = (long)(store->retry_at % STWI_S)};
  int code = 0;
  while (store->queued == NULL && !store->is_lossy && !store->is_closing && code == 0)
    code = is_timed ? pthread_cond_timedwait(&store->work, &store->guard, &until)
                    : pthread_cond_wait(&store->work, &store->guard);
}

static void close_file(struct store *store) {
  if (store->state == STUCK)
    write_pending(store);
  if (store->state == WORKING) {
    store->meta.is_clean = store->meta.is_sorted = store->is_meta_dirty = true;
    int code = stwi_sql_run(store->sql.db, "BEGIN IMMEDIATE");
    if (code == SQLITE_OK)
      code = write_meta(store);
    if (end_transaction(store, code) != SQLITE_OK)
      sqlite3_db_config(store->sql.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  }
  stwi_sql_detach(&store->sql);
  drop_pending(store);
  stwi_sql_place_remove(&store->place, ".reserve");
  stwi_sql_place_close(&store->place);
}

static void free_store(struct store *store) {
  free_batches(store->queued);
  free_batches(store->collecting);
  pthread_cond_destroy(&store->work);
  pthread_cond_destroy(&store->done);
  pthread_mutex_destroy(&store->guard);
  stwi_free(store);
}

static void *run(void *self) {
  struct store *store = self;
  bool is_last = false;
  while (!is_last) {
    pthread_mutex_lock(&store->guard);
    wait_for_work(store);
    struct batch *queued = store->queued;
    const bool is_lossy = store->is_lossy;
    store->queued = store->queued_last = NULL;
    store->is_lossy = false;
    is_last = store->is_closing;
    pthread_mutex_unlock(&store->guard);
    const bool has_new = queued != NULL;
    take(store, queued, is_lossy);
    act(store, has_new);
    wake(store);
  }
  close_file(store);
  pthread_mutex_lock(&store->guard);
  store->is_done = true;
  const bool is_abandoned = store->is_abandoned;
  pthread_cond_signal(&store->done);
  pthread_mutex_unlock(&store->guard);
  if (is_abandoned)
    free_store(store);
  return NULL;
}

static void store_close(void *self, uint32_t patience_ms) {
  struct store *store = self;
  if (is_forked(store))
    return; /* the parent's: its file, and perhaps a lock somebody held at the fork */
  store_flush(store);
  const stwi_time end = stwi_clock_monotonic() + patience_ms * STWI_MS;
  const struct timespec until = {.tv_sec = (time_t)(end / STWI_S), .tv_nsec = (long)(end % STWI_S)};
  int code = 0;
  pthread_mutex_lock(&store->guard);
  store->is_closing = true;
  pthread_cond_signal(&store->work);
  while (!store->is_done && code == 0)
    code = pthread_cond_timedwait(&store->done, &store->guard, &until);
  const bool is_done = store->is_done;
  store->is_abandoned = !is_done;
  const pthread_t thread = store->thread;
  pthread_mutex_unlock(&store->guard);
  if (is_done) {
    pthread_join(thread, NULL);
    free_store(store);
  } else
    pthread_detach(thread);
}

static const struct stwi_store_ops ops = {store_add, store_flush, store_collect, store_close};

static void init_guards(struct store *store) {
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&store->guard, NULL);
  pthread_cond_init(&store->work, &monotonic);
  pthread_cond_init(&store->done, &monotonic);
  pthread_condattr_destroy(&monotonic);
}

/* The host's signals are not this thread's, and a write over the limit of file size must answer
 * EFBIG instead of ending the process. */
static int start_thread(struct store *store) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  const int code = pthread_create(&store->thread, NULL, run, store);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return code;
}

stw_status stwi_sql_writer_start(const struct stwi_store_options *options, struct stwi_sql *sql,
                                 struct stwi_sql_place *place, const struct stwi_sql_meta *meta,
                                 struct stwi_store *store, char *detail) {
  struct store *self = stwi_alloc(sizeof *self);
  if (self == NULL) {
    stwi_sql_say(detail, "no memory");
    return STW_E_MEMORY;
  }
  *self = (struct store){.sql = *sql,
                         .place = *place,
                         .meta = *meta,
                         .level = options->level,
                         .owner = options->owner,
                         .wake = options->wake,
                         .forks = stwi_sql_forks(),
                         .has_reserve = stwi_sql_place_reserve(place)};
  self->place.name = self->place.path + (place->name - place->path);
  memcpy(self->news.upto, meta->last, sizeof self->news.upto);
  memcpy(self->written_last, meta->last, sizeof self->written_last);
  init_guards(self);
  if (start_thread(self) != 0) {
    stwi_sql_say(detail, "no thread for the outbox file: raise the limit of processes");
    free_store(self);
    return STW_E_SYSTEM;
  }
  *store = (struct stwi_store){.ops = &ops, .self = self};
  return STW_OK;
}
