#include "client/engine_inside.h"
#include "io/clock.h"
#include "io/hints.h"

#define STALL_NS (1 * STWI_S)
#define SLEEP_NS (2 * STWI_S)

static void on_network(void *owner, bool has_come) {
  struct stwi_engine *engine = owner;
  engine->transport.ops->look(engine->transport.self);
  const struct stwi_input noticed = {.kind = STWI_IN_NOTICED};
  if (has_come)
    stwi_engine_put(engine, &noticed);
}

static void on_clock(void *owner) {
  struct stwi_engine *engine = owner;
  engine->has_clock_news = true;
}

void stwi_engine_watch_begin(struct stwi_engine *engine) {
  const struct stwi_hints_hooks hooks = {engine, on_network, on_clock};
  engine->last_turn = stwi_clock_monotonic();
  engine->last_boot = stwi_clock_boot();
  if (engine->transport.ops->look != NULL)
    engine->hints = stwi_hints_new(engine->loop, &hooks);
}

void stwi_engine_watch_end(struct stwi_engine *engine) {
  stwi_hints_free(engine->hints);
  engine->hints = NULL;
}

/* CLOCK_BOOTTIME went on while CLOCK_MONOTONIC stood still: the machine slept.  A deadline is long
 * over: this process did not run. */
void stwi_engine_watch_time(struct stwi_engine *engine, stwi_time now) {
  const uint64_t passed = now - engine->last_turn;
  if (passed <= STALL_NS && !engine->has_clock_news)
    return;
  const stwi_time due = stwi_core_deadline(engine->core);
  const uint64_t boot = stwi_clock_boot();
  if (boot - engine->last_boot > passed + SLEEP_NS) {
    const struct stwi_input wake = {.kind = STWI_IN_WAKE};
    stwi_engine_step(engine, &wake, now);
  } else if (due != STWI_NEVER && now > due + STALL_NS) {
    struct stwi_input stalled = {.kind = STWI_IN_STALLED};
    stalled.u.stalled.for_ns = now - due;
    stwi_engine_step(engine, &stalled, now);
  }
  engine->has_clock_news = false;
  engine->last_boot = boot;
  engine->last_turn = now;
}
