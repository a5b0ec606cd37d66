/* wire_steadwire: steadwire's C ABI in `./dev bench wire`.
 *
 * Everything goes through the public headers and the engine thread: the application thread drains
 * its mailbox in batches and answers a batch with one call.  All options are at their defaults
 * except where a case below names one.  See wire_util.h for input and output.  Beside its cases
 * there are three that concern many conns, each in a process of its own:
 *
 *   idle       WINDOW conns, opened one by one over 1 s, 1 KiB echoed on each, then silence:
 *              rss_kib is by how much they have made the process grow, engine_kib by how much the
 *              engine and a first conn had before (libraries, loop, tables)
 *   heartbeat  WINDOW conns with heartbeat_interval = 2s, opened one by one over 2 s, so that the
 *              heartbeats are spread; counts those of SECONDS
 *   reconnect  WINDOW conns, up for longer than the 2 s after which a link counts as stable, are
 *              reset by the server one after another.  A round trip runs from the call that
 *              provokes the reset to the event that tells of the new link, less the wait that the
 *              pace has drawn (U(0, 250 ms), as the event of the loss says)
 */
#include "wire_util.h"

#include <steadwire/steadwire.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
  EVENTS_MAX = 512,
  BATCH_MAX = 256,
  BATCH_BYTES = 64 << 10, /* of one call when sending without end */
  PATIENCE_MS = 20000,
  OPEN_MS = 1000,
  SETTLE_MS = 1000, /* longer than any proof or timer of a conn that has just been used */
  STABLE_MS = 2500,
  HEARTBEAT_MS = 2000,
  RESET_EVERY_NS = 10000000
};

/* A conn of the cases with many. */
typedef struct {
  stw_conn conn;
  uint64_t reset_at;
  uint64_t pace_ns;
} member;

typedef struct {
  unsigned port;
  stw_engine engine;
  stw_mailbox mailbox;
  member *members;
  size_t member_count;
  stw_payload batch[BATCH_MAX];
  uint8_t payload[WIRE_SIZE_MAX];
  const stw_event *events[EVENTS_MAX];
  size_t expected; /* payload bytes of each message */
  size_t online;   /* conns */
  bool may_lose;   /* links may end */
  bool has_text, has_room;
  uint64_t text_count;
} client;

static void check(stw_status status, const char *what) {
  if (status != STW_OK)
    wire_die("%s: %s", what, stw_last_error());
}

/* ---- events ---- */

static void on_message(client *self, const stw_event *event) {
  if (!event->u.message.is_text) {
    if (event->u.message.size != self->expected)
      wire_die("a message of %zu bytes", event->u.message.size);
    return;
  }
  self->has_text = true;
  self->text_count = 0;
  for (size_t i = 0; i < event->u.message.size; i++)
    self->text_count =
        self->text_count * 10 + (uint64_t)(((const char *)event->u.message.data)[i] - '0');
}

static member *find(client *self, stw_conn conn) {
  for (size_t i = 0; i < self->member_count; i++)
    if (self->members[i].conn.id == conn.id)
      return &self->members[i];
  wire_die("an event of an unknown conn");
}

static void on_state(client *self, const stw_event *event, wire_meter *meter) {
  if (event->u.state.to == STW_STATE_ONLINE) {
    self->online++;
    if (!self->may_lose)
      return;
    member *one = find(self, event->conn);
    wire_meter_sample(meter, wire_now() - one->reset_at - one->pace_ns);
  } else if (event->u.state.from == STW_STATE_ONLINE) {
    if (!self->may_lose)
      wire_die("a link was lost: %s", event->u.state.detail);
    if (event->u.state.to != STW_STATE_CONNECTING)
      wire_die("the pace does not allow it at once: %s", event->u.state.detail);
    find(self, event->conn)->pace_ns = event->u.state.delay_ns;
    self->online--;
  }
}

