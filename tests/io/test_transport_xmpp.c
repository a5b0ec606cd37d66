#include "io_xmpp.h"

enum {
  PROMPT_MS = 1000, /* what must be at once may take so long on a loaded machine */
  MANY = 60,
  STALLED = 2 * STWI_XMPP_THREADS
};

static void ends_with(void (*serve)(struct peer *peer, int fd), const struct stwi_dial_xmpp *xmpp,
                      stw_cause cause, const char *detail) {
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve);
  const struct seen *seen = dial_once(&world, peer.port, xmpp);
  if (seen->is_ready)
    world_run(&world, link_1_is_down);
  if (seen->cause != cause || strstr(seen->detail, detail) == NULL)
    fail_msg("cause %d: %s", (int)seen->cause, seen->detail);
  world_close(&world);
  peer_stop(&peer);
}

/* ---- good streams ---- */

static void streams_over(void (*serve)(struct peer *peer, int fd),
                         const struct stwi_dial_xmpp *xmpp, const stw_phase *phases,
                         size_t phase_count) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  peer_start(&peer.peer, serve);
  const struct seen *seen = dial_once(&world, peer.peer.port, xmpp);
  if (seen->is_down)
    fail_msg("%s", seen->detail);
  assert_int_equal(seen->phase_count, phase_count);
  assert_memory_equal(seen->phases, phases, phase_count * sizeof *phases);
  world_run(&world, link_1_has_an_element);
  world.transport.ops->cut(world.transport.self, 7, 1, false);
  world_run(&world, link_1_is_down);
  assert_int_equal(seen->cause, STW_CAUSE_REQUESTED);
  world_close(&world);
  peer_stop(&peer.peer);
  assert_true(peer.cert.key == NULL || peer.was_shut_down); /* close_notify was said */
  cert_free(&peer.cert);
}

static void phases_come_in_order_over_starttls(void **state) {
  static const stw_phase phases[] = {STW_PHASE_TCP, STW_PHASE_TLS, STW_PHASE_UPGRADE};
  (void)state;
  streams_over(serve_starttls, &xmpp_by_starttls, phases, 3);
}

static void phases_come_in_order_over_direct_tls(void **state) {
  static const stw_phase phases[] = {STW_PHASE_TCP, STW_PHASE_TLS, STW_PHASE_UPGRADE};
  (void)state;
  streams_over(serve_tls, &xmpp_direct, phases, 3);
}

static void names_are_resolved(void **state) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  (void)state;
  peer_start(&peer.peer, serve_tls);
  struct stwi_dial dial = xmpp_dial(peer.peer.port, &xmpp_direct, root_file);
  dial.host = "localhost";
  world_open_with(&world, stwi_transport_xmpp_new);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready_or_down);
  assert_true(world.links[1].is_ready);
  assert_int_equal(world.links[1].phases[0], STW_PHASE_DNS);
  assert_string_equal(peer.sni, "localhost");
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

/* ---- servers that do it wrong ---- */

static void serve_stripped(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd,
                 "<stream:features><mechanisms xmlns='" STWI_NS_SASL
                 "'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"))
    read_to_end(fd);
}

static void a_stripped_starttls_is_refused(void **state) {
  (void)state;
  ends_with(serve_stripped, &xmpp_by_starttls, STW_CAUSE_TLS_PROTOCOL, "does not offer STARTTLS");
}

static void serve_starttls_failure(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, XMPP_STARTTLS) && xmpp_read(peer, fd, NULL, "<starttls") &&
      send_text(fd, "<failure xmlns='" STWI_NS_TLS "'/></stream:stream>"))
    read_to_end(fd);
}

static void a_refused_starttls_is_told(void **state) {
  (void)state;
  ends_with(serve_starttls_failure, &xmpp_by_starttls, STW_CAUSE_TLS_PROTOCOL, "refused STARTTLS");
}

static void serve_stream_error(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd,
                 "<stream:error><host-unknown xmlns='" STWI_NS_STREAM_ERROR
                 "'/></stream:error></stream:stream>"))
    read_to_end(fd);
}

