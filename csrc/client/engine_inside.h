/* engine_inside.h: what the files of the engine thread share.
 *
 * engine.c       life: start, stop, the lists that other threads append to
 * engine_step.c  inputs into the core, its effects out
 * engine_store.c changes out to the files of outboxes, what was committed in
 * engine_turn.c  one turn of the loop: commands, news of ports, time
 * engine_watch.c what the machine shows: networks, sleep, stalls
 */
#ifndef STWI_CLIENT_ENGINE_INSIDE_H
#define STWI_CLIENT_ENGINE_INSIDE_H

#include "client/engine.h"

void stwi_engine_return_slot(struct stwi_engine *engine, uint32_t slot); /* any thread */

/* engine_step.c */
struct stwi_port *stwi_engine_port_at(struct stwi_engine *engine, uint32_t slot);
/* Keeps it locked for a run of events, in place of the one before; NULL: none. */
void stwi_engine_lock_mailbox(struct stwi_engine *engine, struct stwi_mailbox *mailbox);
void stwi_engine_put_event(struct stwi_engine *engine, struct stwi_port *port,
                           const stw_event *event);
void stwi_engine_publish_stillborn(struct stwi_port *port, stwi_time now); /* port locked */
void stwi_engine_publish(struct stwi_engine *engine, struct stwi_port *port, stwi_time now);
bool stwi_engine_keep_pending(struct stwi_engine *engine); /* false without memory */
void stwi_engine_free_pending(struct stwi_engine *engine);
void stwi_engine_step(struct stwi_engine *engine, const struct stwi_input *input, stwi_time now);
void stwi_engine_return_if_left(struct stwi_engine *engine, uint32_t slot);
void stwi_engine_put(void *owner, const struct stwi_input *input); /* the transport's sink */

/* engine_store.c */
/* Takes the port's file and tells the host what opening it has shown. */
void stwi_engine_store_begin(struct stwi_engine *engine, struct stwi_port *port, stwi_time now);
void stwi_engine_store_add(struct stwi_engine *engine, const struct stwi_effect *effect);
void stwi_engine_store_collect(struct stwi_engine *engine, struct stwi_port *port, stwi_time now);
void stwi_engine_store_flush(struct stwi_engine *engine, stwi_time now); /* end of a turn */
/* The file is not touched any more: who frees the port may close it. */
void stwi_engine_store_leave(struct stwi_engine *engine, struct stwi_port *port);

/* engine_watch.c: networks, sleep and stalls, as the machine shows them */
void stwi_engine_watch_begin(struct stwi_engine *engine);
void stwi_engine_watch_end(struct stwi_engine *engine);
/* At the start of each turn. */
void stwi_engine_watch_time(struct stwi_engine *engine, stwi_time now);

/* engine_turn.c: the loop's hook */
void stwi_engine_turn(void *owner, stwi_time now);

#endif
