#include <stdlib.h>
#include <string.h>

#include "client/config.h"
#include "client/engine.h"
#include "client/error.h"
#include "client/handle.h"
#include "client/mailbox.h"
#include "client/port_inside.h"
#include "client/port_store.h"
#include "core/check.h"
#include "io/clock.h"
#include <steadwire/steadwire.h>

static stw_status hold_conn(stw_conn handle, struct stwi_port **port) {
  return stwi_handle_hold(handle.id, STWI_HANDLE_CONN, (void **)port);
}

static stw_status no_memory(void) {
  return stwi_error(STW_E_MEMORY, "no memory for a command");
}

static stw_status refused(void) {
  return stwi_error(STW_E_CLOSED, "the engine was stopped; make a new one and open the conn there");
}

/* ---- open and free ---- */

/* No call is under way any more: all that was asked of the conn is queued before its end. */
static void free_port(void *arg) {
  struct stwi_port *port = arg;
  stwi_mailbox_leave(port->mailbox, port);
  stwi_port_tell_forget(port);
  stwi_port_drop(port);
}

static stw_status no_memory_for_conn(void) {
  return stwi_error(STW_E_MEMORY, "no memory for another conn; free some, then open it again");
}

static stw_status start(struct stwi_port *port, struct stwi_conn_config *config) {
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_OPEN, port, 0);
  if (command == NULL) {
    stwi_conn_config_free(config);
    return no_memory();
  }
  command->input.kind = STWI_IN_OPEN;
  command->input.u.open.config = config;
  command->input.u.open.stream = port->stream;
  command->input.u.open.seed = stwi_clock_random();
  command->input.u.open.handle = port->handle;
  if (!stwi_mailbox_join(port->mailbox, port)) {
    stwi_command_free(command);
    stwi_conn_config_free(config);
    return stwi_error(STW_E_HANDLE, "the mailbox was freed meanwhile; make a new one");
  }
  if (stwi_engine_command(port->engine, command))
    return STW_OK;
  stwi_conn_config_free(config);
  return refused();
}

/* A port with its slot and its file; nothing is left of it after a refusal. */
static stw_status make_port(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                            const struct stwi_conn_config *config, struct stwi_port **out) {
  struct stwi_port *port = stwi_port_new(engine, mailbox, config, stwi_clock_random());
  bool has_slot = port != NULL && stwi_engine_slot(engine, &port->slot);
  stw_status status =
      has_slot ? stwi_port_store_open(port, config, engine->open_store) : no_memory_for_conn();
  if (status == STW_OK) {
    port->handle.id = stwi_handle_new(STWI_HANDLE_CONN, port, free_port);
    if (port->handle.id == 0)
      status = no_memory_for_conn();
  }
  if (status == STW_OK) {
    *out = port;
    return STW_OK;
  }
  if (has_slot) {
    stwi_port_store_leave(port);
    stwi_port_store_close(port, STWI_CLOSE_PATIENCE_MS);
    stwi_port_tell_forget(port);
  }
  if (port != NULL)
    stwi_port_drop(port);
  return status;
}

static stw_status open_port(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                            const stw_config *config, stw_conn *conn) {
  struct stwi_conn_config *built;
  struct stwi_port *port = NULL;
  stw_status status = stwi_config_build(config, &built);
  if (status != STW_OK)
    return status;
  status = make_port(engine, mailbox, built, &port);
  if (status != STW_OK) {
    stwi_conn_config_free(built);
    return status;
  }
  const uint64_t id = port->handle.id;
  port->view.state = STW_STATE_CONNECTING;
  /* Held: whoever frees the mailbox meanwhile frees the conn after it has come to the engine. */
  void *held;
  stwi_handle_hold(id, STWI_HANDLE_CONN, &held);
  status = start(port, built);
  if (status == STW_OK) {
    conn->id = id;
  } else {
    stwi_port_store_leave(port);
    stwi_port_store_close(port, STWI_CLOSE_PATIENCE_MS);
    stwi_handle_retire(id);
  }
  stwi_handle_drop(id);
  return status;
}

stw_status stw_conn_open(stw_engine engine_handle, stw_mailbox mailbox_handle,
                         const stw_config *config, stw_conn *conn) {
  if (config == NULL || conn == NULL) {
    return stwi_error(STW_E_ARGUMENT, "stw_conn_open needs a config and a place for the handle");
  }
  struct stwi_engine *engine;
  struct stwi_mailbox *mailbox;
  stw_status status = stwi_handle_hold(engine_handle.id, STWI_HANDLE_ENGINE, (void **)&engine);
  if (status != STW_OK)
    return status;
  status = stwi_handle_hold(mailbox_handle.id, STWI_HANDLE_MAILBOX, (void **)&mailbox);
  if (status == STW_OK) {
    status = open_port(engine, mailbox, config, conn);
    stwi_handle_drop(mailbox_handle.id);
  }
  stwi_handle_drop(engine_handle.id);
  return status;
}

