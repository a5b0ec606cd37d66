/* delivery_store: what a durable outbox costs, in `./dev bench delivery`.
 *
 *   delivery_store FOLDER PORT ROUNDS
 *
 * PORT is that of wire_server.  Prints one line "CASE SUBJECT VALUE" for each measurement; a round
 * measures every subject in turn, so that ratios are taken within a round.
 *
 *   single   messages of 256 bytes a second, each waited for: `bare` appends it to a file and calls
 *            fdatasync, `steadwire` sends it and waits for the proof stored
 *   batched  likewise with 64 messages at a time
 *   lag_ms   round trip of 32 bytes on a conn without a file, p99, while another conn of the same
 *            engine stores 1,000 messages a second and every fdatasync takes 50 ms
 *   list_ms  stw_outbox_list of 1,000 entries while the same traffic flows, p99
 *   recover  seconds to open an outbox with 100,000 pending messages
 *
 * Everything runs through the public headers.  The file system is that of FOLDER.
 */
#include "wire_util.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <steadwire/steadwire.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  SIZE = 256,
  BATCH = 64,
  SINGLES = 300,
  BATCHES = 60,
  EVENTS_MAX = 512,
  PATIENCE_MS = 30000,
  SLOW_MS = 50,
  LAG_SAMPLES = 2000,
  LAG_EVERY_NS = 1000000,
  LISTED = 1000,
  PENDING = 100000
};

static _Atomic bool is_slow;

/* libsqlite3 calls this one in place of the C library's. */
__attribute__((visibility("default"))) int fdatasync(int fd);
int fdatasync(int fd) {
  const struct timespec while_slow = {0, SLOW_MS * 1000000L};
  if (is_slow)
    clock_nanosleep(CLOCK_MONOTONIC, 0, &while_slow, NULL);
  return (int)syscall(SYS_fdatasync, fd);
}

typedef struct {
  stw_engine engine;
  stw_mailbox mailbox;
  const stw_event *events[EVENTS_MAX];
  char folder[512];
  unsigned port;
  uint64_t stored, accepted, echoes; /* of the conn that is measured */
} bench;

static uint8_t payload[SIZE];

static void check(stw_status status, const char *what) {
  if (status != STW_OK)
    wire_die("%s: %s", what, stw_last_error());
}

static void drain(bench *self, int64_t wait_ms) {
  size_t count = 0;
  if (stw_mailbox_wait(self->mailbox, wait_ms) != STW_OK)
    return;
  check(stw_mailbox_drain(self->mailbox, self->events, EVENTS_MAX, &count), "drain");
  for (size_t i = 0; i < count; i++) {
    const stw_event *event = self->events[i];
    if (event->kind == STW_EVENT_PROOF && event->u.proof.proof == STW_PROOF_STORED)
      self->stored = event->u.proof.upto;
    else if (event->kind == STW_EVENT_PROOF)
      self->accepted = event->u.proof.upto;
    else if (event->kind == STW_EVENT_MESSAGE)
      self->echoes++;
    else if (event->kind == STW_EVENT_CLOSED)
      wire_die("a conn has ended: %s", event->u.closed.detail);
  }
}

static stw_conn open_conn(bench *self, const char *path, const char *mode) {
  char text[600];
  stw_conn conn;
  stw_config *config = stw_config_new();
  snprintf(text, sizeof text, "ws://127.0.0.1:%u/%s", self->port, mode);
  check(stw_config_set(config, "url", text), "url");
  check(stw_config_set(config, "outbox_messages", "200000"), "outbox_messages");
  if (path != NULL) {
    snprintf(text, sizeof text, "%s/%s", self->folder, path);
    check(stw_config_set(config, "outbox", text), "outbox");
  }
  check(stw_conn_open(self->engine, self->mailbox, config, &conn), "open");
  stw_config_free(config);
  return conn;
}

static void remove_store(const bench *self, const char *name) {
  static const char *const tails[] = {"", "-wal", "-shm", ".lock", ".reserve"};
  char path[700];
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    snprintf(path, sizeof path, "%s/%s%s", self->folder, name, tails[i]);
    unlink(path);
  }
}

static void report(const char *name, const char *subject, double value) {
  printf("%s %s %.6f\n", name, subject, value);
  fflush(stdout);
}

/* ---- single and batched ---- */

static double bare(const bench *self, unsigned writes, size_t bytes) {
  char path[600];
  uint8_t *block = wire_alloc(bytes);
  memset(block, 7, bytes);
  snprintf(path, sizeof path, "%s/bare", self->folder);
  const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
  if (fd < 0)
    wire_die("cannot write %s", path);
  const uint64_t begin = wire_now();
  for (unsigned i = 0; i < writes; i++)
    if (write(fd, block, bytes) != (ssize_t)bytes || fdatasync(fd) != 0)
      wire_die("cannot write %s", path);
  const double seconds = (double)(wire_now() - begin) / 1e9;
  close(fd);
  unlink(path);
  free(block);
  return (double)writes * (double)(bytes / SIZE) / seconds;
}

static double stored(bench *self, unsigned sends, size_t batch) {
  stw_payload payloads[BATCH];
  for (size_t i = 0; i < batch; i++)
    payloads[i] = (stw_payload){payload, SIZE};
  self->stored = 0;
  remove_store(self, "outbox.db");
  const stw_conn conn = open_conn(self, "outbox.db", "sink");
  const uint64_t begin = wire_now();
  uint64_t sent = 0;
  for (unsigned i = 0; i < sends; i++) {
    size_t taken = 0;
    check(stw_conn_send_many(conn, payloads, batch, NULL, &taken, NULL), "send");
    sent += taken;
    while (self->stored < sent)
      drain(self, PATIENCE_MS);
  }
  const double seconds = (double)(wire_now() - begin) / 1e9;
  check(stw_conn_free(conn), "free");
  return (double)sent / seconds;
}

