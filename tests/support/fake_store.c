#include "fake_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <time.h>

#include "client/engine.h"
#include "client/handle.h"

enum { PATIENCE_S = 20 };

static struct fake_store *next_stores;
static size_t stores_left;

void fake_store_init(struct fake_store *store) {
  memset(store, 0, sizeof *store);
  pthread_mutex_init(&store->lock, NULL);
  pthread_cond_init(&store->changed, NULL);
}

void fake_store_fini(struct fake_store *store) {
  pthread_cond_destroy(&store->changed);
  pthread_mutex_destroy(&store->lock);
}

/* ---- what the engine calls ---- */

static bool add(void *self, const struct stwi_store_change *change) {
  struct fake_store *store = self;
  pthread_mutex_lock(&store->lock);
  const bool is_taken = !store->has_no_memory && store->added < FAKE_STORE_RECORDS;
  if (is_taken) {
    store->records[store->added++] =
        (struct fake_record){change->op, change->serial, change->lane, change->number, change->id};
  } else {
    store->news.health = STW_STORE_FAILED;
    store->news.has_changed = true;
    snprintf(store->news.detail, sizeof store->news.detail, "no memory for a change");
  }
  store->has_no_memory = false;
  pthread_mutex_unlock(&store->lock);
  return is_taken;
}

static void flush(void *self) {
  struct fake_store *store = self;
  pthread_mutex_lock(&store->lock);
  store->flushed = store->added;
  pthread_cond_broadcast(&store->changed);
  pthread_mutex_unlock(&store->lock);
}

static void collect(void *self, struct stwi_store_news *news) {
  struct fake_store *store = self;
  pthread_mutex_lock(&store->lock);
  *news = store->news;
  store->news.has_changed = store->news.wants_all = false;
  if (news->wants_all)
    store->added = store->flushed = 0;
  pthread_mutex_unlock(&store->lock);
}

static void end(void *self, uint32_t patience_ms) {
  struct fake_store *store = self;
  pthread_mutex_lock(&store->lock);
  store->patience_ms = patience_ms;
  store->is_open = false;
  store->closes++;
  pthread_mutex_unlock(&store->lock);
  if (store->on_close != NULL)
    store->on_close(store, patience_ms);
}

static stw_status begin(const struct stwi_store_options *options, struct stwi_store *out,
                        struct stwi_restored *restored, uint64_t *stream, stw_store_health *health,
                        char *detail) {
  static const struct stwi_store_ops ops = {add, flush, collect, end};
  assert_true(stores_left > 0);
  struct fake_store *store = next_stores++;
  stores_left--;
  store->owner = options->owner;
  store->wake = options->wake;
  store->is_open = true;
  *out = (struct stwi_store){&ops, store};
  *restored = (struct stwi_restored){.has_store = true};
  memcpy(restored->session.cid, options->new_cid, sizeof restored->session.cid);
  *stream = options->new_stream;
  *health = STW_STORE_OK;
  detail[0] = '\0';
  return STW_OK;
}

void fake_stores_use(stw_engine engine, struct fake_store *stores, size_t count) {
  struct stwi_engine *inside;
  assert_int_equal(stwi_handle_hold(engine.id, STWI_HANDLE_ENGINE, (void **)&inside), STW_OK);
  inside->open_store = begin;
  stwi_handle_drop(engine.id);
  next_stores = stores;
  stores_left = count;
}

/* ---- what the test calls ---- */

bool fake_store_has(struct fake_store *store, size_t count) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  int error = 0;
  pthread_mutex_lock(&store->lock);
  while (store->flushed < count && error == 0)
    error = pthread_cond_timedwait(&store->changed, &store->lock, &until);
  pthread_mutex_unlock(&store->lock);
  return error == 0;
}

size_t fake_store_read(struct fake_store *store, struct fake_record records[FAKE_STORE_RECORDS]) {
  pthread_mutex_lock(&store->lock);
  const size_t count = store->flushed;
  memcpy(records, store->records, count * sizeof *records);
  pthread_mutex_unlock(&store->lock);
  return count;
}

static void commit(struct fake_store *store, size_t count) {
  for (size_t i = 0; i < count && i < store->flushed; i++) {
    const struct fake_record *record = &store->records[i];
    uint64_t *upto = &store->news.upto[record->lane];
    store->news.serial = record->serial;
    if (record->op == STWI_STORE_PUT && record->number > *upto)
      *upto = record->number;
  }
}

void fake_store_commit(struct fake_store *store, size_t count) {
  pthread_mutex_lock(&store->lock);
  commit(store, count);
  pthread_mutex_unlock(&store->lock);
  store->wake(store->owner);
}

void fake_store_become(struct fake_store *store, stw_store_health health, const char *detail,
                       size_t count) {
  pthread_mutex_lock(&store->lock);
  commit(store, count);
  store->news.health = health;
  store->news.has_changed = true;
  snprintf(store->news.detail, sizeof store->news.detail, "%s", detail);
  pthread_mutex_unlock(&store->lock);
  store->wake(store->owner);
}

void fake_store_ask(struct fake_store *store) {
  pthread_mutex_lock(&store->lock);
  store->news.wants_all = true;
  pthread_mutex_unlock(&store->lock);
  store->wake(store->owner);
}
