/* outbox_inside.h: an outbox by its handle: that of a live conn, or a file at rest.
 *
 * outbox_live.c  asks the engine thread
 * outbox_file.c  asks the store's file
 * api_outbox.c   the ABI, which chooses
 */
#ifndef STWI_CLIENT_OUTBOX_INSIDE_H
#define STWI_CLIENT_OUTBOX_INSIDE_H

#include <pthread.h>
#include <steadwire/outbox.h>

#include "client/port.h"
#include "io/store.h"

#define STWI_DETAIL_BYTES 200u /* the sentence of a store */
#define STWI_NO_ID ((stw_message_id){0, 0})

/* As the calls of outbox.h, their arguments checked; the sentences are set. */
stw_status stwi_live_list(struct stwi_port *port, const stw_outbox_filter *filter, uint64_t *cursor,
                          stw_outbox_entry *entries, size_t max, size_t *count);
stw_status stwi_live_get(struct stwi_port *port, stw_message_id id, stw_outbox_entry *entry);
stw_status stwi_live_body(struct stwi_port *port, stw_message_id id, void *data, size_t max,
                          size_t *size);
stw_status stwi_live_edit(struct stwi_port *port, stw_message_id id, stw_edit edit);
stw_status stwi_live_export(struct stwi_port *port, const stw_outbox_filter *filter,
                            const char *path, uint64_t *count);
/* Takes `chunks`. */
stw_status stwi_live_import(struct stwi_port *port, struct stwi_chunk *chunks, uint64_t *count);

/* What a handle of a file names. */
struct stwi_outbox_file {
  pthread_mutex_t lock; /* one call at a time */
  struct stwi_store_file *file;
};
struct stwi_outbox_file *stwi_outbox_file_new(struct stwi_store_file *file);
void stwi_outbox_file_free(void *file);

stw_status stwi_file_list(struct stwi_outbox_file *file, const stw_outbox_filter *filter,
                          uint64_t *cursor, stw_outbox_entry *entries, size_t max, size_t *count);
stw_status stwi_file_get(struct stwi_outbox_file *file, stw_message_id id, stw_outbox_entry *entry);
stw_status stwi_file_body(struct stwi_outbox_file *file, stw_message_id id, void *data, size_t max,
                          size_t *size);
stw_status stwi_file_edit(struct stwi_outbox_file *file, stw_message_id id, stw_edit edit);
stw_status stwi_file_export(struct stwi_outbox_file *file, const stw_outbox_filter *filter,
                            const char *path, uint64_t *count);
stw_status stwi_file_import(struct stwi_outbox_file *file, struct stwi_chunk *chunks,
                            uint64_t *count); /* takes `chunks` */
stw_status stwi_file_check(struct stwi_outbox_file *file, stw_outbox_report *report);

/* The sentence of a refusal that has no better one. */
stw_status stwi_outbox_explain(stw_status status, stw_message_id id);

#endif
