/* kept: hosts whose conns keep their outboxes in files, in a folder of the test's own. */
#ifndef STEADWIRE_TESTS_KEPT_H
#define STEADWIRE_TESTS_KEPT_H

#include "host.h"

enum { KEPT_FOLDER = 64, KEPT_PATH = 80 };

/* Makes a folder that nobody else has and writes its path. */
void kept_folder(char folder[KEPT_FOLDER]);

/* Opens a conn of `host` with an outbox at `path`, durability process. */
stw_conn kept_open(struct host *host, const char *path);

#endif
