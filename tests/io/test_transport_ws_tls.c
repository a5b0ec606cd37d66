#include "io_tls.h"

#include <sched.h>
#include <signal.h>

static struct cert root, other_root, middle, weak_root;
static char root_file[256], other_file[256];

static int make_roots(void **state) {
  (void)state;
  signal(SIGPIPE, SIG_IGN); /* for the peers' threads */
  root = cert_make((struct cert_wish){.name = "Test Root", .is_ca = true});
  other_root = cert_make((struct cert_wish){.name = "Other Root", .is_ca = true});
  weak_root = cert_make((struct cert_wish){.name = "Weak Root", .is_ca = true, .rsa_bits = 1024});
  middle = cert_make((struct cert_wish){.name = "Middle", .is_ca = true, .issuer = &root});
  cert_save(&root, false, root_file, sizeof root_file);
  cert_save(&other_root, false, other_file, sizeof other_file);
  return 0;
}

static int free_roots(void **state) {
  (void)state;
  unlink(root_file);
  unlink(other_file);
  cert_free(&root);
  cert_free(&other_root);
  cert_free(&weak_root);
  cert_free(&middle);
  return 0;
}

static struct cert make_leaf(void) {
  return cert_make((struct cert_wish){.name = "leaf",
                                      .san = "DNS:example.test,IP:127.0.0.1",
                                      .eku = "serverAuth",
                                      .issuer = &root});
}

static struct stwi_dial tls_dial(uint16_t port, const char *name, const char *ca_file) {
  struct stwi_dial dial = plain_dial(port);
  dial.is_tls = true;
  dial.ca_file = ca_file;
  dial.server_name = name;
  return dial;
}

struct tls_outcome {
  struct seen seen;
  bool is_ready;
};

/* Dials a peer that shows `cert`; frees it. */
static struct tls_outcome dial_tls(struct tls_peer *peer, struct stwi_dial dial) {
  struct world world;
  if (peer->serve == NULL)
    peer->serve = tls_echo;
  peer_start(&peer->peer, serve_tls);
  world_open(&world);
  dial.port = peer->peer.port;
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready_or_down);
  struct tls_outcome outcome = {.is_ready = world.links[1].is_ready};
  outcome.seen = world.links[1];
  world_close(&world);
  peer_stop(&peer->peer);
  cert_free(&peer->cert);
  return outcome;
}

static bool has_all(struct world *world) {
  return world->links[1].size >= 300005;
}

static void good_certificate_and_data_both_ways(void **state) {
  (void)state;
  struct world world;
  struct tls_peer peer = {.cert = make_leaf(), .serve = tls_echo};
  peer_start(&peer.peer, serve_tls);
  world_open(&world);
  const struct stwi_dial dial = tls_dial(peer.peer.port, "example.test", root_file);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_has_5);
  assert_memory_equal(world.links[1].bytes, "early", 5);
  assert_int_equal(world.links[1].phase_count, 3);
  assert_int_equal(world.links[1].phases[0], STW_PHASE_TCP);
  assert_int_equal(world.links[1].phases[1], STW_PHASE_TLS);
  assert_int_equal(world.links[1].phases[2], STW_PHASE_UPGRADE);
  uint8_t *data = malloc(300000);
  for (size_t i = 0; i < 300000; i++)
    data[i] = (uint8_t)(i * 7 + (i >> 9));
  world_write(&world, 1, data, 300000);
  world_run(&world, has_all);
  assert_memory_equal(world.links[1].bytes + 5, data, 300000);
  assert_int_equal(world.links[1].writable_count, 1);
  free(data);
  world.transport.ops->cut(world.transport.self, 7, 1, false);
  world_run(&world, link_1_is_down);
  world_close(&world);
  peer_stop(&peer.peer);
  assert_string_equal(peer.sni, "example.test");
  assert_true(peer.has_alpn);
  assert_true(peer.was_shut_down); /* a cut that is no abort says close_notify */
  cert_free(&peer.cert);
}

struct bad_case {
  const char *what;
  struct cert_wish wish;
  const char *name;
  stw_cause cause;
};

