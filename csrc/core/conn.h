/* conn.h: one conn inside the engine core.  Private to core/: the conn_*.c files and engine_core.c.
 *
 * conn_state  the setter: applies a rule of the table, performs its actions
 * conn_link   attempts and links: dial, ready, over
 * conn_in     bytes of the active link -> items -> events
 * conn_out    outbox, opening and control frames -> bytes; barriers
 * conn_store  what the store is told and says
 * conn_plain   what the plain profile makes of a link: one frame, or several, for each message
 * conn_session  the session of the client: what steadwire.v1 adds to all of these
 * conn_session_out  what it writes: messages, HELLO, acknowledgements
 * conn_time   timers: what is due, when to come back
 * conn_host   inputs of the host and of the machine
 * conn_kernel what the kernel has seen acknowledged, where the peer answers no PING
 * conn_hint   what host and machine know of the network
 */
#ifndef STWI_CORE_CONN_H
#define STWI_CORE_CONN_H

#include "core/arena.h"
#include "core/cause.h"
#include "core/conn_config.h"
#include "core/credentials.h"
#include "core/endpoint.h"
#include "core/engine_core.h"
#include "core/frame.h"
#include "core/heap.h"
#include "core/link.h"
#include "core/opening.h"
#include "core/outbox.h"
#include "core/pace.h"
#include "core/pulse.h"
#include "core/session_client.h"

#define STWI_ATTEMPTS_MAX 3u
#define STWI_BARRIERS_MAX 16u
#define STWI_BARRIER_BYTES 65536u
#define STWI_BARRIER_AFTER (200 * STWI_MS)
#define STWI_ATTEMPT_SILENCE (1 * STWI_S)
#define STWI_STABLE_AFTER (2 * STWI_S)
#define STWI_OFFLINE_SAFETY (30 * STWI_S)
#define STWI_SOON_MAX (250 * STWI_MS)
#define STWI_SINGLE_WITHIN (2 * STWI_S)
#define STWI_CLOSE_HANDSHAKE (1 * STWI_S)
#define STWI_PART_BYTES 65536u /* longer messages are written in parts */
#define STWI_SESSION_HEAD 64u  /* what a session puts before a message, with a GAP, at most */
#define STWI_TURN_BYTES (4 * ((size_t)STWI_PART_BYTES + 32))
#define STWI_PONGS_BYTES_MAX 4096u
#define STWI_BYTE_NS_FIRST (STWI_S / 32768) /* until a path has shown what it carries */
#define STWI_BYTE_NS_MAX (STWI_S / 4096)

struct stwi_barrier {
  uint64_t upto[STW_LANE_COUNT]; /* last message of each lane written before it; 0: none */
  stwi_time at;
  stwi_time due;      /* its age counts from here: what stands before it must get through first */
  uint64_t out_bytes; /* of the link, up to and with it */
};

/* A message being written: INFLIGHT from its first byte on. */
struct stwi_part {
  const struct stwi_msg *msg; /* NULL: none under way */
  uint32_t at;                /* bytes of its body written */
};

struct stwi_profile_ops;

struct stwi_link {
  uint32_t gen;
  uint32_t endpoint; /* index into the conn's endpoints */
  uint32_t round;    /* raced attempts share the round of the one that they race */
  stw_phase phase;
  stwi_time phase_since, dialled_at, up_at;
  uint64_t phase_ns[STW_PHASE_COUNT];
  bool is_writing; /* a WRITE is not answered yet */
  bool has_close_sent;
  bool has_raced; /* its silence was answered with another attempt */
  bool has_spent; /* a token of the endpoint's budget, given back unless it fails */
  bool is_paused;
  const struct stwi_profile_ops *profile; /* what it speaks: plain until its commit */
  bool is_down;                           /* its DOWN came: nothing is left to cut */
  bool is_stable;                         /* has shown proof and been up for 2 s */
  uint64_t written_upto[STW_LANE_COUNT];  /* last messages in the outstanding WRITE; 0: none */
  struct stwi_part parts[STW_LANE_COUNT]; /* messages written in part */
  /* barriers: a ring of unanswered ones; ids count from 1 per link */
  struct stwi_barrier barriers[STWI_BARRIERS_MAX];
  uint32_t barrier_head, barrier_count;
  uint64_t barrier_id; /* of the last one sent */
  uint64_t since_barrier_bytes;
  uint64_t out_bytes, proven_bytes; /* written ever; of them, before an answered barrier */
  stwi_time barrier_at;             /* of the last one sent */
  stwi_time unproven_since;         /* first message written after the last barrier; 0: none */
  bool has_pong;                    /* it has answered one */
  bool is_looking;                  /* LOOK was not answered yet */
  bool is_kernel_late;              /* in doubt because of what it said */
  stwi_time unacked_since; /* first write since all was seen acknowledged; 0: none, or PINGs tell */
  stwi_time look_at;       /* not again before */
  /* PONGs owed, in order; past the bound the oldest give way (RFC 6455 section 5.5.3) */
  uint8_t *pongs; /* size byte, payload, size byte, payload, ... */
  uint32_t pongs_used;
  struct stwi_decoder decoder;
  char subprotocol[64];
};

