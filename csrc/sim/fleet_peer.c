#include "sim/fleet_peer.h"

#include <stdlib.h>

#define USUAL_INTERVAL (25 * STWI_S)
#define USUAL_TIMEOUT (20 * STWI_S)
/* Linux gives up on what nobody acknowledges after tcp_retries2 = 15. */
#define KERNEL_TIMEOUT (924 * STWI_S)
/* A client that gives up for good is started again by its user. */
#define STARTED_AGAIN (60 * STWI_S)
#define PACKET_BYTES 24u /* a small frame */

/* What a packet says: the lowest bits of its token. */
enum token { TOKEN_PING, TOKEN_PONG, TOKEN_MESSAGE, TOKEN_BITS = 2 };

struct peer {
  struct stwi_fleet_world world;
  struct stwi_fleet_heartbeat heartbeat;
  struct stwi_peer_retry retry;
  struct stwi_random random;
  uint32_t gen;  /* of the last flow dialled */
  uint32_t link; /* dialled or in use; STWI_FLEET_LINKS_MAX: none */
  bool is_up;
  stwi_time began;     /* the attempt */
  stwi_time dial_at;   /* STWI_NEVER: not waiting */
  stwi_time ping_at;   /* next */
  stwi_time pong_by;   /* STWI_NEVER: no answer is awaited */
  stwi_time kernel_at; /* STWI_NEVER: nothing unacknowledged on a dead flow */
};

struct stwi_fleet_heartbeat stwi_fleet_peer_heartbeat(const struct stwi_peer *peer,
                                                      uint64_t interval_ns) {
  struct stwi_fleet_heartbeat heartbeat = {peer->ping_interval_ns, peer->ping_timeout_ns};
  const bool is_formula = heartbeat.interval_ns == 0 && peer->kind != STWI_PEER_GRPC;
  if (is_formula)
    heartbeat = (struct stwi_fleet_heartbeat){USUAL_INTERVAL, USUAL_TIMEOUT};
  if (interval_ns != 0)
    heartbeat.interval_ns = interval_ns;
  if (heartbeat.timeout_ns == 0)
    heartbeat.timeout_ns = USUAL_TIMEOUT;
  return heartbeat;
}

static void dial(struct peer *peer) {
  struct stwi_fleet_world *world = &peer->world;
  stwi_fleet_tally_add(world->tally, STW_FLEET_ATTEMPTS, 1);
  stwi_fleet_say(world, "dial %u", peer->gen + 1);
  peer->link = stwi_fleet_dial(&world->wire, world->now, ++peer->gen);
  peer->began = world->now;
  peer->dial_at = STWI_NEVER;
}

/* The link, or the attempt, is over. */
static void lost(struct peer *peer) {
  struct stwi_fleet_world *world = &peer->world;
  stwi_fleet_say(world, "%s %u", peer->is_up ? "lost" : "failed", peer->gen);
  stwi_fleet_hang_up(&world->wire, peer->link);
  peer->link = STWI_FLEET_LINKS_MAX;
  peer->is_up = false;
  peer->ping_at = peer->pong_by = peer->kernel_at = STWI_NEVER;
  stwi_fleet_use(world, STWI_FLEET_LINKS_MAX);
  peer->dial_at = stwi_peer_next(&peer->retry, peer->began, world->now, &peer->random);
  if (peer->dial_at != STWI_NEVER)
    return;
  peer->dial_at = world->now + STARTED_AGAIN;
  stwi_peer_reset(&peer->retry);
}

static void send(struct peer *peer, enum token token, uint64_t number) {
  struct stwi_fleet_world *world = &peer->world;
  if (world->wire.flows[peer->link].is_dead && peer->kernel_at == STWI_NEVER)
    peer->kernel_at = world->now + KERNEL_TIMEOUT;
  stwi_fleet_send_token(&world->wire, world->now, peer->link, STWI_FLEET_TO_SERVER,
                        STWI_FLEET_TOKEN, number << TOKEN_BITS | token);
}

static void ping(struct peer *peer) {
  peer->ping_at = peer->world.now + peer->heartbeat.interval_ns;
  if (peer->pong_by == STWI_NEVER)
    peer->pong_by = peer->world.now + peer->heartbeat.timeout_ns;
  stwi_fleet_heartbeat(&peer->world, PACKET_BYTES);
  send(peer, TOKEN_PING, 0);
}

static stwi_time patience_end(const struct peer *peer) {
  const bool is_dialling = peer->link < STWI_FLEET_LINKS_MAX && !peer->is_up;
  return is_dialling ? peer->began + peer->retry.peer->patience_ns : STWI_NEVER;
}

