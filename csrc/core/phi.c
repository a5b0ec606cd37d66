#include "core/phi.h"

#define FIRST (1 * STWI_MS)

enum { TOTAL_MAX = 512, LOG10_OF_2_E6 = 301030, STEPS = 256 };

static uint64_t border(uint32_t bucket) {
  const uint64_t octave = FIRST << bucket / 2;
  return bucket % 2 == 0 ? octave : octave / 10000 * 14142;
}

static uint32_t bucket_of(uint64_t rtt_ns) {
  uint32_t bucket = 0;
  while (bucket + 1 < STWI_PHI_BUCKETS && rtt_ns >= border(bucket))
    bucket++;
  return bucket;
}

static void halve(struct stwi_phi *phi) {
  phi->total = 0;
  for (uint32_t i = 0; i < STWI_PHI_BUCKETS; i++) {
    phi->counts[i] /= 2;
    phi->total += phi->counts[i];
  }
}

void stwi_phi_seen(struct stwi_phi *phi, uint64_t rtt_ns) {
  if (phi->total >= TOTAL_MAX)
    halve(phi);
  phi->counts[bucket_of(rtt_ns)]++;
  phi->total++;
}

/* 256 log2(value), straight lines between the powers of two: at most 9 % of an octave off. */
static uint64_t log2_steps(uint64_t value) {
  const unsigned octave = 63u - (unsigned)__builtin_clzll(value);
  const uint64_t power = (uint64_t)1 << octave;
  return octave * STEPS + (value - power) * STEPS / power;
}

uint64_t stwi_phi_milli(const struct stwi_phi *phi, uint64_t age_ns) {
  uint64_t longer = 0;
  for (uint32_t i = bucket_of(age_ns); i < STWI_PHI_BUCKETS; i++)
    longer += phi->counts[i];
  const uint64_t steps = log2_steps(phi->total + 1) - log2_steps(longer + 1);
  return steps * LOG10_OF_2_E6 / STEPS / 1000;
}
