/* world: a deterministic virtual world around one engine core.
 *
 * Virtual time, one stwi_core, any number of conns, and scripted servers at the other end of each
 * dialled link that speak RFC 6455 through core/frame in the server role.  Everything that comes
 * out of the core is performed in this world and checked against what the core promises; the first
 * broken promise is kept in `broken` and stops the world.  The same seed gives the same world.
 * The promises are those of steadwire/sim_explore.h.
 *
 * Use: stwi_world_new, stwi_world_server, stwi_world_open, then host actions and stwi_world_run in
 * turn; stwi_world_check at the end says what broke, NULL if nothing did.  Bodies of messages are
 * written by the world, so that servers know which message of which conn has arrived. Without
 * memory the world stops, too: `is_out_of_memory`.
 */
#ifndef STWI_SIM_WORLD_H
#define STWI_SIM_WORLD_H

#include "core/chunk.h"
#include "core/conn.h"
#include "core/session_server.h"
#include "sim/store.h"

#include <steadwire/sim_explore.h>

#define STWI_WORLD_BROKEN_BYTES 512u
#define STWI_WORLD_START (1000 * STWI_S)

enum stwi_world_pong {
  STWI_WORLD_PONG_ANSWER,
  STWI_WORLD_PONG_NEVER,
  STWI_WORLD_PONG_HOLD, /* kept until stwi_world_release_pongs */
  STWI_WORLD_PONG_LAST, /* answers only the latest of what came in one read */
  STWI_WORLD_PONG_CLOSE /* a PING ends the link with `close_code` */
};

enum stwi_world_login {
  STWI_WORLD_LOGIN_MANY,
  STWI_WORLD_LOGIN_NEW_WINS, /* the older link of the same conn is closed with 4409 */
  STWI_WORLD_LOGIN_OLD_WINS  /* the newer attempt is refused with HTTP 409 */
};

/* Where an attempt to this server stops. */
enum stwi_world_door {
  STWI_WORLD_DOOR_OPEN,
  STWI_WORLD_DOOR_REFUSED,    /* TCP RST */
  STWI_WORLD_DOOR_BLACKHOLE,  /* SYN is never answered */
  STWI_WORLD_DOOR_NO_UPGRADE, /* TCP accepts, HTTP is never answered */
  STWI_WORLD_DOOR_HTTP,       /* answers `http_status`, `retry_after_ms` */
  STWI_WORLD_DOOR_CAUSE       /* fails with `door_cause` */
};

/* A server.  Every field may be changed between runs. */
struct stwi_world_server {
  char name[16];
  enum stwi_world_door door;
  uint16_t http_status;
  uint64_t retry_after_ms;
  stw_cause door_cause;
  enum stwi_world_pong pong;
  uint16_t close_code; /* of STWI_WORLD_PONG_CLOSE; 0: a reset */
  enum stwi_world_login login;
  bool has_echo;
  bool throws_out; /* ends each link as soon as it is up, with this code; 0: a reset */
  uint16_t throw_out_code;
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
  struct stwi_world_session *sessions; /* owned */
  struct stwi_world_server *memory;    /* whose sessions it has, NULL: its own */
  /* the resolver's answer: after up to so long; none at all; the name is not there */
  uint64_t resolve_ns;
  bool is_resolver_mute, is_unresolved;
  /* what happened */
  uint64_t hellos, resumes, replays, gaps, auths; /* gaps: numbers */
  uint64_t dials, accepts, pings, messages, duplicates;
  /* attempts that the endpoint's budget leaves, by a generous copy of it */
  uint64_t allowance_ns;
  stwi_time allowance_at;
};

/* One link, seen from outside the core. */
struct stwi_world_link {
  struct stwi_world_link *next; /* older link of the same conn */
  struct stwi_world_server *server;
  uint32_t conn, gen;
  bool is_accepted;   /* at the server */
  bool is_ready;      /* READY was given to the core */
  bool is_over;       /* DOWN was given to the core, or was cut by it */
  bool is_dead;       /* the server's end is gone */
  bool is_cut;        /* by the core: nothing may be written */
  bool is_down_due;   /* DOWN is on its way */
  bool is_retired;    /* its process is dead: nothing reaches its core any more */
  stwi_time ended_at; /* cut, or DOWN: 0: not yet */
  bool is_gone;       /* DOWN was given to the core: it may be named again */
  bool is_session;    /* speaks steadwire.v1 */
  bool is_optimistic; /* frames behind a HELLO that is refused are passed over */
  stwi_time tick_at;
  bool is_writing;
  bool has_written;
  bool is_paused;
  stwi_time paused_at; /* 0: it is not */
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
  uint64_t last_number[STW_LANE_COUNT];
  bool is_held; /* (planted) a message is given to the application behind the next one */
  stw_lane held_lane;
  uint64_t held_number;
  uint8_t held[64][125]; /* PONGs kept back */
  uint8_t held_size[64];
  uint32_t held_count;
  struct stwi_world_wire *unread; /* in the socket of a paused link, in order */
  size_t unread_count, unread_capacity;
};

