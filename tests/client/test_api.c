/* The public ABI end to end: engines and mailboxes, what they refuse, and what they leave behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

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

static bool is_readable(void) {
  struct pollfd wanted = {.fd = stw_mailbox_fd(host.mailbox), .events = POLLIN};
  return poll(&wanted, 1, 0) == 1;
}

/* ---- refusals ---- */

static void engine_calls_refuse_what_is_no_engine(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  const uint64_t foreign[] = {0, UINT64_MAX, host.mailbox.id, conn.id, host.engine.id ^ 1ull << 40};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    EXPECT(stw_engine_free((stw_engine){foreign[i]}), STW_E_HANDLE, "stw_engine_new");
    EXPECT(stw_engine_network((stw_engine){foreign[i]}, STW_NETWORK_UP), STW_E_HANDLE, "stale");
  }
  EXPECT(stw_engine_new(NULL), STW_E_ARGUMENT, "NULL");
  EXPECT(stw_engine_network(host.engine, (stw_network)77), STW_E_ARGUMENT, "77");
  EXPECT(stw_engine_network(host.engine, STW_NETWORK_UP), STW_OK, "");
}

static void mailbox_calls_refuse_what_is_no_mailbox(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  const uint64_t foreign[] = {0, UINT64_MAX, host.engine.id, conn.id, host.mailbox.id ^ 1ull << 40};
  const stw_event *events[4];
  size_t count = 7;
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    const stw_mailbox wrong = {foreign[i]};
    EXPECT(stw_mailbox_free(wrong), STW_E_HANDLE, "stw_mailbox_new");
    EXPECT(stw_mailbox_drain(wrong, events, 4, &count), STW_E_HANDLE, "stale");
    assert_int_equal(count, 0);
    EXPECT(stw_mailbox_wait(wrong, 0), STW_E_HANDLE, "stale");
    EXPECT((stw_status)stw_mailbox_fd(wrong), STW_E_HANDLE, "stale");
  }
  EXPECT(stw_mailbox_new(NULL), STW_E_ARGUMENT, "NULL");
  EXPECT(stw_mailbox_drain(host.mailbox, NULL, 4, &count), STW_E_ARGUMENT, "room");
  EXPECT(stw_mailbox_drain(host.mailbox, events, 0, &count), STW_E_ARGUMENT, "room");
  EXPECT(stw_mailbox_drain(host.mailbox, events, 4, NULL), STW_E_ARGUMENT, "room");
}

static void a_freed_engine_and_mailbox_are_refused(void **state) {
  (void)state;
  stw_engine engine;
  stw_mailbox mailbox;
  const stw_event *events[1];
  size_t count;
  assert_int_equal(fake_engine_new(&host.server, &engine), STW_OK);
  assert_int_equal(stw_mailbox_new(&mailbox), STW_OK);
  assert_int_equal(stw_engine_free(engine), STW_OK);
  assert_int_equal(stw_mailbox_free(mailbox), STW_OK);
  EXPECT(stw_engine_free(engine), STW_E_HANDLE, "stale");
  EXPECT(stw_engine_network(engine, STW_NETWORK_UP), STW_E_HANDLE, "stale");
  EXPECT(stw_mailbox_free(mailbox), STW_E_HANDLE, "stale");
  EXPECT(stw_mailbox_drain(mailbox, events, 1, &count), STW_E_HANDLE, "stale");
  stw_config *config = stw_config_new();
  stw_conn conn;
  assert_int_equal(stw_config_set(config, "url", "ws://fake:1"), STW_OK);
  EXPECT(stw_conn_open(engine, host.mailbox, config, &conn), STW_E_HANDLE, "stale");
  EXPECT(stw_conn_open(host.engine, mailbox, config, &conn), STW_E_HANDLE, "stale");
  stw_config_free(config);
}

static void the_library_has_the_version_of_its_headers(void **state) {
  (void)state;
  assert_string_equal(stw_version(), STW_VERSION);
}

