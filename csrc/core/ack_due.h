/* ack_due.h: when the receiver of one lane of steadwire.v1 owes its next ACK (docs/protocol.md R4).
 *
 * Both roles count with it.  Pure; times are nanoseconds.
 */
#ifndef STWI_CORE_ACK_DUE_H
#define STWI_CORE_ACK_DUE_H

#include <stdbool.h>
#include <stdint.h>

#define STWI_ACK_MESSAGES 32u
#define STWI_ACK_BYTES 65536u
#define STWI_ACK_AFTER_MS 50u

struct stwi_ack_policy {
  uint64_t messages, bytes; /* due at once with so many of either */
  uint64_t after_ns;        /* else so long after the first cause */
};

struct stwi_ack_due {
  uint64_t messages, bytes; /* accepted since the last ACK */
  uint64_t at;              /* UINT64_MAX: none is owed */
};

/* None is owed: it was written, or HELLO or WELCOME said it. */
void stwi_ack_clear(struct stwi_ack_due *due);
/* Something is to be told: `messages` with `bytes` more were accepted; both 0 for a repeat, a gap
 * and what was processed.  `is_urgent`: at once. */
void stwi_ack_owe(struct stwi_ack_due *due, const struct stwi_ack_policy *policy, uint64_t messages,
                  uint64_t bytes, bool is_urgent, uint64_t now);
bool stwi_ack_is_owed(const struct stwi_ack_due *due);

#endif
