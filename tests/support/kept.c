#include "kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void kept_folder(char folder[KEPT_FOLDER]) {
  snprintf(folder, KEPT_FOLDER, "%s/steadwire-kept-XXXXXX", P_tmpdir);
  assert_non_null(mkdtemp(folder));
}

void kept_remove(const char *path) {
  static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
  char whole[KEPT_PATH + 8];
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    snprintf(whole, sizeof whole, "%s%s", path, suffixes[i]);
    unlink(whole);
  }
}

stw_conn kept_open(struct host *host, const char *path) {
  const char *options[] = {"outbox", path, "durability", "process", NULL};
  return host_open(host, 1, options);
}
