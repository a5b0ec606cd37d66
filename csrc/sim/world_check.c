#include "sim/world_inside.h"

#include <stdio.h>
#include <string.h>

static bool is_final(stw_state state) {
  return state == STW_STATE_CLOSED || state == STW_STATE_FAILED;
}

static bool is_live(stw_state state) {
  return state == STW_STATE_ONLINE || state == STW_STATE_SUSPECT || state == STW_STATE_MIGRATING;
}

/* ---- events ---- */

/* A cause that a host gives by asking needs a change that a host can ask for. */
static bool is_plausible(stw_cause cause, stw_state from, stw_state to) {
  switch (cause) {
  case STW_CAUSE_REQUESTED:
    return to == STW_STATE_CLOSED || (to == STW_STATE_CONNECTING && !is_live(from)) ||
           from == STW_STATE_OFFLINE;
  case STW_CAUSE_READY:
    return to == STW_STATE_ONLINE || to == STW_STATE_CONNECTING;
  case STW_CAUSE_RECOVERED:
    return to == STW_STATE_ONLINE || from == STW_STATE_OFFLINE;
  case STW_CAUSE_RETRY_DUE:
    return to == STW_STATE_CONNECTING || from == STW_STATE_OFFLINE;
  case STW_CAUSE_NET_DOWN:
    return to == STW_STATE_OFFLINE || from == STW_STATE_OFFLINE;
  case STW_CAUSE_SUPERSEDED:
  case STW_CAUSE_COUNT:
    return false;
  default:
    return to != STW_STATE_ONLINE;
  }
}

static void check_state(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  struct stwi_world_conn *conn = &world->conns[slot];
  const stw_state from = event->u.state.from, to = event->u.state.to;
  stwi_world_looked(world, STW_RULE_TRANSITION);
  stwi_world_looked(world, STW_RULE_CAUSE);
  if (from != conn->state || to == from)
    stwi_world_break(world, STW_RULE_TRANSITION, "conn %u says %s -> %s while it is %s", slot,
                     stw_state_at((size_t)from)->name, stw_state_at((size_t)to)->name,
                     stw_state_at((size_t)conn->state)->name);
  if (!is_plausible(event->u.state.cause, from, to))
    stwi_world_break(world, STW_RULE_CAUSE, "conn %u went %s -> %s because of %s", slot,
                     stw_state_at((size_t)from)->name, stw_state_at((size_t)to)->name,
                     stw_cause_at((size_t)event->u.state.cause)->name);
  conn->state_ns[conn->state] += world->now - conn->since;
  conn->since = world->now;
  conn->state = to;
  if (is_final(from))
    conn->attempt = 0; /* it begins anew */
  if (to == STW_STATE_ONLINE && from == STW_STATE_CONNECTING)
    conn->online_at = world->now;
}

