#include "sim/fleet_wire.h"

#include "sim/path_model.h"

#include <stdlib.h>
#include <string.h>

enum { EXCHANGES = 3, PACKETS_FIRST = 16 };

void stwi_fleet_wire_init(struct stwi_fleet_wire *wire, struct stwi_path *path) {
  memset(wire, 0, sizeof *wire);
  wire->path = path;
  wire->due = STWI_NEVER;
}

void stwi_fleet_wire_fini(struct stwi_fleet_wire *wire) {
  free(wire->packets);
  wire->packets = NULL;
  wire->packet_count = wire->packet_capacity = 0;
}

static stwi_time flow_due(const struct stwi_fleet_flow *flow) {
  stwi_time due = flow->exchanges > 0 ? flow->due : STWI_NEVER;
  for (unsigned way = 0; way < 2; way++)
    if (flow->lanes[way].retry_at != 0)
      due = stwi_earlier(due, flow->lanes[way].retry_at);
  return due;
}

static void find_due(struct stwi_fleet_wire *wire) {
  stwi_time due = STWI_NEVER;
  for (size_t i = 0; i < wire->packet_count; i++)
    due = stwi_earlier(due, wire->packets[i].at);
  for (uint32_t i = 0; i < STWI_FLEET_LINKS_MAX; i++)
    if (wire->flows[i].gen != 0)
      due = stwi_earlier(due, flow_due(&wire->flows[i]));
  wire->due = due;
}

/* ---- flows ---- */

uint32_t stwi_fleet_find(const struct stwi_fleet_wire *wire, uint32_t gen) {
  uint32_t link = 0;
  while (link < STWI_FLEET_LINKS_MAX && wire->flows[link].gen != gen)
    link++;
  return link;
}

static void send_exchange(struct stwi_fleet_wire *wire, struct stwi_fleet_flow *flow,
                          stwi_time now) {
  flow->is_retry = !stwi_path_is_up(wire->path);
  flow->due = now + (flow->is_retry ? flow->rto_ns : flow->exchange_ns);
  if (flow->is_retry)
    flow->rto_ns *= 2;
}

uint32_t stwi_fleet_dial(struct stwi_fleet_wire *wire, stwi_time now, uint32_t gen) {
  const uint32_t link = stwi_fleet_find(wire, 0);
  if (link == STWI_FLEET_LINKS_MAX)
    return link;
  struct stwi_fleet_flow *flow = &wire->flows[link];
  memset(flow, 0, sizeof *flow);
  flow->gen = gen;
  flow->exchanges = EXCHANGES + 1; /* the name is known already: that takes no time */
  flow->exchange_ns = stwi_path_handshake(wire->path) / EXCHANGES;
  flow->rto_ns = STWI_PATH_SYN_RTO;
  flow->dialled_at = flow->used_at = flow->due = now;
  wire->due = stwi_earlier(wire->due, flow->due);
  return link;
}

static void drop_packets(struct stwi_fleet_wire *wire, uint32_t link) {
  for (size_t i = 0; i < wire->packet_count;) {
    if (wire->packets[i].link == link)
      wire->packets[i] = wire->packets[--wire->packet_count];
    else
      i++;
  }
}

bool stwi_fleet_hang_up(struct stwi_fleet_wire *wire, uint32_t link) {
  struct stwi_fleet_flow *flow = &wire->flows[link];
  const bool is_told = !flow->is_dead && stwi_path_is_up(wire->path);
  drop_packets(wire, link);
  flow->gen = 0;
  find_due(wire);
  return is_told;
}

void stwi_fleet_die(struct stwi_fleet_wire *wire, uint32_t link) {
  struct stwi_fleet_flow *flow = &wire->flows[link];
  flow->is_dead = true;
  flow->due = STWI_NEVER;
  flow->lanes[0].retry_at = flow->lanes[1].retry_at = 0;
  drop_packets(wire, link);
  find_due(wire);
}

void stwi_fleet_die_all(struct stwi_fleet_wire *wire) {
  for (uint32_t link = 0; link < STWI_FLEET_LINKS_MAX; link++)
    if (wire->flows[link].gen != 0)
      stwi_fleet_die(wire, link);
}

bool stwi_fleet_serves(const struct stwi_fleet_wire *wire, uint32_t link) {
  const struct stwi_fleet_flow *flow = &wire->flows[link];
  return flow->exchanges == 0 && !flow->is_dead && flow->lanes[0].retry_at == 0 &&
         flow->lanes[1].retry_at == 0;
}

/* ---- packets ---- */

static struct stwi_fleet_packet *add_packet(struct stwi_fleet_wire *wire) {
  if (wire->packet_count == wire->packet_capacity) {
    const size_t capacity = wire->packet_capacity == 0 ? PACKETS_FIRST : 2 * wire->packet_capacity;
    struct stwi_fleet_packet *packets = realloc(wire->packets, capacity * sizeof *packets);
    if (packets == NULL) {
      wire->is_out_of_memory = true;
      return NULL;
    }
    wire->packets = packets;
    wire->packet_capacity = capacity;
  }
  return &wire->packets[wire->packet_count++];
}

/* In order behind what went before. */
static stwi_time arrival(struct stwi_fleet_wire *wire, struct stwi_fleet_lane *lane,
                         stwi_time now) {
  const stwi_time at = now + stwi_path_one_way(wire->path);
  if (lane->last_at < at)
    lane->last_at = at;
  return lane->last_at;
}

