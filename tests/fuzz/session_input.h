/* session_input: what fuzz_session makes of its input: bytes, numbers and frames of steadwire.v1
 * near those that are next, and a heap that counts and can fail.  Include it in one file.
 */
#ifndef STEADWIRE_TESTS_SESSION_INPUT_H
#define STEADWIRE_TESTS_SESSION_INPUT_H

#include "core/mem.h"
#include "io/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_MAX = 1024 };

/* The finding names what does not hold. */
#define must(holds) ((holds) ? (void)0 : give_up(#holds, __LINE__))

static inline void give_up(const char *what, int line) {
  fprintf(stderr, "line %d: %s\n", line, what);
  abort();
}

/* ---- the heap ---- */

enum { HEADER = 16 };
static size_t heap_live;        /* bytes */
static long heap_fails_in = -1; /* allocations until one fails; -1: none does */

static bool heap_refuses(void) {
  if (heap_fails_in < 0)
    return false;
  return heap_fails_in-- == 0;
}

void *stwi_alloc(size_t size) {
  return stwi_realloc(NULL, size);
}

void *stwi_realloc(void *memory, size_t size) {
  if (heap_refuses())
    return NULL;
  uint8_t *block = memory == NULL ? NULL : (uint8_t *)memory - HEADER;
  size_t before = 0;
  if (block != NULL)
    memcpy(&before, block, sizeof before);
  block = realloc(block, HEADER + size + (size == 0));
  must(block != NULL);
  memcpy(block, &size, sizeof size);
  heap_live += size - before;
  return block + HEADER;
}

void stwi_free(void *memory) {
  if (memory == NULL)
    return;
  uint8_t *block = (uint8_t *)memory - HEADER;
  size_t size;
  memcpy(&size, block, sizeof size);
  heap_live -= size;
  free(block);
}

/* ---- bytes ---- */

static const uint8_t *input_at, *input_end;

static inline bool has_input(void) {
  return input_at < input_end;
}

static inline unsigned take_byte(void) {
  return has_input() ? *input_at++ : 0;
}

/* Lends up to 1023 bytes: their number, then they. */
static inline const uint8_t *take_bytes(size_t *size) {
  *size = (take_byte() | take_byte() << 8) % FRAME_MAX;
  const size_t left = (size_t)(input_end - input_at);
  *size = *size < left ? *size : left;
  const uint8_t *bytes = input_at;
  input_at += *size;
  return bytes;
}

/* `base` and a little, mostly the next; or something far. */
static inline uint64_t take_number(uint64_t base) {
  static const uint8_t near[] = {0, 1, 1, 1, 2, 3};
  const unsigned roll = take_byte();
  if (roll < 0xf0)
    return base + near[roll % sizeof near];
  return roll == 0xff ? INT64_MAX : (uint64_t)1 << (roll % 63);
}

/* ---- frames ---- */

struct bases { /* of each lane: what came in last, and what went out before the last */
  uint64_t in[STW_LANE_COUNT], out[STW_LANE_COUNT];
};

static inline void fill_data(struct stwi_sframe *frame, stw_lane lane, uint64_t base) {
  static const uint8_t payload[FRAME_MAX] = {'a', 'b', 0xc3, 0xa4};
  frame->u.data.lane = lane;
  frame->u.data.number = take_number(base);
  frame->u.data.flags = frame->type == STWI_SF_DATA ? take_byte() % 4 : 0;
  frame->u.data.payload = payload;
  frame->u.data.size = take_byte() * 2;
}

/* One that either role may write, or only one of them; false: HELLO, which is made elsewhere. */
static inline bool take_frame(struct stwi_sframe *frame, const struct bases *bases) {
  static const struct stwi_text text = {"text", 4};
  const stw_lane lane = (stw_lane)(take_byte() % STW_LANE_COUNT);
  memset(frame, 0, sizeof *frame);
  frame->type = 2 + take_byte() % 12;
  switch (frame->type) {
  case STWI_SF_DATA:
  case STWI_SF_PART:
    fill_data(frame, lane, bases->in[lane]);
    return true;
  case STWI_SF_ACK:
    frame->u.ack.lane = lane;
    frame->u.ack.accepted = take_number(bases->out[lane]);
    frame->u.ack.has_processed = take_byte() % 2 == 0;
    frame->u.ack.processed = take_number(bases->out[lane]);
    return true;
  case STWI_SF_NACK:
    frame->u.nack.lane = lane;
    frame->u.nack.number = take_number(bases->out[lane]);
    frame->u.nack.text = text;
    return true;
  case STWI_SF_GAP:
    frame->u.gap.lane = lane;
    frame->u.gap.from = take_number(bases->in[lane]);
    frame->u.gap.to = take_number(bases->in[lane]);
    frame->u.gap.reason = take_byte();
    return true;
  case STWI_SF_AUTH:
    frame->u.auth.is_answer = frame->u.auth.is_ok = take_byte() % 2 == 0;
    frame->u.auth.token = text;
    return true;
  case STWI_SF_CLOSE:
  case STWI_SF_REFUSE:
    frame->u.close.code = 1 + take_byte() % 4;
    frame->u.close.text = text;
    return true;
  case STWI_SF_GOAWAY:
    frame->u.goaway.location = text;
    return true;
  default:
    return frame->type != STWI_SF_WELCOME;
  }
}

static inline size_t write_frame(const struct stwi_sframe *frame, uint8_t *out, size_t max) {
  size_t size = stwi_envelope.encode(frame, out, max);
  must(size > 0);
  if (frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART) {
    must(size + frame->u.data.size <= max);
    memcpy(out + size, frame->u.data.payload, frame->u.data.size);
    size += frame->u.data.size;
  }
  return size;
}

#endif