static uint64_t larger(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static bool is_aside(const struct stwi_conn *inside, stw_lane lane, uint64_t number) {
  const stw_message_id id = {inside->stream | (uint64_t)lane, number};
  return stwi_parked_find(&inside->parked, id) != NULL;
}

static void check_received(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  const stw_lane at = event->u.proof.lane;
  const struct stwi_world_lane *lane = &world->conns[slot].lanes[at];
  const uint64_t known = larger(lane->proven[STW_PROOF_RECEIVED], event->u.proof.after);
  for (uint64_t n = known + 1; n <= event->u.proof.upto; n++) {
    const struct stwi_world_message *message = &lane->messages[n - 1];
    if (message->received == 0 && !message->is_ended && !message->is_doubtful &&
        !world->conns[slot].may_forget && !is_aside(stwi_world_inside(world, slot), at, n))
      stwi_world_break(world, STW_RULE_PROOF, "conn %u claims that message %llu was received", slot,
                       (unsigned long long)n);
  }
}

/* To settle when written is for those whose PINGs nobody answers. */
static void check_settled(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  struct stwi_world_lane *lane = &world->conns[slot].lanes[event->u.proof.lane];
  const struct stwi_world_link *link = stwi_world_link_find(world, slot, event->link);
  const bool is_asking = stwi_world_inside(world, slot)->config->has_heartbeat && link != NULL &&
                         !link->server->has_been_mute;
  stwi_world_looked(world, STW_RULE_SETTLED);
  if (event->u.proof.settled < lane->settled)
    stwi_world_break(world, STW_RULE_SETTLED, "conn %u: message %llu is settled no longer", slot,
                     (unsigned long long)lane->settled);
  if (event->u.proof.settled > lane->settled && is_asking && !link->is_session &&
      event->u.proof.proof != STW_PROOF_STORED && event->u.proof.proof < STW_PROOF_RECEIVED)
    stwi_world_break(world, STW_RULE_PROOF, "conn %u settled without an answer", slot);
  lane->settled = event->u.proof.settled;
}

static void check_proof(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  struct stwi_world_lane *lane = &world->conns[slot].lanes[event->u.proof.lane];
  const uint64_t upto = event->u.proof.upto;
  const bool is_news = upto > lane->proven[event->u.proof.proof] ||
                       (upto > 0 && event->u.proof.settled > lane->settled);
  stwi_world_looked(world, STW_RULE_PROOF);
  if (!is_news || upto > lane->sent || upto <= event->u.proof.after) {
    stwi_world_break(world, STW_RULE_PROOF, "conn %u has proof up to %llu of %llu", slot,
                     (unsigned long long)upto, (unsigned long long)lane->sent);
    return;
  }
  if (event->u.proof.proof >= STW_PROOF_RECEIVED)
    check_received(world, slot, event);
  check_settled(world, slot, event);
  /* to be in the store is no weaker proof of the same kind, but one beside the others */
  const unsigned least =
      event->u.proof.proof == STW_PROOF_STORED ? STW_PROOF_STORED : STW_PROOF_WRITTEN;
  for (unsigned proof = least; proof <= event->u.proof.proof; proof++)
    if (lane->proven[proof] < upto)
      lane->proven[proof] = upto;
}

static void check_ended(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  struct stwi_world_lane *lane = &world->conns[slot].lanes[event->u.ended.id.stream & 1];
  const uint64_t number = event->u.ended.id.number;
  const stw_message_state end = event->u.ended.state;
  stwi_world_looked(world, STW_RULE_ENDED);
  stwi_world_looked(world, STW_RULE_CANCELLED);
  if (number == 0 || number > lane->sent || end <= STW_MESSAGE_SETTLED) {
    stwi_world_break(world, STW_RULE_ENDED, "conn %u: message %llu ended in state %d", slot,
                     (unsigned long long)number, (int)end);
    return;
  }
  struct stwi_world_message *message = &lane->messages[number - 1];
  /* one of unknown fate may be parked, and be taken back then */
  const bool is_decided = message->is_ended && message->end == STW_MESSAGE_UNKNOWN;
  if (message->is_ended && !is_decided)
    stwi_world_break(world, STW_RULE_ENDED, "conn %u: message %llu ended twice", slot,
                     (unsigned long long)number);
  if (end == STW_MESSAGE_CANCELLED && message->received > 0 && !is_decided && !message->is_doubtful)
    stwi_world_break(world, STW_RULE_CANCELLED,
                     "conn %u: message %llu was cancelled after it was received", slot,
                     (unsigned long long)number);
  message->is_ended = true;
  message->end = end;
  message->end_cause = event->u.ended.cause;
}

/* What was written to the session that is gone may come once more. */
static void note_stale(struct stwi_world *world, uint32_t slot) {
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  for (unsigned at = 0; at < STW_LANE_COUNT; at++) {
    const struct stwi_msg *msg;
    for (uint64_t n = 0; (msg = stwi_outbox_after(&inside->lanes[at], n)) != NULL; n = msg->number)
      if (msg->attempts > 0 && msg->number <= world->conns[slot].lanes[at].sent)
        world->conns[slot].lanes[at].messages[msg->number - 1].may_repeat++;
  }
}

/* The numbers of a gap count as taken. */
static void note_gap(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  stw_message_id *last = &world->conns[slot].inbound_ids[event->u.gap.lane];
  stwi_world_looked(world, STW_RULE_GAPS);
  if (event->u.gap.known && event->u.gap.from <= last->number + 1 && event->u.gap.to > last->number)
    last->number = event->u.gap.to;
  if (event->u.gap.known && event->u.gap.messages != event->u.gap.to - event->u.gap.from + 1)
    stwi_world_break(world, STW_RULE_GAPS, "conn %u: a gap counts %llu messages", slot,
                     (unsigned long long)event->u.gap.messages);
}

static uint64_t standing(const struct stwi_world *world, uint32_t slot) {
  return stwi_lanes_messages(stwi_world_inside(world, slot)->lanes);
}

void stwi_world_check_event(struct stwi_world *world, uint32_t slot, const stw_event *event) {
  struct stwi_world_conn *conn = &world->conns[slot];
  stwi_world_looked(world, STW_RULE_LAST);
  stwi_world_looked(world, STW_RULE_EVENT);
  if (conn->is_closed_told)
    stwi_world_break(world, STW_RULE_LAST, "conn %u: event %s after closed", slot,
                     stw_event_kind_at((size_t)event->kind)->name);
  if (event->at_ns != world->now)
    stwi_world_break(world, STW_RULE_EVENT, "an event of another time");
  if (event->link != 0 && stwi_world_link_find(world, slot, event->link) == NULL)
    stwi_world_break(world, STW_RULE_EVENT, "conn %u: an event of the unknown link %u", slot,
                     event->link);
  switch (event->kind) {
  case STW_EVENT_STATE:
    check_state(world, slot, event);
    break;
  case STW_EVENT_PROOF:
    check_proof(world, slot, event);
    break;
  case STW_EVENT_MESSAGE_ENDED:
    check_ended(world, slot, event);
    break;
  case STW_EVENT_SESSION_STALE:
    note_stale(world, slot);
    break;
  case STW_EVENT_DOWNGRADED:
    conn->has_downgraded = true;
    break;
  case STW_EVENT_GAP:
    note_gap(world, slot, event);
    break;
  case STW_EVENT_PAUSED:
  case STW_EVENT_RESUMED:
    stwi_world_looked(world, STW_RULE_PAIRED);
    if (conn->is_paused == (event->kind == STW_EVENT_PAUSED))
      stwi_world_break(world, STW_RULE_PAIRED, "conn %u: paused and resumed are no pairs", slot);
    conn->is_paused = event->kind == STW_EVENT_PAUSED;
    break;
  case STW_EVENT_CLOSED:
    if (!is_final(conn->state))
      stwi_world_break(world, STW_RULE_LAST, "conn %u: closed in state %s", slot,
                       stw_state_at((size_t)conn->state)->name);
    if (event->u.closed.undelivered != standing(world, slot))
      stwi_world_break(world, STW_RULE_COUNTS, "conn %u: closed counts %llu undelivered", slot,
                       (unsigned long long)event->u.closed.undelivered);
    conn->is_closed_told = true;
    conn->close_by = 0;
    break;
  default:
    break;
  }
}

/* ---- after each turn ---- */

/* A link that is up, or was in this turn, has answered; or need not. */
static bool has_proof(const struct stwi_world *world, uint32_t slot) {
  for (const struct stwi_world_link *link = world->conns[slot].links; link != NULL;
       link = link->next) {
    const bool is_here = link->is_ready && (link->ended_at == 0 || link->ended_at == world->now);
    if (is_here && (link->has_ponged || link->server->has_been_mute ||
                    !stwi_conn_may_ask(stwi_world_inside(world, slot))))
      return true;
  }
  return false;
}

static void check_attempts(struct stwi_world *world, uint32_t slot) {
  struct stwi_world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  const uint32_t attempts = inside->pace.attempts;
  stwi_world_looked(world, STW_RULE_ATTEMPTS);
  if (attempts < conn->attempt && !is_final(conn->state)) {
    const bool is_reopened = conn->state == STW_STATE_CONNECTING && conn->since == world->now;
    if ((!has_proof(world, slot) || world->now - conn->online_at < 2 * STWI_S) && !is_reopened)
      stwi_world_break(world, STW_RULE_ATTEMPTS, "conn %u: the attempt counter fell without proof",
                       slot);
  }
  conn->attempt = attempts;
}

/* Nothing that waits may wait for nothing. */
static void check_way_out(struct stwi_world *world, uint32_t slot) {
  const struct stwi_world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  const stwi_time deadline = stwi_conn_deadline(inside);
  stwi_world_looked(world, STW_RULE_WAY_OUT);
  if (is_final(conn->state)) {
    if (deadline != STWI_NEVER)
      stwi_world_break(world, STW_RULE_WAY_OUT, "conn %u has ended and still wants to be woken",
                       slot);
    return;
  }
  if (deadline <= world->now)
    stwi_world_break(world, STW_RULE_WAY_OUT, "conn %u wants to be woken in the past", slot);
  const stw_phase phase = inside->active == NULL ? STW_PHASE_DEAD : inside->active->phase;
  if (is_live(conn->state) && phase != STW_PHASE_UP && phase != STW_PHASE_CLOSING)
    stwi_world_break(world, STW_RULE_WAY_OUT, "conn %u is %s with a link in phase %s", slot,
                     stw_state_at((size_t)conn->state)->name, stw_phase_at((size_t)phase)->name);
  const bool may_wait_for_link = is_live(conn->state) && inside->active != NULL;
  if (deadline == STWI_NEVER && !may_wait_for_link)
    stwi_world_break(world, STW_RULE_WAY_OUT, "conn %u is stuck in state %s", slot,
                     stw_state_at((size_t)conn->state)->name);
  const bool has_next =
      stwi_conn_attempt_count(inside) > 0 || inside->dial_at != 0 || inside->credentials.is_waiting;
  if (conn->state == STW_STATE_MIGRATING && !has_next)
    stwi_world_break(world, STW_RULE_WAY_OUT, "conn %u migrates without a candidate", slot);
  if (conn->state == STW_STATE_WAITING && inside->next_at == 0)
    stwi_world_break(world, STW_RULE_WAY_OUT, "conn %u waits without a time", slot);
}

static void check_links(struct stwi_world *world, uint32_t slot) {
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  uint32_t known = inside->active != NULL;
  known += stwi_conn_attempt_count(inside);
  uint32_t alive = 0;
  for (const struct stwi_world_link *link = world->conns[slot].links; link != NULL;
       link = link->next)
    alive += !link->is_cut && !link->is_over;
  if (alive != known)
    stwi_world_break(world, STW_RULE_LINKS, "conn %u knows %u links, %u are alive", slot, known,
                     alive);
}

/* Those that may be with the peer are not dropped. */
static uint64_t count_written(const struct stwi_conn *inside) {
  uint64_t count = 0;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_msg *msg;
    for (uint64_t n = 0; (msg = stwi_outbox_after(&inside->lanes[lane], n)) != NULL;
         n = msg->number)
      count += msg->attempts > 0;
  }
  return count;
}

