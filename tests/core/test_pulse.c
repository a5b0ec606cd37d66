#include "core/pulse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define T0 (100 * STWI_S)
#define INTERVAL (15 * STWI_S)
#define MIN (60 * STWI_S)

static struct stwi_pulse pulse;

static int set_up(void **unused) {
  (void)unused;
  stwi_pulse_init(&pulse, INTERVAL, 0, 1000, T0);
  return 0;
}

/* A question of `now` that is answered after `rtt`. */
static void sample(stwi_time now, uint64_t rtt) {
  stwi_pulse_asked(&pulse, now);
  stwi_pulse_answered(&pulse, now, 0, now + rtt);
  stwi_pulse_heard(&pulse, now + rtt);
}

static void expect(enum stwi_pulse_verdict verdict, stwi_time now) {
  assert_int_equal(stwi_pulse_check(&pulse, now), verdict);
}

static void silence_is_answered_with_a_question(void **unused) {
  (void)unused;
  assert_int_equal(stwi_pulse_deadline(&pulse, T0), T0 + INTERVAL);
  expect(STWI_PULSE_FINE, T0 + INTERVAL - 1);
  expect(STWI_PULSE_ASK, T0 + INTERVAL);
  stwi_pulse_asked(&pulse, T0 + INTERVAL);
  expect(STWI_PULSE_FINE, T0 + INTERVAL);
}

static void any_byte_restarts_the_idle_clock(void **unused) {
  (void)unused;
  stwi_pulse_heard(&pulse, T0 + 10 * STWI_S);
  assert_int_equal(pulse.heard_at, T0 + 10 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 25 * STWI_S - 1);
  expect(STWI_PULSE_ASK, T0 + 25 * STWI_S);
}

static void the_interval_is_jittered_per_link(void **unused) {
  (void)unused;
  stwi_pulse_restart(&pulse, 900, T0);
  assert_int_equal(stwi_pulse_deadline(&pulse, T0), T0 + 13500 * STWI_MS);
  stwi_pulse_restart(&pulse, 1100, T0);
  assert_int_equal(stwi_pulse_deadline(&pulse, T0), T0 + 16500 * STWI_MS);
}

static void a_quiet_link_is_asked_less_often_until_somebody_talks(void **unused) {
  (void)unused;
  stwi_pulse_set_intervals(&pulse, INTERVAL, 240 * STWI_S);
  stwi_pulse_heard(&pulse, T0 + 59 * STWI_S);
  assert_int_equal(stwi_pulse_deadline(&pulse, T0 + 59 * STWI_S), T0 + 74 * STWI_S);
  stwi_pulse_heard(&pulse, T0 + MIN);
  assert_int_equal(stwi_pulse_interval_ns(&pulse, T0 + MIN), 240 * STWI_S);
  assert_int_equal(stwi_pulse_deadline(&pulse, T0 + MIN), T0 + 5 * MIN);
  stwi_pulse_talked(&pulse, T0 + 2 * MIN);
  assert_int_equal(stwi_pulse_interval_ns(&pulse, T0 + 2 * MIN), INTERVAL);
  assert_int_equal(stwi_pulse_deadline(&pulse, T0 + 2 * MIN), T0 + 135 * STWI_S);
}

static void phi_is_that_of_the_open_question(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < 99; i++)
    sample(T0, 50 * STWI_MS);
  assert_int_equal(stwi_pulse_phi_milli(&pulse, T0 + 10 * STWI_S), 0);
  stwi_pulse_asked(&pulse, T0 + 10 * STWI_S);
  assert_int_equal(stwi_pulse_phi_milli(&pulse, T0 + 10 * STWI_S), 0);
  assert_in_range(stwi_pulse_phi_milli(&pulse, T0 + 11 * STWI_S), 1950, 2050);
}

static void without_an_interval_nothing_is_asked(void **unused) {
  (void)unused;
  stwi_pulse_init(&pulse, 0, 0, 1000, T0);
  expect(STWI_PULSE_FINE, STWI_NEVER - 1);
  assert_true(stwi_pulse_deadline(&pulse, T0) == STWI_NEVER);
}

static void only_an_answer_clears_a_question(void **unused) {
  (void)unused;
  stwi_pulse_asked(&pulse, T0);
  stwi_pulse_heard(&pulse, T0 + STWI_S);
  expect(STWI_PULSE_LATE, T0 + 1200 * STWI_MS);
  stwi_pulse_answered(&pulse, T0, 0, T0 + 1300 * STWI_MS);
  expect(STWI_PULSE_FINE, T0 + 1300 * STWI_MS);
}

