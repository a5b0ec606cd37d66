#include "client/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t number_of(stw_option_type type, const char *text) {
  uint64_t value = 0;
  if (!stwi_parse_number(type, (struct stwi_part){text, strlen(text)}, &value))
    fail_msg("'%s' was refused", text);
  return value;
}

static bool is_malformed(stw_option_type type, const char *text) {
  uint64_t value;
  return !stwi_parse_number(type, (struct stwi_part){text, strlen(text)}, &value);
}

static void durations_have_units(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint64_t ns;
  } cases[] = {
      {"15", 15 * STWI_S},
      {"15s", 15 * STWI_S},
      {"1.5s", 1500 * STWI_MS},
      {"250ms", 250 * STWI_MS},
      {"0.250000000", 250 * STWI_MS},
      {"2min", 120 * STWI_S},
      {"1h", 3600 * STWI_S},
      {"1.5h", 5400 * STWI_S},
      {"0.000000001h", 3600},
      {"0.1ms", 100000},
      {"  15 s ", 15 * STWI_S},
      {"0", 0},
      {"0.0", 0},
      {"007", 7 * STWI_S},
      {"0.0000000009", 1}, /* over zero never becomes off */
      {"1.0000000009", STWI_S},
      {"1.9999999999999999999999", STWI_S + 999999999},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(number_of(STW_OPTION_DURATION, cases[i].text), cases[i].ns);
}

static void sizes_have_units(void **state) {
  (void)state;
  assert_int_equal(number_of(STW_OPTION_BYTES, "65536"), 65536);
  assert_int_equal(number_of(STW_OPTION_BYTES, "7B"), 7);
  assert_int_equal(number_of(STW_OPTION_BYTES, "64KiB"), 65536);
  assert_int_equal(number_of(STW_OPTION_BYTES, "1.5KiB"), 1536);
  assert_int_equal(number_of(STW_OPTION_BYTES, "1.5 MiB"), 1572864);
  assert_int_equal(number_of(STW_OPTION_BYTES, "1GiB"), 1ull << 30);
  assert_int_equal(number_of(STW_OPTION_BYTES, "1.5GiB"), 3ull << 29);
  assert_int_equal(number_of(STW_OPTION_COUNT, "10000"), 10000);
}

static void what_is_no_number_is_malformed(void **state) {
  (void)state;
  static const char *const durations[] = {"",    " ",   "s",   "-1",   "+1",   "1.",  ".5",  "1.s",
                                          "1e3", "1 2", "1d",  "1m",   "1S",   "1,5", "0x1", "1s s",
                                          "inf", "nan", "1ss", "1 .5", "1..5", "1:00"};
  for (size_t i = 0; i < sizeof durations / sizeof *durations; i++)
    if (!is_malformed(STW_OPTION_DURATION, durations[i]))
      fail_msg("'%s' was taken", durations[i]);
  assert_true(is_malformed(STW_OPTION_BYTES, "1.5"));
  assert_true(is_malformed(STW_OPTION_BYTES, "1KB"));
  assert_true(is_malformed(STW_OPTION_BYTES, "1kib"));
  assert_true(is_malformed(STW_OPTION_BYTES, "1s"));
  assert_true(is_malformed(STW_OPTION_COUNT, "1.0"));
  assert_true(is_malformed(STW_OPTION_COUNT, "1KiB"));
}

static void too_large_is_the_largest(void **state) {
  (void)state;
  static const char *const texts[] = {"18446744073709551615", "18446744073709551616",
                                      "99999999999999999999999999999999"};
  for (size_t i = 0; i < 3; i++) {
    assert_true(number_of(STW_OPTION_COUNT, texts[i]) == UINT64_MAX);
    assert_true(number_of(STW_OPTION_DURATION, texts[i]) == UINT64_MAX);
  }
  assert_true(number_of(STW_OPTION_COUNT, "18446744073709551614") == UINT64_MAX - 1);
  assert_true(number_of(STW_OPTION_DURATION, "5124094h") == 5124094ull * 3600 * STWI_S);
  assert_true(number_of(STW_OPTION_DURATION, "5124095h") == UINT64_MAX);
  assert_true(number_of(STW_OPTION_DURATION, "18446744073.9s") == UINT64_MAX);
}

/* Every whole number of nanoseconds that is printed as a decimal is read back exactly. */
static void decimals_are_exact(void **state) {
  (void)state;
  const uint32_t seed = 4711;
  uint64_t random = seed;
  for (int round = 0; round < 20000; round++) {
    char text[64];
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    const uint64_t ns = (random >> 11) % (86400 * STWI_S);
    snprintf(text, sizeof text, "%llu.%09llus", (unsigned long long)(ns / STWI_S),
             (unsigned long long)(ns % STWI_S));
    if (number_of(STW_OPTION_DURATION, text) != ns)
      fail_msg("seed=%u: %s", seed, text);
    snprintf(text, sizeof text, "%llu.%06llums", (unsigned long long)(ns / STWI_MS),
             (unsigned long long)(ns % STWI_MS));
    if (number_of(STW_OPTION_DURATION, text) != ns)
      fail_msg("seed=%u: %s", seed, text);
  }
}

