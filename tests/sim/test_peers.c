/* Each peer's delays against its published rule, written out here once more as plain figures. */
#include "sim/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define T0 (1000 * STWI_S)
#define STEPS_MAX 12u

/* The delays of all clients come within this part of the range of both its ends: a third draw that
 * depends on the first two seldom comes nearer. */
enum { CLIENTS = 20000, FILL_PART = 4 };

struct range {
  double least_ms, most_ms;
};

struct rule {
  enum stwi_peer_kind kind;
  struct range delays[STEPS_MAX]; /* of the first failures; the last repeats */
  unsigned count;
};

/* Ranges that every delay keeps and that the delays of many clients fill. */
static const struct rule rules[] = {
    {STWI_PEER_FIXED, {{30000, 30000}}, 1},
    {STWI_PEER_EXPONENTIAL,
     {{1000, 1000}, {2000, 2000}, {4000, 4000}, {8000, 8000}, {16000, 16000}, {30000, 30000}},
     6},
    {STWI_PEER_FULL_JITTER,
     {{0, 1000}, {0, 2000}, {0, 4000}, {0, 8000}, {0, 16000}, {0, 30000}},
     6},
    {STWI_PEER_EQUAL_JITTER,
     {{500, 1000}, {1000, 2000}, {2000, 4000}, {4000, 8000}, {8000, 16000}, {15000, 30000}},
     6},
    {STWI_PEER_DECORRELATED, {{1000, 3000}, {1000, 9000}, {1000, 27000}, {1000, 30000}}, 4},
    {STWI_PEER_GRPC,
     {{0, 0}, {1000, 1000}, {1280, 1920}, {2048, 3072}, {3276.8, 4915.2}, {5242.88, 7864.32}},
     6},
    {STWI_PEER_SOCKETIO, {{550, 1500}, {1100, 3000}, {2200, 5000}, {4400, 5000}, {5000, 5000}}, 5},
    {STWI_PEER_PHOENIX,
     {{10, 10},
      {50, 50},
      {100, 100},
      {150, 150},
      {200, 200},
      {250, 250},
      {500, 500},
      {1000, 1000},
      {2000, 2000},
      {5000, 5000}},
     10},
    {STWI_PEER_SIGNALR, {{0, 0}, {2000, 2000}, {10000, 10000}, {30000, 30000}}, 4},
    {STWI_PEER_WEBSOCKETS,
     {{0, 0},
      {0, 5000},
      {3100, 3100},
      {5015.8, 5015.8},
      {8115.5644, 8115.5644},
      {13130.983, 13130.983},
      {21245.931, 21245.931},
      {34375.916, 34375.916},
      {55620.232, 55620.232},
      {89993.536, 89993.536},
      {90000, 90000}},
     11},
};

static double next_ms(struct stwi_peer_retry *retry, stwi_time *now, struct stwi_random *random) {
  const stwi_time then = *now;
  *now = stwi_peer_next(retry, then, then, random);
  assert_true(*now >= then && *now != STWI_NEVER);
  return (double)(*now - then) / (double)STWI_MS;
}

static void expect_rule(const struct rule *rule) {
  struct range seen[STEPS_MAX];
  for (unsigned i = 0; i < rule->count; i++)
    seen[i] = (struct range){1e9, 0};
  for (unsigned client = 0; client < CLIENTS; client++) {
    struct stwi_random random;
    stwi_random_seed(&random, client);
    struct stwi_peer_retry retry;
    stwi_peer_init(&retry, rule->kind);
    stwi_time now = T0;
    for (unsigned i = 0; i < rule->count; i++) {
      const double delay = next_ms(&retry, &now, &random);
      assert_true(delay >= rule->delays[i].least_ms - 1e-3);
      assert_true(delay <= rule->delays[i].most_ms + 1e-3);
      seen[i].least_ms = delay < seen[i].least_ms ? delay : seen[i].least_ms;
      seen[i].most_ms = delay > seen[i].most_ms ? delay : seen[i].most_ms;
    }
  }
  for (unsigned i = 0; i < rule->count; i++) {
    const struct range *want = &rule->delays[i];
    const double slack = (want->most_ms - want->least_ms) / FILL_PART;
    assert_true(seen[i].least_ms <= want->least_ms + slack + 1e-3);
    assert_true(seen[i].most_ms >= want->most_ms - slack - 1e-3);
  }
}

static void every_peer_keeps_its_published_rule(void **unused) {
  (void)unused;
  assert_int_equal(sizeof rules / sizeof rules[0], STWI_PEER_COUNT);
  for (size_t i = 0; i < STWI_PEER_COUNT; i++) {
    assert_int_equal(rules[i].kind, i);
    expect_rule(&rules[i]);
  }
}