static void a_question_is_late_after_t_soft_and_dead_after_three(void **unused) {
  (void)unused;
  stwi_pulse_init(&pulse, INTERVAL, 2 * STWI_S, 1000, T0);
  stwi_pulse_asked(&pulse, T0);
  stwi_pulse_asked(&pulse, T0 + STWI_S); /* younger ones do not matter */
  assert_int_equal(stwi_pulse_deadline(&pulse, T0), T0 + 2 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 2 * STWI_S - 1);
  expect(STWI_PULSE_LATE, T0 + 2 * STWI_S);
  assert_int_equal(stwi_pulse_deadline(&pulse, T0 + 2 * STWI_S), T0 + 6 * STWI_S);
  expect(STWI_PULSE_LATE, T0 + 6 * STWI_S - 1);
  expect(STWI_PULSE_DEAD, T0 + 6 * STWI_S);
  assert_true(stwi_pulse_deadline(&pulse, T0 + 6 * STWI_S) == STWI_NEVER);
}

static void the_next_open_question_takes_over(void **unused) {
  (void)unused;
  stwi_pulse_init(&pulse, INTERVAL, 2 * STWI_S, 1000, T0);
  stwi_pulse_asked(&pulse, T0);
  stwi_pulse_answered(&pulse, T0, T0 + STWI_S, T0 + 1500 * STWI_MS);
  expect(STWI_PULSE_FINE, T0 + 3 * STWI_S - 1);
  expect(STWI_PULSE_LATE, T0 + 3 * STWI_S);
}

/* RFC 6298: R = 100 ms: srtt 100, rttvar 50.  R' = 140: rttvar 3/4 50 + 1/4 40 = 47.5, srtt
 * 7/8 100 + 1/8 140 = 105.  R'' = 65: rttvar 3/4 47.5 + 1/4 40 = 45.625, srtt 100. */
static void round_trips_are_smoothed_as_in_rfc_6298(void **unused) {
  (void)unused;
  sample(T0, 100 * STWI_MS);
  assert_int_equal(pulse.srtt_ns, 100 * STWI_MS);
  assert_int_equal(pulse.rttvar_ns, 50 * STWI_MS);
  sample(T0 + STWI_S, 140 * STWI_MS);
  assert_int_equal(pulse.srtt_ns, 105 * STWI_MS);
  assert_int_equal(pulse.rttvar_ns, 47500 * STWI_US);
  sample(T0 + 2 * STWI_S, 65 * STWI_MS);
  assert_int_equal(pulse.srtt_ns, 100 * STWI_MS);
  assert_int_equal(pulse.rttvar_ns, 45625 * STWI_US);
}

static void the_worst_stall_is_kept_and_halves_every_forty_minutes(void **unused) {
  (void)unused;
  sample(T0, STWI_S);
  sample(T0, 4 * STWI_S);
  assert_int_equal(pulse.stall_ns, 3 * STWI_S);
  const stwi_time at = T0 + 4 * STWI_S;
  assert_int_equal(pulse.stall_at, at);
  pulse.srtt_ns = STWI_S;
  pulse.rttvar_ns = 0;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at), STWI_S + 3900 * STWI_MS);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at + 20 * MIN), STWI_S + 2925 * STWI_MS);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at + 40 * MIN), STWI_S + 1950 * STWI_MS);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at + 80 * MIN), STWI_S + 975 * STWI_MS);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at + 4000 * MIN), 1200 * STWI_MS);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at - STWI_S), STWI_S + 3900 * STWI_MS);
  /* After 80 min the old stall counts 750 ms: a new one of 700 ms leaves it, one of 800 ms not. */
  sample(at + 80 * MIN, 1700 * STWI_MS);
  assert_int_equal(pulse.stall_ns, 3 * STWI_S);
  pulse.srtt_ns = STWI_S;
  sample(at + 80 * MIN, 1800 * STWI_MS);
  assert_int_equal(pulse.stall_ns, 800 * STWI_MS);
}

static void a_long_stall_adds_five_seconds_at_most(void **unused) {
  (void)unused;
  sample(T0, 100 * STWI_MS);
  sample(T0, 100 * STWI_MS + 4 * STWI_S);
  pulse.srtt_ns = 100 * STWI_MS;
  pulse.rttvar_ns = 0;
  const stwi_time at = T0 + 100 * STWI_MS + 4 * STWI_S;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at), 5100 * STWI_MS);
  pulse.stall_ns = 60 * STWI_S;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, at), 5100 * STWI_MS);
}

