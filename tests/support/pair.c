#include "pair.h"

#include "core/session_frame.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_MAX 40u
#define MIDDLE_MAX 4000u
#define LONG_MAX 200000u /* some parts of 64 KiB */

struct pair w;

uint64_t pair_roll(uint64_t below) {
  return stwi_random_below(stwi_net_random(w.net), below);
}

bool pair_may(enum misfortune what) {
  return (w.plan.misfortunes & 1u << what) != 0;
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

uint32_t pair_size(void) {
  const uint64_t what = pair_roll(2000);
  const uint64_t most = what == 0 ? LONG_MAX : what < 50 ? MIDDLE_MAX : SHORT_MAX;
  return STWI_STAMP_BYTES + (uint32_t)pair_roll(most);
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

void pair_note(struct pending *pending, uint32_t stream, stw_lane lane, uint64_t number,
               const void *data, size_t size) {
  stwi_checker_taken(w.checker, STWI_VIEW_RAW, stream, data, size);
  if (pending->count == sizeof pending->items / sizeof pending->items[0]) {
    pair_broke("more came than any window allows");
    return;
  }
  struct taken *taken = &pending->items[pending->count++];
  *taken = (struct taken){stream, lane, number, (uint32_t)size, malloc(size + 1)};
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
  pair_forget_effects(pending);
}

void pair_forget_effects(struct pending *pending) {
  for (size_t i = 0; i < pending->count; i++)
    free(pending->items[i].body);
  pending->count = 0;
}

/* ---- frames ---- */

struct frame_view {
  size_t size; /* whole */
  unsigned opcode;
  uint8_t payload[2]; /* its first bytes */
};

static struct frame_view look_at_frame(const uint8_t *at) {
  size_t header = 2, size = at[1] & 0x7fu;
  if (size >= 126) {
    const size_t bytes = size == 126 ? 2 : 8;
    size = 0;
    for (size_t i = 0; i < bytes; i++)
      size = size << 8 | at[header++];
  }
  const bool is_masked = (at[1] & 0x80u) != 0;
  const uint8_t *mask = at + header;
  header += is_masked ? 4 : 0;
  struct frame_view view = {.size = header + size, .opcode = at[0] & 0x0fu};
  for (size_t i = 0; i < 2 && i < size; i++)
    view.payload[i] = (uint8_t)(at[header + i] ^ (is_masked ? mask[i] : 0));
  return view;
}

/* A piece of a message has no number of its own: no stream can double or lose one. */
static bool may_be_harmed(const struct frame_view *view) {
  const unsigned type = view->payload[1];
  return view->opcode == STWI_OP_BINARY &&
         (type == STWI_SF_DATA || type == STWI_SF_ACK || type == STWI_SF_GAP);
}

void pair_send_frames(uint32_t link, enum stwi_net_end end, const uint8_t *frames, size_t size) {
  for (size_t at = 0; at < size;) {
    const struct frame_view view = look_at_frame(frames + at);
    w.parts += view.opcode == STWI_OP_BINARY && view.payload[1] == STWI_SF_PART;
    stwi_net_send(w.net, w.now, link, end, frames + at, view.size, may_be_harmed(&view));
    at += view.size;
  }
}
