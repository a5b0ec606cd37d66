/* frame: the RFC 6455 codec, both roles, sans-I/O: bytes in, items out; frames out as bytes.
 *
 * A decoder eats whatever arrived, in pieces of any size, and gives whole messages and control
 * frames.  A message that lies whole in the input is lent from there without a copy; only what is
 * cut by the end of the input, fragmented, or masked is assembled in a buffer of the decoder, which
 * grows with the bytes that really arrived and is given back when nothing is pending.  Text is
 * checked while it arrives.  Each violation becomes one ERROR item that names the rule and the code
 * to close with; after it, as after CLOSE, the decoder is deaf.
 *
 * The codec never answers by itself: PONGs and CLOSE echoes are the caller's decision.
 * Nothing here blocks, reads a clock or draws a random number; the mask of each frame is an
 * argument.
 */
#ifndef STEADWIRE_CORE_FRAME_H
#define STEADWIRE_CORE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which end of the connection we are. */
enum stwi_frame_role {
  STWI_FRAME_CLIENT, /* decodes unmasked frames, refuses masked ones */
  STWI_FRAME_SERVER  /* decodes masked frames, refuses unmasked ones */
};

/* RFC 6455 section 5.2. */
enum stwi_opcode {
  STWI_OP_CONTINUATION = 0x0,
  STWI_OP_TEXT = 0x1,
  STWI_OP_BINARY = 0x2,
  STWI_OP_CLOSE = 0x8,
  STWI_OP_PING = 0x9,
  STWI_OP_PONG = 0xa
};

enum {
  STWI_CLOSE_NONE = 1005, /* stands for "no code was given"; RFC 6455 section 7.4.1 */
  STWI_FRAME_HEADER_BYTES_MAX = 14,
  STWI_CONTROL_BYTES_MAX = 125,
  STWI_CLOSE_REASON_BYTES_MAX = 123,
  /* A larger assembly buffer is given back after its message even while traffic flows. */
  STWI_DECODER_KEPT_BYTES_MAX = 128 * 1024
};

enum stwi_item_kind {
  STWI_ITEM_NONE,
  STWI_ITEM_TEXT,
  STWI_ITEM_BINARY,
  STWI_ITEM_PING,
  STWI_ITEM_PONG,
  STWI_ITEM_CLOSE,
  STWI_ITEM_ERROR
};

struct stwi_item {
  enum stwi_item_kind kind;
  uint16_t close_code; /* CLOSE: the peer's code, 1005 if it gave none;
                          ERROR: the code to close with: 1002, 1007, 1009; else 0 */
  const uint8_t *data; /* lent: valid until the next call on the decoder or until the input buffer
                          goes away.  CLOSE: the reason.  Not to be read when size is 0 */
  size_t size;
  const char *why; /* ERROR: static text naming the rule and its section; else NULL */
};

/* Caller's storage; the fields are the decoder's own. */
struct stwi_decoder {
  uint64_t message_bytes_max;
  uint64_t payload_left; /* of the current frame, still to arrive */
  uint8_t *held;         /* assembled message bytes, then parked control bytes */
  size_t held_capacity;
  size_t message_bytes;  /* of the current message, in held */
  uint8_t control_bytes; /* of the current control frame, in held behind the message */
  uint8_t role;          /* enum stwi_frame_role */
  uint8_t phase;
  uint8_t opcode;         /* of the current frame */
  bool fin;               /* of the current frame */
  uint8_t message_opcode; /* TEXT or BINARY while a message is open, else 0 */
  uint8_t utf8;           /* state of the open text message; at a border between messages */
  uint8_t mask[4];        /* turned to the next payload byte */
  uint8_t header_bytes;   /* of a header that the end of the input cut */
  uint8_t header[STWI_FRAME_HEADER_BYTES_MAX];
};

/* Readies `d` for the first byte behind the HTTP upgrade.
 *
 * `message_bytes_max` bounds the payload of a message, all fragments together; control frames have
 * the bound of the RFC.  Reserves nothing.  One decoder belongs to one thread at a time.
 */
