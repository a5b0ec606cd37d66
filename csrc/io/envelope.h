/* envelope: the frames of steadwire.v1 between structs and msgpack bytes (docs/protocol.md).
 *
 * Reading is one pass of our own cursor over the bytes, without heap: every length is checked
 * against what is left before it is used, so a frame costs no more than its size.  msgpack-c, which
 * reserves what a frame merely announces, only writes.
 */
#ifndef STWI_IO_ENVELOPE_H
#define STWI_IO_ENVELOPE_H

#include "core/session_frame.h"

/* Bounds of what is read, in any map or array of a frame. */
#define STWI_ENVELOPE_DEPTH_MAX 16u     /* the frame's own array is at depth 1 */
#define STWI_ENVELOPE_MAP_MAX 64u       /* entries of one map */
#define STWI_ENVELOPE_KEY_BYTES_MAX 64u /* bytes of a map's key */
/* Numbers of messages: so that a signed 64-bit integer holds them in every language. */
#define STWI_ENVELOPE_NUMBER_MAX ((uint64_t)INT64_MAX)

/* The codec that the core's sessions are given.  Stateless; any thread. */
extern const struct stwi_session_codec stwi_envelope;

/* True if the `size` bytes (borrowed) are exactly one msgpack value that keeps the bounds above,
 * with strings in UTF-8, maps whose keys are different strings, and no ext.  Otherwise *why is a
 * static sentence.  Any thread. */
bool stwi_envelope_valid(const uint8_t *data, size_t size, const char **why);

#endif