static void a_stream_error_before_tls_is_told(void **state) {
  (void)state;
  ends_with(serve_stream_error, &xmpp_by_starttls, STW_CAUSE_STREAM_ERROR, "host-unknown");
}

static void serve_http(struct peer *peer, int fd) {
  (void)peer;
  send_text(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  read_to_end(fd);
}

static void what_is_no_xmpp_server_is_told(void **state) {
  (void)state;
  ends_with(serve_http, &xmpp_by_starttls, STW_CAUSE_STREAM_ERROR, "not XMPP");
  ends_with(serve_http, &xmpp_direct, STW_CAUSE_TLS_PROTOCOL, "TLS handshake");
}

static void serve_depth_bomb(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, ""))
    send_times(fd, "<a>", 1000000);
}

static void serve_endless_text(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, "<message><body>"))
    send_times(fd, "\n\n\n\n\n\n\n\n", 1000000);
}

static void serve_endless_attribute(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, "<message a='"))
    send_times(fd, "aaaaaaaaaaaaaaaa", 1000000);
}

static void serve_endless_header(struct peer *peer, int fd) {
  peer->request[0] = '\0';
  if (xmpp_read(peer, fd, NULL, "xml:lang='en'>") && send_text(fd, "<stream:stream a='"))
    send_times(fd, "aaaaaaaaaaaaaaaa", 1000000);
}

static void bombs_end_the_link_before_and_after_it_is_ready(void **state) {
  (void)state;
  ends_with(serve_depth_bomb, &xmpp_by_starttls, STW_CAUSE_INBOUND_TOO_BIG, "nested");
  ends_with(serve_depth_bomb, &xmpp_in_the_clear, STW_CAUSE_INBOUND_TOO_BIG, "nested");
  ends_with(serve_endless_text, &xmpp_in_the_clear, STW_CAUSE_INBOUND_TOO_BIG, "longer");
  ends_with(serve_endless_attribute, &xmpp_in_the_clear, STW_CAUSE_INBOUND_TOO_BIG, "longer");
  ends_with(serve_endless_header, &xmpp_by_starttls, STW_CAUSE_INBOUND_TOO_BIG, "longer");
}

static void serve_injection(struct peer *peer, int fd) {
  if (!xmpp_greet(peer, fd, XMPP_STARTTLS) || !xmpp_read(peer, fd, NULL, STWI_NS_TLS "'/>"))
    return;
  send_text(fd, XMPP_PROCEED "<message from='evil'/>");
  serve_tls(peer, fd);
}

static void what_came_in_the_clear_behind_proceed_is_not_taken(void **state) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  (void)state;
  peer_start(&peer.peer, serve_injection);
  const struct seen *seen = dial_once(&world, peer.peer.port, &xmpp_by_starttls);
  if (seen->is_down)
    fail_msg("%s", seen->detail);
  world_run(&world, link_1_has_an_element);
  assert_int_equal(seen->element_count, 1); /* the features that came through TLS */
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

/* ---- certificates ---- */

static void refuses(struct cert_wish wish, stw_cause cause) {
  struct world world;
  struct tls_peer peer = {.cert = cert_make(wish), .serve = tls_stream};
  void (*const serves[])(struct peer * peer, int fd) = {serve_tls, serve_starttls};
  for (int i = 0; i < 2; i++) {
    peer.peer.accept_count = 1;
    peer_start(&peer.peer, serves[i]);
    const struct seen *seen =
        dial_once(&world, peer.peer.port, i == 0 ? &xmpp_direct : &xmpp_by_starttls);
    assert_true(seen->is_down);
    if (seen->cause != cause)
      fail_msg("cause %d: %s", (int)seen->cause, seen->detail);
    world_close(&world);
    peer_stop(&peer.peer);
  }
  cert_free(&peer.cert);
}

