/* pair: a client that is the whole engine core, and two server nodes over one durable store, in
 * virtual time.
 *
 * The client is a core with one conn of profile session, an outbox file (sim/store) and a host; the
 * nodes are core/session_server behind RFC 6455, with hosts that commit effects, cursor and state
 * together.  What happens to them is the test's: it owns the one world `w` and drives it from the
 * events of its network.
 */
#ifndef STEADWIRE_TESTS_PAIR_H
#define STEADWIRE_TESTS_PAIR_H

#include "core/engine_core.h"
#include "core/frame.h"
#include "core/session_server.h"
#include "sim/checker.h"
#include "sim/net.h"
#include "sim/store.h"

#include <stdio.h>

#define NODES 2u
#define LINKS_MAX 32u
#define EDITS_MAX 256u
#define OUTBOX_MESSAGES 1500u

/* Mistakes planted to see that this world finds them. */
enum bug {
  NO_BUG,
  ACCEPTS_BEFORE_COMMIT,   /* the server acknowledges what its host has not committed */
  FORGETS_CURSOR,          /* the server comes back with a cursor behind its effects */
  PROCESSED_BEFORE_COMMIT, /* the client's host says processed before its commit */
  CLAIMS_COMMIT,           /* the file says committed before it is */
  CLAIMS_DURABLE,          /* the file loses a tail with the power that it called durable */
  DROPS_PART,              /* a piece of a long message goes missing in the server */
  BUG_COUNT
};

enum misfortune {
  TO_CLIENT_LOST,
  TO_SERVER_LOST,
  BLACK_HOLE,
  RESET,
  SILENT_DOOR,
  CLIENT_KILLED,
  CLIENT_CLOSED,
  POWER_LOST,
  NODE_KILLED,
  DISK_FULL,
  SYNC_FAILED,
  SESSION_EXPIRED,
  SERVER_STORE_LOST,
  MISFORTUNE_COUNT
};

enum timer { TICK, SEND, FAULT, STORE, CLIENT_COMMIT, NODE_COMMIT, NODE_TICK, DOOR_BACK, SPACE };

struct plan {
  uint64_t target;      /* messages each way */
  bool has_one_node;    /* no handover: what one host was given and has not committed stays its */
  uint32_t misfortunes; /* bits: those that happen */
  bool has_harm;        /* frames doubled, swapped, dropped */
  uint32_t lag;         /* commits that the client's file may lose with the power: level process */
  enum bug bug;
  FILE *log; /* NULL: none */
};

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
  uint8_t *body; /* owned */
};

struct pending {
  struct taken items[8192];
  size_t count;
};

struct edit { /* a message taken back: withdrawn when no loss of power can bring it back */
  uint64_t change;
  uint32_t stream;
  uint64_t serial;
};

struct dialled { /* a link of the client */
  uint32_t link, gen;
  bool is_ready;
};

struct answered { /* a link of a node */
  uint32_t link;
  uint32_t session_link; /* 0: no HELLO was taken */
  bool has_close_sent;
  struct stwi_decoder decoder;
};

struct node {
  struct stwi_server server;
  bool has_server;
  uint64_t epoch; /* of the durable store, when it opened the session */
  struct answered links[LINKS_MAX];
  size_t link_count;
  stwi_time tick_at;
  struct pending pending;
};

struct pair {
  struct stwi_net *net;
  struct stwi_checker *checker;
  struct plan plan;
  stwi_time now;
  uint64_t sent[2], digest;
  /* the client: a process, its outbox file, and what its host has committed */
  struct stwi_core *core;
  struct stwi_effects effects;
  bool has_input;
  stwi_time tick_at, store_at;
  struct stwi_model_store *store;
  stw_store_health health;
  uint64_t life, told_serial; /* of the last change */
  uint64_t committed[STW_LANE_COUNT], last[STW_LANE_COUNT], maybe_written[STW_LANE_COUNT];
  uint64_t cursor[STW_LANE_COUNT];
  bool gives_cursor, replays;
  struct edit edits[EDITS_MAX];
  size_t edit_count;
  struct pending pending;
  struct dialled dialled[LINKS_MAX];
  size_t dialled_count;
  uint64_t stream;
  /* the servers, and what they share */
  struct node nodes[NODES];
  uint64_t epoch, owner, incarnation;
  stw_session_options options;
  uint8_t state[STW_SESSION_STATE_MAX], cid[STW_CID_BYTES];
  size_t state_size;
  struct lane ring[STW_LANE_COUNT];
  /* what happened */
  uint64_t happened[MISFORTUNE_COUNT];
  uint64_t stale, refused, parts, coalesced;
  char broken[200];
};

extern struct pair w;

/* pair.c */
uint64_t pair_roll(uint64_t below);
bool pair_may(enum misfortune what);
void pair_broke(const char *what);
void pair_timer(enum timer kind, uint64_t what, uint64_t after);
uint32_t pair_stream_of(bool is_to_client, stw_lane lane);
uint32_t pair_size(void); /* of the next message */
void pair_lane_add(struct lane *lane, struct kept kept);
void pair_lane_settle(struct lane *lane, uint64_t upto);
void pair_note(struct pending *pending, uint32_t stream, stw_lane lane, uint64_t number,
               const void *data, size_t size);
void pair_commit_effects(struct pending *pending, uint64_t cursor[STW_LANE_COUNT]);
void pair_forget_effects(struct pending *pending);
/* Sends WebSocket frames, each in a packet of its own; those of whole messages may be harmed. */
void pair_send_frames(uint32_t link, enum stwi_net_end end, const uint8_t *frames, size_t size);

/* pair_client.c */
void pair_client_start(void);
void pair_client_stop(void);
void pair_client_crash(bool is_power_lost);
void pair_client_close(void); /* in order, and back at once */
void pair_client_event(const struct stwi_net_event *event);
void pair_client_step(const struct stwi_input *input);
void pair_client_turn(void);
void pair_client_stored(void);

/* pair_host.c: the host of the client */
void pair_host_put(stw_lane lane);
void pair_host_cancel(stw_lane lane);
void pair_host_commit(void);
void pair_host_event(const stw_event *event);
void pair_host_change(const struct stwi_store_change *change);
void pair_host_safe(void);
uint64_t pair_host_standing(void);
void pair_host_restored(const struct stwi_restored *restored);
/* Before a crash, and after it: what may be lost, and what must not come any more. */
void pair_host_note_standing(void);
void pair_host_judge_lost(bool is_power_lost);

/* pair_server.c */
void pair_node_event(const struct stwi_net_event *event);
void pair_node_drop(struct node *node);
void pair_node_pump(struct node *node);
void pair_node_commit(struct node *node);
void pair_node_put(stw_lane lane);
void pair_node_crash(size_t at);
/* The servers' store forgets the session; `is_all_lost`: and everything else in it. */
void pair_lose_session(bool is_all_lost);

#endif
