/* engine_core.h: many conns, composed and pure: step(batch of inputs, now) -> batch of effects.
 *
 * No clock, no socket, no thread, no random source: time and entropy come in.  The engine thread
 * drives one with the real world, the simulator drives the same object with an imagined one.
 *
 * Use: step whatever arrived; perform the effects; at the end of a loop turn step one STWI_IN_TURN
 * (due timers run, dirty conns write); while `has_more`, perform and turn again; then sleep until
 * `stwi_core_deadline`.
 */
#ifndef STWI_CORE_ENGINE_CORE_H
#define STWI_CORE_ENGINE_CORE_H

#include <steadwire/metrics.h>

#include "core/accounts.h"
#include "core/effect.h"
#include "core/input.h"
#include "core/outbox.h"
#include "core/session_frame.h"

/* Masks are drawn from here (RFC 6455 section 10.3 wants them unpredictable), and the cids of new
 * sessions. */
#define STWI_ENTROPY_BYTES 32768u

struct stwi_core;

/* `codec` (borrowed for ever): the frames of sessions; NULL: every conn is plain.  NULL without
 * memory. */
struct stwi_core *stwi_core_new(const struct stwi_session_codec *codec);
void stwi_core_free(struct stwi_core *core);
/* Before the first conn: what its attempts are paid from, in place of accounts of its own.  What
 * `budgets` names must outlive the core. */
void stwi_core_share_budgets(struct stwi_core *core, const struct stwi_budgets *budgets);

/* Takes `count` inputs at `now` (never before an earlier one) and appends what is to be done to
 * `effects`, which the caller has emptied.  What effects lend lives until the next step. */
void stwi_core_step(struct stwi_core *core, const struct stwi_input *inputs, size_t count,
                    stwi_time now, struct stwi_effects *effects);

/* Where the caller puts random bytes: fill *size bytes there, then say so with given().  *size is
 * 0 while the pool is full enough.  A core without entropy writes nothing. */
uint8_t *stwi_core_entropy_want(struct stwi_core *core, size_t *size);
void stwi_core_entropy_given(struct stwi_core *core);

bool stwi_core_has_more(const struct stwi_core *core); /* step another TURN before sleeping */
stwi_time stwi_core_deadline(const struct stwi_core *core);

/* Looks at a conn; false where the slot is free.  `view` gets everything but `struct_size`. */
bool stwi_core_view(const struct stwi_core *core, uint32_t conn, stw_conn_view *view);
/* Copies the metrics of a conn as of `now`; false where the slot is free. */
bool stwi_core_metrics(const struct stwi_core *core, uint32_t conn, stwi_time now,
                       uint64_t values[STW_METRIC_COUNT]);
/* Lends a lane of a conn's outbox for reading, NULL where the slot is free. */
const struct stwi_outbox *stwi_core_outbox(const struct stwi_core *core, uint32_t conn,
                                           stw_lane lane);
/* Lends what is parked, NULL where the slot is free. */
const struct stwi_parked *stwi_core_parked(const struct stwi_core *core, uint32_t conn);

#endif
