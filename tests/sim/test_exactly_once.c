/* Exactly once, both ways, in a deterministic world: the client's session and the server's on a
 * virtual network that resets, swallows, doubles, swaps and drops, two server nodes over one
 * durable store, and crashes of either side.
 *
 * STW_SEED replays, STW_SIM_MESSAGES makes it longer. */
#include "core/session_client.h"
#include "core/session_server.h"
#include "io/envelope.h"
#include "sim/checker.h"
#include "sim/net.h"
#include "sim/store.h"

#include "core/chunk.h"
#include "core/mem.h"
#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES 200000u
#define LIFE_MESSAGES 1000u
#define NODES 2u
#define PENDING_MAX 1500u
#define BODY_MAX 600u
#define FRAME_MAX 2048u
#define INCARNATION 5u
#define EDITS_MAX 64u
#define DIGEST_PRIME 1099511628211u

/* Mistakes planted to see that this world finds them. */
enum bug {
  NO_BUG,
  ACCEPTS_BEFORE_COMMIT,
  WRITES_BEFORE_COMMIT,
  PROCESSED_BEFORE_COMMIT,
  BUG_COUNT
};

enum timer { TICK, SEND, DIAL, FAULT, STORE, CLIENT_COMMIT, NODE_COMMIT, NODE_BACK };

struct kept { /* a message that a sender keeps */
  uint64_t number, serial;
  uint32_t size;
};

struct lane { /* those of one lane, by number */
  struct kept items[8192];
  size_t first, count;
};

struct taken { /* an effect that is not committed yet */
  uint32_t stream;
  stw_lane lane;
  uint64_t number;
  uint32_t size;
  uint8_t body[BODY_MAX];
};

struct edit { /* a message taken back: settled with the commit of this change */
  uint64_t change;
  uint32_t stream;
  uint64_t serial;
};

struct pending {
  struct taken items[4096];
  size_t count;
};

struct node {
  struct stwi_server server;
  bool has_server;
  uint64_t epoch; /* of the durable store, when it opened the session */
  uint32_t link, session_link;
  struct pending pending;
};

static struct world {
  struct stwi_net *net;
  struct stwi_checker *checker;
  stwi_time now;
  uint64_t target, sent[2], digest;
  bool has_crashes;
  enum bug bug;
  FILE *log;
  /* the client: a process, its outbox file, and what its host has committed */
  struct stwi_session_client client;
  struct stwi_model_store *store;
  uint64_t life, store_serial, session_serial, stored_serial;
  uint64_t stored_upto[STW_LANE_COUNT], last[STW_LANE_COUNT], cursor[STW_LANE_COUNT];
  struct lane outbox[STW_LANE_COUNT];
  struct edit edits[EDITS_MAX];
  size_t edit_count;
  struct pending pending;
  uint32_t link;
  bool is_open;
  stwi_time heard_at;
  /* the servers, and what they share */
  struct node nodes[NODES];
  uint64_t epoch, owner;
  uint8_t state[STW_SESSION_STATE_MAX];
  size_t state_size;
  struct lane ring[STW_LANE_COUNT];
  uint64_t faults, client_crashes, node_crashes, links;
  char broken[200];
} w;

static uint64_t roll(uint64_t below) {
  return stwi_random_below(stwi_net_random(w.net), below);
}

static void broke(const char *what) {
  if (w.broken[0] == '\0')
    snprintf(w.broken, sizeof w.broken, "%s at %llu us", what,
             (unsigned long long)(w.now / STWI_US));
}

static void timer(enum timer kind, uint64_t what, uint64_t after) {
  stwi_net_timer(w.net, w.now + after, (uint64_t)kind | what << 8);
}

static uint32_t stream_of(bool is_to_client, stw_lane lane) {
  return (is_to_client ? 2u : 0u) + (uint32_t)lane;
}

/* ---- lanes and effects ---- */

static void lane_add(struct lane *lane, struct kept kept) {
  if (lane->first == lane->count)
    lane->first = lane->count = 0;
  if (lane->count == sizeof lane->items / sizeof lane->items[0]) {
    memmove(lane->items, lane->items + lane->first,
            (lane->count - lane->first) * sizeof lane->items[0]);
    lane->count -= lane->first;
    lane->first = 0;
  }
  lane->items[lane->count++] = kept;
}

