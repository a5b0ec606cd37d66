#include "io_world.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

enum { BIG = 3 * 1024 * 1024 };

static uint8_t pattern(size_t i) {
  return (uint8_t)(i * 31 + (i >> 10));
}

static uint8_t *make_pattern(size_t size) {
  uint8_t *data = malloc(size);
  for (size_t i = 0; i < size; i++)
    data[i] = pattern(i);
  return data;
}

static void open_to(struct world *world, struct peer *peer, void (*serve)(struct peer *, int)) {
  peer_start(peer, serve);
  world_open(world);
  const struct stwi_dial dial = plain_dial(peer->port);
  world_dial(world, 1, &dial);
  world_run(world, link_1_is_ready);
}

static void close_both(struct world *world, struct peer *peer) {
  peer->is_released = true;
  world_close(world);
  peer_stop(peer);
}

static void await_release(struct peer *peer) {
  while (!peer->is_released)
    sched_yield();
}

static void cut(struct world *world, bool abort) {
  world->transport.ops->cut(world->transport.self, 7, 1, abort);
}

static void set_pause(struct world *world, bool on) {
  world->transport.ops->pause(world->transport.self, 7, 1, on);
}

/* ---- in and out ---- */

static _Atomic size_t epoll_ctl_count;

/* In the place of the C library's, for libuv. */
/* libuv must find it, although we build with hidden visibility. */
__attribute__((visibility("default"))) int epoll_ctl(int epoll, int operation, int fd,
                                                     struct epoll_event *event) {
  epoll_ctl_count++;
  return (int)syscall(SYS_epoll_ctl, epoll, operation, fd, event);
}

enum { MESSAGES = 256 * 200, MESSAGE_BYTES = 38 };

static void write_a_window(struct world *world) {
  static const uint8_t window[256 * MESSAGE_BYTES];
  world_write(world, 1, window, sizeof window);
}

static void next_window(struct world *world, const struct stwi_input *input) {
  const size_t size = world->links[1].size;
  if (input->kind == STWI_IN_BYTES && size % (256 * MESSAGE_BYTES) == 0 &&
      size < MESSAGES * MESSAGE_BYTES)
    write_a_window(world);
}

static bool link_1_has_all_messages(struct world *world) {
  return world->links[1].size >= MESSAGES * MESSAGE_BYTES;
}

/* The trap of libwebsockets on libuv: asking for WRITEABLE costs one for each message. */
static void messages_cost_no_epoll_ctl(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_echo);
  world.on_input = next_window;
  epoll_ctl_count = 0;
  write_a_window(&world);
  assert_int_equal(epoll_ctl_count, 0);
  world_run(&world, link_1_has_all_messages);
  assert_true(epoll_ctl_count > 0); /* the count works */
  assert_true(epoll_ctl_count <= MESSAGES / 50);
  close_both(&world, &peer);
}

static void what_is_written_comes_back(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_echo);
  world_write(&world, 1, "hello", 5);
  assert_int_equal(world.links[1].writable_count, 1); /* the socket took it: said at once */
  world_run(&world, link_1_has_5);
  assert_memory_equal(world.links[1].bytes, "hello", 5);
  assert_int_equal(world.links[1].phase_count, 2);
  assert_int_equal(world.links[1].phases[0], STW_PHASE_TCP);
  assert_int_equal(world.links[1].phases[1], STW_PHASE_UPGRADE);
  close_both(&world, &peer);
}

static bool link_1_has_big(struct world *world) {
  return world->links[1].size >= BIG;
}

static void big_write_comes_back_whole(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  uint8_t *data = make_pattern(BIG);
  open_to(&world, &peer, serve_echo);
  world_write(&world, 1, data, BIG);
  world_run(&world, link_1_has_big);
  assert_int_equal(world.links[1].writable_count, 1);
  assert_int_equal(world.links[1].size, BIG);
  assert_memory_equal(world.links[1].bytes, data, BIG);
  free(data);
  close_both(&world, &peer);
}