/* ---- waiting ---- */

static void waiting_ends_at_its_timeout(void **state) {
  (void)state;
  EXPECT(stw_mailbox_wait(host.mailbox, 0), STW_E_TIMEOUT, "0 ms");
  EXPECT(stw_mailbox_wait(host.mailbox, 3), STW_E_TIMEOUT, "3 ms");
}

static void on_signal(int number) {
  (void)number;
}

struct nudge {
  pthread_t sleeper;
  _Atomic bool is_over;
};

static void *nudge(void *arg) {
  struct nudge *nudge = arg;
  while (!atomic_load(&nudge->is_over)) {
    pthread_kill(nudge->sleeper, SIGUSR1);
    sched_yield();
  }
  return NULL;
}

static void a_signal_interrupts_waiting(void **state) {
  (void)state;
  struct sigaction before, action = {.sa_handler = on_signal};
  assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
  struct nudge order = {.sleeper = pthread_self()};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, nudge, &order), 0);
  EXPECT(stw_mailbox_wait(host.mailbox, INT64_MAX), STW_E_INTERRUPTED, "signal");
  atomic_store(&order.is_over, true);
  pthread_join(thread, NULL);
  sigaction(SIGUSR1, &before, NULL);
}

static void an_event_ends_waiting_for_ever(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  assert_int_equal(stw_mailbox_wait(host.mailbox, -1), STW_OK);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
}

static void the_descriptor_is_readable_while_events_wait(void **state) {
  (void)state;
  assert_false(is_readable());
  stw_conn conn = host_open(&host, 1, NULL);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  while (host_drain(&host) > 0)
    continue;
  assert_false(is_readable());
  fake_server_send(&host.server, 1, "a", 1);
  assert_int_equal(stw_mailbox_wait(host.mailbox, HOST_GUARD_MS), STW_OK);
  assert_true(is_readable());
  assert_int_equal(host_drain(&host), 1);
  assert_false(is_readable());
}

/* ---- leaving nothing behind ---- */

static void nothing_is_left_after_many_engines(void **state) {
  (void)state;
  struct sigaction pipe_before, pipe_after;
  sigset_t mask_before, mask_after;
  sigaction(SIGPIPE, NULL, &pipe_before);
  pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
  size_t descriptors = 0, threads = 0;
  for (int i = 0; i < 202; i++) {
    if (i == 2) { /* what a library makes once for the process is there now */
      descriptors = host_entries("/proc/self/fd");
      threads = host_entries("/proc/self/task");
    }
    struct host one;
    host_init(&one);
    stw_conn conn = host_open(&one, 1, NULL);
    if (i % 2 == 0)
      host_wait_state(&one, conn, STW_STATE_ONLINE);
    if (i % 3 == 0)
      stw_conn_free(conn);
    host_fini(&one);
  }
  assert_int_equal(host_entries("/proc/self/fd"), descriptors);
  assert_int_equal(host_entries("/proc/self/task"), threads);
  sigaction(SIGPIPE, NULL, &pipe_after);
  pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
  assert_ptr_equal(pipe_after.sa_handler, pipe_before.sa_handler);
  for (int number = 1; number < NSIG; number++)
    assert_int_equal(sigismember(&mask_after, number), sigismember(&mask_before, number));
}

/* The same with the transport that people use; it dials, and is refused.  Starting one takes some
 * 20 ms of TLS set-up, hence fewer. */
enum { REAL_ROUNDS = 12 };