static void lane_settle(struct lane *lane, uint64_t upto) {
  while (lane->first < lane->count && lane->items[lane->first].number <= upto)
    lane->first++;
}

static size_t lane_find(const struct lane *lane, uint64_t number) {
  size_t low = lane->first, high = lane->count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (lane->items[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void note(struct pending *pending, uint32_t stream, stw_lane lane, uint64_t number,
                 const void *data, size_t size) {
  stwi_checker_taken(w.checker, STWI_VIEW_RAW, stream, data, size);
  if (pending->count == sizeof pending->items / sizeof pending->items[0] || size > BODY_MAX) {
    broke("more came than any window allows");
    return;
  }
  struct taken *taken = &pending->items[pending->count++];
  *taken = (struct taken){.stream = stream, .lane = lane, .number = number, .size = (uint32_t)size};
  memcpy(taken->body, data, size);
}

static void commit_effects(struct pending *pending, uint64_t cursor[STW_LANE_COUNT]) {
  for (size_t i = 0; i < pending->count; i++) {
    const struct taken *taken = &pending->items[i];
    if (taken->number <= cursor[taken->lane])
      continue;
    stwi_checker_taken(w.checker, STWI_VIEW_DEDUPED, taken->stream, taken->body, taken->size);
    cursor[taken->lane] = taken->number;
  }
  pending->count = 0;
}

static void write_frame(uint32_t link, enum stwi_net_end end, const struct stwi_sframe *frame) {
  uint8_t bytes[FRAME_MAX];
  const bool is_data = frame->type == STWI_SF_DATA;
  const bool is_soft = is_data || frame->type == STWI_SF_ACK || frame->type == STWI_SF_GAP;
  size_t size = stwi_envelope.encode(frame, bytes, sizeof bytes);
  if (size == 0 || (is_data && size + frame->u.data.size > sizeof bytes)) {
    broke("a frame could not be encoded");
    return;
  }
  if (is_data) {
    memcpy(bytes + size, frame->u.data.payload, frame->u.data.size);
    size += frame->u.data.size;
  }
  stwi_net_send(w.net, w.now, link, end, bytes, size, is_soft);
}

/* ---- the client ---- */

static void change(struct stwi_store_change change) {
  change.serial = ++w.store_serial;
  if (!stwi_model_add(w.store, &change))
    broke("the model store has no memory");
}

static void client_wait_for_store(void) {
  const stwi_time due = stwi_model_due(w.store);
  if (due != STWI_NEVER)
    timer(STORE, w.life, due > w.now ? due - w.now : 0);
}

static void client_flush(void) {
  const stwi_time before = stwi_model_due(w.store);
  stwi_model_flush(w.store, w.now, roll(5) * STWI_MS);
  if (before == STWI_NEVER)
    client_wait_for_store();
}

static void client_put(stw_lane lane) {
  uint8_t body[BODY_MAX];
  const uint32_t size = STWI_STAMP_BYTES + (uint32_t)roll(roll(20) == 0 ? 500 : 40);
  const uint32_t stream = stream_of(false, lane);
  const uint64_t number = ++w.last[lane];
  const uint64_t serial = stwi_checker_sent(w.checker, stream, size, number);
  stwi_stamp_write(body, size, stream, serial);
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, size));
  struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, body, size);
  msg->number = msg->id.number = number;
  msg->lane = (uint8_t)lane;
  msg->guarantee = STW_EXACTLY_ONCE;
  change(
      (struct stwi_store_change){.op = STWI_STORE_PUT, .lane = lane, .number = number, .msg = msg});
  stwi_chunk_free(chunk);
  lane_add(&w.outbox[lane], (struct kept){number, serial, size});
  w.sent[0]++;
}

/* Takes the newest message back, where no byte of it was written. */
static void client_cancel(stw_lane lane) {
  struct lane *outbox = &w.outbox[lane];
  if (outbox->first == outbox->count)
    return;
  const struct kept kept = outbox->items[outbox->count - 1];
  if (kept.number < w.client.out[lane].next || kept.number <= w.stored_upto[lane])
    return;
  outbox->count--;
  stwi_checker_unsure(w.checker, stream_of(false, lane), kept.serial);
  change((struct stwi_store_change){.op = STWI_STORE_REMOVE, .lane = lane, .number = kept.number});
  w.edits[w.edit_count++ % EDITS_MAX] =
      (struct edit){w.store_serial, stream_of(false, lane), kept.serial};
}

