/* A mailbox: many boxes behind one descriptor, one drainer, nobody starved, nothing lent too short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "client/handle.h"
#include "client/mailbox.h"
#include "client/port.h"
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

static bool is_readable(int fd) {
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  return poll(&wanted, 1, 0) == 1;
}

/* ---- alone, without an engine ---- */

static struct stwi_mailbox *mailbox;
static struct stwi_port ports[3];

static int set_up_alone(void **state) {
  (void)state;
  const struct stwi_conn_config config = {.inbound_buffer = 65536};
  mailbox = stwi_mailbox_make();
  assert_non_null(mailbox);
  memset(ports, 0, sizeof ports);
  for (uint64_t i = 0; i < 3; i++) {
    ports[i].handle.id = i + 1;
    pthread_mutex_init(&ports[i].lock, NULL);
    assert_true(stwi_box_init(&ports[i].box, &config));
    assert_true(stwi_mailbox_join(mailbox, &ports[i]));
  }
  return 0;
}

static int tear_down_alone(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    stwi_mailbox_leave(mailbox, &ports[i]);
    stwi_box_fini(&ports[i].box);
    pthread_mutex_destroy(&ports[i].lock);
  }
  stwi_mailbox_drop(mailbox);
  return 0;
}

static void put_many(struct stwi_port *port, int count) {
  stw_event event = {.kind = STW_EVENT_MESSAGE, .conn = port->handle};
  event.u.message.data = "m";
  event.u.message.size = 1;
  pthread_mutex_lock(&mailbox->lock);
  for (int i = 0; i < count; i++)
    stwi_mailbox_put(mailbox, port, &event);
  stwi_mailbox_unlock(mailbox);
}

static void the_descriptor_follows_what_waits(void **state) {
  (void)state;
  const stw_event *events[4];
  assert_false(is_readable(mailbox->fd));
  put_many(&ports[0], 3);
  put_many(&ports[1], 1);
  assert_true(is_readable(mailbox->fd));
  assert_int_equal(stwi_mailbox_take(mailbox, events, 2), 2);
  assert_true(is_readable(mailbox->fd));
  assert_int_equal(stwi_mailbox_take(mailbox, events, 4), 2);
  assert_false(is_readable(mailbox->fd));
  assert_int_equal(stwi_mailbox_take(mailbox, events, 4), 0);
  put_many(&ports[2], 1);
  assert_true(is_readable(mailbox->fd));
  stwi_mailbox_leave(mailbox, &ports[2]); /* its events go with it */
  assert_false(is_readable(mailbox->fd));
}

static void what_is_put_for_a_port_that_left_is_dropped(void **state) {
  (void)state;
  const stw_event *events[4];
  stwi_mailbox_leave(mailbox, &ports[1]);
  stwi_mailbox_leave(mailbox, &ports[1]);
  put_many(&ports[1], 5);
  assert_false(is_readable(mailbox->fd));
  assert_int_equal(stwi_mailbox_take(mailbox, events, 4), 0);
}

static void ports_take_turns(void **state) {
  (void)state;
  const stw_event *events[128];
  put_many(&ports[0], 1000);
  put_many(&ports[1], 10);
  put_many(&ports[2], 10);
  size_t seen[4] = {0};
  const size_t count = stwi_mailbox_take(mailbox, events, 128);
  for (size_t i = 0; i < count; i++)
    seen[events[i]->conn.id]++;
  assert_int_equal(count, 128);
  assert_int_equal(seen[2], 10);
  assert_int_equal(seen[3], 10);
  put_many(&ports[1], 1); /* also with room for one event at a time */
  for (int i = 0; i < 2 && seen[2] == 10; i++) {
    assert_int_equal(stwi_mailbox_take(mailbox, events, 1), 1);
    seen[events[0]->conn.id]++;
  }
  assert_int_equal(seen[2], 11);
}

static void events_are_lent_until_the_next_drain(void **state) {
  (void)state;
  const stw_event *events[4];
  put_many(&ports[0], 1);
  assert_int_equal(stwi_mailbox_take(mailbox, events, 4), 1);
  put_many(&ports[0], 300);
  stwi_mailbox_leave(mailbox, &ports[0]);
  assert_int_equal(events[0]->conn.id, 1); /* ASan and valgrind watch */
  assert_memory_equal(events[0]->u.message.data, "m", 1);
}

