/* Every allocation of open, send, receive, drain and close fails once, on whichever thread it is:
 * no crash, no leak, no wait for ever, and what was told is true.
 *
 * The program is linked with --wrap for malloc, calloc and realloc.  Shared libraries keep the real
 * ones, and so does the fake server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdatomic.h>

#include "client/box.h"
#include "host.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* Allocations until some fail; negative: all succeed. */
static _Atomic long until_failure = -1;
static _Atomic long failures_left;

static bool fails(void) {
  if (atomic_load(&until_failure) < 0)
    return false;
  if (atomic_fetch_sub(&until_failure, 1) > 0)
    return false;
  atomic_store(&until_failure, atomic_fetch_sub(&failures_left, 1) > 1 ? 0 : -1);
  return true;
}

void *__wrap_malloc(size_t size) {
  return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
  return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
  return fails() ? NULL : __real_realloc(memory, size);
}

static void fail_after(long count, long failures) {
  atomic_store(&failures_left, failures);
  atomic_store(&until_failure, count);
}

static bool has_failed(void) {
  const bool is_over = atomic_load(&until_failure) < 0;
  atomic_store(&until_failure, -1);
  return is_over;
}

/* ---- one life of a conn ---- */

struct tally {
  uint64_t taken;
  bool is_opened;
};

static stw_status send_some(stw_conn conn, struct tally *tally) {
  static const char body[700];
  stw_status status = STW_OK;
  for (int i = 0; i < 20 && status == STW_OK; i++) {
    status = stw_conn_send(conn, body, sizeof body, NULL, NULL);
    tally->taken += status == STW_OK;
  }
  return status;
}

/* A conn that was refused or ended for want of memory must have said so. */
static bool is_honest(stw_status status) {
  return status == STW_OK || status == STW_E_MEMORY;
}

/* All that happens between open and CLOSED while one allocation fails.  Nothing hangs: with memory
 * again everything that was taken is delivered, or CLOSED counts it. */
static void live(struct host *host, long count, long failures, bool *is_through) {
  struct tally tally = {0};
  stw_conn conn = {0};
  fail_after(count, failures);
  const stw_status opened = host_try_open(host, 1, NULL, &conn);
  assert_true(is_honest(opened));
  if (opened == STW_OK) {
    const stw_status sent = send_some(conn, &tally);
    assert_true(is_honest(sent) || sent == STW_E_CLOSED);
    stw_status closing = stw_conn_close(conn, HOST_GUARD_MS);
    *is_through = !has_failed();
    if (closing == STW_E_MEMORY)
      closing = stw_conn_close(conn, HOST_GUARD_MS);
    assert_true(closing == STW_OK || closing == STW_E_CLOSED);
    const struct host_event *closed = host_wait(host, conn, STW_EVENT_CLOSED);
    assert_non_null(closed);
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    if (closed->event.u.closed.cause == STW_CAUSE_REQUESTED) {
      assert_int_equal(values[STW_METRIC_SETTLED], tally.taken);
      assert_int_equal(closed->event.u.closed.undelivered, 0);
    } else {
      assert_int_equal(closed->event.u.closed.cause, STW_CAUSE_OVERLOAD_LOCAL);
    }
    assert_int_equal(stw_conn_free(conn), STW_OK);
  } else {
    *is_through = false;
    has_failed();
  }
  assert_true(fake_server_is_live(&host->server, 0));
}

static void each_allocation_of_a_conn_may_fail(void **state) {
  (void)state;
  bool is_through = false;
  long count = 0;
  for (; !is_through && count < 500; count++) {
    struct host host;
    host_init(&host);
    live(&host, count, 1, &is_through);
    host_fini(&host);
  }
  assert_true(is_through);
  assert_true(count > 20); /* so many there were at least */
}

