#include <stdio.h>
#include <string.h>

#include "client/error.h"
#include "client/handle.h"
#include "client/outbox_inside.h"
#include "io/envelope_export.h"

stw_status stwi_outbox_explain(stw_status status, stw_message_id id) {
  unsigned long long number = (unsigned long long)id.number;
  switch (status) {
  case STW_E_NOT_FOUND:
    return stwi_error(status, "message %llu is not in the outbox: it has ended or never was there",
                      number);
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

/* ---- handles ---- */

struct held {
  struct stwi_port *port; /* of a conn, or */
  struct stwi_outbox_file *file;
};

static stw_status hold(stw_outbox outbox, struct held *held) {
  *held = (struct held){NULL, NULL};
  if (outbox.id >> 56 == STWI_HANDLE_FILE)
    return stwi_handle_hold(outbox.id, STWI_HANDLE_FILE, (void **)&held->file);
  return stwi_handle_hold(outbox.id, STWI_HANDLE_CONN, (void **)&held->port);
}

stw_outbox stw_outbox_of(stw_conn conn) {
  return (stw_outbox){conn.id};
}

stw_status stw_outbox_open(const char *path, bool may_edit, stw_outbox *outbox) {
  if (path == NULL || path[0] == '\0' || outbox == NULL) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_open needs a path and a place for the handle");
  }
  char detail[STWI_DETAIL_BYTES] = "";
  struct stwi_store_file *opened;
  const stw_status status = stwi_store_file_open(path, may_edit, &opened, detail);
  if (status != STW_OK)
    return stwi_error(status, "%s", detail);
  struct stwi_outbox_file *file = stwi_outbox_file_new(opened);
  if (file == NULL) {
    stwi_store_file_close(opened);
    return stwi_error(STW_E_MEMORY, "no memory for an open outbox");
  }
  outbox->id = stwi_handle_new(STWI_HANDLE_FILE, file, stwi_outbox_file_free);
  if (outbox->id != 0)
    return STW_OK;
  stwi_outbox_file_free(file);
  return stwi_error(STW_E_MEMORY, "no memory for another handle");
}

stw_status stw_outbox_close(stw_outbox outbox) {
  struct held held;
  stw_status status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  if (held.file == NULL) {
    status = stwi_error(STW_E_ARGUMENT, "this outbox belongs to a conn and ends with it; use "
                                        "stw_conn_free");
  } else if (!stwi_handle_retire(outbox.id)) {
    status = stwi_error(STW_E_HANDLE, "another thread is closing this outbox");
  }
  stwi_handle_drop(outbox.id);
  return status;
}

/* ---- looking ---- */

static stw_status check_filter(const stw_outbox_filter *filter) {
  if (filter == NULL)
    return STW_OK;
  if (filter->struct_size < sizeof *filter) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_filter.struct_size is not set; set it to "
                                      "sizeof(stw_outbox_filter)");
  }
  if (filter->key_size > UINT8_MAX || (filter->key == NULL && filter->key_size > 0)) {
    return stwi_error(STW_E_ARGUMENT,
                      "a filter's key is NULL for all, or has at most 255 bytes; "
                      "this one has %zu",
                      filter->key_size);
  }
  return STW_OK;
}

stw_status stw_outbox_list(stw_outbox outbox, const stw_outbox_filter *filter, uint64_t *cursor,
                           stw_outbox_entry *entries, size_t max, size_t *count) {
  if (cursor == NULL || entries == NULL || count == NULL || max == 0 ||
      max > SIZE_MAX / sizeof *entries) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_list needs a cursor and room for at least one "
                                      "entry");
  }
  *count = 0;
  struct held held;
  stw_status status = check_filter(filter);
  if (status == STW_OK)
    status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  status = held.file == NULL ? stwi_live_list(held.port, filter, cursor, entries, max, count)
                             : stwi_file_list(held.file, filter, cursor, entries, max, count);
  stwi_handle_drop(outbox.id);
  return status;
}

stw_status stw_outbox_get(stw_outbox outbox, stw_message_id id, stw_outbox_entry *entry) {
  if (entry == NULL)
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_get needs a place for the entry");
  struct held held;
  stw_status status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  status =
      held.file == NULL ? stwi_live_get(held.port, id, entry) : stwi_file_get(held.file, id, entry);
  stwi_handle_drop(outbox.id);
  return status;
}

stw_status stw_outbox_body(stw_outbox outbox, stw_message_id id, void *data, size_t max,
                           size_t *size) {
  if (size == NULL || (data == NULL && max > 0)) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_body needs a place for the body and its size");
  }
  struct held held;
  stw_status status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  status = held.file == NULL ? stwi_live_body(held.port, id, data, max, size)
                             : stwi_file_body(held.file, id, data, max, size);
  stwi_handle_drop(outbox.id);
  return status;
}

/* ---- changing ---- */

stw_status stw_outbox_edit(stw_outbox outbox, stw_message_id id, stw_edit edit) {
  if ((unsigned)edit >= STW_EDIT_COUNT)
    return stwi_error(STW_E_ARGUMENT, "no such edit: %d; see stw_edit_at", (int)edit);
  struct held held;
  stw_status status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  status =
      held.file == NULL ? stwi_live_edit(held.port, id, edit) : stwi_file_edit(held.file, id, edit);
  stwi_handle_drop(outbox.id);
  return status;
}

stw_status stw_outbox_cancel(stw_outbox outbox, stw_message_id id) {
  return stw_outbox_edit(outbox, id, STW_EDIT_CANCEL);
}

/* ---- export, import, check ---- */

stw_status stw_outbox_export(stw_outbox outbox, const stw_outbox_filter *filter, const char *path,
                             uint64_t *count) {
  if (path == NULL || path[0] == '\0' || count == NULL) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_export needs a path and a place for the count");
  }
  *count = 0;
  struct held held;
  stw_status status = check_filter(filter);
  if (status == STW_OK)
    status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  status = held.file == NULL ? stwi_live_export(held.port, filter, path, count)
                             : stwi_file_export(held.file, filter, path, count);
  stwi_handle_drop(outbox.id);
  return status;
}

stw_status stw_outbox_import(stw_outbox outbox, const char *path, uint64_t *count) {
  if (path == NULL || path[0] == '\0' || count == NULL) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_import needs a path and a place for the count");
  }
  *count = 0;
  struct held held;
  stw_status status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  char detail[STWI_DETAIL_BYTES] = "";
  struct stwi_chunk *chunks = NULL;
  status = stwi_export_read(path, &chunks, detail);
  if (status != STW_OK) {
    status = stwi_error(status, "%s", detail);
  } else {
    status = held.file == NULL ? stwi_live_import(held.port, chunks, count)
                               : stwi_file_import(held.file, chunks, count);
  }
  stwi_handle_drop(outbox.id);
  return status;
}

stw_status stw_outbox_check(stw_outbox outbox, stw_outbox_report *report) {
  if (report == NULL || report->struct_size < sizeof *report) {
    return stwi_error(STW_E_ARGUMENT, "stw_outbox_report.struct_size is not set; set it to "
                                      "sizeof(stw_outbox_report)");
  }
  struct held held;
  stw_status status = hold(outbox, &held);
  if (status != STW_OK)
    return status;
  status = held.file == NULL
               ? stwi_error(STW_E_ARGUMENT, "only a file at rest can be checked: close the conn, "
                                            "then open its file with stw_outbox_open")
               : stwi_file_check(held.file, report);
  stwi_handle_drop(outbox.id);
  return status;
}
