/* netns: a network namespace of one's own, for tests of what the machine's network does.
 *
 * Only the calling thread moves into it; nothing outside is touched or reached.  Where that is not
 * permitted, or ip(8) is missing, tests skip().
 */
#ifndef STEADWIRE_TESTS_NETNS_H
#define STEADWIRE_TESTS_NETNS_H

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ip(8) with these arguments, quietly; true where it succeeded. */
static inline bool netns_ip(const char *arguments) {
  char line[256], name[] = "ip", *words[32] = {name}, *rest = line, *word;
  snprintf(line, sizeof line, "%s", arguments);
  for (size_t i = 1; (word = strsep(&rest, " ")) != NULL && i < 31; i++)
    words[i] = word;
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  int status = -1;
  if (posix_spawnp(&pid, name, &quiet, NULL, words, environ) == 0)
    waitpid(pid, &status, 0);
  posix_spawn_file_actions_destroy(&quiet);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* IPv6 gives itself addresses at times of its own. */
static inline bool netns_no_ipv6(const char *path) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  const bool is_done = fd >= 0 && write(fd, "1", 1) == 1;
  if (fd >= 0)
    close(fd);
  return is_done;
}

/* True: the calling thread is in a fresh one, with `lo` up, and without IPv6. */
static inline bool netns_enter(void) {
  if (unshare(CLONE_NEWNET) == 0 && netns_no_ipv6("/proc/sys/net/ipv6/conf/all/disable_ipv6") &&
      netns_no_ipv6("/proc/sys/net/ipv6/conf/default/disable_ipv6") && netns_ip("link set lo up"))
    return true;
  puts("no network namespace of our own: that needs root and ip(8)");
  return false;
}

/* What main answers: 77, a counted skip, where nothing failed but not all of it could be run. */
static inline int netns_answer(int failed, bool has_namespace) {
  return failed == 0 && !has_namespace ? 77 : failed;
}

#endif
