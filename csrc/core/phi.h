/* phi.h: how suspicious is it that an answer has not come yet?
 *
 * phi = -log10 P(RTT > t), where t is the age of the oldest open question: at phi = 1 one answer in
 * ten takes longer, at phi = 2 one in a hundred.  P is counted, not fitted: a histogram of the
 * conn's round trips in half octaves from 1 ms on, halved when it is full, so that it follows the
 * path within a few hundred answers.  What was never seen counts as seen less than once: phi ends
 * at log10(answers + 1), about 2.7.  It is there to be watched; T_soft (pulse.h) decides.
 *
 * Pure; fixed memory.  Sources: Hayashibara, Defago, Yared, Katayama, "The phi accrual failure
 * detector", SRDS 2004; Satzger, Pietzowski, Trumler, Ungerer, "A new adaptive accrual failure
 * detector for dependable distributed systems", SAC 2007 (the histogram in place of the normal
 * law).
 */
#ifndef STWI_CORE_PHI_H
#define STWI_CORE_PHI_H

#include "core/input.h"

#define STWI_PHI_BUCKETS 32u

struct stwi_phi {
  uint16_t
      counts[STWI_PHI_BUCKETS]; /* bucket 0: below 1 ms; each border is sqrt 2 times the last */
  uint32_t total;
};

void stwi_phi_seen(struct stwi_phi *phi, uint64_t rtt_ns);
/* Thousandths of phi for an answer that is missing for `age_ns`. */
uint64_t stwi_phi_milli(const struct stwi_phi *phi, uint64_t age_ns);

#endif
