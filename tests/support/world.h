/* world: a deterministic virtual world around one engine core.
 *
 * Virtual time, one stwi_core, any number of conns, and scripted servers at the other end of each
 * dialled link that speak RFC 6455 through core/frame in the server role.  Everything that comes
 * out of the core is performed in this world and checked against what the core promises; the first
 * broken promise is kept in `broken` and stops the world.  The same seed gives the same world.
 *
 * Use: world_new, world_server, world_open, then host actions and world_run in turn; world_check
 * at the end says what broke, NULL if nothing did.  Bodies of messages are written by the world, so
 * that servers know which message of which conn has arrived.
 *
 * The contracts it holds the core to are those of core/effect.h, core/input.h and DESIGN section 4.
 */
#ifndef STEADWIRE_TESTS_WORLD_H
#define STEADWIRE_TESTS_WORLD_H

#include "core/chunk.h"
#include "core/conn.h"
#include "core/session_server.h"

#include <stdio.h>

#define WORLD_BROKEN_BYTES 512u
#define WORLD_START (1000 * STWI_S)

enum world_pong {
  WORLD_PONG_ANSWER,
  WORLD_PONG_NEVER,
  WORLD_PONG_HOLD, /* kept until world_release_pongs */
  WORLD_PONG_LAST, /* answers only the latest of what came in one read */
  WORLD_PONG_CLOSE /* a PING ends the link with `close_code` */
};

enum world_login {
  WORLD_LOGIN_MANY,
  WORLD_LOGIN_NEW_WINS, /* the older link of the same conn is closed with 4409 */
  WORLD_LOGIN_OLD_WINS  /* the newer attempt is refused with HTTP 409 */
};

/* Where an attempt to this server stops. */
enum world_door {
  WORLD_DOOR_OPEN,
  WORLD_DOOR_REFUSED,    /* TCP RST */
  WORLD_DOOR_BLACKHOLE,  /* SYN is never answered */
  WORLD_DOOR_NO_UPGRADE, /* TCP accepts, HTTP is never answered */
  WORLD_DOOR_HTTP,       /* answers `http_status`, `retry_after_ms` */
  WORLD_DOOR_CAUSE       /* fails with `door_cause` */
};

/* A server.  Every field may be changed between runs. */
struct world_server {
  char name[16];
  enum world_door door;
  uint16_t http_status;
  uint64_t retry_after_ms;
  stw_cause door_cause;
  enum world_pong pong;
  uint16_t close_code; /* of WORLD_PONG_CLOSE; 0: a reset */
  enum world_login login;
  bool has_echo;
  bool is_mute_to_close; /* never answers a CLOSE */
  const char *rejects;   /* a message with this text in it closes the link, NULL: none */
  uint16_t reject_code;
  uint64_t drop_after;                 /* bytes received on a link before it is reset, 0: never */
  uint64_t latency_ns;                 /* one way */
  uint64_t jitter_ns;                  /* added at random */
  uint64_t write_delay_ns;             /* WRITABLE comes this late */
  bool is_write_stuck;                 /* WRITABLE never comes */
  uint64_t bytes_per_s;                /* towards the server, 0: no limit */
  bool eats_to_server, eats_to_client; /* new links are swallowed from their start */
  const char *opening_reply;           /* answer to an opening message, NULL: none */
  stwi_time frozen_until;              /* the process is stopped */
  uint64_t forgets_after; /* of silence: something on the way drops the link; 0: never */
  uint64_t network;       /* that new links leave by */
  bool has_been_mute;     /* it left a PING without its PONG once */
  /* steadwire.v1 */
  bool has_sessions;                   /* selects it where it is offered */
  stw_session_options session_options; /* of new sessions */
  uint64_t incarnation;                /* of its memory of sessions */
  uint32_t refuses;                    /* every HELLO, with this code; 0: none */
  const char *refusal_text;            /* NULL: some words */
  bool refuses_auth;
  bool is_mute_to_hello;
  struct world_session *sessions; /* owned */
  /* what happened */
  uint64_t hellos, resumes, replays, gaps, auths; /* gaps: numbers */
  uint64_t dials, accepts, pings, messages, duplicates;
};