static void bad_certificates_are_refused_with_their_reason(void **state) {
  (void)state;
  refuses((struct cert_wish){.name = "S", .san = "DNS:localhost"}, STW_CAUSE_TLS_UNTRUSTED);
  refuses((struct cert_wish){.name = "S", .san = "DNS:localhost", .issuer = &other_root},
          STW_CAUSE_TLS_UNTRUSTED);
  refuses((struct cert_wish){.name = "S", .san = "DNS:example.org", .issuer = &root},
          STW_CAUSE_TLS_NAME);
  refuses((struct cert_wish){.name = "S",
                             .san = "DNS:localhost",
                             .issuer = &root,
                             .from_s = -2 * CERT_DAY_S,
                             .until_s = -CERT_DAY_S},
          STW_CAUSE_TLS_EXPIRED);
  refuses((struct cert_wish){.name = "S",
                             .san = "DNS:localhost",
                             .issuer = &root,
                             .from_s = CERT_DAY_S,
                             .until_s = 2 * CERT_DAY_S},
          STW_CAUSE_TLS_EXPIRED);
}

static void old_versions_of_tls_are_refused(void **state) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream, .max_version = TLS1_1_VERSION};
  (void)state;
  peer_start(&peer.peer, serve_tls);
  const struct seen *seen = dial_once(&world, peer.peer.port, &xmpp_direct);
  assert_int_equal(seen->cause, STW_CAUSE_TLS_PROTOCOL);
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

static void an_alert_of_the_server_is_told(void **state) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(),
                          .serve = tls_stream,
                          .client_ca = root.x509,
                          .max_version = TLS1_2_VERSION};
  (void)state;
  peer_start(&peer.peer, serve_tls);
  const struct seen *seen = dial_once(&world, peer.peer.port, &xmpp_direct);
  if (seen->cause != STW_CAUSE_TLS_ALERT)
    fail_msg("cause %d: %s", (int)seen->cause, seen->detail);
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

/* ---- resets, in each phase ---- */

static void reset(int fd) {
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void serve_reset(struct peer *peer, int fd) {
  (void)peer;
  reset(fd);
}

static void serve_reset_after_features(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, XMPP_STARTTLS) && xmpp_read(peer, fd, NULL, "<starttls"))
    reset(fd);
}

static void serve_reset_after_proceed(struct peer *peer, int fd) {
  char byte;
  if (xmpp_starttls(peer, fd) && recv(fd, &byte, 1, 0) == 1)
    reset(fd);
}

static void serve_reset_when_up(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, XMPP_FEATURES) && recv(fd, peer->request, 1, 0) == 1)
    reset(fd);
}

static bool write_on_element_is_down(struct world *world) {
  if (world->links[1].element_count == 1 && world->links[1].writable_count == 0)
    world_write(world, 1, "<a/>", 4);
  return world->links[1].is_down;
}

static void resets_have_their_cause_in_each_phase(void **state) {
  struct world world;
  struct peer peer = {0};
  (void)state;
  /* Either may see it: who waits for the connect, or who goes on from there. */
  ends_with(serve_reset, &xmpp_by_starttls, STW_CAUSE_TCP_RESET, "");
  ends_with(serve_reset, &xmpp_direct, STW_CAUSE_TCP_RESET, "");
  ends_with(serve_reset_after_features, &xmpp_by_starttls, STW_CAUSE_TCP_RESET, "reset");
  ends_with(serve_reset_after_proceed, &xmpp_by_starttls, STW_CAUSE_TCP_RESET, "TLS handshake");
  peer_start(&peer, serve_reset_when_up);
  dial_once(&world, peer.port, &xmpp_in_the_clear);
  world_run(&world, write_on_element_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_ABNORMAL_RST);
  world_close(&world);
  peer_stop(&peer);
}

static void serve_fin(struct peer *peer, int fd) {
  xmpp_greet(peer, fd, XMPP_FEATURES);
}

static void serve_close(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, XMPP_FEATURES "</stream:stream>"))
    read_to_end(fd);
}

static void a_closed_stream_is_not_an_ended_connection(void **state) {
  (void)state;
  ends_with(serve_fin, &xmpp_in_the_clear, STW_CAUSE_ABNORMAL_FIN, "ended");
  ends_with(serve_close, &xmpp_in_the_clear, STW_CAUSE_CLOSE_NORMAL, "closed the stream");
}

