/* world_inside.h: what the files of world share.  Tests include world.h. */
#ifndef STEADWIRE_TESTS_WORLD_INSIDE_H
#define STEADWIRE_TESTS_WORLD_INSIDE_H

#include "world.h"

enum world_wire_kind {
  WORLD_TO_CORE,   /* `input` reaches the core */
  WORLD_TO_SERVER, /* bytes reach the server */
  WORLD_AT_SERVER, /* the attempt reaches the server's door */
  WORLD_TICK,      /* a session of the server has something to say */
  WORLD_GONE       /* the client's end is gone, as seen by the server */
};

/* Something under way. */
struct world_wire {
  stwi_time at;
  uint64_t order;
  enum world_wire_kind kind;
  struct world_link *link;
  struct stwi_input input;
  uint8_t *bytes; /* owned */
  size_t size;
};

void world_break(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* world.c */
void world_step(struct world *world, const struct stwi_input *inputs, size_t count);
void world_turn(struct world *world); /* until nothing is left to do now */

/* world_wire.c */
void world_wire_put(struct world *world, struct world_wire wire);
bool world_wire_take(struct world *world, struct world_wire *wire); /* due now */
stwi_time world_wire_first(const struct world *world);
/* An input of `link` for the core, `after_ns` from now, in order. */
void world_to_core(struct world *world, struct world_link *link, const struct stwi_input *input,
                   uint64_t after_ns);
void world_deliver(struct world *world, struct world_wire *wire);
/* What a paused link left unread comes now. */
void world_wire_unpause(struct world *world, struct world_link *link);

/* world_server.c */
void world_dial(struct world *world, struct world_link *link, const struct stwi_dial *dial);
void world_at_door(struct world *world, struct world_link *link);
void world_server_read(struct world *world, struct world_link *link, const uint8_t *bytes,
                       size_t size);
void world_server_gone(struct world_link *link);
void world_server_send(struct world *world, struct world_link *link, unsigned opcode,
                       const void *payload, size_t size);
/* Closes the link with a CLOSE frame. */
void world_server_end(struct world *world, struct world_link *link, uint16_t code,
                      const char *reason);
/* The link ends from the server's or the path's side. */
void world_down(struct world *world, struct world_link *link, stw_cause cause, uint16_t status,
                uint64_t retry_after_ms, uint64_t after_ns);
uint64_t world_latency(struct world *world, const struct world_server *server);

/* world_session.c: servers that speak steadwire.v1 */
bool world_session_is_offered(const struct world_server *server, const char *subprotocols);
void world_session_read(struct world *world, struct world_link *link, const uint8_t *data,
                        size_t size);
void world_session_tick(struct world *world, struct world_link *link);
void world_session_gone(struct world_link *link);

/* world_perform.c: performs effects and checks each. */
void world_perform(struct world *world, const struct stwi_effect *effect);
struct world_link *world_link_find(struct world *world, uint32_t conn, uint32_t gen);

/* world_check.c */
void world_check_event(struct world *world, uint32_t conn, const stw_event *event);
void world_check_turn(struct world *world);
void world_check_received(struct world *world, struct world_link *link, const uint8_t *data,
                          size_t size);

#endif
