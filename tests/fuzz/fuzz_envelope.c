/* Decodes arbitrary bytes as a frame of steadwire.v1 and checks what must hold for any input: what
 * a frame points to lies in the input, a refusal has a sentence, what is a frame is valid msgpack
 * to msgpack-c too, and a frame that is written again is read as the same frame.
 *
 * make_envelope_corpus.py writes the seeds in corpus/envelope from tests/vectors.
 */
#include "io/envelope.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void must(bool holds) {
  if (!holds)
    abort();
}

static void check_inside(const void *at, size_t length, const uint8_t *input, size_t size) {
  const uint8_t *bytes = at;
  must(length == 0 || (bytes >= input && bytes + length <= input + size));
}

static void check_borrowed(const struct stwi_sframe *frame, const uint8_t *input, size_t size) {
  struct stwi_text text = {NULL, 0};
  if (frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART)
    check_inside(frame->u.data.payload, frame->u.data.size, input, size);
  if (frame->type == STWI_SF_HELLO)
    text = frame->u.hello.auth;
  if (frame->type == STWI_SF_WELCOME) {
    text = frame->u.welcome.location;
    check_inside(frame->u.welcome.server.data, frame->u.welcome.server.size, input, size);
  }
  if (frame->type == STWI_SF_NACK)
    text = frame->u.nack.text;
  if (frame->type == STWI_SF_CLOSE || frame->type == STWI_SF_REFUSE)
    text = frame->u.close.text;
  if (frame->type == STWI_SF_GOAWAY)
    text = frame->u.goaway.location;
  if (frame->type == STWI_SF_AUTH)
    text = frame->u.auth.token;
  check_inside(text.data, text.size, input, size);
}

static size_t encode(const struct stwi_sframe *frame, uint8_t *out, size_t max) {
  const size_t head = stwi_envelope.encode(frame, out, max);
  must(head > 0);
  if (frame->type != STWI_SF_DATA && frame->type != STWI_SF_PART)
    return head;
  must(head + frame->u.data.size <= max);
  if (frame->u.data.size > 0)
    memcpy(out + head, frame->u.data.payload, frame->u.data.size);
  return head + frame->u.data.size;
}

/* Shortest forms without unknown keys: written twice they are the same bytes, and never longer than
 * what was read. */
static void check_round_trip(const struct stwi_sframe *frame, size_t size) {
  if (frame->type >= STWI_SF_IGNORED_FROM)
    return;
  const size_t max = size + STWI_SFRAME_HEAD_MAX;
  uint8_t *first = malloc(max), *second = malloc(max);
  must(first != NULL && second != NULL);
  const size_t written = encode(frame, first, max);
  must(written <= size);
  struct stwi_sframe again;
  const char *why = NULL;
  must(stwi_envelope.decode(first, written, &again, &why));
  must(again.type == frame->type);
  must(encode(&again, second, max) == written && memcmp(first, second, written) == 0);
  free(first);
  free(second);
}

static void check_against_msgpack_c(const uint8_t *input, size_t size) {
  msgpack_zone zone;
  must(msgpack_zone_init(&zone, 4096));
  msgpack_object object;
  size_t offset = 0;
  must(msgpack_unpack((const char *)input, size, &offset, &zone, &object) ==
       MSGPACK_UNPACK_SUCCESS);
  must(offset == size);
  msgpack_zone_destroy(&zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  const char *why = NULL;
  const bool is_valid = stwi_envelope_valid(input, size, &why);
  must(is_valid || why != NULL);
  if (is_valid)
    check_against_msgpack_c(input, size);
  struct stwi_sframe frame;
  why = NULL;
  if (!stwi_envelope.decode(input, size, &frame, &why)) {
    must(why != NULL);
    return 0;
  }
  must(is_valid);
  check_borrowed(&frame, input, size);
  check_round_trip(&frame, size);
  return 0;
}
