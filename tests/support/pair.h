/* pair: a client of steadwire.v1 and two server nodes over one durable store, in virtual time.
 *
 * The client is the session of core/session_client with an outbox and a model store, the nodes are
 * core/session_server with hosts that commit effects, cursor and state together.  What happens to
 * them is the test's: it owns the one world `w` and drives it from the events of its network.
 */
#ifndef STEADWIRE_TESTS_PAIR_H
#define STEADWIRE_TESTS_PAIR_H

#include "core/session_client.h"
#include "core/session_server.h"
#include "sim/checker.h"
#include "sim/net.h"
#include "sim/store.h"

#include <stdio.h>

#define NODES 2u
#define PENDING_MAX 1500u
#define BODY_MAX 600u
#define FRAME_MAX 2048u
#define INCARNATION 5u
#define EDITS_MAX 64u

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

struct pair {
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
};

extern struct pair w;

uint64_t pair_roll(uint64_t below);
void pair_broke(const char *what);
void pair_timer(enum timer kind, uint64_t what, uint64_t after);
uint32_t pair_stream_of(bool is_to_client, stw_lane lane);
void pair_lane_add(struct lane *lane, struct kept kept);
void pair_lane_settle(struct lane *lane, uint64_t upto);
size_t pair_lane_find(const struct lane *lane, uint64_t number);
void pair_note(struct pending *pending, uint32_t stream, stw_lane lane, uint64_t number,
               const void *data, size_t size);
void pair_commit_effects(struct pending *pending, uint64_t cursor[STW_LANE_COUNT]);
void pair_write_frame(uint32_t link, enum stwi_net_end end, const struct stwi_sframe *frame);
void pair_client_put(stw_lane lane);
void pair_client_cancel(stw_lane lane);
void pair_client_hello(void);
void pair_client_pump(void);
void pair_client_unlink(bool is_told);
void pair_client_dial(void);
void pair_client_bytes(const struct stwi_net_event *event);
void pair_client_commit(void);
void pair_client_stored(void);
void pair_client_tick(void);
void pair_client_start(void);
void pair_client_crash(void);
void pair_node_drop(struct node *node);
void pair_node_pump(struct node *node);
void pair_node_unlink(struct node *node, bool is_told);
void pair_node_bytes(struct node *node, const struct stwi_net_event *event);
void pair_node_commit(struct node *node);
void pair_node_put(stw_lane lane);
void pair_node_crash(size_t at);

#endif
