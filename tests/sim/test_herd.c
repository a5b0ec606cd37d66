/* Herds: the figures that the product promises for a fleet that comes back, and the parts that
 * they rest on. */
#include "seed.h"
#include "sim/herd.h"
#include "sim/herd_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_herd_config config_of(uint32_t clients, uint64_t capacity, uint32_t policy) {
  return (struct stwi_herd_config){
      .clients = clients,
      .policy = policy,
      .capacity = capacity,
      .down_ns = 5 * STWI_S,
      .has_appointments = true,
      .retry_window_ns = 4 * STWI_S,
      .seed = 1,
  };
}

static double per_client(const struct stwi_herd *herd) {
  return (double)herd->attempts / (double)herd->config.clients;
}

static struct stwi_herd lived(const struct stwi_herd_config *config) {
  struct stwi_herd herd;
  assert_true(stwi_herd_run(&herd, config));
  uint64_t attempts = 0, reconnected = 0;
  for (uint32_t i = 0; i < herd.second_count; i++) {
    attempts += herd.seconds[i].attempts;
    reconnected += herd.seconds[i].reconnected;
  }
  assert_int_equal(attempts, herd.attempts);
  assert_int_equal(reconnected, herd.reconnected);
  for (uint32_t i = 1; i < herd.reconnected; i++)
    assert_true(herd.reconnected_at[i] >= herd.reconnected_at[i - 1]);
  return herd;
}

/* ---- the server ---- */

static void a_server_that_is_down_refuses_and_then_serves_in_order(void **unused) {
  (void)unused;
  struct stwi_herd_server server;
  stwi_herd_server_init(&server, 1000, STWI_S, false, true);
  assert_int_equal(stwi_herd_arrive(&server, STWI_S - 1).answer, STWI_HERD_DOWN);
  for (uint64_t i = 1; i <= 5; i++) {
    const struct stwi_herd_reply reply = stwi_herd_arrive(&server, STWI_S);
    assert_int_equal(reply.answer, STWI_HERD_SERVED);
    assert_int_equal(reply.at, STWI_S + i * STWI_MS);
  }
  assert_int_equal(stwi_herd_arrive(&server, 9 * STWI_S).at, 9 * STWI_S + STWI_MS);
}

static void more_than_two_seconds_of_work_are_shed(void **unused) {
  (void)unused;
  struct stwi_herd_server server;
  stwi_herd_server_init(&server, 1000, 0, false, true);
  for (uint64_t i = 0; i < 2001; i++)
    assert_int_equal(stwi_herd_arrive(&server, 0).answer, STWI_HERD_SERVED);
  uint64_t last = 0;
  for (uint64_t i = 0; i < 1800; i++) {
    const struct stwi_herd_reply reply = stwi_herd_arrive(&server, 0);
    assert_int_equal(reply.answer, STWI_HERD_REFUSED);
    assert_true(reply.retry_after_ms >= last && reply.retry_after_ms % 1000 == 0);
    last = reply.retry_after_ms;
  }
  assert_int_equal(last, 5000); /* (2001 + 1800) / 900 = 4.2 s */
  /* 1800 refusals have cost what 36 handshakes cost */
  assert_int_equal(stwi_herd_arrive(&server, 36 * STWI_MS).answer, STWI_HERD_REFUSED);
  assert_int_equal(stwi_herd_arrive(&server, 38 * STWI_MS).answer, STWI_HERD_SERVED);
  stwi_herd_server_init(&server, 1000, 0, false, false);
  for (uint64_t i = 0; i < 2001; i++)
    stwi_herd_arrive(&server, 0);
  assert_int_equal(stwi_herd_arrive(&server, 0).retry_after_ms, 0);
}

static void a_naive_server_queues_without_end(void **unused) {
  (void)unused;
  struct stwi_herd_server server;
  stwi_herd_server_init(&server, 3, 0, true, true);
  struct stwi_herd_reply reply = {0};
  for (uint64_t i = 0; i < 3000; i++)
    reply = stwi_herd_arrive(&server, 0);
  assert_int_equal(reply.answer, STWI_HERD_SERVED);
  assert_in_range(reply.at, 1000 * STWI_S - 10, 1000 * STWI_S + 1);
}

/* ---- the queue ---- */

static int by_time_and_client(const void *left, const void *right) {
  const struct stwi_herd_moment *a = left, *b = right;
  if (a->at != b->at)
    return a->at < b->at ? -1 : 1;
  return a->client < b->client ? -1 : a->client > b->client;
}

