#include "sim/world_inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- commits ---- */

static void wait_for(struct stwi_world *world, uint32_t slot) {
  struct stwi_world_conn *conn = &world->conns[slot];
  const stwi_time due = stwi_model_due(conn->store);
  if (due == STWI_NEVER)
    return;
  const stwi_time at = due > world->now ? due : world->now;
  if (conn->stored_at != 0 && conn->stored_at <= at)
    return;
  conn->stored_at = at;
  stwi_world_wire_put(
      world, (struct stwi_world_wire){.at = at, .kind = STWI_WORLD_STORE, .input = {.conn = slot}});
}

void stwi_world_flush_stores(struct stwi_world *world) {
  for (uint32_t slot = 0; slot < world->conn_count; slot++) {
    struct stwi_world_conn *conn = &world->conns[slot];
    if (conn->store == NULL || !conn->is_open)
      continue;
    stwi_model_flush(conn->store, world->now,
                     stwi_random_below(&world->random, conn->commit_ns + 1));
    wait_for(world, slot);
  }
}

void stwi_world_store_due(struct stwi_world *world, uint32_t slot) {
  struct stwi_world_conn *conn = &world->conns[slot];
  struct stwi_input input;
  if (conn->store == NULL || !conn->is_open)
    return;
  conn->stored_at = 0;
  if (stwi_model_commit(conn->store, world->now, &input)) {
    input.conn = slot;
    conn->health = input.u.stored.health;
    conn->may_forget |= conn->health == STW_STORE_FULL;
    stwi_world_step(world, &input, 1);
  }
  stwi_world_looked(world, STW_RULE_STORED);
  if (stwi_model_broken(conn->store)[0] != '\0')
    stwi_world_break(world, STW_RULE_STORED, "conn %u: %s", slot, stwi_model_broken(conn->store));
}

void stwi_world_store_change(struct stwi_world *world, uint32_t slot,
                             const struct stwi_store_change *change) {
  struct stwi_model_store *store = world->conns[slot].store;
  if (store != NULL && !stwi_model_add(store, change))
    stwi_world_has(world, false);
}

/* ---- crashes ---- */

/* Copies what stands, as a store would give it back. */
static struct stwi_chunk *copy_standing(struct stwi_world *world,
                                        const struct stwi_outbox *outbox) {
  struct stwi_chunk *first = NULL, **last = &first;
  const struct stwi_msg *msg;
  for (uint64_t after = 0; (msg = stwi_outbox_after(outbox, after)) != NULL; after = msg->number) {
    struct stwi_chunk *chunk =
        stwi_chunk_new((uint32_t)stwi_msg_footprint(msg->key_size, msg->size));
    if (!stwi_world_has(world, chunk != NULL))
      break;
    struct stwi_msg *copy =
        stwi_chunk_append(chunk, stwi_msg_key(msg), msg->key_size, stwi_msg_body(msg), msg->size);
    copy->number = msg->number;
    copy->id = msg->id;
    copy->lane = msg->lane;
    copy->is_text = msg->is_text;
    copy->guarantee = msg->guarantee;
    *last = chunk;
    last = &chunk->next;
  }
  return first;
}

static bool is_gone(struct stwi_world *world, void *context) {
  (void)world;
  return stwi_world_is_gone(context);
}

/* The process in the slot is no more, its links are; another one is about to begin. */
static void end_process(struct stwi_world *world, uint32_t slot) {
  struct stwi_world_conn *conn = &world->conns[slot];
  stwi_world_forget(world, slot);
  stwi_world_run_until(world, is_gone, conn, STWI_S);
  stwi_world_retire_links(world, conn);
  conn->is_open = true;
  conn->state = STW_STATE_IDLE;
  conn->since = conn->opened_at = world->now;
  memset(conn->state_ns, 0, sizeof conn->state_ns);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    memset(conn->lanes[lane].proven, 0, sizeof conn->lanes[lane].proven);
    conn->lanes[lane].settled = 0;
  }
  conn->is_closed_told = conn->is_paused = false;
  conn->attempt = conn->close_by = 0;
}

void stwi_world_crash(struct stwi_world *world, uint32_t slot, struct stwi_conn_config *config) {
  struct stwi_world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  struct stwi_restored restored = {.is_unclean = true, .session = inside->saved};
  const uint64_t stream = inside->stream;
  conn->restored = stwi_lanes_messages(inside->lanes);
  struct stwi_chunk **last = &restored.chunks;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    restored.last_number[lane] = inside->lanes[lane].taken;
    while (*last != NULL)
      last = &(*last)->next;
    *last = copy_standing(world, &inside->lanes[lane]);
    conn->inbound_ids[lane].number = inside->saved.processed[lane];
    for (uint64_t n = 1; n <= conn->lanes[lane].sent; n++)
      if (stwi_outbox_find(&inside->lanes[lane], n) == NULL)
        conn->lanes[lane].messages[n - 1].is_ended = true;
  }
  end_process(world, slot);
  stwi_world_open_slot(world, slot, config, stream, &restored);
}

/* What the new process was given lives, whatever the old one had said of it; of the rest nobody
 * will say anything. */