static stwi_time due(void *of) {
  const struct peer *peer = of;
  const stwi_time link = stwi_earlier(peer->ping_at, stwi_earlier(peer->pong_by, peer->kernel_at));
  return stwi_earlier(link, stwi_earlier(peer->dial_at, patience_end(peer)));
}

static void timer(void *of) {
  struct peer *peer = of;
  const stwi_time now = peer->world.now;
  if (peer->dial_at <= now) {
    dial(peer);
  } else if (patience_end(peer) <= now) {
    lost(peer);
  } else if (stwi_earlier(peer->pong_by, peer->kernel_at) <= now) {
    stwi_fleet_noticed(&peer->world, true);
    lost(peer);
  } else {
    ping(peer);
  }
}

static void on_phase(struct peer *peer, uint8_t left) {
  struct stwi_fleet_world *world = &peer->world;
  if (left > 0)
    return;
  stwi_fleet_say(world, "up %u", peer->gen);
  peer->is_up = true;
  stwi_peer_reset(&peer->retry);
  if (peer->heartbeat.interval_ns > 0)
    peer->ping_at = world->now + peer->heartbeat.interval_ns;
  stwi_fleet_use(world, peer->link);
}

static void at_server(struct peer *peer, uint32_t link, uint64_t token) {
  struct stwi_fleet_world *world = &peer->world;
  if ((token & TOKEN_MESSAGE) != 0) {
    stwi_fleet_world_arrived(world, STWI_FLEET_TO_SERVER, token >> TOKEN_BITS);
    return;
  }
  stwi_fleet_heartbeat(world, PACKET_BYTES);
  stwi_fleet_send_token(&world->wire, world->now, link, STWI_FLEET_TO_CLIENT, STWI_FLEET_TOKEN,
                        TOKEN_PONG);
}

static void at_client(struct peer *peer, uint64_t token) {
  if ((token & TOKEN_MESSAGE) != 0)
    stwi_fleet_world_arrived(&peer->world, STWI_FLEET_TO_CLIENT, token >> TOKEN_BITS);
  else
    peer->pong_by = STWI_NEVER;
}

static void on_event(void *of, const struct stwi_fleet_event *event) {
  struct peer *peer = of;
  if (event->news == STWI_FLEET_PHASE) {
    on_phase(peer, event->left);
  } else if (event->packet.kind == STWI_FLEET_FIN) {
    stwi_fleet_noticed(&peer->world, false);
    lost(peer);
  } else if (event->packet.way == STWI_FLEET_TO_SERVER) {
    at_server(peer, event->link, event->packet.token);
  } else {
    at_client(peer, event->packet.token);
  }
}

static void told(void *of, enum stwi_path_kind kind) {
  (void)of;
  (void)kind;
}

static void drain(void *of) {
  (void)of;
}

static void stop(void *of, uint32_t link) {
  struct peer *peer = of;
  stwi_fleet_send_token(&peer->world.wire, peer->world.now, link, STWI_FLEET_TO_CLIENT,
                        STWI_FLEET_FIN, 0);
}

/* Without a link there is nowhere to put a message: it is lost. */
static void talk(void *of, enum stwi_fleet_way way, uint64_t number) {
  struct peer *peer = of;
  if (!peer->is_up)
    return;
  if (way == STWI_FLEET_TO_SERVER)
    send(peer, TOKEN_MESSAGE, number);
  else
    stwi_fleet_send_token(&peer->world.wire, peer->world.now, peer->link, way, STWI_FLEET_TOKEN,
                          number << TOKEN_BITS | TOKEN_MESSAGE);
}

stw_status stwi_fleet_peer_run(const struct stwi_fleet_options *options,
                               const struct stwi_peer *row, uint64_t client,
                               struct stwi_fleet_tally *tally, struct stwi_fleet_log *log) {
  static const struct stwi_fleet_policy policy = {due,   timer, on_event, told,
                                                  drain, stop,  talk,     NULL};
  struct peer *peer = calloc(1, sizeof *peer);
  if (peer == NULL)
    return STW_E_MEMORY;
  stwi_fleet_world_init(&peer->world, options, client, tally, log);
  peer->heartbeat = stwi_fleet_peer_heartbeat(row, options->interval_ns);
  stwi_peer_init(&peer->retry, row->kind);
  stwi_random_seed(&peer->random,
                   stwi_random_stream(options->seed, client, STWI_FLEET_STREAM_CLIENT));
  peer->ping_at = peer->pong_by = peer->kernel_at = STWI_NEVER;
  dial(peer);
  stwi_fleet_world_run(&peer->world, &policy, peer);
  const bool is_whole = !peer->world.wire.is_out_of_memory;
  stwi_fleet_world_fini(&peer->world);
  free(peer);
  return is_whole ? STW_OK : STW_E_MEMORY;
}