static void check_bounds(struct stwi_world *world, uint32_t slot) {
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  const uint64_t messages = stwi_lanes_messages(inside->lanes);
  /* what a store gave back was admitted once, and may be more than that */
  const uint64_t most = larger(inside->config->outbox_messages, world->conns[slot].restored);
  stwi_world_looked(world, STW_RULE_BOUNDS);
  if (!world->conns[slot].has_admission || messages <= most)
    return;
  /* held ones are kept, and the newest of a lane whatever the other lane has */
  const bool gives_way = inside->config->outbox_overflow == STWI_OVERFLOW_DROP_OLDEST;
  if (!gives_way || messages > most + count_written(inside) + inside->parked.held + 1)
    stwi_world_break(world, STW_RULE_BOUNDS, "conn %u keeps %llu messages, %llu may be", slot,
                     (unsigned long long)messages, (unsigned long long)most);
}

static void check_closing(struct stwi_world *world, uint32_t slot) {
  const struct stwi_world_conn *conn = &world->conns[slot];
  if (conn->close_by == 0)
    return;
  stwi_world_looked(world, STW_RULE_CLOSES);
  if (world->now > conn->close_by)
    stwi_world_break(world, STW_RULE_CLOSES, "conn %u is %s, and should be closed since %.3f s",
                     slot, stw_state_at((size_t)conn->state)->name,
                     (double)(conn->close_by - STWI_WORLD_START) / 1e9);
}

