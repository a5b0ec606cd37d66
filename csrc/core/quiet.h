/* quiet.h: the heartbeats of a conn that does nothing else, without their bytes.
 *
 * For simulations of months, in which nearly all that happens is a PING and its PONG.  A beat goes
 * through the functions that a real one goes through; only the masks that are not drawn differ.
 * Takes the place of steps, on their thread.
 */
#ifndef STWI_CORE_QUIET_H
#define STWI_CORE_QUIET_H

#include "core/engine_core.h"

struct stwi_conn;

struct stwi_quiet {
  struct stwi_conn *conn; /* borrowed */
  stwi_time until;        /* when another timer of it is due */
};

/* The conn is online on a proven link, nothing is to be written or waits for an answer, and the
 * heartbeat's is the next timer.  False where that is not so, or the slot is free.  Fills `quiet`
 * until the next step of the core. */
bool stwi_core_is_quiet(const struct stwi_core *core, uint32_t slot, struct stwi_quiet *quiet);
/* When the next question is due. */
stwi_time stwi_quiet_asks(const struct stwi_quiet *quiet);
/* Asks then, and is answered at `at`, later than that: two steps, which append to `effects` what is
 * told of them.  False, and nothing is done, where more than the heartbeat would have come of it:
 * the answer is late, or another timer is due by then.  No other conn of the core may be due. */
bool stwi_quiet_beat(const struct stwi_quiet *quiet, stwi_time at, struct stwi_effects *effects);
/* After the last beat: the core's deadline is right again. */
void stwi_quiet_over(const struct stwi_quiet *quiet);
/* Bytes of a question and of its answer on the wire. */
size_t stwi_quiet_question_bytes(void);
size_t stwi_quiet_answer_bytes(void);

#endif
