/* handle.h: 64-bit names for objects: type | generation | slot.
 *
 * A handle is looked up, never dereferenced: a stale, foreign or made-up one is refused.  Holding
 * keeps the object alive for the call; the object's own `free` runs when it is retired and the last
 * holder has dropped it.  Any thread; hold and drop are lock-free.
 */
#ifndef STWI_CLIENT_HANDLE_H
#define STWI_CLIENT_HANDLE_H

#include <steadwire/status.h>

enum stwi_handle_type {
  STWI_HANDLE_ENGINE = 1,
  STWI_HANDLE_MAILBOX = 2,
  STWI_HANDLE_CONN = 3,
  STWI_HANDLE_FILE = 4
};

/* Names `object`.  0 where there is no room (1,048,576 handles) or no memory. */
uint64_t stwi_handle_new(enum stwi_handle_type type, void *object, void (*free)(void *object));

/* OK: *object is held until stwi_handle_drop.  E_HANDLE, E_FORKED; the sentence is set. */
stw_status stwi_handle_hold(uint64_t id, enum stwi_handle_type type, void **object);
void stwi_handle_drop(uint64_t id);

/* No further hold succeeds.  False: somebody else retired it before. */
bool stwi_handle_retire(uint64_t id);

/* Changes in a child of fork: what was made before it belongs to the parent. */
uint32_t stwi_fork_count(void);

#endif
