#include "client/outbox_inside.h"

#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "core/chunk.h"
#include "io/envelope_export.h"

#define PAGE 256u

struct stwi_outbox_file *stwi_outbox_file_new(struct stwi_store_file *opened) {
  struct stwi_outbox_file *file = calloc(1, sizeof *file);
  if (file == NULL)
    return NULL;
  pthread_mutex_init(&file->lock, NULL);
  file->file = opened;
  return file;
}

void stwi_outbox_file_free(void *arg) {
  struct stwi_outbox_file *file = arg;
  stwi_store_file_close(file->file);
  pthread_mutex_destroy(&file->lock);
  free(file);
}

/* Unlocks; says what the file has said. */
static stw_status done(struct stwi_outbox_file *file, stw_status status, const char *detail,
                       stw_message_id id) {
  pthread_mutex_unlock(&file->lock);
  if (status == STW_OK)
    return STW_OK;
  return detail[0] == '\0' ? stwi_outbox_explain(status, id) : stwi_error(status, "%s", detail);
}

stw_status stwi_file_list(struct stwi_outbox_file *file, const stw_outbox_filter *filter,
                          uint64_t *cursor, stw_outbox_entry *entries, size_t max, size_t *count) {
  char detail[STWI_DETAIL_BYTES] = "";
  pthread_mutex_lock(&file->lock);
  return done(file, stwi_store_file_list(file->file, filter, cursor, entries, max, count, detail),
              detail, STWI_NO_ID);
}

stw_status stwi_file_get(struct stwi_outbox_file *file, stw_message_id id,
                         stw_outbox_entry *entry) {
  char detail[STWI_DETAIL_BYTES] = "";
  pthread_mutex_lock(&file->lock);
  return done(file, stwi_store_file_get(file->file, id, entry, detail), detail, id);
}

stw_status stwi_file_body(struct stwi_outbox_file *file, stw_message_id id, void *data, size_t max,
                          size_t *size) {
  char detail[STWI_DETAIL_BYTES] = "";
  uint8_t *body = NULL;
  size_t whole = 0;
  pthread_mutex_lock(&file->lock);
  const stw_status status = stwi_store_file_body(file->file, id, &body, &whole, detail);
  if (status == STW_OK) {
    const size_t copied = whole < max ? whole : max;
    if (copied > 0)
      memcpy(data, body, copied);
    *size = whole;
  }
  free(body);
  return done(file, status, detail, id);
}

stw_status stwi_file_edit(struct stwi_outbox_file *file, stw_message_id id, stw_edit edit) {
  char detail[STWI_DETAIL_BYTES] = "";
  pthread_mutex_lock(&file->lock);
  return done(file, stwi_store_file_edit(file->file, id, edit, detail), detail, id);
}

/* ---- export and import ---- */

static stw_status put_entry(struct stwi_outbox_file *file, struct stwi_export *export,
                            const stw_outbox_entry *entry, char *detail) {
  struct stwi_chunk *chunk = NULL;
  stw_status status = stwi_store_file_copy(file->file, entry, &chunk, detail);
  if (status != STW_OK)
    return status;
  status = stwi_export_put(export, stwi_chunk_first(chunk), detail);
  stwi_chunk_free(chunk);
  return status;
}

static stw_status put_all(struct stwi_outbox_file *file, struct stwi_export *export,
                          const stw_outbox_filter *filter, char *detail) {
  stw_outbox_entry *entries = malloc(PAGE * sizeof *entries);
  stw_status status = entries == NULL ? STW_E_MEMORY : STW_OK;
  uint64_t cursor = 0;
  do {
    size_t count = 0;
    if (status == STW_OK)
      status = stwi_store_file_list(file->file, filter, &cursor, entries, PAGE, &count, detail);
    for (size_t i = 0; i < count && status == STW_OK; i++)
      status = put_entry(file, export, &entries[i], detail);
  } while (status == STW_OK && cursor != 0);
  free(entries);
  return status;
}

stw_status stwi_file_export(struct stwi_outbox_file *file, const stw_outbox_filter *filter,
                            const char *path, uint64_t *count) {
  char detail[STWI_DETAIL_BYTES] = "";
  struct stwi_export *export;
  pthread_mutex_lock(&file->lock);
  stw_status status = stwi_export_begin(path, &export, detail);
  if (status == STW_OK) {
    status = put_all(file, export, filter, detail);
    status = stwi_export_end(export, status, count, detail);
  }
  return done(file, status, detail, STWI_NO_ID);
}

stw_status stwi_file_import(struct stwi_outbox_file *file, struct stwi_chunk *chunks,
                            uint64_t *count) {
  char detail[STWI_DETAIL_BYTES] = "";
  pthread_mutex_lock(&file->lock);
  stw_status status = STW_OK;
  if (chunks != NULL)
    status = stwi_store_file_add(file->file, chunks, count, detail);
  stwi_chunk_free_list(chunks);
  return done(file, status, detail, STWI_NO_ID);
}

stw_status stwi_file_check(struct stwi_outbox_file *file, stw_outbox_report *report) {
  char detail[STWI_DETAIL_BYTES] = "";
  pthread_mutex_lock(&file->lock);
  return done(file, stwi_store_file_check(file->file, report, detail), detail, STWI_NO_ID);
}
