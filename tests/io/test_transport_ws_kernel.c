/* What the kernel knows of a link: its path, and what the peer's kernel has acknowledged. */
#include "io/tcp_state.h"
#include "io/transport_ws.h"
#include "io_world.h"
#include "netns.h"

static bool has_namespace;

static void open_to(struct world *world, struct peer *peer, const struct stwi_dial *how) {
  peer_start(peer, serve_echo);
  world_open(world);
  struct stwi_dial dial = *how;
  dial.port = peer->port;
  world_dial(world, 1, &dial);
  world_run(world, link_1_is_ready);
}

static void close_both(struct world *world, struct peer *peer) {
  world_close(world);
  peer_stop(peer);
}

static void ask_kernel(struct world *world) {
  world->transport.ops->ask_kernel(world->transport.self, 7, 1);
}

static void the_kernel_gives_up_when_it_is_told_to(void **unused) {
  (void)unused;
  static struct world world;
  struct peer peer = {0};
  struct stwi_dial dial = plain_dial(0);
  dial.unacked_max_ms = 4500;
  open_to(&world, &peer, &dial);
  const struct stwi_ws_link *link = stwi_ws_link_of(world.transport.self, 7, 1);
  unsigned ms = 0;
  socklen_t size = sizeof ms;
  assert_int_equal(
      getsockopt(lws_get_socket_fd(link->up->wsi), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &size), 0);
  assert_int_equal(ms, 4500);
  const int fd = lws_get_socket_fd(link->up->wsi);
  if (getsockopt(fd, IPPROTO_TCP, STWI_TCP_RTO_MAX_MS, &ms, &size) == 0) /* Linux 6.15 */
    assert_int_equal(ms, 1000);
  close_both(&world, &peer);
}

static void what_arrived_is_acknowledged(void **unused) {
  (void)unused;
  static struct world world;
  struct peer peer = {0};
  const struct stwi_dial dial = plain_dial(0);
  open_to(&world, &peer, &dial);
  world_write(&world, 1, "hello", 5);
  world_run(&world, link_1_has_5);
  ask_kernel(&world);
  assert_int_equal(world.links[1].look_count, 1);
  assert_false(world.links[1].is_unacked);
  world.transport.ops->look(world.transport.self);
  assert_int_equal(world.links[1].path_count, 1);
  assert_int_equal(world.links[1].path, STW_NETWORK_UP);
  close_both(&world, &peer);
}

static void without_a_carrier_nothing_is_acknowledged_and_there_is_no_path(void **unused) {
  (void)unused;
  if (!has_namespace)
    skip();
  static struct world world;
  struct peer peer = {0};
  const struct stwi_dial dial = plain_dial(0);
  open_to(&world, &peer, &dial);
  assert_true(netns_ip("link set lo down"));
  world_write(&world, 1, "hello", 5);
  ask_kernel(&world);
  assert_true(world.links[1].is_unacked);
  world.transport.ops->look(world.transport.self);
  assert_int_equal(world.links[1].path, STW_NETWORK_DOWN);
  assert_true(netns_ip("link set lo up"));
  world_run(&world, link_1_has_5); /* retransmitted */
  close_both(&world, &peer);
}

/* An attempt has a path as well, and nothing that could be acknowledged. */
static void an_attempt_is_looked_at_too(void **unused) {
  (void)unused;
  if (!has_namespace)
    skip();
  static struct world world;
  assert_true(netns_ip("link add near type veth peer name far"));
  assert_true(netns_ip("link set near up"));
  assert_true(netns_ip("link set far up"));
  assert_true(netns_ip("addr add 10.9.0.1/24 dev near"));
  world_open(&world);
  struct stwi_dial dial = plain_dial(9);
  dial.host = "10.9.0.5";
  world_dial(&world, 1, &dial);
  ask_kernel(&world);
  assert_int_equal(world.links[1].look_count, 0);
  world.transport.ops->look(world.transport.self);
  assert_int_equal(world.links[1].path, STW_NETWORK_UP);
  assert_true(netns_ip("link del near"));
  world.transport.ops->look(world.transport.self);
  assert_int_equal(world.links[1].path_count, 2);
  assert_int_equal(world.links[1].path, STW_NETWORK_DOWN);
  world_close(&world);
}

int main(void) {
  has_namespace = netns_enter();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_kernel_gives_up_when_it_is_told_to),
      cmocka_unit_test(what_arrived_is_acknowledged),
      cmocka_unit_test(without_a_carrier_nothing_is_acknowledged_and_there_is_no_path),
      cmocka_unit_test(an_attempt_is_looked_at_too),
  };
  return netns_answer(cmocka_run_group_tests(tests, NULL, NULL), has_namespace);
}
