/* messages: chunks of messages as the calling threads make them, for the tests of the outbox. */
#ifndef STEADWIRE_TESTS_MESSAGES_H
#define STEADWIRE_TESTS_MESSAGES_H

#include "core/chunk.h"

#include <string.h>

struct message_spec {
  uint64_t number;
  uint32_t size;
  uint64_t ttl_ns;
  const char *key; /* NULL: none */
  stw_guarantee guarantee;
  bool is_refused;
};

/* One chunk with these messages; NULL without memory. */
static inline struct stwi_chunk *messages_chunk(const struct message_spec *specs, size_t count) {
  static const uint8_t zeros[4096];
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t key_size = specs[i].key == NULL ? 0 : strlen(specs[i].key);
    bytes += stwi_msg_footprint(key_size, specs[i].size);
  }
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)bytes);
  if (chunk == NULL)
    return NULL;
  for (size_t i = 0; i < count; i++) {
    const struct message_spec *spec = &specs[i];
    const uint8_t key_size = spec->key == NULL ? 0 : (uint8_t)strlen(spec->key);
    struct stwi_msg *msg = stwi_chunk_append(chunk, spec->key, key_size, zeros, spec->size);
    msg->number = spec->number;
    msg->id.number = spec->number;
    msg->ttl_ns = spec->ttl_ns;
    msg->guarantee = (uint8_t)spec->guarantee;
    msg->is_refused = spec->is_refused;
  }
  return chunk;
}

#endif