static void range_is_cut_at_its_bars(void **state) {
  (void)state;
  const char *range = "auto | 0 | 100ms .. 1h";
  struct stwi_part part;
  static const char *const parts[] = {"auto", "0", "100ms .. 1h"};
  for (size_t i = 0; i < 3; i++) {
    assert_true(stwi_range_next(&range, &part));
    assert_int_equal(part.size, strlen(parts[i]));
    assert_memory_equal(part.text, parts[i], part.size);
  }
  assert_false(stwi_range_next(&range, &part));
}

static enum stwi_verdict verdict_of(const char *range, const char *text, uint64_t *value) {
  return stwi_parse_in_range(STW_OPTION_DURATION, range, text, value);
}

static void value_lies_in_an_alternative(void **state) {
  (void)state;
  static const char range[] = "auto | 0 | 100ms .. 1h";
  uint64_t value = 1;
  assert_int_equal(verdict_of(range, "auto", &value), STWI_FITS);
  assert_int_equal(value, 0);
  assert_int_equal(verdict_of(range, "0", &value), STWI_FITS);
  assert_int_equal(verdict_of(range, "0ms", &value), STWI_FITS);
  assert_int_equal(verdict_of(range, "0.1", &value), STWI_FITS);
  assert_int_equal(value, 100 * STWI_MS);
  assert_int_equal(verdict_of(range, "60min", &value), STWI_FITS);
  assert_int_equal(value, 3600 * STWI_S);
  assert_int_equal(verdict_of(range, "0.099999999", &value), STWI_OUTSIDE);
  assert_int_equal(verdict_of(range, "3600.000000001", &value), STWI_OUTSIDE);
  assert_int_equal(verdict_of(range, "99999999999999999999h", &value), STWI_OUTSIDE);
  assert_int_equal(verdict_of(range, "Auto", &value), STWI_MALFORMED);
  assert_int_equal(verdict_of(range, "", &value), STWI_MALFORMED);
  assert_int_equal(verdict_of(range, "100ms .. 1h", &value), STWI_MALFORMED);
  assert_int_equal(verdict_of("1s .. 2s", "auto", &value), STWI_MALFORMED);
  assert_int_equal(verdict_of("1s .. far", "1s", &value), STWI_OUTSIDE);
}

static void choice_is_its_place(void **state) {
  (void)state;
  assert_int_equal(stwi_parse_choice("a | bc | d", "a"), 0);
  assert_int_equal(stwi_parse_choice("a | bc | d", "bc"), 1);
  assert_int_equal(stwi_parse_choice("a | bc | d", "d"), 2);
  assert_int_equal(stwi_parse_choice("a | bc | d", "b"), -1);
  assert_int_equal(stwi_parse_choice("a | bc | d", "bcd"), -1);
  assert_int_equal(stwi_parse_choice("a | bc | d", "bd"), -1);
  assert_int_equal(stwi_parse_choice("a | bc | d", ""), -1);
  assert_int_equal(stwi_parse_choice("", "a"), -1);
}

static void match_has_five_forms(void **state) {
  (void)state;
  static const struct {
    const char *text;
    enum stwi_match_kind kind;
    const char *pattern;
  } cases[] = {
      {"", STWI_MATCH_NONE, ""},
      {"host", STWI_MATCH_HOST, ""},
      {"equals:", STWI_MATCH_EQUALS, ""},
      {"equals:{\"ok\":1}", STWI_MATCH_EQUALS, "{\"ok\":1}"},
      {"prefix:a:b", STWI_MATCH_PREFIX, "a:b"},
      {"contains: x", STWI_MATCH_CONTAINS, " x"},
  };
  enum stwi_match_kind kind;
  const char *pattern;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_true(stwi_parse_match(cases[i].text, &kind, &pattern));
    assert_int_equal(kind, cases[i].kind);
    assert_string_equal(pattern, cases[i].pattern);
  }
  assert_false(stwi_parse_match("hosts", &kind, &pattern));
  assert_false(stwi_parse_match("equal:x", &kind, &pattern));
  assert_false(stwi_parse_match("prefix", &kind, &pattern));
}

