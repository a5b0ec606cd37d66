#include "client/outbox_inside.h"

#include <stdlib.h>
#include <string.h>

#include "client/engine.h"
#include "client/error.h"
#include "io/envelope_export.h"

#define IDS_MAX 1024u

/* Asks the engine thread; after E_TIMEOUT the query belongs to it. */
static stw_status ask(struct stwi_port *port, struct stwi_query *query) {
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_QUERY, port, 0);
  if (command == NULL)
    return STW_E_MEMORY;
  command->query = query;
  atomic_fetch_add(&query->refs, 1);
  command->input.kind = STWI_IN_EDIT;
  command->input.u.edit.id = query->id;
  command->input.u.edit.edit = query->edit;
  query->is_answered = false;
  if (!stwi_engine_command(port->engine, command))
    return STW_E_CLOSED;
  return stwi_query_wait(query);
}

static struct stwi_query *query_for(enum stwi_query_kind kind, const stw_outbox_filter *filter) {
  struct stwi_query *query = stwi_query_new(kind);
  if (query == NULL || filter == NULL)
    return query;
  query->filter = *filter;
  if (filter->key != NULL) {
    if (filter->key_size > 0)
      memcpy(query->key, filter->key, filter->key_size);
    query->filter.key = query->key;
  }
  return query;
}

/* ---- looking ---- */

static stw_status explain_list(stw_status status, uint64_t cursor) {
  if (status != STW_E_ARGUMENT)
    return stwi_outbox_explain(status, STWI_NO_ID);
  return stwi_error(status, "cursor %llu came from no call: begin with 0",
                    (unsigned long long)cursor);
}

stw_status stwi_live_list(struct stwi_port *port, const stw_outbox_filter *filter, uint64_t *cursor,
                          stw_outbox_entry *entries, size_t max, size_t *count) {
  stw_status status;
  struct stwi_query *query = query_for(STWI_QUERY_LIST, filter);
  if (query != NULL)
    query->entries = calloc(max, sizeof *entries);
  if (query == NULL || query->entries == NULL) {
    status = stwi_error(STW_E_MEMORY, "no memory for %zu entries", max);
  } else {
    query->cursor = *cursor;
    query->max = max;
    do {
      status = explain_list(ask(port, query), *cursor);
    } while (status == STW_OK && query->count < max && query->cursor != 0);
  }
  if (status == STW_OK) {
    *count = query->count;
    *cursor = query->cursor;
    memcpy(entries, query->entries, query->count * sizeof *entries);
  }
  if (query != NULL)
    stwi_query_drop(query);
  return status;
}

static stw_status no_memory(void) {
  return stwi_outbox_explain(STW_E_MEMORY, STWI_NO_ID);
}

stw_status stwi_live_get(struct stwi_port *port, stw_message_id id, stw_outbox_entry *entry) {
  struct stwi_query *query = stwi_query_new(STWI_QUERY_GET);
  if (query == NULL)
    return no_memory();
  query->id = id;
  query->entries = calloc(1, sizeof *entry);
  stw_status status =
      stwi_outbox_explain(query->entries == NULL ? STW_E_MEMORY : ask(port, query), id);
  if (status == STW_OK)
    *entry = *query->entries;
  stwi_query_drop(query);
  return status;
}

stw_status stwi_live_body(struct stwi_port *port, stw_message_id id, void *data, size_t max,
                          size_t *size) {
  struct stwi_query *query = stwi_query_new(STWI_QUERY_BODY);
  if (query == NULL)
    return no_memory();
  query->id = id;
  query->max = max;
  stw_status status = stwi_outbox_explain(ask(port, query), id);
  if (status == STW_OK) {
    *size = query->count;
    size_t copied = query->count < max ? query->count : max;
    if (copied > 0)
      memcpy(data, query->body, copied);
  }
  stwi_query_drop(query);
  return status;
}

/* ---- changing ---- */

