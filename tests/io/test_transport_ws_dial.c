#include "io_world.h"

#include <netdb.h>
#include <sched.h>
#include <sys/resource.h>

/* ---- names: several loopback addresses, in the order given ---- */

static const char *const *name_addresses; /* for "many.test" */
static _Atomic bool is_resolver_held;     /* "held.test" is answered when it falls */
static _Atomic int lookups;

static struct addrinfo *make_info(const char *text, struct addrinfo *next) {
  struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in6));
  info->ai_addr = (struct sockaddr *)(info + 1);
  info->ai_socktype = SOCK_STREAM;
  info->ai_next = next;
  struct sockaddr_in *v4 = (struct sockaddr_in *)(info + 1);
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(info + 1);
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    info->ai_family = v4->sin_family = AF_INET;
    info->ai_addrlen = sizeof *v4;
  } else {
    info->ai_family = AF_INET6;
    v6->sin6_family = AF_INET6;
    info->ai_addrlen = sizeof *v6;
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
  }
  return info;
}

/* In the place of the C library's, for libuv's threads. */
/* libuv must find it, although we build with hidden visibility. */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict host,
                                                       const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict result) {
  (void)service, (void)hints;
  lookups++;
  while (strcmp(host, "held.test") == 0 && is_resolver_held)
    sched_yield();
  if (strcmp(host, "many.test") != 0 && strcmp(host, "held.test") != 0)
    return strcmp(host, "broken.test") == 0 ? EAI_AGAIN : EAI_NONAME;
  struct addrinfo *list = NULL;
  size_t count = 0;
  while (name_addresses[count] != NULL)
    count++;
  while (count-- > 0)
    list = make_info(name_addresses[count], list);
  *result = list;
  return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *list) {
  while (list != NULL) {
    struct addrinfo *next = list->ai_next;
    free(list);
    list = next;
  }
}

static struct stwi_dial dial_to(const char *host, uint16_t port) {
  struct stwi_dial dial = plain_dial(port);
  dial.host = host;
  return dial;
}

/* A listener on 127.0.0.<last>:<port> whose queue is full: a SYN is not answered. */
struct black_hole {
  int listener, fill[8];
};

static void dig(struct black_hole *hole, const char *host, uint16_t port) {
  const int on = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &at.sin_addr);
  hole->listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(hole->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  assert_int_equal(bind(hole->listener, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(hole->listener, 0), 0);
  for (int i = 0; i < 8; i++) {
    hole->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(hole->fill[i], (struct sockaddr *)&at, sizeof at);
  }
}

static void fill_in(struct black_hole *hole) {
  for (int i = 0; i < 8; i++)
    close(hole->fill[i]);
  close(hole->listener);
}

static uint16_t unused_port(void) {
  uint16_t port = 0;
  close(listen_on("127.0.0.1", &port));
  return port;
}

static struct seen down_of(const struct stwi_dial *dial) {
  struct world world;
  world_open(&world);
  world_dial(&world, 1, dial);
  assert_false(world.links[1].is_down); /* never from within dial */
  world_run(&world, link_1_is_down);
  const struct seen seen = world.links[1];
  world_close(&world);
  return seen;
}

/* ---- causes before TCP is up ---- */

static void closed_port_is_refused(void **state) {
  (void)state;
  const struct stwi_dial dial = plain_dial(unused_port());
  const struct seen seen = down_of(&dial);
  assert_int_equal(seen.cause, STW_CAUSE_TCP_REFUSED);
  assert_int_equal(seen.phase_count, 1);
  assert_int_equal(seen.phases[0], STW_PHASE_TCP);
}

static void address_without_a_route_is_unreachable(void **state) {
  (void)state;
  /* Reserved (RFC 5735); connect refuses it without a packet. */
  const struct stwi_dial dial = dial_to("255.255.255.255", 80);
  assert_int_equal(down_of(&dial).cause, STW_CAUSE_NET_UNREACHABLE);
}

static void unknown_and_broken_names_are_told_apart(void **state) {
  (void)state;
  struct stwi_dial dial = dial_to("unknown.test", 80);
  struct seen seen = down_of(&dial);
  assert_int_equal(seen.cause, STW_CAUSE_DNS_NXDOMAIN);
  assert_int_equal(seen.phases[0], STW_PHASE_DNS);
  assert_int_equal(seen.phase_count, 1);
  dial = dial_to("broken.test", 80);
  seen = down_of(&dial);
  assert_int_equal(seen.cause, STW_CAUSE_DNS_SERVFAIL);
}

/* ---- phases of a peer that falls silent ---- */

static void serve_silence(struct peer *peer, int fd) {
  (void)peer;
  read_to_end(fd);
}

static bool link_1_is_in_its_phase_for_20_turns(struct world *world) {
  stwi_loop_wake(world->loop);
  return world->links[1].phase_count > 0 && world->turn_count > 20;
}

static stw_phase stuck_phase(const struct stwi_dial *dial) {
  struct world world;
  world_open(&world);
  world_dial(&world, 1, dial);
  world_run(&world, link_1_is_in_its_phase_for_20_turns);
  const struct seen seen = world.links[1];
  assert_false(seen.is_down);
  world.transport.ops->cut(world.transport.self, 7, 1, true);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_REQUESTED);
  is_resolver_held = false;
  world_close(&world);
  return seen.phases[seen.phase_count - 1];
}