static void nobody_listens_is_told_at_once(void **state) {
  struct world world;
  uint16_t port = 0;
  (void)state;
  const int listener = listen_on("127.0.0.1", &port);
  close(listener);
  const struct seen *seen = dial_once(&world, port, &xmpp_direct);
  assert_int_equal(seen->cause, STW_CAUSE_TCP_REFUSED);
  world_close(&world);
}

/* ---- servers that say nothing: the core cuts, and that must be at once ---- */

static void serve_silence(struct peer *peer, int fd) {
  (void)peer;
  read_to_end(fd);
}

static void serve_header_only(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, ""))
    read_to_end(fd);
}

static void serve_stalled_handshake(struct peer *peer, int fd) {
  if (xmpp_starttls(peer, fd))
    read_to_end(fd);
}

static uint64_t now_ms(void) {
  return stwi_clock_monotonic() / STWI_MS;
}

static bool link_1_is_in_tls(struct world *world) {
  const struct seen *seen = &world->links[1];
  return seen->phase_count > 0 && seen->phases[seen->phase_count - 1] == STW_PHASE_TLS;
}

static bool is_securing(struct world *world) {
  const struct stwi_xmpp_link *link = stwi_xmpp_link_of(world->transport.self, 7, 1);
  return link != NULL && link->stage == STWI_XMPP_SECURING;
}

static void cut_is_prompt(void (*serve)(struct peer *peer, int fd),
                          const struct stwi_dial_xmpp *xmpp, bool (*when)(struct world *world),
                          bool abort) {
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve);
  const struct stwi_dial dial = xmpp_dial(peer.port, xmpp, root_file);
  world_open_with(&world, stwi_transport_xmpp_new);
  world_dial(&world, 1, &dial);
  world_run(&world, when);
  const uint64_t before = now_ms();
  world.transport.ops->cut(world.transport.self, 7, 1, abort);
  world_run(&world, link_1_is_down);
  assert_true(now_ms() - before < PROMPT_MS);
  assert_int_equal(world.links[1].cause, STW_CAUSE_REQUESTED);
  world_close(&world);
  assert_true(now_ms() - before < 2 * PROMPT_MS); /* the pool's thread, too */
  peer_stop(&peer);
}

static void a_cut_ends_every_phase_at_once(void **state) {
  (void)state;
  for (int abort = 0; abort < 2; abort++) {
    cut_is_prompt(serve_silence, &xmpp_by_starttls, link_1_is_in_tls, abort != 0);
    cut_is_prompt(serve_header_only, &xmpp_by_starttls, link_1_is_in_tls, abort != 0);
    cut_is_prompt(serve_silence, &xmpp_direct, is_securing, abort != 0);
    cut_is_prompt(serve_stalled_handshake, &xmpp_by_starttls, is_securing, abort != 0);
    cut_is_prompt(serve_header_only, &xmpp_in_the_clear, link_1_is_ready, abort != 0);
  }
}

static void freeing_in_the_middle_of_everything_is_prompt(void **state) {
  struct world world;
  struct peer peers[4] = {0};
  void (*const serves[])(struct peer * peer, int fd) = {serve_silence, serve_header_only,
                                                        serve_silence, serve_stalled_handshake};
  const struct stwi_dial_xmpp *const ways[] = {&xmpp_by_starttls, &xmpp_by_starttls, &xmpp_direct,
                                               &xmpp_by_starttls};
  (void)state;
  world_open_with(&world, stwi_transport_xmpp_new);
  for (uint32_t i = 0; i < 4; i++) {
    peer_start(&peers[i], serves[i]);
    const struct stwi_dial dial = xmpp_dial(peers[i].port, ways[i], root_file);
    world_dial(&world, i + 1, &dial);
  }
  world_run(&world, link_1_is_in_tls);
  const uint64_t before = now_ms();
  world_close(&world);
  assert_true(now_ms() - before < PROMPT_MS);
  for (int i = 0; i < 4; i++)
    peer_stop(&peers[i]);
}

static bool all_stall(struct world *world) {
  for (uint32_t i = 1; i <= STALLED; i++) {
    const struct seen *seen = &world->links[i];
    if (seen->phase_count == 0 || seen->phases[seen->phase_count - 1] != STW_PHASE_TLS)
      return false;
  }
  return true;
}

