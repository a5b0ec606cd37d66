#include "mem.h"

#include <stdlib.h>

__attribute__((weak)) void *stwi_alloc(size_t size) {
  return malloc(size);
}

__attribute__((weak)) void *stwi_realloc(void *memory, size_t size) {
  return realloc(memory, size);
}

__attribute__((weak)) void stwi_free(void *memory) {
  free(memory);
}
