/* failing_mem: takes the place of core/mem in a test program, so that any allocation can fail.
 *
 * Include it in exactly one file of the program.  failing_mem_after counts the allocations that
 * still succeed (-1: all do); failing_mem_live counts the blocks not yet given back, and
 * failing_mem_calls all requests so far.
 */
#ifndef STEADWIRE_TESTS_FAILING_MEM_H
#define STEADWIRE_TESTS_FAILING_MEM_H

#include "core/mem.h"

#include <stdbool.h>
#include <stdlib.h>

static long failing_mem_after = -1;
static long failing_mem_live;
static long failing_mem_calls;

static bool failing_mem_refuses(void) {
  failing_mem_calls++;
  if (failing_mem_after < 0)
    return false;
  if (failing_mem_after == 0)
    return true;
  failing_mem_after--;
  return false;
}

void *stwi_alloc(size_t size) {
  return stwi_realloc(NULL, size);
}

void *stwi_realloc(void *memory, size_t size) {
  if (failing_mem_refuses())
    return NULL;
  const bool is_new = memory == NULL;
  void *moved = realloc(memory, size);
  if (moved != NULL && is_new)
    failing_mem_live++;
  return moved;
}

void stwi_free(void *memory) {
  if (memory != NULL)
    failing_mem_live--;
  free(memory);
}

#endif
