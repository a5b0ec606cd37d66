#include "io/sigpipe.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

bool stwi_sigpipe_block(void) {
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  return pthread_sigmask(SIG_BLOCK, &pipe, &before) == 0 && sigismember(&before, SIGPIPE) == 0;
}

void stwi_sigpipe_release(void) {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  const struct timespec at_once = {0};
  while (sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE)
    continue;
  pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
}
