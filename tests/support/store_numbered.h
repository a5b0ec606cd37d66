/* store_numbered: messages of the data lane whose bodies say their numbers, for tests of stores. */
#ifndef STEADWIRE_TESTS_STORE_NUMBERED_H
#define STEADWIRE_TESTS_STORE_NUMBERED_H

#include "store_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Opens, or says why not. */
static inline void numbered_open(struct store_world *world) {
  const stw_status status = store_world_open(world);
  if (status != STW_OK)
    fail_msg("%d: %s", status, world->detail);
}

/* Changes the store by one message more; it is not flushed yet. */
static inline void numbered_put(struct store_world *world, uint64_t number) {
  char body[40];
  snprintf(body, sizeof body, "message %llu", (unsigned long long)number);
  store_world_put(world, STW_LANE_DATA, number, body, STW_AT_LEAST_ONCE);
}

/* Those from `first` to `last` were restored, whole. */
static inline void numbered_expect(struct store_world *world, uint64_t first, uint64_t last) {
  for (uint64_t number = first; number <= last; number++) {
    char body[40];
    const int size = snprintf(body, sizeof body, "message %llu", (unsigned long long)number);
    const struct stwi_msg *msg = store_world_find(world, STW_LANE_DATA, number);
    assert_non_null(msg);
    assert_int_equal(msg->size, size);
    assert_memory_equal(stwi_msg_body(msg), body, (size_t)size);
  }
}

#endif
