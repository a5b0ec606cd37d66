/* quiet.h: the heartbeats of a conn that does nothing else, without their bytes.
 *
 * For simulations of months, in which nearly all that happens is a PING and its PONG.  A beat
 * passes through the same pulse as a real one; of the rest only the masks that are not drawn
 * differ.  Looks at a core between its steps, on their thread.
 */
#ifndef STWI_CORE_QUIET_H
#define STWI_CORE_QUIET_H

#include "core/engine_core.h"
#include "core/pulse.h"

struct stwi_conn;

struct stwi_quiet {
  const struct stwi_conn *conn; /* borrowed until its next step */
  struct stwi_pulse pulse;
  stwi_time until;      /* when another timer of the conn is due */
  stwi_time last_asked; /* by the last beat */
  stwi_time now;        /* its answer came */
  uint64_t unproven;    /* bytes written behind the last answered question */
  uint64_t beats;       /* lived through */
};

/* The conn is online on a proven link, nothing is to be written or waits for an answer, and the
 * heartbeat's is the next timer.  False where that is not so, or the slot is free. */
bool stwi_core_is_quiet(const struct stwi_core *core, uint32_t slot, struct stwi_quiet *quiet);
/* When the next question is due. */
stwi_time stwi_quiet_asks(const struct stwi_quiet *quiet);
/* Asks then, and is answered at `at`, later than that.  False, and nothing is done, where more than
 * the heartbeat would have come of it: the answer is late, or another timer is due by then. */
bool stwi_quiet_beat(struct stwi_quiet *quiet, stwi_time at);
/* The conn has lived through the beats of `quiet`, and its core is as old as the last of them: it
 * has not been stepped since is_quiet, and no other conn of it was due meanwhile. */
void stwi_core_lived(struct stwi_core *core, uint32_t slot, const struct stwi_quiet *quiet);
/* Bytes of a question and of its answer on the wire. */
size_t stwi_quiet_question_bytes(void);
size_t stwi_quiet_answer_bytes(void);

#endif