struct stwi_conn {
  struct stwi_core *core;
  uint32_t slot;
  stw_conn handle;
  struct stwi_conn_config *config;
  struct stwi_endpoint **endpoints; /* one per url */
  uint32_t endpoint_at;             /* index of the next attempt */
  uint64_t stream;
  struct stwi_random random;

  stw_state state;
  stwi_time since;
  stw_cause cause;
  stw_cause lost_cause; /* of the last active link that ended */
  uint16_t close_code, http_status;
  char detail[160];
  bool ever_online;

  struct stwi_link *active;
  struct stwi_link *attempts[STWI_ATTEMPTS_MAX];
  uint32_t gen;                 /* of the last link dialled */
  uint32_t round, failed_round; /* the pace advances once for each round that failed */

  struct stwi_pace pace;
  struct stwi_hint hint;
  struct stwi_repeat repeat;
  struct stwi_bucket hedges;
  struct stwi_pulse pulse;
  struct stwi_outbox lanes[STW_LANE_COUNT];
  struct stwi_parked parked;
  bool has_store;
  bool has_store_gap; /* a change could not be told: the conn fails rather than lie */
  uint64_t store_serial, stored_serial; /* of the last change told; of the last one committed */
  stw_store_health store_health;
  struct stwi_session_saved saved; /* what the store keeps of the session */

  bool has_sessions; /* profile = session */
  struct stwi_session_client session;
  char *offer;             /* subprotocols to offer: steadwire.v1 first; NULL without sessions */
  uint64_t session_serial; /* store: nothing goes out under a token before this is committed */
  uint64_t maybe_written[STW_LANE_COUNT]; /* numbers up to these may have been, by a dead process */
  bool is_token_doubtful;                 /* until WELCOME: of a store that may have missed one */
  uint32_t auth_refusals;                 /* of a doubtful token */
  uint32_t optimistic_endpoint;           /* whose WELCOME allowed DATA ahead of the next one */
  bool is_downgraded;                     /* the present or last link was plain */
  bool is_resumed;                        /* the present link went on where the last one was */
  bool owes_opening;                      /* until a link is up that had the opening messages */
  bool is_auth_due;                       /* AUTH is to be written */
  stwi_time migrate_at;                   /* MIGRATING: no candidate before it (GOAWAY) */
  struct stwi_opening opening;
  struct stwi_credentials credentials;

  stwi_time dial_at;       /* CONNECTING, SUSPECT, MIGRATING: a delayed dial; 0: none */
  stwi_time next_at;       /* WAITING, OFFLINE: the next attempt; 0: none */
  stwi_time hedged_at;     /* when a candidate was last dialled beside a live link */
  stwi_time message_at;    /* last inbound message, for max_silence */
  stwi_time hints_until;   /* network hints are used up to here: bounds their rate */
  stwi_time hint_due;      /* `hinted` came too soon: acts then; 0: none */
  stwi_time path_asked_at; /* the link was last asked because of a hint; 0: never */
  stw_network hinted;
  bool is_stale;
  stwi_time refresh_at; /* when to ask for fresh credentials ahead of their end; 0: never */
  bool is_refreshing;   /* asked so: their supply moves the conn to a new link */
  uint64_t byte_ns;     /* what a byte may take to get through: learnt from answers */
  uint64_t probe_id;    /* SUSPECT: the barrier whose PONG clears it */
  bool has_told_mute;

