#include "io_xmpp.h"

#include "io/resolve_srv.h"

enum { ASKED_MAX = 512, ANSWER_MAX = 2048 };

/* A name server that gives the same records whatever is asked. */
struct name_server {
  int fd;
  struct sockaddr_in at;
  pthread_t thread;
  struct stwi_srv_target records[STWI_SRV_TARGETS_MAX + 2];
  size_t count;
  uint8_t asked[ASKED_MAX]; /* the last question */
};

static size_t put_16(uint8_t *at, size_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
  return 2;
}

static size_t put_name(uint8_t *at, const char *name) {
  size_t size = 0;
  while (*name != '\0') {
    const size_t label = strcspn(name, ".");
    at[size++] = (uint8_t)label;
    memcpy(at + size, name, label);
    size += label;
    name += label + (name[label] == '.' ? 1 : 0);
  }
  at[size++] = 0;
  return size;
}

static size_t put_record(uint8_t *at, const struct stwi_srv_target *record) {
  static const uint8_t fixed[] = {0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60};
  memcpy(at, fixed, sizeof fixed);
  size_t size = sizeof fixed + 2;
  size += put_16(at + size, record->priority);
  size += put_16(at + size, record->weight);
  size += put_16(at + size, record->port);
  size += put_name(at + size, record->host);
  put_16(at + sizeof fixed, size - sizeof fixed - 2);
  return size;
}

/* A DNS message that answers the question `asked`, as servers do. */
static size_t make_answer(const uint8_t *asked, size_t asked_size,
                          const struct stwi_srv_target *records, size_t count, uint8_t *answer) {
  size_t question = 12;
  while (question < asked_size && asked[question] != 0)
    question += asked[question] + 1u;
  question += 5;
  memcpy(answer, asked, question);
  put_16(answer + 2, count == 0 ? 0x8183 : 0x8180); /* NXDOMAIN, or NOERROR */
  put_16(answer + 4, 1);
  put_16(answer + 6, count);
  put_16(answer + 8, 0);
  put_16(answer + 10, 0);
  for (size_t i = 0; i < count; i++)
    question += put_record(answer + question, &records[i]);
  return question;
}

static void *serve_names(void *arg) {
  struct name_server *server = arg;
  uint8_t answer[ANSWER_MAX];
  struct sockaddr_in from;
  for (;;) {
    socklen_t from_size = sizeof from;
    const ssize_t size = recvfrom(server->fd, server->asked, sizeof server->asked, 0,
                                  (struct sockaddr *)&from, &from_size);
    if (size < 17)
      return NULL; /* the test ends it with an empty datagram */
    const size_t answered =
        make_answer(server->asked, (size_t)size, server->records, server->count, answer);
    sendto(server->fd, answer, answered, 0, (struct sockaddr *)&from, from_size);
  }
}

static void name_server_start(struct name_server *server) {
  socklen_t size = sizeof server->at;
  server->at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(server->fd, (struct sockaddr *)&server->at, size), 0);
  getsockname(server->fd, (struct sockaddr *)&server->at, &size);
  assert_int_equal(pthread_create(&server->thread, NULL, serve_names, server), 0);
}

static void name_server_stop(struct name_server *server) {
  sendto(server->fd, "", 0, 0, (struct sockaddr *)&server->at, sizeof server->at);
  pthread_join(server->thread, NULL);
  close(server->fd);
}

static struct stwi_srv_target target(const char *host, uint16_t port, uint16_t priority,
                                     uint16_t weight) {
  struct stwi_srv_target made = {.port = port, .priority = priority, .weight = weight};
  snprintf(made.host, sizeof made.host, "%s", host);
  return made;
}

/* ---- messages ---- */

static const uint8_t question[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 33, 0, 1};

static void targets_come_by_priority_and_weight(void **state) {
  const struct stwi_srv_target records[] = {target("last.test", 3, 20, 0),
                                            target("light.test", 2, 10, 1),
                                            target("heavy.test", 1, 10, 99)};
  uint8_t message[ANSWER_MAX];
  struct stwi_srv_targets targets;
  size_t heavy_first = 0;
  (void)state;
  const size_t size = make_answer(question, sizeof question, records, 3, message);
  for (uint64_t random = 0; random < 1000; random++) {
    stwi_srv_parse(&targets, message, size, random * 0x9e3779b97f4a7c15ull);
    assert_int_equal(targets.count, 3);
    assert_string_equal(targets.items[2].host, "last.test");
    heavy_first += targets.items[0].port == 1;
  }
  assert_true(heavy_first > 900 && heavy_first < 1000);
}

static void a_dot_says_that_there_is_no_service(void **state) {
  const struct stwi_srv_target record = target("", 0, 0, 0);
  uint8_t message[ANSWER_MAX];
  struct stwi_srv_targets targets;
  (void)state;
  const size_t size = make_answer(question, sizeof question, &record, 1, message);
  stwi_srv_parse(&targets, message, size, 1);
  assert_int_equal(targets.count, 0);
  assert_true(targets.is_refused);
}