stw_status stw_conn_free(stw_conn conn) {
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  if (!stwi_handle_retire(conn.id)) {
    stwi_handle_drop(conn.id);
    return stwi_error(STW_E_HANDLE, "another thread is freeing this conn");
  }
  pthread_mutex_lock(&port->lock);
  port->is_refusing = true;
  pthread_mutex_unlock(&port->lock);
  stwi_mailbox_leave(port->mailbox, port);
  stwi_port_hold(port);
  stwi_handle_drop(conn.id);
  stwi_port_store_close(port, STWI_CLOSE_PATIENCE_MS);
  stwi_port_drop(port);
  return STW_OK;
}

/* ---- commands ---- */

static stw_status give(struct stwi_port *port, struct stwi_command *command) {
  return stwi_engine_command(port->engine, command) ? STW_OK : refused();
}

/* Under the port's lock: may it be asked now?  Notes what was asked. */
typedef stw_status (*note)(struct stwi_port *port);

/* The command comes first: a refusal for want of memory must change nothing. */
static stw_status ask(stw_conn conn, enum stwi_input_kind kind, stwi_time deadline, note note_it) {
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_INPUT, port, 0);
  if (command == NULL) {
    stwi_handle_drop(conn.id);
    return no_memory();
  }
  command->input.kind = kind;
  if (kind == STWI_IN_CLOSE)
    command->input.u.close.deadline = deadline;
  pthread_mutex_lock(&port->lock);
  status = note_it(port);
  pthread_mutex_unlock(&port->lock);
  if (status == STW_OK) {
    status = give(port, command);
  } else {
    stwi_command_free(command);
  }
  stwi_handle_drop(conn.id);
  return status;
}

static bool is_final(const struct stwi_port *port) {
  return port->view.state == STW_STATE_CLOSED || port->view.state == STW_STATE_FAILED;
}

static stw_status note_close(struct stwi_port *port) {
  if (is_final(port)) {
    return stwi_error(STW_E_CLOSED, "the conn is closed or failed already; free it or reopen it");
  }
  port->is_close_asked = port->is_refusing = true;
  return STW_OK;
}

stw_status stw_conn_close(stw_conn conn, uint64_t timeout_ms) {
  uint64_t most = STWI_NEVER / STWI_MS / 2;
  uint64_t wait = timeout_ms < most ? timeout_ms : most;
  return ask(conn, STWI_IN_CLOSE, stwi_clock_monotonic() + wait * STWI_MS, note_close);
}

static stw_status note_reopen(struct stwi_port *port) {
  if (port->is_stillborn) {
    return stwi_error(STW_E_STATE, "there was no memory for this conn; free it and open a new one");
  }
  if (!is_final(port)) {
    return stwi_error(STW_E_STATE, "the conn is open; only a closed or failed one can be reopened");
  }
  port->view.state = STW_STATE_CONNECTING;
  port->view.is_closing = false;
  port->is_reopening = true;
  port->is_close_asked = port->is_refusing = false;
  return STW_OK;
}

stw_status stw_conn_reopen(stw_conn conn) {
  return ask(conn, STWI_IN_REOPEN, 0, note_reopen);
}

static stw_status note_kick(struct stwi_port *port) {
  (void)port;
  return STW_OK;
}

static stw_status note_ready(struct stwi_port *port) {
  if (!port->is_refusing)
    return STW_OK;
  return stwi_error(STW_E_CLOSED, "the conn is closing, closed or failed; open a new one");
}

stw_status stw_conn_kick(stw_conn conn) {
  return ask(conn, STWI_IN_KICK, 0, note_kick);
}
stw_status stw_conn_ready(stw_conn conn) {
  return ask(conn, STWI_IN_HOST_READY, 0, note_ready);
}

stw_status stw_conn_send_many(stw_conn conn, const stw_payload *payloads, size_t count,
                              const stw_send_options *options, size_t *taken,
                              stw_message_id *first) {
  size_t none;
  if (taken == NULL)
    taken = &none;
  *taken = 0;
  if (payloads == NULL || count == 0) {
    return stwi_error(STW_E_ARGUMENT, "stw_conn_send_many needs at least one payload");
  }
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  stw_message_id id = {0, 0};
  status = stwi_port_admit(port, payloads, count, options, taken, &id);
  if (first != NULL)
    *first = id;
  stwi_handle_drop(conn.id);
  return status;
}

