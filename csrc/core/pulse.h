/* pulse.h: is the peer alive?
 *
 * Two clocks per link: `heard` (last byte that came in) and `hears_us` (the oldest question without
 * an answer: a barrier).  Any byte restarts the idle clock; only an answer clears a question.
 * T_soft = clamp(srtt + 4 rttvar + min(1.3 x decayed worst stall, 5 s), 1.2 s, 10 s), or fixed.
 * Sources: RFC 6298 (srtt, rttvar), RFC 9002 section 6.2 (probe before verdict).
 */
#ifndef STWI_CORE_PULSE_H
#define STWI_CORE_PULSE_H

#include "core/phi.h"

/* Permille of the interval, drawn for each link: up to 930, so that with the 1.2 s of the shortest
 * T_soft a link that has died is in doubt within the 15 s of the usual interval. */
#define STWI_PULSE_JITTER_LEAST 870u
#define STWI_PULSE_JITTER_DRAW 61u

/* A link on which nobody has talked for so long is a quiet one. */
#define STWI_PULSE_QUIET_AFTER (60 * STWI_S)

struct stwi_pulse {
  uint64_t interval_ns; /* ask when nothing was heard for so long, by jitter_permille; 0: never */
  uint64_t quiet_ns;    /* the same for a quiet link; at least interval_ns */
  uint64_t fixed_ns;    /* fixed T_soft, 0: adaptive */
  uint64_t srtt_ns, rttvar_ns;
  uint64_t stall_ns; /* worst answer beyond srtt, as of stall_at; halves every 40 min */
  stwi_time stall_at;
  stwi_time heard_at;       /* last byte */
  stwi_time talked_at;      /* last message, either way */
  stwi_time asked_at;       /* oldest unanswered question, 0: none */
  stwi_time idle_due;       /* when to ask next for lack of bytes */
  stwi_time counts_from;    /* questions older than this teach nothing: a restart, pause or stall */
  bool is_paused;           /* reading is stopped: silence counts for nothing */
  uint32_t jitter_permille; /* of this link */
  struct stwi_phi phi;      /* every answer that teaches */
};

enum stwi_pulse_verdict {
  STWI_PULSE_FINE,
  STWI_PULSE_ASK,  /* idle: send a barrier now, then call asked() */
  STWI_PULSE_LATE, /* past T_soft */
  STWI_PULSE_DEAD  /* past 3 x T_soft */
};

void stwi_pulse_init(struct stwi_pulse *pulse, uint64_t interval_ns, uint64_t fixed_ns,
                     uint32_t jitter_permille, stwi_time now);
/* A new link of the same conn: clocks restart, what was learnt about the path stays. */
void stwi_pulse_restart(struct stwi_pulse *pulse, uint32_t jitter_permille, stwi_time now);
/* The intervals from the next byte or message on: `interval_ns` not 0, `quiet_ns` at least as long.
 */
void stwi_pulse_set_intervals(struct stwi_pulse *pulse, uint64_t interval_ns, uint64_t quiet_ns);
/* The longest that the link may be silent as things are, jitter aside; 0: for ever. */
uint64_t stwi_pulse_interval_ns(const struct stwi_pulse *pulse, stwi_time now);
void stwi_pulse_heard(struct stwi_pulse *pulse, stwi_time now);
/* A message went either way: a quiet link is one no more. */
void stwi_pulse_talked(struct stwi_pulse *pulse, stwi_time now);
/* A question left (a barrier was written) at `now`. Only the oldest open one matters. */
void stwi_pulse_asked(struct stwi_pulse *pulse, stwi_time now);
/* The answer to the question of `asked`; `next_asked` is the oldest one still open, 0: none. */
void stwi_pulse_answered(struct stwi_pulse *pulse, stwi_time asked, stwi_time next_asked,
                         stwi_time now);
/* The open question was given up, and other attempts had no answer for a while either: the path
 * stalled so long, not only this link. */
void stwi_pulse_silent(struct stwi_pulse *pulse, stwi_time now);
/* Whatever the answer to the open question takes, it will teach nothing: the path was gone. */
void stwi_pulse_excuse(struct stwi_pulse *pulse);
/* The longest that a question may ever stay open before the link is given up. */
uint64_t stwi_pulse_longest_ns(const struct stwi_pulse *pulse);
/* Thousandths of phi (phi.h) of the open question; 0: none is. */
uint64_t stwi_pulse_phi_milli(const struct stwi_pulse *pulse, stwi_time now);
uint64_t stwi_pulse_soft_ns(const struct stwi_pulse *pulse, stwi_time now); /* T_soft */
enum stwi_pulse_verdict stwi_pulse_check(const struct stwi_pulse *pulse, stwi_time now);
/* When check may say something new. */
stwi_time stwi_pulse_deadline(const struct stwi_pulse *pulse, stwi_time now);
/* Reading paused or resumed: clocks stand still meanwhile, and start again at resume. */
void stwi_pulse_pause(struct stwi_pulse *pulse, bool on, stwi_time now);
/* This process did not run until `now`: forget the silence, keep open questions from now on. */
void stwi_pulse_stalled(struct stwi_pulse *pulse, stwi_time now);

#endif
