#include <steadwire/event.h>
#include <steadwire/metrics.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void expect_slug(const char *name) {
  assert_true(*name != '\0');
  assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
}

static const struct {
  const stw_word *(*at)(size_t index);
  size_t count;
} walkers[] = {
    {stw_state_at, STW_STATE_COUNT},         {stw_phase_at, STW_PHASE_COUNT},
    {stw_proof_at, STW_PROOF_COUNT},         {stw_message_state_at, STW_MESSAGE_STATE_COUNT},
    {stw_guarantee_at, STW_GUARANTEE_COUNT}, {stw_class_at, STW_CLASS_COUNT},
    {stw_event_kind_at, STW_EVENT_COUNT},    {stw_gap_reason_at, STW_GAP_COUNT},
};

static void every_list_is_walked_to_its_end(void **unused) {
  (void)unused;
  for (size_t w = 0; w < COUNT(walkers); w++) {
    for (size_t i = 0; i < walkers[w].count; i++) {
      const stw_word *word = walkers[w].at(i);
      assert_int_equal(word->value, i);
      expect_slug(word->name);
      assert_true(strlen(word->text) > 5);
      for (size_t other = 0; other < i; other++)
        assert_string_not_equal(word->name, walkers[w].at(other)->name);
    }
    assert_null(walkers[w].at(walkers[w].count));
    assert_null(walkers[w].at(SIZE_MAX));
  }
}

static void words_stand_at_their_values(void **unused) {
  (void)unused;
  assert_string_equal(stw_state_at(STW_STATE_MIGRATING)->name, "migrating");
  assert_string_equal(stw_phase_at(STW_PHASE_UPGRADE)->name, "upgrade");
  assert_string_equal(stw_proof_at(STW_PROOF_RECEIVED)->name, "received");
  assert_string_equal(stw_message_state_at(STW_MESSAGE_DEAD)->name, "dead");
  assert_string_equal(stw_guarantee_at(STW_AT_MOST_ONCE)->name, "at_most_once");
  assert_string_equal(stw_class_at(STW_CLASS_OVERLOAD)->name, "overload");
  assert_string_equal(stw_event_kind_at(STW_EVENT_NO_PONG)->name, "no_pong");
  assert_string_equal(stw_gap_reason_at(STW_GAP_OVERFLOW)->name, "overflow");
}

static void causes_are_walked_to_their_end(void **unused) {
  (void)unused;
  for (size_t i = 0; i < STW_CAUSE_COUNT; i++) {
    assert_int_equal(stw_cause_at(i)->cause, i);
    expect_slug(stw_cause_at(i)->name);
  }
  assert_null(stw_cause_at(STW_CAUSE_COUNT));
  assert_null(stw_cause_at(SIZE_MAX));
  assert_string_equal(stw_cause_at(STW_CAUSE_TLS_NAME)->name, "tls_name");
}

static void statuses_are_walked_to_their_end(void **unused) {
  (void)unused;
  size_t count = 0;
  for (const stw_status_info *info; (info = stw_status_at(count)) != NULL; count++) {
    assert_int_equal(info->status, -(int)count);
    expect_slug(info->name);
    assert_true(strlen(info->text) > 3 && strlen(info->remedy) > 3);
    assert_ptr_equal(stw_status_find(info->status), info);
  }
  assert_int_equal(count, -(int)STW_E_PROTOCOL + 1);
  assert_null(stw_status_at(SIZE_MAX));
  assert_true(stw_status_find(STW_E_FULL)->retryable);
  assert_false(stw_status_find(STW_E_URL)->retryable);
}

static void a_number_that_is_no_status_reads_as_a_bad_argument(void **unused) {
  (void)unused;
  assert_int_equal(stw_status_find((stw_status)1)->status, STW_E_ARGUMENT);
  assert_int_equal(stw_status_find((stw_status)-1000)->status, STW_E_ARGUMENT);
}

static void metrics_are_walked_to_their_end(void **unused) {
  (void)unused;
  for (size_t i = 0; i < STW_METRIC_COUNT; i++) {
    const stw_metric_info *info = stw_metric_at(i);
    assert_int_equal(info->metric, i);
    expect_slug(info->name);
    assert_true(strcmp(info->unit, "1") == 0 || strcmp(info->unit, "By") == 0 ||
                strcmp(info->unit, "ns") == 0);
    assert_true(strlen(info->text) > 5);
  }
  assert_null(stw_metric_at(STW_METRIC_COUNT));
  assert_null(stw_metric_at(SIZE_MAX));
  assert_int_equal(stw_metric_at(STW_METRIC_RTT_NS)->type, STW_METRIC_GAUGE);
  assert_int_equal(stw_metric_at(STW_METRIC_SENT)->type, STW_METRIC_COUNTER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_list_is_walked_to_its_end),
      cmocka_unit_test(words_stand_at_their_values),
      cmocka_unit_test(causes_are_walked_to_their_end),
      cmocka_unit_test(statuses_are_walked_to_their_end),
      cmocka_unit_test(a_number_that_is_no_status_reads_as_a_bad_argument),
      cmocka_unit_test(metrics_are_walked_to_their_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