/* In whatever order they were added, also while others are taken. */
static void moments_come_by_time_and_client(void **unused) {
  (void)unused;
  enum { CLIENTS = 3000 };
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("herd"));
  static const stwi_time ends[] = {10 * STWI_MS, STWI_S, 5000000 * STWI_S};
  for (unsigned round = 0; round < 6; round++) {
    const stwi_time end = ends[round % 3];
    struct stwi_herd_queue queue;
    struct stwi_herd_moment want[CLIENTS], got;
    assert_true(stwi_herd_queue_init(&queue, CLIENTS, end));
    for (uint32_t i = 0; i < CLIENTS; i++) {
      const stwi_time at = stwi_random_below(&random, round < 3 ? end : 100);
      want[i] = (struct stwi_herd_moment){at, i};
    }
    for (uint32_t i = CLIENTS; i > 0; i--)
      stwi_herd_queue_add(&queue, i - 1, want[i - 1].at);
    qsort(want, CLIENTS, sizeof *want, by_time_and_client);
    uint32_t again = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
      assert_true(stwi_herd_queue_take(&queue, &got));
      assert_int_equal(got.client, want[i].client);
      assert_int_equal(got.at, want[i].at);
      if (stwi_random_below(&random, 8) == 0 && again == 0) {
        /* a moment between this one and the next */
        again = got.client + 1;
        stwi_herd_queue_add(&queue, got.client, got.at);
        assert_true(stwi_herd_queue_take(&queue, &got));
        assert_int_equal(got.client, again - 1);
      }
    }
    stwi_herd_queue_add(&queue, 0, end);
    stwi_herd_queue_add(&queue, 1, STWI_NEVER);
    assert_false(stwi_herd_queue_take(&queue, &got));
    stwi_herd_queue_fini(&queue);
  }
}

/* ---- the promises ---- */

static void with_a_hint_the_server_is_never_asked_for_more_than_it_can_do(void **unused) {
  (void)unused;
  static const struct {
    uint32_t clients;
    uint64_t capacity;
  } herds[] = {{10000, 500}, {10000, 5000}, {100000, 5000}, {1000000, 5000}};
  for (unsigned i = 0; i < 8; i++) {
    struct stwi_herd_config config =
        config_of(herds[i / 2].clients, herds[i / 2].capacity, STWI_HERD_HINTED);
    config.is_naive = i % 2;
    struct stwi_herd herd = lived(&config);
    assert_true(stwi_herd_peak(&herd) <= 1.0);
    assert_true(per_client(&herd) <= 1.1);
    assert_int_equal(herd.reconnected, config.clients);
    const stwi_time optimum = stwi_herd_optimum(&config);
    assert_true(stwi_herd_time(&herd, 100) <= optimum + optimum / 4 + STWI_S);
    stwi_herd_fini(&herd);
  }
}

static void without_a_hint_windows_bound_the_peak(void **unused) {
  (void)unused;
  for (unsigned has_appointments = 0; has_appointments < 2; has_appointments++) {
    struct stwi_herd_config config = config_of(100000, 5000, STWI_HERD_UNHINTED);
    config.has_appointments = has_appointments;
    struct stwi_herd herd = lived(&config);
    assert_true(stwi_herd_peak(&herd) <= 5.5);
    assert_true(per_client(&herd) <= 2.7);
    assert_int_equal(herd.reconnected, config.clients);
    stwi_herd_fini(&herd);
  }
}

/* Metastable: the queue is full of clients that have left, and their successors keep it so. */
static void a_naive_server_never_recovers_from_impatient_peers(void **unused) {
  (void)unused;
  static const enum stwi_peer_kind kinds[] = {STWI_PEER_FIXED, STWI_PEER_FULL_JITTER,
                                              STWI_PEER_SOCKETIO};
  for (unsigned i = 0; i < 3; i++) {
    struct stwi_herd_config config = config_of(20000, 100, STWI_HERD_OWN_COUNT + kinds[i]);
    config.is_naive = true;
    struct stwi_herd herd = lived(&config);
    assert_true(herd.reconnected < config.clients / 8);
    assert_int_equal(stwi_herd_time(&herd, 50), STWI_NEVER);
    assert_true(herd.abandoned > 10 * config.clients);
    stwi_herd_fini(&herd);
  }
  struct stwi_herd_config config = config_of(20000, 100, STWI_HERD_UNHINTED);
  config.is_naive = true;
  struct stwi_herd herd = lived(&config);
  assert_true(herd.reconnected > config.clients * 7 / 10); /* longer windows, longer patience */
  stwi_herd_fini(&herd);
}

static void nobody_waits_for_a_peer_that_gives_up(void **unused) {
  (void)unused;
  struct stwi_herd_config config = config_of(20000, 100, STWI_HERD_OWN_COUNT + STWI_PEER_SIGNALR);
  struct stwi_herd herd = lived(&config);
  assert_true(herd.reconnected < config.clients / 10);
  assert_true(per_client(&herd) <= 4.0);
  stwi_herd_fini(&herd);
}