static void key_has_three_forms(void **state) {
  (void)state;
  enum stwi_key_kind kind;
  uint32_t arg;
  assert_true(stwi_parse_key("", &kind, &arg));
  assert_int_equal(kind, STWI_KEY_NONE);
  assert_true(stwi_parse_key("prefix:1", &kind, &arg));
  assert_int_equal(kind, STWI_KEY_PREFIX);
  assert_int_equal(arg, 1);
  assert_true(stwi_parse_key("prefix:255", &kind, &arg));
  assert_int_equal(arg, 255);
  assert_true(stwi_parse_key("until:,", &kind, &arg));
  assert_int_equal(kind, STWI_KEY_UNTIL);
  assert_int_equal(arg, ',');
  assert_true(stwi_parse_key("until::", &kind, &arg));
  assert_int_equal(arg, ':');
  assert_true(stwi_parse_key("until:\xff", &kind, &arg));
  assert_int_equal(arg, 255);
  static const char *const bad[] = {"prefix:",    "prefix:0", "prefix:256",     "prefix:x",
                                    "prefix:1.5", "prefix",   "until:",         "until:ab",
                                    "until",      "x",        "until:\xc3\xa9", "prefix:-1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (stwi_parse_key(bad[i], &kind, &arg))
      fail_msg("'%s' was taken", bad[i]);
}

static void close_code_is_one_that_can_arrive(void **state) {
  (void)state;
  unsigned taken = 0;
  for (unsigned i = 0; i < 10000; i++) {
    char text[16];
    uint16_t code = 0;
    snprintf(text, sizeof text, "%u", i);
    const bool is_taken = stwi_parse_close_code(text, &code);
    assert_int_equal(is_taken, i >= 1000 && i <= 4999 && i != 1006 && i != 1015);
    if (is_taken)
      assert_int_equal(code, i);
    taken += is_taken;
  }
  assert_int_equal(taken, 3998);
  uint16_t code;
  static const char *const bad[] = {"", "04004", "4004 ", " 400", "4.04", "abcd", "-400", "40040"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(stwi_parse_close_code(bad[i], &code));
}

static void class_is_one_of_the_list(void **state) {
  (void)state;
  const stw_word *word;
  stw_class cls;
  for (size_t i = 0; (word = stw_class_at(i)) != NULL; i++) {
    assert_true(stwi_parse_class(word->name, &cls));
    assert_int_equal(cls, word->value);
  }
  assert_false(stwi_parse_class("", &cls));
  assert_false(stwi_parse_class("Auth", &cls));
}

static void proxy_is_reduced_to_what_is_dialled(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"h:1", "h:1"},
      {"http://h:8080", "h:8080"},
      {"HTTP://h:8080/", "h:8080"},
      {"127.0.0.1:3128", "127.0.0.1:3128"},
      {"[::1]:3128", "[::1]:3128"},
      {"user:pass@h:1", "user:pass@h:1"},
      {"http://user:p@s:/?s@h:1/", "user:p@s:/?s@h:1"},
      {":@h:1", ":@h:1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct stwi_part plain;
    const char *why = "";
    if (stwi_parse_proxy(cases[i][0], &plain, &why) != STW_OK)
      fail_msg("'%s' was refused: %s", cases[i][0], why);
    assert_int_equal(plain.size, strlen(cases[i][1]));
    assert_memory_equal(plain.text, cases[i][1], plain.size);
  }
}

static void proxy_that_cannot_be_dialled_is_refused(void **state) {
  (void)state;
  char long_host[400];
  memset(long_host, 'a', sizeof long_host);
  snprintf(long_host + 390, 10, ":1");
  const char *const cases[][2] = {
      {"", "the URL is empty"},
      {"/", "the port is missing"},
      {"h", "the port is missing"},
      {"h:", "the port is missing"},
      {"[::1]", "the port is missing"},
      {"http://", "the port is missing"},
      {"h:0", "the port must be a number from 1 to 65535"},
      {"h:x", "the port must be a number from 1 to 65535"},
      {":1", "the host is missing"},
      {"u:p@", "the port is missing"},
      {"user@h:1", "the user of a proxy has a password"},
      {"h:1/path", "a proxy has no path"},
      {"h:1?q", "a proxy has no path"},
      {"https://h:1", "only HTTP proxies are supported"},
      {"socks5://u:p@h:1", "only HTTP proxies are supported"},
      {"h:1\r\nX: y", "a line break is not allowed here"},
      {"h :1", "a space is not allowed here"},
      {long_host, "the host name is longer than 253 bytes"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct stwi_part plain;
    const char *why = NULL;
    assert_int_equal(stwi_parse_proxy(cases[i][0], &plain, &why), STW_E_URL);
    assert_string_equal(why, cases[i][1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(durations_have_units),
      cmocka_unit_test(sizes_have_units),
      cmocka_unit_test(what_is_no_number_is_malformed),
      cmocka_unit_test(too_large_is_the_largest),
      cmocka_unit_test(decimals_are_exact),
      cmocka_unit_test(range_is_cut_at_its_bars),
      cmocka_unit_test(value_lies_in_an_alternative),
      cmocka_unit_test(choice_is_its_place),
      cmocka_unit_test(match_has_five_forms),
      cmocka_unit_test(key_has_three_forms),
      cmocka_unit_test(close_code_is_one_that_can_arrive),
      cmocka_unit_test(class_is_one_of_the_list),
      cmocka_unit_test(proxy_is_reduced_to_what_is_dialled),
      cmocka_unit_test(proxy_that_cannot_be_dialled_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