static void client_hello(void) {
  struct stwi_sclient_place place = {.window_bytes = 1u << 20};
  struct stwi_sframe frame = {.type = STWI_SF_HELLO};
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct lane *outbox = &w.outbox[lane];
    place.next[lane] = w.last[lane] + 1;
    place.lowest[lane] =
        outbox->first < outbox->count ? outbox->items[outbox->first].number : place.next[lane];
  }
  stwi_sclient_link(&w.client);
  stwi_sclient_hello(&w.client, &place, &frame);
  write_frame(w.link, STWI_NET_CALLER, &frame);
}

static void client_write(stw_lane lane) {
  struct lane *outbox = &w.outbox[lane];
  uint8_t body[BODY_MAX];
  for (size_t at = lane_find(outbox, w.client.out[lane].next); at < outbox->count; at++) {
    const struct kept *kept = &outbox->items[at];
    struct stwi_sframe frame = {.type = STWI_SF_DATA};
    if ((kept->number > w.stored_upto[lane] && w.bug != WRITES_BEFORE_COMMIT) ||
        !stwi_sclient_has_window(&w.client, at - outbox->first, 0, kept->size))
      return;
    if (stwi_sclient_hole(&w.client, lane, kept->number, &frame)) {
      write_frame(w.link, STWI_NET_CALLER, &frame);
      frame = (struct stwi_sframe){.type = STWI_SF_DATA};
    }
    stwi_stamp_write(body, kept->size, stream_of(false, lane), kept->serial);
    frame.u.data.lane = lane;
    frame.u.data.number = kept->number;
    frame.u.data.payload = body;
    frame.u.data.size = kept->size;
    write_frame(w.link, STWI_NET_CALLER, &frame);
    stwi_sclient_wrote(&w.client, lane, kept->number);
  }
}

/* Nothing at all is written before the new token is committed: any frame would end the old one. */
static bool is_client_up(void) {
  return w.is_open && w.client.phase == STWI_SCLIENT_UP && w.stored_serial >= w.session_serial;
}

static void client_pump(void) {
  struct stwi_sframe frame;
  client_flush();
  if (!is_client_up())
    return;
  while (memset(&frame, 0, sizeof frame),
         stwi_sclient_next_control(&w.client, w.now, false, &frame))
    write_frame(w.link, STWI_NET_CALLER, &frame);
  client_write(STW_LANE_CONTROL);
  client_write(STW_LANE_DATA);
}

static void client_unlink(bool is_told) {
  if (w.link == 0)
    return;
  if (!is_told)
    stwi_net_close(w.net, w.now, w.link, STWI_NET_CALLER, true);
  stwi_sclient_unlink(&w.client);
  w.link = 0;
  w.is_open = false;
  timer(DIAL, w.life, (1 + roll(20)) * STWI_MS);
}

/* Nor is a token shown before it is committed: the server would forget the one before it, and a
 * crash would leave the client without any. */
static void client_dial(void) {
  if (w.link != 0)
    return;
  if (w.stored_serial < w.session_serial) {
    timer(DIAL, w.life, STWI_MS);
    return;
  }
  w.link = stwi_net_dial(w.net, w.now, (uint32_t)roll(w.has_crashes ? NODES : 1));
  w.heard_at = w.now;
  w.links++;
}

static void client_gap(stw_lane lane, struct stwi_sclient_hole hole) {
  if (hole.from != 0)
    stwi_checker_gap(w.checker, stream_of(true, lane), hole.from, hole.to);
}

static void client_welcomed(const struct stwi_sclient_news *news) {
  struct stwi_session_saved saved = w.client.saved;
  stwi_sclient_save(&w.client, &saved);
  change((struct stwi_store_change){.op = STWI_STORE_SESSION, .session = &saved});
  w.session_serial = w.store_serial;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    client_gap((stw_lane)lane, news->u.welcomed.holes[lane]);
    lane_settle(&w.outbox[lane], w.client.out[lane].acked);
  }
}

