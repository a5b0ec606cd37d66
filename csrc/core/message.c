#include "core/outbox.h"

/* An empty cell is a stated refusal: value 0, so the states are kept as themselves plus one. */
#define TO(state) (STW_MESSAGE_##state + 1)

static const uint8_t table[STW_MESSAGE_STATE_COUNT][STWI_MSG_INPUT_COUNT] = {
    [STW_MESSAGE_QUEUED] =
        {
            [STWI_MSG_WRITE] = TO(INFLIGHT),
            [STWI_MSG_EXPIRE] = TO(EXPIRED),
            [STWI_MSG_CANCEL] = TO(CANCELLED),
            [STWI_MSG_DROP] = TO(DROPPED),
            [STWI_MSG_HOLD] = TO(HELD),
            [STWI_MSG_DOUBT] = TO(UNKNOWN),
        },
    [STW_MESSAGE_INFLIGHT] =
        {
            [STWI_MSG_PROVE] = TO(SETTLED),
            [STWI_MSG_LINK_LOST] = TO(QUEUED),
            [STWI_MSG_POISON] = TO(DEAD),
            [STWI_MSG_DOUBT] = TO(UNKNOWN),
        },
    [STW_MESSAGE_HELD] =
        {
            [STWI_MSG_EXPIRE] = TO(EXPIRED),
            [STWI_MSG_CANCEL] = TO(CANCELLED),
            [STWI_MSG_DROP] = TO(DROPPED),
            [STWI_MSG_RELEASE] = TO(QUEUED),
        },
    [STW_MESSAGE_DEAD] = {[STWI_MSG_RELEASE] = TO(QUEUED)},
    [STW_MESSAGE_UNKNOWN] = {[STWI_MSG_RELEASE] = TO(QUEUED)},
};

stw_message_state stwi_msg_next(stw_message_state state, enum stwi_msg_input input,
                                stw_guarantee guarantee) {
  const bool is_fate_unknown =
      state == STW_MESSAGE_INFLIGHT && input == STWI_MSG_LINK_LOST && guarantee == STW_AT_MOST_ONCE;
  if (is_fate_unknown)
    return STW_MESSAGE_UNKNOWN;
  const uint8_t next = table[state][input];
  return next == 0 ? STW_MESSAGE_STATE_COUNT : (stw_message_state)(next - 1);
}
