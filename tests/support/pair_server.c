#include "pair.h"

#include "io/envelope.h"

#include <stdlib.h>
#include <string.h>

#define RING_MAX 1500u
#define UPGRADED "101"

/* ---- links ---- */

static struct answered *find_link(struct node *node, uint32_t link) {
  for (size_t i = 0; i < node->link_count; i++)
    if (node->links[i].link == link)
      return &node->links[i];
  return NULL;
}

/* The one that holds the session. */
static struct answered *live_link(struct node *node) {
  for (size_t i = 0; i < node->link_count && node->has_server; i++)
    if (node->links[i].session_link != 0 && node->links[i].session_link == node->server.link)
      return &node->links[i];
  return NULL;
}

static void add_link(struct node *node, uint32_t link) {
  if (node->link_count == LINKS_MAX) {
    pair_broke("more links to a node than a client may have");
    return;
  }
  struct answered *answered = &node->links[node->link_count++];
  *answered = (struct answered){.link = link};
  stwi_decoder_init(&answered->decoder, STWI_FRAME_SERVER, 2u * 1024 * 1024);
  stwi_net_send(w.net, w.now, link, STWI_NET_CALLEE, UPGRADED, strlen(UPGRADED), false);
}

static void remove_link(struct node *node, struct answered *link) {
  if (link->session_link != 0 && node->has_server)
    stwi_server_lost(&node->server, link->session_link);
  stwi_decoder_fini(&link->decoder);
  *link = node->links[--node->link_count];
}

static void send_frame(uint32_t link, unsigned opcode, const void *head, size_t head_size,
                       const void *payload, size_t size) {
  uint8_t *bytes = malloc(stwi_frame_size(head_size + size, false));
  const size_t used =
      stwi_frame_encode_two(bytes, opcode, true, NULL, head, head_size, payload, size);
  pair_send_frames(link, STWI_NET_CALLEE, bytes, used);
  free(bytes);
}

/* Says why and goes; what still comes on the link is passed over. */
static void end_link(struct answered *link, uint32_t code) {
  uint8_t frame[STWI_CONTROL_BYTES_MAX + STWI_FRAME_HEADER_BYTES_MAX];
  if (link->has_close_sent)
    return;
  link->has_close_sent = true;
  const size_t size = stwi_close_encode(frame, NULL, (uint16_t)code, "", 0);
  pair_send_frames(link->link, STWI_NET_CALLEE, frame, size);
  stwi_net_close(w.net, w.now, link->link, STWI_NET_CALLEE, false);
}

static void send_session_frame(uint32_t link, const struct stwi_sframe *frame) {
  uint8_t head[STWI_SFRAME_HEAD_MAX];
  const bool has_payload = frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART;
  const size_t size = stwi_envelope.encode(frame, head, sizeof head);
  if (size == 0)
    pair_broke("a frame of the server cannot be encoded");
  send_frame(link, STWI_OP_BINARY, head, size, has_payload ? frame->u.data.payload : NULL,
             has_payload ? frame->u.data.size : 0);
}

void pair_node_pump(struct node *node) {
  struct stwi_sframe frame;
  const struct answered *link = live_link(node);
  if (link == NULL || link->has_close_sent)
    return;
  while (memset(&frame, 0, sizeof frame), stwi_server_take(&node->server, w.now, &frame))
    send_session_frame(link->link, &frame);
  const stwi_time due = stwi_server_deadline(&node->server);
  if (due == STWI_NEVER || (node->tick_at > w.now && node->tick_at <= due))
    return;
  node->tick_at = due;
  pair_timer(NODE_TICK, (uint64_t)(node - w.nodes), due - w.now);
}

/* ---- the store ---- */

void pair_node_drop(struct node *node) {
  if (node->has_server)
    stwi_server_fini(&node->server);
  node->has_server = false;
  pair_forget_effects(&node->pending);
}

static void node_save(struct node *node) {
  if (stwi_server_save(&node->server, w.state, &w.state_size) != STW_OK)
    pair_broke("a session could not be saved");
  memcpy(w.cid, node->server.cid, sizeof w.cid);
}

static bool restore_ring(struct node *node, stw_lane lane) {
  bool is_well = true;
  for (size_t at = w.ring[lane].first; at < w.ring[lane].count; at++) {
    const struct kept *kept = &w.ring[lane].items[at];
    uint8_t *body = malloc(kept->size);
    stwi_stamp_write(body, kept->size, pair_stream_of(true, lane), kept->serial);
    is_well &=
        stwi_server_restore(&node->server, lane, kept->number, body, kept->size, false) == STW_OK;
    free(body);
  }
  return is_well;
}

