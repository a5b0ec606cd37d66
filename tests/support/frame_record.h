/* frame_record: everything a frame decoder said, copied, so that runs can be compared. */
#ifndef STEADWIRE_TESTS_FRAME_RECORD_H
#define STEADWIRE_TESTS_FRAME_RECORD_H

#include "core/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct said {
  enum stwi_item_kind kind;
  uint16_t close_code;
  const char *why;
  uint8_t *data;
  size_t size;
};

struct record {
  struct said *items;
  size_t count;
};

static void remember(struct record *record, const struct stwi_item *item) {
  record->items = realloc(record->items, (record->count + 1) * sizeof *record->items);
  assert_non_null(record->items);
  struct said *said = &record->items[record->count++];
  *said =
      (struct said){item->kind, item->close_code, item->why, malloc(item->size + 1), item->size};
  assert_non_null(said->data);
  if (item->size > 0)
    memcpy(said->data, item->data, item->size);
}

static void forget(struct record *record) {
  for (size_t i = 0; i < record->count; i++)
    free(record->items[i].data);
  free(record->items);
  *record = (struct record){0};
}

/* Feeds one piece of input until NONE.  The piece is a heap copy that goes away at once, so that a
 * memory checker sees every use of input after its time. */
static void feed(struct stwi_decoder *d, const uint8_t *bytes, size_t size, struct record *record) {
  uint8_t *copy = malloc(size + 1);
  assert_non_null(copy);
  if (size > 0)
    memcpy(copy, bytes, size);
  const uint8_t *at = copy;
  size_t left = size;
  for (;;) {
    const struct stwi_item item = stwi_decoder_next(d, &at, &left);
    if (item.kind == STWI_ITEM_NONE)
      break;
    remember(record, &item);
  }
  assert_int_equal(left, 0);
  assert_ptr_equal(at, copy + size);
  free(copy);
}

static struct record decode(enum stwi_frame_role role, uint64_t limit, const uint8_t *wire,
                            size_t size, size_t piece_bytes) {
  struct stwi_decoder d;
  struct record record = {0};
  stwi_decoder_init(&d, role, limit);
  for (size_t at = 0; at < size; at += piece_bytes)
    feed(&d, wire + at, size - at < piece_bytes ? size - at : piece_bytes, &record);
  stwi_decoder_fini(&d);
  return record;
}

#endif
