#include "core/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef const char *check_function(const char *text, size_t size);

static const char token_chars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

static bool is_in(const char *set, int byte) {
  return byte != 0 && strchr(set, byte) != NULL;
}

/* Puts every byte into the middle of a text. */
static void walk_bytes(check_function *check, bool (*is_good)(int byte)) {
  for (int byte = 0; byte < 256; byte++) {
    const char text[] = {'a', (char)byte, 'z'};
    assert_int_equal(check(text, sizeof text) == NULL, is_good(byte));
  }
}

static bool is_token_byte(int byte) {
  return is_in(token_chars, byte);
}

static bool is_printable(int byte) {
  return byte > 0x20 && byte < 0x7f;
}

static bool is_value_byte(int byte) {
  return is_printable(byte) || byte == ' ' || byte == '\t';
}

static void every_byte_is_judged(void **unused) {
  (void)unused;
  walk_bytes(stwi_check_header_name, is_token_byte);
  walk_bytes(stwi_check_subprotocol, is_token_byte);
  walk_bytes(stwi_check_header_value, is_value_byte);
  walk_bytes(stwi_check_url_text, is_printable);
}

static void the_sentence_names_what_is_wrong(void **unused) {
  (void)unused;
  static const struct {
    const char *text;
    size_t size;
    const char *why;
  } cases[] = {{"a\rb", 3, "line break"}, {"a\nb", 3, "line break"}, {"a\0b", 3, "NUL"},
               {"a b", 3, "space"},       {"a\xc3\xa9", 3, "ASCII"}, {"a\x01", 2, "control"},
               {"a,b", 3, "letters"},     {"", 0, "empty"}};
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_non_null(strstr(stwi_check_subprotocol(cases[i].text, cases[i].size), cases[i].why));
}

static void headers_of_the_handshake_are_reserved(void **unused) {
  (void)unused;
  static const char *const reserved[] = {"Host",
                                         "host",
                                         "HOST",
                                         "Upgrade",
                                         "Connection",
                                         "Content-Length",
                                         "transfer-ENCODING",
                                         "Sec-WebSocket-Key",
                                         "sec-websocket-protocol",
                                         "Sec-WebSocket-"};
  for (size_t i = 0; i < COUNT(reserved); i++)
    assert_non_null(strstr(stwi_check_header_name(reserved[i], strlen(reserved[i])), "handshake"));
  static const char *const free_ones[] = {"Authorization", "Hostx",     "Hose",
                                          "X-Host",        "Origin",    "Cookie",
                                          "Sec-WebSocket", "Connectio", "Content-Lengt"};
  for (size_t i = 0; i < COUNT(free_ones); i++)
    assert_null(stwi_check_header_name(free_ones[i], strlen(free_ones[i])));
}

static void values_may_hold_spaces_but_not_at_their_ends(void **unused) {
  (void)unused;
  assert_null(stwi_check_header_value("", 0));
  assert_null(stwi_check_header_value("Bearer abc", 10));
  assert_non_null(stwi_check_header_value("Bearer ", 7));
  assert_non_null(stwi_check_header_value(" x", 2));
  assert_non_null(stwi_check_header_value("\t", 1));
}

static void lengths_are_bounded(void **unused) {
  (void)unused;
  static char text[STWI_TEXT_MAX + 1];
  memset(text, 'a', sizeof text);
  check_function *const checks[] = {stwi_check_url_text, stwi_check_header_name,
                                    stwi_check_header_value, stwi_check_subprotocol};
  for (size_t i = 0; i < COUNT(checks); i++) {
    assert_null(checks[i](text, STWI_TEXT_MAX));
    assert_non_null(strstr(checks[i](text, STWI_TEXT_MAX + 1), "8 KiB"));
  }
  assert_non_null(stwi_check_url_text("", 0));
  assert_non_null(stwi_check_header_name("", 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_byte_is_judged),
      cmocka_unit_test(the_sentence_names_what_is_wrong),
      cmocka_unit_test(headers_of_the_handshake_are_reserved),
      cmocka_unit_test(values_may_hold_spaces_but_not_at_their_ends),
      cmocka_unit_test(lengths_are_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
