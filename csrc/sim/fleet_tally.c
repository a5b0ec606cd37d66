#include "sim/fleet_tally.h"

#include <string.h>

#define LOSS_UNITS 10000000u

/* Buckets of equal width below 2^LINEAR_BITS, then so many in each octave; in milliseconds. */
enum { LINEAR_BITS = 6, PER_OCTAVE = 1 << LINEAR_BITS };
#define BUCKET_US 1000u

static const stw_fleet_count lost_count[STWI_PATH_SOURCE_COUNT] = {
    [STWI_PATH_GAP] = STW_FLEET_LOST_GAP_US,     [STWI_PATH_OUTAGE] = STW_FLEET_LOST_OUTAGE_US,
    [STWI_PATH_KILL] = STW_FLEET_LOST_KILL_US,   [STWI_PATH_HANDOVER] = STW_FLEET_LOST_HANDOVER_US,
    [STWI_PATH_SLEEP] = STW_FLEET_LOST_SLEEP_US, [STWI_PATH_DEPLOY] = STW_FLEET_LOST_DEPLOY_US,
    [STWI_PATH_CRASH] = STW_FLEET_LOST_CRASH_US,
};

static size_t bucket_of(uint64_t us) {
  const uint64_t ms = us / BUCKET_US;
  if (ms < PER_OCTAVE)
    return (size_t)ms;
  const unsigned top = 63u - (unsigned)__builtin_clzll(ms);
  const unsigned octave = top - LINEAR_BITS;
  const size_t bucket = PER_OCTAVE * (size_t)(octave + 1) + (size_t)((ms >> octave) - PER_OCTAVE);
  return bucket < STW_FLEET_BUCKETS ? bucket : STW_FLEET_BUCKETS - 1;
}

uint64_t stw_fleet_bucket_us(size_t index) {
  if (index < PER_OCTAVE)
    return index * BUCKET_US;
  const size_t octave = index / PER_OCTAVE - 1;
  return ((uint64_t)(PER_OCTAVE + index % PER_OCTAVE) << octave) * BUCKET_US;
}

void stwi_fleet_tally_add(struct stwi_fleet_tally *tally, stw_fleet_count count, uint64_t by) {
  tally->values[count] += by;
}

static void record(struct stwi_fleet_tally *tally, stw_fleet_histogram which, uint64_t us) {
  tally->values[STW_FLEET_COUNT_COUNT + (size_t)which * STW_FLEET_BUCKETS + bucket_of(us)]++;
}

void stwi_fleet_tally_begin(struct stwi_fleet_tally *tally) {
  const size_t values = sizeof tally->values;
  memset((uint8_t *)tally + values, 0, sizeof *tally - values);
  tally->is_usable = true;
}

static void account(struct stwi_fleet_tally *tally, stwi_time now) {
  const uint64_t passed = now - tally->at;
  tally->at = now;
  if (!tally->has_served)
    return;
  tally->total_ns += passed;
  if (!tally->is_usable)
    return;
  tally->usable_ns += passed;
  if (tally->is_serving)
    return;
  tally->lost_ns += passed;
  tally->lost_by_ns[tally->has_fault ? tally->source : tally->last_break] += passed;
  if (tally->is_false_alarm)
    tally->false_alarm_ns += passed;
}

static void count_restored(struct stwi_fleet_tally *tally, uint64_t ns) {
  const uint64_t us = ns / STWI_US;
  stwi_fleet_tally_add(tally, STW_FLEET_RESTORE_COUNT, 1);
  stwi_fleet_tally_add(tally, STW_FLEET_RESTORE_US, us);
  record(tally, STW_FLEET_HISTOGRAM_RESTORE, us);
}

static void restored(struct stwi_fleet_tally *tally) {
  tally->is_false_alarm = false;
  if (!tally->has_fault)
    return;
  tally->has_fault = false;
  count_restored(tally, tally->usable_ns - tally->usable_at_fault);
}

void stwi_fleet_tally_set(struct stwi_fleet_tally *tally, stwi_time now, bool is_usable,
                          bool is_serving) {
  if (tally->is_usable == is_usable && tally->is_serving == is_serving)
    return;
  account(tally, now);
  const bool was_serving = tally->is_serving;
  tally->is_usable = is_usable;
  tally->is_serving = is_serving;
  tally->has_served |= is_serving;
  if (is_serving && !was_serving)
    restored(tally);
}