static void the_cap_holds_for_ever(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, 1);
  for (size_t kind = 0; kind < STWI_PEER_COUNT; kind++) {
    if (kind == STWI_PEER_SIGNALR)
      continue;
    struct stwi_peer_retry retry;
    stwi_peer_init(&retry, kind);
    stwi_time now = T0;
    const double cap_ms = (double)retry.peer->cap_ns / (double)STWI_MS;
    const double jitter = kind == STWI_PEER_GRPC ? 1.2 : 1;
    for (unsigned i = 0; i < 500; i++)
      assert_true(next_ms(&retry, &now, &random) <= cap_ms * jitter + 1e-3);
    const struct rule *rule = &rules[kind];
    assert_true(next_ms(&retry, &now, &random) <= cap_ms * jitter + 1e-3);
    if (rule->delays[rule->count - 1].least_ms == cap_ms)
      assert_true(next_ms(&retry, &now, &random) == cap_ms);
  }
}

static void signalr_gives_up_after_four_attempts(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, 1);
  struct stwi_peer_retry retry;
  stwi_peer_init(&retry, STWI_PEER_SIGNALR);
  stwi_time now = T0;
  for (unsigned i = 0; i < 4; i++)
    now = stwi_peer_next(&retry, now, now, &random);
  assert_int_equal(now, T0 + 42 * STWI_S);
  assert_true(stwi_peer_next(&retry, now, now, &random) == STWI_NEVER);
  assert_true(stwi_peer_next(&retry, now, now, &random) == STWI_NEVER);
}

static void grpc_counts_from_the_start_of_an_attempt(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, 1);
  struct stwi_peer_retry retry;
  stwi_peer_init(&retry, STWI_PEER_GRPC);
  const stwi_time first = stwi_peer_next(&retry, 0, T0, &random);
  assert_int_equal(first, T0);
  assert_int_equal(stwi_peer_next(&retry, T0, T0 + 400 * STWI_MS, &random), T0 + STWI_S);
  const stwi_time late = T0 + 20 * STWI_S;
  assert_int_equal(stwi_peer_next(&retry, T0 + STWI_S, late, &random), late);
}

static void a_reset_begins_again(void **unused) {
  (void)unused;
  for (size_t kind = 0; kind < STWI_PEER_COUNT; kind++) {
    struct stwi_random random;
    stwi_random_seed(&random, 5);
    struct stwi_peer_retry retry;
    stwi_peer_init(&retry, kind);
    stwi_time now = T0;
    for (unsigned i = 0; i < 4; i++)
      now = stwi_peer_next(&retry, now, now, &random);
    stwi_peer_reset(&retry);
    const double delay = next_ms(&retry, &now, &random);
    assert_true(delay >= rules[kind].delays[0].least_ms);
    assert_true(delay <= rules[kind].delays[0].most_ms);
  }
}

static void the_same_seed_gives_the_same_delays(void **unused) {
  (void)unused;
  for (size_t kind = 0; kind < STWI_PEER_COUNT; kind++) {
    struct stwi_random random[2];
    struct stwi_peer_retry retry[2];
    stwi_time now[2] = {T0, T0};
    for (unsigned twin = 0; twin < 2; twin++) {
      stwi_random_seed(&random[twin], 11);
      stwi_peer_init(&retry[twin], kind);
      for (unsigned i = 0; i < 4; i++)
        now[twin] = stwi_peer_next(&retry[twin], now[twin], now[twin], &random[twin]);
    }
    assert_int_equal(now[0], now[1]);
  }
}

static void rows_are_found_by_place_and_by_name(void **unused) {
  (void)unused;
  for (size_t kind = 0; kind < STWI_PEER_COUNT; kind++) {
    const struct stwi_peer *peer = stwi_peer_at(kind);
    assert_int_equal(peer->kind, kind);
    assert_ptr_equal(stwi_peer_named(peer->name), peer);
    assert_true(peer->patience_ns >= 10 * STWI_S && peer->cap_ns >= peer->base_ns);
    assert_int_equal(peer->ping_interval_ns == 0, peer->ping_timeout_ns == 0);
  }
  assert_null(stwi_peer_at(STWI_PEER_COUNT));
  assert_null(stwi_peer_named("socket.io"));
  assert_int_equal(stwi_peer_named("socketio")->ping_interval_ns, 25 * STWI_S);
  assert_int_equal(stwi_peer_named("socketio")->ping_timeout_ns, 20 * STWI_S);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_peer_keeps_its_published_rule),
      cmocka_unit_test(the_cap_holds_for_ever),
      cmocka_unit_test(signalr_gives_up_after_four_attempts),
      cmocka_unit_test(grpc_counts_from_the_start_of_an_attempt),
      cmocka_unit_test(a_reset_begins_again),
      cmocka_unit_test(the_same_seed_gives_the_same_delays),
      cmocka_unit_test(rows_are_found_by_place_and_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