static void nothing_is_left_after_many_real_engines(void **state) {
  (void)state;
  struct sigaction pipe_before, pipe_after;
  sigaction(SIGPIPE, NULL, &pipe_before);
  stw_config *config = stw_config_new();
  assert_int_equal(stw_config_set(config, "url", "ws://127.0.0.1:1"), STW_OK);
  size_t descriptors = 0, threads = 0;
  for (int i = 0; i < REAL_ROUNDS; i++) {
    if (i == 2) {
      descriptors = host_entries("/proc/self/fd");
      threads = host_entries("/proc/self/task");
    }
    stw_engine engine;
    stw_conn conn;
    assert_int_equal(stw_engine_new(&engine), STW_OK);
    assert_int_equal(stw_conn_open(engine, host.mailbox, config, &conn), STW_OK);
    if (i % 10 == 0)
      host_wait_state(&host, conn, STW_STATE_WAITING);
    if (i % 2 == 0)
      assert_int_equal(stw_conn_free(conn), STW_OK);
    assert_int_equal(stw_engine_free(engine), STW_OK);
    if (i % 2 == 1) {
      assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
      assert_int_equal(stw_conn_free(conn), STW_OK);
    }
  }
  stw_config_free(config);
  assert_int_equal(host_entries("/proc/self/fd"), descriptors);
  assert_int_equal(host_entries("/proc/self/task"), threads);
  sigaction(SIGPIPE, NULL, &pipe_after);
  assert_ptr_equal(pipe_after.sa_handler, pipe_before.sa_handler);
}

static void a_freed_engine_leaves_the_last_events_readable(void **state) {
  (void)state;
  stw_conn conns[5];
  for (uint16_t i = 0; i < 5; i++) {
    conns[i] = host_open(&host, (uint16_t)(1 + i), NULL);
    host_wait_state(&host, conns[i], STW_STATE_ONLINE);
  }
  fake_server_be(&host.server, (struct fake_manner){.is_silent = true});
  assert_int_equal(host_send(conns[2], "never proven", NULL), STW_OK);
  assert_int_equal(stw_engine_free(host.engine), STW_OK);
  size_t start = host.read;
  for (int i = 0; i < 5; i++) {
    host.read = start;
    const struct host_event *closed = host_wait(&host, conns[i], STW_EVENT_CLOSED);
    assert_non_null(closed);
    assert_int_equal(closed->event.u.closed.cause, STW_CAUSE_LOCAL_STOP);
    assert_int_equal(closed->event.u.closed.undelivered, i == 2 ? 1 : 0);
    assert_int_equal(host_look(conns[i]).state, STW_STATE_CLOSED);
    EXPECT(host_send(conns[i], "x", NULL), STW_E_CLOSED, "closed");
    EXPECT(stw_conn_reopen(conns[i]), STW_E_CLOSED, "engine was stopped");
  }
}

/* A conn that was opened at the last moment also hears of its end. */
static void an_open_just_before_the_engines_end_is_closed(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    stw_engine before = host.engine;
    assert_int_equal(fake_engine_new(&host.server, &host.engine), STW_OK);
    stw_conn conn = host_open(&host, 1, NULL);
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
    assert_int_equal(stw_engine_free(host.engine), STW_OK);
    const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
    assert_non_null(closed);
    stw_conn_free(conn);
    host.engine = before;
  }
}

/* ---- fork ---- */

