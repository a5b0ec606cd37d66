/* mem: the one door to the heap for the core.
 *
 * Three thin functions over malloc, realloc and free, weak on purpose: a test program that defines
 * functions of the same names replaces them and can make any allocation fail
 * (tests/support/failing_mem.h).  Memory from these functions is given back only by stwi_free.
 * Any thread.
 */
#ifndef STEADWIRE_CORE_MEM_H
#define STEADWIRE_CORE_MEM_H

#include <stddef.h>

/* Reserves `size` bytes (at least 1), not cleared.  NULL: out of memory; the caller answers with a
 * status, it never aborts. */
void *stwi_alloc(size_t size);

/* Resizes `memory` (or reserves, for NULL) to `size` bytes (at least 1) and keeps its content.
 * NULL: out of memory, and `memory` stays valid and unchanged. */
void *stwi_realloc(void *memory, size_t size);

/* Gives `memory` back; NULL is allowed. */
void stwi_free(void *memory);

#endif