static struct stwi_fleet_packet *put(struct stwi_fleet_wire *wire, stwi_time now, uint32_t link,
                                     enum stwi_fleet_way way, enum stwi_fleet_kind kind) {
  struct stwi_fleet_flow *flow = &wire->flows[link];
  struct stwi_fleet_lane *lane = &flow->lanes[way];
  flow->used_at = now;
  struct stwi_fleet_packet *packet = flow->is_dead ? NULL : add_packet(wire);
  if (packet == NULL)
    return NULL;
  packet->order = wire->order++;
  packet->link = link;
  packet->way = (uint8_t)way;
  packet->kind = (uint8_t)kind;
  packet->size = 0;
  if (lane->retry_at == 0 && stwi_path_is_up(wire->path)) {
    packet->at = arrival(wire, lane, now);
  } else {
    packet->at = STWI_NEVER;
    if (lane->retry_at == 0) {
      lane->rto_ns = wire->path->profile->rto_ns;
      lane->retry_at = now + lane->rto_ns;
    }
    wire->due = stwi_earlier(wire->due, lane->retry_at);
  }
  wire->due = stwi_earlier(wire->due, packet->at);
  return packet;
}

void stwi_fleet_send(struct stwi_fleet_wire *wire, stwi_time now, uint32_t link,
                     enum stwi_fleet_way way, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  while (size > 0) {
    const size_t part = size < STWI_FLEET_PACKET_BYTES ? size : STWI_FLEET_PACKET_BYTES;
    struct stwi_fleet_packet *packet = put(wire, now, link, way, STWI_FLEET_BYTES);
    if (packet == NULL)
      return;
    packet->size = (uint16_t)part;
    memcpy(packet->bytes, at, part);
    at += part;
    size -= part;
  }
}

void stwi_fleet_send_token(struct stwi_fleet_wire *wire, stwi_time now, uint32_t link,
                           enum stwi_fleet_way way, enum stwi_fleet_kind kind, uint64_t token) {
  struct stwi_fleet_packet *packet = put(wire, now, link, way, kind);
  if (packet != NULL)
    packet->token = token;
}

static void release(struct stwi_fleet_wire *wire, uint32_t link, unsigned way, stwi_time now) {
  struct stwi_fleet_lane *lane = &wire->flows[link].lanes[way];
  if (!stwi_path_is_up(wire->path)) {
    lane->rto_ns = lane->rto_ns < STWI_PATH_RTO_MOST / 2 ? 2 * lane->rto_ns : STWI_PATH_RTO_MOST;
    lane->retry_at = now + lane->rto_ns;
    return;
  }
  lane->retry_at = 0;
  const stwi_time at = arrival(wire, lane, now);
  for (size_t i = 0; i < wire->packet_count; i++) {
    struct stwi_fleet_packet *packet = &wire->packets[i];
    if (packet->link == link && packet->way == way && packet->at == STWI_NEVER)
      packet->at = at;
  }
}

/* ---- what is due ---- */

stwi_time stwi_fleet_due(const struct stwi_fleet_wire *wire) {
  return wire->due;
}

static bool take_packet(struct stwi_fleet_wire *wire, struct stwi_fleet_event *event) {
  size_t first = wire->packet_count;
  for (size_t i = 0; i < wire->packet_count; i++) {
    const struct stwi_fleet_packet *packet = &wire->packets[i];
    const bool is_due = packet->at == wire->due;
    if (is_due && (first == wire->packet_count || packet->order < wire->packets[first].order))
      first = i;
  }
  if (first == wire->packet_count)
    return false;
  const struct stwi_fleet_packet *packet = &wire->packets[first];
  event->news = STWI_FLEET_ARRIVED;
  event->link = packet->link;
  memcpy(&event->packet, packet, offsetof(struct stwi_fleet_packet, bytes) + packet->size);
  const struct stwi_fleet_packet *last = &wire->packets[--wire->packet_count];
  if (last != packet)
    wire->packets[first] = *last;
  return true;
}

static bool step_flow(struct stwi_fleet_wire *wire, uint32_t link, struct stwi_fleet_event *event) {
  struct stwi_fleet_flow *flow = &wire->flows[link];
  const stwi_time now = wire->due;
  for (unsigned way = 0; way < 2; way++) {
    if (flow->lanes[way].retry_at != 0 && flow->lanes[way].retry_at == now) {
      release(wire, link, way, now);
      return true;
    }
  }
  if (flow->exchanges == 0 || flow->due != now)
    return false;
  const bool is_lookup = flow->exchanges > EXCHANGES;
  if (!is_lookup && (flow->is_retry || !stwi_path_is_up(wire->path))) {
    send_exchange(wire, flow, now);
    return true;
  }
  event->news = STWI_FLEET_PHASE;
  event->link = link;
  event->left = --flow->exchanges;
  if (!is_lookup)
    flow->rto_ns = wire->path->profile->rto_ns;
  if (flow->exchanges > 0)
    send_exchange(wire, flow, now);
  return true;
}

void stwi_fleet_take(struct stwi_fleet_wire *wire, struct stwi_fleet_event *event) {
  event->news = STWI_FLEET_NOTHING;
  bool is_taken = take_packet(wire, event);
  for (uint32_t link = 0; link < STWI_FLEET_LINKS_MAX && !is_taken; link++)
    is_taken = wire->flows[link].gen != 0 && step_flow(wire, link, event);
  find_due(wire);
}
