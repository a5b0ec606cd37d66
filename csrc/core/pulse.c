#include "core/pulse.h"

#define SOFT_MIN (1200 * STWI_MS)
#define SOFT_MAX (10 * STWI_S)
#define STALL_MAX (5 * STWI_S) /* what a stall adds at most: a rare long one must not blind us */
#define HALF_LIFE (2400 * STWI_S)

enum { DEAD_FACTOR = 3 };

/* Saturates below STWI_NEVER: the far end of time is still a time. */
static stwi_time plus(stwi_time a, uint64_t b) {
  const uint64_t sum = a + b;
  return sum < a || sum == STWI_NEVER ? STWI_NEVER - 1 : sum;
}

static uint64_t since(stwi_time then, stwi_time now) {
  return now > then ? now - then : 0;
}

/* 0 means "no question", so a question of time 0 is taken as one of time 1. */
static stwi_time as_question(stwi_time now) {
  return now == 0 ? 1 : now;
}

static void restart_idle(struct stwi_pulse *pulse, stwi_time now) {
  pulse->heard_at = now;
  pulse->idle_due = plus(now, stwi_pulse_interval_ns(pulse, now) / 1000 * pulse->jitter_permille);
}

uint64_t stwi_pulse_interval_ns(const struct stwi_pulse *pulse, stwi_time now) {
  const bool is_quiet = since(pulse->talked_at, now) >= STWI_PULSE_QUIET_AFTER;
  return is_quiet ? pulse->quiet_ns : pulse->interval_ns;
}

void stwi_pulse_set_intervals(struct stwi_pulse *pulse, uint64_t interval_ns, uint64_t quiet_ns) {
  pulse->interval_ns = interval_ns;
  pulse->quiet_ns = quiet_ns;
}

void stwi_pulse_init(struct stwi_pulse *pulse, uint64_t interval_ns, uint64_t fixed_ns,
                     uint32_t jitter_permille, stwi_time now) {
  *pulse = (struct stwi_pulse){
      .interval_ns = interval_ns, .quiet_ns = interval_ns, .fixed_ns = fixed_ns, .talked_at = now};
  stwi_pulse_restart(pulse, jitter_permille, now);
}

void stwi_pulse_restart(struct stwi_pulse *pulse, uint32_t jitter_permille, stwi_time now) {
  pulse->jitter_permille = jitter_permille;
  pulse->asked_at = 0;
  pulse->counts_from = now;
  pulse->is_paused = false;
  restart_idle(pulse, now);
}

void stwi_pulse_heard(struct stwi_pulse *pulse, stwi_time now) {
  restart_idle(pulse, now);
}

void stwi_pulse_talked(struct stwi_pulse *pulse, stwi_time now) {
  const stwi_time due = plus(now, pulse->interval_ns / 1000 * pulse->jitter_permille);
  pulse->talked_at = now;
  if (due < pulse->idle_due)
    pulse->idle_due = due;
}

void stwi_pulse_asked(struct stwi_pulse *pulse, stwi_time now) {
  if (pulse->asked_at == 0)
    pulse->asked_at = as_question(now);
}

/* Halves every HALF_LIFE, straight lines between. */
static uint64_t decayed_stall(const struct stwi_pulse *pulse, stwi_time now) {
  const uint64_t age = since(pulse->stall_at, now);
  const uint64_t halvings = age / HALF_LIFE;
  if (halvings >= 64)
    return 0;
  const uint64_t whole = pulse->stall_ns >> halvings;
  const uint64_t part_permille = age % HALF_LIFE / (HALF_LIFE / 1000);
  return whole - whole / 2 / 1000 * part_permille;
}

/* RFC 6298 section 2. */
static void learn(struct stwi_pulse *pulse, uint64_t sample, stwi_time now) {
  stwi_phi_seen(&pulse->phi, sample);
  if (pulse->srtt_ns == 0) {
    pulse->srtt_ns = sample;
    pulse->rttvar_ns = sample / 2;
    return;
  }
  const uint64_t stall = since(pulse->srtt_ns, sample);
  if (stall > decayed_stall(pulse, now)) {
    pulse->stall_ns = stall;
    pulse->stall_at = now;
  }
  const uint64_t apart =
      sample > pulse->srtt_ns ? sample - pulse->srtt_ns : pulse->srtt_ns - sample;
  pulse->rttvar_ns = pulse->rttvar_ns - pulse->rttvar_ns / 4 + apart / 4;
  pulse->srtt_ns = pulse->srtt_ns - pulse->srtt_ns / 8 + sample / 8;
}

