#include "core/seen.h"

void stwi_seen_init(struct stwi_seen *seen, uint64_t upto) {
  seen->accepted = seen->processed = upto;
}

enum stwi_seen_verdict stwi_seen_check(const struct stwi_seen *seen, uint64_t number) {
  if (number <= seen->accepted)
    return STWI_SEEN_DUPLICATE;
  return number - seen->accepted == 1 ? STWI_SEEN_NEW : STWI_SEEN_AHEAD;
}

enum stwi_seen_verdict stwi_seen_take(struct stwi_seen *seen, uint64_t number) {
  enum stwi_seen_verdict verdict = stwi_seen_check(seen, number);
  if (verdict == STWI_SEEN_NEW)
    seen->accepted = number;
  return verdict;
}

enum stwi_seen_verdict stwi_seen_gap(struct stwi_seen *seen, uint64_t from, uint64_t to,
                                     uint64_t *known) {
  *known = seen->accepted;
  if (stwi_seen_check(seen, from) == STWI_SEEN_AHEAD)
    return STWI_SEEN_AHEAD;
  if (to <= seen->accepted)
    return STWI_SEEN_DUPLICATE;
  seen->accepted = to;
  return STWI_SEEN_NEW;
}

bool stwi_seen_done(struct stwi_seen *seen, uint64_t number) {
  uint64_t upto = number < seen->accepted ? number : seen->accepted;
  if (upto <= seen->processed)
    return false;
  seen->processed = upto;
  return true;
}
