/* What attempts cost: whoever makes them, and whatever asks for them. */
#include "world_test.h"

#define SLICE (10 * STWI_MS)

/* Another process's engine, or another engine of this one: in step with `world`. */
static struct world *other;
static struct world_server *other_server;

static int set_up_two(void **unused) {
  other = world_new(8);
  other_server = world_server(other, "a");
  return other == NULL ? -1 : world_set_up(unused);
}

static int tear_down_two(void **unused) {
  const char *broken = world_check(other);
  if (broken != NULL)
    fprintf(stderr, "the other: %s\n", broken);
  const int answer = world_tear_down(unused); /* while the accounts are there */
  world_free(other);
  return broken == NULL ? answer : -1;
}

static struct stwi_accounts shared;

static void share(void) {
  const struct stwi_budgets budgets = stwi_accounts_budgets(&shared);
  stwi_core_share_budgets(world->core, &budgets);
  stwi_core_share_budgets(other->core, &budgets);
}

static int set_up_sharing(void **unused) {
  shared = (struct stwi_accounts){0};
  const int answer = set_up_two(unused);
  if (answer == 0)
    share();
  return answer;
}

static int tear_down_sharing(void **unused) {
  const int answer = tear_down_two(unused);
  stwi_accounts_fini(&shared);
  return answer;
}

static void run_both(uint64_t for_ns) {
  for (uint64_t passed = 0; passed < for_ns; passed += SLICE) {
    world_run(world, SLICE);
    world_run(other, SLICE);
  }
}

/* Never patient enough for the budget: whoever could dial, does. */
static void open_eager(struct world *in, unsigned conns) {
  for (unsigned i = 0; i < conns; i++) {
    struct stwi_conn_config *config = world_config("a");
    config->retry_window_ns = config->retry_cap_ns = 100 * STWI_MS;
    world_open(in, config);
  }
}

/* Burst 10 + conns, refill the larger of one in 6 s and one in a minute for each conn. */
static uint64_t allowed(uint64_t conns, uint64_t for_ns) {
  return 10 + conns + for_ns * (conns > 10 ? conns : 10) / (60 * STWI_S);
}

static uint64_t dials(void) {
  return server->dials + other_server->dials;
}

/* Not one more than allowed; and not one less, so that who was refused is awake in time. */
static void expect_all_of_the_budget(unsigned here, unsigned there) {
  server->door = other_server->door = WORLD_DOOR_REFUSED;
  open_eager(world, here);
  open_eager(other, there);
  uint64_t passed = 0;
  for (unsigned i = 0; i < 30; i++) {
    run_both(5 * STWI_S);
    passed += 5 * STWI_S;
    const uint64_t most = allowed(here + there, passed);
    assert_in_range(dials(), most - 1, most);
  }
}

static void two_cores_share_the_budget_of_a_dead_server(void **unused) {
  (void)unused;
  expect_all_of_the_budget(1, 1);
}

static void many_conns_of_two_cores_share_it_too(void **unused) {
  (void)unused;
  expect_all_of_the_budget(40, 10);
}

static void cores_that_share_nothing_have_each_their_own(void **unused) {
  (void)unused;
  server->door = other_server->door = WORLD_DOOR_REFUSED;
  open_eager(world, 1);
  open_eager(other, 1);
  run_both(60 * STWI_S);
  assert_in_range(server->dials, allowed(1, 60 * STWI_S) - 1, allowed(1, 60 * STWI_S));
  assert_in_range(other_server->dials, allowed(1, 60 * STWI_S) - 1, allowed(1, 60 * STWI_S));
}

/* What one core spends on a dead server, the other does not lack at a good one. */
static void another_endpoint_is_another_account(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  open_eager(world, 20);
  world_server(other, "b");
  run_both(10 * STWI_S);
  const uint32_t conn = world_open_default(other, "b");
  run_both(STWI_S);
  assert_int_equal(world_state(other, conn), STW_STATE_ONLINE);
}