stw_status stw_conn_send(stw_conn conn, const void *data, size_t size,
                         const stw_send_options *options, stw_message_id *id) {
  stw_payload payload = {data, size};
  return stw_conn_send_many(conn, &payload, 1, options, NULL, id);
}

/* Under the port's lock. */
static stw_status check_processed(const struct stwi_port *port, stw_lane lane, uint64_t number) {
  if (port->is_refusing && is_final(port)) {
    return stwi_error(STW_E_CLOSED, "the conn is closed or failed: nobody is left to tell; commit "
                                    "the number and pass it back with inbound_from");
  }
  const uint64_t arrived = atomic_load(&port->arrived[lane]);
  if (number <= arrived)
    return STW_OK;
  return stwi_error(STW_E_ARGUMENT,
                    "message %llu of the %s lane has not arrived, the last one was %llu; pass the "
                    "number of a message that came",
                    (unsigned long long)number, stw_lane_at((size_t)lane)->name,
                    (unsigned long long)arrived);
}

stw_status stw_conn_processed(stw_conn conn, stw_lane lane, uint64_t number) {
  if ((unsigned)lane >= STW_LANE_COUNT) {
    return stwi_error(STW_E_ARGUMENT, "no such lane: %d; use the lane of the message's event",
                      (int)lane);
  }
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  pthread_mutex_lock(&port->lock);
  status = check_processed(port, lane, number);
  if (status == STW_OK && port->processed[lane] < number) {
    port->processed[lane] = number;
    port->has_processed = true;
    stwi_port_unlock_and_tell(port);
  } else {
    pthread_mutex_unlock(&port->lock);
  }
  stwi_handle_drop(conn.id);
  return status;
}

static stw_status check_open(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  bool is_refusing = port->is_refusing;
  pthread_mutex_unlock(&port->lock);
  if (!is_refusing)
    return STW_OK;
  return stwi_error(STW_E_CLOSED, "the conn is closing, closed or failed; open a new one");
}

static stw_status set_opening(struct stwi_port *port, const char *key, const void *data,
                              size_t size, bool is_text) {
  size_t key_bytes = strlen(key) + 1;
  if (data != NULL && size > port->message_max) {
    return stwi_error(STW_E_TOO_BIG,
                      "an opening message of %zu bytes is over %s (%llu); split it or "
                      "raise %s",
                      size, port->message_limit, (unsigned long long)port->message_max,
                      port->message_limit);
  }
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_INPUT, port, key_bytes + size);
  if (command == NULL)
    return no_memory();
  memcpy(command->text, key, key_bytes);
  if (data != NULL && size > 0)
    memcpy(command->text + key_bytes, data, size);
  command->input.kind = STWI_IN_OPENING;
  command->input.u.opening.key = (const char *)command->text;
  command->input.u.opening.data = data == NULL ? NULL : command->text + key_bytes;
  command->input.u.opening.size = size;
  command->input.u.opening.is_text = is_text;
  return give(port, command);
}

stw_status stw_conn_opening(stw_conn conn, const char *key, const void *data, size_t size,
                            bool is_text) {
  if (key == NULL || key[0] == '\0' || strlen(key) > 255) {
    return stwi_error(STW_E_ARGUMENT, "the key of an opening message has 1 to 255 bytes");
  }
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  status = check_open(port);
  if (status == STW_OK)
    status = set_opening(port, key, data, size, is_text);
  stwi_handle_drop(conn.id);
  return status;
}

/* ---- credentials ---- */

#define SUPPLY_HEADERS_MAX 64u

static size_t header_count(const char *const *headers) {
  size_t count = 0;
  while (headers != NULL && headers[count] != NULL)
    count++;
  return count;
}

static const char *check_name(const char *text) {
  return stwi_check_header_name(text, strlen(text));
}
static const char *check_value(const char *text) {
  return stwi_check_header_value(text, strlen(text));
}

static stw_status check_supply(const stw_credentials *given) {
  const char *why = NULL;
  size_t count = header_count(given->headers);
  if (count % 2 != 0 || count > 2 * SUPPLY_HEADERS_MAX) {
    return stwi_error(STW_E_ARGUMENT, "headers are name, value, name, value, ..., NULL; at most %u",
                      SUPPLY_HEADERS_MAX);
  }
  for (size_t i = 0; i < count && why == NULL; i += 2) {
    why = check_name(given->headers[i]);
    if (why == NULL)
      why = check_value(given->headers[i + 1]);
  }
  if (why == NULL && given->token != NULL)
    why = check_value(given->token);
  if (why == NULL && given->url != NULL) {
    struct stwi_url url;
    if (stwi_url_parse(given->url, &url, &why) == STW_OK)
      stwi_url_fini(&url);
  }
  return why == NULL ? STW_OK : stwi_error(STW_E_URL, "credentials refused: %s", why);
}

