#include "core/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* DESIGN section 4, written down once more: from, input, to, actions.  What is not here is a
 * refusal. */
struct row {
  stw_state from;
  enum stwi_link_input input;
  stw_state to;
  unsigned actions;
};

#define R(from, input, to, actions)                                                                \
  { STW_STATE_##from, STWI_LINK_##input, STW_STATE_##to, (actions) }
#define CUT STWI_DO_CUT
#define DROP STWI_DO_DROP
#define DIAL STWI_DO_DIAL
#define SOON STWI_DO_DIAL_SOON
#define HEDGE STWI_DO_HEDGE
#define PROBE STWI_DO_PROBE
#define PACE STWI_DO_PACE
#define PARK STWI_DO_PARK

static const struct row rows[] = {
    /* idle, closed, failed | open | connecting */
    R(IDLE, OPEN, CONNECTING, DIAL),
    R(CLOSED, OPEN, CONNECTING, DIAL),
    R(FAILED, OPEN, CONNECTING, DIAL),
    /* connecting */
    R(CONNECTING, LINK_UP, ONLINE, STWI_DO_UP),
    R(CONNECTING, LINK_FAILED, WAITING, PACE),
    R(CONNECTING, NET_CHANGED, CONNECTING, CUT | DROP | DIAL),
    R(CONNECTING, WAKE, CONNECTING, CUT | DROP | DIAL),
    R(CONNECTING, ATTEMPT_SILENT, CONNECTING, STWI_DO_RACE),
    R(CONNECTING, CANDIDATE_READY, CONNECTING, STWI_DO_COMMIT),
    R(CONNECTING, TIMER, CONNECTING, DIAL),
    /* online, migrating | pulse_late, wake, net_changed | suspect */
    R(ONLINE, PULSE_LATE, SUSPECT, PROBE | HEDGE),
    R(ONLINE, WAKE, SUSPECT, PROBE | HEDGE),
    R(ONLINE, NET_CHANGED, SUSPECT, PROBE | HEDGE),
    R(MIGRATING, PULSE_LATE, SUSPECT, PROBE | HEDGE),
    R(MIGRATING, WAKE, SUSPECT, PROBE | HEDGE),
    R(MIGRATING, NET_CHANGED, SUSPECT, PROBE | HEDGE),
    /* suspect, migrating */
    R(SUSPECT, PULSE_OK, ONLINE, DROP),
    R(SUSPECT, CANDIDATE_READY, CONNECTING, STWI_DO_COMMIT),
    R(MIGRATING, CANDIDATE_READY, CONNECTING, STWI_DO_COMMIT),
    R(SUSPECT, CANDIDATE_FAILED, SUSPECT, HEDGE),
    R(MIGRATING, CANDIDATE_FAILED, MIGRATING, HEDGE),
    R(SUSPECT, ATTEMPT_SILENT, SUSPECT, STWI_DO_RACE),
    R(MIGRATING, ATTEMPT_SILENT, MIGRATING, STWI_DO_RACE),
    R(SUSPECT, PULSE_DEAD, CONNECTING, CUT | SOON),
    R(SUSPECT, LOST_NOW, CONNECTING, CUT | SOON),
    R(SUSPECT, LOST_PACED, WAITING, CUT | PACE),
    R(MIGRATING, LOST_NOW, CONNECTING, CUT | SOON),
    R(MIGRATING, LOST_PACED, WAITING, CUT | PACE),
    /* goaway, auth_expiring */
    R(ONLINE, GOAWAY, MIGRATING, HEDGE),
    R(SUSPECT, GOAWAY, SUSPECT, 0),
    R(CONNECTING, GOAWAY, CONNECTING, 0),
    R(ONLINE, AUTH_EXPIRING, MIGRATING, HEDGE),
    /* online | link_lost */
    R(ONLINE, LOST_NOW, CONNECTING, CUT | SOON),
    R(ONLINE, LOST_PACED, WAITING, CUT | PACE),
    /* waiting | timer, kick, net_up, wake | connecting */
    R(WAITING, TIMER, CONNECTING, DIAL),
    R(WAITING, KICK, CONNECTING, DIAL),
    R(WAITING, NET_UP, CONNECTING, DIAL),
    R(WAITING, WAKE, CONNECTING, DIAL),
    /* waiting, connecting, suspect, online, migrating | net_down | offline */
    R(WAITING, NET_DOWN, OFFLINE, PARK),
    R(CONNECTING, NET_DOWN, OFFLINE, DROP | PARK),
    R(SUSPECT, NET_DOWN, OFFLINE, DROP | PARK),
    R(ONLINE, NET_DOWN, OFFLINE, PARK),
    R(MIGRATING, NET_DOWN, OFFLINE, DROP | PARK),
    /* offline; a kept link that becomes ready is a byte that mattered */
    R(OFFLINE, BYTES, ONLINE, 0),
    R(OFFLINE, LINK_UP, ONLINE, STWI_DO_UP),
    R(OFFLINE, LOST_NOW, OFFLINE, CUT),
    R(OFFLINE, LOST_PACED, OFFLINE, CUT),
    R(OFFLINE, NET_BACK, SUSPECT, PROBE | HEDGE), /* with a kept link, in place of these three */
    R(OFFLINE, NET_UP, CONNECTING, DIAL),
    R(OFFLINE, KICK, CONNECTING, DIAL),
    R(OFFLINE, TIMER, CONNECTING, DIAL),
    /* closing, and any | fatal | failed */
    R(IDLE, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(CONNECTING, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(ONLINE, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(SUSPECT, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(MIGRATING, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(WAITING, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(OFFLINE, CLOSE_DONE, CLOSED, STWI_DO_END),
    R(IDLE, FATAL, FAILED, STWI_DO_END),
    R(CONNECTING, FATAL, FAILED, STWI_DO_END),
    R(ONLINE, FATAL, FAILED, STWI_DO_END),
    R(SUSPECT, FATAL, FAILED, STWI_DO_END),
    R(MIGRATING, FATAL, FAILED, STWI_DO_END),
    R(WAITING, FATAL, FAILED, STWI_DO_END),
    R(OFFLINE, FATAL, FAILED, STWI_DO_END),
};

#define ROWS (sizeof rows / sizeof rows[0])

static const struct row *find(stw_state from, enum stwi_link_input input) {
  for (size_t i = 0; i < ROWS; i++)
    if (rows[i].from == from && rows[i].input == input)
      return &rows[i];
  return NULL;
}

static void expect_cell(stw_state from, enum stwi_link_input input) {
  const struct stwi_link_rule *rule = stwi_link_rule(from, input);
  const struct row *row = find(from, input);
  char is[100], wanted[100] = "refused";
  snprintf(is, sizeof is, "refused");
  if (rule->is_legal)
    snprintf(is, sizeof is, "%s %#x", stw_state_at((size_t)rule->to)->name, rule->actions);
  if (row != NULL)
    snprintf(wanted, sizeof wanted, "%s %#x", stw_state_at((size_t)row->to)->name, row->actions);
  if (strcmp(is, wanted) != 0)
    fail_msg("%s x %s: %s instead of %s", stw_state_at((size_t)from)->name,
             stwi_link_input_at((size_t)input)->name, is, wanted);
}

static void every_cell_is_as_designed(void **unused) {
  (void)unused;
  for (unsigned from = 0; from < STW_STATE_COUNT; from++)
    for (unsigned input = 0; input < STWI_LINK_INPUT_COUNT; input++)
      expect_cell((stw_state)from, (enum stwi_link_input)input);
}

static bool is_final(stw_state state) {
  return state == STW_STATE_CLOSED || state == STW_STATE_FAILED;
}

/* Only the host opens what is final; everything else can end and can fail. */
static void every_state_has_a_way_out(void **unused) {
  (void)unused;
  for (unsigned from = 0; from < STW_STATE_COUNT; from++) {
    unsigned ways = 0;
    for (unsigned input = 0; input < STWI_LINK_INPUT_COUNT; input++) {
      const struct stwi_link_rule *rule =
          stwi_link_rule((stw_state)from, (enum stwi_link_input)input);
      ways += rule->is_legal && rule->to != from;
    }
    assert_true(ways > 0);
    const bool ends = stwi_link_rule((stw_state)from, STWI_LINK_CLOSE_DONE)->is_legal;
    const bool fails = stwi_link_rule((stw_state)from, STWI_LINK_FATAL)->is_legal;
    assert_int_equal(ends, !is_final((stw_state)from));
    assert_int_equal(fails, !is_final((stw_state)from));
  }
}

/* Whoever enters a state that waits arms what ends the wait. */
static void nobody_waits_without_a_timer(void **unused) {
  (void)unused;
  for (unsigned from = 0; from < STW_STATE_COUNT; from++) {
    for (unsigned input = 0; input < STWI_LINK_INPUT_COUNT; input++) {
      const struct stwi_link_rule *rule =
          stwi_link_rule((stw_state)from, (enum stwi_link_input)input);
      if (!rule->is_legal || rule->to == from)
        continue;
      if (rule->to == STW_STATE_WAITING)
        assert_true(rule->actions & PACE);
      if (rule->to == STW_STATE_OFFLINE)
        assert_true(rule->actions & PARK);
      if (rule->to == STW_STATE_CONNECTING)
        assert_true(rule->actions & (DIAL | SOON | STWI_DO_COMMIT));
      if (is_final(rule->to))
        assert_true(rule->actions & STWI_DO_END);
    }
  }
}

static void inputs_have_names(void **unused) {
  (void)unused;
  for (size_t i = 0; i < STWI_LINK_INPUT_COUNT; i++) {
    const stw_word *word = stwi_link_input_at(i);
    assert_int_equal(word->value, i);
    assert_true(word->name[0] != '\0' && word->text[0] != '\0');
  }
  assert_null(stwi_link_input_at(STWI_LINK_INPUT_COUNT));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_cell_is_as_designed),
      cmocka_unit_test(every_state_has_a_way_out),
      cmocka_unit_test(nobody_waits_without_a_timer),
      cmocka_unit_test(inputs_have_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
