/* sim_fleet.h: many clients over a faulty network, for days of virtual time.
 *
 * Every client is a world of its own, drawn from (seed, client): results do not depend on which
 * others are simulated, in which order or on how many threads, and the results of disjoint sets of
 * clients add up exactly.  The policy "steadwire" is the real engine core; others are models of
 * what other clients do.  A fleet belongs to one thread at a time.
 */
#ifndef STEADWIRE_SIM_FLEET_H
#define STEADWIRE_SIM_FLEET_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, slug, meaning): sums over the clients simulated. */
#define STW_FLEET_COUNT_LIST(X)                                                                    \
  X(CLIENTS, "clients", "clients simulated")                                                       \
  X(TOTAL_US, "total_us", "time awake")                                                            \
  X(USABLE_US, "usable_us", "time in which the path let packets through")                          \
  X(LOST_US, "lost_us", "usable time without service")                                             \
  X(LOST_GAP_US, "lost_gap_us", "... after gaps, on flows that survived")                          \
  X(LOST_OUTAGE_US, "lost_outage_us", "... after outages that ended the flow")                     \
  X(LOST_KILL_US, "lost_kill_us", "... after silent deaths of the flow")                           \
  X(LOST_HANDOVER_US, "lost_handover_us", "... after moves to another network")                    \
  X(LOST_SLEEP_US, "lost_sleep_us", "... after sleeps")                                            \
  X(LOST_DEPLOY_US, "lost_deploy_us", "... after planned ends of the server's process")            \
  X(LOST_CRASH_US, "lost_crash_us", "... after ends without a word of the server's machine")       \
  X(LOSS_SUM, "loss_sum", "sum over clients of lost / usable, in 1e-7")                            \
  X(LOSS_SQUARES, "loss_squares", "sum of its squares")                                            \
  X(FAULTS, "faults", "times the flow in use was ended by the network or the server")              \
  X(DETECT_COUNT, "detect_count", "of these, noticed by the client")                               \
  X(DETECT_US, "detect_us", "usable time until then")                                              \
  X(SILENT_COUNT, "silent_count", "of these, told neither by the server nor by the system")        \
  X(SILENT_US, "silent_us", "usable time until then")                                              \
  X(RESTORE_COUNT, "restore_count", "faults after which service came back, and moves")             \
  X(RESTORE_US, "restore_us", "usable time without service until then")                            \
  X(MOVES, "moves", "planned ends of the server's process that the client had moved away from")    \
  X(MOVES_US, "moves_us", "service lost by moving")                                                \
  X(FALSE_ALARMS, "false_alarms", "suspicions of a flow that had not ended")                       \
  X(FALSE_ALARM_US, "false_alarm_us", "service lost by leaving a flow that would have served")     \
  X(ATTEMPTS, "attempts", "links dialled")                                                         \
  X(MESSAGES, "messages", "messages of the application, both ways")                                \
  X(LATE, "late", "of these, more than 2 s under way, or lost")                                    \
  X(LOST_MESSAGES, "lost_messages", "of these, never delivered")                                   \
  X(DUPLICATES, "duplicates", "delivered again")                                                   \
  X(HEARTBEAT_BYTES, "heartbeat_bytes", "of packets that only ask or answer")                      \
  X(EVENTS, "events", "steps of the simulation, with those that were skipped")

typedef enum stw_fleet_count {
#define STW_X(name, slug, text) STW_FLEET_##name,
  STW_FLEET_COUNT_LIST(STW_X)
#undef STW_X
      STW_FLEET_COUNT_COUNT
} stw_fleet_count;

/* Histograms of usable time, log-linear.  They follow the counts in the values. */
#define STW_FLEET_HISTOGRAM_LIST(X)                                                                \
  X(DETECT, "detect", "until a fault is noticed")                                                  \
  X(SILENT, "silent", "... one that nobody tells")                                                 \
  X(RESTORE, "restore", "until service is back")

typedef enum stw_fleet_histogram {
#define STW_X(name, slug, text) STW_FLEET_HISTOGRAM_##name,
  STW_FLEET_HISTOGRAM_LIST(STW_X)
#undef STW_X
      STW_FLEET_HISTOGRAM_COUNT
} stw_fleet_histogram;

#define STW_FLEET_BUCKETS 1536u
#define STW_FLEET_VALUES                                                                           \
  ((size_t)STW_FLEET_COUNT_COUNT + (size_t)STW_FLEET_HISTOGRAM_COUNT * STW_FLEET_BUCKETS)

STW_API const stw_word *stw_fleet_count_at(size_t index);
STW_API const stw_word *stw_fleet_histogram_at(size_t index);
/* The least time that falls into a bucket, in microseconds. */
STW_API uint64_t stw_fleet_bucket_us(size_t index);
/* Names, NULL at the end. */
STW_API const char *stw_fleet_profile_at(size_t index);
STW_API const char *stw_fleet_policy_at(size_t index);

/* One interval of a recorded path, from `at_us` to the next one's. */
typedef struct stw_fleet_step {
  uint64_t at_us;
  uint64_t rtt_us;  /* 0: the profile's */
  uint32_t address; /* a change of it ends every flow */
  bool is_up;
} stw_fleet_step;

#define STW_FLEET_LEARNT UINT64_MAX

typedef struct stw_fleet_params {
  size_t struct_size;
  const char *policy;          /* of stw_fleet_policy_at */
  const char *profile;         /* of stw_fleet_profile_at */
  uint64_t seed;               /* of the whole fleet */
  uint64_t seconds;            /* of virtual time, for each client; at most ten years */
  uint64_t interval_ms;        /* of the heartbeat; 0: the policy's own */
  uint64_t idle_interval_ms;   /* (steadwire) of a link on which nobody talks; 0: the same;
                                  STW_FLEET_LEARNT: by what killed links before */
  bool has_no_hints;           /* the system tells nothing of the network and of sleep */
  bool has_no_drain;           /* the server's process ends without asking its clients to move */
  bool has_no_hedge;           /* never a second link beside a suspected one */
  bool has_log;                /* keeps a line for each thing that happens */
  bool is_event_level;         /* a step for every packet, also of heartbeats that nothing disturbs:
                                  values and log are the same without, and come sooner */
  const stw_fleet_step *steps; /* ascending; take the place of every fault; NULL: none */
  size_t step_count;
} stw_fleet_params;

typedef struct stw_fleet stw_fleet;

/* Copies params.  E_ARGUMENT: an unknown name, a bound passed or steps out of order. */
STW_API stw_status stw_fleet_new(const stw_fleet_params *params, stw_fleet **out);
STW_API void stw_fleet_free(stw_fleet *fleet);
/* Simulates clients first .. first + count - 1 and adds them.  E_ARGUMENT: there are no such
 * clients.  E_MEMORY, and E_STATE, where the engine broke a promise (stw_fleet_why says which;
 * please report it with the parameters): the values are of no use any more. */
STW_API stw_status stw_fleet_run(stw_fleet *fleet, uint64_t first, uint64_t count);
/* The promise that the last run found broken, and the client that broke it; "": none.  Lent until
 * the next run. */
STW_API const char *stw_fleet_why(const stw_fleet *fleet);
/* Lends STW_FLEET_VALUES numbers: counts, then histograms. */
STW_API const uint64_t *stw_fleet_values(const stw_fleet *fleet);
/* Lends what was logged, until the next run; lines end with "\n". */
STW_API const char *stw_fleet_log(const stw_fleet *fleet, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
