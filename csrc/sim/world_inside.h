/* world_inside.h: what the files of world share.  Tests include world.h. */
#ifndef STWI_SIM_WORLD_INSIDE_H
#define STWI_SIM_WORLD_INSIDE_H

#include "sim/world.h"

enum stwi_world_wire_kind {
  STWI_WORLD_TO_CORE,   /* `input` reaches the core */
  STWI_WORLD_TO_SERVER, /* bytes reach the server */
  STWI_WORLD_AT_SERVER, /* the attempt reaches the server's door */
  STWI_WORLD_TICK,      /* a session of the server has something to say */
  STWI_WORLD_STORE,     /* the store of conn `input.conn` has something to commit */
  STWI_WORLD_GONE       /* the client's end is gone, as seen by the server */
};

/* Something under way. */
struct stwi_world_wire {
  stwi_time at;
  uint64_t order;
  enum stwi_world_wire_kind kind;
  struct stwi_world_link *link;
  struct stwi_input input;
  uint8_t *bytes; /* owned */
  size_t size;
};

void stwi_world_break(struct stwi_world *world, stw_explore_rule rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Counts a look at a promise. */
static inline void stwi_world_looked(struct stwi_world *world, stw_explore_rule rule) {
  world->checks[rule]++;
}
/* False where it is: the world stops. */
bool stwi_world_has(struct stwi_world *world, bool has_memory);
/* Room for one more in a list that grows.  False without memory: the list stays as it was. */
bool stwi_world_grow(struct stwi_world *world, void **items, size_t count, size_t *capacity,
                     size_t size);
/* world_plant.c: mistakes made inside the core, before a turn */
void stwi_world_plant(struct stwi_world *world);
/* True once: now is the time to make the planted mistake. */
bool stwi_world_plants(struct stwi_world *world, stw_explore_plant plant);

/* world.c */
void stwi_world_step(struct stwi_world *world, const struct stwi_input *inputs, size_t count);
void stwi_world_turn(struct stwi_world *world); /* until nothing is left to do now */
void stwi_world_retire_links(struct stwi_world *world, struct stwi_world_conn *conn);

/* world_host.c */
/* What a process that begins in this slot is given. */
void stwi_world_open_slot(struct stwi_world *world, uint32_t slot, struct stwi_conn_config *config,
                          uint64_t stream, struct stwi_restored *restored);
bool stwi_world_is_gone(const struct stwi_world_conn *conn); /* its links are */

/* world_store.c: conns whose outbox has a store */
void stwi_world_flush_stores(struct stwi_world *world); /* at the end of a turn */
void stwi_world_store_due(struct stwi_world *world, uint32_t slot);
void stwi_world_store_change(struct stwi_world *world, uint32_t slot,
                             const struct stwi_store_change *change);

/* world_wire.c */
void stwi_world_wire_put(struct stwi_world *world, struct stwi_world_wire wire);
bool stwi_world_wire_take(struct stwi_world *world, struct stwi_world_wire *wire); /* due now */
/* What would come within `for_ns` comes now. */
void stwi_world_wire_hurry(struct stwi_world *world, uint64_t for_ns);
stwi_time stwi_world_wire_first(const struct stwi_world *world);
/* An input of `link` for the core, `after_ns` from now, in order. */
void stwi_world_to_core(struct stwi_world *world, struct stwi_world_link *link,
                        const struct stwi_input *input, uint64_t after_ns);
void stwi_world_deliver(struct stwi_world *world, struct stwi_world_wire *wire);
/* What a paused link left unread comes now. */
void stwi_world_wire_unpause(struct stwi_world *world, struct stwi_world_link *link);

/* world_server.c */
void stwi_world_dial(struct stwi_world *world, struct stwi_world_link *link,
                     const struct stwi_dial *dial);
void stwi_world_at_door(struct stwi_world *world, struct stwi_world_link *link);
void stwi_world_server_read(struct stwi_world *world, struct stwi_world_link *link,
                            const uint8_t *bytes, size_t size);
void stwi_world_server_gone(struct stwi_world_link *link);
void stwi_world_server_send(struct stwi_world *world, struct stwi_world_link *link, unsigned opcode,
                            const void *payload, size_t size);
/* Closes the link with a CLOSE frame. */
void stwi_world_server_end(struct stwi_world *world, struct stwi_world_link *link, uint16_t code,
                           const char *reason);
/* The link ends from the server's or the path's side. */
void stwi_world_down(struct stwi_world *world, struct stwi_world_link *link, stw_cause cause,
                     uint16_t status, uint64_t retry_after_ms, uint64_t after_ns);
uint64_t stwi_world_latency(struct stwi_world *world, const struct stwi_world_server *server);

/* world_session.c: servers that speak steadwire.v1 */
bool stwi_world_session_is_offered(const struct stwi_world_server *server,
                                   const char *subprotocols);
void stwi_world_session_read(struct stwi_world *world, struct stwi_world_link *link,
                             const uint8_t *data, size_t size);
void stwi_world_session_tick(struct stwi_world *world, struct stwi_world_link *link);
void stwi_world_session_gone(struct stwi_world_link *link);

/* world_perform.c: performs effects and checks each. */
void stwi_world_perform(struct stwi_world *world, const struct stwi_effect *effect);
struct stwi_world_link *stwi_world_link_find(struct stwi_world *world, uint32_t conn, uint32_t gen);

/* world_log.c */
void stwi_world_log_event(struct stwi_world *world, uint32_t conn, const stw_event *event,
                          const char *detail);

/* world_budget.c: attempts and hedges keep to their budgets */
void stwi_world_budget_dial(struct stwi_world *world, struct stwi_world_server *server);
/* An attempt has become ready: it costs nothing, unless the server ends the link soon. */
void stwi_world_budget_give(struct stwi_world *world, struct stwi_world_server *server);
void stwi_world_budget_young(struct stwi_world *world, const struct stwi_world_link *link);
void stwi_world_budget_hedges(struct stwi_world *world, uint32_t slot);

/* world_check.c */
void stwi_world_check_event(struct stwi_world *world, uint32_t conn, const stw_event *event);
void stwi_world_check_turn(struct stwi_world *world);
void stwi_world_check_received(struct stwi_world *world, struct stwi_world_link *link,
                               stw_lane lane, const uint8_t *data, size_t size);

#endif
