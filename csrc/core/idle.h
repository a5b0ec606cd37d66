/* idle.h: for how long may a link be silent on this network before something on the way forgets it?
 *
 * Address translators and proxies drop a flow over which nothing came for a while, and tell nobody:
 * the next question has no answer.  Each question after an idle time is a trial; it lives or dies.
 * Two deaths of three trials at about the same idle time are no chance: the shortest is a bound,
 * and links are kept below 0.8 of it.  Where links have lived through as much before it takes three
 * deaths in a row, or four with no life as long as the shortest of them in between: a bound just
 * below the interval, which varies by 15 %, kills few, but it kills all that go beyond.  Without a
 * bound the interval for idle times grows from 25 s, by 30 s after each three trials that lived, up
 * to 270 s; a bound is believed for 7 days.
 *
 * Pure; owner: the endpoint (endpoint.h).  Sources: the search of Mars (WeChat), which begins
 * at 4.5 min; RFC 5382 section 5 (a translator may forget after 2 h 4 min at the earliest; many do
 * long before); nginx proxy_read_timeout and the load balancers of AWS, 60 s both.
 */
#ifndef STWI_CORE_IDLE_H
#define STWI_CORE_IDLE_H

#include "core/input.h"

#define STWI_IDLE_FIRST (25 * STWI_S)
#define STWI_IDLE_MAX (270 * STWI_S)
#define STWI_IDLE_PROXY (55 * STWI_S)   /* below the 60 s of the common proxy */
#define STWI_IDLE_SHORTEST (5 * STWI_S) /* nothing is learnt of less, nor made shorter */
#define STWI_IDLE_NETWORKS 4u

struct stwi_idle {
  uint64_t network;  /* see STWI_IN_READY; 0: not known, which is a network too */
  stwi_time used_at; /* 0: the place is free */
  uint64_t step_ns;  /* what the search has come to */
  uint64_t least_ns; /* shortest of the trials that count for the next step */
  uint64_t lived_ns; /* links live through so much; 0: not known */
  uint64_t bound_ns; /* they do not live through so much; 0: none known */
  stwi_time bound_at;
  uint64_t doubt_ns;      /* shortest death that is no bound yet; 0: none */
  uint8_t deaths, trials; /* since the first of them */
  uint64_t edge_ns;       /* shortest death since a longer silence was lived through; 0: none */
  uint8_t edge_deaths;    /* since then */
  uint8_t lives;          /* in a row at the present step */
  uint8_t beyond;         /* trials in a row that lived past the bound */
};

/* What is known of one endpoint, by network; the one not used for longest gives way. */
struct stwi_idles {
  struct stwi_idle items[STWI_IDLE_NETWORKS];
};
/* Lends what is known of `network`: until the next call for another one. */
struct stwi_idle *stwi_idles_of(struct stwi_idles *idles, uint64_t network, stwi_time now);

/* A question after `idle_ns` without a byte either way was answered / never was, although the
 * server could be reached at once by another link.  True: a bound was found, or lowered. */
void stwi_idle_lived(struct stwi_idle *idle, uint64_t idle_ns, stwi_time now);
bool stwi_idle_died(struct stwi_idle *idle, uint64_t idle_ns, stwi_time now);

/* Have links died after about so long before? */
bool stwi_idle_is_known_to_kill(const struct stwi_idle *idle, uint64_t idle_ns);
/* The longest silence that links are known to need: STWI_NEVER without a bound. */
uint64_t stwi_idle_cap_ns(const struct stwi_idle *idle);
/* How long a link on which nobody talks may be silent, as far as is known. */
uint64_t stwi_idle_interval_ns(const struct stwi_idle *idle);

#endif