/* All calls on what the parent made; 0 when each says E_FORKED, else which did not. */
static int use_after_fork(stw_conn conn) {
  const stw_event *events[1];
  size_t count;
  uint64_t value;
  stw_outbox_entry entry;
  stw_conn_view view = {.struct_size = sizeof view};
  stw_credentials credentials = {.struct_size = sizeof credentials};
  stw_message_id id = {1, 1};
  stw_payload payload = {"x", 1};
  stw_conn other;
  stw_config *config = stw_config_new();
  stw_config_set(config, "url", "ws://fake:1");
  const stw_status answers[] = {
      stw_engine_network(host.engine, STW_NETWORK_UP),
      stw_mailbox_drain(host.mailbox, events, 1, &count),
      stw_mailbox_wait(host.mailbox, 0),
      (stw_status)stw_mailbox_fd(host.mailbox),
      stw_conn_open(host.engine, host.mailbox, config, &other),
      stw_conn_send(conn, "x", 1, NULL, NULL),
      stw_conn_send_many(conn, &payload, 1, NULL, NULL, NULL),
      stw_conn_close(conn, 0),
      stw_conn_reopen(conn),
      stw_conn_kick(conn),
      stw_conn_ready(conn),
      stw_conn_opening(conn, "k", "x", 1, true),
      stw_conn_supply(conn, &credentials),
      stw_conn_look(conn, &view),
      stw_conn_stats(conn, &value, 1),
      stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, &entry, 1, &count),
      stw_outbox_body(stw_outbox_of(conn), id, NULL, 0, &count),
      stw_outbox_cancel(stw_outbox_of(conn), id),
      stw_conn_free(conn),
      stw_mailbox_free(host.mailbox),
      stw_engine_free(host.engine),
  };
  stw_config_free(config);
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
    if (answers[i] != STW_E_FORKED)
      return 1 + (int)i;
  return strstr(stw_last_error(), "fork()") != NULL ? 0 : 100;
}

#if defined(__SANITIZE_THREAD__) /* no thread may be started in the child of a process with        \
                                    threads */
static int work_in_the_child(void) {
  return 0;
}
#else
static int work_in_the_child(void) {
  struct fake_server server;
  stw_engine engine;
  stw_mailbox mailbox;
  stw_conn conn;
  fake_server_init(&server);
  stw_config *config = stw_config_new();
  bool is_right = fake_engine_new(&server, &engine) == STW_OK &&
                  stw_mailbox_new(&mailbox) == STW_OK &&
                  stw_config_set(config, "url", "ws://fake:1") == STW_OK &&
                  stw_conn_open(engine, mailbox, config, &conn) == STW_OK &&
                  stw_conn_send(conn, "from the child", 14, NULL, NULL) == STW_OK &&
                  fake_server_has(&server, 1) && stw_conn_free(conn) == STW_OK &&
                  stw_mailbox_free(mailbox) == STW_OK && stw_engine_free(engine) == STW_OK;
  stw_config_free(config);
  fake_server_fini(&server);
  return is_right ? 0 : 101;
}
#endif

/* What a child of fork found.  It ends by a signal: a memory checker would take what only the
 * parent's engine thread refers to for leaks of the child. */
static int ask_a_child(stw_conn conn) {
  int pipes[2], found = -1;
  assert_int_equal(pipe(pipes), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    found = use_after_fork(conn);
    if (found == 0)
      found = work_in_the_child();
    if (write(pipes[1], &found, sizeof found) == sizeof found)
      kill(getpid(), SIGKILL);
    _exit(1);
  }
  close(pipes[1]);
  const ssize_t got = read(pipes[0], &found, sizeof found);
  close(pipes[0]);
  assert_int_equal(waitpid(child, NULL, 0), child);
  return got == sizeof found ? found : -1;
}

static void a_child_of_fork_is_told_and_can_begin_anew(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(host_send(conn, "busy", NULL), STW_OK);
    assert_int_equal(ask_a_child(conn), 0);
  }
  assert_true(fake_server_has(&host.server, 10)); /* the parent goes on as before */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(engine_calls_refuse_what_is_no_engine),
      TEST(mailbox_calls_refuse_what_is_no_mailbox),
      TEST(a_freed_engine_and_mailbox_are_refused),
      TEST(the_library_has_the_version_of_its_headers),
      TEST(waiting_ends_at_its_timeout),
      TEST(a_signal_interrupts_waiting),
      TEST(an_event_ends_waiting_for_ever),
      TEST(the_descriptor_is_readable_while_events_wait),
      TEST(nothing_is_left_after_many_engines),
      TEST(nothing_is_left_after_many_real_engines),
      TEST(a_freed_engine_leaves_the_last_events_readable),
      TEST(an_open_just_before_the_engines_end_is_closed),
      TEST(a_child_of_fork_is_told_and_can_begin_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
