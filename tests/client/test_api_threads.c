/* Senders on many threads while conns close, are freed and their engine stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "host.h"

static struct host host;

static int set_up(void **state) {
  (void)state;
  host_init(&host);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  host_fini(&host);
  return 0;
}

static stw_conn open_online(uint16_t port, const char *const *options) {
  stw_conn conn = host_open(&host, port, options);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  return conn;
}

struct sender {
  stw_conn conn;
  _Atomic uint64_t taken, refused;
  _Atomic bool is_wrong;
  uint32_t mark;
};

static void *send_until_refused(void *arg) {
  struct sender *sender = arg;
  uint64_t last = 0;
  for (uint32_t n = 0;; n++) {
    const uint32_t data[2] = {sender->mark, n};
    stw_message_id id = {0, 0};
    const stw_status status = stw_conn_send(sender->conn, data, sizeof data, NULL, &id);
    if (status == STW_OK && id.number <= last)
      atomic_store(&sender->is_wrong, true);
    if (status == STW_OK)
      last = id.number;
    if (status == STW_OK)
      atomic_fetch_add(&sender->taken, 1);
    if (status == STW_E_FULL)
      n--;
    if (status == STW_E_FULL)
      continue;
    if (status != STW_OK) {
      if (status != STW_E_CLOSED && status != STW_E_HANDLE)
        atomic_store(&sender->is_wrong, true);
      return NULL;
    }
  }
}

static void sends_racing_a_close_are_delivered_counted_or_refused(void **state) {
  (void)state;
  for (int round = 0; round < 6; round++) {
    stw_conn conn = open_online((uint16_t)(round + 1), NULL);
    struct sender senders[4];
    pthread_t threads[4];
    memset(senders, 0, sizeof senders);
    for (uint32_t i = 0; i < 4; i++) {
      senders[i].conn = conn;
      senders[i].mark = i;
      assert_int_equal(pthread_create(&threads[i], NULL, send_until_refused, &senders[i]), 0);
    }
    while (atomic_load(&senders[0].taken) < 50)
      host_drain(&host); /* else its echoes fill the mailbox, and no proof is read any more */
    assert_int_equal(stw_conn_close(conn, round % 3 == 0 ? 0 : HOST_GUARD_MS), STW_OK);
    uint64_t taken = 0;
    for (int i = 0; i < 4; i++) {
      pthread_join(threads[i], NULL);
      assert_false(senders[i].is_wrong);
      taken += senders[i].taken;
    }
    const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
    assert_non_null(closed);
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    assert_int_equal(values[STW_METRIC_SENT], taken);
    assert_int_equal(host_look(conn).stream.number, taken); /* no holes */
    assert_int_equal(values[STW_METRIC_SETTLED] + closed->event.u.closed.undelivered, taken);
    if (round % 3 != 0)
      assert_int_equal(closed->event.u.closed.undelivered, 0);
    assert_int_equal(stw_conn_free(conn), STW_OK);
  }
}

/* Each thread's messages come in its order, each once. */
static void sends_of_one_thread_keep_their_order(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  struct sender senders[4];
  pthread_t threads[4];
  memset(senders, 0, sizeof senders);
  for (uint32_t i = 0; i < 4; i++) {
    senders[i].conn = conn;
    senders[i].mark = i;
    assert_int_equal(pthread_create(&threads[i], NULL, send_until_refused, &senders[i]), 0);
  }
  while (atomic_load(&senders[3].taken) < 500)
    host_drain(&host);
  assert_int_equal(stw_conn_close(conn, HOST_GUARD_MS), STW_OK);
  uint64_t taken = 0;
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    taken += senders[i].taken;
  }
  assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
  assert_int_equal(host.server.count, taken);
  uint32_t next[4] = {0};
  for (size_t i = 0; i < host.server.count; i++) {
    uint32_t data[2];
    memcpy(data, host.server.messages[i].data, sizeof data);
    assert_int_equal(data[1], next[data[0]]++);
  }
}

static void eight_senders_survive_the_end_of_conns_and_engine(void **state) {
  (void)state;
  for (int round = 0; round < 6; round++) {
    stw_engine before = host.engine;
    assert_int_equal(fake_engine_new(&host.server, &host.engine), STW_OK);
    struct sender senders[8];
    pthread_t threads[8];
    memset(senders, 0, sizeof senders);
    for (uint32_t i = 0; i < 8; i++) {
      senders[i].conn = host_open(&host, (uint16_t)(1 + i), NULL);
      senders[i].mark = i;
    }
    for (uint32_t i = 0; i < 8; i++) {
      assert_int_equal(pthread_create(&threads[i], NULL, send_until_refused, &senders[i]), 0);
    }
    while (atomic_load(&senders[0].taken) < 20)
      host_drain(&host);
    for (int i = 0; i < 4; i++)
      assert_int_equal(stw_conn_free(senders[i].conn), STW_OK);
    assert_int_equal(stw_engine_free(host.engine), STW_OK);
    for (int i = 0; i < 8; i++) {
      pthread_join(threads[i], NULL);
      assert_false(senders[i].is_wrong);
    }
    const size_t start = host.read;
    for (int i = 4; i < 8; i++) { /* those not freed hear of their end, exactly counted */
      host.read = start;
      const struct host_event *closed = host_wait(&host, senders[i].conn, STW_EVENT_CLOSED);
      assert_non_null(closed);
      uint64_t values[STW_METRIC_COUNT];
      assert_int_equal(stw_conn_stats(senders[i].conn, values, STW_METRIC_COUNT), STW_OK);
      assert_int_equal(values[STW_METRIC_SENT], senders[i].taken);
      assert_int_equal(values[STW_METRIC_SETTLED] + closed->event.u.closed.undelivered,
                       senders[i].taken);
      assert_int_equal(stw_conn_free(senders[i].conn), STW_OK);
    }
    host.engine = before;
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(sends_racing_a_close_are_delivered_counted_or_refused),
      TEST(sends_of_one_thread_keep_their_order),
      TEST(eight_senders_survive_the_end_of_conns_and_engine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