/* A link that is given up answers no question any more, but other attempts were silent too. */
static void a_silent_path_teaches_a_stall(void **unused) {
  (void)unused;
  stwi_pulse_silent(&pulse, T0 + STWI_S); /* nothing was asked */
  assert_int_equal(pulse.stall_ns, 0);
  stwi_pulse_asked(&pulse, T0);
  stwi_pulse_silent(&pulse, T0 + 2 * STWI_S);
  assert_int_equal(pulse.stall_ns, 2 * STWI_S);
  assert_int_equal(pulse.stall_at, T0 + 2 * STWI_S);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0 + 2 * STWI_S), 2600 * STWI_MS);
  stwi_pulse_restart(&pulse, 1000, T0 + 3 * STWI_S);
  stwi_pulse_asked(&pulse, T0 + 4 * STWI_S);
  stwi_pulse_silent(&pulse, T0 + 5 * STWI_S); /* shorter than what is known */
  assert_int_equal(pulse.stall_ns, 2 * STWI_S);
}

static void the_stall_never_grows_with_age(void **unused) {
  (void)unused;
  sample(T0, STWI_S);
  sample(T0, 7 * STWI_S);
  uint64_t before = stwi_pulse_soft_ns(&pulse, T0 + 7 * STWI_S);
  for (stwi_time now = T0 + 7 * STWI_S; now < T0 + 60 * MIN; now += 777 * STWI_MS) {
    const uint64_t soft = stwi_pulse_soft_ns(&pulse, now);
    assert_true(soft <= before && before - soft < 100 * STWI_MS);
    before = soft;
  }
}

static void t_soft_is_clamped(void **unused) {
  (void)unused;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 1200 * STWI_MS);
  sample(T0, STWI_MS);
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 1200 * STWI_MS);
  pulse.srtt_ns = pulse.rttvar_ns = 400 * STWI_MS;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 2000 * STWI_MS);
  pulse.srtt_ns = pulse.rttvar_ns = 4 * STWI_S;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 10 * STWI_S);
  pulse.srtt_ns = UINT64_MAX;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 10 * STWI_S);
  pulse.srtt_ns = 1;
  pulse.rttvar_ns = UINT64_MAX;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 10 * STWI_S);
  pulse.rttvar_ns = 1;
  pulse.stall_ns = UINT64_MAX;
  pulse.stall_at = T0;
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 5 * STWI_S + 5);
}

static void a_new_link_keeps_what_was_learnt_but_not_the_clocks(void **unused) {
  (void)unused;
  sample(T0, 3 * STWI_S);
  stwi_pulse_asked(&pulse, T0 + 10 * STWI_S);
  stwi_pulse_pause(&pulse, true, T0 + 11 * STWI_S);
  stwi_pulse_restart(&pulse, 1000, T0 + 100 * STWI_S);
  assert_int_equal(pulse.srtt_ns, 3 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 115 * STWI_S - 1);
  expect(STWI_PULSE_ASK, T0 + 115 * STWI_S);
}

static void while_reading_is_paused_silence_counts_for_nothing(void **unused) {
  (void)unused;
  stwi_pulse_asked(&pulse, T0);
  stwi_pulse_pause(&pulse, true, T0 + STWI_S);
  stwi_pulse_pause(&pulse, true, T0 + 2 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 1000 * STWI_S);
  assert_true(stwi_pulse_deadline(&pulse, T0 + 5 * STWI_S) == STWI_NEVER);
  stwi_pulse_pause(&pulse, false, T0 + 60 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 61 * STWI_S);
  expect(STWI_PULSE_LATE, T0 + 60 * STWI_S + 1200 * STWI_MS);
  stwi_pulse_pause(&pulse, false, T0 + 62 * STWI_S); /* not paused: nothing restarts */
  expect(STWI_PULSE_LATE, T0 + 62 * STWI_S);
}

static void answers_to_questions_from_before_a_pause_teach_nothing(void **unused) {
  (void)unused;
  sample(T0, 100 * STWI_MS);
  stwi_pulse_asked(&pulse, T0 + STWI_S);
  stwi_pulse_pause(&pulse, true, T0 + 2 * STWI_S);
  stwi_pulse_pause(&pulse, false, T0 + 50 * STWI_S);
  stwi_pulse_answered(&pulse, T0 + STWI_S, T0 + 2 * STWI_S, T0 + 51 * STWI_S);
  assert_int_equal(pulse.srtt_ns, 100 * STWI_MS);
  assert_int_equal(pulse.asked_at, T0 + 50 * STWI_S);
  stwi_pulse_answered(&pulse, T0 + 2 * STWI_S, T0 + 51 * STWI_S, T0 + 52 * STWI_S);
  assert_int_equal(pulse.asked_at, T0 + 51 * STWI_S);
  stwi_pulse_answered(&pulse, T0 + 51 * STWI_S, 0, T0 + 51100 * STWI_MS);
  assert_int_equal(pulse.srtt_ns, 100 * STWI_MS);
  assert_true(pulse.rttvar_ns < 50 * STWI_MS);
}

