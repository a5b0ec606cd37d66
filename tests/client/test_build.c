#include "client/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/option.h"
#include "failing_mem.h"

static int setup(void **state) {
  failing_mem_after = -1;
  failing_mem_live = 0;
  *state = stw_config_new();
  return *state == NULL || stw_config_set(*state, "url", "ws://h/") != STW_OK;
}

static int teardown(void **state) {
  stw_config_free(*state);
  return failing_mem_live != 0;
}

static struct stwi_conn_config *build(const stw_config *config) {
  struct stwi_conn_config *made = NULL;
  if (stwi_config_build(config, &made) != STW_OK)
    fail_msg("%s", stw_last_error());
  return made;
}

static void set(stw_config *config, const char *name, const char *value) {
  if (stw_config_set(config, name, value) != STW_OK)
    fail_msg("%s", stw_last_error());
}

static void expect_refusal(const stw_config *config, const char *sentence) {
  struct stwi_conn_config *made = NULL;
  assert_int_equal(stwi_config_build(config, &made), STW_E_VALUE);
  assert_string_equal(stw_last_error(), sentence);
  assert_null(made);
}

static void defaults_are_built(void **state) {
  struct stwi_conn_config *made = build(*state);
  assert_int_equal(made->url_count, 1);
  assert_string_equal(made->name, "");
  assert_null(made->headers[0]);
  assert_string_equal(made->subprotocols, "");
  assert_string_equal(made->ca_file, "");
  assert_string_equal(made->client_cert, "");
  assert_string_equal(made->client_key, "");
  assert_string_equal(made->server_name, "");
  assert_string_equal(made->proxy, "");
  assert_false(made->is_insecure);
  assert_int_equal(made->open_timeout_ns, 5 * STWI_S);
  assert_int_equal(made->close_timeout_ns, 5 * STWI_S);
  assert_true(made->has_heartbeat);
  assert_int_equal(made->heartbeat_interval_ns, 15 * STWI_S);
  assert_int_equal(made->heartbeat_timeout_ns, 0);
  assert_int_equal(made->heartbeat_idle_ns, 0);
  assert_false(made->is_idle_learnt);
  assert_int_equal(made->max_silence_ns, 0);
  assert_int_equal(made->stale_action, STWI_STALE_EVENT);
  assert_int_equal(made->retry_window_ns, STWI_S);
  assert_int_equal(made->retry_cap_ns, 60 * STWI_S);
  assert_true(made->has_hedge);
  assert_int_equal(made->outbox_messages, 10000);
  assert_int_equal(made->outbox_bytes, 64u << 20);
  assert_int_equal(made->outbox_overflow, STWI_OVERFLOW_REJECT);
  assert_int_equal(made->guarantee, STW_AT_LEAST_ONCE);
  assert_int_equal(made->max_message, 16u << 20);
  assert_int_equal(made->inbound_buffer, 4u << 20);
  assert_int_equal(made->inbound_overflow, STWI_INBOUND_PAUSE);
  assert_int_equal(made->inbound_key_kind, STWI_KEY_NONE);
  assert_int_equal(made->ready_when.kind, STWI_MATCH_NONE);
  assert_string_equal(made->ready_when.text, "");
  assert_int_equal(made->ready_timeout_ns, 5 * STWI_S);
  assert_false(made->has_credentials);
  assert_int_equal(made->credentials_timeout_ns, 5 * STWI_S);
  assert_null(made->causes);
  assert_int_equal(made->cause_count, 0);
  stwi_conn_config_free(made);
}

