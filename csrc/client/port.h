/* port.h: a conn as the calling threads see it: admission, the published view, its box.
 *
 * Admission (bounds, size, guarantee, id) happens here, on the calling thread, against what the
 * engine has published; everything else on the engine thread.
 */
#ifndef STWI_CLIENT_PORT_H
#define STWI_CLIENT_PORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <steadwire/conn.h>
#include <steadwire/metrics.h>

#include "client/box.h"
#include "core/chunk.h"
#include "core/conn_config.h"

struct stwi_engine;
struct stwi_mailbox;

struct stwi_port {
  _Atomic uint32_t refs;
  stw_conn handle;
  struct stwi_engine *engine;   /* held */
  struct stwi_mailbox *mailbox; /* held */
  uint32_t slot;                /* in the engine core */

  /* admission: under `lock` */
  pthread_mutex_t lock;
  struct stwi_chunk *submit_first, *submit_last;
  uint32_t chunk_bytes;
  bool is_submitted;            /* on the engine's list */
  bool is_refusing;             /* closing, closed or failed */
  bool wants_room;
  uint64_t last_number, admitted_bytes; /* ever */
  uint64_t released_messages, released_bytes; /* ever: left the outbox, published by the engine */
  uint64_t messages_max, bytes_max, message_max;
  stw_guarantee guarantee;
  enum stwi_overflow overflow;
  uint64_t stream;
  stw_conn_view view;
  uint64_t metrics[STW_METRIC_COUNT];

  struct stwi_port *next_submitted; /* engine's list, under the engine's lock */

  /* under the mailbox's lock */
  struct stwi_box box;
  bool is_member, is_ready, box_was_full;
  struct stwi_port *next_member, *next_ready;
};

struct stwi_port *stwi_port_new(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                                const struct stwi_conn_config *config, uint64_t stream);
void stwi_port_hold(struct stwi_port *port);
void stwi_port_drop(struct stwi_port *port);

/* Admits; *taken of `count`; `first` gets the number of the first.  The sentence is set. */
stw_status stwi_port_admit(struct stwi_port *port, const stw_payload *payloads, size_t count,
                           const stw_send_options *options, size_t *taken, uint64_t *first);

/* Engine: takes what was admitted. */
struct stwi_chunk *stwi_port_collect(struct stwi_port *port);

#endif