/* ---- lag and list ---- */

typedef struct {
  uint32_t lag[LAG_SAMPLES], list[LAG_SAMPLES];
  size_t lags, lists;
} samples;

static double p99_ms(uint32_t *values, size_t count) {
  if (count == 0)
    wire_die("nothing was measured");
  qsort(values, count, sizeof *values, wire_compare);
  return values[count * 99 / 100] / 1e6;
}

static uint32_t since(uint64_t begin) {
  const uint64_t passed = wire_now() - begin;
  return passed > UINT32_MAX ? UINT32_MAX : (uint32_t)passed;
}

static void round_trip(bench *self, stw_conn conn, samples *seen) {
  const uint64_t begin = wire_now(), before = self->echoes;
  check(stw_conn_send(conn, payload, 32, NULL, NULL), "send");
  while (self->echoes == before)
    drain(self, PATIENCE_MS);
  seen->lag[seen->lags++] = since(begin);
}

static void list(stw_conn conn, samples *seen) {
  static stw_outbox_entry entries[LISTED];
  uint64_t cursor = 0;
  size_t count = 0;
  const uint64_t begin = wire_now();
  check(stw_outbox_list(stw_outbox_of(conn), NULL, &cursor, entries, LISTED, &count), "list");
  if (count == LISTED)
    seen->list[seen->lists++] = since(begin);
}

static void lag(bench *self) {
  static samples seen;
  seen.lags = seen.lists = 0;
  remove_store(self, "outbox.db");
  const stw_conn durable = open_conn(self, "outbox.db", "sink"),
                 quick = open_conn(self, NULL, "echo");
  for (size_t i = 0; i < 2 * LISTED; i++) /* so that there is something to list */
    check(stw_conn_send(durable, payload, SIZE, NULL, NULL), "send");
  round_trip(self, quick, &seen);
  seen.lags = 0;
  is_slow = true;
  uint64_t next = wire_now();
  while (seen.lags < LAG_SAMPLES) {
    check(stw_conn_send(durable, payload, SIZE, NULL, NULL), "send");
    round_trip(self, quick, &seen);
    if (seen.lags % 20 == 1)
      list(durable, &seen);
    next += LAG_EVERY_NS;
    while (wire_now() < next)
      drain(self, 1);
  }
  is_slow = false;
  report("lag_ms", "steadwire", p99_ms(seen.lag, seen.lags));
  check(stw_conn_free(durable), "free");
  check(stw_conn_free(quick), "free");
}

static void list_waiting(bench *self) {
  static samples seen;
  const unsigned port = self->port;
  seen.lists = 0;
  self->port = 1; /* nobody is there: everything waits */
  remove_store(self, "list.db");
  const stw_conn waiting = open_conn(self, "list.db", "sink");
  self->port = port;
  const stw_conn busy = open_conn(self, NULL, "echo");
  for (size_t i = 0; i < PENDING; i++)
    check(stw_conn_send(waiting, payload, SIZE, NULL, NULL), "send");
  for (size_t i = 0; i < 200; i++) {
    for (size_t k = 0; k < 100; k++)
      check(stw_conn_send(busy, payload, SIZE, NULL, NULL), "send");
    list(waiting, &seen);
    drain(self, 0);
  }
  report("list_ms", "steadwire", p99_ms(seen.list, seen.lists));
  check(stw_conn_free(busy), "free");
  check(stw_conn_free(waiting), "free");
}

/* ---- recovery ---- */

static void recover(bench *self) {
  const unsigned port = self->port;
  self->port = 1;
  const uint64_t begin = wire_now();
  const stw_conn conn = open_conn(self, "list.db", "sink");
  report("recover_s", "steadwire", (double)(wire_now() - begin) / 1e9);
  stw_conn_view view = {.struct_size = sizeof view};
  while (stw_conn_look(conn, &view) == STW_OK && view.outbox_messages == 0)
    drain(self, 1);
  if (view.outbox_messages != PENDING)
    wire_die("%llu messages came back", (unsigned long long)view.outbox_messages);
  check(stw_conn_free(conn), "free");
  self->port = port;
  remove_store(self, "list.db");
}

int main(int argc, char **argv) {
  static bench self;
  if (argc != 4)
    wire_die("usage: delivery_store FOLDER PORT ROUNDS");
  snprintf(self.folder, sizeof self.folder, "%s", argv[1]);
  self.port = (unsigned)strtoul(argv[2], NULL, 10);
  check(stw_engine_new(&self.engine), "engine");
  check(stw_mailbox_new(&self.mailbox), "mailbox");
  const long rounds = strtol(argv[3], NULL, 10);
  for (long i = 0; i < rounds; i++) {
    report("single", "bare", bare(&self, SINGLES, SIZE));
    report("single", "steadwire", stored(&self, SINGLES, 1));
    report("batched", "bare", bare(&self, BATCHES, (size_t)SIZE * BATCH));
    report("batched", "steadwire", stored(&self, BATCHES, BATCH));
    lag(&self);
  }
  list_waiting(&self);
  recover(&self);
  stw_mailbox_free(self.mailbox);
  check(stw_engine_free(self.engine), "engine");
  return 0;
}
