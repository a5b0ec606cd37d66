#include <stdlib.h>
#include <string.h>

#include "client/engine.h"
#include "client/error.h"
#include "client/handle.h"
#include <steadwire/outbox.h>

/* Asks the engine thread; *query is held by the caller where the answer is OK. */
static stw_status ask(struct stwi_port *port, struct stwi_query *query) {
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_QUERY, port, 0);
  if (command == NULL)
    return STW_E_MEMORY;
  command->query = query;
  atomic_fetch_add(&query->refs, 1);
  command->input.kind = STWI_IN_CANCEL;
  command->input.u.cancel.number = query->number;
  if (!stwi_engine_command(port->engine, command))
    return STW_E_CLOSED;
  return stwi_query_wait(query);
}

static stw_status explain(stw_status status, stw_message_id id) {
  unsigned long long number = (unsigned long long)id.number;
  switch (status) {
  case STW_E_NOT_FOUND:
    return stwi_error(status, "message %llu is not in the outbox: it has ended or never was there",
                      number);
  case STW_E_STATE:
    return stwi_error(status, "message %llu was written already and cannot be unsent", number);
  case STW_E_TIMEOUT:
    return stwi_error(status, "the engine thread did not answer within 1 s; call again");
  case STW_E_CLOSED:
    return stwi_error(status, "the engine of this conn was stopped, or had no memory for it: its "
                              "outbox is gone");
  case STW_E_MEMORY:
    return stwi_error(status, "no memory for a look into the outbox");
  default:
    return status;
  }
}

stw_outbox stw_outbox_of(stw_conn conn) {
  return (stw_outbox){conn.id};
}

stw_status stw_outbox_list(stw_outbox outbox, const stw_outbox_filter *filter, uint64_t *cursor,
                           stw_outbox_entry *entries, size_t max, size_t *count) {
  const stw_conn conn = {outbox.id};
  (void)filter;
  if (cursor == NULL || entries == NULL || count == NULL || max == 0 ||
      max > SIZE_MAX / sizeof *entries) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_list needs room for at least one entry");
  }
  *count = 0;
  struct stwi_port *port;
  stw_status status = stwi_handle_hold(conn.id, STWI_HANDLE_CONN, (void **)&port);
  if (status != STW_OK)
    return status;
  struct stwi_query *query = stwi_query_new();
  if (query != NULL)
    query->entries = calloc(max, sizeof *entries);
  if (query == NULL || query->entries == NULL) {
    status = stwi_error(STW_E_MEMORY, "no memory for %zu entries", max);
  } else {
    query->kind = STWI_QUERY_LIST;
    query->number = *cursor;
    query->max = max;
    status = explain(ask(port, query), (stw_message_id){0, *cursor});
  }
  if (status == STW_OK) {
    *count = query->count;
    memcpy(entries, query->entries, query->count * sizeof *entries);
    for (size_t i = 0; i < *count; i++)
      entries[i].id.stream = port->stream;
    if (*count > 0)
      *cursor = entries[*count - 1].id.number;
  }
  if (query != NULL)
    stwi_query_drop(query);
  stwi_handle_drop(conn.id);
  return status;
}

static stw_status check_id(const struct stwi_port *port, stw_message_id id) {
  return id.stream == port->stream ? STW_OK : explain(STW_E_NOT_FOUND, id);
}

static stw_status ask_one(stw_conn conn, stw_message_id id, struct stwi_query *query) {
  struct stwi_port *port;
  stw_status status = stwi_handle_hold(conn.id, STWI_HANDLE_CONN, (void **)&port);
  if (status != STW_OK)
    return status;
  status = check_id(port, id);
  query->number = id.number;
  if (status == STW_OK)
    status = explain(ask(port, query), id);
  stwi_handle_drop(conn.id);
  return status;
}

stw_status stw_outbox_body(stw_outbox outbox, stw_message_id id, void *data, size_t max,
                           size_t *size) {
  if (size == NULL || (data == NULL && max > 0)) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_body needs a place for the body and its size");
  }
  struct stwi_query *query = stwi_query_new();
  if (query == NULL)
    return stwi_error(STW_E_MEMORY, "no memory for a query");
  query->kind = STWI_QUERY_BODY;
  query->max = max;
  stw_status status = ask_one((stw_conn){outbox.id}, id, query);
  if (status == STW_OK) {
    *size = query->count;
    size_t copied = query->count < max ? query->count : max;
    if (copied > 0)
      memcpy(data, query->body, copied);
  }
  stwi_query_drop(query);
  return status;
}

stw_status stw_outbox_cancel(stw_outbox outbox, stw_message_id id) {
  struct stwi_query *query = stwi_query_new();
  if (query == NULL)
    return stwi_error(STW_E_MEMORY, "no memory for a query");
  query->kind = STWI_QUERY_CANCEL;
  stw_status status = ask_one((stw_conn){outbox.id}, id, query);
  stwi_query_drop(query);
  return status;
}