static void each_allocation_of_an_engine_may_fail(void **state) {
  (void)state;
  stw_status status = STW_E_MEMORY;
  for (long count = 0; status != STW_OK && count < 500; count++) {
    struct fake_server server;
    stw_engine engine;
    fake_server_init(&server);
    fail_after(count, 1);
    status = fake_engine_new(&server, &engine);
    atomic_store(&until_failure, -1);
    assert_true(is_honest(status) || status == STW_E_SYSTEM);
    if (status == STW_OK)
      assert_int_equal(stw_engine_free(engine), STW_OK);
    fake_server_fini(&server);
  }
  assert_int_equal(status, STW_OK);
}

static void freeing_needs_no_memory(void **state) {
  (void)state;
  struct host host;
  host_init(&host);
  for (int i = 0; i < 50; i++) {
    stw_conn conn = host_open(&host, 1, NULL);
    host_wait_state(&host, conn, STW_STATE_ONLINE);
    fail_after(0, 1000000);
    assert_int_equal(stw_conn_free(conn), STW_OK);
    const bool is_gone = fake_server_is_live(&host.server, 0);
    atomic_store(&until_failure, -1);
    assert_true(is_gone);
  }
  host_fini(&host);
}

/* ---- a box without memory ---- */

static bool put(struct stwi_box *box, stw_event_kind kind, uint64_t value) {
  stw_event event;
  memset(&event, 0, sizeof event);
  event.kind = kind;
  if (kind == STW_EVENT_STATE)
    event.u.state.to = (stw_state)value;
  if (kind == STW_EVENT_PROOF) {
    event.u.proof.proof = value % 2 == 0 ? STW_PROOF_WRITTEN : STW_PROOF_RECEIVED;
    event.u.proof.upto = value;
  }
  if (kind == STW_EVENT_MESSAGE)
    return stwi_box_message(box, &event);
  return stwi_box_event(box, &event);
}

static void a_box_without_memory_keeps_what_a_host_waits_for(void **state) {
  (void)state;
  const struct stwi_conn_config config = {.inbound_buffer = 65536};
  struct stwi_box box;
  assert_true(stwi_box_init(&box, &config));
  for (int round = 0; round < 3; round++) {
    fail_after(0, 1000000);
    for (uint64_t i = 1; i <= 100; i++) {
      assert_true(put(&box, STW_EVENT_STATE, i % STW_STATE_CLOSED));
      assert_true(put(&box, STW_EVENT_PROOF, i));
      assert_false(put(&box, STW_EVENT_MESSAGE, 0));
    }
    assert_true(put(&box, STW_EVENT_STATE, STW_STATE_CLOSED));
    assert_true(put(&box, STW_EVENT_CLOSED, 0));
    atomic_store(&until_failure, -1);
    const stw_event *events[16];
    struct stwi_box_chunk *lent = NULL;
    const size_t count = stwi_box_drain(&box, events, 16, &lent);
    assert_in_range(count, 5, 6);
    uint64_t missing = 0, written = 0, received = 0;
    for (size_t i = 0; i < count; i++) {
      if (events[i]->kind == STW_EVENT_GAP)
        missing += events[i]->u.gap.messages;
      if (events[i]->kind == STW_EVENT_STATE)
        assert_int_equal(events[i]->u.state.to, STW_STATE_CLOSED);
      if (events[i]->kind != STW_EVENT_PROOF)
        continue;
      if (events[i]->u.proof.proof == STW_PROOF_WRITTEN)
        written = events[i]->u.proof.upto;
      else
        received = events[i]->u.proof.upto;
    }
    assert_int_equal(missing, 100);
    assert_int_equal(written, 100);
    assert_int_equal(received, 99);
    assert_int_equal(events[count - 1]->kind, STW_EVENT_CLOSED);
    stwi_box_release(lent);
    assert_true(stwi_box_is_empty(&box));
    assert_true(put(&box, STW_EVENT_STATE, 1)); /* the reserve is there again */
    lent = NULL;
    assert_int_equal(stwi_box_drain(&box, events, 16, &lent), 1);
    stwi_box_release(lent);
  }
  stwi_box_fini(&box);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_box_without_memory_keeps_what_a_host_waits_for),
      cmocka_unit_test(freeing_needs_no_memory),
      cmocka_unit_test(each_allocation_of_an_engine_may_fail),
      cmocka_unit_test(each_allocation_of_a_conn_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
