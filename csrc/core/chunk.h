/* chunk.h: how admitted messages lie in memory.
 *
 * The calling thread appends messages to a chunk; the engine thread takes whole chunks and the
 * outbox keeps them until the last message in one has ended.  So a message costs no allocation of
 * its own, and no byte of it is copied again before it is framed.
 */
#ifndef STWI_CORE_CHUNK_H
#define STWI_CORE_CHUNK_H

#include "core/input.h"

/* One message; its key and then its body follow it in memory. */
struct stwi_msg {
  uint64_t number;   /* its place in its lane, from 1 */
  stw_message_id id; /* of its admission; moves leave it as it is */
  union {
    uint64_t ttl_ns;           /* 0: for ever */
    struct stwi_msg *next_end; /* once it has ended: the outbox's list of ends */
  };
  stwi_time admitted; /* stamped by the outbox when it takes it */
  uint64_t waited_ns; /* its age when it was stamped: of a message from a file or an import */
  struct stwi_chunk *home;
  uint32_t size;     /* of the body */
  uint32_t attempts; /* times written */
  uint8_t key_size;
  bool is_text;
  uint8_t guarantee;  /* stw_guarantee */
  uint8_t state;      /* stw_message_state */
  uint8_t proof;      /* stw_proof */
  bool is_refused;    /* overflow drop_newest: to be ended as DROPPED when taken */
  uint16_t cause;     /* stw_cause of its end, or of being parked */
  uint8_t lane;       /* stw_lane */
  bool is_end_due;    /* ended, and not told yet */
  bool is_move;       /* no message: moves the one with this id to this lane and number */
  uint32_t parked_at; /* of a parked one: where it lies among them */
};

struct stwi_chunk {
  struct stwi_chunk *next; /* of the list it comes in; once taken: of those lent */
  uint32_t used, size;     /* bytes of `bytes` */
  uint32_t live;           /* holds of the outbox: 0 frees the chunk */
  uint32_t count;          /* messages in it */
  uint32_t keyed;          /* of them, those with a key */
  bool is_lent;            /* held until the next step: an effect names a message in it */
  void (*give)(void *memory, size_t size); /* takes the memory back; NULL: stwi_free */
  _Alignas(16) uint8_t bytes[];
};

/* A chunk with room for `bytes`; NULL without memory. */
struct stwi_chunk *stwi_chunk_new(uint32_t bytes);
/* A chunk in `memory`, which is `size` bytes long (header included, at most UINT32_MAX) and goes
 * back through `give`, on whatever thread frees the chunk. */
struct stwi_chunk *stwi_chunk_in(void *memory, size_t size, void (*give)(void *, size_t));
void stwi_chunk_free(struct stwi_chunk *chunk);
void stwi_chunk_free_list(struct stwi_chunk *chunk);
void stwi_chunk_release(struct stwi_chunk *chunk); /* gives one hold up; the last one frees */

/* Bytes a message takes in a chunk. */
size_t stwi_msg_footprint(size_t key_size, size_t body_size);

/* Appends a message (copies key and body) and lends it; NULL where it does not fit. */
struct stwi_msg *stwi_chunk_append(struct stwi_chunk *chunk, const void *key, uint8_t key_size,
                                   const void *body, uint32_t body_size);

/* Appends a copy of a message, all fields the same but its home; NULL where it does not fit. */
struct stwi_msg *stwi_chunk_copy(struct stwi_chunk *chunk, const struct stwi_msg *msg);

/* Walks: the first message, and the one after `msg` (NULL at the end). */
struct stwi_msg *stwi_chunk_first(struct stwi_chunk *chunk);
struct stwi_msg *stwi_chunk_after(struct stwi_msg *msg);

/* When its ttl is over; STWI_NEVER without one.  Of a message that was stamped. */
stwi_time stwi_msg_due(const struct stwi_msg *msg);
bool stwi_msg_has_id(const struct stwi_msg *msg, stw_message_id id);

/* Walks a list of chunks likewise; chunks without a message are passed over. */
struct stwi_msg *stwi_chunks_first(struct stwi_chunk *list);
struct stwi_msg *stwi_chunks_after(struct stwi_msg *msg);

const uint8_t *stwi_msg_key(const struct stwi_msg *msg);
const uint8_t *stwi_msg_body(const struct stwi_msg *msg);

#endif