/* Fills in what the store knows of this client; nothing where it knows another session. */
static void node_load(struct node *node, const uint8_t cid[STW_CID_BYTES]) {
  stw_session_options options = w.options;
  options.accepts_later = w.plan.bug != ACCEPTS_BEFORE_COMMIT;
  pair_node_drop(node);
  bool is_well = stwi_server_init(&node->server, &options) == STW_OK;
  node->has_server = true;
  if (w.state_size > 0 && memcmp(cid, w.cid, sizeof w.cid) == 0) {
    is_well &= stwi_server_load(&node->server, w.state, w.state_size) == STW_OK;
    is_well &= restore_ring(node, STW_LANE_DATA) && restore_ring(node, STW_LANE_CONTROL);
    struct stwi_server_lane *data = &node->server.lanes[STW_LANE_DATA];
    if (w.plan.bug == FORGETS_CURSOR && data->accepted > 0 && data->processed < data->accepted)
      data->accepted = --data->received;
  }
  if (!is_well)
    pair_broke("a session could not be loaded");
}

/* What the servers had for the client and it has not committed may be gone. */
static void lose_ring(void) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct lane *ring = &w.ring[lane];
    for (; ring->first < ring->count; ring->first++)
      stwi_checker_unsure(w.checker, pair_stream_of(true, (stw_lane)lane),
                          ring->items[ring->first].serial);
  }
}

void pair_lose_session(bool is_all_lost) {
  lose_ring();
  w.state_size = 0;
  w.epoch++;
  w.incarnation += is_all_lost;
}

/* ---- HELLO ---- */

static void refuse(struct answered *link, stw_refusal refusal) {
  const struct stwi_sframe frame = {.type = STWI_SF_REFUSE, .u.close.code = (uint32_t)refusal};
  send_session_frame(link->link, &frame);
  if (refusal != STW_REFUSAL_STALE)
    end_link(link, refusal == STW_REFUSAL_AUTH ? 4401 : 4400);
}

static void node_open(struct node *node, struct answered *link, const struct stwi_sf_hello *hello) {
  stw_session_claim claim = {.struct_size = sizeof claim, .incarnation = w.incarnation};
  stw_refusal refusal = STW_REFUSAL_NONE;
  for (size_t i = 0; i < sizeof claim.random; i++)
    claim.random[i] = (uint8_t)pair_roll(256);
  const bool is_live = node->has_server && node->epoch == w.epoch && node->server.is_known &&
                       memcmp(node->server.cid, hello->cid, STW_CID_BYTES) == 0;
  if (!is_live)
    node_load(node, hello->cid);
  struct answered *before = live_link(node);
  uint32_t session_link;
  if (stwi_server_open(&node->server, hello, &claim, &session_link, &refusal) != STW_OK) {
    pair_broke(node->server.why);
    return;
  }
  if (refusal != STW_REFUSAL_NONE) {
    refuse(link, refusal);
    if (!is_live)
      pair_node_drop(node);
    return;
  }
  if (before != NULL && before != link)
    end_link(before, STWI_CLOSE_REPLACED);
  if (w.state_size == 0 || memcmp(w.cid, hello->cid, sizeof w.cid) != 0)
    lose_ring();
  link->session_link = session_link;
  node->epoch = ++w.epoch;
  w.owner = (uint64_t)(node - w.nodes);
  node_save(node);
}

/* ---- frames ---- */

