#include "sim/path.h"

#include "sim/path_model.h"

#include <math.h>
#include <string.h>

#define DAY_S 86400.0
#define HOUR (3600 * STWI_S)

enum { HOURS = 24 };
enum { STREAM_DICE = STWI_PATH_SOURCE_COUNT, STREAM_PLACE };

/* ---- random shapes ---- */

double stwi_path_uniform(struct stwi_random *random) {
  return (double)(stwi_random_next(random) >> 11) * 0x1p-53;
}

static uint64_t to_ns(double ns) {
  const double most = (double)(1000000 * STWI_S * 1000);
  return ns < most ? (uint64_t)ns : (uint64_t)most;
}

uint64_t stwi_path_exponential(struct stwi_random *random, double mean_ns) {
  return to_ns(-log1p(-stwi_path_uniform(random)) * mean_ns);
}

uint64_t stwi_path_pareto(struct stwi_random *random, uint64_t least_ns, double alpha) {
  return to_ns((double)least_ns * pow(1 - stwi_path_uniform(random), -1 / alpha));
}

/* From the highest power down. */
static double polynomial(const double *coefficients, unsigned count, double x) {
  double sum = coefficients[0];
  for (unsigned i = 1; i < count; i++)
    sum = sum * x + coefficients[i];
  return sum;
}

/* The deviation that a share of `p` lies below: the rational approximation of P. J. Acklam (2003),
 * whose relative error is below 1.2e-9.  One draw and no logarithm in 95 of 100 cases: fleets spend
 * most of their time here. */
static double normal_quantile(double p) {
  static const double near_above[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                      -2.759285104469687e+02, 1.383577518672690e+02,
                                      -3.066479806614716e+01, 2.506628277459239e+00};
  static const double near_below[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                      -1.556989798598866e+02, 6.680131188771972e+01,
                                      -1.328068155288572e+01, 1};
  static const double far_above[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                                     -2.400758277161838e+00, -2.549732539343734e+00,
                                     4.374664141464968e+00,  2.938163982698783e+00};
  static const double far_below[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                     2.445134137142996e+00, 3.754408661907416e+00, 1};
  static const double far = 0.02425;
  if (p >= far && p <= 1 - far) {
    const double x = p - 0.5, square = x * x;
    return x * polynomial(near_above, 6, square) / polynomial(near_below, 6, square);
  }
  const double x = sqrt(-2 * log(p < far ? p : 1 - p));
  const double deviation = polynomial(far_above, 6, x) / polynomial(far_below, 5, x);
  return p < far ? deviation : -deviation;
}

uint64_t stwi_path_lognormal(struct stwi_random *random, uint64_t median_ns, double sigma) {
  /* The middle of a step: never 0 or 1. */
  const double p = ((double)(stwi_random_next(random) >> 12) + 0.5) * 0x1p-52;
  return to_ns((double)median_ns * exp(sigma * normal_quantile(p)));
}

/* ---- when the next fault of a kind begins ---- */

static double gaps_per_hour(const struct stwi_path_profile *profile, stwi_time at) {
  const uint64_t hour = at / HOUR % HOURS;
  const bool is_driving = hour == STWI_PATH_DRIVING_MORNING || hour == STWI_PATH_DRIVING_EVENING;
  return is_driving ? profile->driving_gaps_per_hour : profile->calm_gaps_per_hour;
}

/* The rate changes at full hours: walks them until one unit of an exponential is used up. */
static stwi_time next_gap(struct stwi_path *path, stwi_time now) {
  double left = -log1p(-stwi_path_uniform(&path->streams[STWI_PATH_GAP].random));
  for (;;) {
    const stwi_time border = (now / HOUR + 1) * HOUR;
    const double rate = gaps_per_hour(path->profile, now) / (double)HOUR;
    const double until = rate * (double)(border - now);
    if (until >= left)
      return now + to_ns(left / rate);
    left -= until;
    now = border;
  }
}

static stwi_time next_fault(struct stwi_path *path, enum stwi_path_source source, stwi_time now) {
  if (source == STWI_PATH_GAP)
    return path->profile->calm_gaps_per_hour > 0 ? next_gap(path, now) : STWI_NEVER;
  const double per_day = path->profile->per_day[source];
  if (per_day <= 0)
    return STWI_NEVER;
  const double mean = DAY_S * (double)STWI_S / per_day;
  return now + stwi_path_exponential(&path->streams[source].random, mean);
}