static void check_conn(struct stwi_world *world, uint32_t slot) {
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  if (inside->state != world->conns[slot].state)
    stwi_world_break(world, STW_RULE_TRANSITION, "conn %u changed its state without an event",
                     slot);
  check_attempts(world, slot);
  check_way_out(world, slot);
  check_links(world, slot);
  check_bounds(world, slot);
  stwi_world_budget_hedges(world, slot);
}

void stwi_world_check_turn(struct stwi_world *world) {
  for (uint32_t slot = 0; slot < world->conn_count && world->broken[0] == '\0'; slot++) {
    struct stwi_world_conn *conn = &world->conns[slot];
    if (!conn->is_open || stwi_world_inside(world, slot) == NULL)
      continue;
    check_closing(world, slot);
    if (!conn->is_touched)
      continue;
    conn->is_touched = false;
    check_conn(world, slot);
  }
}

/* ---- messages ---- */

/* What a body says of its message. */
struct named {
  stw_lane lane;
  unsigned slot, life;
  unsigned long long number;
};

static bool read_name(const uint8_t *data, size_t size, struct named *named) {
  char head[96];
  const size_t used = size < sizeof head - 1 ? size : sizeof head - 1;
  memcpy(head, data, used);
  head[used] = '\0';
  named->lane = head[0] == 'c' ? STW_LANE_CONTROL : STW_LANE_DATA;
  named->life = 1;
  int end = 0;
  if ((head[0] != 'm' && head[0] != 'c') ||
      sscanf(head + 1, ":%u:%llu:%n", &named->slot, &named->number, &end) != 2 || end == 0)
    return false;
  const char *behind = strchr(head + 1 + end, ':');
  if (behind != NULL && sscanf(behind, ":%u:", &named->life) != 1)
    named->life = 1;
  return true;
}

