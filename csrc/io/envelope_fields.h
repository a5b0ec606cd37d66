/* envelope_fields: what the maps of HELLO, WELCOME and GOAWAY hold, as tables that reading and
 * writing share.  The order of a table is the order of the bytes that we write; a reader takes any.
 */
#ifndef STWI_IO_ENVELOPE_FIELDS_H
#define STWI_IO_ENVELOPE_FIELDS_H

#include "core/session_frame.h"

enum stwi_field_kind {
  STWI_FIELD_VERSIONS, /* array of integers <-> uint32_t, bit v: version v; others are left out */
  STWI_FIELD_UINT32,   /* an integer that fits */
  STWI_FIELD_BITS,     /* an integer <-> uint32_t; higher bits are left out */
  STWI_FIELD_UINT64,
  STWI_FIELD_RECEIVED, /* [data, control] <-> uint64_t[STW_LANE_COUNT]: numbers from 0 */
  STWI_FIELD_NUMBERS,  /* likewise, from 1 */
  STWI_FIELD_BIN,      /* exactly `size` bytes */
  STWI_FIELD_RESUME,   /* 0 to 2 <-> enum stwi_resume_state */
  STWI_FIELD_BOOL,
  STWI_FIELD_TEXT /* <-> struct stwi_text; "" is not written where the field is optional */
};

#define STWI_FIELD_ALWAYS 0xffffu   /* must be there */
#define STWI_FIELD_OPTIONAL 0xfffeu /* its struct member says by itself that it is not there */

struct stwi_field {
  const char *key;
  enum stwi_field_kind kind;
  uint16_t size;      /* of BIN */
  uint16_t offset;    /* in struct stwi_sframe */
  uint16_t presence;  /* one of the above, or the offset of a bool */
  const char *absent; /* sentences: it is missing; it is not what it has to be */
  const char *wrong;
};

struct stwi_field_table {
  const struct stwi_field *fields;
  uint32_t count;
};

/* The table of a frame type whose second element is a map; count 0 for the others. Any thread. */
struct stwi_field_table stwi_envelope_fields(uint32_t type);

#endif
