/* link.h: the connection state machine: one table, states x inputs, and nothing beside it.
 *
 * An empty cell is a stated refusal: the input means nothing in that state.  The one setter is
 * stwi_conn_apply in conn_state.c; it performs the actions of the rule.  DESIGN section 4.
 */
#ifndef STWI_CORE_LINK_H
#define STWI_CORE_LINK_H

#include <steadwire/event.h>

/* X(NAME, slug, meaning) */
#define STWI_LINK_INPUT_LIST(X)                                                                    \
  X(OPEN, "open", "the host opens the conn")                                                       \
  X(LINK_UP, "link_up", "the active link carries messages")                                        \
  X(LINK_FAILED, "link_failed", "the last attempt failed; retrying may help")                      \
  X(ATTEMPT_SILENT, "attempt_silent", "no progress of an attempt for 1 s")                         \
  X(NET_CHANGED, "net_changed", "the local address or route changed")                              \
  X(WAKE, "wake", "the machine slept")                                                             \
  X(PULSE_LATE, "pulse_late", "no answer for T_soft")                                              \
  X(PULSE_OK, "pulse_ok", "the suspected link answered")                                           \
  X(PULSE_DEAD, "pulse_dead", "no answer for 3 x T_soft")                                          \
  X(CANDIDATE_READY, "candidate_ready", "a second link is ready to take over")                     \
  X(CANDIDATE_FAILED, "candidate_failed", "the last candidate failed")                             \
  X(LOST_NOW, "link_lost", "the active link ended: local or path cause, or a candidate is there")  \
  X(LOST_PACED, "link_lost_server", "the active link ended by the server's doing")                 \
  X(GOAWAY, "goaway", "the server asks us to move")                                                \
  X(AUTH_EXPIRING, "auth_expiring", "the credentials end soon and cannot be renewed in band")      \
  X(TIMER, "timer", "the time of the next attempt came, within the budget")                        \
  X(KICK, "kick", "the host wants an attempt now")                                                 \
  X(NET_UP, "net_up", "the network is there")                                                      \
  X(NET_BACK, "net_back", "the network may be there, and the kept link may still live")            \
  X(NET_DOWN, "net_down", "the network is gone")                                                   \
  X(BYTES, "bytes", "a byte came in on the kept link")                                             \
  X(FATAL, "fatal", "a cause that retrying cannot mend")                                           \
  X(CLOSE_DONE, "close_done", "closing is complete")

enum stwi_link_input {
#define STW_X(name, slug, text) STWI_LINK_##name,
  STWI_LINK_INPUT_LIST(STW_X)
#undef STW_X
      STWI_LINK_INPUT_COUNT
};

/* What a transition makes happen, performed in this order. */
enum stwi_link_action {
  STWI_DO_CUT = 1 << 0,       /* fence: cut the active link */
  STWI_DO_DROP = 1 << 1,      /* drop attempts and candidates */
  STWI_DO_COMMIT = 1 << 2,    /* fence the old link, promote the ready candidate */
  STWI_DO_DIAL = 1 << 3,      /* dial now, if no attempt is under way */
  STWI_DO_DIAL_SOON = 1 << 4, /* dial after U(0, 250 ms), if no attempt is under way */
  STWI_DO_RACE = 1 << 5,      /* one attempt more, at most 3 at once */
  STWI_DO_HEDGE = 1 << 6,     /* dial a candidate within the hedge budget */
  STWI_DO_PROBE = 1 << 7,     /* ask the active link now */
  STWI_DO_PACE = 1 << 8,      /* arm the time of the next attempt */
  STWI_DO_PARK = 1 << 9,      /* stop timers, arm the 30 s safety timer */
  STWI_DO_UP = 1 << 10,       /* publish online, replay */
  STWI_DO_END = 1 << 11       /* cut everything, last events */
};

struct stwi_link_rule {
  bool is_legal; /* false: the stated refusal */
  stw_state to;
  unsigned actions;
};

/* Lends the cell; never NULL. */
const struct stwi_link_rule *stwi_link_rule(stw_state from, enum stwi_link_input input);
const stw_word *stwi_link_input_at(size_t index);

#endif