static void note_restored(struct stwi_world_conn *conn, const struct stwi_restored *restored) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    for (uint64_t n = 1; n <= conn->lanes[lane].sent; n++)
      conn->lanes[lane].messages[n - 1].is_restored = false;
  conn->restored = 0;
  for (unsigned list = 0; list < 2; list++) {
    struct stwi_chunk *chunks = list == 0 ? restored->chunks : restored->parked;
    for (struct stwi_msg *msg = stwi_chunks_first(chunks); msg != NULL;
         msg = stwi_chunks_after(msg)) {
      struct stwi_world_lane *lane = &conn->lanes[msg->lane];
      const bool is_known = msg->id.number >= 1 && msg->id.number <= lane->sent;
      const bool is_letter = list == 1 && msg->state != STW_MESSAGE_HELD;
      if (is_known) {
        lane->messages[msg->id.number - 1].is_restored = true;
        lane->messages[msg->id.number - 1].is_letter = is_letter;
      }
      conn->restored += list == 0 || msg->state == STW_MESSAGE_HELD;
    }
  }
}

/* A conn that was closed tells of no end. */
static void note_standing(struct stwi_world *world, uint32_t slot) {
  struct stwi_world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    for (uint64_t n = 1; n <= conn->lanes[lane].sent; n++)
      conn->lanes[lane].messages[n - 1].is_standing =
          stwi_outbox_find(&inside->lanes[lane], n) != NULL;
}

static bool is_open_end(const struct stwi_world_lane *lane, uint64_t number) {
  const struct stwi_world_message *message = &lane->messages[number - 1];
  return message->is_standing && !message->is_ended && number > lane->settled;
}

static void judge_restored(struct stwi_world *world, uint32_t slot,
                           const struct stwi_restored *restored, bool may_lose) {
  struct stwi_world_conn *conn = &world->conns[slot];
  note_restored(conn, restored);
  stwi_world_looked(world, STW_RULE_STORED);
  for (unsigned at = 0; at < STW_LANE_COUNT; at++) {
    struct stwi_world_lane *lane = &conn->lanes[at];
    for (uint64_t n = 1; n <= lane->sent; n++) {
      struct stwi_world_message *message = &lane->messages[n - 1];
      const bool was_stored = is_open_end(lane, n) && n <= lane->proven[STW_PROOF_STORED];
      if (was_stored && !message->is_restored && !may_lose)
        stwi_world_break(world, STW_RULE_STORED, "conn %u: the crash lost message %llu of lane %u",
                         slot, (unsigned long long)n, at);
      message->is_ended = !message->is_restored || message->is_letter;
      message->end = STW_MESSAGE_UNKNOWN;
      message->is_doubtful = true;
    }
    lane->sent = stwi_earlier(lane->sent, restored->last_number[at]);
    conn->inbound_ids[at].number = restored->session.processed[at];
  }
}

/* One message that was called stored is forgotten. */
static void plant_loss(struct stwi_world *world, const struct stwi_world_conn *conn,
                       struct stwi_restored *restored) {
  struct stwi_msg *msg = stwi_chunks_first(restored->chunks);
  if (world->plant != STW_PLANT_STORE_LOSES || msg == NULL ||
      msg->number > conn->lanes[msg->lane].proven[STW_PROOF_STORED] ||
      !is_open_end(&conn->lanes[msg->lane], msg->number) || !stwi_world_plants(world, world->plant))
    return;
  struct stwi_chunk *lost = restored->chunks;
  restored->chunks = lost->next;
  lost->next = NULL;
  stwi_chunk_free_list(lost);
}

static void come_back(struct stwi_world *world, uint32_t slot, struct stwi_conn_config *config,
                      bool is_power_lost) {
  struct stwi_world_conn *conn = &world->conns[slot];
  struct stwi_world_lane before[STW_LANE_COUNT];
  struct stwi_restored restored;
  uint64_t stream;
  note_standing(world, slot);
  stwi_model_crash(conn->store, is_power_lost);
  memcpy(before, conn->lanes, sizeof before);
  end_process(world, slot);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    memcpy(conn->lanes[lane].proven, before[lane].proven, sizeof before[lane].proven);
    conn->lanes[lane].settled = before[lane].settled;
  }
  if (!stwi_model_open(conn->store, &restored, &stream)) {
    stwi_world_has(world, false);
    stwi_conn_config_free(config);
    return;
  }
  plant_loss(world, conn, &restored);
  conn->may_forget |= is_power_lost && conn->lag > 0;
  judge_restored(world, slot, &restored, is_power_lost && conn->lag > 0);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    memset(conn->lanes[lane].proven, 0, sizeof conn->lanes[lane].proven);
    conn->lanes[lane].settled = 0;
  }
  conn->stored_at = 0;
  conn->is_dying = false;
  stwi_world_open_slot(world, slot, config, stream, &restored);
}

void stwi_world_kill_host(struct stwi_world *world, uint32_t slot, struct stwi_conn_config *config,
                          bool is_power_lost) {
  struct stwi_world_conn *conn = &world->conns[slot];
  conn->is_dying = true;
  conn->life++;
  if (conn->store != NULL) {
    come_back(world, slot, config, is_power_lost);
  } else {
    end_process(world, slot);
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
      conn->lanes[lane].sent = 0;
      conn->inbound_ids[lane] = (stw_message_id){0, 0};
    }
    conn->restored = 0;
    conn->is_dying = false;
    stwi_world_open_slot(world, slot, config, stwi_random_next(&world->random) & ~(uint64_t)1,
                         NULL);
  }
  conn = &world->conns[slot];
  conn->is_dying = false;
}