static void twice_the_spread_halves_the_peak(void **unused) {
  (void)unused;
  double peaks[2];
  for (unsigned i = 0; i < 2; i++) {
    struct stwi_herd_config config = config_of(40000, 1000, STWI_HERD_UNHINTED);
    config.down_ns = 60 * STWI_S; /* the first wave is the highest */
    config.retry_window_ns = (8 + 8 * i) * STWI_S;
    struct stwi_herd herd = lived(&config);
    peaks[i] = stwi_herd_peak(&herd);
    stwi_herd_fini(&herd);
  }
  assert_true(peaks[0] > 1.9 * peaks[1] && peaks[0] < 2.1 * peaks[1]);
}

/* ---- the same seed ---- */

static void the_same_seed_gives_the_same_herd(void **unused) {
  (void)unused;
  for (uint32_t policy = 0; policy < STWI_HERD_POLICY_COUNT; policy++) {
    const struct stwi_herd_config config = config_of(5000, 250, policy);
    struct stwi_herd_config other = config;
    other.seed = 2;
    struct stwi_herd once = lived(&config), again = lived(&config), unlike = lived(&other);
    assert_int_equal(once.digest, again.digest);
    assert_int_equal(once.attempts, again.attempts);
    assert_memory_equal(once.reconnected_at, again.reconnected_at,
                        once.reconnected * sizeof *once.reconnected_at);
    const bool has_dice = unlike.digest != once.digest;
    const bool is_fixed = policy == STWI_HERD_OWN_COUNT + STWI_PEER_FIXED ||
                          policy == STWI_HERD_OWN_COUNT + STWI_PEER_EXPONENTIAL ||
                          policy == STWI_HERD_OWN_COUNT + STWI_PEER_PHOENIX ||
                          policy == STWI_HERD_OWN_COUNT + STWI_PEER_SIGNALR;
    assert_int_equal(has_dice, !is_fixed);
    stwi_herd_fini(&once);
    stwi_herd_fini(&again);
    stwi_herd_fini(&unlike);
  }
}

/* What a client draws does not depend on how many others there are. */
static void a_client_is_the_same_in_a_larger_herd(void **unused) {
  (void)unused;
  enum { SMALL = 100, LARGE = 300 };
  static struct stwi_herd_attempt small[SMALL], large[LARGE];
  struct stwi_herd_config config = config_of(SMALL, 1000, STWI_HERD_UNHINTED);
  config.down_ns = 0;
  config.log = small;
  config.log_room = SMALL;
  struct stwi_herd herd = lived(&config);
  assert_int_equal(herd.attempts, SMALL);
  stwi_herd_fini(&herd);
  config.clients = LARGE;
  config.log = large;
  config.log_room = LARGE;
  herd = lived(&config);
  unsigned found = 0;
  for (unsigned i = 0; i < LARGE; i++) {
    for (unsigned j = 0; j < SMALL; j++)
      found += small[j].client == large[i].client && small[j].at == large[i].at;
  }
  assert_int_equal(found, SMALL);
  stwi_herd_fini(&herd);
}

static void every_stream_has_a_seed_of_its_own(void **unused) {
  (void)unused;
  assert_int_not_equal(stwi_random_stream(1, 2, 3), stwi_random_stream(2, 1, 3));
  assert_int_not_equal(stwi_random_stream(1, 2, 3), stwi_random_stream(1, 3, 2));
  assert_int_not_equal(stwi_random_stream(0, 0, 0), stwi_random_stream(0, 0, 1));
}

/* ---- the ABI ---- */

static stw_herd_options options_of(void) {
  return (stw_herd_options){
      .struct_size = sizeof(stw_herd_options),
      .clients = 1000,
      .capacity = 100,
      .down_ns = 5 * STWI_S,
      .retry_window_ns = 4 * STWI_S,
      .seed = 3,
  };
}

