/* envelope_export.h: messages in a file of their own, to be carried elsewhere.
 *
 * Eight bytes "STWEXP\0" and the version, then msgpack: one map per message {"stream", "number",
 * "lane", "guarantee", "text", "key", "ttl_ns", "age_ns", "attempts", "state", "cause", "body"},
 * and last an array [count as uint64, CRC-32 of all bytes before it as uint32]: a file that was cut
 * is noticed.
 *
 * Reading bounds every length by what is left of the file before anything is reserved.
 */
#ifndef STWI_IO_ENVELOPE_EXPORT_H
#define STWI_IO_ENVELOPE_EXPORT_H

#include "core/chunk.h"

#define STWI_EXPORT_VERSION 1u
/* Files over this are refused; `detail` always has room for 200 bytes. */
#define STWI_EXPORT_BYTES_MAX ((uint64_t)4 << 30)

struct stwi_export; /* a file being written; one thread */

/* Begins a file beside `path`, mode 0600.  E_STORE (path exists, cannot be written), E_MEMORY. */
stw_status stwi_export_begin(const char *path, struct stwi_export **export, char *detail);
/* Appends `msg`: its ttl_ns is what is left of it, waited_ns its age.  E_STORE, E_MEMORY. */
stw_status stwi_export_put(struct stwi_export *export, const struct stwi_msg *msg, char *detail);
/* With `status` OK: ends the file, syncs it and gives it its name, unless `path` has come to exist
 * meanwhile.  Otherwise removes it and answers `status`.  Frees `export`.  *count: messages. */
stw_status stwi_export_end(struct stwi_export *export, stw_status status, uint64_t *count,
                           char *detail);

/* Reads a whole export; *chunks (NULL if it is empty) is the caller's.  Messages have id, lane,
 * guarantee, is_text, ttl_ns, waited_ns, attempts, state QUEUED.  E_FORMAT (`detail` names the
 * place), E_STORE (unreadable), E_MEMORY. */
stw_status stwi_export_read(const char *path, struct stwi_chunk **chunks, char *detail);
/* Likewise from memory. */
stw_status stwi_export_parse(const uint8_t *data, size_t size, struct stwi_chunk **chunks,
                             char *detail);

/* CRC-32 (IEEE 802.3) of `size` bytes behind what gave `crc`; 0 begins. */
uint32_t stwi_export_crc(uint32_t crc, const uint8_t *data, size_t size);

#endif
