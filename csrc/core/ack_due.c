#include "core/ack_due.h"

void stwi_ack_clear(struct stwi_ack_due *due) {
  due->messages = due->bytes = 0;
  due->at = UINT64_MAX;
}

void stwi_ack_owe(struct stwi_ack_due *due, const struct stwi_ack_policy *policy, uint64_t messages,
                  uint64_t bytes, bool is_urgent, uint64_t now) {
  due->messages += messages;
  due->bytes += bytes;
  const bool is_now = is_urgent || due->messages >= policy->messages || due->bytes >= policy->bytes;
  const uint64_t last = UINT64_MAX - 1;
  const uint64_t wait = is_now ? 0 : policy->after_ns;
  const uint64_t at = now > last - wait ? last : now + wait;
  if (at < due->at)
    due->at = at;
}

bool stwi_ack_is_owed(const struct stwi_ack_due *due) {
  return due->at != UINT64_MAX;
}