/* Reads nothing until it is released. */
static void serve_lazy(struct peer *peer, int fd) {
  if (!upgrade(peer, fd, "", ""))
    return;
  await_release(peer);
  read_to_end(fd);
}

static bool link_1_is_writable(struct world *world) {
  return world->links[1].writable_count > 0;
}

static bool has_turned_20_times(struct world *world) {
  stwi_loop_wake(world->loop);
  return world->turn_count >= 20;
}

static void writable_waits_until_the_socket_took_all(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  const size_t size = 16 * 1024 * 1024; /* more than both buffers of loopback hold */
  uint8_t *data = make_pattern(size);
  open_to(&world, &peer, serve_lazy);
  world_write(&world, 1, data, size);
  world.turn_count = 0;
  world_run(&world, has_turned_20_times);
  assert_int_equal(world.links[1].writable_count, 0);
  peer.is_released = true;
  world_run(&world, link_1_is_writable);
  assert_int_equal(world.links[1].writable_count, 1);
  free(data);
  close_both(&world, &peer);
}

/* Sends without end and begins to read only when it is released. */
static void serve_flood(struct peer *peer, int fd) {
  static const char noise[64 * 1024];
  char sink[64 * 1024];
  if (!upgrade(peer, fd, "", ""))
    return;
  for (;;) {
    struct pollfd poller = {.fd = fd, .events = POLLIN | POLLOUT};
    if (!peer->is_released)
      poller.events = POLLOUT;
    poll(&poller, 1, 10);
    if ((poller.revents & POLLOUT) != 0 && send(fd, noise, sizeof noise, MSG_NOSIGNAL) <= 0)
      return;
    if ((poller.revents & POLLIN) != 0 && recv(fd, sink, sizeof sink, 0) <= 0)
      return;
  }
}

static void forget_bytes(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_BYTES)
    world->links[1].size = 0;
}

static void flood_does_not_hold_up_what_is_written(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  const size_t size = 16 * 1024 * 1024;
  uint8_t *data = make_pattern(size);
  open_to(&world, &peer, serve_flood);
  world.on_input = forget_bytes;
  world_write(&world, 1, data, size);
  assert_int_equal(world.links[1].writable_count, 0);
  peer.is_released = true;
  world_run(&world, link_1_is_writable);
  free(data);
  cut(&world, true);
  world_run(&world, link_1_is_down);
  close_both(&world, &peer);
}

static void answer_at_once(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_READY)
    world_write(world, 1, "hello", 5);
  if (input->kind == STWI_IN_BYTES && world->links[1].size == 5)
    world_write(world, 1, " again", 6);
}

static bool link_1_has_11(struct world *world) {
  return world->links[1].size >= 11;
}

static void write_from_inside_the_sink(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve_echo);
  world_open(&world);
  world.on_input = answer_at_once;
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_has_11);
  assert_memory_equal(world.links[1].bytes, "hello again", 11);
  assert_int_equal(world.links[1].writable_count, 2);
  close_both(&world, &peer);
}

/* ---- pause ---- */

static void serve_big(struct peer *peer, int fd) {
  if (!upgrade(peer, fd, "", "early"))
    return;
  uint8_t *data = make_pattern(BIG);
  send_all(fd, data, BIG);
  free(data);
  read_to_end(fd);
}

static void pause_on_ready(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_READY)
    set_pause(world, true);
}

static bool link_1_has_all_of_serve_big(struct world *world) {
  return world->links[1].size >= BIG + 5;
}

static void paused_link_reads_nothing_and_loses_nothing(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve_big);
  world_open(&world);
  world.on_input = pause_on_ready;
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  world.turn_count = 0;
  world_run(&world, has_turned_20_times);
  assert_int_equal(world.links[1].size, 0); /* not even what came with the 101 */
  set_pause(&world, false);
  world_run(&world, link_1_has_all_of_serve_big);
  uint8_t *data = make_pattern(BIG);
  assert_memory_equal(world.links[1].bytes, "early", 5);
  assert_memory_equal(world.links[1].bytes + 5, data, BIG);
  free(data);
  close_both(&world, &peer);
}

