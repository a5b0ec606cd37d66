#include "core/cause.h"

#include <steadwire/metrics.h>
#include <steadwire/outbox.h>

/* One table and one walker per list of (NAME, slug, meaning). */
#define WALKER(function, table)                                                                    \
  const stw_word *function(size_t index) {                                                         \
    return index < sizeof(table) / sizeof *(table) ? &(table)[index] : NULL;                       \
  }

static const stw_word states[] = {
#define WORD(name, slug, text) {STW_STATE_##name, slug, text},
    STW_STATE_LIST(WORD)
#undef WORD
};
WALKER(stw_state_at, states)

static const stw_word phases[] = {
#define WORD(name, slug, text) {STW_PHASE_##name, slug, text},
    STW_PHASE_LIST(WORD)
#undef WORD
};
WALKER(stw_phase_at, phases)

static const stw_word proofs[] = {
#define WORD(name, slug, text) {STW_PROOF_##name, slug, text},
    STW_PROOF_LIST(WORD)
#undef WORD
};
WALKER(stw_proof_at, proofs)

static const stw_word message_states[] = {
#define WORD(name, slug, is_final, text) {STW_MESSAGE_##name, slug, text},
    STW_MESSAGE_STATE_LIST(WORD)
#undef WORD
};
WALKER(stw_message_state_at, message_states)

static const stw_word guarantees[] = {
#define WORD(name, slug, text) {STW_##name, slug, text},
    STW_GUARANTEE_LIST(WORD)
#undef WORD
};
WALKER(stw_guarantee_at, guarantees)

static const stw_word classes[] = {
#define WORD(name, slug, text) {STW_CLASS_##name, slug, text},
    STW_CLASS_LIST(WORD)
#undef WORD
};
WALKER(stw_class_at, classes)

static const stw_word event_kinds[] = {
#define WORD(name, slug, text) {STW_EVENT_##name, slug, text},
    STW_EVENT_LIST(WORD)
#undef WORD
};
WALKER(stw_event_kind_at, event_kinds)

static const stw_word lanes[] = {
#define WORD(name, slug, text) {STW_LANE_##name, slug, text},
    STW_LANE_LIST(WORD)
#undef WORD
};
WALKER(stw_lane_at, lanes)

static const stw_word store_healths[] = {
#define WORD(name, slug, text) {STW_STORE_##name, slug, text},
    STW_STORE_LIST(WORD)
#undef WORD
};
WALKER(stw_store_health_at, store_healths)

static const stw_word edits[] = {
#define WORD(name, slug, text) {STW_EDIT_##name, slug, text},
    STW_EDIT_LIST(WORD)
#undef WORD
};
WALKER(stw_edit_at, edits)

static const stw_word gap_reasons[] = {
#define WORD(name, slug, text) {STW_GAP_##name, slug, text},
    STW_GAP_LIST(WORD)
#undef WORD
};
WALKER(stw_gap_reason_at, gap_reasons)

const stw_cause_info *stw_cause_at(size_t index) {
  return index < STW_CAUSE_COUNT ? &stwi_cause_row((stw_cause)index)->info : NULL;
}

static const stw_status_info statuses[] = {
#define ROW(name, value, slug, retryable, text, remedy) {STW_##name, slug, retryable, text, remedy},
    STW_STATUS_LIST(ROW)
#undef ROW
};

const stw_status_info *stw_status_at(size_t index) {
  return index < sizeof statuses / sizeof *statuses ? &statuses[index] : NULL;
}

const stw_status_info *stw_status_find(stw_status status) {
  const stw_status_info *argument = NULL;
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
    if (statuses[i].status == status)
      return &statuses[i];
    if (statuses[i].status == STW_E_ARGUMENT)
      argument = &statuses[i];
  }
  return argument;
}

static const stw_metric_info metrics[] = {
#define ROW(name, slug, type, unit, text) {STW_METRIC_##name, slug, STW_METRIC_##type, unit, text},
    STW_METRIC_LIST(ROW)
#undef ROW
};

const stw_metric_info *stw_metric_at(size_t index) {
  return index < STW_METRIC_COUNT ? &metrics[index] : NULL;
}
