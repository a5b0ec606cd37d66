#include "core/idle.h"

#define STEP (30 * STWI_S)
#define MEMORY (7 * 24 * 3600 * STWI_S)
#define PROXY_BOUND_MAX (90 * STWI_S) /* a search by steps finds its 60 s so late at the latest */

enum { LIVES_FOR_STEP = 3, TRIALS = 3, DEATHS = 2, BEYOND = 2, EDGE = 4 };

/* Intervals vary by 15 % from link to link. */
static uint64_t about(uint64_t ns) {
  return ns / 5 * 4;
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

struct stwi_idle *stwi_idles_of(struct stwi_idles *idles, uint64_t network, stwi_time now) {
  struct stwi_idle *oldest = &idles->items[0];
  for (uint32_t i = 0; i < STWI_IDLE_NETWORKS; i++) {
    struct stwi_idle *item = &idles->items[i];
    if (item->used_at != 0 && item->network == network) {
      oldest = item;
      break;
    }
    if (item->used_at < oldest->used_at)
      oldest = item;
  }
  if (oldest->used_at == 0 || oldest->network != network)
    *oldest = (struct stwi_idle){.network = network, .step_ns = STWI_IDLE_FIRST};
  oldest->used_at = now == 0 ? 1 : now;
  return oldest;
}

static void forget_doubt(struct stwi_idle *idle) {
  idle->doubt_ns = 0;
  idle->deaths = idle->trials = 0;
}

static void forget_edge(struct stwi_idle *idle) {
  idle->edge_ns = 0;
  idle->edge_deaths = 0;
}

/* Networks change: after a while a bound is tried again. */
static void forget_old(struct stwi_idle *idle, stwi_time now) {
  if (idle->bound_ns != 0 && now - idle->bound_at >= MEMORY)
    idle->bound_ns = 0;
}

static void take_step(struct stwi_idle *idle) {
  if (idle->lived_ns < idle->least_ns)
    idle->lived_ns = idle->least_ns;
  idle->lives = 0;
  if (idle->bound_ns == 0)
    idle->step_ns = least(idle->step_ns + STEP, STWI_IDLE_MAX);
}

static void count_life(struct stwi_idle *idle, uint64_t idle_ns) {
  if (idle_ns < about(stwi_idle_interval_ns(idle)))
    return;
  idle->least_ns = idle->lives == 0 ? idle_ns : least(idle->least_ns, idle_ns);
  if (++idle->lives >= LIVES_FOR_STEP)
    take_step(idle);
}

void stwi_idle_lived(struct stwi_idle *idle, uint64_t idle_ns, stwi_time now) {
  forget_old(idle, now);
  if (idle->doubt_ns != 0 && idle_ns >= about(idle->doubt_ns)) {
    idle->trials++;
    if (idle->trials - idle->deaths > TRIALS - DEATHS || idle->doubt_ns <= idle->lived_ns)
      forget_doubt(idle);
  }
  if (idle->edge_ns != 0 && idle_ns >= idle->edge_ns)
    forget_edge(idle);
  if (idle->bound_ns != 0 && idle_ns >= idle->bound_ns && ++idle->beyond >= BEYOND) {
    idle->bound_ns = 0;
    idle->beyond = 0;
  }
  count_life(idle, idle_ns);
}

static void set_bound(struct stwi_idle *idle, uint64_t bound_ns, stwi_time now) {
  idle->bound_ns = bound_ns;
  idle->bound_at = now;
  if (idle->lived_ns >= idle->bound_ns)
    idle->lived_ns = 0;
  forget_doubt(idle);
  forget_edge(idle);
  idle->step_ns = stwi_idle_interval_ns(idle);
}

/* At about the same time, nearly all that go so far: true once that is no chance. */
static bool doubt(struct stwi_idle *idle, uint64_t idle_ns) {
  if (idle->doubt_ns == 0 || idle_ns < about(idle->doubt_ns)) {
    idle->doubt_ns = idle_ns;
    idle->deaths = idle->trials = 0;
  }
  idle->doubt_ns = least(idle->doubt_ns, idle_ns);
  idle->deaths++;
  idle->trials++;
  return idle->deaths >= (idle->doubt_ns <= idle->lived_ns ? TRIALS : DEATHS);
}

/* All that go so far, if it is few: true once that is no chance. */
static bool is_edge(struct stwi_idle *idle, uint64_t idle_ns) {
  idle->edge_ns = idle->edge_ns == 0 ? idle_ns : least(idle->edge_ns, idle_ns);
  return ++idle->edge_deaths >= EDGE;
}

bool stwi_idle_died(struct stwi_idle *idle, uint64_t idle_ns, stwi_time now) {
  forget_old(idle, now);
  if (idle_ns < STWI_IDLE_SHORTEST)
    return false;
  idle->lives = idle->beyond = 0;
  const bool has_edge = is_edge(idle, idle_ns);
  if (!doubt(idle, idle_ns) && !has_edge)
    return false;
  set_bound(idle, has_edge ? idle->edge_ns : idle->doubt_ns, now);
  return true;
}

bool stwi_idle_is_known_to_kill(const struct stwi_idle *idle, uint64_t idle_ns) {
  return (idle->bound_ns != 0 && idle_ns >= idle->bound_ns) ||
         (idle->doubt_ns != 0 && idle_ns >= about(idle->doubt_ns));
}

uint64_t stwi_idle_cap_ns(const struct stwi_idle *idle) {
  if (idle->bound_ns == 0)
    return STWI_NEVER;
  const uint64_t below = idle->bound_ns / 5 * 4;
  const bool is_proxy = idle->bound_ns > STWI_IDLE_PROXY && idle->bound_ns <= PROXY_BOUND_MAX;
  return is_proxy ? least(below, STWI_IDLE_PROXY) : below;
}

uint64_t stwi_idle_interval_ns(const struct stwi_idle *idle) {
  return least(idle->step_ns, stwi_idle_cap_ns(idle));
}
