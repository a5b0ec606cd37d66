#include "world_inside.h"

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

static void check_state(struct world *world, uint32_t slot, const stw_event *event) {
  struct world_conn *conn = &world->conns[slot];
  const stw_state from = event->u.state.from, to = event->u.state.to;
  if (from != conn->state || to == from)
    world_break(world, "conn %u says %s -> %s while it is %s", slot,
                stw_state_at((size_t)from)->name, stw_state_at((size_t)to)->name,
                stw_state_at((size_t)conn->state)->name);
  if (!is_plausible(event->u.state.cause, from, to))
    world_break(world, "conn %u went %s -> %s because of %s", slot,
                stw_state_at((size_t)from)->name, stw_state_at((size_t)to)->name,
                stw_cause_at((size_t)event->u.state.cause)->name);
  conn->state_ns[conn->state] += world->now - conn->since;
  conn->since = world->now;
  conn->state = to;
  if (to == STW_STATE_ONLINE && from == STW_STATE_CONNECTING)
    conn->online_at = world->now;
}

static uint64_t larger(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static void check_received(struct world *world, uint32_t slot, const stw_event *event) {
  const struct world_conn *conn = &world->conns[slot];
  const uint64_t known = larger(conn->proven[STW_PROOF_RECEIVED], event->u.proof.after);
  for (uint64_t n = known + 1; n <= event->u.proof.upto; n++)
    if (conn->messages[n - 1].received == 0 && !conn->messages[n - 1].is_ended)
      world_break(world, "conn %u claims that message %llu was received", slot,
                  (unsigned long long)n);
}

/* To settle when written is for those whose PINGs nobody answers. */
static void check_settled(struct world *world, uint32_t slot, const stw_event *event) {
  struct world_conn *conn = &world->conns[slot];
  const struct world_link *link = world_link_find(world, slot, event->link);
  const bool is_asking = world_inside(world, slot)->config->has_heartbeat && link != NULL &&
                         !link->server->has_been_mute;
  if (event->u.proof.settled < conn->settled)
    world_break(world, "conn %u: message %llu is settled no longer", slot,
                (unsigned long long)conn->settled);
  if (event->u.proof.settled > conn->settled && is_asking &&
      event->u.proof.proof < STW_PROOF_RECEIVED)
    world_break(world, "conn %u settled without an answer", slot);
  conn->settled = event->u.proof.settled;
}

static void check_proof(struct world *world, uint32_t slot, const stw_event *event) {
  struct world_conn *conn = &world->conns[slot];
  if (event->u.proof.lane != STW_LANE_DATA)
    return; /* the ledger is of the data lane */
  const uint64_t upto = event->u.proof.upto;
  const bool is_news = upto > conn->proven[event->u.proof.proof] ||
                       (upto > 0 && event->u.proof.settled > conn->settled);
  if (!is_news || upto > conn->sent || upto <= event->u.proof.after) {
    world_break(world, "conn %u has proof up to %llu of %llu", slot, (unsigned long long)upto,
                (unsigned long long)conn->sent);
    return;
  }
  if (event->u.proof.proof >= STW_PROOF_RECEIVED)
    check_received(world, slot, event);
  check_settled(world, slot, event);
  for (unsigned proof = 0; proof <= event->u.proof.proof; proof++)
    if (conn->proven[proof] < upto)
      conn->proven[proof] = upto;
}

static void check_ended(struct world *world, uint32_t slot, const stw_event *event) {
  struct world_conn *conn = &world->conns[slot];
  const uint64_t number = event->u.ended.id.number;
  const stw_message_state end = event->u.ended.state;
  if (number == 0 || number > conn->sent || end <= STW_MESSAGE_SETTLED) {
    world_break(world, "conn %u: message %llu ended in state %d", slot, (unsigned long long)number,
                (int)end);
    return;
  }
  struct world_message *message = &conn->messages[number - 1];
  if (message->is_ended)
    world_break(world, "conn %u: message %llu ended twice", slot, (unsigned long long)number);
  if (end == STW_MESSAGE_CANCELLED && message->received > 0)
    world_break(world, "conn %u: message %llu was cancelled after it was received", slot,
                (unsigned long long)number);
  message->is_ended = true;
  message->end = end;
  message->end_cause = event->u.ended.cause;
}

static uint64_t standing(const struct world *world, uint32_t slot) {
  return stwi_lanes_messages(world_inside(world, slot)->lanes);
}

void world_check_event(struct world *world, uint32_t slot, const stw_event *event) {
  struct world_conn *conn = &world->conns[slot];
  if (conn->is_closed_told)
    world_break(world, "conn %u: event %s after closed", slot,
                stw_event_kind_at((size_t)event->kind)->name);
  if (event->at_ns != world->now)
    world_break(world, "an event of another time");
  if (event->link != 0 && world_link_find(world, slot, event->link) == NULL)
    world_break(world, "conn %u: an event of the unknown link %u", slot, event->link);
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
  case STW_EVENT_PAUSED:
  case STW_EVENT_RESUMED:
    if (conn->is_paused == (event->kind == STW_EVENT_PAUSED))
      world_break(world, "conn %u: paused and resumed are no pairs", slot);
    conn->is_paused = event->kind == STW_EVENT_PAUSED;
    break;
  case STW_EVENT_CLOSED:
    if (!is_final(conn->state))
      world_break(world, "conn %u: closed in state %s", slot,
                  stw_state_at((size_t)conn->state)->name);
    if (event->u.closed.undelivered != standing(world, slot))
      world_break(world, "conn %u: closed counts %llu undelivered", slot,
                  (unsigned long long)event->u.closed.undelivered);
    conn->is_closed_told = true;
    break;
  default:
    break;
  }
}

