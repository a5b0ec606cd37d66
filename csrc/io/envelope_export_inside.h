/* envelope_export_inside.h: what the writer and the reader of exports share. */
#ifndef STWI_IO_ENVELOPE_EXPORT_INSIDE_H
#define STWI_IO_ENVELOPE_EXPORT_INSIDE_H

#include "io/envelope_export.h"

#define STWI_EXPORT_DETAIL_BYTES 200
#define STWI_EXPORT_MAGIC "STWEXP\0\1" /* the last byte is the version */
#define STWI_EXPORT_MAGIC_BYTES 8u
#define STWI_EXPORT_END_BYTES 15u /* 0x92, 0xcf count, 0xce CRC */
#define STWI_EXPORT_FIELDS 12u

#endif