/* Pauses after each piece; the turn goes on. */
static void pause_on_bytes(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_BYTES)
    set_pause(world, true);
}

static bool goes_on_until_all_is_here(struct world *world) {
  set_pause(world, false);
  return world->links[1].size >= BIG + 5;
}

static void pause_and_go_on_after_every_piece(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_big);
  world.on_input = pause_on_bytes;
  world_run(&world, goes_on_until_all_is_here);
  uint8_t *data = make_pattern(BIG);
  assert_memory_equal(world.links[1].bytes + 5, data, BIG);
  free(data);
  close_both(&world, &peer);
}

/* ---- ends ---- */

static void serve_farewell(struct peer *peer, int fd) {
  upgrade(peer, fd, "", "");
  send_text(fd, "farewell");
}

/* Closing with unread bytes or without lingering is what makes a RST. */
static void reset(int fd) {
  const struct linger now = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void serve_reset(struct peer *peer, int fd) {
  upgrade(peer, fd, "", "");
  send_text(fd, "farewell");
  await_release(peer);
  reset(fd);
}

static void fin_is_told_from_reset(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_farewell);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_ABNORMAL_FIN);
  assert_int_equal(world.links[1].size, 8);
  close_both(&world, &peer);

  struct peer rude = {0};
  open_to(&world, &rude, serve_reset);
  rude.is_released = true;
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_ABNORMAL_RST);
  close_both(&world, &rude);
}

/* The farewell and the RST are both in the socket before we look. */
static void last_bytes_before_a_reset_arrive(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_reset);
  set_pause(&world, true);
  world.turn_count = 0;
  world_run(&world, has_turned_20_times);
  peer.is_released = true;
  while (peer.served == 0)
    sched_yield();
  set_pause(&world, false);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_ABNORMAL_RST);
  assert_int_equal(world.links[1].size, 8);
  assert_memory_equal(world.links[1].bytes, "farewell", 8);
  close_both(&world, &peer);
}

static void write_after_a_reset_ends_the_link(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_reset);
  peer.is_released = true;
  while (peer.served == 0)
    sched_yield();
  world_write(&world, 1, "hello", 5);
  world_write(&world, 1, "hello", 5);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_ABNORMAL_RST);
  assert_memory_equal(world.links[1].bytes, "farewell", 8);
  close_both(&world, &peer);
}

/* Notes how the other end closed: 1 FIN, 2 RST. */
static void serve_watch(struct peer *peer, int fd) {
  char sink[4096];
  ssize_t size;
  if (!upgrade(peer, fd, "", "x"))
    return;
  await_release(peer);
  while ((size = recv(fd, sink, sizeof sink, 0)) > 0)
    continue;
  peer->request[0] = size == 0 ? 'F' : 'R';
}

static char seen_by_peer_after_cut(bool abort) {
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_watch);
  world_write(&world, 1, "hello", 5);
  cut(&world, abort);
  assert_false(world.links[1].is_down);
  world_run(&world, link_1_is_down);
  const size_t size = world.links[1].size;
  assert_int_equal(world.links[1].cause, STW_CAUSE_REQUESTED);
  peer.is_released = true;
  peer_stop(&peer);
  assert_true(size <= 1);
  world_close(&world);
  return peer.request[0];
}

static void abort_is_a_reset(void **state) {
  (void)state;
  assert_int_equal(seen_by_peer_after_cut(true), 'R');
}

static void serve_watch_quiet(struct peer *peer, int fd) {
  char sink[4096];
  ssize_t size;
  if (!upgrade(peer, fd, "", ""))
    return;
  while ((size = recv(fd, sink, sizeof sink, 0)) > 0)
    continue;
  peer->request[0] = size == 0 ? 'F' : 'R';
}