static void on_item(struct node *node, const stw_session_item *item) {
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

static bool is_dropped(const struct stwi_sframe *frame) {
  return w.plan.bug == DROPS_PART && frame->type == STWI_SF_PART && pair_roll(4) == 0;
}

static void on_frame(struct node *node, struct answered *link, const uint8_t *data, size_t size) {
  struct stwi_sframe frame;
  stw_session_item item = {.kind = STW_SESSION_NOTHING};
  const char *why = "";
  if (!stwi_envelope.decode(data, size, &frame, &why)) {
    pair_broke(why);
  } else if (link->session_link == 0) {
    if (frame.type == STWI_SF_HELLO)
      node_open(node, link, &frame.u.hello);
    else if (!w.options.takes_optimistic)
      end_link(link, STWI_CLOSE_PROTOCOL);
  } else if (!node->has_server || is_dropped(&frame)) {
    return;
  } else if (stwi_server_check_link(&node->server, link->session_link, &item) != STW_OK ||
             stwi_server_receive(&node->server, &frame, w.now, &item) != STW_OK) {
    end_link(link, item.close_code);
  } else {
    on_item(node, &item);
  }
}

static void on_message(struct node *node, struct answered *link, const struct stwi_item *item) {
  switch (item->kind) {
  case STWI_ITEM_BINARY:
    on_frame(node, link, item->data, item->size);
    break;
  case STWI_ITEM_PING:
    send_frame(link->link, STWI_OP_PONG, NULL, 0, item->data, item->size);
    break;
  case STWI_ITEM_CLOSE:
    end_link(link, 1000);
    break;
  case STWI_ITEM_TEXT:
  case STWI_ITEM_ERROR:
    pair_broke(item->why == NULL ? "the client sent text" : item->why);
    break;
  default:
    break;
  }
}

static void on_bytes(struct node *node, struct answered *link, const struct stwi_net_event *event) {
  const uint8_t *bytes = event->data;
  size_t size = event->size;
  while (!link->has_close_sent) {
    const struct stwi_item item = stwi_decoder_next(&link->decoder, &bytes, &size);
    if (item.kind == STWI_ITEM_NONE)
      return;
    on_message(node, link, &item);
  }
}

void pair_node_event(const struct stwi_net_event *event) {
  struct node *node = &w.nodes[event->place];
  struct answered *link = find_link(node, event->link);
  if (event->kind == STWI_NET_CALL)
    add_link(node, event->link);
  else if (link != NULL && event->kind == STWI_NET_BYTES)
    on_bytes(node, link, event);
  else if (link != NULL && event->kind == STWI_NET_DOWN)
    remove_link(node, link);
}

/* ---- the host ---- */

/* Effects, cursor and state in one transaction, which fails where another node has the session. */
void pair_node_commit(struct node *node) {
  uint64_t cursor[STW_LANE_COUNT], upto[STW_LANE_COUNT];
  pair_timer(NODE_COMMIT, (uint64_t)(node - w.nodes), (1 + pair_roll(10)) * STWI_MS);
  if (!node->has_server)
    return;
  if (node->epoch != w.epoch) {
    struct answered *link = live_link(node);
    if (link != NULL)
      end_link(link, w.state_size == 0 ? 1012 : STWI_CLOSE_REPLACED);
    pair_node_drop(node);
    return;
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    cursor[lane] = w.plan.bug == ACCEPTS_BEFORE_COMMIT ? 0 : node->server.lanes[lane].accepted;
    upto[lane] = node->server.lanes[lane].received;
  }
  pair_commit_effects(&node->pending, cursor);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const stw_lane at = (stw_lane)lane;
    if (stwi_server_accept(&node->server, at, upto[lane], w.now) != STW_OK)
      pair_broke("a cursor was refused");
    if (pair_roll(3) > 0 && stwi_server_processed(&node->server, at, upto[lane], w.now) != STW_OK)
      pair_broke("a cursor was refused");
  }
  node_save(node);
}

void pair_node_put(stw_lane lane) {
  struct node *node = &w.nodes[w.owner];
  const struct lane *ring = &w.ring[lane];
  if (!node->has_server || node->epoch != w.epoch || ring->count - ring->first >= RING_MAX)
    return;
  const uint32_t size = pair_size();
  const uint32_t stream = pair_stream_of(true, lane);
  const uint64_t number = node->server.lanes[lane].next;
  const uint64_t serial = stwi_checker_sent(w.checker, stream, size, number);
  uint8_t *body = malloc(size);
  uint64_t given = 0;
  stwi_stamp_write(body, size, stream, serial);
  if (stwi_server_send(&node->server, lane, body, size, false, &given) != STW_OK || given != number)
    pair_broke("a message for the client was refused");
  free(body);
  pair_lane_add(&w.ring[lane], (struct kept){number, serial, size});
  node_save(node);
  w.sent[1]++;
}

void pair_node_crash(size_t at) {
  struct node *node = &w.nodes[at];
  while (node->link_count > 0) {
    stwi_net_died(w.net, w.now, node->links[0].link, STWI_NET_CALLEE);
    node->links[0].session_link = 0;
    remove_link(node, &node->links[0]);
  }
  pair_node_drop(node);
  stwi_net_door(w.net, (uint32_t)at, STWI_NET_DOOR_REFUSED);
  pair_timer(DOOR_BACK, at, pair_roll(300) * STWI_MS);
}
