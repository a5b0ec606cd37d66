/* cause.h: why something ended, and what that means for retrying: rows of STW_CAUSE_LIST.
 *
 * PERMANENCE: NEVER; FIRST: permanent until the conn was once online, retried at the cap after
 * that; FRESH: permanent if the credentials were fresh; REPEATED: at the third time within 60 s;
 * ALWAYS.
 */
#ifndef STWI_CORE_CAUSE_H
#define STWI_CORE_CAUSE_H

#include "core/pace.h"

enum stwi_permanence {
  STWI_PERMANENT_NEVER,
  STWI_PERMANENT_FIRST,
  STWI_PERMANENT_FRESH,
  STWI_PERMANENT_REPEATED,
  STWI_PERMANENT_ALWAYS
};

struct stwi_cause_row {
  stw_cause_info info;
  enum stwi_pace_kind pace;
  enum stwi_permanence permanence;
};

/* Lends the row; an unknown number gives that of CLOSE_OTHER. */
const struct stwi_cause_row *stwi_cause_row(stw_cause cause);
/* RFC 6455 section 7.4 and the IANA registry; 4409 -> replaced; 4400..4499 see the .c. */
stw_cause stwi_cause_of_close(uint16_t code);
stw_cause stwi_cause_of_http(uint16_t status);
/* The timeout that fits the phase an attempt was in. */
stw_cause stwi_cause_of_phase_timeout(stw_phase phase);
/* Does the cause speak against a message we sent (poison rule)? */
bool stwi_cause_blames_message(stw_cause cause);

/* stwi_pace_next by the cause's row: NOW waits in windows here, since whoever asks was not to try
 * at once.  A cause that is permanent until the conn was once online comes at the far half of the
 * cap after that, unless a hint says when. */
stwi_time stwi_cause_pace(stw_cause cause, struct stwi_pace *pace, const struct stwi_hint *hint,
                          bool ever_online, stwi_time now, struct stwi_random *random);

/* Counts causes with permanence REPEATED: true at the third within 60 s. */
struct stwi_repeat {
  stwi_time at[2];
  stw_cause cause;
};
bool stwi_repeat_hit(struct stwi_repeat *repeat, stw_cause cause, stwi_time now);

#endif