static void cut_without_abort_is_a_fin(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_watch_quiet);
  cut(&world, false);
  world_run(&world, link_1_is_down);
  peer_stop(&peer);
  assert_int_equal(peer.request[0], 'F');
  world_close(&world);
}

/* Fencing: the RST has left when cut returns, whatever was still to be sent is gone. */
static void abort_is_at_once(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  const size_t size = 16 * 1024 * 1024;
  uint8_t *data = make_pattern(size);
  open_to(&world, &peer, serve_watch);
  world_write(&world, 1, data, size);
  cut(&world, true);
  peer.is_released = true;
  peer_stop(&peer); /* without a turn of our loop */
  assert_int_equal(peer.request[0], 'R');
  world_run(&world, link_1_is_down);
  free(data);
  world_close(&world);
}

/* What is buffered must not keep a cut link alive. */
static void cut_does_not_wait_for_a_peer_that_does_not_read(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  const size_t size = 16 * 1024 * 1024;
  uint8_t *data = make_pattern(size);
  open_to(&world, &peer, serve_lazy);
  world_write(&world, 1, data, size);
  const stwi_time before = stwi_clock_monotonic();
  cut(&world, false);
  world_run(&world, link_1_is_down);
  assert_true(stwi_clock_monotonic() - before < STWI_S);
  free(data);
  close_both(&world, &peer);
}

static void cut_on_bytes(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_BYTES)
    cut(world, true);
}

static void cut_from_inside_the_sink(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve_big);
  world_open(&world);
  world.on_input = cut_on_bytes;
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_REQUESTED);
  assert_true(world.links[1].size <= 64 * 1024);
  close_both(&world, &peer);
}

static void write_back(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_BYTES)
    world_write(world, 1, "pong", 4);
}

/* The last bytes come from inside the end; what is answered to them goes nowhere. */
static void write_from_inside_the_end(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_reset);
  set_pause(&world, true);
  world.turn_count = 0;
  world_run(&world, has_turned_20_times);
  peer.is_released = true;
  while (peer.served == 0)
    sched_yield();
  world.on_input = write_back;
  set_pause(&world, false);
  world_run(&world, link_1_is_down);
  assert_int_equal(world.links[1].cause, STW_CAUSE_ABNORMAL_RST);
  assert_memory_equal(world.links[1].bytes, "farewell", 8);
  close_both(&world, &peer);
}

static void dead_link_ignores_everything(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  open_to(&world, &peer, serve_farewell);
  world_run(&world, link_1_is_down);
  world_write(&world, 1, "late", 4);
  set_pause(&world, true);
  set_pause(&world, false);
  cut(&world, true);
  world.transport.ops->cut(world.transport.self, 4000, 1, true);
  world.turn_count = 0;
  world_run(&world, has_turned_20_times);
  assert_int_equal(world.links[1].writable_count, 0);
  close_both(&world, &peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_written_comes_back),
      cmocka_unit_test(messages_cost_no_epoll_ctl),
      cmocka_unit_test(big_write_comes_back_whole),
      cmocka_unit_test(writable_waits_until_the_socket_took_all),
      cmocka_unit_test(flood_does_not_hold_up_what_is_written),
      cmocka_unit_test(write_from_inside_the_sink),
      cmocka_unit_test(paused_link_reads_nothing_and_loses_nothing),
      cmocka_unit_test(pause_and_go_on_after_every_piece),
      cmocka_unit_test(fin_is_told_from_reset),
      cmocka_unit_test(last_bytes_before_a_reset_arrive),
      cmocka_unit_test(write_after_a_reset_ends_the_link),
      cmocka_unit_test(abort_is_a_reset),
      cmocka_unit_test(cut_without_abort_is_a_fin),
      cmocka_unit_test(abort_is_at_once),
      cmocka_unit_test(cut_does_not_wait_for_a_peer_that_does_not_read),
      cmocka_unit_test(cut_from_inside_the_sink),
      cmocka_unit_test(write_from_inside_the_end),
      cmocka_unit_test(dead_link_ignores_everything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
