/* io_xmpp_server.h: real servers, started by tests/support/peers/xmpp_server.py. */
#ifndef TESTS_IO_XMPP_SERVER_H
#define TESTS_IO_XMPP_SERVER_H

#include "io_world.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

enum { SKIPPED = 77 };

struct server {
  pid_t pid;
  int input;
  FILE *output;
  uint16_t starttls, direct, tls12, plain;
  char ca_file[256];
};

static struct server server;

static inline uint16_t port_in(const char *line, const char *name) {
  const char *at = strstr(line, name);
  assert_non_null(at);
  return (uint16_t)strtoul(at + strlen(name) + 2, NULL, 10);
}

static inline void read_line(const char *line) {
  static const char key[] = "\"ca_file\": \"";
  server.starttls = port_in(line, "\"starttls\"");
  server.direct = port_in(line, "\"direct\"");
  server.tls12 = port_in(line, "\"tls12\"");
  server.plain = port_in(line, "\"plain\"");
  const char *file = strstr(line, key);
  assert_non_null(file);
  snprintf(server.ca_file, sizeof server.ca_file, "%.*s", (int)strcspn(file + sizeof key - 1, "\""),
           file + sizeof key - 1);
}

static inline int start_server(void **state) {
  char name[32], line[1024];
  int in[2], out[2];
  posix_spawn_file_actions_t files;
  snprintf(name, sizeof name, "%s", (const char *)*state);
  const char *python = access(".venv/bin/python", X_OK) == 0 ? ".venv/bin/python" : "python3";
  char *const command[] = {(char *)(uintptr_t)python, (char *)(uintptr_t) "-m",
                           (char *)(uintptr_t) "peers.xmpp_server", name, NULL};
  setenv("PYTHONPATH", "tests/support", 1);
  assert_int_equal(pipe(in), 0);
  assert_int_equal(pipe(out), 0);
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
  for (int i = 0; i < 2; i++) {
    posix_spawn_file_actions_addclose(&files, in[i]);
    posix_spawn_file_actions_addclose(&files, out[i]);
  }
  assert_int_equal(posix_spawnp(&server.pid, python, &files, NULL, command, environ), 0);
  posix_spawn_file_actions_destroy(&files);
  close(in[0]);
  close(out[1]);
  server.input = in[1];
  server.output = fdopen(out[0], "r");
  if (fgets(line, sizeof line, server.output) == NULL)
    return -1;
  read_line(line);
  return 0;
}

static inline int stop_server(void) {
  int status = 0;
  close(server.input);
  fclose(server.output);
  waitpid(server.pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs a group of tests at one server, SKIPPED where it cannot be started here. */
static inline int run_with(const char *name, const struct CMUnitTest *tests, size_t count) {
  void *state = (void *)(uintptr_t)name;
  if (start_server(&state) != 0) {
    const int status = stop_server();
    print_message("skipped: %s cannot be started here\n", name);
    return status == SKIPPED || status == 1 ? SKIPPED : status;
  }
  const int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
  stop_server();
  return failed;
}

/* The status of a program whose tests run at each server; skipped only where there is none. */
static inline int run_at_both(const struct CMUnitTest *tests, size_t count) {
  const int prosody = run_with("prosody", tests, count);
  const int ejabberd = run_with("ejabberd", tests, count);
  if (prosody == SKIPPED && ejabberd == SKIPPED)
    return SKIPPED;
  return (prosody == SKIPPED ? 0 : prosody) + (ejabberd == SKIPPED ? 0 : ejabberd);
}

#endif
