#include "sim/fleet_server.h"

#include "sim/fleet_codec.h"

#include <string.h>

#define MESSAGE_MAX 65536u
#define SPREAD_MS 2000u
#define FRAME_BYTES_MAX (STWI_SFRAME_HEAD_MAX + 256u)

enum { CLOSE_RESTART = 1012, GOING_AWAY = 1001 };

void stwi_fleet_server_init(struct stwi_fleet_server *server, struct stwi_fleet_world *world) {
  memset(server, 0, sizeof *server);
  server->world = world;
  const stw_session_options options = {.struct_size = sizeof options, .takes_optimistic = true};
  stwi_server_init(&server->role, &options);
  stwi_random_seed(&server->random, stwi_random_stream(world->options->seed, world->client,
                                                       STWI_FLEET_STREAM_SERVER));
}

void stwi_fleet_server_fini(struct stwi_fleet_server *server) {
  for (uint32_t link = 0; link < STWI_FLEET_LINKS_MAX; link++)
    if (server->gens[link] != 0)
      stwi_decoder_fini(&server->decoders[link]);
  stwi_server_fini(&server->role);
}

void stwi_fleet_server_accept(struct stwi_fleet_server *server, uint32_t link) {
  if (server->gens[link] != 0)
    stwi_decoder_fini(&server->decoders[link]);
  server->gens[link] = server->world->wire.flows[link].gen;
  stwi_decoder_init(&server->decoders[link], STWI_FRAME_SERVER, MESSAGE_MAX);
}

static bool is_here(const struct stwi_fleet_server *server) {
  return server->at_gen != 0 && server->world->wire.flows[server->at].gen == server->at_gen;
}

void stwi_fleet_server_gone(struct stwi_fleet_server *server, uint32_t link, bool is_told) {
  const bool is_present =
      server->at_gen != 0 && server->at == link && server->at_gen == server->gens[link];
  if (!is_present)
    return;
  server->at_gen = 0;
  if (is_told)
    stwi_server_lost(&server->role, server->link);
}

/* ---- writing ---- */

static void send_frame(struct stwi_fleet_server *server, const struct stwi_sframe *frame) {
  uint8_t payload[FRAME_BYTES_MAX], bytes[FRAME_BYTES_MAX + STWI_FRAME_HEADER_BYTES_MAX];
  size_t size = stwi_fleet_codec.encode(frame, payload, STWI_SFRAME_HEAD_MAX);
  if (frame->type == STWI_SF_DATA && frame->u.data.size <= sizeof payload - size) {
    memcpy(payload + size, frame->u.data.payload, frame->u.data.size);
    size += frame->u.data.size;
  }
  const size_t whole = stwi_frame_encode(bytes, STWI_OP_BINARY, true, NULL, payload, size);
  stwi_fleet_send(&server->world->wire, server->world->now, server->at, STWI_FLEET_TO_CLIENT, bytes,
                  whole);
}

void stwi_fleet_server_flush(struct stwi_fleet_server *server) {
  struct stwi_sframe frame;
  while (stwi_server_take(&server->role, server->world->now, &frame))
    if (is_here(server))
      send_frame(server, &frame);
}

stwi_time stwi_fleet_server_due(const struct stwi_fleet_server *server) {
  return stwi_server_deadline(&server->role);
}

void stwi_fleet_server_say(struct stwi_fleet_server *server, uint64_t number) {
  uint64_t given;
  stwi_server_send(&server->role, STW_LANE_DATA, &number, sizeof number, false, &given);
  stwi_fleet_server_flush(server);
}

void stwi_fleet_server_drain(struct stwi_fleet_server *server) {
  if (!is_here(server))
    return;
  stwi_server_goaway(&server->role, 0, SPREAD_MS, "", GOING_AWAY);
  stwi_fleet_server_flush(server);
}

void stwi_fleet_server_stop(struct stwi_fleet_server *server, uint32_t link) {
  struct stwi_fleet_world *world = server->world;
  if (is_here(server) && server->at == link) {
    stwi_server_close(&server->role, CLOSE_RESTART, "");
    stwi_fleet_server_flush(server);
    stwi_server_lost(&server->role, server->link);
    server->at_gen = 0;
  }
  stwi_fleet_send_token(&world->wire, world->now, link, STWI_FLEET_TO_CLIENT, STWI_FLEET_FIN, 0);
}

/* ---- reading ---- */

static void on_hello(struct stwi_fleet_server *server, uint32_t link,
                     const struct stwi_sf_hello *hello) {
  stw_session_claim claim = {.incarnation = 1, .principal = ""};
  for (size_t i = 0; i < sizeof claim.random; i++)
    claim.random[i] = (uint8_t)stwi_random_next(&server->random);
  const bool had_other = is_here(server) && server->at != link;
  const uint32_t other = server->at;
  stw_refusal refusal = STW_REFUSAL_NONE;
  const stw_status status = stwi_server_open(&server->role, hello, &claim, &server->link, &refusal);
  if (status != STW_OK || refusal != STW_REFUSAL_NONE) {
    server->broken = "a HELLO was refused";
    return;
  }
  server->at = link;
  server->at_gen = server->gens[link];
  if (had_other)
    stwi_fleet_send_token(&server->world->wire, server->world->now, other, STWI_FLEET_TO_CLIENT,
                          STWI_FLEET_FIN, 0);
  stwi_fleet_server_flush(server);
}

static void on_frame(struct stwi_fleet_server *server, uint32_t link,
                     const struct stwi_sframe *frame) {
  if (frame->type == STWI_SF_HELLO) {
    on_hello(server, link, &frame->u.hello);
    return;
  }
  stw_session_item item;
  memset(&item, 0, sizeof item);
  if (!is_here(server) || server->at != link)
    return;
  if (stwi_server_receive(&server->role, frame, server->world->now, &item) != STW_OK) {
    server->broken = "the core broke steadwire.v1";
    return;
  }
  if (item.kind == STW_SESSION_MESSAGE && item.u.message.size == sizeof(uint64_t)) {
    uint64_t number;
    memcpy(&number, item.u.message.data, sizeof number);
    stwi_fleet_world_arrived(server->world, STWI_FLEET_TO_SERVER, number);
  }
  stwi_fleet_server_flush(server);
}

static void on_ping(struct stwi_fleet_server *server, uint32_t link, const struct stwi_item *item) {
  uint8_t bytes[STWI_CONTROL_BYTES_MAX + STWI_FRAME_HEADER_BYTES_MAX];
  const size_t size = stwi_frame_encode(bytes, STWI_OP_PONG, true, NULL, item->data, item->size);
  stwi_fleet_heartbeat(server->world, size);
  stwi_fleet_send(&server->world->wire, server->world->now, link, STWI_FLEET_TO_CLIENT, bytes,
                  size);
}

void stwi_fleet_server_read(struct stwi_fleet_server *server, uint32_t link, const uint8_t *bytes,
                            size_t size) {
  struct stwi_decoder *decoder = &server->decoders[link];
  for (;;) {
    const struct stwi_item item = stwi_decoder_next(decoder, &bytes, &size);
    struct stwi_sframe frame;
    const char *why = "";
    if (item.kind == STWI_ITEM_NONE)
      return;
    if (item.kind == STWI_ITEM_PING)
      on_ping(server, link, &item);
    else if (item.kind == STWI_ITEM_BINARY &&
             stwi_fleet_codec.decode(item.data, item.size, &frame, &why))
      on_frame(server, link, &frame);
    else if (item.kind != STWI_ITEM_CLOSE)
      server->broken = "the core wrote no frame of steadwire.v1";
  }
}