static bool on_event(client *self, const stw_event *event, wire_meter *meter) {
  switch (event->kind) {
  case STW_EVENT_MESSAGE:
    on_message(self, event);
    return !event->u.message.is_text;
  case STW_EVENT_STATE:
    on_state(self, event, meter);
    break;
  case STW_EVENT_OUTBOX_ROOM:
    self->has_room = true;
    break;
  case STW_EVENT_CLOSED:
    wire_die("a conn has ended: %s", event->u.closed.detail);
  default:
    break;
  }
  return false;
}

/* Takes what is there and returns the number of binary messages among it. */
static size_t drain(client *self, wire_meter *meter) {
  size_t count = 0, msgs = 0;
  check(stw_mailbox_drain(self->mailbox, self->events, EVENTS_MAX, &count), "drain");
  for (size_t i = 0; i < count; i++)
    msgs += on_event(self, self->events[i], meter);
  return msgs;
}

/* As drain, but waits first; with `timeout_ms` 0 only looks. */
static size_t drain_within(client *self, wire_meter *meter, int64_t timeout_ms) {
  const stw_status status = stw_mailbox_wait(self->mailbox, timeout_ms);
  if (status == STW_E_TIMEOUT && timeout_ms < PATIENCE_MS)
    return 0;
  check(status, "wait");
  return drain(self, meter);
}

/* Drains until there was a message. */
static size_t take(client *self) {
  size_t msgs = drain(self, NULL);
  while (msgs == 0)
    msgs = drain_within(self, NULL, PATIENCE_MS);
  return msgs;
}

static void drain_for(client *self, uint64_t ms) {
  for (uint64_t now = wire_now(), end = now + ms * 1000000; now < end; now = wire_now())
    drain_within(self, NULL, (int64_t)((end - now) / 1000000) + 1);
}

/* ---- opening and sending ---- */

static stw_conn open_conn(client *self, const char *path, const char *heartbeat_interval) {
  char url[128];
  stw_conn conn;
  stw_config *config = stw_config_new();
  snprintf(url, sizeof url, "ws://127.0.0.1:%u%s?size=%zu", self->port, path, self->expected);
  check(stw_config_set(config, "url", url), url);
  if (heartbeat_interval != NULL)
    check(stw_config_set(config, "heartbeat_interval", heartbeat_interval), "heartbeat_interval");
  check(stw_conn_open(self->engine, self->mailbox, config, &conn), "open");
  stw_config_free(config);
  return conn;
}

static void open_members(client *self, const wire_case *wanted, const char *path,
                         const char *heartbeat_interval, uint64_t within_ms) {
  self->member_count = wanted->window;
  self->members = wire_alloc(self->member_count * sizeof *self->members);
  const uint64_t start = wire_now();
  for (size_t i = 0; i < self->member_count; i++) {
    self->members[i] = (member){.conn = open_conn(self, path, heartbeat_interval)};
    const uint64_t due = start + within_ms * 1000000 / self->member_count * (i + 1);
    while (wire_now() < due)
      drain_within(self, NULL, 1);
  }
  while (self->online < self->member_count)
    drain_within(self, NULL, PATIENCE_MS);
}

/* Queues `count` payloads; returns how many were taken before the outbox was full. */
static size_t send_batch(client *self, stw_conn conn, size_t count) {
  size_t done = 0;
  while (done < count) {
    const size_t part = count - done < BATCH_MAX ? count - done : BATCH_MAX;
    size_t taken = 0;
    const stw_status status = stw_conn_send_many(conn, self->batch, part, NULL, &taken, NULL);
    done += taken;
    if (status == STW_E_FULL)
      break;
    check(status, "send");
  }
  return done;
}

static void send_text(stw_conn conn, const char *text) {
  const stw_send_options options = {
      .struct_size = sizeof options, .is_text = true, .guarantee = STW_AT_LEAST_ONCE};
  check(stw_conn_send(conn, text, strlen(text), &options, NULL), text);
}

static void wait_for_room(client *self) {
  self->has_room = false;
  while (!self->has_room)
    drain_within(self, NULL, PATIENCE_MS);
}