  bool is_closing, is_inbound_full;
  bool is_pause_told; /* PAUSED was the last of PAUSED and RESUMED */
  bool has_ended;     /* CLOSED was told: nothing more until it is opened again */
  uint64_t replay_messages, replay_bytes; /* written on a lost link, to be written again */
  stwi_time close_deadline, handshake_deadline;

  bool is_dirty;
  struct stwi_conn *next_dirty;
  uint64_t metrics[STW_METRIC_COUNT];
  stwi_time metrics_at; /* last accounting of time in states */
};

struct stwi_core {
  const struct stwi_session_codec *codec; /* NULL: no sessions */
  struct stwi_conn **conns;
  uint32_t slots;
  struct stwi_heap heap;
  struct stwi_endpoints endpoints;
  struct stwi_arena arena;
  struct stwi_conn *dirty;
  struct stwi_effects *effects; /* of the step under way */
  struct stwi_chunk *lent;      /* chunks that effects name, held until the next step */
  stwi_time now;
  uint8_t *entropy;
  uint32_t entropy_left;
};

/* One write being put together: frames one behind the other. */
struct stwi_writer {
  uint8_t *start;
  uint8_t *at;
  uint8_t *end;
};
/* False without memory, or before what is under way was taken. */
bool stwi_conn_begin_write(struct stwi_conn *conn, struct stwi_writer *w, size_t room);
void stwi_conn_finish_write(struct stwi_conn *conn, struct stwi_link *link,
                            const struct stwi_writer *w);

/* engine_core.c */
void stwi_conn_dirty(struct stwi_conn *conn);
struct stwi_effect *stwi_conn_effect(struct stwi_conn *conn, enum stwi_effect_kind kind,
                                     uint32_t link);
/* An EVENT effect of `kind` about `link`; NULL without memory. */
stw_event *stwi_conn_event(struct stwi_conn *conn, stw_event_kind kind, uint32_t link);
/* Holds the chunk of `msg` until the next step. */
void stwi_core_lend(struct stwi_core *core, const struct stwi_msg *msg);
bool stwi_core_mask(struct stwi_core *core, uint8_t mask[4]); /* false: no entropy left */
bool stwi_core_random(struct stwi_core *core, uint8_t *bytes, uint32_t size); /* likewise */

/* conn_state.c: the one setter. False: the table refuses.  `cause` goes into the event. */
bool stwi_conn_apply(struct stwi_conn *conn, enum stwi_link_input input, stw_cause cause);
void stwi_conn_detail(struct stwi_conn *conn, const char *detail);
bool stwi_conn_is_live(const struct stwi_conn *conn);   /* online, suspect or migrating */
bool stwi_conn_is_beside(const struct stwi_conn *conn); /* suspect or migrating: candidates */
/* A copy that lives as long as the step's effects: an event outlives the next transition, and the
 * words of an input or a timer.  "" for NULL or without memory. */
const char *stwi_conn_lend_text(struct stwi_conn *conn, const char *text);
void stwi_conn_account(struct stwi_conn *conn); /* time in states up to now */
stwi_time stwi_conn_next_attempt(struct stwi_conn *conn, stw_cause cause); /* by pace and hint */

/* conn_link.c */
void stwi_conn_dial(struct stwi_conn *conn, bool is_hedge);
bool stwi_conn_can_hedge(const struct stwi_conn *conn); /* leaving the budget aside */
void stwi_conn_ask_credentials(struct stwi_conn *conn, stw_cause why);
void stwi_conn_cut(struct stwi_conn *conn, struct stwi_link **place, bool abort);
void stwi_conn_drop_attempts(struct stwi_conn *conn);
uint32_t stwi_conn_attempt_count(const struct stwi_conn *conn);
void stwi_conn_commit(struct stwi_conn *conn);
void stwi_conn_link_input(struct stwi_conn *conn, const struct stwi_input *input);
uint32_t stwi_conn_endpoint_for(const struct stwi_conn *conn); /* that the next dial goes to */
/* The next attempt goes to another server than this endpoint, where there is one. */
void stwi_conn_next_endpoint(struct stwi_conn *conn, uint32_t left);
/* A link is over.  Forgets it and moves the conn on. */
struct stwi_link_end {
  stw_cause cause;
  uint16_t close_code, http_status;
  struct stwi_hint hint;
  const char *detail;
};
void stwi_conn_link_over(struct stwi_conn *conn, struct stwi_link *link,
                         const struct stwi_link_end *end);
