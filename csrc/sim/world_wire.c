#include "sim/world_inside.h"

#include <stdlib.h>
#include <string.h>

static bool is_before(const struct stwi_world_wire *a, const struct stwi_world_wire *b) {
  return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void put(struct stwi_world *world, struct stwi_world_wire wire) {
  void *wires = world->wires;
  if (!stwi_world_grow(world, &wires, world->wire_count, &world->wire_capacity,
                       sizeof *world->wires)) {
    free(wire.bytes);
    return;
  }
  world->wires = wires;
  size_t at = world->wire_count++;
  while (at > 0 && is_before(&wire, &world->wires[(at - 1) / 2])) {
    world->wires[at] = world->wires[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  world->wires[at] = wire;
}

void stwi_world_wire_put(struct stwi_world *world, struct stwi_world_wire wire) {
  wire.order = world->wire_order++;
  put(world, wire);
}

/* Later, but still before what was sent after it. */
static void put_again(struct stwi_world *world, struct stwi_world_wire *wire, stwi_time at) {
  wire->at = at;
  put(world, *wire);
  wire->bytes = NULL;
}

static void sink(struct stwi_world *world, size_t at) {
  const struct stwi_world_wire wire = world->wires[at];
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= world->wire_count)
      break;
    child +=
        child + 1 < world->wire_count && is_before(&world->wires[child + 1], &world->wires[child]);
    if (!is_before(&world->wires[child], &wire))
      break;
    world->wires[at] = world->wires[child];
    at = child;
  }
  world->wires[at] = wire;
}

static void take_first(struct stwi_world *world) {
  world->wires[0] = world->wires[--world->wire_count];
  if (world->wire_count > 0)
    sink(world, 0);
}

bool stwi_world_wire_take(struct stwi_world *world, struct stwi_world_wire *wire) {
  if (world->wire_count == 0 || world->wires[0].at > world->now)
    return false;
  *wire = world->wires[0];
  take_first(world);
  return true;
}

void stwi_world_wire_hurry(struct stwi_world *world, uint64_t for_ns) {
  for (size_t i = 0; i < world->wire_count; i++) {
    struct stwi_world_wire *wire = &world->wires[i];
    wire->at = wire->at > world->now + for_ns ? wire->at - for_ns : world->now;
  }
  for (size_t i = world->wire_count / 2; i-- > 0;)
    sink(world, i);
}

stwi_time stwi_world_wire_first(const struct stwi_world *world) {
  return world->wire_count == 0 ? STWI_NEVER : world->wires[0].at;
}

void stwi_world_to_core(struct stwi_world *world, struct stwi_world_link *link,
                        const struct stwi_input *input, uint64_t after_ns) {
  stwi_time at = world->now + after_ns;
  if (at < link->to_client_at)
    at = link->to_client_at;
  link->to_client_at = at;
  struct stwi_world_wire wire = {
      .at = at, .kind = STWI_WORLD_TO_CORE, .link = link, .input = *input};
  wire.input.conn = link->conn;
  wire.input.link = link->gen;
  if (input->kind == STWI_IN_BYTES) {
    wire.size = input->u.bytes.size;
    wire.bytes = malloc(wire.size + 1);
    if (!stwi_world_has(world, wire.bytes != NULL))
      return;
    memcpy(wire.bytes, input->u.bytes.data, wire.size);
  }
  stwi_world_wire_put(world, wire);
}

/* Reading in pieces must give the same as reading at once. */
static void give_bytes(struct stwi_world *world, struct stwi_world_wire *wire) {
  size_t at = 0;
  while (at < wire->size && world->broken[0] == '\0') {
    size_t size = wire->size - at;
    if (world->cuts_reads)
      size = 1 + (size_t)stwi_random_below(&world->random, size);
    /* of its own, so that a sanitizer sees a read past the step */
    uint8_t *piece = malloc(size);
    if (!stwi_world_has(world, piece != NULL))
      return;
    memcpy(piece, wire->bytes + at, size);
    struct stwi_input input = wire->input;
    input.u.bytes.data = piece;
    input.u.bytes.size = size;
    stwi_world_step(world, &input, 1);
    free(piece);
    at += size;
  }
}

/* Said by this machine, not by the peer. */
static bool is_local(const struct stwi_world_wire *wire) {
  return wire->input.kind == STWI_IN_WRITABLE || wire->input.kind == STWI_IN_LOOKED;
}

static bool reaches_core(const struct stwi_world *world, const struct stwi_world_wire *wire) {
  const struct stwi_world_link *link = wire->link;
  if (link->is_retired)
    return false;
  if (wire->input.kind == STWI_IN_DOWN)
    return !link->is_over || link->is_cut;
  if (link->is_over && !(world->has_late_inputs && link->is_cut))
    return false;
  return !link->eats_to_client || is_local(wire);
}

static void note(struct stwi_world *world, const struct stwi_world_wire *wire) {
  struct stwi_world_link *link = wire->link;
  if (wire->input.kind == STWI_IN_READY) {
    link->is_ready = true;
    stwi_world_budget_give(world, link->server);
  }
  if (wire->input.kind == STWI_IN_WRITABLE)
    link->is_writing = false;
  if (wire->input.kind == STWI_IN_BYTES && wire->size > 2 && wire->bytes[0] == 0x8a)
    link->has_ponged = true;
  if (wire->input.kind == STWI_IN_DOWN) {
    link->is_over = link->is_gone = true;
    link->ended_at = link->ended_at == 0 ? world->now : link->ended_at;
  }
  const bool is_end =
      wire->input.kind == STWI_IN_DOWN ||
      (wire->input.kind == STWI_IN_BYTES && wire->size > 1 && wire->bytes[0] == 0x88);
  link->server->has_been_mute |= is_end && !link->has_ponged;
}

static void leave_unread(struct stwi_world *world, struct stwi_world_wire *wire) {
  struct stwi_world_link *link = wire->link;
  void *unread = link->unread;
  if (!stwi_world_grow(world, &unread, link->unread_count, &link->unread_capacity,
                       sizeof *link->unread))
    return;
  link->unread = unread;
  link->unread[link->unread_count++] = *wire;
  wire->bytes = NULL;
}

void stwi_world_wire_unpause(struct stwi_world *world, struct stwi_world_link *link) {
  for (size_t i = 0; i < link->unread_count; i++)
    put_again(world, &link->unread[i], world->now);
  link->unread_count = 0;
}

static void deliver_input(struct stwi_world *world, struct stwi_world_wire *wire) {
  if (!reaches_core(world, wire))
    return;
  if (wire->link->is_paused && !wire->link->is_cut && !is_local(wire)) {
    leave_unread(world, wire);
    return;
  }
  world->faults[STW_EXPLORE_LATE] += wire->link->is_cut;
  note(world, wire);
  if (wire->input.kind == STWI_IN_BYTES) {
    give_bytes(world, wire);
    return;
  }
  if (wire->input.kind == STWI_IN_DOWN && !wire->link->is_cut)
    stwi_world_say_so(world, "link %u of conn %u is down: %s", wire->link->gen, wire->link->conn,
                      stw_cause_at((size_t)wire->input.u.down.cause)->name);
  char detail[] = "the path says so";
  if (wire->input.kind == STWI_IN_DOWN)
    wire->input.u.down.detail = detail;
  stwi_world_step(world, &wire->input, 1);
}

static bool is_frozen(const struct stwi_world_wire *wire) {
  return wire->kind != STWI_WORLD_TO_CORE && wire->link->server->frozen_until > wire->at;
}

/* As a translator of addresses, or a proxy. */
static void forget_idle(struct stwi_world *world, struct stwi_world_link *link) {
  const uint64_t silence = world->now - link->packet_at;
  if (link->is_ready && link->server->forgets_after != 0 && silence >= link->server->forgets_after)
    link->eats_to_server = link->eats_to_client = true;
  link->packet_at = world->now;
}

void stwi_world_deliver(struct stwi_world *world, struct stwi_world_wire *wire) {
  if (wire->kind == STWI_WORLD_STORE) {
    stwi_world_store_due(world, wire->input.conn);
    return;
  }
  struct stwi_world_link *link = wire->link;
  if (is_frozen(wire)) {
    put_again(world, wire, link->server->frozen_until);
    return;
  }
  if (!is_local(wire))
    forget_idle(world, link);
  switch (wire->kind) {
  case STWI_WORLD_TO_CORE:
    deliver_input(world, wire);
    break;
  case STWI_WORLD_TO_SERVER:
    if (!link->eats_to_server && !link->is_dead)
      stwi_world_server_read(world, link, wire->bytes, wire->size);
    /* acknowledgements of the kernel come back the same way, or do not */
    if ((link->eats_to_server || link->eats_to_client) && link->swallowed_at == 0)
      link->swallowed_at = world->now;
    break;
  case STWI_WORLD_AT_SERVER:
    if (!link->is_cut)
      stwi_world_at_door(world, link);
    break;
  case STWI_WORLD_TICK:
    if (!link->is_dead)
      stwi_world_session_tick(world, link);
    break;
  case STWI_WORLD_STORE:
    break;
  case STWI_WORLD_GONE:
    if (!link->eats_to_server)
      stwi_world_server_gone(link);
    break;
  }
}
