#include "core/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NO STW_MESSAGE_STATE_COUNT

/* Written out by hand: state by row, input by column in the order of enum stwi_msg_input. */
static const stw_message_state expected[STW_MESSAGE_STATE_COUNT][STWI_MSG_INPUT_COUNT] = {
    /* WRITE, PROVE, LINK_LOST, EXPIRE, CANCEL, DROP, POISON, HOLD, RELEASE, DOUBT */
    {STW_MESSAGE_INFLIGHT, NO, NO, STW_MESSAGE_EXPIRED, STW_MESSAGE_CANCELLED, STW_MESSAGE_DROPPED,
     NO, STW_MESSAGE_HELD, NO, STW_MESSAGE_UNKNOWN},
    {NO, STW_MESSAGE_SETTLED, STW_MESSAGE_QUEUED, NO, NO, NO, STW_MESSAGE_DEAD, NO, NO,
     STW_MESSAGE_UNKNOWN},
    {NO, NO, NO, STW_MESSAGE_EXPIRED, STW_MESSAGE_CANCELLED, STW_MESSAGE_DROPPED, NO, NO,
     STW_MESSAGE_QUEUED, NO},
    {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},                 /* settled */
    {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},                 /* expired */
    {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},                 /* cancelled */
    {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},                 /* dropped */
    {NO, NO, NO, NO, NO, NO, NO, NO, STW_MESSAGE_QUEUED, NO}, /* dead */
    {NO, NO, NO, NO, NO, NO, NO, NO, STW_MESSAGE_QUEUED, NO}, /* unknown */
};

static stw_message_state wanted(unsigned state, unsigned input, unsigned guarantee) {
  if (state == STW_MESSAGE_INFLIGHT && input == STWI_MSG_LINK_LOST && guarantee == STW_AT_MOST_ONCE)
    return STW_MESSAGE_UNKNOWN;
  return expected[state][input];
}

static void every_state_meets_every_input_under_every_guarantee(void **unused) {
  (void)unused;
  unsigned cells = 0;
  for (unsigned state = 0; state < STW_MESSAGE_STATE_COUNT; state++)
    for (unsigned input = 0; input < STWI_MSG_INPUT_COUNT; input++)
      for (unsigned guarantee = 0; guarantee < STW_GUARANTEE_COUNT; guarantee++, cells++)
        assert_int_equal(stwi_msg_next((stw_message_state)state, (enum stwi_msg_input)input,
                                       (stw_guarantee)guarantee),
                         wanted(state, input, guarantee));
  assert_int_equal(cells, 9 * 10 * 3);
}

#define IS_FINAL(name, slug, is_final, text) is_final,
static const bool finals[] = {STW_MESSAGE_STATE_LIST(IS_FINAL)};
#undef IS_FINAL

static void final_states_are_final_and_others_have_a_way_out(void **unused) {
  (void)unused;
  for (unsigned state = 0; state < STW_MESSAGE_STATE_COUNT; state++) {
    unsigned ways = 0;
    for (unsigned input = 0; input < STWI_MSG_INPUT_COUNT; input++)
      ways += !(finals[state] && input == STWI_MSG_RELEASE) && /* the host's word */
              stwi_msg_next((stw_message_state)state, (enum stwi_msg_input)input,
                            STW_AT_LEAST_ONCE) != STW_MESSAGE_STATE_COUNT;
    assert_int_equal(ways == 0, finals[state]);
  }
}

static void every_final_state_can_be_reached(void **unused) {
  (void)unused;
  for (unsigned target = 0; target < STW_MESSAGE_STATE_COUNT; target++) {
    bool is_reached = false;
    for (unsigned state = 0; state < STW_MESSAGE_STATE_COUNT; state++)
      for (unsigned input = 0; input < STWI_MSG_INPUT_COUNT; input++)
        for (unsigned guarantee = 0; guarantee < STW_GUARANTEE_COUNT; guarantee++)
          is_reached |= wanted(state, input, guarantee) == target;
    assert_true(is_reached);
  }
}

static void what_was_written_at_most_once_is_never_queued_again(void **unused) {
  (void)unused;
  for (unsigned input = 0; input < STWI_MSG_INPUT_COUNT; input++)
    assert_int_not_equal(
        stwi_msg_next(STW_MESSAGE_INFLIGHT, (enum stwi_msg_input)input, STW_AT_MOST_ONCE),
        STW_MESSAGE_QUEUED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_state_meets_every_input_under_every_guarantee),
      cmocka_unit_test(final_states_are_final_and_others_have_a_way_out),
      cmocka_unit_test(every_final_state_can_be_reached),
      cmocka_unit_test(what_was_written_at_most_once_is_never_queued_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