/* One link, seen from outside the core. */
struct world_link {
  struct world_link *next; /* older link of the same conn */
  struct world_server *server;
  uint32_t conn, gen;
  bool is_accepted;   /* at the server */
  bool is_ready;      /* READY was given to the core */
  bool is_over;       /* DOWN was given to the core, or was cut by it */
  bool is_dead;       /* the server's end is gone */
  bool is_cut;        /* by the core: nothing may be written */
  bool is_down_due;   /* DOWN is on its way */
  bool is_gone;       /* DOWN was given to the core: it may be named again */
  bool is_session;    /* speaks steadwire.v1 */
  bool is_optimistic; /* frames behind a HELLO that is refused are passed over */
  stwi_time tick_at;
  bool is_writing;
  bool has_written;
  bool is_paused;
  bool eats_to_server, eats_to_client;
  bool has_close_sent; /* by the server */
  bool has_ponged;     /* a PONG reached the core */
  struct stwi_decoder decoder;
  stwi_time swallowed_at;               /* the first bytes that were eaten were sent; 0: none */
  stwi_time to_server_at, to_client_at; /* order within a direction */
  stwi_time accepted_at;
  stwi_time packet_at; /* last bytes, either way */
  uint64_t bytes_in, messages, openings, pings;
  uint64_t openings_before; /* openings that came before the first message */
  uint64_t last_number;
  uint8_t held[64][125]; /* PONGs kept back */
  uint8_t held_size[64];
  uint32_t held_count;
  struct world_wire *unread; /* in the socket of a paused link, in order */
  size_t unread_count, unread_capacity;
};

/* A message of the host in the ledger. */
struct world_message {
  uint32_t received; /* times at a server */
  uint32_t links;    /* at different links */
  stw_guarantee guarantee;
  bool is_ended;
  stw_message_state end;
  stw_cause end_cause;
};

struct world_event {
  stwi_time at;
  uint32_t conn;
  stw_event event; /* its detail points to nothing: see `detail` */
  char detail[160];
};

/* A conn, seen from outside the core. */
struct world_conn {
  bool is_open;    /* the slot is in use */
  bool is_touched; /* something happened since the last check */
  struct world_link *links;
  stw_state state;
  stwi_time since, opened_at, online_at;
  uint64_t state_ns[STW_STATE_COUNT];
  bool is_closed_told, is_paused;
  uint64_t attempt;
  uint64_t proven[STW_PROOF_COUNT];
  uint64_t settled;               /* up to this number, as PROOF says */
  struct world_message *messages; /* by number - 1 */
  uint64_t sent, capacity;
  uint64_t inbound; /* messages given to the host */
  char last_inbound[64];
  stw_message_id inbound_ids[STW_LANE_COUNT]; /* of the last numbered one */
  uint64_t replayed_inbound;
  uint64_t restored; /* messages that a process before this one had been given */
};

struct world {
  struct stwi_core *core;
  struct stwi_effects effects;
  struct stwi_random random;
  stwi_time now;
  struct world_server servers[16];
  uint32_t server_count;
  struct world_conn *conns;
  uint32_t conn_count, conn_capacity;
  struct world_link *retired; /* of forgotten conns */
  struct world_wire *wires;   /* heap of what is under way */
  size_t wire_count, wire_capacity;
  uint64_t wire_order;
  struct world_event *events;
  size_t event_count, event_capacity;
  bool has_late_inputs; /* inputs of cut links still reach the core */
  bool cuts_reads;      /* bytes arrive in random pieces */
  bool is_unlogged;     /* keep no events: long runs */
  uint64_t steps, turns_now;
  uint64_t looks; /* LOOK effects */
  char broken[WORLD_BROKEN_BYTES];
};

struct world *world_new(uint64_t seed); /* NULL without memory */
void world_free(struct world *world);

/* A server reachable as ws://<name>/; echoes, answers PING, 1 ms one way. */
struct world_server *world_server(struct world *world, const char *name);

/* The default options with `url_count` urls ws://<name>/; `names` separated by spaces. */
struct stwi_conn_config *world_config(const char *names);
/* Opens a conn; takes `config`.  Returns its slot. */
uint32_t world_open(struct world *world, struct stwi_conn_config *config);
uint32_t world_open_default(struct world *world, const char *names);
void world_forget(struct world *world, uint32_t conn);
/* Opens with what a store gave back; `restored` borrowed, its chunks taken. */
uint32_t world_open_restored(struct world *world, struct stwi_conn_config *config,
                             struct stwi_restored *restored);
