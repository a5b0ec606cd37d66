#include "io_world.h"

#include "io/transport_ws.h"

/* A proxy that answers `peer->answer` to CONNECT and then plays the server itself. */
static void serve_tunnel(struct peer *peer, int fd) {
  if (!read_header(fd, peer->request, sizeof peer->request))
    return;
  /* In three pieces, with the last line of the header apart. */
  const size_t size = strlen(peer->answer);
  send_all(fd, peer->answer, 5);
  send_all(fd, peer->answer + 5, size - 7);
  send_all(fd, peer->answer + size - 2, 2);
  char request[4096], answer[1024];
  if (!read_header(fd, request, sizeof request))
    return;
  make_upgrade(request, "", "early", answer, sizeof answer);
  send_text(fd, answer);
  read_to_end(fd);
}

static void serve_refusal(struct peer *peer, int fd) {
  if (read_header(fd, peer->request, sizeof peer->request))
    send_text(fd, peer->answer);
}

struct outcome {
  bool is_ready;
  struct seen seen;
};

static struct outcome dial_through(struct peer *peer, void (*serve)(struct peer *, int),
                                   const char *login) {
  struct world world;
  char proxy[128];
  peer_start(peer, serve);
  world_open(&world);
  snprintf(proxy, sizeof proxy, "%s127.0.0.1:%u", login, (unsigned)peer->port);
  struct stwi_dial dial = plain_dial(8080);
  dial.host = "server.test"; /* to be resolved by the proxy */
  dial.proxy = proxy;
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready_or_down);
  if (world.links[1].is_ready)
    world_run(&world, link_1_has_5);
  const struct outcome outcome = {world.links[1].is_ready, world.links[1]};
  world_close(&world);
  peer_stop(peer);
  return outcome;
}

static void connects_through_the_proxy(void **state) {
  (void)state;
  static const char *const answers[] = {"HTTP/1.1 200 Connection established\r\n\r\n",
                                        "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
                                        "HTTP/1.1 200\r\n\r\n"};
  for (size_t i = 0; i < 3; i++) {
    struct peer peer = {.answer = answers[i]};
    const struct outcome outcome = dial_through(&peer, serve_tunnel, "");
    assert_true(outcome.is_ready);
    assert_string_equal(peer.request, "CONNECT server.test:8080 HTTP/1.1\r\n"
                                      "Host: server.test:8080\r\n\r\n");
  }
}

static void login_is_sent_to_the_proxy_and_never_told(void **state) {
  (void)state;
  struct peer peer = {.answer = "HTTP/1.1 407 Nope\r\nProxy-Authenticate: Basic\r\n\r\n"};
  const struct outcome outcome = dial_through(&peer, serve_refusal, "user:CA@NARY@");
  assert_non_null(strstr(peer.request, "\r\nProxy-Authorization: Basic dXNlcjpDQUBOQVJZ\r\n"));
  assert_int_equal(outcome.seen.cause, STW_CAUSE_PROXY_AUTH);
  assert_null(strstr(outcome.seen.detail, "NARY"));
  assert_null(strstr(outcome.seen.detail, "user"));
}

static void refusals_of_the_proxy(void **state) {
  (void)state;
  static const char *const answers[] = {"HTTP/1.1 403 Forbidden\r\n\r\n",
                                        "HTTP/1.1 502 Bad Gateway\r\n\r\n",
                                        "HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
                                        "SSH-2.0-OpenSSH\r\n",
                                        "HTTP/1.1 2x0 OK\r\n\r\n",
                                        ""};
  for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
    struct peer peer = {.answer = answers[i]};
    const struct outcome outcome = dial_through(&peer, serve_refusal, "");
    assert_int_equal(outcome.seen.cause, STW_CAUSE_PROXY_REFUSED);
    assert_int_equal(outcome.seen.phase_count, 1);
    assert_int_equal(outcome.seen.phases[0], STW_PHASE_TCP);
  }
}

static void serve_endless_header(struct peer *peer, int fd) {
  if (!read_header(fd, peer->request, sizeof peer->request))
    return;
  send_text(fd, "HTTP/1.1 200 OK\r\n");
  while (send_text(fd, "X-More: and more\r\n"))
    continue;
}

static void endless_answer_of_the_proxy_is_bounded(void **state) {
  (void)state;
  struct peer peer = {0};
  assert_int_equal(dial_through(&peer, serve_endless_header, "").seen.cause,
                   STW_CAUSE_PROXY_REFUSED);
}

static void proxy_that_is_not_there(void **state) {
  (void)state;
  struct world world;
  world_open(&world);
  struct stwi_dial dial = plain_dial(80);
  dial.proxy = "127.0.0.1:1";
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_PROXY_REFUSED);
  world_close(&world);
}

static void option_is_parsed(void **state) {
  (void)state;
  char host[16];
  uint16_t port;
  assert_true(stwi_ws_proxy_parse("proxy:3128", host, sizeof host, &port));
  assert_string_equal(host, "proxy");
  assert_int_equal(port, 3128);
  assert_true(stwi_ws_proxy_parse("user:p@ss:word@proxy:1", host, sizeof host, &port));
  assert_string_equal(host, "proxy");
  assert_true(stwi_ws_proxy_parse("[::1]:65535", host, sizeof host, &port));
  assert_string_equal(host, "::1");
  assert_int_equal(port, 65535);
  static const char *const wrong[] = {"proxy",
                                      "proxy:",
                                      ":80",
                                      "proxy:0",
                                      "proxy:65536",
                                      "proxy:8o",
                                      "proxy:+8",
                                      "user@:80",
                                      "[::1:80",
                                      "[]:80",
                                      "a-name-of-more-than-15-bytes:80",
                                      ""};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    if (stwi_ws_proxy_parse(wrong[i], host, sizeof host, &port))
      fail_msg("%s was taken", wrong[i]);
  }
}

static void option_that_cannot_be_is_a_config_error(void **state) {
  (void)state;
  struct world world;
  world_open(&world);
  struct stwi_dial dial = plain_dial(80);
  dial.proxy = "user:CANARY@nonsense";
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_CONFIG);
  assert_null(strstr(world.links[1].detail, "CANARY"));
  world_close(&world);
}

static void target_that_is_an_ipv6_address_is_bracketed(void **state) {
  (void)state;
  struct stwi_dial dial = plain_dial(443);
  dial.host = "2001:db8::1";
  dial.proxy = "proxy:80";
  char *request = stwi_ws_proxy_request(&dial);
  assert_string_equal(request, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"
                               "Host: [2001:db8::1]:443\r\n\r\n");
  free(request);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(connects_through_the_proxy),
      cmocka_unit_test(login_is_sent_to_the_proxy_and_never_told),
      cmocka_unit_test(refusals_of_the_proxy),
      cmocka_unit_test(endless_answer_of_the_proxy_is_bounded),
      cmocka_unit_test(proxy_that_is_not_there),
      cmocka_unit_test(option_is_parsed),
      cmocka_unit_test(option_that_cannot_be_is_a_config_error),
      cmocka_unit_test(target_that_is_an_ipv6_address_is_bracketed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
