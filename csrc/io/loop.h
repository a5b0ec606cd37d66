/* loop.h: the engine thread's one libuv loop: wake, turn, deadline, DNS, foreign descriptors.
 *
 * Everything is owner only (the thread that runs it) except `stwi_loop_wake` and the constructor.
 * A turn ends with the hook `turn`: that is where inputs are stepped and output is flushed, so a
 * batch of whatever arrived costs one step and one write per link.
 */
#ifndef STWI_IO_LOOP_H
#define STWI_IO_LOOP_H

#include "core/input.h"

struct stwi_loop;

struct stwi_loop_hooks {
  void *owner;
  /* End of a loop turn (uv_check), and before the loop would sleep when something is dirty
   * (stwi_loop_dirty was called, a wake came, or the deadline is over). */
  void (*turn)(void *owner, stwi_time now);
};

/* Not yet running; NULL without memory or descriptors. */
struct stwi_loop *stwi_loop_new(const struct stwi_loop_hooks *hooks);
/* After run returned, with everything on it closed.  Waits up to 0.3 s for a name that is still
 * being resolved, then leaves the loop's memory to that thread of libuv. */
void stwi_loop_free(struct stwi_loop *loop);
void stwi_loop_run(struct stwi_loop *loop);   /* until stop */
void stwi_loop_stop(struct stwi_loop *loop);  /* owner */
void stwi_loop_wake(struct stwi_loop *loop);  /* any thread; coalesces */
void stwi_loop_dirty(struct stwi_loop *loop); /* run the turn hook before sleeping again */
/* The turn hook runs at `at` or up to a few ms later; then it is STWI_NEVER again (none).  Setting
 * the same time again costs nothing. */
void stwi_loop_deadline(struct stwi_loop *loop, stwi_time at);
stwi_time stwi_loop_now(struct stwi_loop *loop); /* read once per turn */
void *stwi_loop_uv(struct stwi_loop *loop);      /* uv_loop_t *, for the transports */

/* Runs the loop, without the turn hook, until `is_done` says so or `patience_ms` are over; for what
 * must close before its owner is freed.  Owner, outside of stwi_loop_run.  True if it is done. */
bool stwi_loop_settle(struct stwi_loop *loop, bool (*is_done)(void *owner), void *owner,
                      uint32_t patience_ms);

#endif