/* ---- cases of one conn ---- */

static uint64_t run_rtt(client *self, stw_conn conn, wire_meter *meter) {
  uint64_t msgs = 0;
  for (uint64_t now = wire_now(); now < meter->end_ns; msgs++) {
    check(stw_conn_send(conn, self->payload, self->expected, NULL, NULL), "send");
    take(self);
    const uint64_t then = wire_now();
    wire_meter_sample(meter, then - now);
    now = then;
  }
  return msgs;
}

static uint64_t run_echo(client *self, stw_conn conn, wire_meter *meter, size_t window) {
  uint64_t msgs = 0;
  size_t in_flight = send_batch(self, conn, window);
  while (in_flight > 0) {
    const size_t done = take(self);
    msgs += done;
    in_flight -= done;
    if (wire_now() < meter->end_ns)
      in_flight += send_batch(self, conn, done);
  }
  return msgs;
}

static uint64_t run_send(client *self, stw_conn conn, wire_meter *meter) {
  uint64_t msgs = 0;
  size_t batch = BATCH_BYTES / (self->expected + 1);
  batch = batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : batch;
  while (wire_now() < meter->end_ns) {
    const size_t taken = send_batch(self, conn, batch);
    msgs += taken;
    if (taken < batch)
      wait_for_room(self);
  }
  send_text(conn, "end");
  while (!self->has_text)
    drain_within(self, NULL, PATIENCE_MS);
  if (self->text_count != msgs)
    wire_die("the sink counted %" PRIu64, self->text_count);
  return msgs;
}

static uint64_t run_receive(client *self, stw_conn conn, wire_meter *meter) {
  uint64_t msgs = 0;
  send_text(conn, "go");
  while (wire_now() < meter->end_ns)
    msgs += take(self);
  return msgs;
}

static uint64_t run_one(client *self, const wire_case *wanted, wire_meter *meter) {
  const bool is_send = strcmp(wanted->name, "send") == 0;
  const bool is_receive = strcmp(wanted->name, "receive") == 0;
  const bool is_rtt = strcmp(wanted->name, "rtt") == 0;
  if (!is_send && !is_receive && !is_rtt && strcmp(wanted->name, "echo") != 0)
    wire_die("unknown case: %s", wanted->name);
  const stw_conn conn = open_conn(self, is_send ? "/sink" : is_receive ? "/source" : "/echo", NULL);
  while (self->online == 0)
    drain_within(self, NULL, PATIENCE_MS);
  wire_meter_start(meter, wanted);
  return is_send      ? run_send(self, conn, meter)
         : is_receive ? run_receive(self, conn, meter)
         : is_rtt     ? run_rtt(self, conn, meter)
                      : run_echo(self, conn, meter, wanted->window);
}

/* ---- cases of many conns ---- */

static size_t resident_kib(void) {
  size_t total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL || fscanf(file, "%zu %zu", &total, &resident) != 2)
    wire_die("no /proc/self/statm");
  fclose(file);
  return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void echo_once(client *self, stw_conn conn) {
  send_batch(self, conn, 1);
  take(self);
}

static void run_idle(client *self, const wire_case *wanted, size_t before_kib) {
  self->expected = 1024;
  self->batch[0].size = self->expected;
  const stw_conn first = open_conn(self, "/echo", NULL);
  echo_once(self, first);
  drain_for(self, SETTLE_MS);
  const size_t engine_kib = resident_kib() - before_kib;
  self->online = 0;
  open_members(self, wanted, "/echo", NULL, OPEN_MS);
  for (size_t i = 0; i < self->member_count; i++)
    echo_once(self, self->members[i].conn);
  drain_for(self, SETTLE_MS);
  printf("{\"case\": \"idle\", \"msgs\": %zu, \"rss_kib\": %zu, \"engine_kib\": %zu}\n",
         self->member_count, resident_kib() - before_kib - engine_kib, engine_kib);
  fflush(stdout);
}