/* The server is back: what the other core gave back or left is enough for this one. */
static void a_good_server_costs_nothing(void **unused) {
  (void)unused;
  open_eager(world, 200);
  run_both(3 * STWI_S);
  for (unsigned i = 0; i < 5; i++) {
    world_kill(world, server, STW_CAUSE_ABNORMAL_RST);
    world_restart(world, server);
    run_both(5 * STWI_S);
  }
  open_eager(other, 1);
  other_server->door = WORLD_DOOR_REFUSED;
  run_both(3 * STWI_S);
  assert_true(other_server->dials >= 15);
}

/* ---- one core ---- */

/* Racing is for the first ones: later an attempt stays alone. */
static void raced_attempts_are_paid_for(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_BLACKHOLE;
  open_eager(world, 1);
  world_run(world, 120 * STWI_S);
  assert_in_range(server->dials, 20, allowed(1, 120 * STWI_S));
}

/* A cable with a loose contact, and nobody at the other end. */
static void a_network_that_comes_and_goes_does_not_break_the_budget(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 120; i++) {
    world_network(world, i % 2 == 0 ? STW_NETWORK_DOWN : STW_NETWORK_UP);
    if (i % 3 == 0)
      world_do(world, conn, STWI_IN_KICK);
    world_run(world, 970 * STWI_MS); /* not when a token comes: what is cut is given back */
  }
  assert_in_range(server->dials, 11, allowed(1, 120 * STWI_S));
  server->door = WORLD_DOOR_OPEN;
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 70 * STWI_S));
}

/* A host that opens again what has failed, as fast as it can. */
static void reopening_does_not_break_the_budget(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 404;
  const uint32_t conn = world_open_default(world, "a");
  for (unsigned i = 0; i < 600; i++) {
    world_do(world, conn, STWI_IN_REOPEN);
    world_run(world, 100 * STWI_MS);
  }
  assert_in_range(server->dials, 11, allowed(1, 60 * STWI_S));
}

/* A token that was taken for an attempt that never came is not lost. */
static void attempts_that_never_came_cost_nothing(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = world_config("a");
  config->has_credentials = true;
  config->credentials_timeout_ns = 100 * STWI_MS;
  config->retry_window_ns = config->retry_cap_ns = 100 * STWI_MS;
  const uint32_t conn = world_open(world, config);
  world_run(world, 60 * STWI_S);
  assert_true(world_count(world, conn, STW_EVENT_CREDENTIALS_NEEDED) > 100);
  assert_int_equal(server->dials, 0);
}

static void attempts_go_to_an_endpoint_that_still_has_tokens(void **unused) {
  (void)unused;
  server->door = WORLD_DOOR_REFUSED;
  struct world_server *second = world_server(world, "b");
  open_eager(world, 5);
  world_run(world, 10 * STWI_S); /* nothing is left for it */
  const uint64_t before = server->dials;
  const uint32_t conn = world_open_default(world, "a b");
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  assert_int_equal(second->accepts, 1);
  assert_in_range(server->dials - before, 0, 3);
}

int main(void) {
#define TWO_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down_two)
#define SHARING_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_sharing, tear_down_sharing)
  const struct CMUnitTest tests[] = {
      SHARING_TEST(two_cores_share_the_budget_of_a_dead_server),
      SHARING_TEST(many_conns_of_two_cores_share_it_too),
      TWO_TEST(cores_that_share_nothing_have_each_their_own),
      SHARING_TEST(another_endpoint_is_another_account),
      SHARING_TEST(a_good_server_costs_nothing),
      WORLD_TEST(raced_attempts_are_paid_for),
      WORLD_TEST(a_network_that_comes_and_goes_does_not_break_the_budget),
      WORLD_TEST(reopening_does_not_break_the_budget),
      WORLD_TEST(attempts_that_never_came_cost_nothing),
      WORLD_TEST(attempts_go_to_an_endpoint_that_still_has_tokens),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