static void a_report_says_what_was_lived(void **unused) {
  (void)unused;
  const stw_herd_options options = options_of();
  stw_herd *herd;
  const char *why;
  assert_int_equal(stw_herd_run(&options, &herd, &why), STW_OK);
  assert_null(why);
  stw_herd_report report = {.struct_size = sizeof report};
  assert_int_equal(stw_herd_look(herd, &report), STW_OK);
  assert_int_equal(report.optimum_ns, 15 * STWI_S);
  assert_int_equal(report.stop_ns, 1200 * STWI_S);
  assert_true(report.attempts_per_client == 1.0 && report.reconnected_percent == 100.0);
  assert_true(report.t50_ns < report.t99_ns && report.t99_ns < report.t100_ns);
  size_t count;
  const stw_herd_second *seconds = stw_herd_seconds(herd, &count);
  uint64_t attempts = 0;
  for (size_t i = 0; i < count; i++)
    attempts += seconds[i].attempts;
  assert_int_equal(attempts, report.attempts);
  assert_int_equal(count, report.t100_ns / STWI_S + 1);
  report.struct_size--;
  assert_int_equal(stw_herd_look(herd, &report), STW_E_ARGUMENT);
  assert_int_equal(stw_herd_look(NULL, &report), STW_E_ARGUMENT);
  stw_herd_free(herd);
  stw_herd_free(NULL);
}

static void expect_refused(const stw_herd_options *options, const char *word) {
  stw_herd *herd;
  const char *why;
  assert_int_equal(stw_herd_run(options, &herd, &why), STW_E_ARGUMENT);
  assert_null(herd);
  assert_non_null(strstr(why, word));
}

static void nonsense_is_refused_with_its_range(void **unused) {
  (void)unused;
  stw_herd_options options = options_of();
  options.clients = 0;
  expect_refused(&options, "clients");
  options.clients = STW_HERD_CLIENTS_MAX + 1;
  expect_refused(&options, "clients");
  options = options_of();
  options.capacity = 0;
  expect_refused(&options, "capacity");
  options.capacity = UINT64_MAX;
  expect_refused(&options, "capacity");
  options = options_of();
  options.down_ns = UINT64_MAX;
  expect_refused(&options, "down");
  options = options_of();
  options.clients = STW_HERD_CLIENTS_MAX;
  options.capacity = 1;
  expect_refused(&options, "12 hours");
  options = options_of();
  options.retry_window_ns = 0;
  expect_refused(&options, "retry_window");
  options = options_of();
  options.policy = STWI_HERD_POLICY_COUNT;
  expect_refused(&options, "policy");
  options = options_of();
  options.struct_size = 0;
  expect_refused(&options, "struct_size");
  expect_refused(NULL, "struct_size");
}

static void the_extremes_can_be_lived(void **unused) {
  (void)unused;
  const stw_herd_options extremes[] = {
      {sizeof(stw_herd_options), 0, 1, 1, 0, false, false, STWI_MS, 0},
      {sizeof(stw_herd_options), 1, 43200, 1, 0, true, false, 600 * STWI_S, UINT64_MAX},
      {sizeof(stw_herd_options), 9, 500, STW_HERD_CAPACITY_MAX, STW_HERD_DOWN_MAX_NS, false, true,
       STWI_MS, 7},
  };
  for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; i++) {
    stw_herd *herd;
    const char *why;
    assert_int_equal(stw_herd_run(&extremes[i], &herd, &why), STW_OK);
    stw_herd_free(herd);
  }
}

static void policies_are_walked_ours_first(void **unused) {
  (void)unused;
  for (size_t i = 0; i < STWI_HERD_POLICY_COUNT; i++) {
    assert_int_equal(stw_herd_policy_at(i)->value, i);
    if (i >= STWI_HERD_OWN_COUNT)
      assert_string_equal(stw_herd_policy_at(i)->name, stwi_peer_at(i - STWI_HERD_OWN_COUNT)->name);
  }
  assert_string_equal(stw_herd_policy_at(0)->name, "steadwire");
  assert_null(stw_herd_policy_at(STWI_HERD_POLICY_COUNT));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_server_that_is_down_refuses_and_then_serves_in_order),
      cmocka_unit_test(more_than_two_seconds_of_work_are_shed),
      cmocka_unit_test(a_naive_server_queues_without_end),
      cmocka_unit_test(moments_come_by_time_and_client),
      cmocka_unit_test(with_a_hint_the_server_is_never_asked_for_more_than_it_can_do),
      cmocka_unit_test(without_a_hint_windows_bound_the_peak),
      cmocka_unit_test(a_naive_server_never_recovers_from_impatient_peers),
      cmocka_unit_test(nobody_waits_for_a_peer_that_gives_up),
      cmocka_unit_test(twice_the_spread_halves_the_peak),
      cmocka_unit_test(the_same_seed_gives_the_same_herd),
      cmocka_unit_test(a_client_is_the_same_in_a_larger_herd),
      cmocka_unit_test(every_stream_has_a_seed_of_its_own),
      cmocka_unit_test(a_report_says_what_was_lived),
      cmocka_unit_test(nonsense_is_refused_with_its_range),
      cmocka_unit_test(the_extremes_can_be_lived),
      cmocka_unit_test(policies_are_walked_ours_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