void stwi_path_init(struct stwi_path *path, const struct stwi_path_profile *profile, uint64_t seed,
                    uint64_t client) {
  memset(path, 0, sizeof *path);
  path->profile = profile;
  for (unsigned i = 0; i < STWI_PATH_SOURCE_COUNT; i++) {
    stwi_random_seed(&path->streams[i].random, stwi_random_stream(seed, client, i));
    path->streams[i].due = next_fault(path, (enum stwi_path_source)i, 0);
  }
  stwi_random_seed(&path->dice, stwi_random_stream(seed, client, STREAM_PLACE));
  path->is_behind_proxy = stwi_path_uniform(&path->dice) < STWI_PATH_BEHIND_PROXY;
  stwi_random_seed(&path->dice, stwi_random_stream(seed, client, STREAM_DICE));
}

void stwi_path_replay(struct stwi_path *path, const struct stwi_path_step *steps, size_t count) {
  path->steps = steps;
  path->step_count = count;
  path->step_at = 0;
  path->is_behind_proxy = false;
}

/* ---- the course of each kind ---- */

static void again(struct stwi_path *path, enum stwi_path_source source, stwi_time now) {
  path->streams[source].phase = 0;
  path->streams[source].due = next_fault(path, source, now);
}

static struct stwi_path_event take_gap(struct stwi_path *path, struct stwi_path_stream *stream) {
  const stwi_time now = stream->due;
  if (stream->phase == 0) {
    stream->phase = 1;
    stream->due = now + stwi_path_pareto(&stream->random, STWI_PATH_GAP_LEAST, STWI_PATH_GAP_ALPHA);
    return (struct stwi_path_event){.kind = STWI_PATH_BREAKS};
  }
  again(path, STWI_PATH_GAP, now);
  return (struct stwi_path_event){.kind = STWI_PATH_MENDS};
}

static struct stwi_path_event begin_outage(struct stwi_path_stream *stream) {
  const stwi_time now = stream->due;
  stream->ends_flows = stwi_path_uniform(&stream->random) < STWI_PATH_OUTAGE_ENDS_FLOWS;
  stream->is_visible = stwi_path_uniform(&stream->random) < STWI_PATH_OUTAGE_IS_VISIBLE;
  stream->ends_at =
      now + stwi_path_lognormal(&stream->random, STWI_PATH_OUTAGE_MEDIAN, STWI_PATH_OUTAGE_SIGMA);
  const bool is_told = stream->is_visible && stream->ends_at > now + STWI_PATH_HINT_AFTER;
  stream->is_visible = is_told;
  stream->phase = is_told ? 1 : 2;
  stream->due = is_told ? now + STWI_PATH_HINT_AFTER : stream->ends_at;
  return (struct stwi_path_event){
      .kind = STWI_PATH_BREAKS, .ends_flows = stream->ends_flows, .is_told = is_told};
}

static struct stwi_path_event take_outage(struct stwi_path *path, struct stwi_path_stream *stream) {
  switch (stream->phase) {
  case 0:
    return begin_outage(stream);
  case 1:
    stream->phase = 2;
    stream->due = stream->ends_at;
    return (struct stwi_path_event){.kind = STWI_PATH_NET_DOWN};
  case 2:
    stream->phase = 3;
    if (stream->is_visible)
      stream->due = stream->ends_at + STWI_PATH_HINT_AFTER;
    else
      again(path, STWI_PATH_OUTAGE, stream->ends_at);
    return (struct stwi_path_event){.kind = STWI_PATH_MENDS};
  default:
    again(path, STWI_PATH_OUTAGE, stream->due);
    return (struct stwi_path_event){.kind = STWI_PATH_NET_UP};
  }
}

static struct stwi_path_event take_handover(struct stwi_path *path,
                                            struct stwi_path_stream *stream) {
  switch (stream->phase++) {
  case 0:
    stream->due +=
        STWI_PATH_HANDOVER_LEAST +
        stwi_random_below(&stream->random, STWI_PATH_HANDOVER_MOST - STWI_PATH_HANDOVER_LEAST);
    return (struct stwi_path_event){.kind = STWI_PATH_BREAKS, .ends_flows = true, .is_told = true};
  case 1:
    stream->due += STWI_PATH_HINT_AFTER;
    return (struct stwi_path_event){.kind = STWI_PATH_MENDS};
  default:
    again(path, STWI_PATH_HANDOVER, stream->due);
    return (struct stwi_path_event){.kind = STWI_PATH_NET_CHANGED};
  }
}