/* Of a process that has died with what it knew. */
static bool is_forgotten(const struct stwi_world_conn *conn, const struct named *named) {
  return named->life < conn->life && (conn->store == NULL || conn->lag > 0);
}

static void check_repeat(struct stwi_world *world, const struct stwi_world_link *link,
                         const struct named *named, const struct stwi_world_message *message) {
  const struct stwi_world_conn *conn = &world->conns[named->slot];
  stwi_world_looked(world, STW_RULE_ONCE);
  stwi_world_looked(world, STW_RULE_EXACTLY);
  if (message->guarantee == STW_AT_MOST_ONCE && message->received > 1)
    stwi_world_break(world, STW_RULE_ONCE, "conn %u: message %llu came twice", named->slot,
                     named->number);
  if (conn->has_sessions_only && !conn->has_downgraded && !conn->may_forget && link->is_session &&
      message->received > 1 + message->may_repeat)
    stwi_world_break(world, STW_RULE_EXACTLY, "conn %u: message %llu came %u times in a session",
                     named->slot, named->number, message->received);
  if (message->is_ended && message->end == STW_MESSAGE_CANCELLED && !message->is_doubtful)
    stwi_world_break(world, STW_RULE_CANCELLED, "conn %u: message %llu came after it was cancelled",
                     named->slot, named->number);
}

static void check_one(struct stwi_world *world, struct stwi_world_link *link,
                      const struct named *named) {
  struct stwi_world_lane *lane = &world->conns[named->slot].lanes[named->lane];
  struct stwi_world_message *message = &lane->messages[named->number - 1];
  uint64_t *last = &link->last_number[named->lane];
  message->received++;
  link->messages++;
  link->server->messages++;
  link->server->duplicates += message->received > 1;
  check_repeat(world, link, named, message);
  stwi_world_looked(world, STW_RULE_ORDER);
  if (named->number <= *last)
    stwi_world_break(world, STW_RULE_ORDER, "link %u of conn %u: message %llu after %llu",
                     link->gen, named->slot, named->number, (unsigned long long)*last);
  *last = named->number;
}

void stwi_world_check_received(struct stwi_world *world, struct stwi_world_link *link,
                               stw_lane lane, const uint8_t *data, size_t size) {
  struct named named;
  stwi_world_looked(world, STW_RULE_PHANTOM);
  if (!read_name(data, size, &named) || named.slot != link->conn ||
      (lane != STW_LANE_COUNT && lane != named.lane)) {
    stwi_world_break(world, STW_RULE_PHANTOM, "link %u carried what conn %u never sent", link->gen,
                     link->conn);
    return;
  }
  const struct stwi_world_conn *conn = &world->conns[named.slot];
  const struct stwi_world_lane *ledger = &conn->lanes[named.lane];
  const bool is_known = named.number > 0 && named.number <= ledger->sent &&
                        ledger->messages[named.number - 1].life == named.life;
  if (!is_known && !is_forgotten(conn, &named))
    stwi_world_break(world, STW_RULE_PHANTOM, "link %u of conn %u: message %llu of life %u",
                     link->gen, named.slot, named.number, named.life);
  if (!is_known || stwi_world_plants(world, STW_PLANT_PROOF_FALSE))
    return;
  if (link->is_held == false && stwi_world_plants(world, STW_PLANT_DELIVERED_LATE)) {
    link->is_held = true;
    link->held_lane = named.lane;
    link->held_number = named.number;
    return;
  }
  check_one(world, link, &named);
  if (stwi_world_plants(world, STW_PLANT_DELIVERED_TWICE))
    check_one(world, link, &named);
  if (link->is_held && link->held_lane == named.lane) {
    link->is_held = false;
    named.number = link->held_number;
    check_one(world, link, &named);
  }
}