void stwi_conn_phase(struct stwi_conn *conn, struct stwi_link *link, stw_phase phase);
void stwi_conn_check_ready(struct stwi_conn *conn, bool is_matched);

/* True: it ended because it was asked, as it seems. */
bool stwi_conn_learn_mute(struct stwi_conn *conn, const struct stwi_link *link);
bool stwi_conn_may_ask(const struct stwi_conn *conn); /* PINGs are wanted and answered here */

/* `endpoint` may be asked again: what its links are waiting for is due earlier than they know, and
 * a write that is stuck on one of them would never be found. */
void stwi_conn_unmuted(struct stwi_core *core, const struct stwi_endpoint *endpoint);

/* conn_in.c */
/* Writes "<what> <code>: <words>": the peer's own words, made harmless for a log line. */
void stwi_conn_describe(char *text, size_t size, const char *what, uint32_t code,
                        struct stwi_text words);
void stwi_conn_bytes(struct stwi_conn *conn, struct stwi_link *link, const uint8_t *bytes,
                     size_t size);

/* Hands a message to the host; `base` is what lend made of `item`.  True: it was taken. */
struct stwi_inbound_message {
  const uint8_t *data; /* lives as long as the step's effects; NULL: no memory */
  size_t size;
  bool is_text, is_replayed;
  stw_lane lane;
  stw_message_id id;
};
bool stwi_conn_deliver(struct stwi_conn *conn, const struct stwi_inbound_message *message);
const uint8_t *stwi_conn_lend_item(struct stwi_conn *conn, const struct stwi_item *item,
                                   const uint8_t *bytes, size_t size);
stw_cause stwi_conn_cause_of(const struct stwi_conn *conn, uint16_t close_code);

/* conn_session.c */
bool stwi_conn_session_init(struct stwi_conn *conn, const struct stwi_restored *restored);
void stwi_conn_session_fini(struct stwi_conn *conn);
/* `link` is the active one now.  True: it speaks steadwire.v1, HELLO is due. */
bool stwi_conn_session_commit(struct stwi_conn *conn, struct stwi_link *link);
/* The functions that stwi_profile_session of conn_session_out.c takes from here: */
void stwi_conn_session_lost(struct stwi_conn *conn); /* all waits for the next WELCOME */
void stwi_conn_session_up(struct stwi_conn *conn);
void stwi_conn_session_message(struct stwi_conn *conn, struct stwi_link *link,
                               const struct stwi_item *item, const uint8_t *bytes, size_t size);
void stwi_conn_session_processed(struct stwi_conn *conn, stw_lane lane, uint64_t number);
/* The conn ends: its store is told what was written, or may have been, and still stands. */
void stwi_conn_session_leave(struct stwi_conn *conn);
/* What the host supplied as token; "" where it logs in otherwise. */
struct stwi_text stwi_conn_session_token(const struct stwi_conn *conn);
/* The message is DEAD, and its end told with the server's words. */
void stwi_conn_session_reject(struct stwi_conn *conn, stw_lane lane, uint64_t number,
                              stw_cause cause, const char *detail);
void stwi_conn_session_auth(struct stwi_conn *conn); /* fresh credentials are there */

/* conn_kernel.c */
void stwi_conn_kernel_written(struct stwi_conn *conn, struct stwi_link *link);
void stwi_conn_kernel_seen(struct stwi_conn *conn, struct stwi_link *link, bool is_unacked,
                           uint64_t silence_ns);
bool stwi_conn_kernel_doubts(const struct stwi_conn *conn); /* the suspicion is not the host's */
void stwi_conn_kernel_timer(struct stwi_conn *conn);
stwi_time stwi_conn_kernel_deadline(const struct stwi_conn *conn);

/* conn_hint.c */
/* At most four hints at once and four a second act; of those in between the last one does, later.
 */
void stwi_conn_network(struct stwi_conn *conn, stw_network what);
/* The machine has got an address, a route or a carrier. */
void stwi_conn_network_noticed(struct stwi_conn *conn);
/* What became of the path of `link`, see STWI_IN_PATH. */
void stwi_conn_path(struct stwi_conn *conn, const struct stwi_link *link, stw_network what);
void stwi_conn_hint_timer(struct stwi_conn *conn);