static void client_news(const struct stwi_sframe *frame, const struct stwi_sclient_news *news) {
  stw_lane lane;
  switch (news->kind) {
  case STWI_SNEWS_WELCOMED:
    client_welcomed(news);
    break;
  case STWI_SNEWS_MESSAGE:
    lane = frame->u.data.lane;
    note(&w.pending, stream_of(true, lane), lane, frame->u.data.number, news->u.message.data,
         news->u.message.size);
    stwi_free(news->u.message.held);
    if (w.bug == PROCESSED_BEFORE_COMMIT)
      stwi_sclient_processed(&w.client, lane, frame->u.data.number, w.now);
    break;
  case STWI_SNEWS_ACKED:
    lane = frame->u.ack.lane;
    lane_settle(&w.outbox[lane], frame->u.ack.accepted);
    change((struct stwi_store_change){
        .op = STWI_STORE_SETTLED, .lane = lane, .number = frame->u.ack.accepted});
    break;
  case STWI_SNEWS_GAP:
    client_gap(frame->u.gap.lane, news->u.gap);
    break;
  case STWI_SNEWS_REFUSED:
    broke("the server refused a session that it must know");
    break;
  case STWI_SNEWS_BROKEN:
  case STWI_SNEWS_CLOSE:
    client_unlink(false);
    break;
  default:
    break;
  }
}

static void client_bytes(const struct stwi_net_event *event) {
  struct stwi_sframe frame;
  struct stwi_sclient_news news = {.kind = STWI_SNEWS_NOTHING};
  const char *why = "";
  w.heard_at = w.now;
  if (!stwi_envelope.decode(event->data, event->size, &frame, &why)) {
    broke(why);
    return;
  }
  stwi_sclient_take(&w.client, &frame, w.now, &news);
  client_news(&frame, &news);
}

static void client_commit(void) {
  commit_effects(&w.pending, w.cursor);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_sclient_processed(&w.client, (stw_lane)lane, w.cursor[lane], w.now);
  timer(CLIENT_COMMIT, w.life, (1 + roll(10)) * STWI_MS);
}

static void client_stored(void) {
  struct stwi_input input;
  if (!stwi_model_commit(w.store, w.now, &input))
    return;
  w.stored_serial = input.u.stored.serial;
  memcpy(w.stored_upto, input.u.stored.upto, sizeof w.stored_upto);
  for (size_t i = 0; i < EDITS_MAX; i++) {
    if (w.edits[i].change != 0 && w.edits[i].change <= w.stored_serial) {
      stwi_checker_withdrawn(w.checker, w.edits[i].stream, w.edits[i].serial);
      w.edits[i].change = 0;
    }
  }
  client_wait_for_store();
}

static void client_tick(void) {
  struct stwi_sframe ping = {.type = STWI_SF_PING};
  timer(TICK, w.life, 20 * STWI_MS);
  if (w.link == 0)
    return;
  if (w.now - w.heard_at > 800 * STWI_MS)
    client_unlink(false);
  else if (is_client_up() && w.now - w.heard_at > 200 * STWI_MS)
    write_frame(w.link, STWI_NET_CALLER, &ping);
}

static void restore_lanes(const struct stwi_restored *restored) {
  for (struct stwi_chunk *chunk = restored->chunks; chunk != NULL; chunk = chunk->next) {
    const struct stwi_msg *msg = stwi_chunk_first(chunk);
    uint32_t stream;
    uint64_t serial = 0;
    if (!stwi_stamp_read(stwi_msg_body(msg), msg->size, &stream, &serial))
      broke("the store gave back a body that nobody sent");
    lane_add(&w.outbox[msg->lane], (struct kept){msg->number, serial, msg->size});
  }
}

static void client_start(void) {
  struct stwi_restored restored;
  uint64_t stream;
  if (!stwi_model_open(w.store, &restored, &stream))
    broke("the model store has no memory");
  memset(w.outbox, 0, sizeof w.outbox);
  restore_lanes(&restored);
  memcpy(w.last, restored.last_number, sizeof w.last);
  memcpy(w.stored_upto, restored.last_number, sizeof w.stored_upto);
  w.store_serial = w.session_serial = w.stored_serial = 0;
  w.pending.count = 0;
  memset(w.edits, 0, sizeof w.edits);
  stwi_sclient_init(&w.client, &restored.session, w.cursor, 1u << 20);
  stwi_chunk_free_list(restored.chunks);
  stwi_chunk_free_list(restored.parked);
  timer(DIAL, w.life, STWI_MS);
  timer(TICK, w.life, STWI_MS);
  timer(CLIENT_COMMIT, w.life, STWI_MS);
}

