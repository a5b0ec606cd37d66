#include "io_world.h"

#include "io/transport_ws.h"

#include <sched.h>
#include <time.h>

/* Answers `peer->answer` as it stands, then waits for the other end to close. */
static void serve_answer(struct peer *peer, int fd) {
  if (!read_header(fd, peer->request, sizeof peer->request))
    return;
  send_text(fd, peer->answer);
  read_to_end(fd);
}

/* A right upgrade with the header lines of `peer->answer` added. */
static void serve_upgrade_with(struct peer *peer, int fd) {
  if (upgrade(peer, fd, peer->answer, ""))
    read_to_end(fd);
}

struct outcome {
  bool is_ready;
  struct seen seen;
};

static void dial_peer(struct peer *peer, void (*serve)(struct peer *, int), struct stwi_dial dial,
                      struct outcome *outcome) {
  struct world world;
  peer_start(peer, serve);
  world_open(&world);
  dial.port = peer->port;
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready_or_down);
  outcome->is_ready = world.links[1].is_ready;
  outcome->seen = world.links[1];
  world_close(&world);
  peer_stop(peer);
}

static struct seen refused(const char *answer) {
  struct peer peer = {.answer = answer};
  struct outcome outcome;
  dial_peer(&peer, serve_answer, plain_dial(0), &outcome);
  assert_false(outcome.is_ready);
  assert_true(outcome.seen.is_down);
  return outcome.seen;
}

static void refused_as(const char *answer, stw_cause cause, const char *in_detail) {
  const struct seen seen = refused(answer);
  if (seen.cause != cause || strstr(seen.detail, in_detail) == NULL)
    fail_msg("%s: cause %d, detail \"%s\"", answer, (int)seen.cause, seen.detail);
}

static void status_gives_its_cause(void **state) {
  (void)state;
  static const struct {
    const char *answer;
    stw_cause cause;
    uint16_t status;
  } cases[] = {
      {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", STW_CAUSE_HTTP_401, 401},
      {"HTTP/1.1 403 Forbidden\r\n\r\n", STW_CAUSE_HTTP_403, 403},
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", STW_CAUSE_HTTP_4XX, 404},
      {"HTTP/1.1 429 Slow Down\r\n\r\n", STW_CAUSE_HTTP_429, 429},
      {"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n", STW_CAUSE_HTTP_5XX, 500},
      {"HTTP/1.1 503 Away\r\n\r\n", STW_CAUSE_HTTP_5XX, 503},
      {"HTTP/1.1 200 OK\r\n\r\n<html>", STW_CAUSE_UPGRADE_INVALID, 200},
      {"HTTP/1.0 502 Bad Gateway\r\n\r\n", STW_CAUSE_HTTP_5XX, 502},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const struct seen seen = refused(cases[i].answer);
    assert_int_equal(seen.cause, cases[i].cause);
    assert_int_equal(seen.http_status, cases[i].status);
    assert_int_equal(seen.retry_after_ms, 0);
  }
}

static void redirect_is_named_without_secrets_and_not_followed(void **state) {
  (void)state;
  const struct seen seen = refused("HTTP/1.1 302 Found\r\nLocation: "
                                   "https://user:CANARY@example.net/login?token=CANARY#CANARY\r\n"
                                   "\r\n");
  assert_int_equal(seen.cause, STW_CAUSE_HTTP_REDIRECT);
  assert_int_equal(seen.http_status, 302);
  assert_non_null(strstr(seen.detail, "https://example.net/login"));
  assert_null(strstr(seen.detail, "CANARY"));
}

static void retry_after_is_read_in_both_forms(void **state) {
  (void)state;
  assert_int_equal(refused("HTTP/1.1 503 Away\r\nRetry-After: 7\r\n\r\n").retry_after_ms, 7000);
  char answer[256], date[64];
  const time_t then = time(NULL) + 30;
  struct tm at;
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &at));
  snprintf(answer, sizeof answer, "HTTP/1.1 429 Wait\r\nRetry-After: %s\r\n\r\n", date);
  const uint64_t ms = refused(answer).retry_after_ms;
  assert_true(ms > 20000 && ms <= 30000);
}

