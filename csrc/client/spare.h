/* spare.h: large blocks of memory that are soon wanted again.
 *
 * What a burst of events frees, malloc may give back to the system, which clears it again for the
 * next burst: that costs more than the messages.  So one small stock per process keeps some.  Any
 * thread; never waits: who finds the stock in use goes to malloc (also in a child of fork whose
 * parent was using it).
 */
#ifndef STWI_CLIENT_SPARE_H
#define STWI_CLIENT_SPARE_H

#include <stddef.h>

#define STWI_SPARE_SIZE_MIN ((size_t)16 * 1024) /* of a block that is kept */
#define STWI_SPARE_BYTES_MAX ((size_t)2 * 1024 * 1024)

/* A block of at least `*size` bytes, not cleared; *size becomes what it has.  NULL without memory.
 * Give it back with stwi_spare_give. */
void *stwi_spare_take(size_t *size);
/* Takes a block of `size` bytes, from stwi_spare_take. */
void stwi_spare_give(void *block, size_t size);

#endif
