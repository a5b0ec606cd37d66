/* The examples in C run against a small server and say what they promise.
 *
 * usage: test_examples FOLDER, where the built examples are.
 */
#include "io/io_world.h"

#include "core/frame.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 16384 };

static const char *folder;

static bool say(int fd, unsigned opcode, const void *data, size_t size) {
  uint8_t frame[STWI_FRAME_HEADER_BYTES_MAX + 256];
  return send_all(fd, frame, stwi_frame_encode(frame, opcode, true, NULL, data, size));
}

/* False where the link is to end. */
typedef bool (*answer)(struct peer *peer, int fd, const struct stwi_item *item);

static void talk(struct peer *peer, int fd, answer on_item) {
  struct stwi_decoder decoder;
  uint8_t buffer[4096];
  bool goes_on = upgrade(peer, fd, "", "");
  stwi_decoder_init(&decoder, STWI_FRAME_SERVER, sizeof buffer);
  while (goes_on) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    const uint8_t *at = buffer;
    size_t left = got > 0 ? (size_t)got : 0;
    goes_on = got > 0;
    while (goes_on) {
      const struct stwi_item item = stwi_decoder_next(&decoder, &at, &left);
      if (item.kind == STWI_ITEM_NONE)
        break;
      if (item.kind == STWI_ITEM_PING)
        goes_on = say(fd, STWI_OP_PONG, item.data, item.size);
      else
        goes_on = on_item(peer, fd, &item);
    }
  }
  stwi_decoder_fini(&decoder);
}

static bool echo(struct peer *peer, int fd, const struct stwi_item *item) {
  (void)peer;
  if (item->kind == STWI_ITEM_TEXT)
    return say(fd, STWI_OP_TEXT, item->data, item->size);
  say(fd, STWI_OP_CLOSE, NULL, 0);
  return false;
}

static void serve_echoes(struct peer *peer, int fd) {
  talk(peer, fd, echo);
}

/* Ticks for who subscribes; forgets everybody after 12 of them. */
static bool feed(struct peer *peer, int fd, const struct stwi_item *item) {
  if (item->kind != STWI_ITEM_TEXT || item->size != 9 || memcmp(item->data, "subscribe", 9) != 0)
    return false;
  for (int i = 1; i <= 12; i++) {
    char tick[32];
    const int size = snprintf(tick, sizeof tick, "link %d tick %d", (int)peer->served + 1, i);
    if (!say(fd, STWI_OP_TEXT, tick, (size_t)size))
      return false;
  }
  return false;
}

static void serve_feed(struct peer *peer, int fd) {
  talk(peer, fd, feed);
}

/* Runs an example; its exit code, and what it printed. */
static int run(const char *name, const char *const *more, uint16_t port, char *output) {
  char path[512], url[64];
  int pipes[2];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
  assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    dup2(pipes[1], STDOUT_FILENO);
    execl(path, name, url, more[0], more[0] == NULL ? NULL : more[1], (char *)NULL);
    _exit(127);
  }
  close(pipes[1]);
  size_t size = 0;
  ssize_t got;
  while ((got = read(pipes[0], output + size, OUTPUT_MAX - 1 - size)) > 0)
    size += (size_t)got;
  output[size] = '\0';
  close(pipes[0]);
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void echo_prints_what_comes_back(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  struct peer peer = {.accept_count = 3};
  char output[OUTPUT_MAX];
  peer_start(&peer, serve_echoes);
  const int code = run("echo", none, peer.port, output);
  peer_stop(&peer);
  assert_string_equal(output, "echo: one\necho: two\necho: three\n0 undelivered\n");
  assert_int_equal(code, 0);
}

static void feed_goes_on_over_lost_connections(void **state) {
  (void)state;
  static const char *const more[] = {"subscribe", "20"};
  struct peer peer = {.accept_count = 8};
  char output[OUTPUT_MAX];
  peer_start(&peer, serve_feed);
  const int code = run("feed", more, peer.port, output);
  peer_stop(&peer);
  assert_int_equal(code, 0);
  assert_non_null(strstr(output, "[online: a link became ready]\nlink 1 tick 1\n"));
  assert_non_null(strstr(output, "link 1 tick 12\n"));
  assert_non_null(strstr(output, "[some messages may be missing]\n"));
  assert_non_null(strstr(output, "tick 8\n"));
}

static void a_missing_argument_is_an_exit_code(void **state) {
  (void)state;
  static const char *const none[] = {NULL};
  char output[OUTPUT_MAX];
  assert_int_equal(run("feed", none, 1, output), 64);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(echo_prints_what_comes_back),
      cmocka_unit_test(feed_goes_on_over_lost_connections),
      cmocka_unit_test(a_missing_argument_is_an_exit_code),
  };
  if (argc != 2)
    return 64;
  folder = argv[1];
  return cmocka_run_group_tests(tests, NULL, NULL);
}