/* A message of the host in the ledger. */
struct stwi_world_message {
  uint32_t life;       /* of the conn, that sent it */
  uint32_t may_repeat; /* so often, as was told */
  bool is_standing;    /* it was, when its process died */
  bool is_restored;    /* by the last process that began here, */
  bool is_letter;      /* ... as one of unknown fate, or dead: the host finds it in the outbox */
  bool is_doubtful;    /* it has survived a crash: nobody knows what was written of it */
  uint32_t received;   /* times at a server */
  uint32_t links;      /* at different links */
  stw_guarantee guarantee;
  bool is_ended;
  stw_message_state end;
  stw_cause end_cause;
};

struct stwi_world_event {
  stwi_time at;
  uint32_t conn;
  stw_event event; /* its detail points to nothing: see `detail` */
  char detail[160];
};

/* What is known of the messages of a lane. */
#define STWI_WORLD_LANE_FIELDS                                                                     \
  uint64_t proven[STW_PROOF_COUNT];                                                                \
  uint64_t settled;                    /* up to this number, as PROOF says */                      \
  struct stwi_world_message *messages; /* by number - 1 */                                         \
  uint64_t sent, capacity;
struct stwi_world_lane {
  STWI_WORLD_LANE_FIELDS
};

/* A conn, seen from outside the core. */
struct stwi_world_conn {
  bool is_open;    /* the slot is in use */
  bool is_touched; /* something happened since the last check */
  struct stwi_world_link *links;
  stw_state state;
  stwi_time since, opened_at, online_at;
  uint64_t state_ns[STW_STATE_COUNT];
  bool is_closed_told, is_paused;
  uint64_t attempt;
  union {
    struct {
      STWI_WORLD_LANE_FIELDS
    }; /* of the data lane */
    struct stwi_world_lane lanes[STW_LANE_COUNT];
  };
  uint64_t inbound; /* messages given to the host */
  char last_inbound[64];
  stw_message_id inbound_ids[STW_LANE_COUNT]; /* of the last numbered one */
  uint64_t replayed_inbound;
  uint64_t restored; /* messages that a process before this one had been given */
  uint32_t life;     /* processes before this one */
  /* its store: NULL without one */
  struct stwi_model_store *store;
  stwi_time stored_at; /* a look at the store is due; 0: none is */
  uint64_t commit_ns;  /* commits take up to so long */
  uint32_t lag;        /* commits that it may lose with the power */
  stw_store_health health;
  bool is_dying;          /* its process is dead: it tells its store nothing more */
  bool has_sessions_only; /* every server keeps what it took: exactly once */
  bool
      may_forget; /* its store was full, or lost commits with the power: what it has told is lost */
  bool has_downgraded; /* ... not any more */
  bool has_admission;  /* the host keeps to the bounds of the outbox */
  stwi_time close_by;  /* closed by then; 0: nobody has asked for it */
};

/* Lines of text; a world whose log is not on has none. */
struct stwi_world_log {
  char *text; /* owned */
  size_t size, capacity;
  bool is_on;
};

