#include "client/nearest.h"

#include <stdbool.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *nearest_of(const char *wanted, const char *const *names, size_t *distance) {
  static char found[128];
  struct stwi_nearest nearest = stwi_nearest_to(wanted);
  for (; *names != NULL; names++)
    stwi_nearest_offer(&nearest, *names, strlen(*names));
  *distance = nearest.distance;
  snprintf(found, sizeof found, "%.*s", (int)nearest.size, nearest.name);
  return found;
}

static void fewest_edits_win(void **state) {
  (void)state;
  const char *const names[] = {"origin", "proxy", "name", NULL};
  size_t distance;
  assert_string_equal(nearest_of("prxy", names, &distance), "proxy");
  assert_int_equal(distance, 1);
  assert_string_equal(nearest_of("nmae", names, &distance), "name");
  assert_int_equal(distance, 1);
  assert_string_equal(nearest_of("origami", names, &distance), "origin");
  assert_int_equal(distance, 3);
  assert_string_equal(nearest_of("proxy", names, &distance), "proxy");
  assert_int_equal(distance, 0);
}

static void first_of_several_stays(void **state) {
  (void)state;
  const char *const names[] = {"ab", "ac", NULL};
  size_t distance;
  assert_string_equal(nearest_of("ad", names, &distance), "ab");
}

static void letter_case_and_dashes_count_for_nothing(void **state) {
  (void)state;
  const char *const names[] = {"url", "open_timeout", NULL};
  size_t distance;
  assert_string_equal(nearest_of("Open-Timeout", names, &distance), "open_timeout");
  assert_int_equal(distance, 0);
}

static void containing_name_is_nearer(void **state) {
  (void)state;
  const char *const names[] = {"tie", "open_timeout", NULL};
  size_t distance;
  assert_string_equal(nearest_of("timeout", names, &distance), "open_timeout");
  assert_int_equal(distance, 2);
  assert_string_equal(nearest_of("tim", names, &distance), "tie");
}

static void any_text_is_compared_in_bounds(void **state) {
  (void)state;
  char text[1000];
  memset(text, 'z', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  const char *const names[] = {"url", text, NULL};
  size_t distance;
  assert_string_equal(nearest_of("", names, &distance), "url");
  assert_int_equal(distance, 3);
  nearest_of(text, names, &distance);
  assert_int_equal(distance, 0);
  text[STWI_NEAREST_MAX] = 'a'; /* beyond what is compared */
  const char *const twin[] = {text, NULL};
  char other[1000];
  memset(other, 'z', sizeof other - 1);
  other[sizeof other - 1] = '\0';
  nearest_of(other, twin, &distance);
  assert_int_equal(distance, 0);
}

static void nothing_offered_gives_an_empty_name(void **state) {
  (void)state;
  const char *const names[] = {NULL};
  size_t distance;
  assert_string_equal(nearest_of("url", names, &distance), "");
}

/* The textbook recursion, against which the rows are checked. */
static size_t edits(const char *a, size_t a_size, const char *b, size_t b_size) {
  if (a_size == 0 || b_size == 0)
    return a_size + b_size;
  const bool is_same = a[a_size - 1] == b[b_size - 1];
  size_t best = edits(a, a_size - 1, b, b_size - 1) + (is_same ? 0 : 1);
  const size_t removed = edits(a, a_size - 1, b, b_size) + 1;
  const size_t added = edits(a, a_size, b, b_size - 1) + 1;
  best = removed < best ? removed : best;
  best = added < best ? added : best;
  if (a_size > 1 && b_size > 1 && a[a_size - 1] == b[b_size - 2] &&
      a[a_size - 2] == b[b_size - 1]) {
    const size_t swapped = edits(a, a_size - 2, b, b_size - 2) + 1;
    best = swapped < best ? swapped : best;
  }
  return best;
}

static void distance_is_that_of_the_definition(void **state) {
  (void)state;
  const unsigned seed = 20240611;
  uint32_t random = seed;
  for (int round = 0; round < 300; round++) {
    char words[2][7];
    size_t sizes[2];
    for (int k = 0; k < 2; k++) {
      random = random * 1664525u + 1013904223u;
      sizes[k] = (random >> 16) % 6;
      for (size_t i = 0; i < sizes[k]; i++) {
        random = random * 1664525u + 1013904223u;
        words[k][i] = (char)('a' + (random >> 20) % 3);
      }
      words[k][sizes[k]] = '\0';
    }
    const size_t wanted = edits(words[0], sizes[0], words[1], sizes[1]);
    const char *const names[] = {words[1], NULL};
    size_t distance;
    nearest_of(words[0], names, &distance);
    if (distance != wanted && !(sizes[0] >= 4 && strstr(words[1], words[0]) != NULL))
      fail_msg("seed=%u: %s, %s: %zu, not %zu", seed, words[0], words[1], distance, wanted);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fewest_edits_win),
      cmocka_unit_test(first_of_several_stays),
      cmocka_unit_test(letter_case_and_dashes_count_for_nothing),
      cmocka_unit_test(containing_name_is_nearer),
      cmocka_unit_test(any_text_is_compared_in_bounds),
      cmocka_unit_test(nothing_offered_gives_an_empty_name),
      cmocka_unit_test(distance_is_that_of_the_definition),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
