/* Sends three messages to an echo server and prints what comes back.
 *
 *     echo ws://127.0.0.1:8080
 *
 * The exit code is 0 if all three reached the server.  A break of the connection in between makes
 * no difference: the engine dials again and sends what was not proven.
 */
#include <steadwire/steadwire.h>

#include <stdio.h>
#include <string.h>

/* Every refusal has a sentence that says what happened and what to do. */
static int give_up(const char *what) {
  fprintf(stderr, "%s: %s\n", what, stw_last_error());
  return 1;
}

/* Opens a conn.  This does not wait: the engine dials on its own thread. */
static stw_status open_conn(stw_engine engine, stw_mailbox mailbox, const char *url,
                            stw_conn *conn) {
  stw_config *config = stw_config_new();
  if (config == NULL)
    return STW_E_MEMORY;
  stw_status status = stw_config_set(config, "url", url);
  if (status == STW_OK)
    status = stw_conn_open(engine, mailbox, config, conn);
  stw_config_free(config); /* the conn has its own copy */
  return status;
}

/* Sending does not wait either; a message may be sent before the conn is online. */
static stw_status send_all(stw_conn conn) {
  static const char *const lines[] = {"one", "two", "three"};
  const stw_send_options options = {.struct_size = sizeof options, .is_text = true};
  stw_status status = STW_OK;
  for (size_t i = 0; i < 3 && status == STW_OK; i++)
    status = stw_conn_send(conn, lines[i], strlen(lines[i]), &options, NULL);
  return status;
}

struct progress {
  int echoes;
  bool is_over;
  uint64_t undelivered;
};

static void on_event(const stw_event *event, struct progress *progress) {
  switch (event->kind) {
  case STW_EVENT_MESSAGE: /* its bytes are lent until the next drain */
    printf("echo: %.*s\n", (int)event->u.message.size, (const char *)event->u.message.data);
    progress->echoes++;
    break;
  case STW_EVENT_CLOSED: /* always the last event of a conn */
    progress->is_over = true;
    progress->undelivered = event->u.closed.undelivered;
    break;
  default: /* states, proofs, ...: see event.h */
    break;
  }
}

/* The mailbox has a descriptor for poll, too: stw_mailbox_fd. */
static stw_status collect(stw_mailbox mailbox, struct progress *progress) {
  const stw_event *events[32];
  size_t count;
  stw_status status = stw_mailbox_wait(mailbox, -1);
  if (status == STW_OK)
    status = stw_mailbox_drain(mailbox, events, 32, &count);
  for (size_t i = 0; status == STW_OK && i < count; i++)
    on_event(events[i], progress);
  return status == STW_E_INTERRUPTED ? STW_OK : status;
}

static int run(stw_engine engine, stw_mailbox mailbox, const char *url) {
  stw_conn conn;
  struct progress progress = {0};
  if (open_conn(engine, mailbox, url, &conn) != STW_OK)
    return give_up("open");
  if (send_all(conn) != STW_OK)
    return give_up("send");
  while (progress.echoes < 3 && !progress.is_over)
    if (collect(mailbox, &progress) != STW_OK)
      return give_up("collect");
  if (!progress.is_over)
    stw_conn_close(conn, 5000); /* waits up to 5 s for proofs, then says good-bye */
  while (!progress.is_over)
    if (collect(mailbox, &progress) != STW_OK)
      return give_up("collect");
  printf("%llu undelivered\n", (unsigned long long)progress.undelivered);
  return progress.undelivered == 0 && progress.echoes >= 3 ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s ws://HOST:PORT/PATH\n", argv[0]);
    return 64;
  }
  stw_engine engine; /* one thread, many conns */
  stw_mailbox mailbox;
  if (stw_engine_new(&engine) != STW_OK)
    return give_up("engine");
  if (stw_mailbox_new(&mailbox) != STW_OK)
    return give_up("mailbox");
  const int code = run(engine, mailbox, argv[1]);
  stw_mailbox_free(mailbox); /* frees its conns as well */
  stw_engine_free(engine);
  return code;
}
