/* pace.h: when to try again.
 *
 * By cause: at once within 250 ms (local, path), or in windows that follow each other from the loss
 * on, each twice as long as the last, so that a fleet dropped together never sends two waves at the
 * same moment.  A first window below 2 s comes twice, [0, W) and [W, 2W), before the doubling: most
 * restarts take about a second.  A server's hint (after, spread) or Retry-After beats both.  A
 * server that was reached and has no room makes windows and patience grow faster and further: where
 * it goes on with the work of clients that have left, a fleet comes back only if its attempts are
 * further apart than the server needs for all of them.  Budgets bound the attempts of a whole
 * process per endpoint, and of hedges per conn.
 * Sources: DESIGN section 6; Finagle RetryBudget; grpc connection-backoff.md for the contrast.
 */
#ifndef STWI_CORE_PACE_H
#define STWI_CORE_PACE_H

#include "core/input.h"

/* xoshiro256++ or splitmix64: small, seeded, never shared. */
struct stwi_random {
  uint64_t state[4];
};
void stwi_random_seed(struct stwi_random *random, uint64_t seed);
/* The seed of one of the streams of one of many: unlike for near numbers, the same whatever the
 * order in which they are asked for. */
uint64_t stwi_random_stream(uint64_t master, uint64_t client, uint64_t stream);
uint64_t stwi_random_next(struct stwi_random *random);
/* Uniform in [0, bound); 0 for bound 0. */
uint64_t stwi_random_below(struct stwi_random *random, uint64_t bound);

/* What the cause table says about time. */
enum stwi_pace_kind {
  STWI_PACE_NOW,
  STWI_PACE_WINDOW,
  STWI_PACE_WINDOW_X4,
  STWI_PACE_OVERLOAD, /* as WINDOW_X4, and the server was reached: it has no room */
  STWI_PACE_SILENT    /* said of a path, not of a cause: nothing comes back from anywhere */
};

struct stwi_hint {
  bool is_given;
  uint64_t after_ms, spread_ms;
};
#define STWI_HINT_MAX_MS 600000u

/* Parses a close reason that begins with "r=<ms>;w=<ms>" (either order, then the end, ";" or a
 * space); caps both at 10 minutes.  Without w the spread is that of Retry-After. */
struct stwi_hint stwi_hint_parse(const char *reason, size_t size);
/* Retry-After: after it, spread over 5 % + 500 ms; 0: not given. */
struct stwi_hint stwi_hint_retry_after(uint64_t retry_after_ms);

/* While the cause is overload the longest window is so many caps long: 10 minutes with the usual
 * cap of 60 s. */
#define STWI_PACE_LIFT 10u
#define STWI_PATIENCE_MAX (120 * STWI_S)

struct stwi_pace {
  uint64_t window_ns, cap_ns;
  stwi_time lost_at;  /* t0 of the windows; after a hint the moment it named */
  uint32_t attempts;  /* failed since the last stable link; 0: lost_at says nothing */
  uint32_t overloads; /* of them with OVERLOAD */
  uint64_t start_ns;  /* of the last window, from lost_at on */
  uint64_t length_ns; /* of the last window; 0: none yet */
  uint64_t spread_ns; /* of the last hint; 0: none */
};

void stwi_pace_init(struct stwi_pace *pace, uint64_t window_ns, uint64_t cap_ns);
/* A link was lost or an attempt failed at `now`: the time of the next attempt (>= now).
 *
 * NOW is at once for the first failure since a stable link only; a link that fails again and again
 * waits in windows.  WINDOW_X4, OVERLOAD: the first window is 4 W, a later one four times as long
 * as the last instead of twice.  A hint is obeyed; one that asks to come at once is spread over up
 * to 1 s for those who have failed before.  A window is at most `cap` long, or as long as the last
 * hint's spread (see STWI_PACE_LIFT); one that is more than half over when the attempt fails is
 * left out.  SILENT: attempts burden nobody, and the first one after the path is back counts:
 * windows of 4 s at most, from `now` on. */
stwi_time stwi_pace_next(struct stwi_pace *pace, enum stwi_pace_kind kind,
                         const struct stwi_hint *hint, stwi_time now, struct stwi_random *random);
/* How long an attempt may take once it has reached the server: `patience_ns`, doubled with each
 * OVERLOAD up to 120 s.  A client that gives up early only costs a crowded server work. */
uint64_t stwi_pace_patience(const struct stwi_pace *pace, uint64_t patience_ns);
/* A link has shown proof and been up for 2 s: back to the first window, and to the usual patience.
 */
void stwi_pace_reset(struct stwi_pace *pace);

/* Token bucket in integers: a token is as many units as its refill takes nanoseconds at the base
 * rate, so nothing is ever rounded and nothing drifts. */
struct stwi_bucket {
  uint64_t units;
  stwi_time filled_at;
};
/* Attempt budget of an endpoint with `conns` conns: burst 10 + conns, refill max(1 per 6 s, `conns`
 * per 60 s). */
void stwi_budget_init(struct stwi_bucket *bucket, stwi_time now);
/* May an attempt start?  Does not spend. Otherwise *when is the time a token will be there. */
bool stwi_budget_allows(struct stwi_bucket *bucket, uint32_t conns, stwi_time now, stwi_time *when);
/* A failed attempt, or a link that died young, spends one: an attempt when it starts, so that conns
 * that wait for the same token do not all take it.  True: there was one to be given back. */
bool stwi_budget_spend(struct stwi_bucket *bucket, uint32_t conns, stwi_time now);
/* One more, up to what is full when it is used next: of an attempt that did not fail, or of a new
 * conn. */
void stwi_budget_give(struct stwi_bucket *bucket);
/* Hedges of one conn: one per 10 s (burst 2), plus 20 % of attempts given by earn. */
void stwi_hedge_init(struct stwi_bucket *bucket, stwi_time now);
bool stwi_hedge_take(struct stwi_bucket *bucket, stwi_time now);
void stwi_hedge_earn(struct stwi_bucket *bucket);

#endif