static void each_number_goes_to_its_field(void **state) {
  static const struct {
    const char *name, *text;
    size_t at;
    uint64_t value;
  } cases[] = {
#define FIELD(field) offsetof(struct stwi_conn_config, field)
      {"open_timeout", "101ms", FIELD(open_timeout_ns), 101 * STWI_MS},
      {"close_timeout", "102ms", FIELD(close_timeout_ns), 102 * STWI_MS},
      {"heartbeat_interval", "103ms", FIELD(heartbeat_interval_ns), 103 * STWI_MS},
      {"heartbeat_idle_interval", "1h", FIELD(heartbeat_idle_ns), 3600 * STWI_S},
      {"heartbeat_timeout", "104ms", FIELD(heartbeat_timeout_ns), 104 * STWI_MS},
      {"max_silence", "105ms", FIELD(max_silence_ns), 105 * STWI_MS},
      {"retry_window", "106ms", FIELD(retry_window_ns), 106 * STWI_MS},
      {"retry_cap", "30min", FIELD(retry_cap_ns), 1800 * STWI_S},
      {"outbox_messages", "108", FIELD(outbox_messages), 108},
      {"outbox_bytes", "109KiB", FIELD(outbox_bytes), 109 << 10},
      {"max_message", "110", FIELD(max_message), 110},
      {"inbound_buffer", "111KiB", FIELD(inbound_buffer), 111 << 10},
      {"ready_timeout", "112ms", FIELD(ready_timeout_ns), 112 * STWI_MS},
      {"credentials_timeout", "113ms", FIELD(credentials_timeout_ns), 113 * STWI_MS},
#undef FIELD
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    set(*state, cases[i].name, cases[i].text);
  struct stwi_conn_config *made = build(*state);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t value;
    memcpy(&value, (const char *)made + cases[i].at, sizeof value);
    assert_int_equal(value, cases[i].value);
  }
  stwi_conn_config_free(made);
}

static void each_choice_is_its_enum(void **state) {
  static const char *const stale[] = {"event", "opening", "relink"};
  static const char *const overflow[] = {"reject", "drop_oldest", "drop_newest", "coalesce"};
  static const char *const inbound[] = {"pause", "drop_oldest", "latest_by_key"};
  set(*state, "inbound_key", "until:,");
  for (int i = 0; i < 4; i++) {
    set(*state, "stale_action", stale[i % 3]);
    set(*state, "outbox_overflow", overflow[i]);
    set(*state, "inbound_overflow", inbound[i % 3]);
    set(*state, "guarantee", stw_guarantee_at((size_t)i % 2)->name);
    set(*state, "insecure", i % 2 ? "true" : "false");
    set(*state, "heartbeat", i % 2 ? "ping" : "off");
    set(*state, "hedge", i % 2 ? "auto" : "off");
    set(*state, "credentials", i % 2 ? "host" : "off");
    struct stwi_conn_config *made = build(*state);
    assert_int_equal(made->stale_action, STWI_STALE_EVENT + i % 3);
    assert_int_equal(made->outbox_overflow, STWI_OVERFLOW_REJECT + i);
    assert_int_equal(made->inbound_overflow, STWI_INBOUND_PAUSE + i % 3);
    assert_int_equal(made->guarantee, STW_AT_LEAST_ONCE + i % 2);
    assert_int_equal(made->is_insecure, i % 2);
    assert_int_equal(made->has_heartbeat, i % 2);
    assert_int_equal(made->has_hedge, i % 2);
    assert_int_equal(made->has_credentials, i % 2);
    assert_int_equal(made->inbound_key_kind, STWI_KEY_UNTIL);
    assert_int_equal(made->inbound_key_arg, ',');
    stwi_conn_config_free(made);
  }
}

/* The table's order of the choices is what the build relies on. */
static void guarantees_stand_in_the_order_of_the_list(void **state) {
  (void)state;
  char range[128] = "";
  for (size_t i = 0; stw_guarantee_at(i) != NULL; i++) {
    const size_t used = strlen(range);
    snprintf(range + used, sizeof range - used, "%s%s", i == 0 ? "" : " | ",
             stw_guarantee_at(i)->name);
  }
  assert_string_equal(stwi_option_row(STWI_OPTION_GUARANTEE)->range, range);
}

