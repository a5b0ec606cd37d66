#include "core/link.h"

#include <assert.h>

#define TO(state, actions)                                                                         \
  { true, STW_STATE_##state, (actions) }
#define REDIAL (STWI_DO_CUT | STWI_DO_DIAL_SOON)
#define MOVE (STWI_DO_PROBE | STWI_DO_HEDGE)

static const struct stwi_link_rule rules[STW_STATE_COUNT][STWI_LINK_INPUT_COUNT] =
    {
        [STW_STATE_IDLE] =
            {
                [STWI_LINK_OPEN] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_CONNECTING] =
            {
                [STWI_LINK_LINK_UP] = TO(ONLINE, STWI_DO_UP),
                [STWI_LINK_LINK_FAILED] = TO(WAITING, STWI_DO_PACE),
                [STWI_LINK_ATTEMPT_SILENT] = TO(CONNECTING, STWI_DO_RACE),
                [STWI_LINK_NET_CHANGED] = TO(CONNECTING, STWI_DO_CUT | STWI_DO_DROP | STWI_DO_DIAL),
                [STWI_LINK_WAKE] = TO(CONNECTING, STWI_DO_CUT | STWI_DO_DROP | STWI_DO_DIAL),
                [STWI_LINK_CANDIDATE_READY] = TO(CONNECTING, STWI_DO_COMMIT),
                [STWI_LINK_TIMER] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_GOAWAY] = TO(CONNECTING, 0),
                [STWI_LINK_NET_DOWN] = TO(OFFLINE, STWI_DO_DROP | STWI_DO_PARK),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_ONLINE] =
            {
                [STWI_LINK_PULSE_LATE] = TO(SUSPECT, MOVE),
                [STWI_LINK_WAKE] = TO(SUSPECT, MOVE),
                [STWI_LINK_NET_CHANGED] = TO(SUSPECT, MOVE),
                [STWI_LINK_GOAWAY] = TO(MIGRATING, STWI_DO_HEDGE),
                [STWI_LINK_AUTH_EXPIRING] = TO(MIGRATING, STWI_DO_HEDGE),
                [STWI_LINK_LOST_NOW] = TO(CONNECTING, REDIAL),
                [STWI_LINK_LOST_PACED] = TO(WAITING, STWI_DO_CUT | STWI_DO_PACE),
                [STWI_LINK_NET_DOWN] = TO(OFFLINE, STWI_DO_PARK),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_SUSPECT] =
            {
                [STWI_LINK_PULSE_OK] = TO(ONLINE, STWI_DO_DROP),
                [STWI_LINK_PULSE_DEAD] = TO(CONNECTING, REDIAL),
                [STWI_LINK_CANDIDATE_READY] = TO(CONNECTING, STWI_DO_COMMIT),
                [STWI_LINK_CANDIDATE_FAILED] = TO(SUSPECT, STWI_DO_HEDGE),
                [STWI_LINK_ATTEMPT_SILENT] = TO(SUSPECT, STWI_DO_RACE),
                [STWI_LINK_LOST_NOW] = TO(CONNECTING, REDIAL),
                [STWI_LINK_LOST_PACED] = TO(WAITING, STWI_DO_CUT | STWI_DO_PACE),
                [STWI_LINK_GOAWAY] = TO(SUSPECT, 0),
                [STWI_LINK_NET_DOWN] = TO(OFFLINE, STWI_DO_DROP | STWI_DO_PARK),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_MIGRATING] =
            {
                [STWI_LINK_PULSE_LATE] = TO(SUSPECT, MOVE),
                [STWI_LINK_WAKE] = TO(SUSPECT, MOVE),
                [STWI_LINK_NET_CHANGED] = TO(SUSPECT, MOVE),
                [STWI_LINK_CANDIDATE_READY] = TO(CONNECTING, STWI_DO_COMMIT),
                [STWI_LINK_CANDIDATE_FAILED] = TO(MIGRATING, STWI_DO_HEDGE),
                [STWI_LINK_ATTEMPT_SILENT] = TO(MIGRATING, STWI_DO_RACE),
                [STWI_LINK_LOST_NOW] = TO(CONNECTING, REDIAL),
                [STWI_LINK_LOST_PACED] = TO(WAITING, STWI_DO_CUT | STWI_DO_PACE),
                [STWI_LINK_NET_DOWN] = TO(OFFLINE, STWI_DO_DROP | STWI_DO_PARK),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_WAITING] =
            {
                [STWI_LINK_TIMER] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_KICK] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_NET_UP] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_WAKE] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_NET_DOWN] = TO(OFFLINE, STWI_DO_PARK),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_OFFLINE] =
            {
                [STWI_LINK_BYTES] = TO(ONLINE, 0),
                [STWI_LINK_LINK_UP] = TO(ONLINE, STWI_DO_UP),
                [STWI_LINK_LOST_NOW] = TO(OFFLINE, STWI_DO_CUT),
                [STWI_LINK_LOST_PACED] = TO(OFFLINE, STWI_DO_CUT),
                [STWI_LINK_NET_BACK] = TO(SUSPECT, MOVE),
                [STWI_LINK_NET_UP] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_KICK] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_TIMER] = TO(CONNECTING, STWI_DO_DIAL),
                [STWI_LINK_CLOSE_DONE] = TO(CLOSED, STWI_DO_END),
                [STWI_LINK_FATAL] = TO(FAILED, STWI_DO_END),
            },
        [STW_STATE_CLOSED] = {[STWI_LINK_OPEN] = TO(CONNECTING, STWI_DO_DIAL)},
        [STW_STATE_FAILED] = {[STWI_LINK_OPEN] = TO(CONNECTING, STWI_DO_DIAL)},
};

const struct stwi_link_rule *stwi_link_rule(stw_state from, enum stwi_link_input input) {
  assert(from < STW_STATE_COUNT && input < STWI_LINK_INPUT_COUNT);
  return &rules[from][input];
}

const stw_word *stwi_link_input_at(size_t index) {
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STWI_LINK_##name, slug, text},
      STWI_LINK_INPUT_LIST(STW_X)
#undef STW_X
  };
  return index < sizeof words / sizeof words[0] ? &words[index] : NULL;
}