static void a_stalled_process_is_not_held_against_the_peer(void **unused) {
  (void)unused;
  stwi_pulse_asked(&pulse, T0);
  stwi_pulse_stalled(&pulse, T0 + 100 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 101 * STWI_S);
  expect(STWI_PULSE_LATE, T0 + 100 * STWI_S + 1200 * STWI_MS);
  set_up(NULL);
  stwi_pulse_stalled(&pulse, T0 + 100 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 115 * STWI_S - 1);
  expect(STWI_PULSE_ASK, T0 + 115 * STWI_S);
}

static void an_excused_question_teaches_nothing(void **unused) {
  (void)unused;
  sample(T0, 50 * STWI_MS);
  stwi_pulse_asked(&pulse, T0 + STWI_S);
  stwi_pulse_excuse(&pulse);
  stwi_pulse_silent(&pulse, T0 + 4 * STWI_S);
  assert_int_equal(pulse.stall_ns, 0);
  stwi_pulse_answered(&pulse, T0 + STWI_S, 0, T0 + 4 * STWI_S);
  assert_int_equal(pulse.srtt_ns, 50 * STWI_MS);
  assert_int_equal(pulse.stall_ns, 0);
  sample(T0 + 5 * STWI_S, 90 * STWI_MS);
  assert_int_equal(pulse.srtt_ns, 55 * STWI_MS);
}

static void a_stall_does_not_end_a_pause(void **unused) {
  (void)unused;
  stwi_pulse_pause(&pulse, true, T0);
  stwi_pulse_stalled(&pulse, T0 + 100 * STWI_S);
  expect(STWI_PULSE_FINE, T0 + 500 * STWI_S);
}

static void time_zero_is_a_time_like_any_other(void **unused) {
  (void)unused;
  stwi_pulse_init(&pulse, INTERVAL, STWI_S, 1000, 0);
  stwi_pulse_asked(&pulse, 0);
  expect(STWI_PULSE_FINE, STWI_S);
  expect(STWI_PULSE_LATE, STWI_S + 1);
}

static void the_extremes_of_time_do_not_overflow(void **unused) {
  (void)unused;
  stwi_pulse_init(&pulse, INTERVAL, UINT64_MAX, 1100, STWI_NEVER - 1);
  assert_true(stwi_pulse_deadline(&pulse, STWI_NEVER - 1) == STWI_NEVER - 1);
  stwi_pulse_asked(&pulse, STWI_NEVER - 1);
  expect(STWI_PULSE_FINE, STWI_NEVER - 1);
  expect(STWI_PULSE_FINE, T0); /* before the question: age 0 */
  assert_true(stwi_pulse_deadline(&pulse, STWI_NEVER - 1) == STWI_NEVER - 1);
  stwi_pulse_init(&pulse, INTERVAL, STWI_NEVER - T0, 1000, T0);
  stwi_pulse_asked(&pulse, T0);
  assert_true(stwi_pulse_deadline(&pulse, T0) == STWI_NEVER - 1);
  stwi_pulse_init(&pulse, INTERVAL, 0, 1000, T0);
  sample(T0, STWI_NEVER / 2);
  sample(T0, STWI_NEVER / 2);
  stwi_pulse_answered(&pulse, T0 + 1, 0, T0); /* an answer before its question: round trip 0 */
  assert_int_equal(stwi_pulse_soft_ns(&pulse, T0), 10 * STWI_S);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(silence_is_answered_with_a_question),
      TEST(any_byte_restarts_the_idle_clock),
      TEST(the_interval_is_jittered_per_link),
      TEST(a_quiet_link_is_asked_less_often_until_somebody_talks),
      TEST(phi_is_that_of_the_open_question),
      TEST(without_an_interval_nothing_is_asked),
      TEST(only_an_answer_clears_a_question),
      TEST(a_question_is_late_after_t_soft_and_dead_after_three),
      TEST(the_next_open_question_takes_over),
      TEST(round_trips_are_smoothed_as_in_rfc_6298),
      TEST(the_worst_stall_is_kept_and_halves_every_forty_minutes),
      TEST(a_long_stall_adds_five_seconds_at_most),
      TEST(a_silent_path_teaches_a_stall),
      TEST(the_stall_never_grows_with_age),
      TEST(t_soft_is_clamped),
      TEST(a_new_link_keeps_what_was_learnt_but_not_the_clocks),
      TEST(while_reading_is_paused_silence_counts_for_nothing),
      TEST(answers_to_questions_from_before_a_pause_teach_nothing),
      TEST(a_stalled_process_is_not_held_against_the_peer),
      TEST(an_excused_question_teaches_nothing),
      TEST(a_stall_does_not_end_a_pause),
      TEST(time_zero_is_a_time_like_any_other),
      TEST(the_extremes_of_time_do_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
