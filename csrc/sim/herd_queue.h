/* herd_queue.h: the next moment of each client of a herd, taken out by (time, client).
 *
 * A calendar: what lies ahead stands unsorted in slots of equal length, and only the slot that time
 * has reached is kept as a heap, so that a herd of millions stays within the caches.  The order
 * depends on nothing but times and client numbers.  Owner only.
 */
#ifndef STWI_SIM_HERD_QUEUE_H
#define STWI_SIM_HERD_QUEUE_H

#include "core/input.h"

struct stwi_herd_moment {
  stwi_time at;
  uint32_t client;
};

struct stwi_herd_queue {
  stwi_time end;
  uint64_t slot_ns;
  uint32_t slots, slot; /* slot: the one that is in the heap */
  uint32_t *first;      /* by slot: a client + 1, 0 for none */
  uint32_t *next;       /* by client: another of its slot + 1, 0 for none */
  stwi_time *at;        /* by client */
  struct stwi_herd_moment *heap;
  uint32_t count;
};

/* Room for one moment each of `clients` clients before `end`.  False without memory. */
bool stwi_herd_queue_init(struct stwi_herd_queue *queue, uint32_t clients, stwi_time end);
void stwi_herd_queue_fini(struct stwi_herd_queue *queue);
/* Adds the moment of a client that has none, not before the last one taken.  One at or after the
 * end is dropped. */
void stwi_herd_queue_add(struct stwi_herd_queue *queue, uint32_t client, stwi_time at);
/* Takes out the earliest; false: there is none. */
bool stwi_herd_queue_take(struct stwi_herd_queue *queue, struct stwi_herd_moment *moment);

#endif
