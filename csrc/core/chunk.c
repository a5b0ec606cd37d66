#include "core/chunk.h"

#include "core/mem.h"

#include <string.h>

struct stwi_chunk *stwi_chunk_new(uint32_t bytes) {
  struct stwi_chunk *chunk = stwi_alloc(sizeof *chunk + bytes);
  if (chunk == NULL)
    return NULL;
  *chunk = (struct stwi_chunk){.size = bytes};
  return chunk;
}

struct stwi_chunk *stwi_chunk_in(void *memory, size_t size, void (*give)(void *, size_t)) {
  struct stwi_chunk *chunk = memory;
  *chunk = (struct stwi_chunk){.size = (uint32_t)(size - sizeof *chunk), .give = give};
  return chunk;
}

void stwi_chunk_free(struct stwi_chunk *chunk) {
  if (chunk != NULL && chunk->give != NULL)
    chunk->give(chunk, sizeof *chunk + chunk->size);
  else
    stwi_free(chunk);
}

void stwi_chunk_free_list(struct stwi_chunk *chunk) {
  while (chunk != NULL) {
    struct stwi_chunk *next = chunk->next;
    stwi_chunk_free(chunk);
    chunk = next;
  }
}

void stwi_chunk_release(struct stwi_chunk *chunk) {
  if (--chunk->live == 0)
    stwi_chunk_free(chunk);
}

size_t stwi_msg_footprint(size_t key_size, size_t body_size) {
  const size_t align = _Alignof(struct stwi_msg) - 1;
  const size_t fixed = sizeof(struct stwi_msg) + align;
  if (body_size > SIZE_MAX - fixed || key_size > SIZE_MAX - fixed - body_size)
    return SIZE_MAX;
  return (fixed + key_size + body_size) & ~align;
}

struct stwi_msg *stwi_chunk_append(struct stwi_chunk *chunk, const void *key, uint8_t key_size,
                                   const void *body, uint32_t body_size) {
  const size_t footprint = stwi_msg_footprint(key_size, body_size);
  if (footprint > chunk->size - chunk->used)
    return NULL;
  struct stwi_msg *msg = (void *)(chunk->bytes + chunk->used);
  *msg = (struct stwi_msg){.home = chunk, .size = body_size, .key_size = key_size};
  uint8_t *at = (uint8_t *)(msg + 1);
  if (key_size > 0)
    memcpy(at, key, key_size);
  if (body_size > 0)
    memcpy(at + key_size, body, body_size);
  chunk->used += (uint32_t)footprint;
  chunk->count++;
  chunk->keyed += key_size > 0;
  return msg;
}

struct stwi_msg *stwi_chunk_copy(struct stwi_chunk *chunk, const struct stwi_msg *msg) {
  struct stwi_msg *copy =
      stwi_chunk_append(chunk, stwi_msg_key(msg), msg->key_size, stwi_msg_body(msg), msg->size);
  if (copy == NULL)
    return NULL;
  *copy = *msg;
  copy->home = chunk;
  return copy;
}

struct stwi_msg *stwi_chunk_first(struct stwi_chunk *chunk) {
  return chunk->used == 0 ? NULL : (void *)chunk->bytes;
}

struct stwi_msg *stwi_chunk_after(struct stwi_msg *msg) {
  uint8_t *next = (uint8_t *)msg + stwi_msg_footprint(msg->key_size, msg->size);
  return next == msg->home->bytes + msg->home->used ? NULL : (void *)next;
}

struct stwi_msg *stwi_chunks_first(struct stwi_chunk *list) {
  while (list != NULL && list->count == 0)
    list = list->next;
  return list == NULL ? NULL : stwi_chunk_first(list);
}

struct stwi_msg *stwi_chunks_after(struct stwi_msg *msg) {
  struct stwi_msg *after = stwi_chunk_after(msg);
  return after == NULL ? stwi_chunks_first(msg->home->next) : after;
}

stwi_time stwi_msg_due(const struct stwi_msg *msg) {
  if (msg->ttl_ns == 0)
    return STWI_NEVER;
  const uint64_t left = msg->ttl_ns > msg->waited_ns ? msg->ttl_ns - msg->waited_ns : 0;
  return left > STWI_NEVER - msg->admitted ? STWI_NEVER : msg->admitted + left;
}

bool stwi_msg_has_id(const struct stwi_msg *msg, stw_message_id id) {
  return msg->id.number == id.number && msg->id.stream == id.stream;
}

const uint8_t *stwi_msg_key(const struct stwi_msg *msg) {
  return (const uint8_t *)(msg + 1);
}

const uint8_t *stwi_msg_body(const struct stwi_msg *msg) {
  return (const uint8_t *)(msg + 1) + msg->key_size;
}
