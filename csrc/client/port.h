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
#include "io/store.h"

struct stwi_engine;
struct stwi_mailbox;

/* What is known of the outbox's file; a conn without one has none once it has begun. */
struct stwi_port_file {
  stw_store_health health; /* with its sentence */
  char detail[200];
  struct stwi_restored restored; /* until the conn begins; its chunks are owned */
  stw_store_health found;        /* what opening the file has shown, with its sentence */
  uint64_t found_messages;
  char found_detail[200];
};

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
  _Atomic uint32_t engine_waits; /* the engine's thread wants the lock: see stwi_port_lock */
  bool is_submitted;             /* on the engine's list */
  bool is_refusing;              /* closing, closed or failed */
  bool is_close_asked;           /* stw_conn_close was called; the engine may not know it yet */
  bool is_reopening;             /* stw_conn_reopen was called; the engine does not know it yet */
  bool is_stillborn;             /* the engine had no memory for it */
  bool has_box_room;             /* the mailbox has room again; the engine does not know it yet */
  bool is_forgotten;             /* the handle is gone: the core's slot is to be given back */
  bool has_store_news;           /* the store's writer has something to collect */
  bool wants_room;
  uint64_t room_bytes;                        /* what the refused sender wants to put there */
  uint64_t room_times;                        /* within how many times the bounds */
  uint64_t last_number[STW_LANE_COUNT];       /* highest given, moves included */
  uint64_t admitted_messages, admitted_bytes; /* ever; moves aside */
  uint64_t released_messages, released_bytes; /* ever: left the outbox, published by the engine */
  uint64_t messages_max, bytes_max, message_max;
  const char *message_limit; /* the option that gives message_max */
  stw_guarantee guarantee;
  enum stwi_profile profile;
  enum stwi_overflow overflow;
  uint64_t stream;                    /* lowest bit 0: of the data lane */
  uint64_t processed[STW_LANE_COUNT]; /* inbound: by the host; told with the news */
  bool has_processed;
  /* inbound: highest number put into the box; written by the engine thread alone */
  _Atomic uint64_t arrived[STW_LANE_COUNT];
  stw_conn_view view;
  uint64_t metrics[STW_METRIC_COUNT];

  /* MESSAGE_ENDED events the host has not drained: they count as messages of the outbox, so that a
   * host that sends but never drains is refused in the end instead of costing memory for ever. */
  _Atomic uint64_t ends_waiting;

  /* the outbox's file: under `lock`; the engine thread uses its own copy until it lets go */
  struct stwi_store store;
  bool is_store_used;          /* by the engine thread, or will be */
  bool is_store_closing;       /* what its writer says is of no interest any more */
  pthread_cond_t store_left;   /* the engine thread has let go */
  struct stwi_port_file *file; /* owned */

  struct stwi_port *next_submitted; /* engine's list, under the engine's lock */
  struct stwi_port *next_forgotten; /* engine thread: it may be submitted again meanwhile */

  /* under the mailbox's lock */
  struct stwi_box box;
  bool is_member, is_ready, box_was_full;
  struct stwi_port *next_member, *next_ready;
};

/* Without a file; see stwi_port_store_open. */
struct stwi_port *stwi_port_new(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                                const struct stwi_conn_config *config, uint64_t stream);
void stwi_port_hold(struct stwi_port *port);
void stwi_port_drop(struct stwi_port *port);

/* The engine's way to the lock: a host that sends again and again into a full outbox steps aside
 * for it, where an unfair mutex would keep the engine, and with it the room, waiting for ever. */
void stwi_port_lock(struct stwi_port *port);

/* Admits; *taken of `count`; `first` gets the id of the first.  The sentence is set. */
stw_status stwi_port_admit(struct stwi_port *port, const stw_payload *payloads, size_t count,
                           const stw_send_options *options, size_t *taken, stw_message_id *first);
/* Admits a move of the message `id` to the end of `lane`, which counts against no bound.
 * E_CLOSED, E_STORE, E_FULL (the disk), E_MEMORY. */
stw_status stwi_port_admit_move(struct stwi_port *port, stw_message_id id, stw_lane lane);
/* Admits all messages of `chunks`, with their ids, to the ends of their lanes: all or
 * none; takes `chunks`.  *count says how many.  E_CLOSED, E_STORE, E_FULL, E_TOO_BIG, E_GUARANTEE,
 * E_FORMAT (an id that this outbox is yet to give), E_MEMORY. */
stw_status stwi_port_admit_copies(struct stwi_port *port, struct stwi_chunk *chunks,
                                  uint64_t *count);

/* Any thread, without memory, so that they cannot fail: the engine looks at the port. */
void stwi_port_tell_room(struct stwi_port *port);    /* the mailbox has room again */
void stwi_port_tell_forget(struct stwi_port *port);  /* the handle is gone */
void stwi_port_tell_drained(struct stwi_port *port); /* ended messages were drained */

/* Engine. */
struct stwi_news {
  struct stwi_chunk *chunks; /* what was admitted; the caller's */
  bool has_box_room, is_forgotten, wants_room, has_store_news, has_processed;
  uint64_t processed[STW_LANE_COUNT];
};
/* Takes the news of a port that was on the engine's list. */
struct stwi_news stwi_port_collect(struct stwi_port *port);
/* Takes what was admitted, for a port that may be on the list; with `refuse` nothing follows. */
struct stwi_chunk *stwi_port_collect_early(struct stwi_port *port, bool refuse);
/* Under `lock`: is there room for what was refused? */
bool stwi_port_has_room(const struct stwi_port *port);

#endif
