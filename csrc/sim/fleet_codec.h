/* fleet_codec.h: frames of steadwire.v1 as the bytes of their structs: both ends live in the same
 * process, and what is under test is not how a frame is written.
 */
#ifndef STWI_SIM_FLEET_CODEC_H
#define STWI_SIM_FLEET_CODEC_H

#include "core/session_frame.h"

extern const struct stwi_session_codec stwi_fleet_codec;

#endif