struct stwi_world {
  struct stwi_core *core;
  struct stwi_effects effects;
  struct stwi_random random;
  stwi_time now;
  struct stwi_world_server servers[16];
  uint32_t server_count;
  struct stwi_world_conn *conns;
  uint32_t conn_count;
  size_t conn_capacity;
  struct stwi_world_link *retired; /* of forgotten conns */
  struct stwi_world_wire *wires;   /* heap of what is under way */
  size_t wire_count, wire_capacity;
  uint64_t wire_order;
  struct stwi_world_event *events;
  size_t event_count, event_capacity;
  bool has_late_inputs; /* inputs of cut links still reach the core */
  bool cuts_reads;      /* bytes arrive in random pieces */
  bool is_unlogged;     /* keep no events: long runs */
  uint64_t steps, turns_now;
  uint64_t looks; /* LOOK effects */
  const struct stwi_session_codec *codec;
  struct stwi_world_server nowhere; /* of names that nobody has */
  bool counts_attempts;             /* whoever calls for attempts says so */
  bool is_mended;                   /* the faults are over */
  uint64_t digest;                  /* of every effect */
  stwi_time wakes_from; /* the second in which `wakes` turns were for a deadline of the core */
  uint64_t wakes;
  uint64_t links, sends, deliveries; /* ever */
  uint64_t faults[STW_EXPLORE_FAULT_COUNT], checks[STW_RULE_COUNT];
  struct stwi_world_log log;
  stw_explore_plant plant; /* a mistake made on purpose */
  bool is_planted;         /* it was made once */
  bool is_out_of_memory;
  stw_explore_rule broken_rule;
  stwi_time broken_at;
  char broken[STWI_WORLD_BROKEN_BYTES];
};

/* `codec` borrowed for ever.  NULL without memory. */
struct stwi_world *stwi_world_new(uint64_t seed, const struct stwi_session_codec *codec);
void stwi_world_free(struct stwi_world *world);

/* A server reachable as ws://<name>/; echoes, answers PING, 1 ms one way. */
struct stwi_world_server *stwi_world_server(struct stwi_world *world, const char *name);

/* NULL without memory.  The default options with `url_count` urls ws://<name>/; `names` separated
 * by spaces. */
struct stwi_conn_config *stwi_world_config(const char *names);
/* Opens a conn; takes `config`, NULL breaks the world for want of memory.  Returns its slot. */
uint32_t stwi_world_open(struct stwi_world *world, struct stwi_conn_config *config);
uint32_t stwi_world_open_default(struct stwi_world *world, const char *names);
void stwi_world_forget(struct stwi_world *world, uint32_t conn);
/* Opens with what a store gave back; `restored` borrowed, its chunks taken. */
uint32_t stwi_world_open_restored(struct stwi_world *world, struct stwi_conn_config *config,
                                  struct stwi_restored *restored);
/* The process dies and comes back in the same slot, with what a store that loses nothing kept: the
 * session and the messages that stood.  The ledger goes on. */
void stwi_world_crash(struct stwi_world *world, uint32_t conn, struct stwi_conn_config *config);

/* Opens with a store that begins empty; it loses up to `lag` commits with the power. */
uint32_t stwi_world_open_stored(struct stwi_world *world, struct stwi_conn_config *config,
                                uint32_t lag);
/* The process dies and comes back in the same slot with what its store has kept, if it has one. */
void stwi_world_kill_host(struct stwi_world *world, uint32_t conn, struct stwi_conn_config *config,
                          bool is_power_lost);

/* Host actions, each a step of its own and a turn. */
struct stwi_world_send {
  uint32_t size; /* at least; 0: the shortest */
  uint64_t ttl_ns;
  const char *key;
  const char *marker; /* text in the body */
  stw_guarantee guarantee;
  stw_lane lane;
  bool is_refused; /* by the bounds: drop_newest */
};
uint64_t stwi_world_send(struct stwi_world *world, uint32_t conn,
                         const struct stwi_world_send *how);      /* number */
uint64_t stwi_world_say(struct stwi_world *world, uint32_t conn); /* default */
void stwi_world_close(struct stwi_world *world, uint32_t conn, uint64_t timeout_ns);
void stwi_world_do(struct stwi_world *world, uint32_t conn,
                   enum stwi_input_kind kind); /* without arguments */
void stwi_world_cancel(struct stwi_world *world, uint32_t conn, uint64_t number);
void stwi_world_edit(struct stwi_world *world, uint32_t conn, stw_lane lane, uint64_t number,
                     stw_edit edit);
void stwi_world_opening(struct stwi_world *world, uint32_t conn, const char *key, const char *text);
void stwi_world_supply(struct stwi_world *world, uint32_t conn, const char *token,
                       uint64_t valid_ms);
void stwi_world_processed(struct stwi_world *world, uint32_t conn, stw_lane lane, uint64_t number);
void stwi_world_inbound(struct stwi_world *world, uint32_t conn, bool is_full);
void stwi_world_network(struct stwi_world *world, stw_network what);
void stwi_world_stalled(struct stwi_world *world,
                        uint64_t for_ns); /* the process did not run: time passes */