static uint64_t count_metric(const client *self, stw_metric metric) {
  uint64_t values[STW_METRIC_COUNT], sum = 0;
  for (size_t i = 0; i < self->member_count; i++) {
    check(stw_conn_stats(self->members[i].conn, values, STW_METRIC_COUNT), "stats");
    sum += values[metric];
  }
  return sum;
}

static uint64_t run_heartbeat(client *self, const wire_case *wanted, wire_meter *meter) {
  open_members(self, wanted, "/echo", "2s", HEARTBEAT_MS);
  drain_for(self, SETTLE_MS + HEARTBEAT_MS);
  const uint64_t before = count_metric(self, STW_METRIC_BARRIERS);
  wire_meter_start(meter, wanted);
  drain_for(self, wanted->seconds_ns / 1000000);
  if (count_metric(self, STW_METRIC_SUSPECTS) > 0)
    wire_die("heartbeats were not answered");
  return count_metric(self, STW_METRIC_BARRIERS) - before;
}

/* at_most_once: what provokes the reset must not be replayed on the next link. */
static void provoke(client *self, member *one) {
  const stw_send_options options = {.struct_size = sizeof options, .guarantee = STW_AT_MOST_ONCE};
  one->reset_at = wire_now();
  check(stw_conn_send(one->conn, self->payload, 1, &options, NULL), "send");
}

static uint64_t run_reconnect(client *self, const wire_case *wanted, wire_meter *meter) {
  open_members(self, wanted, "/reset", NULL, 0);
  drain_for(self, STABLE_MS);
  self->may_lose = true;
  wire_meter_start(meter, wanted);
  for (size_t i = 0; i < self->member_count; i++) {
    provoke(self, &self->members[i]);
    const uint64_t due = meter->wall_ns + (i + 1) * RESET_EVERY_NS;
    while (wire_now() < due)
      drain_within(self, meter, (int64_t)((due - wire_now()) / 1000000) + 1);
  }
  while (meter->sample_count < self->member_count)
    drain_within(self, meter, PATIENCE_MS);
  return self->member_count;
}

/* ---- the program ---- */

static void run_case(client *self, const wire_case *wanted, wire_meter *meter, size_t before_kib) {
  check(stw_mailbox_new(&self->mailbox), "mailbox");
  self->expected = wanted->size;
  self->online = 0;
  self->has_text = self->may_lose = false;
  for (size_t i = 0; i < BATCH_MAX; i++)
    self->batch[i] = (stw_payload){self->payload, self->expected};
  if (strcmp(wanted->name, "idle") == 0)
    run_idle(self, wanted, before_kib);
  else if (strcmp(wanted->name, "heartbeat") == 0)
    wire_meter_stop(meter, wanted, run_heartbeat(self, wanted, meter));
  else if (strcmp(wanted->name, "reconnect") == 0)
    wire_meter_stop(meter, wanted, run_reconnect(self, wanted, meter));
  else
    wire_meter_stop(meter, wanted, run_one(self, wanted, meter));
  check(stw_mailbox_free(self->mailbox), "mailbox");
  free(self->members);
  self->members = NULL;
  self->member_count = 0;
}

static void raise_file_limit(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv) {
  if (argc != 2)
    wire_die("usage: wire_steadwire PORT < cases");
  raise_file_limit();
  client *self = wire_alloc(sizeof *self);
  memset(self, 0, sizeof *self);
  self->port = (unsigned)strtoul(argv[1], NULL, 10);
  for (size_t i = 0; i < sizeof self->payload; i++)
    self->payload[i] = (uint8_t)('a' + i % 26);
  const size_t before_kib = resident_kib();
  check(stw_engine_new(&self->engine), "engine");
  wire_meter meter = {.samples = NULL};
  wire_case wanted;
  while (wire_next_case(&wanted))
    run_case(self, &wanted, &meter, before_kib);
  stw_engine_free(self->engine);
  free(meter.samples);
  free(self);
  return 0;
}
