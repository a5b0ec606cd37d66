/* envelope_pack: writes the frames of steadwire.v1 with msgpack-c. */
#ifndef STWI_IO_ENVELOPE_PACK_H
#define STWI_IO_ENVELOPE_PACK_H

#include "core/session_frame.h"

/* encode() of struct stwi_session_codec; see core/session_frame.h.  Every value is written in its
 * shortest form.  Any thread. */
size_t stwi_envelope_pack(const struct stwi_sframe *frame, uint8_t *out, size_t max);

#endif
