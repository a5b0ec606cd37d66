/* Random calls with valid, stale, foreign and made-up handles, from two threads at once: every
 * answer is one that the headers allow, and in the end nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/pace.h"
#include "host.h"
#include "seed.h"

enum { IDS = 24, STEPS = 4000, THREADS = 2 };

static struct fake_server server;
/* What the calls pick from: handles alive and dead of every type, shared by the threads. */
static _Atomic uint64_t ids[IDS];
/* Every mailbox ever made, so that all can be freed in the end: that frees their conns too. */
static _Atomic uint64_t mailboxes[2 * STEPS];
static _Atomic uint32_t mailbox_count;

struct walker {
  struct stwi_random random;
  stw_status wrong;
  int wrong_call;
};

static uint64_t pick(struct stwi_random *random) {
  const uint64_t id = atomic_load(&ids[stwi_random_below(random, IDS)]);
  switch (stwi_random_below(random, 20)) {
  case 0:
    return stwi_random_next(random);
  case 1:
    return id ^ 1ull << stwi_random_below(random, 64);
  default:
    return id;
  }
}

static void keep(struct stwi_random *random, uint64_t id) {
  atomic_store(&ids[stwi_random_below(random, IDS)], id);
}

static stw_status make_mailbox(uint64_t *id) {
  stw_mailbox mailbox;
  const stw_status status = stw_mailbox_new(&mailbox);
  if (status != STW_OK)
    return status;
  atomic_store(&mailboxes[atomic_fetch_add(&mailbox_count, 1)], mailbox.id);
  *id = mailbox.id;
  return STW_OK;
}

static stw_config *random_config(struct stwi_random *random) {
  static const char *const policies[] = {"reject", "drop_oldest", "drop_newest", "coalesce"};
  static const char *const inbound[] = {"pause", "drop_oldest", "latest_by_key"};
  stw_config *config = stw_config_new();
  stw_config_set(config, "url", "ws://fake:1");
  stw_config_set(config, "outbox_messages", "20");
  stw_config_set(config, "outbox_overflow", policies[stwi_random_below(random, 4)]);
  stw_config_set(config, "inbound_buffer", "64KiB");
  stw_config_set(config, "inbound_key", "prefix:2");
  stw_config_set(config, "inbound_overflow", inbound[stwi_random_below(random, 3)]);
  if (stwi_random_below(random, 4) == 0)
    stw_config_set(config, "ready_when", "host");
  if (stwi_random_below(random, 4) == 0)
    stw_config_set(config, "credentials", "host");
  return config;
}

static stw_status random_open(struct stwi_random *random) {
  stw_conn conn;
  stw_config *config = random_config(random);
  const stw_engine engine = {pick(random)};
  const stw_mailbox mailbox = {pick(random)};
  const stw_status status = stw_conn_open(engine, mailbox, config, &conn);
  stw_config_free(config);
  if (status == STW_OK)
    keep(random, conn.id);
  return status;
}

static stw_status random_send(struct stwi_random *random, stw_conn conn) {
  static const char body[3000];
  stw_send_options options = {.struct_size = sizeof options};
  options.guarantee = (stw_guarantee)stwi_random_below(random, 4);
  options.ttl_ms = stwi_random_below(random, 3);
  options.key = "key";
  options.key_size = (size_t)stwi_random_below(random, 4);
  return stw_conn_send(conn, body, (size_t)stwi_random_below(random, sizeof body),
                       stwi_random_below(random, 3) == 0 ? NULL : &options, NULL);
}

static stw_status random_drain(struct stwi_random *random) {
  const stw_event *events[32];
  size_t count;
  const stw_mailbox mailbox = {pick(random)};
  return stw_mailbox_drain(mailbox, events, 1 + (size_t)stwi_random_below(random, 32), &count);
}

static stw_status random_outbox(struct stwi_random *random, stw_conn conn) {
  stw_outbox_entry entries[8];
  size_t count;
  char body[64];
  stw_conn_view view = {.struct_size = sizeof view};
  const stw_status status = stw_conn_look(conn, &view);
  if (status != STW_OK)
    return status;
  stw_message_id id = {view.stream.stream, stwi_random_below(random, view.stream.number + 2)};
  uint64_t cursor = stwi_random_below(random, 4) << 62 | id.number;
  switch (stwi_random_below(random, 3)) {
  case 0:
    return stw_outbox_list(stw_outbox_of(conn), NULL, &cursor, entries, 8, &count);
  case 1:
    return stw_outbox_body(stw_outbox_of(conn), id, body, sizeof body, &count);
  default:
    return stw_outbox_cancel(stw_outbox_of(conn), id);
  }
}

/* Engines and mailboxes end seldom, so that there is something to end. */
static stw_status random_end(struct stwi_random *random) {
  switch (stwi_random_below(random, 40)) {
  case 0:
    return stw_mailbox_free((stw_mailbox){pick(random)});
  case 1: {
    uint64_t id;
    const stw_status status = make_mailbox(&id);
    if (status == STW_OK)
      keep(random, id);
    return status;
  }
  default:
    return stw_conn_free((stw_conn){pick(random)});
  }
}

static stw_status random_server(struct stwi_random *random) {
  static const stw_cause causes[] = {STW_CAUSE_ABNORMAL_RST, STW_CAUSE_ABNORMAL_FIN};
  switch (stwi_random_below(random, 6)) {
  case 0:
    fake_server_drop(&server, 0, causes[stwi_random_below(random, 2)]);
    break;
  case 1:
    fake_server_close(&server, 0, 1012);
    break;
  case 2: {
    const struct fake_manner manner = {.refuses = stwi_random_below(random, 8) == 0,
                                       .hangs = stwi_random_below(random, 8) == 0,
                                       .is_silent = stwi_random_below(random, 8) == 0,
                                       .holds_writes = stwi_random_below(random, 8) == 0};
    fake_server_be(&server, manner);
    break;
  }
  default:
    fake_server_send(&server, 0, "inbound", 7);
    break;
  }
  return STW_OK;
}