static size_t text_size(const char *text) {
  return text == NULL ? 0 : strlen(text) + 1;
}

static const char *copy_text(uint8_t **at, const char *text) {
  if (text == NULL)
    return NULL;
  size_t size = strlen(text) + 1;
  char *copy = memcpy(*at, text, size);
  *at += size;
  return copy;
}

static struct stwi_command *supply_command(struct stwi_port *port, const stw_credentials *given) {
  size_t count = header_count(given->headers);
  size_t size = (count + 1) * sizeof(char *) + text_size(given->url) + text_size(given->token);
  for (size_t i = 0; i < count; i++)
    size += text_size(given->headers[i]);
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_INPUT, port, size + sizeof(char *));
  if (command == NULL)
    return NULL;
  uintptr_t start = ((uintptr_t)command->text + sizeof(char *) - 1) & ~(sizeof(char *) - 1);
  const char **headers = (const char **)start;
  uint8_t *at = (uint8_t *)(headers + count + 1);
  for (size_t i = 0; i < count; i++)
    headers[i] = copy_text(&at, given->headers[i]);
  headers[count] = NULL;
  command->input.kind = STWI_IN_SUPPLY;
  command->input.u.supply.url = copy_text(&at, given->url);
  command->input.u.supply.token = copy_text(&at, given->token);
  command->input.u.supply.headers = given->headers == NULL ? NULL : headers;
  command->input.u.supply.valid_ms = given->valid_ms;
  return command;
}

stw_status stw_conn_supply(stw_conn conn, const stw_credentials *given) {
  if (given == NULL || given->struct_size < sizeof *given) {
    return stwi_error(STW_E_ARGUMENT, "stw_credentials.struct_size is not set; set it to "
                                      "sizeof(stw_credentials)");
  }
  stw_status status = check_supply(given);
  if (status != STW_OK)
    return status;
  struct stwi_port *port;
  status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  status = check_open(port);
  if (status == STW_OK) {
    struct stwi_command *command = supply_command(port, given);
    status = command == NULL ? no_memory() : give(port, command);
  }
  stwi_handle_drop(conn.id);
  return status;
}

/* ---- looking ---- */

stw_status stw_conn_look(stw_conn conn, stw_conn_view *view) {
  if (view == NULL || view->struct_size == 0 || view->struct_size > sizeof *view) {
    return stwi_error(STW_E_ARGUMENT, "stw_conn_view.struct_size is not set; set it to "
                                      "sizeof(stw_conn_view)");
  }
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  stw_conn_view now;
  pthread_mutex_lock(&port->lock);
  now = port->view;
  now.outbox_messages = port->admitted_messages - port->released_messages;
  now.outbox_bytes = port->admitted_bytes - port->released_bytes;
  now.stream = (stw_message_id){port->stream, port->last_number[STW_LANE_DATA]};
  now.control = (stw_message_id){port->stream | 1, port->last_number[STW_LANE_CONTROL]};
  now.has_store = port->store.ops != NULL && !stwi_port_store_is_ill(port);
  now.is_closing = port->is_refusing && !is_final(port);
  pthread_mutex_unlock(&port->lock);
  now.struct_size = view->struct_size;
  memcpy(view, &now, view->struct_size);
  stwi_handle_drop(conn.id);
  return STW_OK;
}

stw_status stw_conn_stats(stw_conn conn, uint64_t *values, size_t count) {
  if (values == NULL || count == 0) {
    return stwi_error(STW_E_ARGUMENT, "stw_conn_stats needs room for at least one value");
  }
  struct stwi_port *port;
  stw_status status = hold_conn(conn, &port);
  if (status != STW_OK)
    return status;
  if (count > STW_METRIC_COUNT) {
    memset(values + STW_METRIC_COUNT, 0, (count - STW_METRIC_COUNT) * sizeof *values);
    count = STW_METRIC_COUNT;
  }
  pthread_mutex_lock(&port->lock);
  memcpy(values, port->metrics, count * sizeof *values);
  pthread_mutex_unlock(&port->lock);
  stwi_handle_drop(conn.id);
  return STW_OK;
}
