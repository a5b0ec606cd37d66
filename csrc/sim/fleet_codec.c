#include "sim/fleet_codec.h"

#include <stddef.h>
#include <string.h>

/* A frame is its type, its struct, and behind it the texts that the struct points to. */
struct layout {
  size_t size;
  size_t texts[2]; /* offsets of struct stwi_text in the frame; 0: none */
};

#define SIZE_OF(member) sizeof(((struct stwi_sframe *)0)->u.member)
#define AT(member) offsetof(struct stwi_sframe, u.member)

static struct layout layout_of(uint32_t type) {
  switch (type) {
  case STWI_SF_HELLO:
    return (struct layout){SIZE_OF(hello), {AT(hello.auth)}};
  case STWI_SF_WELCOME:
    return (struct layout){SIZE_OF(welcome), {AT(welcome.location), AT(welcome.server)}};
  case STWI_SF_DATA:
  case STWI_SF_PART:
    return (struct layout){SIZE_OF(data), {0}};
  case STWI_SF_ACK:
    return (struct layout){SIZE_OF(ack), {0}};
  case STWI_SF_NACK:
    return (struct layout){SIZE_OF(nack), {AT(nack.text)}};
  case STWI_SF_PING:
  case STWI_SF_PONG:
    return (struct layout){SIZE_OF(ping), {0}};
  case STWI_SF_GOAWAY:
    return (struct layout){SIZE_OF(goaway), {AT(goaway.location)}};
  case STWI_SF_CLOSE:
  case STWI_SF_REFUSE:
    return (struct layout){SIZE_OF(close), {AT(close.text)}};
  case STWI_SF_AUTH:
    return (struct layout){SIZE_OF(auth), {AT(auth.token)}};
  default:
    return (struct layout){SIZE_OF(gap), {0}};
  }
}

static size_t encode(const struct stwi_sframe *frame, uint8_t *out, size_t max) {
  const struct layout layout = layout_of(frame->type);
  const size_t head = sizeof frame->type + layout.size;
  size_t used = head;
  if (head > max)
    return 0;
  memcpy(out, &frame->type, sizeof frame->type);
  memcpy(out + sizeof frame->type, &frame->u, layout.size);
  for (unsigned i = 0; i < 2 && layout.texts[i] != 0; i++) {
    struct stwi_text text;
    memcpy(&text, (const uint8_t *)frame + layout.texts[i], sizeof text);
    if (text.size > max - used)
      return 0;
    if (text.size > 0)
      memcpy(out + used, text.data, text.size);
    used += text.size;
  }
  return used;
}

static bool decode(const uint8_t *data, size_t size, struct stwi_sframe *frame, const char **why) {
  *why = "a frame is cut";
  if (size < sizeof frame->type)
    return false;
  memcpy(&frame->type, data, sizeof frame->type);
  const struct layout layout = layout_of(frame->type);
  size_t used = sizeof frame->type + layout.size;
  if (size < used)
    return false;
  memcpy(&frame->u, data + sizeof frame->type, layout.size);
  for (unsigned i = 0; i < 2 && layout.texts[i] != 0; i++) {
    struct stwi_text *text = (struct stwi_text *)(void *)((uint8_t *)frame + layout.texts[i]);
    if (text->size > size - used)
      return false;
    text->data = (const char *)data + used;
    used += text->size;
  }
  if (frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART) {
    frame->u.data.payload = data + used;
    frame->u.data.size = size - used;
  }
  return true;
}

const struct stwi_session_codec stwi_fleet_codec = {.decode = decode, .encode = encode};