static void check_lane(struct stwi_world *world, uint32_t slot, stw_lane at) {
  const struct stwi_world_conn *conn = &world->conns[slot];
  const struct stwi_world_lane *lane = &conn->lanes[at];
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  uint64_t stands = 0;
  stwi_world_looked(world, STW_RULE_LOST);
  for (uint64_t n = 1; n <= lane->sent; n++) {
    const struct stwi_world_message *message = &lane->messages[n - 1];
    const bool is_standing = stwi_outbox_find(&inside->lanes[at], n) != NULL;
    stands += is_standing;
    if (is_standing && message->is_ended)
      stwi_world_break(world, STW_RULE_ENDED, "conn %u: message %llu ended and stands", slot,
                       (unsigned long long)n);
    if (is_standing || message->is_ended || is_final(conn->state) || is_aside(inside, at, n))
      continue;
    if (n > lane->settled)
      stwi_world_break(world, STW_RULE_LOST, "conn %u: message %llu was lost", slot,
                       (unsigned long long)n);
  }
  if (stands != inside->lanes[at].messages)
    stwi_world_break(world, STW_RULE_COUNTS, "conn %u: %llu messages stand, the outbox counts %llu",
                     slot, (unsigned long long)stands,
                     (unsigned long long)inside->lanes[at].messages);
}

static void check_clocks(struct stwi_world *world, uint32_t slot) {
  const struct stwi_world_conn *conn = &world->conns[slot];
  uint64_t ns[STW_STATE_COUNT], all = 0, online = 0;
  stwi_world_looked(world, STW_RULE_CLOCKS);
  memcpy(ns, conn->state_ns, sizeof ns);
  ns[conn->state] += world->now - conn->since;
  for (unsigned state = 0; state < STW_STATE_COUNT; state++) {
    all += ns[state];
    online += is_live((stw_state)state) ? ns[state] : 0;
  }
  const uint64_t open = all - ns[STW_STATE_CLOSED] - ns[STW_STATE_IDLE];
  if (all != world->now - conn->opened_at ||
      open != stwi_world_metric(world, slot, STW_METRIC_OPEN_NS) ||
      online != stwi_world_metric(world, slot, STW_METRIC_ONLINE_NS))
    stwi_world_break(world, STW_RULE_CLOCKS, "conn %u: the times in states do not add up", slot);
}

static void check_counts(struct stwi_world *world, uint32_t slot) {
  static const stw_metric ends[] = {
      STW_METRIC_SETTLED, STW_METRIC_EXPIRED, STW_METRIC_CANCELLED,      STW_METRIC_DROPPED,
      STW_METRIC_DEAD,    STW_METRIC_UNKNOWN, STW_METRIC_OUTBOX_MESSAGES};
  uint64_t sum = 0;
  stwi_world_looked(world, STW_RULE_COUNTS);
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
    sum += stwi_world_metric(world, slot, ends[i]);
  if (sum != stwi_world_metric(world, slot, STW_METRIC_SENT) + world->conns[slot].restored)
    stwi_world_break(world, STW_RULE_COUNTS, "conn %u: %llu messages sent, %llu accounted for",
                     slot, (unsigned long long)stwi_world_metric(world, slot, STW_METRIC_SENT),
                     (unsigned long long)sum);
}

const char *stwi_world_check(struct stwi_world *world) {
  for (uint32_t slot = 0; slot < world->conn_count && world->broken[0] == '\0'; slot++) {
    if (!world->conns[slot].is_open || stwi_world_inside(world, slot) == NULL)
      continue;
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
      check_lane(world, slot, (stw_lane)lane);
    check_clocks(world, slot);
    check_counts(world, slot);
  }
  return world->broken[0] == '\0' ? NULL : world->broken;
}