/* conn_out.c */
void stwi_conn_pump(struct stwi_conn *conn);
void stwi_conn_writable(struct stwi_conn *conn, struct stwi_link *link);
void stwi_conn_probe(struct stwi_conn *conn);
void stwi_conn_replay(struct stwi_conn *conn);
/* `link` is given up while it owes an answer: perhaps its path was only slow. */
void stwi_conn_learn_slow(struct stwi_conn *conn, const struct stwi_link *link);
/* From now on only the answer to a question asked now clears the suspicion. */
void stwi_conn_expect_fresh(struct stwi_conn *conn);
void stwi_conn_pong_owed(struct stwi_conn *conn, struct stwi_link *link, const uint8_t *payload,
                         size_t size);
void stwi_conn_ponged(struct stwi_conn *conn, struct stwi_link *link, const uint8_t *payload,
                      size_t size);
/* Writes a CLOSE frame at once where nothing stands in the way.  True: it was. */
bool stwi_conn_write_close(struct stwi_conn *conn, struct stwi_link *link, uint16_t code,
                           const char *reason);
stw_proof stwi_conn_wanted(const struct stwi_conn *conn);
void stwi_conn_prove(struct stwi_conn *conn, stw_lane lane, stw_proof proof, uint64_t upto);
void stwi_conn_tell_proof(struct stwi_conn *conn, stw_lane lane, stw_proof proof, uint64_t upto);
bool stwi_conn_has_inflight(const struct stwi_conn *conn);
bool stwi_conn_is_delivered(const struct stwi_conn *conn); /* nothing stands in its lanes */
/* The last message of the lane that was written whole on the active link; 0: none is inflight. */
uint64_t stwi_conn_whole_upto(const struct stwi_conn *conn, stw_lane lane);

/* Puts one masked frame: `prefix`, then `payload`.  False without room or without entropy. */
bool stwi_conn_put_frame(struct stwi_conn *conn, struct stwi_writer *w, unsigned opcode, bool fin,
                         const void *prefix, size_t prefix_size, const void *payload, size_t size);
void stwi_conn_tell_ends(struct stwi_conn *conn);

/* conn_store.c */
/* Begins with what was kept (NULL: nothing).  False without memory; its chunks are taken. */
bool stwi_conn_restore(struct stwi_conn *conn, const struct stwi_restored *restored);
void stwi_conn_drop_restored(const struct stwi_restored *restored); /* nobody takes it */
void stwi_conn_on_stored(struct stwi_conn *conn, const struct stwi_input *input);
/* Tells the store: `change` gets its serial.  Nothing without a store. */
void stwi_conn_store(struct stwi_conn *conn, const struct stwi_store_change *change);
bool stwi_conn_store_is_well(const struct stwi_conn *conn);

/* conn_time.c */
/* Applies what ends a wait, but not the endpoint's budget: without a token the next attempt is
 * moved to when there is one. */
void stwi_conn_try(struct stwi_conn *conn, enum stwi_link_input input, stw_cause cause);
/* The active link is given up for want of an answer: `detail` says of which. */
void stwi_conn_call_dead(struct stwi_conn *conn, const char *detail);
void stwi_conn_timers(struct stwi_conn *conn);
stwi_time stwi_conn_deadline(const struct stwi_conn *conn);
stwi_time stwi_barrier_due(const struct stwi_conn *conn);

/* conn_host.c */
struct stwi_conn *stwi_conn_new(struct stwi_core *core, const struct stwi_input *input);
void stwi_conn_free(struct stwi_conn *conn);
void stwi_conn_host_input(struct stwi_conn *conn, const struct stwi_input *input);
/* When to ask for credentials ahead of their end: after nine tenths of their time, early enough to
 * move to another link before they end.  0: never. */
stwi_time stwi_conn_refresh_time(uint64_t valid_ms, stwi_time now);
/* Stops or goes on reading the active link. */
void stwi_conn_pause(struct stwi_conn *conn, bool on);
void stwi_conn_tell_pause(struct stwi_conn *conn);
void stwi_conn_machine_input(struct stwi_conn *conn, const struct stwi_input *input);

#endif