void stwi_pulse_answered(struct stwi_pulse *pulse, stwi_time asked, stwi_time next_asked,
                         stwi_time now) {
  if (asked >= pulse->counts_from)
    learn(pulse, since(asked, now), now);
  pulse->asked_at = next_asked != 0 && next_asked < pulse->counts_from
                        ? as_question(pulse->counts_from)
                        : next_asked;
}

void stwi_pulse_silent(struct stwi_pulse *pulse, stwi_time now) {
  if (pulse->asked_at == 0 || pulse->asked_at < pulse->counts_from)
    return;
  const uint64_t stall = since(pulse->asked_at, now);
  if (stall > decayed_stall(pulse, now)) {
    pulse->stall_ns = stall;
    pulse->stall_at = now;
  }
}

void stwi_pulse_excuse(struct stwi_pulse *pulse) {
  if (pulse->asked_at >= pulse->counts_from)
    pulse->counts_from = plus(pulse->asked_at, 1);
}

uint64_t stwi_pulse_phi_milli(const struct stwi_pulse *pulse, stwi_time now) {
  return pulse->asked_at == 0 ? 0 : stwi_phi_milli(&pulse->phi, since(pulse->asked_at, now));
}

uint64_t stwi_pulse_soft_ns(const struct stwi_pulse *pulse, stwi_time now) {
  if (pulse->fixed_ns != 0)
    return pulse->fixed_ns;
  const uint64_t stall = decayed_stall(pulse, now);
  /* Each part alone can only mean the upper bound; cut there, the sum cannot overflow. */
  if (pulse->srtt_ns > SOFT_MAX || pulse->rttvar_ns > SOFT_MAX)
    return SOFT_MAX;
  const uint64_t more = stall < STALL_MAX ? stall / 10 * 13 : STALL_MAX;
  const uint64_t soft =
      pulse->srtt_ns + 4 * pulse->rttvar_ns + (more < STALL_MAX ? more : STALL_MAX);
  if (soft < SOFT_MIN)
    return SOFT_MIN;
  return soft > SOFT_MAX ? SOFT_MAX : soft;
}

static uint64_t dead_ns(uint64_t soft) {
  return soft > STWI_NEVER / DEAD_FACTOR ? STWI_NEVER : soft * DEAD_FACTOR;
}

uint64_t stwi_pulse_longest_ns(const struct stwi_pulse *pulse) {
  return dead_ns(pulse->fixed_ns != 0 ? pulse->fixed_ns : SOFT_MAX);
}

enum stwi_pulse_verdict stwi_pulse_check(const struct stwi_pulse *pulse, stwi_time now) {
  if (pulse->is_paused)
    return STWI_PULSE_FINE;
  if (pulse->asked_at == 0)
    return pulse->interval_ns != 0 && now >= pulse->idle_due ? STWI_PULSE_ASK : STWI_PULSE_FINE;
  const uint64_t age = since(pulse->asked_at, now), soft = stwi_pulse_soft_ns(pulse, now);
  if (age >= dead_ns(soft))
    return STWI_PULSE_DEAD;
  return age >= soft ? STWI_PULSE_LATE : STWI_PULSE_FINE;
}

stwi_time stwi_pulse_deadline(const struct stwi_pulse *pulse, stwi_time now) {
  if (pulse->is_paused)
    return STWI_NEVER;
  if (pulse->asked_at == 0)
    return pulse->interval_ns == 0 ? STWI_NEVER : pulse->idle_due;
  const uint64_t age = since(pulse->asked_at, now), soft = stwi_pulse_soft_ns(pulse, now);
  if (age < soft)
    return plus(pulse->asked_at, soft);
  return age < dead_ns(soft) ? plus(pulse->asked_at, dead_ns(soft)) : STWI_NEVER;
}

/* Silence before `now` says nothing; open questions count from now on. */
static void forgive(struct stwi_pulse *pulse, stwi_time now) {
  pulse->counts_from = now;
  if (pulse->asked_at != 0 && pulse->asked_at < now)
    pulse->asked_at = now;
  restart_idle(pulse, now);
}

void stwi_pulse_pause(struct stwi_pulse *pulse, bool on, stwi_time now) {
  if (pulse->is_paused && !on)
    forgive(pulse, now);
  pulse->is_paused = on;
}

void stwi_pulse_stalled(struct stwi_pulse *pulse, stwi_time now) {
  forgive(pulse, now);
}