void stwi_fleet_tally_fault(struct stwi_fleet_tally *tally, stwi_time now,
                            enum stwi_path_source source, bool is_silent) {
  if (tally->has_fault)
    return;
  account(tally, now);
  tally->has_fault = true;
  tally->is_noticed = false;
  tally->is_silent = is_silent;
  tally->source = source;
  tally->usable_at_fault = tally->usable_ns;
  stwi_fleet_tally_add(tally, STW_FLEET_FAULTS, 1);
}

void stwi_fleet_tally_noticed(struct stwi_fleet_tally *tally, stwi_time now) {
  if (!tally->has_fault || tally->is_noticed)
    return;
  account(tally, now);
  tally->is_noticed = true;
  const uint64_t us = (tally->usable_ns - tally->usable_at_fault) / STWI_US;
  stwi_fleet_tally_add(tally, STW_FLEET_DETECT_COUNT, 1);
  stwi_fleet_tally_add(tally, STW_FLEET_DETECT_US, us);
  record(tally, STW_FLEET_HISTOGRAM_DETECT, us);
  if (!tally->is_silent)
    return;
  stwi_fleet_tally_add(tally, STW_FLEET_SILENT_COUNT, 1);
  stwi_fleet_tally_add(tally, STW_FLEET_SILENT_US, us);
  record(tally, STW_FLEET_HISTOGRAM_SILENT, us);
}

void stwi_fleet_tally_planned(struct stwi_fleet_tally *tally, stwi_time now) {
  account(tally, now);
  tally->lost_at_plan = tally->lost_ns;
}

void stwi_fleet_tally_moved(struct stwi_fleet_tally *tally, stwi_time now) {
  account(tally, now);
  const uint64_t lost = tally->lost_ns - tally->lost_at_plan;
  stwi_fleet_tally_add(tally, STW_FLEET_MOVES, 1);
  stwi_fleet_tally_add(tally, STW_FLEET_MOVES_US, lost / STWI_US);
  count_restored(tally, lost);
}

void stwi_fleet_tally_left(struct stwi_fleet_tally *tally) {
  tally->is_false_alarm = true;
}

void stwi_fleet_tally_end(struct stwi_fleet_tally *tally, stwi_time now) {
  account(tally, now);
  stwi_fleet_tally_add(tally, STW_FLEET_CLIENTS, 1);
  stwi_fleet_tally_add(tally, STW_FLEET_TOTAL_US, tally->total_ns / STWI_US);
  stwi_fleet_tally_add(tally, STW_FLEET_USABLE_US, tally->usable_ns / STWI_US);
  stwi_fleet_tally_add(tally, STW_FLEET_LOST_US, tally->lost_ns / STWI_US);
  stwi_fleet_tally_add(tally, STW_FLEET_FALSE_ALARM_US, tally->false_alarm_ns / STWI_US);
  for (unsigned i = 0; i < STWI_PATH_SOURCE_COUNT; i++)
    stwi_fleet_tally_add(tally, lost_count[i], tally->lost_by_ns[i] / STWI_US);
  const uint64_t loss =
      tally->usable_ns == 0 ? 0 : tally->lost_ns / (tally->usable_ns / LOSS_UNITS + 1);
  stwi_fleet_tally_add(tally, STW_FLEET_LOSS_SUM, loss);
  stwi_fleet_tally_add(tally, STW_FLEET_LOSS_SQUARES, loss * loss);
}

const stw_word *stw_fleet_count_at(size_t index) {
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STW_FLEET_##name, slug, text},
      STW_FLEET_COUNT_LIST(STW_X)
#undef STW_X
  };
  return index < STW_FLEET_COUNT_COUNT ? &words[index] : NULL;
}

const stw_word *stw_fleet_histogram_at(size_t index) {
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STW_FLEET_HISTOGRAM_##name, slug, text},
      STW_FLEET_HISTOGRAM_LIST(STW_X)
#undef STW_X
  };
  return index < STW_FLEET_HISTOGRAM_COUNT ? &words[index] : NULL;
}
