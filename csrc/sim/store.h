/* store.h: a model of the store of an outbox: what io/store.h promises, in virtual time.
 *
 * It takes the changes of core/effect.h, commits the batch of a turn after a delay, and gives a new
 * life what was committed.  A crash loses what was not; a power loss also the last commits where
 * the level is process.  It holds its caller to the contract: the first broken rule stays in
 * `broken`.  Owner only.
 */
#ifndef STWI_SIM_STORE_H
#define STWI_SIM_STORE_H

#include "core/effect.h"
#include "core/pace.h"

struct stwi_model_store;

/* `lag`: up to so many commits are lost with the power (0: level durable). NULL without memory. */
struct stwi_model_store *stwi_model_new(uint64_t seed, uint32_t lag);
void stwi_model_free(struct stwi_model_store *store);

/* Begins a life: *restored is filled (its chunks are the caller's), *stream is the file's.  False
 * without memory. */
bool stwi_model_open(struct stwi_model_store *store, struct stwi_restored *restored,
                     uint64_t *stream);
/* Ends one in order: everything is committed. */
void stwi_model_close(struct stwi_model_store *store);
/* ... or by a crash, with the power or without. */
void stwi_model_crash(struct stwi_model_store *store, bool is_power_lost);

/* Adds to the batch of this turn; copies.  False without memory. */
bool stwi_model_add(struct stwi_model_store *store, const struct stwi_store_change *change);
/* End of a turn: the batch commits at `now` + `delay_ns`, or with the one before it. */
void stwi_model_flush(struct stwi_model_store *store, stwi_time now, uint64_t delay_ns);
/* The disk is full: commits wait until it is not. */
void stwi_model_full(struct stwi_model_store *store, bool is_full);
/* A failed sync: everything is asked for again (wants_all).  What was added before and is not
 * committed is void then, and the next batch is the whole of a new file. */
void stwi_model_fail_sync(struct stwi_model_store *store);

/* When there is something to commit: STWI_NEVER if not. */
stwi_time stwi_model_due(const struct stwi_model_store *store);
/* Commits what is due; true: `input` became STWI_IN_STORED, to be given to the core. */
bool stwi_model_commit(struct stwi_model_store *store, stwi_time now, struct stwi_input *input);

/* What a new life would find. */
uint64_t stwi_model_standing(const struct stwi_model_store *store, stw_lane lane);
uint64_t stwi_model_parked(const struct stwi_model_store *store);
uint64_t stwi_model_last(const struct stwi_model_store *store, stw_lane lane);
/* Every change of this life up to this serial survives even a loss of power. */
uint64_t stwi_model_safe(const struct stwi_model_store *store);
const char *stwi_model_broken(const struct stwi_model_store *store); /* "" if nothing is */

#endif
