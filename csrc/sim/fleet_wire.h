/* fleet_wire.h: the flows of one client over its path: handshakes, packets, retransmission.
 *
 * A flow is a pair of ways.  What is sent while the path is down waits for a retransmission, which
 * doubles as TCP's does, and everything behind it waits too; a flow that has died swallows what is
 * sent and never says so.  Time goes in with each call.  Owner only.
 */
#ifndef STWI_SIM_FLEET_WIRE_H
#define STWI_SIM_FLEET_WIRE_H

#include "sim/path.h"

#define STWI_FLEET_LINKS_MAX 8u
#define STWI_FLEET_PACKET_BYTES 512u

enum stwi_fleet_way { STWI_FLEET_TO_SERVER, STWI_FLEET_TO_CLIENT };

enum stwi_fleet_kind { STWI_FLEET_BYTES, STWI_FLEET_FIN, STWI_FLEET_TOKEN };

struct stwi_fleet_packet {
  stwi_time at; /* STWI_NEVER: waits for a retransmission */
  uint64_t order;
  uint64_t token; /* TOKEN */
  uint32_t link;  /* index */
  uint16_t size;  /* BYTES */
  uint8_t way, kind;
  uint8_t bytes[STWI_FLEET_PACKET_BYTES];
};

struct stwi_fleet_lane {
  stwi_time last_at;  /* of the last packet on its way, in order */
  stwi_time retry_at; /* 0: nothing waits */
  uint64_t rto_ns;
};

struct stwi_fleet_flow {
  uint32_t gen;      /* the caller's name for it; 0: the place is free */
  uint8_t exchanges; /* round trips of the handshake left; 0: it is ready */
  bool is_retry;     /* `due` sends again */
  bool is_dead;
  stwi_time due; /* of the handshake */
  uint64_t exchange_ns, rto_ns;
  stwi_time dialled_at, used_at;
  struct stwi_fleet_lane lanes[2];
};

enum stwi_fleet_news {
  STWI_FLEET_NOTHING,
  STWI_FLEET_PHASE,  /* one exchange of the handshake is over; `left` more */
  STWI_FLEET_ARRIVED /* `packet` */
};

struct stwi_fleet_wire {
  struct stwi_path *path; /* borrowed */
  struct stwi_fleet_flow flows[STWI_FLEET_LINKS_MAX];
  struct stwi_fleet_packet *packets; /* owned, unordered */
  size_t packet_count, packet_capacity;
  uint64_t order;
  stwi_time due;
  bool is_out_of_memory; /* a packet was lost for it */
};

struct stwi_fleet_event {
  enum stwi_fleet_news news;
  uint32_t link;
  uint8_t left;
  struct stwi_fleet_packet packet;
};

void stwi_fleet_wire_init(struct stwi_fleet_wire *wire, struct stwi_path *path);
void stwi_fleet_wire_fini(struct stwi_fleet_wire *wire);

/* The index of the new flow; STWI_FLEET_LINKS_MAX where there is no place. */
uint32_t stwi_fleet_dial(struct stwi_fleet_wire *wire, stwi_time now, uint32_t gen);
/* The index of the flow that the caller calls `gen`; STWI_FLEET_LINKS_MAX: none. */
uint32_t stwi_fleet_find(const struct stwi_fleet_wire *wire, uint32_t gen);
/* Forgets it, with what is on its way.  True: the other end was told. */
bool stwi_fleet_hang_up(struct stwi_fleet_wire *wire, uint32_t link);
void stwi_fleet_send(struct stwi_fleet_wire *wire, stwi_time now, uint32_t link,
                     enum stwi_fleet_way way, const void *bytes, size_t size);
void stwi_fleet_send_token(struct stwi_fleet_wire *wire, stwi_time now, uint32_t link,
                           enum stwi_fleet_way way, enum stwi_fleet_kind kind, uint64_t token);
/* Every flow of the client, or one of them, swallows from now on. */
void stwi_fleet_die_all(struct stwi_fleet_wire *wire);
void stwi_fleet_die(struct stwi_fleet_wire *wire, uint32_t link);
/* It is ready, and nothing on it waits: what is sent now gets through while the path is up. */
bool stwi_fleet_serves(const struct stwi_fleet_wire *wire, uint32_t link);
stwi_time stwi_fleet_due(const struct stwi_fleet_wire *wire);
/* Takes what is due first. */
void stwi_fleet_take(struct stwi_fleet_wire *wire, struct stwi_fleet_event *event);

#endif