void stwi_decoder_init(struct stwi_decoder *d, enum stwi_frame_role role,
                       uint64_t message_bytes_max);

/* Gives everything back; lent data dies.  The decoder may be initialised again. */
void stwi_decoder_fini(struct stwi_decoder *d);

/* Consumes some of (*bytes, *size), advancing both, and gives the next complete item, or NONE when
 * more bytes are needed (then *size is 0).  Borrows the input until the item is done with.
 *
 * Call it until it gives NONE: that call also returns the assembly buffer when nothing is pending.
 * Whatever the cuts of the input are, the items are the same.  Memory held never exceeds twice the
 * bytes that arrived of the open message or these and 64 KiB, whichever is more, and between
 * messages STWI_DECODER_KEPT_BYTES_MAX while traffic flows.  Work is proportional to the bytes
 * consumed.
 *
 * Once it has given CLOSE or ERROR it swallows all further input and gives only NONE.  ERROR means:
 * send CLOSE with item.close_code, then end the link.
 *   1002  the peer broke the framing rules (item.why names which)
 *   1007  text, or the reason of a CLOSE, is not UTF-8; found at the first impossible byte
 *   1009  the message would exceed message_bytes_max (found at its header, before any memory is
 *         reserved), or there is no memory to assemble it
 */
struct stwi_item stwi_decoder_next(struct stwi_decoder *d, const uint8_t **bytes, size_t *size);

/* Hands over the buffer in which `item`, the last one given, was assembled, so that it outlives the
 * next call: the caller frees it with stwi_free.  NULL: the item lies in the input, or the decoder
 * needs the buffer. */
uint8_t *stwi_decoder_detach(struct stwi_decoder *d, const struct stwi_item *item);

/* True from the first header of a message until its last byte: control frames may come now, and a
 * link that ends now has lost a message. */
bool stwi_decoder_mid_message(const struct stwi_decoder *d);

/* Bytes reserved for assembling; 0 when nothing is pending. */
size_t stwi_decoder_held_bytes(const struct stwi_decoder *d);

/* Exact wire size of a frame with `payload_bytes` of payload. */
size_t stwi_frame_size(size_t payload_bytes, bool masked);

/* Writes one frame, header and payload, to `out` (stwi_frame_size bytes) and gives its size.
 *
 * `mask` is given by a client (4 fresh unpredictable bytes per frame, RFC 6455 section 10.3) and
 * NULL for a server.  `payload` is borrowed, may be NULL when empty, and must not overlap `out`.
 * The caller keeps to the rules of the RFC: control frames have fin and at most 125 bytes.
 */
size_t stwi_frame_encode(uint8_t *out, unsigned opcode, bool fin, const uint8_t mask[4],
                         const void *payload, size_t payload_bytes);

/* As stwi_frame_encode, for a payload in two pieces: `prefix` goes first. */
size_t stwi_frame_encode_two(uint8_t *out, unsigned opcode, bool fin, const uint8_t mask[4],
                             const void *prefix, size_t prefix_bytes, const void *payload,
                             size_t payload_bytes);

/* Writes a CLOSE frame to `out` (room for stwi_frame_size(125, mask != NULL)) and gives its size.
 *
 * `reason` (borrowed; NULL when empty) is cut to 123 bytes at a UTF-8 border, earlier if it stops
 * being valid UTF-8.  Code 1005 gives the CLOSE without code and reason.  Any other code must
 * satisfy stwi_close_code_valid.
 */
size_t stwi_close_encode(uint8_t *out, const uint8_t mask[4], uint16_t code, const char *reason,
                         size_t reason_bytes);

/* May this code be on the wire?  RFC 6455 section 7.4 and its IANA registry: 1000-1003, 1007-1014,
 * 3000-4999. */
bool stwi_close_code_valid(uint16_t code);

#endif
