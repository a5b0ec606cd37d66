/* sim_explore.h: lives of an engine core among faults, each drawn from one seed, with every promise
 * of the design checked on the way.
 *
 * A life is one core with one to three conns and one or two servers in virtual time, options, hosts
 * and all.  For a while things go wrong; then everything is mended, and whoever may come back must
 * do so and deliver what it has.  The same seed and options give the same life on every machine,
 * whatever ran before.  An exploration belongs to one thread at a time; different ones may run at
 * the same time.
 */
#ifndef STEADWIRE_SIM_EXPLORE_H
#define STEADWIRE_SIM_EXPLORE_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The promises that are checked.  X(NAME, slug, where it is made, meaning) */
#define STW_EXPLORE_RULE_LIST(X)                                                                   \
  X(REST, "comes_to_rest", "core/engine_core.h", "a turn ends")                                    \
  X(WAKES, "no_tight_loop", "DESIGN 6",                                                            \
    "a core wakes by its own deadline at most 1,000 times a second for each conn")                 \
  X(TRANSITION, "transition_told", "DESIGN 4",                                                     \
    "every change of the state is told, from the state that was")                                  \
  X(CAUSE, "transition_cause", "DESIGN 4", "every transition has a cause that fits it")            \
  X(PAIRED, "events_paired", "DESIGN 4", "each begin has exactly one end")                         \
  X(LAST, "closed_last", "DESIGN 4", "closed is told in a final state and is the last event")      \
  X(EVENT, "events_true", "DESIGN 4", "an event is of now and of a link that was dialled")         \
  X(CLOCKS, "times_add_up", "DESIGN 4", "the times in states sum to the time that has passed")     \
  X(ATTEMPTS, "attempts_proven", "DESIGN 4",                                                       \
    "the attempt counter falls only after proof and 2 s up")                                       \
  X(WAY_OUT, "way_out", "DESIGN 4", "no state without a way out or a timer")                       \
  X(LINKS, "links_known", "DESIGN 4",                                                              \
    "generations grow, at most 3 attempts at once, and no link is forgotten uncut")                \
  X(FENCED, "fenced_silent", "DESIGN 4", "nothing is sent on a fenced link")                       \
  X(CANDIDATE, "candidate_claims_nothing", "DESIGN 4",                                             \
    "nothing is written before a link is ready and the one before it is fenced")                   \
  X(WRITE, "one_write", "core/effect.h", "at most one write is outstanding on a link")             \
  X(FRAMES, "frames_valid", "DESIGN 5", "what is written is RFC 6455, and steadwire.v1 inside")    \
  X(BUDGET, "attempts_bounded", "DESIGN 6",                                                        \
    "attempts keep to the budget of the endpoint, those that were called for aside")               \
  X(HEDGES, "hedges_bounded", "DESIGN 6", "hedges keep to one per 10 s and 20 % of attempts")      \
  X(BACK, "comes_back", "DESIGN 4", "when the faults are over, who may be online is")              \
  X(DELIVERED, "all_delivered", "DESIGN 5",                                                        \
    "when the faults are over, every message gets its proof or is named as ended")                 \
  X(CLOSES, "close_bounded", "DESIGN 4", "a close ends by its deadline and its handshake")         \
  X(PHANTOM, "only_what_was_sent", "DESIGN 5", "nothing arrives that nobody sent")                 \
  X(ORDER, "lane_order", "DESIGN 5", "messages of a lane arrive in order")                         \
  X(ONCE, "at_most_once", "DESIGN 5", "an at_most_once message never arrives twice")               \
  X(EXACTLY, "exactly_once", "DESIGN 5",                                                           \
    "in a session no message arrives twice, unless a lost session was told")                       \
  X(LOST, "nothing_lost", "DESIGN 5", "no message leaves the outbox without proof or event")       \
  X(ENDED, "ended_once", "DESIGN 5", "a message ends in exactly one way")                          \
  X(CANCELLED, "cancelled_unsent", "DESIGN 5", "what is cancelled was and is not sent")            \
  X(PROOF, "proof_true", "DESIGN 5", "no proof is claimed that the peer has not given")            \
  X(SETTLED, "settled_stays", "DESIGN 5", "what has settled stays settled")                        \
  X(BOUNDS, "outbox_bounded", "DESIGN 5", "the outbox keeps within its bounds")                    \
  X(INBOUND, "inbound_in_order", "DESIGN 5",                                                       \
    "inbound messages of a session come once and in order, of links that are ready")               \
  X(GAPS, "gaps_told", "DESIGN 5", "inbound messages that are missing are told")                   \
  X(PAUSED, "paused_quiet", "DESIGN 5", "a host that is full is given nothing of a new read")      \
  X(COUNTS, "counts_add_up", "DESIGN 7", "every message that was sent is counted once")            \
  X(STORED, "stored_kept", "DESIGN 5",                                                             \
    "the store is told what it can keep, and what was called stored comes back after a crash")     \
  X(RELEASED, "nothing_left", "core/input.h", "a conn that is forgotten leaves nothing behind")

