#include "sim/herd_queue.h"

#include <stdlib.h>
#include <string.h>

/* Slots are a millisecond long, or longer where more than this would be needed. */
#define SLOTS_MAX 4000000u

bool stwi_herd_queue_init(struct stwi_herd_queue *queue, uint32_t clients, stwi_time end) {
  memset(queue, 0, sizeof *queue);
  queue->end = end;
  queue->slot_ns = end / SLOTS_MAX + 1;
  if (queue->slot_ns < STWI_MS)
    queue->slot_ns = STWI_MS;
  queue->slots = (uint32_t)((end + queue->slot_ns - 1) / queue->slot_ns);
  queue->first = calloc((size_t)queue->slots + 1, sizeof *queue->first);
  queue->next = malloc(clients * sizeof *queue->next);
  queue->at = malloc(clients * sizeof *queue->at);
  queue->heap = malloc(clients * sizeof *queue->heap);
  return queue->first != NULL && queue->next != NULL && queue->at != NULL && queue->heap != NULL;
}

void stwi_herd_queue_fini(struct stwi_herd_queue *queue) {
  free(queue->first);
  free(queue->next);
  free(queue->at);
  free(queue->heap);
}

static bool is_before(struct stwi_herd_moment a, struct stwi_herd_moment b) {
  return a.at < b.at || (a.at == b.at && a.client < b.client);
}

static void push(struct stwi_herd_queue *queue, struct stwi_herd_moment moment) {
  uint32_t place = queue->count++;
  while (place > 0 && is_before(moment, queue->heap[(place - 1) / 2])) {
    queue->heap[place] = queue->heap[(place - 1) / 2];
    place = (place - 1) / 2;
  }
  queue->heap[place] = moment;
}

static struct stwi_herd_moment pop(struct stwi_herd_queue *queue) {
  const struct stwi_herd_moment top = queue->heap[0];
  const struct stwi_herd_moment last = queue->heap[--queue->count];
  uint32_t place = 0;
  for (;;) {
    uint32_t child = 2 * place + 1;
    if (child + 1 < queue->count && is_before(queue->heap[child + 1], queue->heap[child]))
      child++;
    if (child >= queue->count || !is_before(queue->heap[child], last))
      break;
    queue->heap[place] = queue->heap[child];
    place = child;
  }
  queue->heap[place] = last;
  return top;
}

void stwi_herd_queue_add(struct stwi_herd_queue *queue, uint32_t client, stwi_time at) {
  if (at >= queue->end)
    return;
  const uint64_t slot = at / queue->slot_ns;
  if (slot <= queue->slot) {
    push(queue, (struct stwi_herd_moment){at, client});
    return;
  }
  queue->at[client] = at;
  queue->next[client] = queue->first[slot];
  queue->first[slot] = client + 1;
}

static void open_slot(struct stwi_herd_queue *queue) {
  queue->slot++;
  for (uint32_t item = queue->first[queue->slot]; item != 0; item = queue->next[item - 1])
    push(queue, (struct stwi_herd_moment){queue->at[item - 1], item - 1});
}

bool stwi_herd_queue_take(struct stwi_herd_queue *queue, struct stwi_herd_moment *moment) {
  while (queue->count == 0 && queue->slot < queue->slots)
    open_slot(queue);
  if (queue->count == 0)
    return false;
  *moment = pop(queue);
  return true;
}
