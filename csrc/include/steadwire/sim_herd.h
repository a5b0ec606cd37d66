/* sim_herd.h: what a server meets when all its clients come back at once.
 *
 * N clients are dropped in one moment, t = 0.  The server is down until `down_ns`, refusing every
 * attempt at once; then it does `capacity` handshakes a second, one after the other.  A shedding
 * server refuses what would wait for more than 2 s and may say when to come back (Retry-After); a
 * naive one queues without end and also serves clients that have left.  All clients of a herd try
 * again by one policy: ours, which decide with the very code of a conn, or that of another library.
 *
 * Everything is computed in virtual time, and depends on nothing but the options: the same ones
 * give the same herd on every machine.  A herd is one thread's at a time; different herds may run
 * at the same time.
 */
#ifndef STEADWIRE_SIM_HERD_H
#define STEADWIRE_SIM_HERD_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STW_HERD_CLIENTS_MAX 10000000u
#define STW_HERD_CAPACITY_MAX 1000000u          /* handshakes a second */
#define STW_HERD_DOWN_MAX_NS 3600000000000u     /* an hour */
#define STW_HERD_OPTIMUM_MAX_NS 43200000000000u /* 12 hours: down + clients / capacity */
#define STW_HERD_NEVER UINT64_MAX

typedef struct stw_herd stw_herd;

/* Lends the policy at `index`, ours first, NULL past the last.  Any thread; never freed. */
STW_API const stw_word *stw_herd_policy_at(size_t index);

typedef struct stw_herd_options {
  size_t struct_size;
  uint32_t policy;          /* index for stw_herd_policy_at */
  uint64_t clients;         /* 1 .. STW_HERD_CLIENTS_MAX */
  uint64_t capacity;        /* handshakes a second, 1 .. STW_HERD_CAPACITY_MAX */
  uint64_t down_ns;         /* 0 .. STW_HERD_DOWN_MAX_NS */
  bool is_naive;            /* else it sheds */
  bool has_no_retry_after;  /* a shedding server says nothing beside its refusal */
  uint64_t retry_window_ns; /* of ours, without a hint: 1 ms .. 10 min */
  uint64_t seed;
} stw_herd_options;

typedef struct stw_herd_report {
  size_t struct_size;
  double peak_over_capacity; /* most attempts in one second of time, as a multiple of capacity */
  double attempts_per_client;
  double reconnected_percent;
  uint64_t t50_ns, t99_ns, t100_ns; /* this share of all clients is back; STW_HERD_NEVER: never */
  uint64_t optimum_ns;              /* down + clients / capacity: nothing can be faster */
  uint64_t stop_ns; /* 1,200 s, or twice the optimum if that is later: what is not back then counts
                       as never */
  uint64_t attempts, refused, abandoned; /* abandoned: after their patience */
  uint64_t digest; /* of the moment and answer of every attempt of every client */
} stw_herd_report;

typedef struct stw_herd_second {
  uint64_t attempts, reconnected;
} stw_herd_second;

/* Runs a herd to its end: a million clients take about a second and 200 MiB.  E_ARGUMENT: *why
 * (lent for ever) says which option and its range; E_MEMORY.  On success *herd is the caller's. */
STW_API stw_status stw_herd_run(const stw_herd_options *options, stw_herd **herd, const char **why);
STW_API void stw_herd_free(stw_herd *herd); /* NULL is allowed */

/* E_ARGUMENT: no herd, or no struct_size. */
STW_API stw_status stw_herd_look(const stw_herd *herd, stw_herd_report *report);
/* Lends what happened in each second until the herd is freed; *count: up to the last attempt. */
STW_API const stw_herd_second *stw_herd_seconds(const stw_herd *herd, size_t *count);

#ifdef __cplusplus
}
#endif
#endif
