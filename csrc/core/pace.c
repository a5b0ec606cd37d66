#include "core/pace.h"

#define SOON (250 * STWI_MS)

/* Saturates below STWI_NEVER: the far end of time is still a time. */
static uint64_t plus(uint64_t a, uint64_t b) {
  const uint64_t sum = a + b;
  return sum < a || sum == STWI_NEVER ? STWI_NEVER - 1 : sum;
}

static uint64_t times(uint64_t a, uint64_t b) {
  return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* a * 2^bits, at most `cap`. */
static uint64_t shifted(uint64_t a, uint64_t bits, uint64_t cap) {
  return bits >= 64 || a > (cap >> bits) ? cap : a << bits;
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

/* Windows double until they are as long as the cap, then follow each other in that length. */
static struct window window_at(const struct stwi_pace *pace, uint64_t k) {
  uint64_t first = pace->window_ns, cap = pace->cap_ns;
  if (first < pace->spread_ns)
    first = pace->spread_ns;
  if (cap < pace->spread_ns)
    cap = pace->spread_ns;
  first = shifted(first, pace->shift, cap);
  struct window window = {0, first};
  if (k > 0 && first < TWICE_BELOW) {
    window.start = first;
    k--;
  }
  for (; k > 0 && window.length < cap; k--) {
    window.start = plus(window.start, window.length);
    window.length = shifted(window.length, 1, cap);
  }
  window.start = plus(window.start, times(window.length, k));
  return window;
}

/* Leaves out windows that are more than half over, so that nobody crowds at a window's end. */
static struct window next_window(struct stwi_pace *pace, uint64_t elapsed) {
  struct window window = window_at(pace, pace->window);
  while (elapsed > plus(window.start, window.length / 2)) {
    const uint64_t behind = (elapsed - window.start) / window.length;
    const struct window after = window_at(pace, pace->window + 1);
    /* of equal length from here on: no need to walk */
    pace->window += after.length == window.length && behind > 1 ? behind : 1;
    window = window_at(pace, pace->window);
  }
  return window;
}

/* A change of the first window moves the next one by fewer longest windows than this. */
enum { AHEAD_MAX = 6 };

/* Attempts beside their windows (a kick, a wake) use windows up too; the next one must not run away
 * with them.  Only windows of the longest length can be so far ahead. */
static struct window near_window(struct stwi_pace *pace, struct window window, uint64_t elapsed) {
  const uint64_t reach = plus(elapsed, times(window.length, AHEAD_MAX));
  if (window.start <= reach)
    return window;
  pace->window -= (window.start - reach + window.length - 1) / window.length;
  return window_at(pace, pace->window);
}

static stwi_time at_hint(struct stwi_pace *pace, const struct stwi_hint *hint, stwi_time now,
                         struct stwi_random *random) {
  pace->lost_at = plus(now, hint->after_ms * STWI_MS);
  pace->spread_ns = hint->spread_ms * STWI_MS;
  pace->shift = 0;
  pace->window = 1; /* the spread is window 0 */
  return plus(pace->lost_at, stwi_random_below(random, pace->spread_ns));
}

static stwi_time in_window(struct stwi_pace *pace, stwi_time now, struct stwi_random *random) {
  const uint64_t elapsed = now > pace->lost_at ? now - pace->lost_at : 0;
  const struct window window = near_window(pace, next_window(pace, elapsed), elapsed);
  const uint64_t end = plus(window.start, window.length);
  const uint64_t from = elapsed > window.start ? elapsed : window.start;
  pace->window++;
  return plus(pace->lost_at, plus(from, stwi_random_below(random, end - from)));
}

stwi_time stwi_pace_next(struct stwi_pace *pace, enum stwi_pace_kind kind,
                         const struct stwi_hint *hint, stwi_time now, struct stwi_random *random) {
  const bool is_first = pace->attempts == 0;
  if (pace->attempts < UINT32_MAX)
    pace->attempts++;
  if (is_first)
    pace->lost_at = now;
  if (hint != NULL && hint->is_given)
    return at_hint(pace, hint, now, random);
  if (kind == STWI_PACE_NOW && is_first)
    return plus(now, stwi_random_below(random, SOON));
  if (kind == STWI_PACE_WINDOW_X4 && pace->shift < 64)
    pace->shift += pace->window == 0 ? 2 : 1;
  return in_window(pace, now, random);
}
