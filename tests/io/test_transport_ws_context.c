/* What engines that come and go leave alone: other people's descriptors, and children of fork.
 *
 * close() is replaced for the whole program, libwebsockets included (libuv closes by system calls
 * of its own): while `watch` is on, every number that gets free belongs to somebody else at once.
 */
#include "io_world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FDS_MAX = 4096, FEW_MAX = 8, ENGINES = 4, CHILDREN = 25, CHILD_GUARD_S = 20 };

static _Thread_local bool is_watching;

static struct {
  int stranger; /* copies of it take the numbers */
  bool is_taken[FDS_MAX];
  size_t taken_count, stolen_count;
} watch;

static void take(int fd) {
  if (fd >= FDS_MAX)
    return;
  const int copy = fcntl(watch.stranger, F_DUPFD_CLOEXEC, fd);
  if (copy == fd) {
    watch.is_taken[fd] = true;
    watch.taken_count++;
  } else if (copy >= 0) {
    syscall(SYS_close, copy);
  }
}

__attribute__((visibility("default"))) int close(int fd) {
  if (!is_watching)
    return (int)syscall(SYS_close, fd);
  if (fd >= 0 && fd < FDS_MAX && watch.is_taken[fd]) {
    watch.is_taken[fd] = false;
    watch.stolen_count++;
  }
  const int failed = (int)syscall(SYS_close, fd);
  if (failed == 0)
    take(fd);
  return failed;
}

static void watch_begin(void) {
  memset(&watch, 0, sizeof watch);
  watch.stranger = open("/dev/null", O_RDONLY | O_CLOEXEC);
  assert_true(watch.stranger >= 0);
  is_watching = true;
}

static void watch_end(void) {
  is_watching = false;
  close(watch.stranger);
  for (int fd = 0; fd < FDS_MAX; fd++) {
    if (watch.is_taken[fd])
      close(fd);
  }
}

static void no_number_is_closed_twice(void **state) {
  (void)state;
  struct world world;
  world_open(&world);
  watch_begin();
  world_close(&world);
  watch_end();
  assert_true(watch.taken_count > 2); /* the watch did see libwebsockets close */
  assert_int_equal(watch.stolen_count, 0);
}

static void no_number_is_closed_twice_with_a_connection(void **state) {
  (void)state;
  struct world world;
  struct peer peer = {0};
  peer_start(&peer, serve_echo);
  world_open(&world);
  const struct stwi_dial dial = plain_dial(peer.port);
  world_dial(&world, 1, &dial);
  world_run(&world, link_1_is_ready);
  watch_begin();
  world_close(&world);
  watch_end();
  assert_int_equal(watch.stolen_count, 0);
  peer_stop(&peer);
}

/* An engine's transport that may find no descriptors; NULL, or why there is none. */
static const char *open_with(struct stwi_loop *loop) {
  const char *why = NULL;
  const struct stwi_transport transport =
      stwi_transport_ws_new(loop, (struct stwi_sink){NULL, NULL}, &why);
  if (transport.ops != NULL)
    transport.ops->free(transport.self);
  return why;
}

static void too_few_descriptors_are_said_whatever_their_number(void **state) {
  (void)state;
  struct rlimit before;
  bool has_worked = false;
  getrlimit(RLIMIT_NOFILE, &before);
  for (rlim_t few = 0; few <= FEW_MAX; few++) {
    const struct stwi_loop_hooks hooks = {NULL, NULL};
    struct stwi_loop *loop = stwi_loop_new(&hooks);
    const int first = dup(0);
    close(first);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)first + few, before.rlim_max});
    const char *why = open_with(loop);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(why != NULL || few > 2);
    assert_true(why == NULL || (!has_worked && strstr(why, "RLIMIT_NOFILE") != NULL));
    has_worked = why == NULL;
    stwi_loop_free(loop);
  }
  assert_true(has_worked);
}

/* No thread may be started in the child of a process with threads under ThreadSanitizer, and libuv
 * closes descriptors behind its back. */
#ifndef __SANITIZE_THREAD__
static _Atomic bool is_over;

static void *come_and_go(void *arg) {
  (void)arg;
  while (!is_over) {
    struct world world;
    world_open(&world);
    world_close(&world);
  }
  return NULL;
}

static void handle_pipe(int signal) {
  (void)signal;
}

/* The allocator of AddressSanitizer may stay locked in the child of a process with threads. */
#ifdef __SANITIZE_ADDRESS__
static bool can_start(void) {
  return true;
}
#else
static bool can_start(void) {
  const struct stwi_loop_hooks hooks = {NULL, NULL};
  struct stwi_loop *loop = stwi_loop_new(&hooks);
  const bool is_open = loop != NULL && open_with(loop) == NULL;
  stwi_loop_free(loop);
  return is_open;
}
#endif

/* 0, or what is wrong in the child. */
static int look_around(const struct rlimit *limit) {
  struct rlimit now;
  struct sigaction pipe;
  alarm(CHILD_GUARD_S);
  getrlimit(RLIMIT_NOFILE, &now);
  sigaction(SIGPIPE, NULL, &pipe);
  if (now.rlim_cur != limit->rlim_cur)
    return 1;
  if (pipe.sa_handler != handle_pipe)
    return 2;
  return can_start() ? 0 : 3;
}

static void a_child_of_fork_sees_no_engine_half_made(void **state) {
  (void)state;
  pthread_t threads[ENGINES];
  struct sigaction mine = {.sa_handler = handle_pipe};
  struct rlimit before;
  sigaction(SIGPIPE, &mine, NULL);
  getrlimit(RLIMIT_NOFILE, &before);
  is_over = false;
  for (int i = 0; i < ENGINES; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
  int status = 0;
  for (int i = 0; i < CHILDREN && status == 0; i++) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
      _exit(look_around(&before));
    assert_int_equal(waitpid(child, &status, 0), child);
  }
  is_over = true;
  for (int i = 0; i < ENGINES; i++)
    pthread_join(threads[i], NULL);
  signal(SIGPIPE, SIG_DFL);
  assert_int_equal(status, 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_number_is_closed_twice),
      cmocka_unit_test(no_number_is_closed_twice_with_a_connection),
      cmocka_unit_test(too_few_descriptors_are_said_whatever_their_number),
#ifndef __SANITIZE_THREAD__
      cmocka_unit_test(a_child_of_fork_sees_no_engine_half_made),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