static stw_status refuse_state(stw_message_id id, stw_edit edit, stw_message_state state,
                               stw_lane lane) {
  unsigned long long number = (unsigned long long)id.number;
  const bool is_parked =
      state == STW_MESSAGE_HELD || state == STW_MESSAGE_DEAD || state == STW_MESSAGE_UNKNOWN;
  if (!is_parked && edit != STW_EDIT_RELEASE && edit != STW_EDIT_REQUEUE) {
    const stw_lane wanted = edit == STW_EDIT_PRIORITISE ? STW_LANE_CONTROL : STW_LANE_DATA;
    if ((edit == STW_EDIT_PRIORITISE || edit == STW_EDIT_DEMOTE) && lane == wanted &&
        state == STW_MESSAGE_QUEUED)
      return stwi_error(STW_E_STATE,
                        "message %llu is in the %s lane already, or was written: it "
                        "stays where it is",
                        number, stw_lane_at((size_t)lane)->name);
    return stwi_error(STW_E_STATE,
                      "message %llu was written already and cannot be unsent, nor "
                      "overtaken",
                      number);
  }
  return stwi_error(STW_E_STATE,
                    "message %llu is %s: %s does not fit; list the outbox for its "
                    "state",
                    number, stw_message_state_at((size_t)state)->name,
                    stw_edit_at((size_t)edit)->name);
}

static stw_status ask_edit(struct stwi_port *port, struct stwi_query *query) {
  const stw_status status = ask(port, query);
  if (status == STW_E_STATE)
    return refuse_state(query->id, query->edit, query->state, query->lane);
  return stwi_outbox_explain(status, query->id);
}

static bool is_move(stw_edit edit) {
  return edit != STW_EDIT_CANCEL && edit != STW_EDIT_HOLD;
}

static stw_lane target(const struct stwi_query *query) {
  if (query->edit == STW_EDIT_PRIORITISE)
    return STW_LANE_CONTROL;
  return query->edit == STW_EDIT_DEMOTE ? STW_LANE_DATA : query->lane;
}

/* A released or requeued message counts again: not past the bounds.  Held ones count all along. */
static stw_status check_room(struct stwi_port *port, const struct stwi_query *query) {
  if (query->state != STW_MESSAGE_DEAD && query->state != STW_MESSAGE_UNKNOWN)
    return STW_OK;
  pthread_mutex_lock(&port->lock);
  const uint64_t messages = port->admitted_messages - port->released_messages;
  const uint64_t bytes = port->admitted_bytes - port->released_bytes;
  const bool is_full = messages >= port->messages_max || bytes >= port->bytes_max;
  pthread_mutex_unlock(&port->lock);
  if (!is_full)
    return STW_OK;
  return stwi_error(STW_E_FULL,
                    "the outbox holds %llu messages, %llu bytes: message %llu stays parked; wait "
                    "for the event outbox_room",
                    (unsigned long long)messages, (unsigned long long)bytes,
                    (unsigned long long)query->id.number);
}

/* The place is given on this thread, as to any message; the engine then says whether it was taken.
 */
static stw_status move(struct stwi_port *port, struct stwi_query *query) {
  stw_status status = check_room(port, query);
  if (status != STW_OK)
    return status;
  const stw_lane lane = target(query);
  pthread_mutex_lock(&port->lock);
  const uint64_t after = port->last_number[lane];
  pthread_mutex_unlock(&port->lock);
  status = stwi_port_admit_move(port, query->id, lane);
  if (status != STW_OK)
    return status;
  query->kind = STWI_QUERY_MOVED;
  query->lane = lane;
  query->after = after;
  status = ask(port, query);
  if (status == STW_E_STATE)
    return stwi_error(status, "message %llu was written meanwhile and cannot be overtaken",
                      (unsigned long long)query->id.number);
  return stwi_outbox_explain(status, query->id);
}

stw_status stwi_live_edit(struct stwi_port *port, stw_message_id id, stw_edit edit) {
  struct stwi_query *query = stwi_query_new(is_move(edit) ? STWI_QUERY_JUDGE : STWI_QUERY_EDIT);
  if (query == NULL)
    return no_memory();
  query->id = id;
  query->edit = edit;
  stw_status status = ask_edit(port, query);
  if (status == STW_OK && is_move(edit))
    status = move(port, query);
  stwi_query_drop(query);
  return status;
}

/* ---- export and import ---- */

