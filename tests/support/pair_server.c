#include "pair.h"

#include "io/envelope.h"

#include <string.h>

void pair_node_drop(struct node *node) {
  if (node->has_server)
    stwi_server_fini(&node->server);
  node->has_server = false;
  node->pending.count = 0;
}

static void node_save(struct node *node) {
  if (stwi_server_save(&node->server, w.state, &w.state_size) != STW_OK)
    pair_broke("a session could not be saved");
}

static void node_load(struct node *node) {
  const stw_session_options options = {.struct_size = sizeof options,
                                       .accepts_later = w.bug != ACCEPTS_BEFORE_COMMIT,
                                       .says_processed = true,
                                       .refuses_when_full = true};
  uint8_t body[BODY_MAX];
  pair_node_drop(node);
  bool is_well = stwi_server_init(&node->server, &options) == STW_OK;
  node->has_server = true;
  if (w.state_size == 0)
    return;
  is_well &= stwi_server_load(&node->server, w.state, w.state_size) == STW_OK;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    for (size_t at = w.ring[lane].first; at < w.ring[lane].count; at++) {
      const struct kept *kept = &w.ring[lane].items[at];
      stwi_stamp_write(body, kept->size, pair_stream_of(true, (stw_lane)lane), kept->serial);
      is_well &= stwi_server_restore(&node->server, (stw_lane)lane, kept->number, body, kept->size,
                                     false) == STW_OK;
    }
  }
  if (!is_well)
    pair_broke("a session could not be loaded");
}

void pair_node_pump(struct node *node) {
  struct stwi_sframe frame;
  if (!node->has_server || node->session_link == 0)
    return;
  while (memset(&frame, 0, sizeof frame), stwi_server_take(&node->server, w.now, &frame))
    pair_write_frame(node->link, STWI_NET_CALLEE, &frame);
}

void pair_node_unlink(struct node *node, bool is_told) {
  if (node->link == 0)
    return;
  if (node->session_link != 0 && node->has_server)
    stwi_server_lost(&node->server, node->session_link);
  if (!is_told)
    stwi_net_close(w.net, w.now, node->link, STWI_NET_CALLEE, false);
  node->link = node->session_link = 0;
}

static void node_open(struct node *node, const struct stwi_sf_hello *hello) {
  stw_session_claim claim = {.struct_size = sizeof claim, .incarnation = INCARNATION};
  stw_refusal refusal = STW_REFUSAL_BUSY;
  for (size_t i = 0; i < sizeof claim.random; i++)
    claim.random[i] = (uint8_t)pair_roll(256);
  if (!node->has_server || node->epoch != w.epoch)
    node_load(node);
  if (stwi_server_open(&node->server, hello, &claim, &node->session_link, &refusal) != STW_OK ||
      refusal != STW_REFUSAL_NONE) {
    pair_broke(node->server.why);
    return;
  }
  node->epoch = ++w.epoch;
  w.owner = (uint64_t)(node - w.nodes);
  node_save(node);
}

static void node_item(struct node *node, const stw_session_item *item) {
  switch (item->kind) {
  case STW_SESSION_MESSAGE:
    pair_note(&node->pending, pair_stream_of(false, item->lane), item->lane, item->u.message.number,
              item->u.message.data, item->u.message.size);
    break;
  case STW_SESSION_GAP:
    stwi_checker_gap(w.checker, pair_stream_of(false, item->lane), item->u.gap.from,
                     item->u.gap.to);
    break;
  case STW_SESSION_PROOF:
    if (node->epoch == w.epoch)
      pair_lane_settle(&w.ring[item->lane], item->u.proof.kept_from - 1);
    break;
  default:
    break;
  }
}

void pair_node_bytes(struct node *node, const struct stwi_net_event *event) {
  struct stwi_sframe frame;
  stw_session_item item = {.kind = STW_SESSION_NOTHING};
  const char *why = "";
  if (!stwi_envelope.decode(event->data, event->size, &frame, &why)) {
    pair_broke(why);
  } else if (node->session_link == 0) {
    if (frame.type == STWI_SF_HELLO)
      node_open(node, &frame.u.hello);
    else
      pair_node_unlink(node, false);
  } else if (stwi_server_check_link(&node->server, node->session_link, &item) != STW_OK ||
             stwi_server_receive(&node->server, &frame, w.now, &item) != STW_OK) {
    pair_node_unlink(node, false);
  } else {
    node_item(node, &item);
  }
}

/* Effects, cursor and state in one transaction, which fails where another node has the session. */
void pair_node_commit(struct node *node) {
  uint64_t cursor[STW_LANE_COUNT], upto[STW_LANE_COUNT];
  pair_timer(NODE_COMMIT, (uint64_t)(node - w.nodes), (1 + pair_roll(10)) * STWI_MS);
  if (!node->has_server)
    return;
  if (node->epoch != w.epoch) {
    pair_node_unlink(node, false);
    pair_node_drop(node);
    return;
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    cursor[lane] = node->server.lanes[lane].accepted;
    upto[lane] = node->server.lanes[lane].received;
  }
  pair_commit_effects(&node->pending, cursor);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (stwi_server_accept(&node->server, (stw_lane)lane, upto[lane], w.now) != STW_OK ||
        stwi_server_processed(&node->server, (stw_lane)lane, upto[lane], w.now) != STW_OK)
      pair_broke("a cursor was refused");
  }
  node_save(node);
}

void pair_node_put(stw_lane lane) {
  struct node *node = &w.nodes[w.owner];
  uint8_t body[BODY_MAX];
  const uint32_t size = STWI_STAMP_BYTES + (uint32_t)pair_roll(pair_roll(20) == 0 ? 500 : 40);
  const uint32_t stream = pair_stream_of(true, lane);
  const struct lane *ring = &w.ring[lane];
  if (!node->has_server || node->epoch != w.epoch || ring->count - ring->first >= PENDING_MAX)
    return;
  const uint64_t number = node->server.lanes[lane].next;
  const uint64_t serial = stwi_checker_sent(w.checker, stream, size, number);
  uint64_t given = 0;
  stwi_stamp_write(body, size, stream, serial);
  if (stwi_server_send(&node->server, lane, body, size, false, &given) != STW_OK || given != number)
    pair_broke("a message for the client was refused");
  pair_lane_add(&w.ring[lane], (struct kept){number, serial, size});
  node_save(node);
  w.sent[1]++;
}

void pair_node_crash(size_t at) {
  struct node *node = &w.nodes[at];
  if (node->link != 0)
    stwi_net_died(w.net, w.now, node->link, STWI_NET_CALLEE);
  node->link = node->session_link = 0;
  pair_node_drop(node);
  stwi_net_door(w.net, (uint32_t)at, STWI_NET_DOOR_REFUSED);
  pair_timer(NODE_BACK, at, pair_roll(300) * STWI_MS);
  w.node_crashes++;
}
