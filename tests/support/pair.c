#include "pair.h"

#include "io/envelope.h"

#include <string.h>

struct pair w;

uint64_t pair_roll(uint64_t below) {
  return stwi_random_below(stwi_net_random(w.net), below);
}

void pair_broke(const char *what) {
  if (w.broken[0] == '\0')
    snprintf(w.broken, sizeof w.broken, "%s at %llu us", what,
             (unsigned long long)(w.now / STWI_US));
}

void pair_timer(enum timer kind, uint64_t what, uint64_t after) {
  stwi_net_timer(w.net, w.now + after, (uint64_t)kind | what << 8);
}

uint32_t pair_stream_of(bool is_to_client, stw_lane lane) {
  return (is_to_client ? 2u : 0u) + (uint32_t)lane;
}

/* ---- lanes and effects ---- */

void pair_lane_add(struct lane *lane, struct kept kept) {
  if (lane->first == lane->count)
    lane->first = lane->count = 0;
  if (lane->count == sizeof lane->items / sizeof lane->items[0]) {
    memmove(lane->items, lane->items + lane->first,
            (lane->count - lane->first) * sizeof lane->items[0]);
    lane->count -= lane->first;
    lane->first = 0;
  }
  lane->items[lane->count++] = kept;
}

void pair_lane_settle(struct lane *lane, uint64_t upto) {
  while (lane->first < lane->count && lane->items[lane->first].number <= upto)
    lane->first++;
}

size_t pair_lane_find(const struct lane *lane, uint64_t number) {
  size_t low = lane->first, high = lane->count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (lane->items[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void pair_note(struct pending *pending, uint32_t stream, stw_lane lane, uint64_t number,
               const void *data, size_t size) {
  stwi_checker_taken(w.checker, STWI_VIEW_RAW, stream, data, size);
  if (pending->count == sizeof pending->items / sizeof pending->items[0] || size > BODY_MAX) {
    pair_broke("more came than any window allows");
    return;
  }
  struct taken *taken = &pending->items[pending->count++];
  *taken = (struct taken){.stream = stream, .lane = lane, .number = number, .size = (uint32_t)size};
  memcpy(taken->body, data, size);
}

void pair_commit_effects(struct pending *pending, uint64_t cursor[STW_LANE_COUNT]) {
  for (size_t i = 0; i < pending->count; i++) {
    const struct taken *taken = &pending->items[i];
    if (taken->number <= cursor[taken->lane])
      continue;
    stwi_checker_taken(w.checker, STWI_VIEW_DEDUPED, taken->stream, taken->body, taken->size);
    cursor[taken->lane] = taken->number;
  }
  pending->count = 0;
}

void pair_write_frame(uint32_t link, enum stwi_net_end end, const struct stwi_sframe *frame) {
  uint8_t bytes[FRAME_MAX];
  const bool is_data = frame->type == STWI_SF_DATA;
  const bool is_soft = is_data || frame->type == STWI_SF_ACK || frame->type == STWI_SF_GAP;
  size_t size = stwi_envelope.encode(frame, bytes, sizeof bytes);
  if (size == 0 || (is_data && size + frame->u.data.size > sizeof bytes)) {
    pair_broke("a frame could not be encoded");
    return;
  }
  if (is_data) {
    memcpy(bytes + size, frame->u.data.payload, frame->u.data.size);
    size += frame->u.data.size;
  }
  stwi_net_send(w.net, w.now, link, end, bytes, size, is_soft);
}