static void client_crash(void) {
  if (w.link != 0)
    stwi_net_died(w.net, w.now, w.link, STWI_NET_CALLER);
  w.link = 0;
  w.is_open = false;
  stwi_model_crash(w.store, roll(2) == 0);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct lane *outbox = &w.outbox[lane];
    const uint64_t kept = stwi_model_last(w.store, (stw_lane)lane);
    for (size_t at = lane_find(outbox, kept + 1); at < outbox->count; at++)
      stwi_checker_withdrawn(w.checker, stream_of(false, (stw_lane)lane), outbox->items[at].serial);
  }
  stwi_sclient_fini(&w.client);
  w.life++;
  w.client_crashes++;
  client_start();
}

/* ---- the servers ---- */

static void node_drop(struct node *node) {
  if (node->has_server)
    stwi_server_fini(&node->server);
  node->has_server = false;
  node->pending.count = 0;
}

static void node_save(struct node *node) {
  if (stwi_server_save(&node->server, w.state, &w.state_size) != STW_OK)
    broke("a session could not be saved");
}

static void node_load(struct node *node) {
  const stw_session_options options = {.struct_size = sizeof options,
                                       .accepts_later = w.bug != ACCEPTS_BEFORE_COMMIT,
                                       .says_processed = true,
                                       .refuses_when_full = true};
  uint8_t body[BODY_MAX];
  node_drop(node);
  bool is_well = stwi_server_init(&node->server, &options) == STW_OK;
  node->has_server = true;
  if (w.state_size == 0)
    return;
  is_well &= stwi_server_load(&node->server, w.state, w.state_size) == STW_OK;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    for (size_t at = w.ring[lane].first; at < w.ring[lane].count; at++) {
      const struct kept *kept = &w.ring[lane].items[at];
      stwi_stamp_write(body, kept->size, stream_of(true, (stw_lane)lane), kept->serial);
      is_well &= stwi_server_restore(&node->server, (stw_lane)lane, kept->number, body, kept->size,
                                     false) == STW_OK;
    }
  }
  if (!is_well)
    broke("a session could not be loaded");
}

static void node_pump(struct node *node) {
  struct stwi_sframe frame;
  if (!node->has_server || node->session_link == 0)
    return;
  while (memset(&frame, 0, sizeof frame), stwi_server_take(&node->server, w.now, &frame))
    write_frame(node->link, STWI_NET_CALLEE, &frame);
}

static void node_unlink(struct node *node, bool is_told) {
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
    claim.random[i] = (uint8_t)roll(256);
  if (!node->has_server || node->epoch != w.epoch)
    node_load(node);
  if (stwi_server_open(&node->server, hello, &claim, &node->session_link, &refusal) != STW_OK ||
      refusal != STW_REFUSAL_NONE) {
    broke(node->server.why);
    return;
  }
  node->epoch = ++w.epoch;
  w.owner = (uint64_t)(node - w.nodes);
  node_save(node);
}

static void node_item(struct node *node, const stw_session_item *item) {
  switch (item->kind) {
  case STW_SESSION_MESSAGE:
    note(&node->pending, stream_of(false, item->lane), item->lane, item->u.message.number,
         item->u.message.data, item->u.message.size);
    break;
  case STW_SESSION_GAP:
    stwi_checker_gap(w.checker, stream_of(false, item->lane), item->u.gap.from, item->u.gap.to);
    break;
  case STW_SESSION_PROOF:
    if (node->epoch == w.epoch)
      lane_settle(&w.ring[item->lane], item->u.proof.kept_from - 1);
    break;
  default:
    break;
  }
}

static void node_bytes(struct node *node, const struct stwi_net_event *event) {
  struct stwi_sframe frame;
  stw_session_item item = {.kind = STW_SESSION_NOTHING};
  const char *why = "";
  if (!stwi_envelope.decode(event->data, event->size, &frame, &why)) {
    broke(why);
  } else if (node->session_link == 0) {
    if (frame.type == STWI_SF_HELLO)
      node_open(node, &frame.u.hello);
    else
      node_unlink(node, false);
  } else if (stwi_server_check_link(&node->server, node->session_link, &item) != STW_OK ||
             stwi_server_receive(&node->server, &frame, w.now, &item) != STW_OK) {
    node_unlink(node, false);
  } else {
    node_item(node, &item);
  }
}

