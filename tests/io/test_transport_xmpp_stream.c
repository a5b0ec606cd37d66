#include "io_xmpp.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>

/* ---- descriptors ---- */

/* Takes every descriptor below FD_SETSIZE; gives back how many. */
static size_t fill_low(int *fds) {
  size_t count = 0;
  const int source = open("/dev/null", O_RDONLY | O_CLOEXEC);
  fds[count++] = source;
  int fd;
  while ((fd = dup(source)) >= 0 && fd < FD_SETSIZE)
    fds[count++] = fd;
  close(fd);
  return count;
}

static bool raise_limit(struct rlimit *before) {
  getrlimit(RLIMIT_NOFILE, before);
  struct rlimit wanted = *before;
  wanted.rlim_cur = 2 * FD_SETSIZE;
  return before->rlim_max >= wanted.rlim_cur && setrlimit(RLIMIT_NOFILE, &wanted) == 0;
}

static void without_low_descriptors_dials_fail_with_their_number(void **state) {
  struct world world;
  struct rlimit before;
  static int fds[FD_SETSIZE];
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  (void)state;
  if (!raise_limit(&before))
    skip();
  peer_start(&peer.peer, serve_tls);
  world_open_with(&world, stwi_transport_xmpp_new);
  const struct stwi_dial dial = xmpp_dial(peer.peer.port, &xmpp_direct, root_file);
  const size_t count = fill_low(fds);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_OVERLOAD_LOCAL);
  assert_non_null(strstr(world.links[1].detail, "1024"));
  for (size_t i = 0; i < count; i++)
    close(fds[i]);
  world_dial(&world, 2, &dial);
  world_run(&world, link_2_is_ready);
  /* One that is up is out of their way. */
  assert_true(stwi_xmpp_link_of(world.transport.self, 7, 2)->fd >= FD_SETSIZE);
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
  setrlimit(RLIMIT_NOFILE, &before);
}

static void links_leave_no_descriptor_behind(void **state) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_stream};
  (void)state;
  for (int i = 0; i < 3; i++) {
    const int first = dup(STDERR_FILENO);
    close(first);
    peer.peer.accept_count = 1;
    peer_start(&peer.peer, serve_starttls);
    assert_true(dial_once(&world, peer.peer.port, &xmpp_by_starttls)->is_ready);
    world_close(&world);
    peer_stop(&peer.peer);
    const int last = dup(STDERR_FILENO);
    close(last);
    assert_int_equal(last, first);
  }
  cert_free(&peer.cert);
}

/* ---- writing, pausing, beginning anew ---- */

enum { BIG = 4 * 1024 * 1024 };

static void tls_read_slowly(struct tls_peer *peer, SSL *ssl) {
  static char buffer[16 * 1024];
  size_t sum = 0;
  int size;
  if (!xmpp_greet_tls(peer, ssl))
    return;
  while (!peer->peer.is_released)
    sched_yield();
  while (sum < BIG && (size = SSL_read(ssl, buffer, sizeof buffer)) > 0) {
    for (int i = 0; i < size; i++)
      peer->has_alpn &= buffer[i] == (char)('a' + (sum + (size_t)i) % 26);
    sum += (size_t)size;
  }
  if (sum == BIG && peer->has_alpn)
    SSL_write(ssl, "<done/>", 7);
  while (SSL_read(ssl, buffer, sizeof buffer) > 0)
    continue;
}

static bool two_elements(struct world *world) {
  return world->links[1].element_count == 2 && world->links[1].writable_count == 1;
}