void stwi_world_jumped(struct stwi_world *world, uint64_t for_ns); /* ... and nobody noticed */
/* The machine slept: servers and paths lived on, our clock (CLOCK_MONOTONIC) stood still. */
void stwi_world_slept(struct stwi_world *world, uint64_t for_ns);
void stwi_world_input(struct stwi_world *world, const struct stwi_input *input);

/* So many attempts at each server are called for by something else than the pace. */
void stwi_world_budget_call(struct stwi_world *world, uint64_t attempts);

/* What servers and the path do. */
void stwi_world_kill(struct stwi_world *world, struct stwi_world_server *server, stw_cause cause);
void stwi_world_restart(struct stwi_world *world, struct stwi_world_server *server);
void stwi_world_server_close(struct stwi_world *world, struct stwi_world_server *server,
                             uint16_t code, const char *reason);
void stwi_world_server_text(struct stwi_world *world, struct stwi_world_server *server,
                            const char *text);
void stwi_world_server_bytes(struct stwi_world *world, struct stwi_world_server *server,
                             const void *bytes, size_t size);
void stwi_world_swallow(struct stwi_world *world, struct stwi_world_server *server, bool to_server,
                        bool to_client);
void stwi_world_release_pongs(struct stwi_world *world, struct stwi_world_server *server);
/* Stops the server's process; a longer stop under way is not cut short. */
void stwi_world_freeze(struct stwi_world *world, struct stwi_world_server *server, uint64_t for_ns);

/* Sessions of a server: it says something in each; asks to move; closes; loses its memory. */
uint64_t stwi_world_session_say(struct stwi_world *world, struct stwi_world_server *server,
                                stw_lane lane, const char *text); /* the number */
void stwi_world_session_goaway(struct stwi_world *world, struct stwi_world_server *server,
                               uint64_t after_ms, uint64_t spread_ms);
void stwi_world_session_close(struct stwi_world *world, struct stwi_world_server *server,
                              uint32_t code);
void stwi_world_session_forget(struct stwi_world_server *server);
/* (accepts_later) Accepts and works through all that has come. */
void stwi_world_session_accept(struct stwi_world *world, struct stwi_world_server *server);
/* A frame of the test's making on every link with a session. */
void stwi_world_session_frame(struct stwi_world *world, struct stwi_world_server *server,
                              const struct stwi_sframe *frame);
const struct stwi_server *
stwi_world_session_role(const struct stwi_world_server *server); /* the newest */

/* Time.  Runs stop early when something broke. */
void stwi_world_run(struct stwi_world *world, uint64_t for_ns);
typedef bool stwi_world_condition(struct stwi_world *world, void *context);
/* True: the condition came true within `for_ns`. */
bool stwi_world_run_until(struct stwi_world *world, stwi_world_condition *condition, void *context,
                          uint64_t for_ns);
bool stwi_world_run_to(struct stwi_world *world, uint32_t conn, stw_state state, uint64_t for_ns);
bool stwi_world_run_settled(struct stwi_world *world, uint32_t conn, uint64_t for_ns);

/* Looking. */
stw_state stwi_world_state(struct stwi_world *world, uint32_t conn);
uint64_t stwi_world_metric(struct stwi_world *world, uint32_t conn, stw_metric metric);
size_t stwi_world_count(const struct stwi_world *world, uint32_t conn, stw_event_kind kind);
/* The `nth` (from 0) event of the kind, NULL if there is none; nth < 0 counts from the end. */
const struct stwi_world_event *stwi_world_event(const struct stwi_world *world, uint32_t conn,
                                                stw_event_kind kind, int nth);
/* The last change into `state`, NULL if there was none. */
const struct stwi_world_event *stwi_world_change(const struct stwi_world *world, uint32_t conn,
                                                 stw_state state);
struct stwi_world_link *stwi_world_live(struct stwi_world *world,
                                        uint32_t conn); /* the newest that is ready */
const struct stwi_conn *stwi_world_inside(const struct stwi_world *world, uint32_t conn);

/* The whole ledger and the clocks; lends what broke, NULL if nothing did. */
const char *stwi_world_check(struct stwi_world *world);
/* Adds a line to the log, if it is on. */
void stwi_world_say_so(struct stwi_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
