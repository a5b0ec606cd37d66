#include "client/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_mem.h"

#define CANARY "c4n4ry"

static void expect(enum stwi_option_id id, const char *text, stw_status status,
                   const char *sentence) {
  assert_int_equal(stwi_judge(id, text), status);
  assert_string_equal(stw_last_error(), sentence);
}

static void sentence_says_what_is_wrong_and_what_is_allowed(void **state) {
  (void)state;
  expect(STWI_OPTION_OPEN_TIMEOUT, "2m", STW_E_VALUE,
         "option open_timeout = \"2m\": no duration such as 15 (seconds), 1.5s, 250ms, 2min or 1h; "
         "allowed: 100ms .. 10min");
  expect(STWI_OPTION_OPEN_TIMEOUT, "1h", STW_E_VALUE,
         "option open_timeout = \"1h\": out of range; allowed: 100ms .. 10min");
  expect(STWI_OPTION_MAX_MESSAGE, "1MB", STW_E_VALUE,
         "option max_message = \"1MB\": no size such as 65536, 64KiB, 1.5MiB or 1GiB; allowed: "
         "1 .. 1GiB");
  expect(STWI_OPTION_OUTBOX_MESSAGES, "many", STW_E_VALUE,
         "option outbox_messages = \"many\": no whole number; allowed: 1 .. 10000000");
  expect(STWI_OPTION_HEARTBEAT, "pings", STW_E_VALUE,
         "option heartbeat = \"pings\": no such choice, the nearest is ping; allowed: ping | off");
  expect(STWI_OPTION_INSECURE, "yes", STW_E_VALUE,
         "option insecure = \"yes\": no such choice, the nearest is true; allowed: true | false");
  expect(STWI_OPTION_URL, "http://h/", STW_E_URL,
         "option url: the scheme must be ws:// or wss://; allowed: ws:// or wss://, up to 64 of "
         "them");
  expect(STWI_OPTION_ORIGIN, "a\nb", STW_E_URL,
         "option origin = \"a?b\": a line break is not allowed here; allowed: printable ASCII, up "
         "to 8 KiB");
  expect(STWI_OPTION_SERVER_NAME, "example.net:443", STW_E_URL,
         "option server_name = \"example.net:443\": with a character no host name has; allowed: a "
         "host name without port");
  expect(STWI_OPTION_INBOUND_KEY, "prefix:256", STW_E_VALUE,
         "option inbound_key = \"prefix:256\": none of its forms; allowed: prefix:N (N = 1 .. 255) "
         "| until:C (C = one byte)");
}