static void a_freed_mailbox_takes_no_new_member(void **state) {
  (void)state;
  stwi_mailbox_leave(mailbox, &ports[0]);
  mailbox->is_closed = true;
  assert_false(stwi_mailbox_join(mailbox, &ports[0]));
  assert_false(ports[0].is_member);
}

/* ---- through the ABI ---- */

static void many_conns_share_one_mailbox(void **state) {
  (void)state;
  enum { CONNS = 40 };
  stw_conn conns[CONNS];
  for (uint16_t i = 0; i < CONNS; i++)
    conns[i] = host_open(&host, (uint16_t)(100 + i), NULL);
  assert_true(fake_server_is_live(&host.server, CONNS));
  for (int i = 0; i < CONNS; i++) {
    host.read = 0;
    host_wait_state(&host, conns[i], STW_STATE_ONLINE);
  }
  for (uint16_t i = 0; i < CONNS; i++)
    fake_server_send(&host.server, (uint16_t)(100 + i), &i, 2);
  for (uint16_t i = 0; i < CONNS; i++) {
    uint16_t value;
    host.read = 0;
    const struct host_event *event = host_wait(&host, conns[i], STW_EVENT_MESSAGE);
    assert_non_null(event);
    memcpy(&value, event->text, sizeof value);
    assert_int_equal(value, i);
  }
}

static void one_slow_conn_stops_only_itself(void **state) {
  (void)state;
  const char *options[] = {"inbound_buffer", "64KiB", NULL};
  stw_conn slow = host_open(&host, 1, options), fast = host_open(&host, 2, options);
  host_wait_state(&host, slow, STW_STATE_ONLINE);
  host.read = 0;
  host_wait_state(&host, fast, STW_STATE_ONLINE);
  char data[1000] = {0};
  for (int i = 0; i < 100; i++)
    fake_server_send(&host.server, 1, data, sizeof data);
  for (int i = 0; i < 10; i++) {
    fake_server_send(&host.server, 2, "x", 1);
    assert_non_null(host_wait(&host, fast, STW_EVENT_MESSAGE));
  }
}

static void a_conn_may_be_freed_while_its_events_are_lent(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    stw_conn conn = host_open(&host, 1, NULL);
    host_wait_state(&host, conn, STW_STATE_ONLINE);
    fake_server_send(&host.server, 1, "still here", 10);
    const stw_event *events[1];
    size_t count = 0;
    while (count == 0) {
      stw_mailbox_wait(host.mailbox, HOST_GUARD_MS);
      assert_int_equal(stw_mailbox_drain(host.mailbox, events, 1, &count), STW_OK);
    }
    assert_int_equal(events[0]->kind, STW_EVENT_MESSAGE);
    assert_int_equal(stw_conn_free(conn), STW_OK);
    assert_memory_equal(events[0]->u.message.data, "still here", 10);
    assert_int_equal(events[0]->conn.id, conn.id);
  }
}

static void no_event_of_a_freed_conn_arrives(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    stw_conn conn = host_open(&host, 1, NULL);
    if (i % 2 == 0)
      host_wait_state(&host, conn, STW_STATE_ONLINE);
    assert_int_equal(stw_conn_free(conn), STW_OK);
    host.read = host.count;
    host_drain(&host);
    for (; host.read < host.count; host.read++)
      assert_int_not_equal(host.events[host.read].event.conn.id, conn.id);
  }
}

static void freeing_a_mailbox_frees_its_conns(void **state) {
  (void)state;
  stw_conn conns[3];
  for (uint16_t i = 0; i < 3; i++)
    conns[i] = host_open(&host, (uint16_t)(1 + i), NULL);
  assert_true(fake_server_is_live(&host.server, 3));
  assert_int_equal(stw_mailbox_free(host.mailbox), STW_OK);
  for (int i = 0; i < 3; i++)
    EXPECT(stw_conn_free(conns[i]), STW_E_HANDLE, "stale");
  assert_true(fake_server_is_live(&host.server, 0));
}