static stw_status random_call(struct stwi_random *random, int call) {
  const stw_conn conn = {pick(random)};
  stw_credentials credentials = {.struct_size = sizeof credentials, .token = "t"};
  uint64_t values[STW_METRIC_COUNT];
  switch (call) {
  case 0:
    return random_open(random);
  case 1:
    return stw_conn_close(conn, stwi_random_below(random, 3));
  case 2:
    return stw_conn_reopen(conn);
  case 3:
    return stw_conn_kick(conn);
  case 4:
    return stw_conn_ready(conn);
  case 5:
    return stw_conn_opening(conn, "k", stwi_random_below(random, 2) == 0 ? NULL : "x", 1, true);
  case 6:
    return stw_conn_supply(conn, &credentials);
  case 7:
    return stw_conn_stats(conn, values, STW_METRIC_COUNT);
  case 8:
    return random_outbox(random, conn);
  case 9:
    return random_end(random);
  case 10:
    return stw_engine_network((stw_engine){pick(random)},
                              (stw_network)stwi_random_below(random, 4));
  case 11:
    return random_server(random);
  case 12:
  case 13:
  case 14:
    return random_drain(random);
  default:
    return random_send(random, conn);
  }
}

#define BIT(status) (1u << -(status))
#define STALE (BIT(STW_OK) | BIT(STW_E_HANDLE))

/* The statuses each call may answer with; index = call. */
static const uint32_t allowed[16] = {
    STALE | BIT(STW_E_CLOSED),                    /* open */
    STALE | BIT(STW_E_CLOSED),                    /* close */
    STALE | BIT(STW_E_STATE) | BIT(STW_E_CLOSED), /* reopen */
    STALE | BIT(STW_E_CLOSED),                    /* kick */
    STALE | BIT(STW_E_CLOSED),                    /* ready */
    STALE | BIT(STW_E_CLOSED),                    /* opening */
    STALE | BIT(STW_E_CLOSED),                    /* supply */
    STALE,                                        /* stats */
    STALE | BIT(STW_E_NOT_FOUND) | BIT(STW_E_STATE) | BIT(STW_E_CLOSED) | BIT(STW_E_TIMEOUT) |
        BIT(STW_E_ARGUMENT),                         /* outbox: made-up cursors */
    STALE,                                           /* end */
    STALE | BIT(STW_E_ARGUMENT) | BIT(STW_E_CLOSED), /* network */
    STALE,                                           /* server */
    STALE | BIT(STW_E_BUSY),                         /* drain */
    STALE | BIT(STW_E_BUSY),
    STALE | BIT(STW_E_BUSY),
    STALE | BIT(STW_E_FULL) | BIT(STW_E_CLOSED) | BIT(STW_E_GUARANTEE) | BIT(STW_E_TOO_BIG),
};

static void *walk(void *arg) {
  struct walker *walker = arg;
  for (int step = 0; step < STEPS; step++) {
    int call = (int)stwi_random_below(&walker->random, 24);
    if (call > 15)
      call = 15;
    const stw_status status = random_call(&walker->random, call);
    if (allowed[call] & BIT(status))
      continue;
    walker->wrong = status;
    walker->wrong_call = call;
    break;
  }
  return NULL;
}

static stw_engine begin_life(void) {
  stw_engine engine;
  fake_server_init(&server);
  atomic_store(&mailbox_count, 0);
  assert_int_equal(fake_engine_new(&server, &engine), STW_OK);
  for (int i = 0; i < IDS; i++) {
    uint64_t id = engine.id;
    if (i % 3 == 0)
      assert_int_equal(make_mailbox(&id), STW_OK);
    atomic_store(&ids[i], id);
  }
  return engine;
}

static void end_life(stw_engine engine, bool is_engine_first) {
  if (is_engine_first)
    assert_int_equal(stw_engine_free(engine), STW_OK);
  for (uint32_t i = 0; i < mailbox_count; i++)
    stw_mailbox_free((stw_mailbox){mailboxes[i]});
  if (!is_engine_first) {
    assert_true(fake_server_is_live(&server, 0));
    assert_int_equal(stw_engine_free(engine), STW_OK);
  }
  fake_server_fini(&server);
}

static void live(struct stwi_random *random) {
  struct walker walkers[THREADS];
  pthread_t threads[THREADS];
  memset(walkers, 0, sizeof walkers);
  for (int i = 0; i < THREADS; i++) {
    stwi_random_seed(&walkers[i].random, stwi_random_next(random));
    assert_int_equal(pthread_create(&threads[i], NULL, walk, &walkers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    if (walkers[i].wrong != STW_OK)
      fail_msg("call %d answered %s", walkers[i].wrong_call,
               stw_status_find(walkers[i].wrong)->name);
  }
}

static void random_calls_get_answers_and_leave_nothing(void **state) {
  (void)state;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed(__func__));
  size_t descriptors = 0, threads = 0;
  for (int life = 0; life < 6; life++) {
    if (life == 1) { /* what a library makes once for the process is there now */
      descriptors = host_entries("/proc/self/fd");
      threads = host_entries("/proc/self/task");
    }
    const stw_engine engine = begin_life();
    live(&random);
    end_life(engine, life % 2 == 0);
  }
  assert_int_equal(host_entries("/proc/self/fd"), descriptors);
  assert_int_equal(host_entries("/proc/self/task"), threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_calls_get_answers_and_leave_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
