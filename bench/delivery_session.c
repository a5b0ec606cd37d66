/* delivery_session: what the session costs, in `./dev bench delivery`.
 *
 *   delivery_session PORT ROUNDS
 *
 * PORT is that of delivery_server.  In each round 1 KiB messages are echoed with 256 in flight, for
 * a second each: plain, then with the session.  Prints "echo SUBJECT MESSAGES/S" for each, and in
 * the end "overhead SUBJECT BYTES": bytes written to the socket per message beyond its payload,
 * barriers and acknowledgements included.
 */
#include "wire_util.h"

#include <steadwire/steadwire.h>

enum { SIZE = 1024, WINDOW = 256, EVENTS_MAX = 512, PATIENCE_MS = 20000, ECHO_NS = 1000000000 };

typedef struct {
  stw_engine engine;
  stw_mailbox mailbox;
  unsigned port;
  bool is_online;
  uint64_t last; /* number of the last message that came; 0: not numbered */
  const stw_event *events[EVENTS_MAX];
} bench;

static const char *const subjects[] = {"plain", "session"};

static void check(stw_status status, const char *what) {
  if (status != STW_OK)
    wire_die("%s: %s", what, stw_last_error());
}

/* Messages that arrived. */
static size_t drain(bench *self) {
  size_t count = 0, messages = 0;
  check(stw_mailbox_wait(self->mailbox, PATIENCE_MS), "wait");
  check(stw_mailbox_drain(self->mailbox, self->events, EVENTS_MAX, &count), "drain");
  for (size_t i = 0; i < count; i++) {
    const stw_event *event = self->events[i];
    if (event->kind == STW_EVENT_MESSAGE) {
      self->last = event->u.message.id.number;
      messages++;
    }
    if (event->kind == STW_EVENT_STATE)
      self->is_online = event->u.state.to == STW_STATE_ONLINE;
    if (event->kind == STW_EVENT_CLOSED || event->kind == STW_EVENT_DOWNGRADED)
      wire_die("the conn has ended, or has no session");
  }
  return messages;
}

static void send_some(stw_conn conn, size_t count) {
  static uint8_t data[SIZE];
  stw_payload payloads[WINDOW];
  for (size_t i = 0; i < count; i++)
    payloads[i] = (stw_payload){data, SIZE};
  for (size_t taken = 0; count > 0; count -= taken)
    check(stw_conn_send_many(conn, payloads, count, NULL, &taken, NULL), "send");
}

static void measure(bench *self, const char *subject, double *overhead) {
  char url[64];
  stw_conn conn;
  uint64_t metrics[STW_METRIC_COUNT];
  stw_config *config = stw_config_new();
  snprintf(url, sizeof url, "ws://127.0.0.1:%u/", self->port);
  check(stw_config_set(config, "url", url), "url");
  check(stw_config_set(config, "profile", subject), "profile");
  self->is_online = false;
  self->last = 0;
  check(stw_conn_open(self->engine, self->mailbox, config, &conn), "open");
  stw_config_free(config);
  while (!self->is_online)
    drain(self);
  send_some(conn, WINDOW);
  const uint64_t begin = wire_now();
  size_t echoed = 0;
  while (wire_now() - begin < ECHO_NS) {
    const size_t count = drain(self);
    for (size_t left = count; left > 0; left -= left < WINDOW ? left : WINDOW)
      send_some(conn, left < WINDOW ? left : WINDOW);
    echoed += count;
    if (self->last > 0)
      check(stw_conn_processed(conn, STW_LANE_DATA, self->last), "processed");
  }
  printf("echo %s %.1f\n", subject, (double)echoed / ((double)(wire_now() - begin) / 1e9));
  fflush(stdout);
  check(stw_conn_stats(conn, metrics, STW_METRIC_COUNT), "stats");
  *overhead =
      (double)(metrics[STW_METRIC_WIRE_OUT_BYTES]) / (double)metrics[STW_METRIC_WRITTEN] - SIZE;
  check(stw_conn_free(conn), "free");
}

int main(int argc, char **argv) {
  static bench self;
  double overhead[2];
  if (argc != 3)
    wire_die("usage: delivery_session PORT ROUNDS");
  self.port = (unsigned)strtoul(argv[1], NULL, 10);
  check(stw_engine_new(&self.engine), "engine");
  check(stw_mailbox_new(&self.mailbox), "mailbox");
  for (long i = strtol(argv[2], NULL, 10); i > 0; i--)
    for (size_t k = 0; k < 2; k++)
      measure(&self, subjects[k], &overhead[k]);
  for (size_t k = 0; k < 2; k++)
    printf("overhead %s %.2f\n", subjects[k], overhead[k]);
  stw_mailbox_free(self.mailbox);
  check(stw_engine_free(self.engine), "engine");
  return 0;
}