struct drainer {
  _Atomic uint64_t drained, busy;
  _Atomic bool is_wrong, is_over;
};

static void *drain_on(void *arg) {
  struct drainer *drainer = arg;
  while (!atomic_load(&drainer->is_over)) {
    const stw_event *events[16];
    size_t count = 0;
    const stw_status status = stw_mailbox_drain(host.mailbox, events, 16, &count);
    if (status == STW_E_BUSY)
      atomic_fetch_add(&drainer->busy, 1);
    else if (status != STW_OK)
      atomic_store(&drainer->is_wrong, true);
    atomic_fetch_add(&drainer->drained, count);
  }
  return NULL;
}

static void of_two_drainers_one_is_told_to_wait(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  struct drainer drainer = {0};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, drain_on, &drainer), 0);
  for (int i = 0; i < 2000; i++)
    fake_server_send(&host.server, 1, "x", 1);
  while (atomic_load(&drainer.drained) < 2000 || atomic_load(&drainer.busy) == 0)
    sched_yield();
  atomic_store(&drainer.is_over, true);
  for (int i = 0; i < 3; i++)
    pthread_join(threads[i], NULL);
  assert_false(drainer.is_wrong);
  assert_int_equal(drainer.drained, 2000);
}

/* Deterministic twin of the above: the mailbox is being drained. */
static void a_mailbox_being_drained_is_busy(void **state) {
  (void)state;
  struct stwi_mailbox *inside;
  stw_conn conn = host_open(&host, 1, NULL);
  (void)conn;
  const stw_event *events[1];
  size_t count;
  assert_int_equal(stwi_handle_hold(host.mailbox.id, STWI_HANDLE_MAILBOX, (void **)&inside),
                   STW_OK);
  atomic_store(&inside->is_draining, true);
  EXPECT(stw_mailbox_drain(host.mailbox, events, 1, &count), STW_E_BUSY, "one thread");
  atomic_store(&inside->is_draining, false);
  EXPECT(stw_mailbox_drain(host.mailbox, events, 1, &count), STW_OK, "");
  stwi_handle_drop(host.mailbox.id);
}

struct opener {
  _Atomic uint32_t opened;
  _Atomic bool is_wrong, is_over;
};

static void *open_on(void *arg) {
  struct opener *opener = arg;
  while (!atomic_load(&opener->is_over)) {
    stw_conn conn = {0};
    const stw_status status = host_try_open(&host, 1, NULL, &conn);
    if (status == STW_OK)
      atomic_fetch_add(&opener->opened, 1);
    else if (status != STW_E_HANDLE)
      atomic_store(&opener->is_wrong, true);
    if (status != STW_OK)
      break;
  }
  return NULL;
}

static void a_mailbox_freed_while_conns_are_opened_leaves_none(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    struct opener opener = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_on, &opener), 0);
    while (atomic_load(&opener.opened) < 3)
      sched_yield();
    assert_int_equal(stw_mailbox_free(host.mailbox), STW_OK);
    pthread_join(thread, NULL);
    assert_false(opener.is_wrong);
    assert_true(fake_server_is_live(&host.server, 0));
    assert_int_equal(stw_mailbox_new(&host.mailbox), STW_OK);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ALONE(name) cmocka_unit_test_setup_teardown(name, set_up_alone, tear_down_alone)
  const struct CMUnitTest tests[] = {
      ALONE(the_descriptor_follows_what_waits),
      ALONE(what_is_put_for_a_port_that_left_is_dropped),
      ALONE(ports_take_turns),
      ALONE(events_are_lent_until_the_next_drain),
      ALONE(a_freed_mailbox_takes_no_new_member),
      TEST(many_conns_share_one_mailbox),
      TEST(one_slow_conn_stops_only_itself),
      TEST(a_conn_may_be_freed_while_its_events_are_lent),
      TEST(no_event_of_a_freed_conn_arrives),
      TEST(freeing_a_mailbox_frees_its_conns),
      TEST(of_two_drainers_one_is_told_to_wait),
      TEST(a_mailbox_being_drained_is_busy),
      TEST(a_mailbox_freed_while_conns_are_opened_leaves_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
