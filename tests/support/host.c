#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <time.h>

void host_init(struct host *host) {
  memset(host, 0, sizeof *host);
  fake_server_init(&host->server);
  assert_int_equal(fake_engine_new(&host->server, &host->engine), STW_OK);
  assert_int_equal(stw_mailbox_new(&host->mailbox), STW_OK);
}

void host_fini(struct host *host) {
  stw_mailbox_free(host->mailbox);
  stw_engine_free(host->engine);
  fake_server_fini(&host->server);
  free(host->events);
}

stw_status host_try_open(struct host *host, uint16_t port, const char *const *options,
                         stw_conn *conn) {
  char url[32];
  snprintf(url, sizeof url, "ws://fake:%u", port);
  stw_config *config = stw_config_new();
  if (config == NULL)
    return STW_E_MEMORY;
  stw_status status = stw_config_set(config, "url", url);
  for (; status == STW_OK && options != NULL && options[0] != NULL; options += 2)
    status = stw_config_set(config, options[0], options[1]);
  if (status == STW_OK)
    status = stw_conn_open(host->engine, host->mailbox, config, conn);
  stw_config_free(config);
  return status;
}

stw_conn host_open(struct host *host, uint16_t port, const char *const *options) {
  stw_conn conn = {0};
  const stw_status status = host_try_open(host, port, options, &conn);
  if (status != STW_OK)
    fail_msg("%s", stw_last_error());
  return conn;
}

static const char *detail_of(const stw_event *event) {
  switch (event->kind) {
  case STW_EVENT_STATE:
    return event->u.state.detail;
  case STW_EVENT_MESSAGE_ENDED:
    return event->u.ended.detail;
  case STW_EVENT_RETRY:
    return event->u.retry.detail;
  case STW_EVENT_STORE:
    return event->u.store.detail;
  case STW_EVENT_CLOSED:
    return event->u.closed.detail;
  default:
    return "";
  }
}

/* Of a message and of a proof only the beginning of stw_event is there. */
static void copy_event(struct host_event *to, const stw_event *from) {
  memset(to, 0, sizeof *to);
  if (from->kind == STW_EVENT_MESSAGE) {
    memcpy(&to->event, from, offsetof(stw_event, u) + sizeof from->u.message);
    const size_t size = from->u.message.size < HOST_TEXT - 1 ? from->u.message.size : HOST_TEXT - 1;
    if (size > 0)
      memcpy(to->text, from->u.message.data, size);
  } else if (from->kind == STW_EVENT_PROOF) {
    memcpy(&to->event, from, offsetof(stw_event, u) + sizeof from->u.proof);
  } else {
    to->event = *from;
    snprintf(to->text, sizeof to->text, "%s", detail_of(from));
  }
}

size_t host_drain(struct host *host) {
  const stw_event *events[64];
  size_t count = 0;
  assert_int_equal(stw_mailbox_drain(host->mailbox, events, 64, &count), STW_OK);
  if (host->count + count > host->capacity) {
    host->capacity = 2 * (host->count + count) + 64;
    host->events = reallocarray(host->events, host->capacity, sizeof *host->events);
    assert_non_null(host->events);
  }
  for (size_t i = 0; i < count; i++)
    copy_event(&host->events[host->count++], events[i]);
  return count;
}

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const struct host_event *host_wait(struct host *host, stw_conn conn, stw_event_kind kind) {
  const uint64_t end = now_ms() + HOST_GUARD_MS;
  for (;;) {
    while (host->read < host->count) {
      const struct host_event *event = &host->events[host->read++];
      if (event->event.kind == kind && (conn.id == 0 || event->event.conn.id == conn.id))
        return event;
    }
    const uint64_t now = now_ms();
    if (now >= end)
      return NULL;
    stw_mailbox_wait(host->mailbox, (int64_t)(end - now));
    host_drain(host);
  }
}

void host_wait_state(struct host *host, stw_conn conn, stw_state state) {
  const struct host_event *event;
  do {
    event = host_wait(host, conn, STW_EVENT_STATE);
    assert_non_null(event);
  } while (event->event.u.state.to != state);
}

void host_wait_proof(struct host *host, stw_conn conn, stw_proof proof, uint64_t number) {
  const struct host_event *event;
  do {
    event = host_wait(host, conn, STW_EVENT_PROOF);
    assert_non_null(event);
  } while (event->event.u.proof.proof != proof || event->event.u.proof.upto < number);
}

size_t host_count(const struct host *host, stw_event_kind kind) {
  size_t count = 0;
  for (size_t i = 0; i < host->count; i++)
    count += host->events[i].event.kind == kind;
  return count;
}

stw_status host_send(stw_conn conn, const char *text, stw_message_id *id) {
  return stw_conn_send(conn, text, strlen(text), NULL, id);
}

stw_conn_view host_look(stw_conn conn) {
  stw_conn_view view = {.struct_size = sizeof view};
  assert_int_equal(stw_conn_look(conn, &view), STW_OK);
  return view;
}

stw_status host_list(stw_conn conn, uint64_t after, stw_outbox_entry *entries, size_t max,
                     size_t *count) {
  stw_status status = STW_E_TIMEOUT;
  for (int i = 0; i < HOST_GUARD_MS / 1000 && status == STW_E_TIMEOUT; i++)
    status = stw_outbox_list(stw_outbox_of(conn), NULL, &after, entries, max, count);
  return status;
}

void host_expect(stw_status got, stw_status status, const char *word, const char *where) {
  if (got != status)
    fail_msg("%s: %s, not %s (%s)", where, stw_status_find(got)->name,
             stw_status_find(status)->name, stw_last_error());
  if (status != STW_OK && strstr(stw_last_error(), word) == NULL)
    fail_msg("%s: \"%s\" does not say \"%s\"", where, stw_last_error(), word);
}

size_t host_entries(const char *folder) {
  size_t count = 0;
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  while (readdir(dir) != NULL)
    count++;
  closedir(dir);
  return count;
}