static void texts_are_built(void **state) {
  set(*state, "name", "feed");
  set(*state, "ca_file", "ca.pem");
  set(*state, "client_cert", "cert.pem");
  set(*state, "client_key", "key.pem");
  set(*state, "server_name", "example.net");
  set(*state, "proxy", "http://user:pass@proxy:3128/");
  set(*state, "ready_when", "prefix:{\"ok\"");
  set(*state, "subprotocols", "one");
  assert_int_equal(stw_config_add(*state, "subprotocols", "two"), STW_OK);
  struct stwi_conn_config *made = build(*state);
  assert_string_equal(made->name, "feed");
  assert_string_equal(made->ca_file, "ca.pem");
  assert_string_equal(made->client_cert, "cert.pem");
  assert_string_equal(made->client_key, "key.pem");
  assert_string_equal(made->server_name, "example.net");
  assert_string_equal(made->proxy, "user:pass@proxy:3128");
  assert_int_equal(made->ready_when.kind, STWI_MATCH_PREFIX);
  assert_string_equal(made->ready_when.text, "{\"ok\"");
  assert_int_equal(made->ready_when.size, 5);
  assert_string_equal(made->subprotocols, "one, two");
  stwi_conn_config_free(made);
}

static void urls_may_mix_schemes(void **state) {
  assert_int_equal(stw_config_add(*state, "url", "wss://Example.NET:8443/feed?t=1"), STW_OK);
  struct stwi_conn_config *made = build(*state);
  assert_int_equal(made->url_count, 2);
  assert_false(made->urls[0].is_tls);
  assert_int_equal(made->urls[0].port, 80);
  assert_true(made->urls[1].is_tls);
  assert_int_equal(made->urls[1].port, 8443);
  assert_string_equal(made->urls[1].host, "example.net");
  assert_string_equal(made->urls[1].path, "/feed?t=1");
  stwi_conn_config_free(made);
}

static void headers_end_with_null(void **state) {
  assert_int_equal(stw_config_put(*state, "headers", "X-A", "1"), STW_OK);
  assert_int_equal(stw_config_put(*state, "headers", "X-B", ""), STW_OK);
  set(*state, "user_agent", "bot/1");
  set(*state, "origin", "https://example.net");
  struct stwi_conn_config *made = build(*state);
  static const char *const wanted[] = {
      "X-A", "1", "X-B", "", "Origin", "https://example.net", "User-Agent", "bot/1"};
  for (size_t i = 0; i < 8; i++)
    assert_string_equal(made->headers[i], wanted[i]);
  assert_null(made->headers[8]);
  stwi_conn_config_free(made);
}

static void causes_are_built(void **state) {
  assert_int_equal(stw_config_put(*state, "causes", "4004", "auth"), STW_OK);
  assert_int_equal(stw_config_put(*state, "causes", "4999", "overload"), STW_OK);
  assert_int_equal(stw_config_put(*state, "causes", "4004", "host"), STW_OK);
  struct stwi_conn_config *made = build(*state);
  assert_int_equal(made->cause_count, 2);
  assert_int_equal(made->causes[0].code, 4004);
  assert_int_equal(made->causes[0].cls, STW_CLASS_HOST);
  assert_int_equal(made->causes[1].code, 4999);
  assert_int_equal(made->causes[1].cls, STW_CLASS_OVERLOAD);
  stwi_conn_config_free(made);
}

static void url_is_required(void **state) {
  set(*state, "url", "");
  expect_refusal(*state, "option url is not set; give it a ws:// or wss:// URL");
  struct stwi_conn_config *made;
  assert_int_equal(stwi_config_build(NULL, &made), STW_E_ARGUMENT);
}

static void exactly_once_needs_a_session(void **state) {
  set(*state, "guarantee", "exactly_once");
  expect_refusal(*state, "option guarantee = \"exactly_once\" needs profile = session, and this "
                         "conn has profile = plain; set profile, or use at_least_once");
  set(*state, "profile", "session");
  stwi_conn_config_free(build(*state));
}

