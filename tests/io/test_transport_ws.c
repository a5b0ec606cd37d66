#include "io_world.h"

#include "io/transport_ws.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/un.h>

static size_t count_fds(void) {
  size_t count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder) != NULL)
    count++;
  closedir(folder);
  return count;
}

static void warm_up(void) {
  struct world world;
  world_open(&world);
  world_close(&world);
}

static void opens_and_closes_without_a_trace(void **state) {
  (void)state;
  warm_up(); /* what libraries keep for the process is there from now on */
  const size_t before = count_fds();
  for (int i = 0; i < 5; i++) {
    struct world world;
    world_open(&world);
    world_close(&world);
  }
  assert_int_equal(count_fds(), before);
}

static void handle_pipe(int signal) {
  (void)signal;
}

static void sigpipe_of_the_host_is_left_alone(void **state) {
  (void)state;
  struct world world;
  struct sigaction mine = {.sa_handler = handle_pipe}, now;
  sigset_t mask;
  sigaction(SIGPIPE, &mine, NULL);
  world_open(&world);
  sigaction(SIGPIPE, NULL, &now);
  assert_true(now.sa_handler == handle_pipe);
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  assert_int_equal(sigismember(&mask, SIGPIPE), 1); /* in the loop's thread only */
  world_close(&world);
  sigaction(SIGPIPE, NULL, &now);
  assert_true(now.sa_handler == handle_pipe);
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  assert_int_equal(sigismember(&mask, SIGPIPE), 0);
  signal(SIGPIPE, SIG_DFL);
}

/* libuv closes descriptors by bare system calls, which ThreadSanitizer does not see: it takes the
 * next owner of the number, in another thread, for the same file. */
#ifndef __SANITIZE_THREAD__
static void *open_and_close(void *arg) {
  (void)arg;
  for (int i = 0; i < 10; i++)
    warm_up();
  return NULL;
}

static void sigpipe_is_left_alone_by_engines_that_start_together(void **state) {
  (void)state;
  pthread_t threads[4];
  struct sigaction mine = {.sa_handler = handle_pipe}, now;
  sigaction(SIGPIPE, &mine, NULL);
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, open_and_close, NULL);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  sigaction(SIGPIPE, NULL, &now);
  assert_true(now.sa_handler == handle_pipe);
  signal(SIGPIPE, SIG_DFL);
}
#endif

static void limit_of_descriptors_is_left_alone(void **state) {
  (void)state;
  struct world world;
  struct rlimit before, after;
  getrlimit(RLIMIT_NOFILE, &before);
  world_open(&world);
  getrlimit(RLIMIT_NOFILE, &after);
  assert_int_equal(after.rlim_cur, before.rlim_cur);
  assert_int_equal(after.rlim_max, before.rlim_max);
  world_close(&world);
}

/* Must not be asked: the option `proxy` is the only way to use one. */
static void proxy_of_the_environment_is_not_used(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  setenv("https_proxy", "http://127.0.0.1:1", 1);
  setenv("all_proxy", "http://127.0.0.1:1", 1);
  peer_start(&peer, serve_echo);
  world_open(&world);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  world_close(&world);
  peer_stop(&peer);
  unsetenv("http_proxy");
  unsetenv("https_proxy");
  unsetenv("all_proxy");
}

/* A stranger can find the name of the gate, and gets nothing there. */
static void gate_gives_nothing_to_strangers(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  world_open(&world);
  const struct stwi_ws *ws = world.transport.self;
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  socklen_t size = sizeof name;
  assert_int_equal(getsockname(ws->gate, (struct sockaddr *)&name, &size), 0);
  int strangers[100];
  for (int i = 0; i < 100; i++) {
    strangers[i] = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(strangers[i], (struct sockaddr *)&name, size), 0);
  }
  peer_start(&peer, serve_echo);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  world_write(&world, 1, "hello", 5);
  world_run(&world, link_1_has_5);
  for (int i = 0; i < 100; i++) {
    char byte;
    assert_int_equal(recv(strangers[i], &byte, 1, 0), 0);
    close(strangers[i]);
  }
  world_close(&world);
  peer_stop(&peer);
}

enum { MANY = 60 };

static bool many_are_ready(struct world *world) {
  for (int i = 1; i <= MANY; i++) {
    if (!world->links[i].is_ready)
      return false;
  }
  return true;
}

static bool many_have_5(struct world *world) {
  for (int i = 1; i <= MANY; i++) {
    if (world->links[i].size < 5)
      return false;
  }
  return true;
}

static void many_links_keep_their_bytes_apart(void **state) {
  (void)state;
  struct world world;
  struct peer peers[MANY];
  memset(peers, 0, sizeof peers);
  world_open(&world);
  for (uint32_t i = 0; i < MANY; i++) {
    peer_start(&peers[i], serve_push);
    const struct stwi_dial dial = plain_dial(peers[i].port);
    world.transport.ops->dial(world.transport.self, i % 7, i + 1, &dial);
  }
  world_run(&world, many_are_ready);
  world_run(&world, many_have_5);
  world_close(&world);
  for (int i = 0; i < MANY; i++)
    peer_stop(&peers[i]);
}

static bool link_20_is_down(struct world *world) {
  return world->links[20].is_down;
}

static void dial_again_on_down(struct world *world, const struct stwi_input *input) {
  if (input->kind != STWI_IN_DOWN || input->link >= 20)
    return;
  const struct stwi_dial dial = plain_dial(1);
  world->transport.ops->dial(world->transport.self, 7, input->link + 1, &dial);
}

static void dial_from_inside_the_end_of_the_last(void **state) {
  (void)state;
  struct world world;
  world_open(&world);
  world.on_input = dial_again_on_down;
  const struct stwi_dial dial = plain_dial(1);
  world_dial(&world, 1, &dial);
  world_run(&world, link_20_is_down);
  for (int i = 1; i <= 20; i++)
    assert_int_equal(world.links[i].cause, STW_CAUSE_TCP_REFUSED);
  world_close(&world);
}

static bool link_1_is_up_and_idle(struct world *world) {
  return world->links[1].is_ready && world->turn_count > 3;
}

static void idle_link_does_not_wake_the_loop(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve_echo);
  world_open(&world);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_up_and_idle);
  world.turn_count = 0;
  uv_timer_t guard;
  uv_timer_init(stwi_loop_uv(world.loop), &guard);
  guard.data = &world;
  uv_timer_start(&guard, world_guard, 300, 0);
  stwi_loop_run(world.loop);
  uv_close((uv_handle_t *)&guard, NULL);
  assert_true(world.turn_count <= 3);
  world_close(&world);
  peer_stop(&peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opens_and_closes_without_a_trace),
      cmocka_unit_test(sigpipe_of_the_host_is_left_alone),
#ifndef __SANITIZE_THREAD__
      cmocka_unit_test(sigpipe_is_left_alone_by_engines_that_start_together),
#endif
      cmocka_unit_test(limit_of_descriptors_is_left_alone),
      cmocka_unit_test(proxy_of_the_environment_is_not_used),
      cmocka_unit_test(gate_gives_nothing_to_strangers),
      cmocka_unit_test(many_links_keep_their_bytes_apart),
      cmocka_unit_test(dial_from_inside_the_end_of_the_last),
      cmocka_unit_test(idle_link_does_not_wake_the_loop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
