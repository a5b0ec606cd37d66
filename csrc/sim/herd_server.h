/* herd_server.h: the server that a herd comes back to: one queue, C handshakes a second.
 *
 * It refuses everything until it is up (a port that nobody listens at).  Then it either sheds what
 * would wait for more than 2 s, at 2 % of a handshake's work, and may say when to come back
 * (appointments: a virtual clock that gives 0.9 C of them a second); or it is naive and queues
 * without end, also for clients that have left.  Arrivals come in the order of time.  Owner only.
 */
#ifndef STWI_SIM_HERD_SERVER_H
#define STWI_SIM_HERD_SERVER_H

#include "core/input.h"

enum stwi_herd_answer {
  STWI_HERD_DOWN,    /* refused at once: nobody is there */
  STWI_HERD_REFUSED, /* refused at once: no room; `retry_after_ms`, 0: not said */
  STWI_HERD_SERVED   /* ready at `at`, if the client is still there */
};

struct stwi_herd_reply {
  enum stwi_herd_answer answer;
  uint64_t retry_after_ms; /* whole seconds, as in HTTP */
  stwi_time at;
};

struct stwi_herd_server {
  stwi_time up_at;
  bool is_naive;
  bool has_appointments;
  uint64_t handshake_ps; /* picoseconds: a million a second divide a second evenly enough */
  uint64_t free_ps;      /* all work that was taken is done */
  uint64_t turn_ps;      /* of the last who came */
};

/* `capacity`: handshakes a second, at least 1. */
void stwi_herd_server_init(struct stwi_herd_server *server, uint64_t capacity, stwi_time up_at,
                           bool is_naive, bool has_appointments);
struct stwi_herd_reply stwi_herd_arrive(struct stwi_herd_server *server, stwi_time now);

#endif