typedef enum stw_explore_rule {
#define STW_X(name, slug, where, text) STW_RULE_##name,
  STW_EXPLORE_RULE_LIST(STW_X)
#undef STW_X
      STW_RULE_COUNT
} stw_explore_rule;

/* What goes wrong.  X(NAME, slug, meaning) */
#define STW_EXPLORE_FAULT_LIST(X)                                                                  \
  X(RESET, "resets", "links reset or ended without a word")                                        \
  X(HALF_DEAD, "half_dead", "links that carry only one way")                                       \
  X(BLACK_HOLE, "black_holes", "links that swallow everything")                                    \
  X(FREEZE, "freezes", "servers whose process is stopped for a while")                             \
  X(DOOR, "shut_doors", "servers that refuse, swallow or never answer attempts")                   \
  X(HTTP, "http_refusals", "servers that answer the upgrade with an error, some with Retry-After") \
  X(RESOLVER, "resolver", "names that are not found, answers that come late and out of order")     \
  X(DELAY, "delays", "latency and jitter")                                                         \
  X(SLOW_WRITE, "slow_writes", "sockets that are full for a while, or for good")                   \
  X(MUTE, "mutes", "servers that answer PINGs late, in part, with a close, or never")              \
  X(CLOSE, "closes", "close frames of every code")                                                 \
  X(HINT, "close_hints", "hints in close frames, absurd ones among them")                          \
  X(LOGIN, "logins", "servers that allow one login at a time")                                     \
  X(THROW_OUT, "throw_outs", "servers that accept and drop again and again")                       \
  X(POISON, "poison", "messages that a server does not take")                                      \
  X(BAD_FRAME, "bad_frames", "bytes that are no frame")                                            \
  X(GOAWAY, "goaways", "servers that ask their clients to move")                                   \
  X(SERVER_KILLED, "servers_killed", "servers that die and come back with what they kept")         \
  X(SERVER_LOST, "server_stores_lost", "servers that come back without their sessions")            \
  X(SERVER_REFUSES, "sessions_refused", "servers that refuse or do not answer a HELLO")            \
  X(CLIENT_KILLED, "clients_killed", "clients that die and come back with their store")            \
  X(POWER_LOST, "power_losses", "... with a store that may lack its last commits")                 \
  X(CLIENT_LOST, "client_stores_lost", "... without a store")                                      \
  X(DISK_FULL, "full_disks", "stores that cannot commit for a while")                              \
  X(SYNC_FAILED, "failed_syncs", "stores that begin a new file")                                   \
  X(STALL, "stalls", "the process was stopped, and notices")                                       \
  X(JUMP, "clock_jumps", "time passes and nobody notices")                                         \
  X(SLEEP, "sleeps", "the machine slept: links die behind its back")                               \
  X(NETWORK, "network_hints", "network up, down, changed; of hosts, contradictory")                \
  X(FLOOD, "hint_floods", "a hundred hints at once")                                               \
  X(HOST_FULL, "full_hosts", "hosts that do not take what arrives")                                \
  X(KICK, "kicks", "hosts that want an attempt now")                                               \
  X(EDIT, "edits", "hosts that hold, move and cancel messages")                                    \
  X(HOST_CLOSE, "closes_by_host", "conns closed with a deadline and opened again")                 \
  X(LATE, "late_inputs", "answers of links that are over")

typedef enum stw_explore_fault {
#define STW_X(name, slug, text) STW_EXPLORE_##name,
  STW_EXPLORE_FAULT_LIST(STW_X)
#undef STW_X
      STW_EXPLORE_FAULT_COUNT
} stw_explore_fault;

/* What kind of conns a life has.  X(NAME, slug, meaning) */
#define STW_EXPLORE_PROFILE_LIST(X)                                                                \
  X(ANY, "any", "drawn for each life")                                                             \
  X(PLAIN, "plain", "servers without sessions")                                                    \
  X(SESSION, "session", "steadwire.v1")