/* Effects, cursor and state in one transaction, which fails where another node has the session. */
static void node_commit(struct node *node) {
  uint64_t cursor[STW_LANE_COUNT], upto[STW_LANE_COUNT];
  timer(NODE_COMMIT, (uint64_t)(node - w.nodes), (1 + roll(10)) * STWI_MS);
  if (!node->has_server)
    return;
  if (node->epoch != w.epoch) {
    node_unlink(node, false);
    node_drop(node);
    return;
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    cursor[lane] = node->server.lanes[lane].accepted;
    upto[lane] = node->server.lanes[lane].received;
  }
  commit_effects(&node->pending, cursor);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (stwi_server_accept(&node->server, (stw_lane)lane, upto[lane], w.now) != STW_OK ||
        stwi_server_processed(&node->server, (stw_lane)lane, upto[lane], w.now) != STW_OK)
      broke("a cursor was refused");
  }
  node_save(node);
}

static void node_put(stw_lane lane) {
  struct node *node = &w.nodes[w.owner];
  uint8_t body[BODY_MAX];
  const uint32_t size = STWI_STAMP_BYTES + (uint32_t)roll(roll(20) == 0 ? 500 : 40);
  const uint32_t stream = stream_of(true, lane);
  const struct lane *ring = &w.ring[lane];
  if (!node->has_server || node->epoch != w.epoch || ring->count - ring->first >= PENDING_MAX)
    return;
  const uint64_t number = node->server.lanes[lane].next;
  const uint64_t serial = stwi_checker_sent(w.checker, stream, size, number);
  uint64_t given = 0;
  stwi_stamp_write(body, size, stream, serial);
  if (stwi_server_send(&node->server, lane, body, size, false, &given) != STW_OK || given != number)
    broke("a message for the client was refused");
  lane_add(&w.ring[lane], (struct kept){number, serial, size});
  node_save(node);
  w.sent[1]++;
}

static void node_crash(size_t at) {
  struct node *node = &w.nodes[at];
  if (node->link != 0)
    stwi_net_died(w.net, w.now, node->link, STWI_NET_CALLEE);
  node->link = node->session_link = 0;
  node_drop(node);
  stwi_net_door(w.net, (uint32_t)at, STWI_NET_DOOR_REFUSED);
  timer(NODE_BACK, at, roll(300) * STWI_MS);
  w.node_crashes++;
}

/* ---- the world ---- */

static bool is_all_sent(void) {
  return w.sent[0] >= w.target && w.sent[1] >= w.target;
}

static void send_some(void) {
  const size_t standing = w.outbox[0].count - w.outbox[0].first;
  for (uint64_t i = roll(6); i > 0; i--) {
    if (w.sent[0] < w.target && standing < PENDING_MAX)
      client_put(roll(8) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA);
    if (w.sent[1] < w.target)
      node_put(roll(8) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA);
  }
  if (roll(20) == 0)
    client_cancel(roll(2) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA);
  timer(SEND, 0, STWI_MS);
}

static void fault(void) {
  const uint32_t link = stwi_net_any(w.net);
  const uint64_t what = roll(w.has_crashes ? 7 : 5);
  if (is_all_sent())
    return;
  timer(FAULT, 0, (5 + roll(150)) * STWI_MS);
  w.faults++;
  if (what == 5)
    client_crash();
  else if (what == 6)
    node_crash(roll(NODES));
  else if (what >= 3)
    stwi_net_reset(w.net, w.now, link);
  else if (what == 2)
    stwi_net_swallow(w.net, link, true, true);
  else
    stwi_net_swallow(w.net, link, what == 0, what == 1);
}

static void on_timer(uint64_t token) {
  const uint64_t what = token >> 8;
  const enum timer kind = (enum timer)(token & 255);
  const bool is_alive = what == w.life;
  if (kind == SEND)
    send_some();
  else if (kind == FAULT)
    fault();
  else if (kind == NODE_COMMIT)
    node_commit(&w.nodes[what]);
  else if (kind == NODE_BACK)
    stwi_net_door(w.net, (uint32_t)what, STWI_NET_DOOR_OPEN);
  else if (kind == DIAL && is_alive)
    client_dial();
  else if (kind == TICK && is_alive)
    client_tick();
  else if (kind == CLIENT_COMMIT && is_alive)
    client_commit();
  else if (kind == STORE && is_alive)
    client_stored();
}

