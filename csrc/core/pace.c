#include "core/pace.h"

#define SOON (250 * STWI_MS)
#define SILENT_MAX (4 * STWI_S)

/* Saturates below STWI_NEVER: the far end of time is still a time. */
static uint64_t plus(uint64_t a, uint64_t b) {
  const uint64_t sum = a + b;
  return sum < a || sum == STWI_NEVER ? STWI_NEVER - 1 : sum;
}

static uint64_t times(uint64_t a, uint64_t b) {
  return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

void stwi_pace_init(struct stwi_pace *pace, uint64_t window_ns, uint64_t cap_ns) {
  *pace = (struct stwi_pace){.window_ns = window_ns == 0 ? 1 : window_ns};
  pace->cap_ns = cap_ns < pace->window_ns ? pace->window_ns : cap_ns;
}

void stwi_pace_reset(struct stwi_pace *pace) {
  stwi_pace_init(pace, pace->window_ns, pace->cap_ns);
}

/* A window, as offsets from lost_at. */
struct window {
  uint64_t start, length;
};

/* A first window shorter than this comes twice: most restarts take about a second, and who found
 * the door shut in the first window should not wait for up to three. */
#define TWICE_BELOW (2 * STWI_S)

enum { FACTOR = 2, FACTOR_X4 = 4 };

/* What is no overload is not paced as one, although there was one before: a path that is gone, or a
 * server that is, comes back without a crowd. */
static uint64_t longest(const struct stwi_pace *pace, enum stwi_pace_kind kind) {
  const uint64_t lift = kind == STWI_PACE_OVERLOAD ? STWI_PACE_LIFT : 1;
  const uint64_t cap = times(pace->cap_ns, lift);
  return cap > pace->spread_ns ? cap : pace->spread_ns;
}

/* The last window was longer than the next one may be: as if it had been no longer, and were over.
 */
static void come_down(struct stwi_pace *pace, uint64_t cap, uint64_t elapsed) {
  if (pace->length_ns <= cap)
    return;
  pace->length_ns = cap;
  if (plus(pace->start_ns, cap) > elapsed)
    pace->start_ns = elapsed > cap ? elapsed - cap : 0;
}

static uint64_t grown(uint64_t length, uint64_t factor, uint64_t cap) {
  const uint64_t product = times(length, factor);
  return product < cap ? product : cap;
}

/* The one that follows the last. */
static struct window window_after(const struct stwi_pace *pace, uint64_t factor, uint64_t cap) {
  if (pace->length_ns == 0) {
    const uint64_t wide = factor == FACTOR_X4 ? FACTOR_X4 : 1;
    return (struct window){0, grown(pace->window_ns, wide, cap)};
  }
  const bool is_twice = pace->start_ns == 0 && pace->length_ns < TWICE_BELOW && factor == FACTOR;
  const uint64_t length = is_twice ? pace->length_ns : grown(pace->length_ns, factor, cap);
  return (struct window){plus(pace->start_ns, pace->length_ns), length};
}

/* Leaves out windows that are more than half over, so that nobody crowds at a window's end. */
static struct window past(struct window window, uint64_t cap, uint64_t elapsed) {
  while (elapsed > plus(window.start, window.length / 2)) {
    const uint64_t behind = (elapsed - window.start) / window.length;
    /* of equal length from here on: no need to walk */
    const uint64_t steps = window.length >= cap && behind > 1 ? behind : 1;
    window.start = plus(window.start, times(window.length, steps));
    window.length = grown(window.length, FACTOR, cap);
  }
  return window;
}

/* Attempts beside their windows (a kick, a wake) use windows up too; the next one must not run away
 * with them.  Who waited for the last window is past its start. */
static struct window near(const struct stwi_pace *pace, struct window window, uint64_t elapsed) {
  const uint64_t reach = plus(elapsed, pace->length_ns);
  if (window.start > reach)
    window.start = reach;
  return window;
}

/* Who was asked to come at once and then turned away is asked so again and again: 250 ms, 500 ms
 * and then 1 s are the least for those who have failed before. */
static uint64_t spread_of(const struct stwi_pace *pace, const struct stwi_hint *hint) {
  const uint64_t after = hint->after_ms * STWI_MS, spread = hint->spread_ms * STWI_MS;
  if (pace->attempts < 2)
    return spread;
  const uint64_t within = SOON << (pace->attempts < 4 ? pace->attempts - 2 : 2);
  return plus(after, spread) < within ? within - after : spread;
}

static stwi_time at_hint(struct stwi_pace *pace, const struct stwi_hint *hint, stwi_time now,
                         struct stwi_random *random) {
  const uint64_t spread = spread_of(pace, hint);
  pace->lost_at = plus(now, hint->after_ms * STWI_MS);
  pace->start_ns = 0;
  pace->length_ns = spread > pace->window_ns ? spread : pace->window_ns;
  pace->spread_ns = spread;
  return plus(pace->lost_at, stwi_random_below(random, spread));
}

static stwi_time in_window(struct stwi_pace *pace, enum stwi_pace_kind kind, stwi_time now,
                           struct stwi_random *random) {
  const bool is_x4 = kind == STWI_PACE_WINDOW_X4 || kind == STWI_PACE_OVERLOAD;
  const uint64_t elapsed = now > pace->lost_at ? now - pace->lost_at : 0;
  const uint64_t cap = longest(pace, kind);
  come_down(pace, cap, elapsed);
  const struct window next =
      near(pace, window_after(pace, is_x4 ? FACTOR_X4 : FACTOR, cap), elapsed);
  const struct window window = past(next, cap, elapsed);
  const uint64_t end = plus(window.start, window.length);
  const uint64_t from = elapsed > window.start ? elapsed : window.start;
  pace->start_ns = window.start;
  pace->length_ns = window.length;
  return plus(pace->lost_at, plus(from, stwi_random_below(random, end - from)));
}

static stwi_time in_silence(struct stwi_pace *pace, stwi_time now, struct stwi_random *random) {
  const struct window next = window_after(pace, FACTOR, pace->cap_ns);
  pace->start_ns = now > pace->lost_at ? now - pace->lost_at : 0;
  pace->length_ns = next.length < SILENT_MAX ? next.length : SILENT_MAX;
  return plus(now, stwi_random_below(random, pace->length_ns));
}

stwi_time stwi_pace_next(struct stwi_pace *pace, enum stwi_pace_kind kind,
                         const struct stwi_hint *hint, stwi_time now, struct stwi_random *random) {
  const bool is_first = pace->attempts == 0;
  if (pace->attempts < UINT32_MAX)
    pace->attempts++;
  if (is_first)
    pace->lost_at = now;
  if (kind == STWI_PACE_OVERLOAD && pace->overloads < UINT32_MAX)
    pace->overloads++;
  if (hint != NULL && hint->is_given)
    return at_hint(pace, hint, now, random);
  if (kind == STWI_PACE_NOW && is_first)
    return plus(now, stwi_random_below(random, SOON));
  if (kind == STWI_PACE_SILENT)
    return in_silence(pace, now, random);
  return in_window(pace, kind, now, random);
}

uint64_t stwi_pace_patience(const struct stwi_pace *pace, uint64_t patience_ns) {
  const uint32_t doublings = patience_ns == 0 ? 0 : pace->overloads;
  for (uint32_t i = 0; i < doublings && patience_ns < STWI_PATIENCE_MAX; i++)
    patience_ns = grown(patience_ns, FACTOR, STWI_PATIENCE_MAX);
  return patience_ns;
}
