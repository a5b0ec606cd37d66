/* fake_store: a store without a file, for tests of client/: nothing is committed, full or failed
 * until the test says so.
 *
 * It stands for the writer thread as well: what the test says is said on the test's thread.  The
 * records are those added and flushed since the store last asked for everything, oldest first.
 */
#ifndef STEADWIRE_TESTS_FAKE_STORE_H
#define STEADWIRE_TESTS_FAKE_STORE_H

#include <pthread.h>
#include <steadwire/steadwire.h>

#include "io/store.h"

enum { FAKE_STORE_RECORDS = 256 };

struct fake_record {
  enum stwi_store_op op;
  uint64_t serial;
  stw_lane lane;
  uint64_t number;
  stw_message_id id;
};

struct fake_store {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  void *owner;
  void (*wake)(void *owner);
  struct fake_record records[FAKE_STORE_RECORDS];
  size_t added, flushed;
  struct stwi_store_news news;
  bool has_no_memory; /* for the next change */
  bool is_open;
  unsigned closes;
  uint32_t patience_ms; /* that the last close was given */
  void (*on_close)(struct fake_store *store, uint32_t patience_ms); /* what it does meanwhile */
};

void fake_store_init(struct fake_store *store);
void fake_store_fini(struct fake_store *store);
/* The next conns of the engine open these, in turn; `count` of them. */
void fake_stores_use(stw_engine engine, struct fake_store *stores, size_t count);

/* Waits until at least `count` records are flushed; false after 20 s. */
bool fake_store_has(struct fake_store *store, size_t count);
/* Copies the records that are flushed; how many. */
size_t fake_store_read(struct fake_store *store, struct fake_record records[FAKE_STORE_RECORDS]);

/* Commits the first `count` records that are flushed (SIZE_MAX: all), and wakes the engine. */
void fake_store_commit(struct fake_store *store, size_t count);
/* The health becomes this one; with `count` as above records are committed in the same news. */
void fake_store_become(struct fake_store *store, stw_store_health health, const char *detail,
                       size_t count);
/* Wants everything again. */
void fake_store_ask(struct fake_store *store);

#endif
