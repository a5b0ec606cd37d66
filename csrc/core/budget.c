#include "core/pace.h"

/* One token of an endpoint at the rate of one conn per 60 s. */
#define ATTEMPT (60 * STWI_S)
#define HEDGE (10 * STWI_S)

enum { BURST = 10, RATE_MIN = 10, HEDGE_BURST = 2, HEDGE_EARNED_PERCENT = 20 };

/* Adds `rate` units per nanosecond up to `full`. */
static void fill(struct stwi_bucket *bucket, uint64_t full, uint64_t rate, stwi_time now) {
  const uint64_t elapsed = now > bucket->filled_at ? now - bucket->filled_at : 0;
  bucket->filled_at += elapsed;
  if (bucket->units >= full || elapsed > (full - bucket->units) / rate)
    bucket->units = full;
  else
    bucket->units += elapsed * rate;
}

static uint64_t rate_of(uint32_t conns) {
  return conns > RATE_MIN ? conns : RATE_MIN;
}

/* At most 2^28 conns are counted: the full bucket then fits its integer. */
static uint32_t counted(uint32_t conns) {
  return conns < (1u << 28) ? conns : 1u << 28;
}

static void fill_attempts(struct stwi_bucket *bucket, uint32_t conns, stwi_time now) {
  fill(bucket, (BURST + (uint64_t)conns) * ATTEMPT, rate_of(conns), now);
}

void stwi_budget_init(struct stwi_bucket *bucket, stwi_time now) {
  *bucket = (struct stwi_bucket){.units = UINT64_MAX, .filled_at = now}; /* cut to full when used */
}

bool stwi_budget_allows(struct stwi_bucket *bucket, uint32_t conns, stwi_time now,
                        stwi_time *when) {
  conns = counted(conns);
  fill_attempts(bucket, conns, now);
  if (bucket->units >= ATTEMPT)
    return true;
  const uint64_t rate = rate_of(conns);
  const uint64_t wait = (ATTEMPT - bucket->units + rate - 1) / rate;
  const stwi_time from = bucket->filled_at; /* now, or what another thread's clock has said */
  *when = from > STWI_NEVER - 1 - wait ? STWI_NEVER - 1 : from + wait;
  return false;
}

bool stwi_budget_spend(struct stwi_bucket *bucket, uint32_t conns, stwi_time now) {
  fill_attempts(bucket, counted(conns), now);
  const bool is_whole = bucket->units >= ATTEMPT;
  bucket->units -= is_whole ? ATTEMPT : bucket->units;
  return is_whole;
}

void stwi_budget_give(struct stwi_bucket *bucket) {
  bucket->units += bucket->units > UINT64_MAX - ATTEMPT ? 0 : ATTEMPT;
}

void stwi_hedge_init(struct stwi_bucket *bucket, stwi_time now) {
  *bucket = (struct stwi_bucket){.units = HEDGE_BURST * HEDGE, .filled_at = now};
}

bool stwi_hedge_take(struct stwi_bucket *bucket, stwi_time now) {
  fill(bucket, HEDGE_BURST * HEDGE, 1, now);
  if (bucket->units < HEDGE)
    return false;
  bucket->units -= HEDGE;
  return true;
}

void stwi_hedge_earn(struct stwi_bucket *bucket) {
  bucket->units += HEDGE * HEDGE_EARNED_PERCENT / 100;
  if (bucket->units > HEDGE_BURST * HEDGE)
    bucket->units = HEDGE_BURST * HEDGE;
}
