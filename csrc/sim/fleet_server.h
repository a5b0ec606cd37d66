/* fleet_server.h: the server of one client of the policy steadwire: a session that all its
 * processes share, behind real frames.
 */
#ifndef STWI_SIM_FLEET_SERVER_H
#define STWI_SIM_FLEET_SERVER_H

#include "core/frame.h"
#include "core/session_server.h"
#include "sim/fleet_world.h"

struct stwi_fleet_server {
  struct stwi_fleet_world *world; /* borrowed */
  struct stwi_server role;
  struct stwi_random random;
  struct stwi_decoder decoders[STWI_FLEET_LINKS_MAX];
  uint32_t gens[STWI_FLEET_LINKS_MAX]; /* of the flows that they read; 0: none */
  uint32_t at, at_gen;                 /* the flow that carries the session; gen 0: none */
  uint32_t link;                       /* the session's name for it */
  const char *broken;                  /* static: the rule that the core broke; NULL: none */
};

void stwi_fleet_server_init(struct stwi_fleet_server *server, struct stwi_fleet_world *world);
void stwi_fleet_server_fini(struct stwi_fleet_server *server);
void stwi_fleet_server_accept(struct stwi_fleet_server *server, uint32_t link);
/* The flow is gone; `is_told`: its end was seen here. */
void stwi_fleet_server_gone(struct stwi_fleet_server *server, uint32_t link, bool is_told);
void stwi_fleet_server_read(struct stwi_fleet_server *server, uint32_t link, const uint8_t *bytes,
                            size_t size);
void stwi_fleet_server_say(struct stwi_fleet_server *server, uint64_t number);
void stwi_fleet_server_drain(struct stwi_fleet_server *server);
void stwi_fleet_server_stop(struct stwi_fleet_server *server, uint32_t link);
stwi_time stwi_fleet_server_due(const struct stwi_fleet_server *server);
void stwi_fleet_server_flush(struct stwi_fleet_server *server);

#endif