static struct stwi_path_event take_sleep(struct stwi_path *path, struct stwi_path_stream *stream) {
  if (stream->phase == 0) {
    stream->phase = 1;
    stream->due += STWI_PATH_HINT_AFTER;
    const bool ends_flows = stwi_path_uniform(&stream->random) < STWI_PATH_SLEEP_ENDS_FLOWS;
    return (struct stwi_path_event){
        .kind = STWI_PATH_DIES, .ends_flows = ends_flows, .is_told = true};
  }
  again(path, STWI_PATH_SLEEP, stream->due);
  return (struct stwi_path_event){.kind = STWI_PATH_WAKE};
}

static struct stwi_path_event take_deploy(struct stwi_path *path, struct stwi_path_stream *stream) {
  if (stream->phase == 0) {
    stream->phase = 1;
    stream->due += STWI_PATH_DRAIN_FOR;
    return (struct stwi_path_event){.kind = STWI_PATH_DRAIN};
  }
  again(path, STWI_PATH_DEPLOY, stream->due);
  return (struct stwi_path_event){.kind = STWI_PATH_STOP};
}

static struct stwi_path_event take_death(struct stwi_path *path, enum stwi_path_source source) {
  again(path, source, path->streams[source].due);
  return (struct stwi_path_event){.kind = STWI_PATH_DIES, .ends_flows = true};
}

static struct stwi_path_event take_from(struct stwi_path *path, enum stwi_path_source source) {
  struct stwi_path_stream *stream = &path->streams[source];
  switch (source) {
  case STWI_PATH_GAP:
    return take_gap(path, stream);
  case STWI_PATH_OUTAGE:
    return take_outage(path, stream);
  case STWI_PATH_HANDOVER:
    return take_handover(path, stream);
  case STWI_PATH_SLEEP:
    return take_sleep(path, stream);
  case STWI_PATH_DEPLOY:
    return take_deploy(path, stream);
  default:
    return take_death(path, source);
  }
}

/* ---- traces ---- */

/* A step breaks or mends the path, or moves to another address: then the system tells. */
static struct stwi_path_event take_step(struct stwi_path *path) {
  const struct stwi_path_step *step = &path->steps[path->step_at];
  const struct stwi_path_step *before = path->step_at > 0 ? step - 1 : step;
  const bool is_moved = step->address != before->address;
  struct stwi_path_event event = {.source = is_moved ? STWI_PATH_HANDOVER : STWI_PATH_GAP};
  if (path->step_phase == 1) {
    path->step_phase = 0;
    path->step_at++;
    event.kind = STWI_PATH_NET_CHANGED;
    return event;
  }
  const bool was_up = path->broken == 0;
  event.ends_flows = event.is_told = is_moved;
  event.kind = step->is_up == was_up ? STWI_PATH_DIES
               : step->is_up         ? STWI_PATH_MENDS
                                     : STWI_PATH_BREAKS;
  if (is_moved && step->is_up)
    path->step_phase = 1;
  else
    path->step_at++;
  return event;
}

static stwi_time step_due(const struct stwi_path *path) {
  if (path->step_at == path->step_count)
    return STWI_NEVER;
  return path->steps[path->step_at].at + (path->step_phase == 1 ? STWI_PATH_HINT_AFTER : 0);
}

static enum stwi_path_source first(const struct stwi_path *path) {
  unsigned first = 0;
  for (unsigned i = 1; i < STWI_PATH_SOURCE_COUNT; i++)
    if (path->streams[i].due < path->streams[first].due)
      first = i;
  return (enum stwi_path_source)first;
}

stwi_time stwi_path_due(const struct stwi_path *path) {
  return path->steps != NULL ? step_due(path) : path->streams[first(path)].due;
}

struct stwi_path_event stwi_path_take(struct stwi_path *path) {
  struct stwi_path_event event;
  if (path->steps != NULL) {
    event = take_step(path);
  } else {
    const enum stwi_path_source source = first(path);
    event = take_from(path, source);
    event.source = source;
  }
  path->broken += event.kind == STWI_PATH_BREAKS;
  path->broken -= event.kind == STWI_PATH_MENDS;
  return event;
}

bool stwi_path_is_up(const struct stwi_path *path) {
  return path->broken == 0;
}

/* ---- round trips ---- */

static uint64_t median_rtt(const struct stwi_path *path) {
  const bool has_own = path->steps != NULL && path->step_at > 0;
  const uint64_t own = has_own ? path->steps[path->step_at - 1].rtt_ns : 0;
  return own != 0 ? own : path->profile->rtt_ns;
}

uint64_t stwi_path_one_way(struct stwi_path *path) {
  return stwi_path_lognormal(&path->dice, median_rtt(path) / 2, path->profile->rtt_sigma);
}

uint64_t stwi_path_handshake(struct stwi_path *path) {
  return stwi_path_lognormal(&path->dice, path->profile->handshake_ns,
                             path->profile->handshake_sigma);
}