static stw_status put_page(struct stwi_query *query, struct stwi_export *export, char *detail) {
  stw_status status = STW_OK;
  for (struct stwi_msg *msg = stwi_chunks_first(query->chunks); msg != NULL && status == STW_OK;
       msg = stwi_chunks_after(msg))
    status = stwi_export_put(export, msg, detail);
  stwi_chunk_free_list(query->chunks);
  query->chunks = NULL;
  return status;
}

static stw_status put_all(struct stwi_port *port, struct stwi_query *query,
                          struct stwi_export *export, char *detail) {
  stw_status status;
  do {
    status = ask(port, query);
    if (status == STW_OK)
      status = put_page(query, export, detail);
  } while (status == STW_OK && query->cursor != 0);
  return status;
}

stw_status stwi_live_export(struct stwi_port *port, const stw_outbox_filter *filter,
                            const char *path, uint64_t *count) {
  char detail[STWI_DETAIL_BYTES] = "";
  struct stwi_export *export;
  struct stwi_query *query = query_for(STWI_QUERY_COPY, filter);
  if (query == NULL)
    return no_memory();
  stw_status status = stwi_export_begin(path, &export, detail);
  if (status == STW_OK) {
    status = put_all(port, query, export, detail);
    status = stwi_export_end(export, status, count, detail);
  }
  stwi_query_drop(query);
  if (status != STW_OK && detail[0] != '\0')
    return stwi_error(status, "%s", detail);
  return stwi_outbox_explain(status, STWI_NO_ID);
}

/* The next up to IDS_MAX ids from *msg on, which moves on. */
static size_t take_ids(struct stwi_msg **msg, stw_message_id *ids) {
  size_t count = 0;
  for (; *msg != NULL && count < IDS_MAX; *msg = stwi_chunks_after(*msg))
    ids[count++] = (*msg)->id;
  return count;
}

/* Marks what is there already: its id gets number 0.  *known says how many. */
static stw_status mark_known(struct stwi_port *port, struct stwi_chunk *chunks, size_t *known) {
  struct stwi_query *query = stwi_query_new(STWI_QUERY_KNOW);
  if (query != NULL)
    query->ids = calloc(IDS_MAX, sizeof *query->ids);
  stw_status status = query == NULL || query->ids == NULL ? STW_E_MEMORY : STW_OK;
  struct stwi_msg *asked = stwi_chunks_first(chunks), *mark = asked;
  *known = 0;
  while (status == STW_OK && (query->count = take_ids(&asked, query->ids)) > 0) {
    status = ask(port, query);
    for (size_t i = 0; i < query->count && status == STW_OK; i++) {
      mark->id = query->ids[i];
      *known += mark->id.number == 0;
      mark = stwi_chunks_after(mark);
    }
  }
  if (query != NULL)
    stwi_query_drop(query);
  return status;
}

/* Leaves out what is marked: each chunk of the list in turn, in place of the old one. */
static bool leave_known_out(struct stwi_chunk **place) {
  while (*place != NULL) {
    struct stwi_chunk *old = *place;
    struct stwi_chunk *made = stwi_chunk_new(old->used);
    if (made == NULL)
      return false;
    for (struct stwi_msg *msg = stwi_chunk_first(old); msg != NULL; msg = stwi_chunk_after(msg))
      if (msg->id.number != 0)
        stwi_chunk_copy(made, msg);
    made->next = old->next;
    stwi_chunk_free(old);
    *place = made;
    if (made->count == 0) {
      *place = made->next;
      stwi_chunk_free(made);
    } else {
      place = &made->next;
    }
  }
  return true;
}

stw_status stwi_live_import(struct stwi_port *port, struct stwi_chunk *chunks, uint64_t *count) {
  size_t known = 0;
  *count = 0;
  if (chunks == NULL)
    return STW_OK;
  stw_status status = mark_known(port, chunks, &known);
  if (status == STW_OK && known > 0 && !leave_known_out(&chunks))
    status = STW_E_MEMORY;
  if (status != STW_OK) {
    stwi_chunk_free_list(chunks);
    return stwi_outbox_explain(status, STWI_NO_ID);
  }
  return chunks == NULL ? STW_OK : stwi_port_admit_copies(port, chunks, count);
}
