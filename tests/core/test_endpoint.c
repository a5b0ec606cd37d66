#include "core/endpoint.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T0 (100 * STWI_S)
#define MUTE_MEMORY (600 * STWI_S)

static struct stwi_endpoints endpoints;
static struct stwi_endpoint *endpoint;

static int set_up(void **unused) {
  (void)unused;
  endpoints = (struct stwi_endpoints){0};
  endpoint = stwi_endpoint_hold(&endpoints, "ws://a:80");
  return endpoint == NULL ? -1 : 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_endpoints_fini(&endpoints);
  return failing_mem_live == 0 ? 0 : -1;
}

static void conns_of_one_address_share_what_is_known(void **unused) {
  (void)unused;
  assert_ptr_equal(stwi_endpoint_hold(&endpoints, "ws://a:80"), endpoint);
  assert_int_equal(endpoint->conns, 2);
  struct stwi_endpoint *other = stwi_endpoint_hold(&endpoints, "ws://a:81");
  assert_ptr_not_equal(other, endpoint);
  assert_int_equal(other->conns, 1);
}

static void what_was_learnt_outlives_the_conns(void **unused) {
  (void)unused;
  endpoint->is_single = true;
  stwi_endpoint_drop(&endpoints, endpoint);
  assert_ptr_equal(stwi_endpoint_hold(&endpoints, "ws://a:80"), endpoint);
  assert_true(endpoint->is_single);
}

static size_t count(void) {
  size_t kept = 0;
  for (struct stwi_endpoint *e = endpoints.first; e != NULL; e = e->next)
    kept++;
  return kept;
}

static void only_so_many_unused_ones_are_kept(void **unused) {
  (void)unused;
  for (int i = 0; i < 200; i++) {
    char key[32];
    snprintf(key, sizeof key, "ws://host%d:80", i);
    stwi_endpoint_drop(&endpoints, stwi_endpoint_hold(&endpoints, key));
  }
  assert_int_equal(count(), 64 + 1);
  assert_ptr_equal(stwi_endpoint_hold(&endpoints, "ws://a:80"), endpoint); /* it is in use */
}

static void without_memory_there_is_no_endpoint(void **unused) {
  (void)unused;
  for (long after = 0; after < 2; after++) {
    failing_mem_after = after;
    assert_null(stwi_endpoint_hold(&endpoints, "ws://b:80"));
  }
  failing_mem_after = -1;
  assert_int_equal(count(), 1);
}

static void two_links_in_a_row_without_an_answer_are_mute(void **unused) {
  (void)unused;
  assert_true(stwi_endpoint_mute_strike(endpoint, T0));
  assert_false(endpoint->is_mute);
  stwi_endpoint_mute_strike(endpoint, T0 + STWI_S);
  assert_true(endpoint->is_mute);
  assert_false(stwi_endpoint_mute_strike(endpoint, T0 + 2 * STWI_S));
  assert_int_equal(endpoint->mute_since, T0 + STWI_S);
}

static void one_answer_ever_and_it_is_not_mute(void **unused) {
  (void)unused;
  stwi_endpoint_mute_strike(endpoint, T0);
  stwi_endpoint_mute_strike(endpoint, T0);
  stwi_endpoint_ponged(endpoint);
  assert_false(endpoint->is_mute);
  for (int i = 0; i < 5; i++)
    assert_false(stwi_endpoint_mute_strike(endpoint, T0));
  assert_false(endpoint->is_mute);
}

static void muteness_is_asked_about_again_after_ten_minutes(void **unused) {
  (void)unused;
  stwi_endpoint_mute_retry(endpoint, T0 + MUTE_MEMORY);
  assert_int_equal(endpoint->mute_strikes, 0);
  stwi_endpoint_mute_strike(endpoint, T0);
  stwi_endpoint_mute_strike(endpoint, T0);
  stwi_endpoint_mute_retry(endpoint, T0 + MUTE_MEMORY - 1);
  assert_true(endpoint->is_mute);
  stwi_endpoint_mute_retry(endpoint, T0 + MUTE_MEMORY);
  assert_false(endpoint->is_mute);
  stwi_endpoint_mute_strike(endpoint, T0 + MUTE_MEMORY); /* one more is enough now */
  assert_true(endpoint->is_mute);
}

static void where_unasked_links_die_too_the_pings_were_not_to_blame(void **unused) {
  (void)unused;
  stwi_endpoint_mute_strike(endpoint, T0);
  stwi_endpoint_mute_strike(endpoint, T0);
  stwi_endpoint_mute_clear(endpoint);
  assert_false(endpoint->is_mute);
  assert_false(stwi_endpoint_mute_strike(endpoint, T0));
  assert_false(endpoint->is_mute);
  stwi_endpoint_mute_strike(endpoint, T0);
  assert_true(endpoint->is_mute);
}

static void the_shortest_connect_is_kept(void **unused) {
  (void)unused;
  stwi_endpoint_connected(endpoint, 0); /* not seen */
  assert_int_equal(endpoint->connect_ns, 0);
  stwi_endpoint_connected(endpoint, 50 * STWI_MS);
  stwi_endpoint_connected(endpoint, 40 * STWI_MS);
  stwi_endpoint_connected(endpoint, 3 * STWI_S); /* packets were lost */
  assert_int_equal(endpoint->connect_ns, 40 * STWI_MS);
}

#define ENDPOINT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      ENDPOINT_TEST(conns_of_one_address_share_what_is_known),
      ENDPOINT_TEST(what_was_learnt_outlives_the_conns),
      ENDPOINT_TEST(only_so_many_unused_ones_are_kept),
      ENDPOINT_TEST(without_memory_there_is_no_endpoint),
      ENDPOINT_TEST(two_links_in_a_row_without_an_answer_are_mute),
      ENDPOINT_TEST(one_answer_ever_and_it_is_not_mute),
      ENDPOINT_TEST(muteness_is_asked_about_again_after_ten_minutes),
      ENDPOINT_TEST(the_shortest_connect_is_kept),
      ENDPOINT_TEST(where_unasked_links_die_too_the_pings_were_not_to_blame),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