static void on_caller(const struct stwi_net_event *event) {
  if (event->link != w.link)
    return;
  if (event->kind == STWI_NET_OPEN) {
    w.is_open = true;
    w.heard_at = w.now;
    client_hello();
  } else if (event->kind == STWI_NET_BYTES) {
    client_bytes(event);
  } else if (event->kind == STWI_NET_DOWN) {
    client_unlink(true);
  }
}

static void on_callee(const struct stwi_net_event *event) {
  struct node *node = &w.nodes[event->place];
  if (event->kind == STWI_NET_CALL) {
    node_unlink(node, false);
    node->link = event->link;
  } else if (event->link == node->link && event->kind == STWI_NET_BYTES) {
    node_bytes(node, event);
  } else if (event->link == node->link && event->kind == STWI_NET_DOWN) {
    node_unlink(node, true);
  }
}

static void note_event(const struct stwi_net_event *event) {
  w.digest = (w.digest ^ event->at) * DIGEST_PRIME;
  w.digest = (w.digest ^ event->link ^ (uint64_t)event->kind << 40) * DIGEST_PRIME;
  for (size_t i = 0; i < event->size; i += 8)
    w.digest = (w.digest ^ event->data[i]) * DIGEST_PRIME;
  if (w.log != NULL)
    fprintf(w.log, "%llu %u %u %u %zu %llx\n", (unsigned long long)event->at, (unsigned)event->kind,
            event->link, (unsigned)event->end, event->size, (unsigned long long)w.digest);
}

static bool is_all_taken(void) {
  struct stwi_verdict verdict;
  stwi_checker_verdict(w.checker, STWI_VIEW_DEDUPED, &verdict);
  return verdict.faults[STWI_FAULT_LOST] == 0;
}

struct life {
  uint64_t target; /* messages each way */
  bool has_crashes, has_harm;
  enum bug bug;
  FILE *log; /* NULL: none */
};

static struct {
  unsigned long long sent, withdrawn, links, faults, client_crashes, node_crashes;
  unsigned long long doubled, swapped, dropped;
} sums;

static void begin(uint64_t seed, const struct life *life) {
  memset(&w, 0, sizeof w);
  w.net = stwi_net_new(seed, NODES);
  w.checker = stwi_checker_new(2 * STW_LANE_COUNT);
  w.store = stwi_model_new(seed + 1, 0);
  w.target = life->target;
  w.has_crashes = life->has_crashes;
  w.bug = life->bug;
  w.log = life->log;
  w.life = 1;
  stwi_net_latency(w.net, 200 * STWI_US, 20 * STWI_MS);
  if (life->has_harm)
    stwi_net_harm(w.net, (struct stwi_net_harm){.doubled = 2000, .swapped = 300, .dropped = 300});
  client_start();
  timer(SEND, 0, STWI_MS);
  timer(FAULT, 0, 100 * STWI_MS);
  for (size_t i = 0; i < NODES; i++)
    timer(NODE_COMMIT, i, STWI_MS);
}

static void run(void) {
  struct stwi_net_event event;
  stwi_time look_at = 0, sent_at = 0;
  while (w.broken[0] == '\0' && stwi_net_next(w.net, &event)) {
    w.now = event.at;
    note_event(&event);
    if (event.kind == STWI_NET_TIMER)
      on_timer(event.token);
    else if (event.end == STWI_NET_CALLER)
      on_caller(&event);
    else
      on_callee(&event);
    client_pump();
    for (size_t i = 0; i < NODES; i++)
      node_pump(&w.nodes[i]);
    if (!is_all_sent() || w.now < look_at)
      continue;
    sent_at = sent_at == 0 ? w.now : sent_at;
    look_at = w.now + 200 * STWI_MS;
    if (is_all_taken() || w.now - sent_at > 60 * STWI_S)
      return;
  }
}

static void end(void) {
  for (size_t i = 0; i < NODES; i++)
    node_drop(&w.nodes[i]);
  stwi_sclient_fini(&w.client);
  stwi_model_free(w.store);
  stwi_checker_free(w.checker);
  stwi_net_free(w.net);
}

static void add_up(const struct stwi_verdict *verdict) {
  const struct stwi_net_counts counts = stwi_net_counts(w.net);
  sums.sent += verdict->sent;
  sums.withdrawn += verdict->withdrawn;
  sums.links += w.links;
  sums.faults += w.faults;
  sums.client_crashes += w.client_crashes;
  sums.node_crashes += w.node_crashes;
  sums.doubled += counts.doubled;
  sums.swapped += counts.swapped;
  sums.dropped += counts.dropped + counts.swallowed;
}