static void bad_certificates_are_told_apart(void **state) {
  (void)state;
  const struct bad_case cases[] = {
      {"expired",
       {.san = "DNS:example.test", .from_s = -9 * CERT_DAY_S, .until_s = -60, .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_EXPIRED},
      {"not yet valid",
       {.san = "DNS:example.test",
        .from_s = CERT_DAY_S,
        .until_s = 9 * CERT_DAY_S,
        .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_EXPIRED},
      {"another name",
       {.san = "DNS:other.test", .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_NAME},
      {"name for an address", {.san = "DNS:127.0.0.1", .issuer = &root}, "", STW_CAUSE_TLS_NAME},
      {"another address", {.san = "IP:127.0.0.2", .issuer = &root}, "", STW_CAUSE_TLS_NAME},
      {"another IPv6 address", {.san = "IP:::2", .issuer = &root}, "::1", STW_CAUSE_TLS_NAME},
      {"wildcard over two labels",
       {.san = "DNS:*.test", .issuer = &root},
       "a.example.test",
       STW_CAUSE_TLS_NAME},
      {"partial wildcard",
       {.san = "DNS:ex*.test", .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_NAME},
      {"unknown CA",
       {.san = "DNS:example.test", .issuer = &other_root},
       "example.test",
       STW_CAUSE_TLS_UNTRUSTED},
      {"self-signed", {.san = "DNS:example.test"}, "example.test", STW_CAUSE_TLS_UNTRUSTED},
      {"missing intermediate",
       {.san = "DNS:example.test", .issuer = &middle},
       "example.test",
       STW_CAUSE_TLS_UNTRUSTED},
      {"for clients only",
       {.san = "DNS:example.test", .eku = "clientAuth", .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_UNTRUSTED},
      {"weak key",
       {.san = "DNS:example.test", .rsa_bits = 1024, .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_UNTRUSTED},
      {"weak signature",
       {.san = "DNS:example.test", .digest = EVP_sha1(), .issuer = &root},
       "example.test",
       STW_CAUSE_TLS_UNTRUSTED},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct cert_wish wish = cases[i].wish;
    wish.name = "leaf";
    struct tls_peer peer = {.cert = cert_make(wish)};
    const struct tls_outcome outcome = dial_tls(&peer, tls_dial(0, cases[i].name, root_file));
    if (outcome.is_ready || outcome.seen.cause != cases[i].cause)
      fail_msg("%s: cause %d, \"%s\"", cases[i].what, (int)outcome.seen.cause, outcome.seen.detail);
    assert_int_equal(peer.peer.request[0], '\0'); /* no header, no secret was sent */
  }
}

/* A leaf that signs another leaf. */
static void issuer_that_is_no_ca_is_untrusted(void **state) {
  (void)state;
  struct cert leaf = make_leaf();
  struct tls_peer peer = {.cert = cert_make((struct cert_wish){
                              .name = "x", .san = "DNS:example.test", .issuer = &leaf}),
                          .extra = leaf.x509};
  const struct tls_outcome outcome = dial_tls(&peer, tls_dial(0, "example.test", root_file));
  assert_int_equal(outcome.seen.cause, STW_CAUSE_TLS_UNTRUSTED);
  cert_free(&leaf);
}

static void intermediate_that_is_sent_along_is_used(void **state) {
  (void)state;
  struct tls_peer peer = {.cert = cert_make((struct cert_wish){
                              .name = "x", .san = "DNS:example.test", .issuer = &middle}),
                          .extra = middle.x509};
  assert_true(dial_tls(&peer, tls_dial(0, "example.test", root_file)).is_ready);
}

static void address_is_checked_and_sends_no_server_name(void **state) {
  (void)state;
  struct tls_peer peer = {.cert = make_leaf()};
  assert_true(dial_tls(&peer, tls_dial(0, "", root_file)).is_ready);
  assert_string_equal(peer.sni, "");
  struct tls_peer v6 = {
      .cert = cert_make((struct cert_wish){.name = "x", .san = "IP:::1", .issuer = &root})};
  assert_true(dial_tls(&v6, tls_dial(0, "::1", root_file)).is_ready);
}

/* Longer than libwebsockets keeps. */
static void name_of_full_length_is_checked(void **state) {
  (void)state;
  char name[300], san[320];
  size_t size = 0;
  while (size < 200)
    size += (size_t)snprintf(name + size, sizeof name - size, "abcdefghijklmnopqrstuvwxyz.");
  snprintf(name + size, sizeof name - size, "test");
  snprintf(san, sizeof san, "DNS:%s", name);
  struct tls_peer peer = {
      .cert = cert_make((struct cert_wish){.name = "x", .san = san, .issuer = &root})};
  assert_true(dial_tls(&peer, tls_dial(0, name, root_file)).is_ready);
  name[180] = 'x';
  struct tls_peer wrong = {
      .cert = cert_make((struct cert_wish){.name = "x", .san = san, .issuer = &root})};
  assert_int_equal(dial_tls(&wrong, tls_dial(0, name, root_file)).seen.cause, STW_CAUSE_TLS_NAME);
}

static void insecure_takes_whatever_comes(void **state) {
  (void)state;
  const struct cert_wish wishes[] = {
      {.name = "x"},
      {.name = "x", .san = "DNS:other.test", .from_s = -9 * CERT_DAY_S, .until_s = -60},
      {.name = "x", .eku = "clientAuth", .issuer = &other_root},
      {.name = "x", .issuer = &middle},
  };
  for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
    struct tls_peer peer = {.cert = cert_make(wishes[i])};
    struct stwi_dial dial = tls_dial(0, "example.test", root_file);
    dial.is_insecure = true;
    const struct tls_outcome outcome = dial_tls(&peer, dial);
    if (!outcome.is_ready)
      fail_msg("%zu: %s", i, outcome.seen.detail);
  }
}

static void system_trust_honours_its_variable(void **state) {
  (void)state;
  setenv("SSL_CERT_FILE", root_file, 1);
  struct tls_peer peer = {.cert = make_leaf()};
  assert_true(dial_tls(&peer, tls_dial(0, "example.test", "")).is_ready);
  unsetenv("SSL_CERT_FILE");
  struct tls_peer again = {.cert = make_leaf()};
  assert_int_equal(dial_tls(&again, tls_dial(0, "example.test", "")).seen.cause,
                   STW_CAUSE_TLS_UNTRUSTED);
}

static void ca_file_is_the_only_trust(void **state) {
  (void)state;
  setenv("SSL_CERT_FILE", root_file, 1);
  struct tls_peer peer = {.cert = make_leaf()};
  assert_int_equal(dial_tls(&peer, tls_dial(0, "example.test", other_file)).seen.cause,
                   STW_CAUSE_TLS_UNTRUSTED);
  unsetenv("SSL_CERT_FILE");
}

static void old_versions_are_refused(void **state) {
  (void)state;
  struct tls_peer peer = {
      .cert = make_leaf(), .max_version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0"};
  const struct tls_outcome outcome = dial_tls(&peer, tls_dial(0, "example.test", root_file));
  assert_int_equal(outcome.seen.cause, STW_CAUSE_TLS_PROTOCOL);
  struct tls_peer twelve = {.cert = make_leaf(), .max_version = TLS1_2_VERSION};
  assert_true(dial_tls(&twelve, tls_dial(0, "example.test", root_file)).is_ready);
}

/* ---- peers that do not speak TLS ---- */

static struct seen dial_not_tls(const char *answer, void (*serve)(struct peer *, int)) {
  struct world world;
  struct peer peer = {.answer = answer};
  peer_start(&peer, serve);
  world_open(&world);
  const struct stwi_dial dial = tls_dial(peer.port, "example.test", root_file);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  const struct seen seen = world.links[1];
  world_close(&world);
  peer_stop(&peer);
  return seen;
}

static void serve_text(struct peer *peer, int fd) {
  send_text(fd, peer->answer);
  read_to_end(fd);
}

static void serve_hang_up(struct peer *peer, int fd) {
  char hello[8];
  (void)peer;
  /* All of the hello is taken, so that closing is a FIN. */
  recv(fd, hello, 5, MSG_WAITALL);
  const size_t size = (size_t)hello[3] << 8 | (uint8_t)hello[4];
  for (size_t i = 0; i < size; i++)
    recv(fd, hello, 1, 0);
}

static void serve_reset(struct peer *peer, int fd) {
  const struct linger now = {1, 0};
  char hello[8];
  (void)peer;
  recv(fd, hello, sizeof hello, MSG_WAITALL);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void peer_without_tls_is_a_protocol_error(void **state) {
  (void)state;
  static const char *const answers[] = {
      "HTTP/1.1 400 Bad Request\r\n\r\n", "220 smtp.example.test ESMTP\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n", "\x16\x03\x03\xff\xff garbage garbage garbage"};
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(dial_not_tls(answers[i], serve_text).cause, STW_CAUSE_TLS_PROTOCOL);
}

static void end_in_the_handshake_is_a_reset(void **state) {
  (void)state;
  assert_int_equal(dial_not_tls("", serve_reset).cause, STW_CAUSE_TCP_RESET);
  assert_int_equal(dial_not_tls("", serve_hang_up).cause, STW_CAUSE_TCP_RESET);
}

/* ---- client certificates ---- */

static void missing_client_certificate_is_the_servers_alert(void **state) {
  (void)state;
  for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
    struct tls_peer peer = {.cert = make_leaf(), .client_ca = root.x509, .max_version = version};
    const struct tls_outcome outcome = dial_tls(&peer, tls_dial(0, "example.test", root_file));
    assert_false(outcome.is_ready);
    if (outcome.seen.cause != STW_CAUSE_TLS_ALERT)
      fail_msg("%x: cause %d \"%s\"", version, (int)outcome.seen.cause, outcome.seen.detail);
  }
}

static void client_certificate_is_shown(void **state) {
  (void)state;
  char file[256];
  struct cert client =
      cert_make((struct cert_wish){.name = "client", .eku = "clientAuth", .issuer = &root});
  cert_save(&client, true, file, sizeof file);
  struct tls_peer peer = {.cert = make_leaf(), .client_ca = root.x509};
  struct stwi_dial dial = tls_dial(0, "example.test", root_file);
  dial.client_cert = file;
  dial.client_key = file;
  assert_true(dial_tls(&peer, dial).is_ready);
  unlink(file);
  cert_free(&client);
}

static void files_that_cannot_be_used_are_config_errors(void **state) {
  (void)state;
  struct stwi_dial dials[4];
  for (int i = 0; i < 4; i++)
    dials[i] = tls_dial(1, "example.test", root_file);
  dials[0].ca_file = "/nowhere/ca.pem";
  dials[1].client_cert = "/nowhere/cert.pem";
  dials[2].client_cert = root_file; /* has no key in it */
  dials[3].client_cert = root_file;
  dials[3].client_key = "/nowhere/key.pem";
  for (int i = 0; i < 4; i++) {
    struct world world;
    world_open(&world);
    world_dial(&world, 1, &dials[i]);
    world_run(&world, link_1_is_down);
    assert_int_equal(world.links[1].cause, STW_CAUSE_CONFIG);
    assert_true(strstr(world.links[1].detail, i == 0 ? "ca_file" : "client_") != NULL);
    world_close(&world);
  }
}

/* The certificate on disk is renewed while the engine runs. */
static void renewed_file_is_read(void **state) {
  (void)state;
  struct world world;
  char file[256];
  struct tls_peer peer = {.cert = make_leaf(), .serve = tls_echo, .peer.accept_count = 2};
  cert_save(&other_root, false, file, sizeof file);
  peer_start(&peer.peer, serve_tls);
  world_open(&world);
  const struct stwi_dial dial = tls_dial(peer.peer.port, "example.test", file);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  FILE *again = fopen(file, "w");
  PEM_write_X509(again, root.x509);
  fclose(again);
  world_dial(&world, 2, &dial);
  world_run(&world, link_2_is_ready);
  world_close(&world);
  peer_stop(&peer.peer);
  unlink(file);
  cert_free(&peer.cert);
}

/* ---- ends of an established link ---- */

static void tls_say_and_drop(struct tls_peer *peer, SSL *ssl) {
  tls_upgrade(peer, ssl, "early");
}

static void tls_say_and_notify(struct tls_peer *peer, SSL *ssl) {
  tls_upgrade(peer, ssl, "early");
  SSL_shutdown(ssl);
}

static void tls_say_and_reset(struct tls_peer *peer, SSL *ssl) {
  const struct linger now = {1, 0};
  tls_upgrade(peer, ssl, "early");
  while (!peer->peer.is_released)
    sched_yield();
  setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static stw_cause end_of(void (*serve)(struct tls_peer *, SSL *)) {
  struct world world;
  struct tls_peer peer = {.cert = make_leaf(), .serve = serve};
  peer_start(&peer.peer, serve_tls);
  world_open(&world);
  const struct stwi_dial dial = tls_dial(peer.peer.port, "example.test", root_file);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_has_5);
  peer.peer.is_released = true;
  world_run(&world, link_1_is_down);
  const stw_cause cause = world.links[1].cause;
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
  return cause;
}

static void fin_is_told_from_reset(void **state) {
  (void)state;
  assert_int_equal(end_of(tls_say_and_drop), STW_CAUSE_ABNORMAL_FIN);
  assert_int_equal(end_of(tls_say_and_notify), STW_CAUSE_ABNORMAL_FIN);
  assert_int_equal(end_of(tls_say_and_reset), STW_CAUSE_ABNORMAL_RST);
}

enum { PAUSED_BYTES = 400000 };

static void tls_push(struct tls_peer *peer, SSL *ssl) {
  tls_upgrade(peer, ssl, "early");
  char block[1000];
  for (int i = 0; i < PAUSED_BYTES / 1000; i++) {
    memset(block, 'a' + i % 26, sizeof block);
    SSL_write(ssl, block, sizeof block);
  }
  SSL_read(ssl, block, 1);
}

static void pause_on_bytes(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_BYTES || input->kind == STWI_IN_READY)
    world->transport.ops->pause(world->transport.self, 7, 1, true);
}

static bool goes_on_until_all_is_here(struct world *world) {
  stwi_loop_wake(world->loop);
  world->transport.ops->pause(world->transport.self, 7, 1, false);
  return world->links[1].size >= PAUSED_BYTES + 5;
}

static void pause_loses_nothing_that_tls_has_buffered(void **state) {
  (void)state;
  struct world world;
  struct tls_peer peer = {.cert = make_leaf(), .serve = tls_push};
  peer_start(&peer.peer, serve_tls);
  world_open(&world);
  world.on_input = pause_on_bytes;
  const struct stwi_dial dial = tls_dial(peer.peer.port, "example.test", root_file);
  world_dial(&world, 1, &dial);
  world_run(&world, goes_on_until_all_is_here);
  for (size_t i = 0; i < PAUSED_BYTES; i++)
    assert_int_equal(world.links[1].bytes[5 + i], 'a' + (int)(i / 1000) % 26);
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_certificate_and_data_both_ways),
      cmocka_unit_test(bad_certificates_are_told_apart),
      cmocka_unit_test(issuer_that_is_no_ca_is_untrusted),
      cmocka_unit_test(intermediate_that_is_sent_along_is_used),
      cmocka_unit_test(address_is_checked_and_sends_no_server_name),
      cmocka_unit_test(name_of_full_length_is_checked),
      cmocka_unit_test(insecure_takes_whatever_comes),
      cmocka_unit_test(system_trust_honours_its_variable),
      cmocka_unit_test(ca_file_is_the_only_trust),
      cmocka_unit_test(old_versions_are_refused),
      cmocka_unit_test(peer_without_tls_is_a_protocol_error),
      cmocka_unit_test(end_in_the_handshake_is_a_reset),
      cmocka_unit_test(missing_client_certificate_is_the_servers_alert),
      cmocka_unit_test(client_certificate_is_shown),
      cmocka_unit_test(files_that_cannot_be_used_are_config_errors),
      cmocka_unit_test(renewed_file_is_read),
      cmocka_unit_test(fin_is_told_from_reset),
      cmocka_unit_test(pause_loses_nothing_that_tls_has_buffered),
  };
  return cmocka_run_group_tests(tests, make_roots, free_roots);
}