static void good_texts_are_taken(void **state) {
  (void)state;
  static const struct {
    enum stwi_option_id id;
    const char *text;
  } cases[] = {
      {STWI_OPTION_URL, "wss://example.net/feed?token=x"},
      {STWI_OPTION_URL, "ws://[::1]:8080"},
      {STWI_OPTION_NAME, "fahrpl\xc3\xa4ne"},
      {STWI_OPTION_SUBPROTOCOLS, "graphql-transport-ws"},
      {STWI_OPTION_ORIGIN, "https://example.net"},
      {STWI_OPTION_USER_AGENT, "bot/1.0 (linux)"},
      {STWI_OPTION_CA_FILE, "a b/c\xc3\xa4.pem"},
      {STWI_OPTION_SERVER_NAME, "a-b.Example_1.net"},
      {STWI_OPTION_PROXY, "http://user:pass@proxy:3128"},
      {STWI_OPTION_READY_WHEN, "contains:\"ok\""},
      {STWI_OPTION_INBOUND_KEY, "until:,"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(stwi_judge(cases[i].id, cases[i].text), STW_OK);
  assert_int_equal(stwi_judge_item(STWI_OPTION_HEADERS, "X-Key", ""), STW_OK);
  assert_int_equal(stwi_judge_item(STWI_OPTION_CAUSES, "4004", "auth"), STW_OK);
}

static void bad_texts_are_refused(void **state) {
  (void)state;
  static char long_name[66], long_host[255], long_path[4097], long_text[8194];
  memset(long_name, 'a', sizeof long_name - 1);
  memset(long_host, 'a', sizeof long_host - 1);
  memset(long_path, 'a', sizeof long_path - 1);
  memset(long_text, 'a', sizeof long_text - 1);
  static const struct {
    enum stwi_option_id id;
    const char *text;
    stw_status status;
  } cases[] = {
      {STWI_OPTION_URL, "", STW_E_URL},
      {STWI_OPTION_URL, "wss://h/\r\nX: y", STW_E_URL},
      {STWI_OPTION_URL, "ws://h/\xc3\xa4", STW_E_URL},
      {STWI_OPTION_URL, "ws://user:pass@h/", STW_E_URL},
      {STWI_OPTION_NAME, long_name, STW_E_VALUE},
      {STWI_OPTION_NAME, "a\x7f", STW_E_VALUE},
      {STWI_OPTION_NAME, "a\tb", STW_E_VALUE},
      {STWI_OPTION_NAME, "a\xff", STW_E_VALUE},
      {STWI_OPTION_SUBPROTOCOLS, "a,b", STW_E_URL},
      {STWI_OPTION_USER_AGENT, "\xc3\xa4", STW_E_URL},
      {STWI_OPTION_CLIENT_KEY, long_path, STW_E_VALUE},
      {STWI_OPTION_SERVER_NAME, long_host, STW_E_URL},
      {STWI_OPTION_PROXY, "socks5://h:1", STW_E_URL},
      {STWI_OPTION_READY_WHEN, "hosts", STW_E_VALUE},
      {STWI_OPTION_READY_WHEN, long_text, STW_E_VALUE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(stwi_judge(cases[i].id, cases[i].text), cases[i].status);
}

static void items_are_judged_by_key_and_value(void **state) {
  (void)state;
  assert_int_equal(stwi_judge_item(STWI_OPTION_HEADERS, "Host", "x"), STW_E_URL);
  assert_string_equal(stw_last_error(),
                      "option headers: this header is written by the WebSocket handshake itself; "
                      "allowed: up to 64; names are tokens, values printable ASCII; none that the "
                      "handshake writes");
  assert_int_equal(stwi_judge_item(STWI_OPTION_HEADERS, "X-Key", "a\r\nb"), STW_E_URL);
  assert_string_equal(stw_last_error(),
                      "option headers: the value of X-Key: a line break is not allowed here; "
                      "allowed: up to 64; names are tokens, values printable ASCII; none that the "
                      "handshake writes");
  assert_int_equal(stwi_judge_item(STWI_OPTION_CAUSES, "999", "auth"), STW_E_VALUE);
  assert_string_equal(stw_last_error(),
                      "option causes = \"999\": no close code that a server can send; allowed: "
                      "close codes 1000 .. 4999 (not 1006, 1015) -> host | local | path | "
                      "server_planned | overload | auth | protocol");
  assert_int_equal(stwi_judge_item(STWI_OPTION_CAUSES, "4004", "atuh"), STW_E_VALUE);
  assert_string_equal(stw_last_error(),
                      "option causes: close code 4004: no class is called \"atuh\"; the nearest is "
                      "auth; allowed: close codes 1000 .. 4999 (not 1006, 1015) -> host | local | "
                      "path | server_planned | overload | auth | protocol");
}

/* Wherever the secret stands in a bad value, no sentence repeats it. */
static void no_sentence_repeats_a_secret(void **state) {
  (void)state;
  static const char *const forms[] = {
      CANARY,
      CANARY "\r\n",
      "ws://" CANARY "\n/",
      "http://h/?t=" CANARY,
      "ws://u:" CANARY "@h/",
      "ws://h/?token=" CANARY " x",
      CANARY ":" CANARY "@h",
      "u:" CANARY "@h:99999",
      CANARY "@h:1",
      "socks5://u:" CANARY "@h:1",
      "equal:" CANARY,
      CANARY "," CANARY,
      "\xc3\xa4" CANARY,
      CANARY "://h:1",
      "http://" CANARY "/",
      "ws://" CANARY ":99999/",
  };
  size_t refused = 0;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++) {
    const enum stwi_option_id id = (enum stwi_option_id)i;
    for (size_t k = 0; k < sizeof forms / sizeof *forms && stw_option_at(i)->is_secret; k++) {
      stw_status status = id == STWI_OPTION_HEADERS ? stwi_judge_item(id, "X-Key", forms[k])
                                                    : stwi_judge(id, forms[k]);
      if (status != STW_OK && strstr(stw_last_error(), CANARY) != NULL)
        fail_msg("%s: %s", stw_option_at(i)->name, stw_last_error());
      refused += status != STW_OK;
    }
  }
  assert_true(refused > 30);
  assert_int_equal(stwi_judge_item(STWI_OPTION_HEADERS, "Bearer " CANARY, "x"), STW_E_URL);
  assert_null(strstr(stw_last_error(), CANARY));
}

static void no_memory_is_said(void **state) {
  (void)state;
  failing_mem_after = 0;
  const stw_status status = stwi_judge(STWI_OPTION_URL, "ws://h/");
  failing_mem_after = -1;
  assert_int_equal(status, STW_E_MEMORY);
  assert_string_equal(stw_last_error(), "option url: no memory; free some, then set it again");
}

static void shown_text_is_short_ascii(void **state) {
  (void)state;
  char text[49];
  for (size_t size = 0; size < sizeof text; size++) {
    memset(text, 'a', size);
    text[size] = '\0';
    const struct stwi_shown shown = stwi_show(text);
    if (size < sizeof shown.text) {
      assert_string_equal(shown.text, text);
    } else {
      assert_int_equal(strlen(shown.text), sizeof shown.text - 1);
      assert_string_equal(shown.text + 42, "aa...");
    }
  }
  assert_string_equal(stwi_show("a\"b\x1f\x7f\xc3\xa4~ ").text, "a?b????~ ");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sentence_says_what_is_wrong_and_what_is_allowed),
      cmocka_unit_test(good_texts_are_taken),
      cmocka_unit_test(bad_texts_are_refused),
      cmocka_unit_test(items_are_judged_by_key_and_value),
      cmocka_unit_test(no_sentence_repeats_a_secret),
      cmocka_unit_test(no_memory_is_said),
      cmocka_unit_test(shown_text_is_short_ascii),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