/* The process dies and comes back in the same slot, with what a store that loses nothing kept: the
 * session and the messages that stood.  The ledger goes on. */
void world_crash(struct world *world, uint32_t conn, struct stwi_conn_config *config);

/* Host actions, each a step of its own and a turn. */
struct world_send {
  uint32_t size; /* at least; 0: the shortest */
  uint64_t ttl_ns;
  const char *key;
  const char *marker; /* text in the body */
  stw_guarantee guarantee;
};
uint64_t world_send(struct world *world, uint32_t conn, const struct world_send *how); /* number */
uint64_t world_say(struct world *world, uint32_t conn);                                /* default */
void world_close(struct world *world, uint32_t conn, uint64_t timeout_ns);
void world_do(struct world *world, uint32_t conn,
              enum stwi_input_kind kind); /* without arguments */
void world_cancel(struct world *world, uint32_t conn, uint64_t number);
void world_opening(struct world *world, uint32_t conn, const char *key, const char *text);
void world_supply(struct world *world, uint32_t conn, const char *token, uint64_t valid_ms);
void world_processed(struct world *world, uint32_t conn, stw_lane lane, uint64_t number);
void world_inbound(struct world *world, uint32_t conn, bool is_full);
void world_network(struct world *world, stw_network what);
void world_stalled(struct world *world, uint64_t for_ns); /* the process did not run: time passes */
void world_input(struct world *world, const struct stwi_input *input);

/* What servers and the path do. */
void world_kill(struct world *world, struct world_server *server, stw_cause cause);
void world_restart(struct world *world, struct world_server *server);
void world_server_close(struct world *world, struct world_server *server, uint16_t code,
                        const char *reason);
void world_server_text(struct world *world, struct world_server *server, const char *text);
void world_server_bytes(struct world *world, struct world_server *server, const void *bytes,
                        size_t size);
void world_swallow(struct world *world, struct world_server *server, bool to_server,
                   bool to_client);
void world_release_pongs(struct world *world, struct world_server *server);
/* Stops the server's process; a longer stop under way is not cut short. */
void world_freeze(struct world *world, struct world_server *server, uint64_t for_ns);

/* Sessions of a server: it says something in each; asks to move; closes; loses its memory. */
uint64_t world_session_say(struct world *world, struct world_server *server, stw_lane lane,
                           const char *text); /* the number */
void world_session_goaway(struct world *world, struct world_server *server, uint64_t after_ms,
                          uint64_t spread_ms);
void world_session_close(struct world *world, struct world_server *server, uint32_t code);
void world_session_forget(struct world_server *server);
/* (accepts_later) Accepts and works through all that has come. */
void world_session_accept(struct world *world, struct world_server *server);
/* A frame of the test's making on every link with a session. */
void world_session_frame(struct world *world, struct world_server *server,
                         const struct stwi_sframe *frame);
const struct stwi_server *world_session_role(const struct world_server *server); /* the newest */

/* Time.  Runs stop early when something broke. */
void world_run(struct world *world, uint64_t for_ns);
typedef bool world_condition(struct world *world, void *context);
/* True: the condition came true within `for_ns`. */
bool world_run_until(struct world *world, world_condition *condition, void *context,
                     uint64_t for_ns);
bool world_run_to(struct world *world, uint32_t conn, stw_state state, uint64_t for_ns);
bool world_run_settled(struct world *world, uint32_t conn, uint64_t for_ns);

/* Looking. */
stw_state world_state(struct world *world, uint32_t conn);
uint64_t world_metric(struct world *world, uint32_t conn, stw_metric metric);
size_t world_count(const struct world *world, uint32_t conn, stw_event_kind kind);
/* The `nth` (from 0) event of the kind, NULL if there is none; nth < 0 counts from the end. */
const struct world_event *world_event(const struct world *world, uint32_t conn, stw_event_kind kind,
                                      int nth);
/* The last change into `state`, NULL if there was none. */
const struct world_event *world_change(const struct world *world, uint32_t conn, stw_state state);
struct world_link *world_live(struct world *world, uint32_t conn); /* the newest that is ready */
const struct stwi_conn *world_inside(const struct world *world, uint32_t conn);

/* The whole ledger and the clocks; lends what broke, NULL if nothing did. */
const char *world_check(struct world *world);
void world_print(const struct world *world, FILE *out); /* the event log */

#endif