static bool link_20_is_ready(struct world *world) {
  return world->links[20].is_ready;
}

static bool link_19_is_down(struct world *world) {
  return world->links[19].is_down;
}

static void peers_that_stall_do_not_keep_others_from_being_dialled(void **state) {
  struct world world;
  uint16_t port = 0;
  struct tls_peer good = {.cert = good_cert(), .serve = tls_stream};
  (void)state;
  const int listener = listen_on("127.0.0.1", &port); /* nobody accepts: TCP is up, TLS hangs */
  peer_start(&good.peer, serve_tls);
  world_open_with(&world, stwi_transport_xmpp_new);
  const struct stwi_dial bad = xmpp_dial(port, &xmpp_direct, root_file);
  const struct stwi_dial dial = xmpp_dial(good.peer.port, &xmpp_direct, root_file);
  for (uint32_t i = 1; i <= STALLED; i++)
    world_dial(&world, i, &bad);
  world_run(&world, all_stall);
  world_dial(&world, 19, &bad);
  world_dial(&world, 20, &dial);
  world.transport.ops->cut(world.transport.self, 7, 19, false); /* while it waits for a thread */
  world_run(&world, link_19_is_down);
  world_run(&world, link_20_is_ready);
  for (uint32_t i = 1; i <= STALLED; i++)
    assert_false(world.links[i].is_down);
  world_close(&world);
  peer_stop(&good.peer);
  close(listener);
  cert_free(&good.cert);
}

/* ---- many ---- */

static bool many_are_ready(struct world *world) {
  for (int i = 1; i <= MANY; i++) {
    if (world->links[i].is_down)
      fail_msg("%s", world->links[i].detail);
    if (!world->links[i].is_ready)
      return false;
  }
  return true;
}

static void many_dials_at_once_all_come_up(void **state) {
  struct world world;
  static struct tls_peer peers[MANY];
  struct cert cert = good_cert();
  (void)state;
  memset(peers, 0, sizeof peers);
  world_open_with(&world, stwi_transport_xmpp_new);
  for (uint32_t i = 0; i < MANY; i++) {
    peers[i].cert = cert;
    peers[i].serve = tls_stream;
    peer_start(&peers[i].peer, serve_starttls);
    const struct stwi_dial dial = xmpp_dial(peers[i].peer.port, &xmpp_by_starttls, root_file);
    world.transport.ops->dial(world.transport.self, i % 7, i + 1, &dial);
  }
  world_run(&world, many_are_ready);
  world_close(&world);
  for (int i = 0; i < MANY; i++)
    peer_stop(&peers[i].peer);
  cert_free(&cert);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(phases_come_in_order_over_starttls),
      cmocka_unit_test(phases_come_in_order_over_direct_tls),
      cmocka_unit_test(names_are_resolved),
      cmocka_unit_test(a_stripped_starttls_is_refused),
      cmocka_unit_test(a_refused_starttls_is_told),
      cmocka_unit_test(a_stream_error_before_tls_is_told),
      cmocka_unit_test(what_is_no_xmpp_server_is_told),
      cmocka_unit_test(bombs_end_the_link_before_and_after_it_is_ready),
      cmocka_unit_test(what_came_in_the_clear_behind_proceed_is_not_taken),
      cmocka_unit_test(bad_certificates_are_refused_with_their_reason),
      cmocka_unit_test(old_versions_of_tls_are_refused),
      cmocka_unit_test(an_alert_of_the_server_is_told),
      cmocka_unit_test(resets_have_their_cause_in_each_phase),
      cmocka_unit_test(a_closed_stream_is_not_an_ended_connection),
      cmocka_unit_test(nobody_listens_is_told_at_once),
      cmocka_unit_test(a_cut_ends_every_phase_at_once),
      cmocka_unit_test(freeing_in_the_middle_of_everything_is_prompt),
      cmocka_unit_test(peers_that_stall_do_not_keep_others_from_being_dialled),
      cmocka_unit_test(many_dials_at_once_all_come_up),
  };
  return cmocka_run_group_tests(tests, make_roots, free_roots);
}