static void tell(const char *what) {
  print_message("  %s: %llu sent, %llu withdrawn; %llu links, %llu client and %llu node crashes, "
                "%llu frames doubled, %llu swapped, %llu lost\n",
                what, sums.sent, sums.withdrawn, sums.links, sums.client_crashes, sums.node_crashes,
                sums.doubled, sums.swapped, sums.dropped);
}

static uint64_t total(void) {
  const char *given = getenv("STW_SIM_MESSAGES");
  return given == NULL ? MESSAGES : strtoull(given, NULL, 10);
}

/* One life to its end; false: it broke, w.broken says how. */
static bool live(uint64_t seed, const struct life *life, struct stwi_verdict *verdict) {
  const enum stwi_view view = life->has_crashes ? STWI_VIEW_DEDUPED : STWI_VIEW_RAW;
  begin(seed, life);
  run();
  if (w.broken[0] == '\0')
    snprintf(w.broken, sizeof w.broken, "%s", stwi_model_broken(w.store));
  for (enum stwi_view each = STWI_VIEW_DEDUPED + 1; each-- > view;)
    if (!stwi_checker_verdict(w.checker, each, verdict) && w.broken[0] == '\0')
      snprintf(w.broken, sizeof w.broken, "%s", verdict->first);
  add_up(verdict);
  end();
  return w.broken[0] == '\0';
}

/* Lives until so many messages were sent, each with a seed of its own. */
static void live_on(const char *what, uint64_t seed, struct life life, uint64_t count) {
  memset(&sums, 0, sizeof sums);
  while (sums.sent < count) {
    struct stwi_verdict verdict;
    if (!live(seed, &life, &verdict))
      fail_msg("seed=%llu: %s", (unsigned long long)seed, w.broken);
    assert_true(verdict.sent >= 2 * life.target);
    assert_true(verdict.taken >= verdict.sent - verdict.withdrawn - verdict.unsure);
    seed++;
  }
  tell(what);
  assert_true(sums.links > 0 && sums.faults > 0);
}

static void exactly_once_after_dedup_by_the_committed_cursor_while_hosts_die(void **unused) {
  (void)unused;
  live_on("hosts die: deduped by committed cursors", test_seed("test_exactly_once"),
          (struct life){.target = LIFE_MESSAGES, .has_crashes = true, .has_harm = true},
          total() / 2);
  assert_true(sums.client_crashes > 0 && sums.node_crashes > 0);
}

static void exactly_once_raw_while_links_die(void **unused) {
  (void)unused;
  live_on("links die: raw", test_seed("test_exactly_once"),
          (struct life){.target = LIFE_MESSAGES, .has_harm = true}, total() / 2);
}

static void planted_bugs_of_the_hosts_are_found(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("test_exactly_once");
  for (enum bug bug = NO_BUG + 1; bug < BUG_COUNT; bug++) {
    const struct life life = {.target = 500, .has_crashes = true, .bug = bug};
    struct stwi_verdict verdict;
    uint64_t lives = 0;
    while (lives < 200 && live(seed + lives, &life, &verdict))
      lives++;
    if (lives == 200)
      fail_msg("seed=%llu: bug %u is not found", (unsigned long long)seed, (unsigned)bug);
  }
}

static void the_same_seed_gives_the_same_log(void **unused) {
  (void)unused;
  struct stwi_verdict verdict;
  char *logs[2];
  size_t sizes[2];
  for (unsigned i = 0; i < 2; i++) {
    FILE *log = open_memstream(&logs[i], &sizes[i]);
    assert_non_null(log);
    assert_true(
        live(7, &(struct life){.target = 500, .has_crashes = true, .has_harm = true, .log = log},
             &verdict));
    fclose(log);
  }
  assert_true(sizes[0] > 1000);
  assert_int_equal(sizes[0], sizes[1]);
  assert_memory_equal(logs[0], logs[1], sizes[0]);
  free(logs[0]);
  free(logs[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exactly_once_after_dedup_by_the_committed_cursor_while_hosts_die),
      cmocka_unit_test(exactly_once_raw_while_links_die),
      cmocka_unit_test(planted_bugs_of_the_hosts_are_found),
      cmocka_unit_test(the_same_seed_gives_the_same_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