static void retry_after_values(void **state) {
  (void)state;
  const uint64_t now = 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT */
  assert_int_equal(stwi_ws_retry_after_ms("0", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("120", now), 120000);
  assert_int_equal(stwi_ws_retry_after_ms("99999999999999999999999", now), 24 * 3600 * 1000);
  assert_int_equal(stwi_ws_retry_after_ms("12x", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("-3", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("soon", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("Sun, 06 Nov 1994 08:49:40 GMT", now), 3000);
  assert_int_equal(stwi_ws_retry_after_ms("Sun, 06 Nov 1994 08:49:30 GMT", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("Sun, 06 Xxx 1994 08:49:40 GMT", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("Sun, 06 Nov 1994 08:49:40 PST", now), 0);
  assert_int_equal(stwi_ws_retry_after_ms("Sun, 06 Nov 9999 08:49:40 GMT", now), 24 * 3600 * 1000);
}

static void answer_that_is_no_upgrade_is_refused(void **state) {
  (void)state;
#define OK_LINES "Upgrade: websocket\r\nConnection: Upgrade\r\n"
  refused_as("HTTP/1.1 101 X\r\n" OK_LINES "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
             "\r\n",
             STW_CAUSE_UPGRADE_INVALID, "does not fit our key");
  refused_as("HTTP/1.1 101 X\r\n" OK_LINES "\r\n", STW_CAUSE_UPGRADE_INVALID,
             "lacks Sec-WebSocket-Accept");
  refused_as("HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n", STW_CAUSE_UPGRADE_INVALID,
             "Upgrade: websocket");
  refused_as("HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
             STW_CAUSE_UPGRADE_INVALID, "Upgrade: websocket");
  refused_as("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n",
             STW_CAUSE_UPGRADE_INVALID, "Connection: Upgrade");
  refused_as("HTTP/1.0 101 X\r\n" OK_LINES "\r\n", STW_CAUSE_UPGRADE_INVALID, "HTTP/1.0");
  refused_as("HTTP/1.1 abc X\r\n\r\n", STW_CAUSE_UPGRADE_INVALID, "no HTTP status");
}

static void serve_words_and_hang_up(struct peer *peer, int fd) {
  if (read_header(fd, peer->request, sizeof peer->request))
    send_text(fd, peer->answer);
}

static stw_cause cause_of_words(const char *words) {
  struct peer peer = {.answer = words};
  struct outcome outcome;
  dial_peer(&peer, serve_words_and_hang_up, plain_dial(0), &outcome);
  return outcome.seen.cause;
}

/* What no HTTP parser takes: at once where it looks like a header, else when the peer hangs up. */
static void garbage_is_refused(void **state) {
  (void)state;
  refused_as("{\"error\": \"no\"}\r\n\r\n", STW_CAUSE_UPGRADE_INVALID, "not HTTP");
  refused_as("\r\n\r\n", STW_CAUSE_UPGRADE_INVALID, "not HTTP");
  assert_int_equal(cause_of_words("SSH-2.0-OpenSSH_9.2\r\n"), STW_CAUSE_UPGRADE_INVALID);
  assert_int_equal(cause_of_words("\x15\x03\x01\x02\x02\x16"), STW_CAUSE_UPGRADE_INVALID);
  assert_int_equal(cause_of_words("220 smtp ready\r\n"), STW_CAUSE_UPGRADE_INVALID);
}

static void end_before_the_answer_is_told_from_garbage(void **state) {
  (void)state;
  assert_int_equal(cause_of_words(""), STW_CAUSE_UPGRADE_EOF);
  assert_int_equal(cause_of_words("HTTP/1.1 101 Switching Proto"), STW_CAUSE_UPGRADE_EOF);
  assert_int_equal(cause_of_words("HTTP/1.1 503 Away\r\nRetry-Af"), STW_CAUSE_UPGRADE_EOF);
}

static void serve_unheard(struct peer *peer, int fd) {
  const struct linger now = {1, 0};
  char byte;
  recv(fd, &byte, 1, 0);
  send_text(fd, peer->answer);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* A server that answers before it has read the request, and closes: its RST overtakes nothing. */
static void reset_with_and_without_an_answer(void **state) {
  (void)state;
  struct peer rude = {.answer = ""}, busy = {.answer = "HTTP/1.1 503 Away\r\n\r\n"};
  struct outcome outcome;
  dial_peer(&rude, serve_unheard, plain_dial(0), &outcome);
  assert_int_equal(outcome.seen.cause, STW_CAUSE_TCP_RESET);
  dial_peer(&busy, serve_unheard, plain_dial(0), &outcome);
  assert_int_equal(outcome.seen.cause, STW_CAUSE_HTTP_5XX);
  assert_int_equal(outcome.seen.http_status, 503);
}

static void serve_upgrade_and_reset(struct peer *peer, int fd) {
  const struct linger now = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  upgrade(peer, fd, "", "");
}

/* The reset may overtake the answer; neither order makes it a bad one. */
static void reset_behind_a_right_answer_is_a_reset(void **state) {
  (void)state;
  for (int i = 0; i < 300; i++) {
    struct peer peer = {.answer = ""};
    struct outcome outcome;
    dial_peer(&peer, serve_upgrade_and_reset, plain_dial(0), &outcome);
    const bool is_told = outcome.is_ready || outcome.seen.cause == STW_CAUSE_TCP_RESET ||
                         outcome.seen.cause == STW_CAUSE_UPGRADE_EOF;
    if (!is_told)
      fail_msg("cause %d, detail \"%s\"", (int)outcome.seen.cause, outcome.seen.detail);
  }
}

static void header_over_the_bound_is_refused(void **state) {
  (void)state;
  enum { ROOM = 64 * 1024 };
  char *answer = malloc(ROOM);
  size_t size = (size_t)snprintf(answer, ROOM, "HTTP/1.1 101 X\r\n" OK_LINES);
  for (int i = 0; i < 400; i++)
    size += (size_t)snprintf(answer + size, ROOM - size, "X-Filler-%d: %0100d\r\n", i, i);
  snprintf(answer + size, ROOM - size, "\r\n");
  refused_as(answer, STW_CAUSE_UPGRADE_INVALID, "4096");
  memcpy(answer, "HTTP/1.1 401", 12);
  refused_as(answer, STW_CAUSE_HTTP_401, "401");
  free(answer);
}

static struct outcome upgraded_with(const char *lines, const char *subprotocols) {
  struct peer peer = {.answer = lines};
  struct stwi_dial dial = plain_dial(0);
  dial.subprotocols = subprotocols;
  struct outcome outcome;
  dial_peer(&peer, serve_upgrade_with, dial, &outcome);
  return outcome;
}

static void subprotocol_must_be_one_that_was_asked_for(void **state) {
  (void)state;
  struct outcome outcome = upgraded_with("Sec-WebSocket-Protocol: b\r\n", "a, b");
  assert_true(outcome.is_ready);
  assert_string_equal(outcome.seen.subprotocol, "b");
  outcome = upgraded_with("", "a,b");
  assert_true(outcome.is_ready);
  assert_string_equal(outcome.seen.subprotocol, "");
  static const char *const wrong[][2] = {{"Sec-WebSocket-Protocol: b\r\n", ""},
                                         {"Sec-WebSocket-Protocol: c\r\n", "a,b"},
                                         {"Sec-WebSocket-Protocol: B\r\n", "a,b"},
                                         {"Sec-WebSocket-Protocol: a, b\r\n", "a,b"},
                                         {"Sec-WebSocket-Protocol: a\r\n"
                                          "Sec-WebSocket-Protocol: b\r\n",
                                          "a,b"}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    outcome = upgraded_with(wrong[i][0], wrong[i][1]);
    assert_false(outcome.is_ready);
    assert_int_equal(outcome.seen.cause, STW_CAUSE_UPGRADE_INVALID);
    assert_non_null(strstr(outcome.seen.detail, "subprotocol"));
  }
}

static void extension_that_was_not_asked_for_is_refused(void **state) {
  (void)state;
  const struct outcome outcome =
      upgraded_with("Sec-WebSocket-Extensions: permessage-deflate\r\n", "");
  assert_false(outcome.is_ready);
  assert_int_equal(outcome.seen.cause, STW_CAUSE_UPGRADE_INVALID);
  assert_non_null(strstr(outcome.seen.detail, "extension"));
}

static void upgrade_with_a_body_is_refused(void **state) {
  (void)state;
  static const char *const lines[] = {"Content-Length: 0\r\n", "Content-Length: 10\r\n",
                                      "Transfer-Encoding: chunked\r\n"};
  for (size_t i = 0; i < 3; i++) {
    const struct outcome outcome = upgraded_with(lines[i], "");
    assert_false(outcome.is_ready);
    assert_int_equal(outcome.seen.cause, STW_CAUSE_UPGRADE_INVALID);
    assert_non_null(strstr(outcome.seen.detail, "body"));
  }
}

static void second_accept_header_is_refused(void **state) {
  (void)state;
  const struct outcome outcome = upgraded_with("Sec-WebSocket-Accept: x\r\n", "");
  assert_false(outcome.is_ready);
  assert_int_equal(outcome.seen.cause, STW_CAUSE_UPGRADE_INVALID);
}

static void odd_spelling_of_a_right_answer_is_taken(void **state) {
  (void)state;
  struct peer peer = {0};
  const struct outcome outcome =
      upgraded_with("server: x\r\nX-Empty:\r\nSet-Cookie: a=b; Path=/\r\n", "");
  assert_true(outcome.is_ready);
  (void)peer;
}

static void request_is_ours_alone(void **state) {
  (void)state;
  struct peer peer = {.answer = ""};
  struct stwi_dial dial = plain_dial(0);
  const char *headers[] = {"Origin", "https://example.net", "Authorization", "Bearer t", NULL};
  dial.path = "/feed?x=1&y=%20";
  dial.headers = headers;
  dial.subprotocols = "a,b";
  struct outcome outcome;
  dial_peer(&peer, serve_upgrade_with, dial, &outcome);
  assert_true(outcome.is_ready);
  char wanted[1024];
  const char *key = strstr(peer.request, "Sec-WebSocket-Key: ");
  assert_non_null(key);
  snprintf(wanted, sizeof wanted,
           "GET /feed?x=1&y=%%20 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Key: %.24s\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Protocol: a,b\r\nOrigin: https://example.net\r\n"
           "Authorization: Bearer t\r\n\r\n",
           (unsigned)peer.port, key + 19);
  assert_string_equal(peer.request, wanted);
}

/* libwebsockets by itself would cut both. */
static void long_path_and_long_header_arrive_whole(void **state) {
  (void)state;
  struct peer peer = {.answer = ""};
  struct stwi_dial dial = plain_dial(0);
  char path[6001] = "/", value[6001] = "";
  memset(path + 1, 'p', sizeof path - 2);
  memset(value, 'v', sizeof value - 1);
  const char *headers[] = {"X-Long", value, NULL};
  dial.path = path;
  dial.headers = headers;
  struct outcome outcome;
  dial_peer(&peer, serve_upgrade_with, dial, &outcome);
  assert_true(outcome.is_ready);
  assert_non_null(strstr(peer.request, path));
  assert_non_null(strstr(peer.request, value));
}

static void request_over_the_bound_is_a_config_error(void **state) {
  (void)state;
  struct world world;
  world_open(&world);
  char *value = malloc(64 * 1024);
  memset(value, 'v', 64 * 1024 - 1);
  value[64 * 1024 - 1] = '\0';
  const char *headers[] = {"X-Long", value, NULL};
  struct stwi_dial dial = plain_dial(1);
  dial.headers = headers;
  world_dial(&world, 1, &dial);
  assert_false(world.links[1].is_down); /* never from within */
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_CONFIG);
  free(value);
  world_close(&world);
}

static void serve_byte_by_byte(struct peer *peer, int fd) {
  char answer[1024];
  if (!read_header(fd, peer->request, sizeof peer->request))
    return;
  const size_t size = make_upgrade(peer->request, "", "early", answer, sizeof answer);
  for (size_t i = 0; i < size && send_all(fd, answer + i, 1); i++)
    sched_yield();
  read_to_end(fd);
}

static void answer_in_single_bytes_is_read(void **state) {
  (void)state;
  struct peer peer = {0};
  struct world world;
  peer_start(&peer, serve_byte_by_byte);
  world_open(&world);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_has_5);
  assert_memory_equal(world.links[1].bytes, "early", 5);
  world_close(&world);
  peer_stop(&peer);
}

static void bytes_behind_the_101_arrive_after_ready(void **state) {
  (void)state;
  struct peer peer = {0};
  struct world world;
  peer_start(&peer, serve_push);
  world_open(&world);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_has_5);
  assert_memory_equal(world.links[1].bytes, "early", 5);
  world_close(&world);
  peer_stop(&peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(status_gives_its_cause),
      cmocka_unit_test(redirect_is_named_without_secrets_and_not_followed),
      cmocka_unit_test(retry_after_is_read_in_both_forms),
      cmocka_unit_test(retry_after_values),
      cmocka_unit_test(answer_that_is_no_upgrade_is_refused),
      cmocka_unit_test(garbage_is_refused),
      cmocka_unit_test(end_before_the_answer_is_told_from_garbage),
      cmocka_unit_test(reset_with_and_without_an_answer),
      cmocka_unit_test(reset_behind_a_right_answer_is_a_reset),
      cmocka_unit_test(header_over_the_bound_is_refused),
      cmocka_unit_test(subprotocol_must_be_one_that_was_asked_for),
      cmocka_unit_test(extension_that_was_not_asked_for_is_refused),
      cmocka_unit_test(upgrade_with_a_body_is_refused),
      cmocka_unit_test(second_accept_header_is_refused),
      cmocka_unit_test(odd_spelling_of_a_right_answer_is_taken),
      cmocka_unit_test(request_is_ours_alone),
      cmocka_unit_test(long_path_and_long_header_arrive_whole),
      cmocka_unit_test(request_over_the_bound_is_a_config_error),
      cmocka_unit_test(answer_in_single_bytes_is_read),
      cmocka_unit_test(bytes_behind_the_101_arrive_after_ready),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