static void latest_by_key_needs_a_key(void **state) {
  set(*state, "inbound_overflow", "latest_by_key");
  expect_refusal(*state, "option inbound_overflow = \"latest_by_key\" needs inbound_key; set it to "
                         "prefix:N (N = 1 .. 255) | until:C (C = one byte)");
  set(*state, "inbound_key", "prefix:8");
  struct stwi_conn_config *made = build(*state);
  assert_int_equal(made->inbound_key_kind, STWI_KEY_PREFIX);
  assert_int_equal(made->inbound_key_arg, 8);
  stwi_conn_config_free(made);
}

static void certificate_and_key_go_together(void **state) {
  set(*state, "client_cert", "cert.pem");
  expect_refusal(*state, "option client_cert is set, but client_key is not; give both or neither");
  set(*state, "client_cert", "");
  set(*state, "client_key", "key.pem");
  expect_refusal(*state, "option client_key is set, but client_cert is not; give both or neither");
}

static void cap_is_not_below_the_window(void **state) {
  set(*state, "retry_window", "61s");
  expect_refusal(*state, "option retry_cap = \"60s\" is below retry_window = \"61s\"; raise "
                         "retry_cap or lower retry_window");
  set(*state, "retry_cap", "61");
  stwi_conn_config_free(build(*state));
}

static void quiet_links_are_not_asked_more_often(void **state) {
  set(*state, "heartbeat_idle_interval", "14s");
  expect_refusal(*state, "option heartbeat_idle_interval = \"14s\" is below heartbeat_interval = "
                         "\"15s\"; raise it, or lower heartbeat_interval");
  set(*state, "heartbeat_idle_interval", "auto");
  struct stwi_conn_config *made = build(*state);
  assert_true(made->is_idle_learnt);
  assert_int_equal(made->heartbeat_idle_ns, 0);
  stwi_conn_config_free(made);
}

static void header_is_said_once(void **state) {
  assert_int_equal(stw_config_put(*state, "headers", "origin", "https://a"), STW_OK);
  assert_int_equal(stw_config_put(*state, "headers", "USER-AGENT", "x"), STW_OK);
  stwi_conn_config_free(build(*state));
  set(*state, "user_agent", "bot/1");
  expect_refusal(*state,
                 "option headers has User-Agent, and option user_agent says it too; give one");
  set(*state, "origin", "https://b");
  expect_refusal(*state, "option headers has Origin, and option origin says it too; give one");
}

static void build_without_memory_leaves_nothing(void **state) {
  set(*state, "proxy", "u:p@h:1");
  set(*state, "origin", "https://a");
  set(*state, "subprotocols", "one");
  assert_int_equal(stw_config_add(*state, "url", "wss://b/"), STW_OK);
  assert_int_equal(stw_config_put(*state, "headers", "X-A", "1"), STW_OK);
  assert_int_equal(stw_config_put(*state, "causes", "4004", "auth"), STW_OK);
  const long live = failing_mem_live;
  struct stwi_conn_config *made = NULL;
  long after = 0;
  for (;; after++) {
    failing_mem_after = after;
    const stw_status status = stwi_config_build(*state, &made);
    failing_mem_after = -1;
    if (status == STW_OK)
      break;
    assert_int_equal(status, STW_E_MEMORY);
    assert_string_equal(stw_last_error(),
                        "no memory for the options of a conn; free some, then open again");
    assert_null(made);
    assert_int_equal(failing_mem_live, live);
    assert_true(after < 1000);
  }
  assert_true(after > 20);
  stwi_conn_config_free(made);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(defaults_are_built),
      TEST(each_number_goes_to_its_field),
      TEST(each_choice_is_its_enum),
      TEST(guarantees_stand_in_the_order_of_the_list),
      TEST(texts_are_built),
      TEST(urls_may_mix_schemes),
      TEST(headers_end_with_null),
      TEST(causes_are_built),
      TEST(url_is_required),
      TEST(exactly_once_needs_a_session),
      TEST(latest_by_key_needs_a_key),
      TEST(certificate_and_key_go_together),
      TEST(cap_is_not_below_the_window),
      TEST(quiet_links_are_not_asked_more_often),
      TEST(header_is_said_once),
      TEST(build_without_memory_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