static void what_the_socket_does_not_take_is_kept_and_sent(void **state) {
  struct world world;
  struct tls_peer peer = {.cert = good_cert(), .serve = tls_read_slowly};
  (void)state;
  peer_start(&peer.peer, serve_tls);
  assert_true(dial_once(&world, peer.peer.port, &xmpp_direct)->is_ready);
  world_run(&world, link_1_has_an_element);
  char *data = malloc(BIG);
  for (size_t i = 0; i < BIG; i++)
    data[i] = (char)('a' + i % 26);
  world_write(&world, 1, data, BIG);
  free(data);
  assert_int_equal(world.links[1].writable_count, 0);
  peer.has_alpn = true; /* ALPN was looked at before; now: all bytes are right */
  peer.peer.is_released = true;
  world_run(&world, two_elements);
  world_close(&world);
  peer_stop(&peer.peer);
  cert_free(&peer.cert);
}

static void serve_twice(struct peer *peer, int fd) {
  if (!xmpp_greet(peer, fd, XMPP_FEATURES))
    return;
  if (xmpp_greet(peer, fd, XMPP_FEATURES))
    read_to_end(fd);
}

static bool element_twice(struct world *world) {
  return world->links[1].element_count == 2;
}

static void a_restart_begins_the_stream_anew(void **state) {
  struct world world;
  struct peer peer = {0};
  (void)state;
  peer_start(&peer, serve_twice);
  assert_true(dial_once(&world, peer.port, &xmpp_in_the_clear)->is_ready);
  world_run(&world, link_1_has_an_element);
  world.transport.ops->restart(world.transport.self, 7, 1);
  world_run(&world, element_twice);
  world_close(&world);
  peer_stop(&peer);
}

static void serve_flood(struct peer *peer, int fd) {
  if (xmpp_greet(peer, fd, XMPP_FEATURES))
    send_times(fd, "<presence/>", 100000);
  read_to_end(fd);
}

static bool a_few_turns_later(struct world *world) {
  return world->turn_count > 20;
}

static void wake_up(uv_timer_t *timer) {
  stwi_loop_dirty(((struct world *)timer->data)->loop);
}

static bool all_presences(struct world *world) {
  return world->links[1].element_count == 100001;
}

static void a_paused_link_reads_nothing(void **state) {
  struct world world;
  struct peer peer = {0};
  uv_timer_t timer;
  (void)state;
  peer_start(&peer, serve_flood);
  dial_once(&world, peer.port, &xmpp_in_the_clear);
  world_run(&world, link_1_has_an_element);
  world.transport.ops->pause(world.transport.self, 7, 1, true);
  const size_t before = world.links[1].element_count;
  world.turn_count = 0;
  uv_timer_init(stwi_loop_uv(world.loop), &timer);
  timer.data = &world;
  uv_timer_start(&timer, wake_up, 1, 1);
  world_run(&world, a_few_turns_later);
  assert_int_equal(world.links[1].element_count, before);
  uv_close((uv_handle_t *)&timer, NULL);
  world.transport.ops->pause(world.transport.self, 7, 1, false);
  world_run(&world, all_presences);
  world_close(&world);
  peer_stop(&peer);
}

static void cut_on_element(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_ELEMENT)
    world->transport.ops->cut(world->transport.self, 7, 1, true);
}

static void a_cut_from_within_an_element_is_the_last(void **state) {
  struct world world;
  struct peer peer = {0};
  (void)state;
  peer_start(&peer, serve_flood);
  const struct stwi_dial dial = xmpp_dial(peer.port, &xmpp_in_the_clear, root_file);
  world_open_with(&world, stwi_transport_xmpp_new);
  world.on_input = cut_on_element;
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].element_count, 1);
  world_close(&world);
  peer_stop(&peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_low_descriptors_dials_fail_with_their_number),
      cmocka_unit_test(links_leave_no_descriptor_behind),
      cmocka_unit_test(what_the_socket_does_not_take_is_kept_and_sent),
      cmocka_unit_test(a_restart_begins_the_stream_anew),
      cmocka_unit_test(a_paused_link_reads_nothing),
      cmocka_unit_test(a_cut_from_within_an_element_is_the_last),
  };
  return cmocka_run_group_tests(tests, make_roots, free_roots);
}