static void broken_messages_give_nothing_or_less(void **state) {
  const struct stwi_srv_target records[] = {target("a.test", 1, 1, 1), target("b.test", 2, 2, 2)};
  uint8_t message[ANSWER_MAX];
  struct stwi_srv_targets targets;
  (void)state;
  const size_t size = make_answer(question, sizeof question, records, 2, message);
  for (size_t cut = 0; cut < size; cut++) {
    uint8_t *exact = malloc(cut + 1);
    memcpy(exact, message, cut);
    stwi_srv_parse(&targets, exact, cut, 1);
    assert_true(targets.count < 2);
    free(exact);
  }
  for (size_t at = 0; at < size * 256; at++) {
    uint8_t other[ANSWER_MAX];
    memcpy(other, message, size);
    other[at / 256] = (uint8_t)at;
    stwi_srv_parse(&targets, other, size, at);
    assert_true(targets.count <= STWI_SRV_TARGETS_MAX);
  }
}

/* ---- dials ---- */

static const struct stwi_dial_xmpp by_srv = {.domain = "localhost",
                                             .tls = STWI_XMPP_TLS_DIRECT,
                                             .has_srv = true,
                                             .element_bytes_max = 65536};

static const struct seen *dial_by_srv(struct world *world, const struct name_server *names,
                                      uint16_t port) {
  const struct stwi_dial dial = xmpp_dial(port, &by_srv, root_file);
  world_open_with(world, stwi_transport_xmpp_new);
  ((struct stwi_xmpp *)world->transport.self)->name_server = &names->at;
  world_dial(world, 1, &dial);
  world_run(world, link_1_is_ready_or_down);
  return &world->links[1];
}

static void dials_go_where_srv_says_past_targets_that_do_not_answer(void **state) {
  struct world world;
  struct name_server names = {.count = 2};
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  uint16_t closed = 0;
  (void)state;
  close(listen_on("127.0.0.1", &closed));
  peer_start(&peer.peer, serve_tls);
  names.records[0] = target("localhost", closed, 1, 0);
  names.records[1] = target("localhost", peer.peer.port, 2, 0);
  name_server_start(&names);
  const struct seen *seen = dial_by_srv(&world, &names, 1);
  if (seen->is_down)
    fail_msg("%s", seen->detail);
  assert_int_equal(seen->phases[0], STW_PHASE_DNS);
  assert_non_null(
      memmem(names.asked, sizeof names.asked, "\x0d_xmpps-client\x04_tcp\x09localhost", 29));
  world_close(&world);
  name_server_stop(&names);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

static void without_srv_host_and_port_are_tried(void **state) {
  struct world world;
  struct name_server names = {.count = 0};
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  (void)state;
  peer_start(&peer.peer, serve_tls);
  name_server_start(&names);
  const struct seen *seen = dial_by_srv(&world, &names, peer.peer.port);
  assert_true(seen->is_ready);
  world_close(&world);
  name_server_stop(&names);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

static void a_domain_that_has_no_xmpp_is_told(void **state) {
  struct world world;
  struct name_server names = {.count = 1};
  (void)state;
  names.records[0] = target("", 0, 0, 0);
  name_server_start(&names);
  const struct seen *seen = dial_by_srv(&world, &names, 1);
  assert_int_equal(seen->cause, STW_CAUSE_DNS_NXDOMAIN);
  assert_non_null(strstr(seen->detail, "SRV"));
  world_close(&world);
  name_server_stop(&names);
}

static bool asks(struct world *world) {
  return world->links[1].phase_count == 1;
}

/* The name server never answers; libuv's thread goes on for a while, and nobody waits for it. */
static void a_cut_does_not_wait_for_the_name_server(void **state) {
  struct world world;
  struct name_server names = {0};
  socklen_t size = sizeof names.at;
  (void)state;
  names.at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  names.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(names.fd, (struct sockaddr *)&names.at, size), 0);
  getsockname(names.fd, (struct sockaddr *)&names.at, &size);
  const struct stwi_dial dial = xmpp_dial(1, &by_srv, root_file);
  world_open_with(&world, stwi_transport_xmpp_new);
  ((struct stwi_xmpp *)world.transport.self)->name_server = &names.at;
  world_dial(&world, 1, &dial);
  world_run(&world, asks);
  const stwi_time before = stwi_clock_monotonic();
  world.transport.ops->cut(world.transport.self, 7, 1, true);
  world_run(&world, link_1_is_down);
  assert_true(stwi_clock_monotonic() - before < STWI_S);
  close(names.fd); /* the question is refused from now on, so that its thread ends */
  world_close(&world);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(targets_come_by_priority_and_weight),
      cmocka_unit_test(a_dot_says_that_there_is_no_service),
      cmocka_unit_test(broken_messages_give_nothing_or_less),
      cmocka_unit_test(dials_go_where_srv_says_past_targets_that_do_not_answer),
      cmocka_unit_test(without_srv_host_and_port_are_tried),
      cmocka_unit_test(a_domain_that_has_no_xmpp_is_told),
      cmocka_unit_test(a_cut_does_not_wait_for_the_name_server),
  };
  return cmocka_run_group_tests(tests, make_roots, free_roots);
}
