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

stw_conn kept_open(struct host *host, const char *path) {
  const char *options[] = {"outbox", path, "durability", "process", NULL};
  return host_open(host, 1, options);
}