typedef enum stw_explore_profile {
#define STW_X(name, slug, text) STW_EXPLORE_PROFILE_##name,
  STW_EXPLORE_PROFILE_LIST(STW_X)
#undef STW_X
      STW_EXPLORE_PROFILE_COUNT
} stw_explore_profile;

/* Mistakes that can be planted, to see that they are found.  X(NAME, slug, meaning) */
#define STW_EXPLORE_PLANT_LIST(X)                                                                  \
  X(NONE, "none", "nothing")                                                                       \
  X(DELIVERED_TWICE, "delivered_twice", "a message reaches the server's application twice")        \
  X(DELIVERED_LATE, "delivered_late", "a message is overtaken by the next of its lane")            \
  X(SENT_ON_FENCED, "sent_on_fenced", "a write on a link that was cut")                            \
  X(END_UNTOLD, "end_untold", "the end of a message is not told")                                  \
  X(UNPAIRED, "unpaired", "a resumed is not told")                                                 \
  X(CHANGE_UNTOLD, "change_untold", "a change of the state is not told")                           \
  X(AFTER_CLOSED, "after_closed", "closed is told twice")                                          \
  X(NO_TIMER, "no_timer", "a conn that waits has no time for it")                                  \
  X(EARLY_RESET, "early_reset", "the attempt counter falls when a link comes up")                  \
  X(NO_BUDGET, "no_budget", "each attempt is made twenty times")                                   \
  X(NO_HEDGE_BUDGET, "no_hedge_budget", "hedges follow each other at once")                        \
  X(GAP_UNTOLD, "gap_untold", "an inbound message goes missing")                                   \
  X(PROOF_FALSE, "proof_false", "a message that was swallowed counts as received")                 \
  X(STORE_LOSES, "store_loses", "a crash loses a message that was called stored")                  \
  X(NEVER_BACK, "never_back", "attempts lead nowhere, though all is well")

typedef enum stw_explore_plant {
#define STW_X(name, slug, text) STW_PLANT_##name,
  STW_EXPLORE_PLANT_LIST(STW_X)
#undef STW_X
      STW_PLANT_COUNT
} stw_explore_plant;

typedef struct stw_explore stw_explore;

typedef struct stw_explore_rule_info {
  const char *name, *where, *text;
} stw_explore_rule_info;

/* Walkers: lend row `index`, NULL past the end.  Any thread; never freed. */
STW_API const stw_explore_rule_info *stw_explore_rule_at(size_t index);
STW_API const stw_word *stw_explore_fault_at(size_t index);
STW_API const stw_word *stw_explore_profile_at(size_t index);
STW_API const stw_word *stw_explore_plant_at(size_t index);

#define STW_EXPLORE_SEEDS_MAX 100000000u

typedef struct stw_explore_options {
  size_t struct_size;
  uint64_t seed;    /* of the first life; the next ones follow, modulo 2^64 */
  uint64_t seeds;   /* lives, 1 .. STW_EXPLORE_SEEDS_MAX */
  uint32_t profile; /* index for stw_explore_profile_at */
  uint32_t plant;   /* index for stw_explore_plant_at */
  bool has_trace;   /* keep the log of the last life */
} stw_explore_options;

typedef struct stw_explore_report {
  size_t struct_size;
  uint64_t lives, conns, links, messages, inbound; /* lived; opened, dialled, sent, taken in them */
  uint64_t steps, virtual_ns;
  uint64_t faults[STW_EXPLORE_FAULT_COUNT], checks[STW_RULE_COUNT];
  uint64_t digest; /* of everything that came out of the cores; of disjoint ranges: to be added */
  bool is_broken;  /* the last life broke a rule: */
  uint64_t broken_seed;
  uint32_t broken_rule; /* index for stw_explore_rule_at */
  uint64_t broken_ns;   /* after the beginning of the life */
  char broken[256];     /* a sentence */
} stw_explore_report;

/* Lives one life after the other, up to the first that breaks a rule: thousands a second.
 * E_ARGUMENT: *why (lent for ever) says which option and its range; E_MEMORY.  On success *explore
 * is the caller's. */
STW_API stw_status stw_explore_run(const stw_explore_options *options, stw_explore **explore,
                                   const char **why);
STW_API void stw_explore_free(stw_explore *explore); /* NULL is allowed */

/* E_ARGUMENT: no exploration, or no struct_size. */
STW_API stw_status stw_explore_look(const stw_explore *explore, stw_explore_report *report);
/* Lends the log of the last life, lines of text, until the exploration is freed; "" without
 * has_trace. */
STW_API const char *stw_explore_trace(const stw_explore *explore, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
