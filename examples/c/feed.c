/* Subscribes to a feed and prints it, whatever happens to the connection.
 *
 *     feed ws://127.0.0.1:8080 subscribe 20
 *
 * prints 20 messages.  Most servers forget a subscription when the connection ends; so it is an
 * opening message, which the engine itself sends first on every new link, even while this program
 * is busy with something else.
 */
#include <steadwire/steadwire.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int give_up(const char *what) {
  fprintf(stderr, "%s: %s\n", what, stw_last_error());
  return 1;
}

/* The names of states and causes come from the library's own lists. */
static void tell_state(const stw_event *event) {
  const stw_cause_info *cause = stw_cause_at((size_t)event->u.state.cause);
  printf("[%s: %s]\n", stw_state_at((size_t)event->u.state.to)->name, cause->text);
}

/* How many messages it was, 0 or 1; -1 when the conn has ended for good. */
static int on_event(const stw_event *event) {
  switch (event->kind) {
  case STW_EVENT_STATE:
    tell_state(event);
    return 0;
  case STW_EVENT_GAP: /* never silent: what the server sent in between is gone */
    printf("[some messages may be missing]\n");
    return 0;
  case STW_EVENT_MESSAGE:
    printf("%.*s\n", (int)event->u.message.size, (const char *)event->u.message.data);
    return 1;
  case STW_EVENT_CLOSED:
    return -1;
  default:
    return 0;
  }
}

static int print_feed(stw_mailbox mailbox, long wanted) {
  long seen = 0;
  while (seen < wanted) {
    const stw_event *events[64];
    size_t count = 0;
    stw_status status = stw_mailbox_wait(mailbox, -1);
    if (status == STW_OK)
      status = stw_mailbox_drain(mailbox, events, 64, &count);
    if (status != STW_OK && status != STW_E_INTERRUPTED)
      return give_up("collect");
    for (size_t i = 0; i < count && seen < wanted; i++) {
      const int step = on_event(events[i]);
      if (step < 0)
        return 1;
      seen += step;
    }
    fflush(stdout);
  }
  return 0;
}

static int run(stw_engine engine, stw_mailbox mailbox, stw_config *config, char **argv) {
  stw_conn conn;
  if (stw_config_set(config, "url", argv[1]) != STW_OK)
    return give_up("url");
  if (stw_config_set(config, "heartbeat_interval", "5s") != STW_OK)
    return give_up("heartbeat_interval");
  if (stw_conn_open(engine, mailbox, config, &conn) != STW_OK)
    return give_up("open");
  if (stw_conn_opening(conn, "feed", argv[2], strlen(argv[2]), true) != STW_OK)
    return give_up("opening");
  return print_feed(mailbox, strtol(argv[3], NULL, 10));
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s ws://HOST:PORT/PATH SUBSCRIPTION COUNT\n", argv[0]);
    return 64;
  }
  stw_engine engine;
  stw_mailbox mailbox;
  stw_config *config = stw_config_new();
  if (config == NULL || stw_engine_new(&engine) != STW_OK)
    return give_up("engine");
  if (stw_mailbox_new(&mailbox) != STW_OK)
    return give_up("mailbox");
  const int code = run(engine, mailbox, config, argv);
  stw_config_free(config);
  stw_mailbox_free(mailbox); /* frees its conn, which is cut at once */
  stw_engine_free(engine);
  return code;
}
