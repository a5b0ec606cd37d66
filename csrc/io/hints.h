/* hints.h: what the kernel tells of the machine's networks and of its sleep, as it happens.
 *
 * rtnetlink(7) says when a link, an address or a route comes or goes; a timer of the wall clock
 * that is cancelled when that clock is set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET) says that
 * the machine may have slept.  Both only say "look": what it means for a connection is asked of the
 * connection (path.h), and of the clocks.  Owner only (the loop's thread).
 */
#ifndef STWI_IO_HINTS_H
#define STWI_IO_HINTS_H

#include "io/loop.h"

struct stwi_hints;

struct stwi_hints_hooks {
  void *owner;
  /* Something changed; `has_come`: an address, a route or a carrier is new.  At once, then at most
   * every 100 ms, and every 1.6 s where it never ends. */
  void (*network)(void *owner, bool has_come);
  void (*clock)(void *owner); /* the wall clock was set: by hand, by NTP, or by waking up */
};

/* NULL where the kernel offers neither (or without memory or descriptors): the engine then goes by
 * heartbeats alone. */
struct stwi_hints *stwi_hints_new(struct stwi_loop *loop, const struct stwi_hints_hooks *hooks);
/* While the loop does not run.  NULL is allowed. */
void stwi_hints_free(struct stwi_hints *hints);

#endif