static void silent_peer_is_seen_in_its_phase(void **state) {
  (void)state;
  struct peer plain = {0}, tls = {0};
  peer_start(&plain, serve_silence);
  struct stwi_dial dial = plain_dial(plain.port);
  assert_int_equal(stuck_phase(&dial), STW_PHASE_UPGRADE);
  peer_stop(&plain);

  peer_start(&tls, serve_silence);
  dial = plain_dial(tls.port);
  dial.is_tls = true;
  assert_int_equal(stuck_phase(&dial), STW_PHASE_TLS);
  peer_stop(&tls);

  struct black_hole hole;
  const uint16_t port = unused_port();
  dig(&hole, "127.0.0.9", port);
  dial = dial_to("127.0.0.9", port);
  assert_int_equal(stuck_phase(&dial), STW_PHASE_TCP);
  fill_in(&hole);
}

static void name_that_is_not_answered_can_be_cut(void **state) {
  (void)state;
  static const char *const one[] = {"127.0.0.1", NULL};
  name_addresses = one;
  is_resolver_held = true;
  const struct stwi_dial dial = dial_to("held.test", 80);
  assert_int_equal(stuck_phase(&dial), STW_PHASE_DNS);
}

/* ---- racing ---- */

static void serve_closed_at_once(struct peer *peer, int fd) {
  (void)peer, (void)fd;
}

static void next_address_at_once_when_one_is_refused(void **state) {
  (void)state;
  static const char *const many[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1", NULL};
  name_addresses = many;
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve_echo);
  world_open(&world);
  const struct stwi_dial dial = dial_to("many.test", peer.port);
  const stwi_time before = stwi_clock_monotonic();
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  assert_true(stwi_clock_monotonic() - before < 200 * STWI_MS);
  assert_int_equal(world.links[1].phase_count, 3);
  assert_int_equal(world.links[1].phases[0], STW_PHASE_DNS);
  assert_non_null(strstr(peer.request, "\r\nHost: many.test:"));
  world_close(&world);
  peer_stop(&peer);
}

static void next_address_after_a_while_when_one_is_silent(void **state) {
  (void)state;
  static const char *const many[] = {"127.0.0.2", "127.0.0.1", NULL};
  name_addresses = many;
  struct world world;
  struct peer peer = {0};
  struct black_hole hole;
  peer_start(&peer, serve_echo);
  dig(&hole, "127.0.0.2", peer.port);
  world_open(&world);
  const struct stwi_dial dial = dial_to("many.test", peer.port);
  const stwi_time before = stwi_clock_monotonic();
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  const stwi_time took = stwi_clock_monotonic() - before;
  assert_true(took >= 240 * STWI_MS && took < 900 * STWI_MS);
  world_write(&world, 1, "hello", 5);
  world_run(&world, link_1_has_5);
  world_close(&world);
  fill_in(&hole);
  peer_stop(&peer);
}

static int listen_more(struct peer *peer, const char *host, uint16_t port,
                       void (*serve)(struct peer *, int)) {
  peer->port = port;
  peer->serve = serve;
  peer->accept_count = 1;
  peer->listener = listen_on(host, &peer->port);
  return pthread_create(&peer->thread, NULL, peer_main, peer);
}