/* ---- after each turn ---- */

static void check_attempts(struct world *world, uint32_t slot) {
  struct world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = world_inside(world, slot);
  const uint32_t attempts = inside->pace.attempts;
  if (attempts < conn->attempt && !is_final(conn->state)) {
    const struct world_link *link = world_live(world, slot);
    const bool is_proven = link != NULL && (link->has_ponged || !stwi_conn_may_ask(inside) ||
                                            link->server->has_been_mute);
    const bool is_reopened = conn->state == STW_STATE_CONNECTING && conn->since == world->now;
    if ((!is_proven || world->now - conn->online_at < 2 * STWI_S) && !is_reopened)
      world_break(world, "conn %u: the attempt counter fell without proof", slot);
  }
  conn->attempt = attempts;
}

/* Nothing that waits may wait for nothing. */
static void check_way_out(struct world *world, uint32_t slot) {
  const struct world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = world_inside(world, slot);
  const stwi_time deadline = stwi_conn_deadline(inside);
  if (is_final(conn->state)) {
    if (deadline != STWI_NEVER)
      world_break(world, "conn %u has ended and still wants to be woken", slot);
    return;
  }
  if (deadline <= world->now)
    world_break(world, "conn %u wants to be woken in the past", slot);
  const stw_phase phase = inside->active == NULL ? STW_PHASE_DEAD : inside->active->phase;
  if (is_live(conn->state) && phase != STW_PHASE_UP && phase != STW_PHASE_CLOSING)
    world_break(world, "conn %u is %s with a link in phase %s", slot,
                stw_state_at((size_t)conn->state)->name, stw_phase_at((size_t)phase)->name);
  const bool may_wait_for_link = is_live(conn->state) && inside->active != NULL;
  if (deadline == STWI_NEVER && !may_wait_for_link)
    world_break(world, "conn %u is stuck in state %s", slot,
                stw_state_at((size_t)conn->state)->name);
  const bool has_next =
      stwi_conn_attempt_count(inside) > 0 || inside->dial_at != 0 || inside->credentials.is_waiting;
  if (conn->state == STW_STATE_MIGRATING && !has_next)
    world_break(world, "conn %u migrates without a candidate", slot);
  if (conn->state == STW_STATE_WAITING && inside->next_at == 0)
    world_break(world, "conn %u waits without a time", slot);
}

static void check_links(struct world *world, uint32_t slot) {
  const struct stwi_conn *inside = world_inside(world, slot);
  uint32_t known = inside->active != NULL;
  known += stwi_conn_attempt_count(inside);
  uint32_t alive = 0;
  for (const struct world_link *link = world->conns[slot].links; link != NULL; link = link->next)
    alive += !link->is_cut && !link->is_over;
  if (alive != known)
    world_break(world, "conn %u knows %u links, %u are alive", slot, known, alive);
}

void world_check_turn(struct world *world) {
  for (uint32_t slot = 0; slot < world->conn_count && world->broken[0] == '\0'; slot++) {
    struct world_conn *conn = &world->conns[slot];
    const struct stwi_conn *inside = world_inside(world, slot);
    if (!conn->is_open || !conn->is_touched || inside == NULL)
      continue;
    conn->is_touched = false;
    if (inside->state != conn->state)
      world_break(world, "conn %u changed its state without an event", slot);
    check_attempts(world, slot);
    check_way_out(world, slot);
    check_links(world, slot);
  }
}

/* ---- messages ---- */

void world_check_received(struct world *world, struct world_link *link, const uint8_t *data,
                          size_t size) {
  char head[96];
  const size_t used = size < sizeof head - 1 ? size : sizeof head - 1;
  memcpy(head, data, used);
  head[used] = '\0';
  unsigned slot;
  unsigned long long number;
  if (sscanf(head, "m:%u:%llu:", &slot, &number) != 2 || slot != link->conn) {
    world_break(world, "link %u carried what conn %u never sent", link->gen, link->conn);
    return;
  }
  struct world_conn *conn = &world->conns[slot];
  if (number == 0 || number > conn->sent || number <= link->last_number) {
    world_break(world, "link %u of conn %u: message %llu after %llu", link->gen, slot, number,
                (unsigned long long)link->last_number);
    return;
  }
  struct world_message *message = &conn->messages[number - 1];
  link->last_number = number;
  link->messages++;
  link->server->messages++;
  link->server->duplicates += message->received > 0;
  message->received++;
  if (message->guarantee == STW_AT_MOST_ONCE && message->received > 1)
    world_break(world, "conn %u: message %llu came twice", slot, number);
  if (message->is_ended && message->end == STW_MESSAGE_CANCELLED)
    world_break(world, "conn %u: message %llu came after it was cancelled", slot, number);
}

static void check_ledger(struct world *world, uint32_t slot) {
  const struct world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = world_inside(world, slot);
  uint64_t stands = 0;
  for (uint64_t n = 1; n <= conn->sent; n++) {
    const struct world_message *message = &conn->messages[n - 1];
    const bool is_standing = stwi_outbox_find(&inside->lanes[STW_LANE_DATA], n) != NULL;
    stands += is_standing;
    if (is_standing && message->is_ended)
      world_break(world, "conn %u: message %llu ended and stands", slot, (unsigned long long)n);
    if (is_standing || message->is_ended || is_final(conn->state))
      continue;
    if (n > conn->settled)
      world_break(world, "conn %u: message %llu was lost", slot, (unsigned long long)n);
  }
  if (stands != inside->lanes[STW_LANE_DATA].messages)
    world_break(world, "conn %u: %llu messages stand, the outbox counts %llu", slot,
                (unsigned long long)stands,
                (unsigned long long)inside->lanes[STW_LANE_DATA].messages);
}

static void check_clocks(struct world *world, uint32_t slot) {
  const struct world_conn *conn = &world->conns[slot];
  uint64_t ns[STW_STATE_COUNT], all = 0, online = 0;
  memcpy(ns, conn->state_ns, sizeof ns);
  ns[conn->state] += world->now - conn->since;
  for (unsigned state = 0; state < STW_STATE_COUNT; state++) {
    all += ns[state];
    online += is_live((stw_state)state) ? ns[state] : 0;
  }
  const uint64_t open = all - ns[STW_STATE_CLOSED] - ns[STW_STATE_IDLE];
  if (all != world->now - conn->opened_at ||
      open != world_metric(world, slot, STW_METRIC_OPEN_NS) ||
      online != world_metric(world, slot, STW_METRIC_ONLINE_NS))
    world_break(world, "conn %u: the times in states do not add up", slot);
}

static void check_counts(struct world *world, uint32_t slot) {
  static const stw_metric ends[] = {
      STW_METRIC_SETTLED, STW_METRIC_EXPIRED, STW_METRIC_CANCELLED,      STW_METRIC_DROPPED,
      STW_METRIC_DEAD,    STW_METRIC_UNKNOWN, STW_METRIC_OUTBOX_MESSAGES};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
    sum += world_metric(world, slot, ends[i]);
  if (sum != world_metric(world, slot, STW_METRIC_SENT) + world->conns[slot].restored)
    world_break(world, "conn %u: %llu messages sent, %llu accounted for", slot,
                (unsigned long long)world_metric(world, slot, STW_METRIC_SENT),
                (unsigned long long)sum);
}

const char *world_check(struct world *world) {
  for (uint32_t slot = 0; slot < world->conn_count && world->broken[0] == '\0'; slot++) {
    if (!world->conns[slot].is_open || world_inside(world, slot) == NULL)
      continue;
    check_ledger(world, slot);
    check_clocks(world, slot);
    check_counts(world, slot);
  }
  return world->broken[0] == '\0' ? NULL : world->broken;
}