/* The first address accepts and is silent, as behind a broken path MTU: the second must win. */
static void silence_after_tcp_does_not_hold_the_race(void **state) {
  (void)state;
  static const char *const many[] = {"127.0.0.2", "127.0.0.1", NULL};
  name_addresses = many;
  struct world world;
  struct peer peer = {0}, mute = {0};
  peer_start(&peer, serve_echo);
  assert_int_equal(listen_more(&mute, "127.0.0.2", peer.port, serve_silence), 0);
  world_open(&world);
  const struct stwi_dial dial = dial_to("many.test", peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  world_write(&world, 1, "hello", 5);
  world_run(&world, link_1_has_5);
  peer_stop(&mute); /* its connection was ended by us */
  assert_false(world.links[1].is_down);
  world_close(&world);
  peer_stop(&peer);
}

static void down_only_when_all_failed_and_with_the_most_telling_cause(void **state) {
  (void)state;
  static const char *const many[] = {"127.0.0.1", "255.255.255.255", "127.0.0.4", NULL};
  name_addresses = many;
  struct peer peer = {0};
  peer_start(&peer, serve_closed_at_once);
  const struct stwi_dial dial = dial_to("many.test", peer.port);
  const struct seen seen = down_of(&dial);
  assert_true(seen.cause == STW_CAUSE_UPGRADE_EOF || seen.cause == STW_CAUSE_TCP_RESET);
  peer_stop(&peer);
}

static void serve_503(struct peer *peer, int fd) {
  if (read_header(fd, peer->request, sizeof peer->request))
    send_text(fd, "HTTP/1.1 503 Away\r\nRetry-After: 9\r\n\r\n");
}

/* One answer speaks for the server: its other addresses are left in peace. */
static void http_answer_ends_the_race(void **state) {
  (void)state;
  static const char *const many[] = {"127.0.0.1", "127.0.0.2", NULL};
  name_addresses = many;
  struct peer peer = {0}, other = {0};
  peer_start(&peer, serve_503);
  assert_int_equal(listen_more(&other, "127.0.0.2", peer.port, serve_echo), 0);
  const struct stwi_dial dial = dial_to("many.test", peer.port);
  const struct seen seen = down_of(&dial);
  assert_int_equal(seen.cause, STW_CAUSE_HTTP_5XX);
  assert_int_equal(seen.retry_after_ms, 9000);
  assert_int_equal(other.served, 0);
  peer_stop(&peer);
  peer_stop(&other);
}

static bool links_1_to_40_are_down(struct world *world) {
  for (int i = 1; i <= 40; i++) {
    if (!world->links[i].is_down)
      return false;
  }
  return true;
}

static void one_question_for_a_fleet(void **state) {
  (void)state;
  static const char *const one[] = {"127.0.0.1", NULL};
  name_addresses = one;
  struct world world;
  world_open(&world);
  lookups = 0;
  is_resolver_held = true;
  const struct stwi_dial dial = dial_to("held.test", unused_port());
  for (uint32_t i = 1; i <= 40; i++)
    world.transport.ops->dial(world.transport.self, i, i, &dial);
  is_resolver_held = false;
  world_run(&world, links_1_to_40_are_down);
  assert_int_equal(lookups, 1);
  assert_int_equal(world.links[40].cause, STW_CAUSE_TCP_REFUSED);
  world_close(&world);
}

/* ---- nothing leaks ---- */

static void freed_with_attempts_in_every_phase(void **state) {
  (void)state;
  static const char *const many[] = {"127.0.0.2", "127.0.0.1", NULL};
  name_addresses = many;
  struct world world;
  struct peer mute = {.accept_count = 2};
  struct black_hole hole;
  peer_start(&mute, serve_silence);
  dig(&hole, "127.0.0.2", mute.port);
  world_open(&world);
  struct stwi_dial dial = plain_dial(mute.port);
  world_dial(&world, 1, &dial);
  dial.is_tls = true;
  world_dial(&world, 2, &dial);
  dial = dial_to("127.0.0.2", mute.port);
  world_dial(&world, 3, &dial);
  world_run(&world, link_1_is_in_its_phase_for_20_turns);
  is_resolver_held = true;
  dial = dial_to("held.test", mute.port);
  world_dial(&world, 4, &dial);
  dial = dial_to("many.test", mute.port);
  world_dial(&world, 5, &dial);
  dial = plain_dial(1);
  world_dial(&world, 6, &dial);
  is_resolver_held = false;
  world_close(&world);
  for (int i = 1; i < 7; i++)
    assert_false(world.links[i].is_down); /* no input comes from free */
  fill_in(&hole);
  peer_stop(&mute);
}

/* Descriptors run out after the transport was made. */
static void no_descriptor_is_overload_local(void **state) {
  (void)state;
  struct world world;
  struct rlimit before;
  world_open(&world);
  const struct stwi_dial dial = plain_dial(unused_port());
  getrlimit(RLIMIT_NOFILE, &before);
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, before.rlim_max});
  world_dial(&world, 1, &dial);
  setrlimit(RLIMIT_NOFILE, &before);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_OVERLOAD_LOCAL);
  world_close(&world);
}

/* The tables of libwebsockets end at the limit that held when the transport was made. */
static void descriptor_over_the_limit_is_overload_local(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  struct rlimit before;
  int taken[256], count = 0;
  peer_start(&peer, serve_silence);
  getrlimit(RLIMIT_NOFILE, &before);
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, before.rlim_max});
  world_open(&world);
  setrlimit(RLIMIT_NOFILE, &before);
  do
    taken[count] = dup(0);
  while (taken[count++] < 64);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_OVERLOAD_LOCAL);
  assert_non_null(strstr(world.links[1].detail, "RLIMIT_NOFILE (64 "));
  while (count > 0)
    close(taken[--count]);
  world_close(&world);
  peer_stop(&peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closed_port_is_refused),
      cmocka_unit_test(address_without_a_route_is_unreachable),
      cmocka_unit_test(unknown_and_broken_names_are_told_apart),
      cmocka_unit_test(silent_peer_is_seen_in_its_phase),
      cmocka_unit_test(name_that_is_not_answered_can_be_cut),
      cmocka_unit_test(next_address_at_once_when_one_is_refused),
      cmocka_unit_test(next_address_after_a_while_when_one_is_silent),
      cmocka_unit_test(silence_after_tcp_does_not_hold_the_race),
      cmocka_unit_test(down_only_when_all_failed_and_with_the_most_telling_cause),
      cmocka_unit_test(http_answer_ends_the_race),
      cmocka_unit_test(one_question_for_a_fleet),
      cmocka_unit_test(freed_with_attempts_in_every_phase),
      cmocka_unit_test(no_descriptor_is_overload_local),
      cmocka_unit_test(descriptor_over_the_limit_is_overload_local),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
