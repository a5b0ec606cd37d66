#include "core/cause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool is_slug(const char *name) {
  return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name) && *name != '\0';
}

static void every_row_is_sane(void **unused) {
  (void)unused;
  for (unsigned cause = 0; cause < STW_CAUSE_COUNT; cause++) {
    const struct stwi_cause_row *row = stwi_cause_row((stw_cause)cause);
    assert_int_equal(row->info.cause, cause);
    assert_true(is_slug(row->info.name));
    assert_true(strlen(row->info.text) > 5 && strlen(row->info.remedy) > 5);
    assert_in_range(row->info.cls, 0, STW_CLASS_COUNT - 1);
    assert_in_range(row->pace, STWI_PACE_NOW, STWI_PACE_OVERLOAD);
    assert_in_range(row->permanence, STWI_PERMANENT_NEVER, STWI_PERMANENT_ALWAYS);
    for (unsigned other = 0; other < cause; other++)
      assert_string_not_equal(row->info.name, stwi_cause_row((stw_cause)other)->info.name);
  }
}

static void no_remedy_is_left_open_where_retrying_ends(void **unused) {
  (void)unused;
  for (unsigned cause = 0; cause < STW_CAUSE_COUNT; cause++) {
    const struct stwi_cause_row *row = stwi_cause_row((stw_cause)cause);
    if (row->permanence != STWI_PERMANENT_NEVER)
      assert_string_not_equal(row->info.remedy, "nothing");
  }
}

/* What a server with no room says is never answered at once. */
static void overload_is_never_retried_at_once(void **unused) {
  (void)unused;
  for (unsigned cause = 0; cause < STW_CAUSE_COUNT; cause++) {
    const struct stwi_cause_row *row = stwi_cause_row((stw_cause)cause);
    if (row->info.cls == STW_CLASS_OVERLOAD || row->info.cls == STW_CLASS_AUTH)
      assert_int_not_equal(row->pace, STWI_PACE_NOW);
  }
}

/* What a server says, or lets time out, once it was reached; not what may be the path's fault, or
 * that of a server that is not there: who waits for one of those wants it back soon. */
static void overload_is_what_a_reached_server_has_no_room_for(void **unused) {
  (void)unused;
  for (unsigned cause = 0; cause < STW_CAUSE_COUNT; cause++)
    assert_int_equal(stwi_cause_row((stw_cause)cause)->pace == STWI_PACE_OVERLOAD,
                     cause == STW_CAUSE_TLS_TIMEOUT || cause == STW_CAUSE_UPGRADE_TIMEOUT ||
                         cause == STW_CAUSE_HTTP_429 || cause == STW_CAUSE_TRY_LATER);
}

#define T0 (1000 * STWI_S)

static stwi_time paced(stw_cause cause, const struct stwi_hint *hint, bool ever_online,
                       uint64_t seed) {
  struct stwi_random random;
  stwi_random_seed(&random, seed);
  struct stwi_pace pace;
  stwi_pace_init(&pace, 4 * STWI_S, 60 * STWI_S);
  return stwi_cause_pace(cause, &pace, hint, ever_online, T0, &random);
}

static void a_cause_is_paced_by_its_row(void **unused) {
  (void)unused;
  const struct stwi_hint hint = {true, 5000, 1000}, none = {0};
  stwi_time latest = 0, latest_x4 = 0;
  for (uint64_t seed = 0; seed < 500; seed++) {
    const stwi_time path = paced(STW_CAUSE_HEARTBEAT_TIMEOUT, &none, true, seed);
    const stwi_time server = paced(STW_CAUSE_RESTART, NULL, true, seed);
    assert_int_equal(path, server);
    latest = server > latest ? server : latest;
    const stwi_time full = paced(STW_CAUSE_UPGRADE_TIMEOUT, NULL, true, seed);
    latest_x4 = full > latest_x4 ? full : latest_x4;
    const stwi_time hinted = paced(STW_CAUSE_HTTP_403, &hint, true, seed);
    assert_true(hinted >= T0 + 5 * STWI_S && hinted < T0 + 6 * STWI_S);
    const stwi_time stubborn = paced(STW_CAUSE_HTTP_403, &none, true, seed);
    assert_true(stubborn >= T0 + 30 * STWI_S && stubborn <= T0 + 60 * STWI_S);
  }
  assert_true(latest > T0 + 3900 * STWI_MS && latest < T0 + 4 * STWI_S);
  assert_true(latest_x4 > T0 + 15 * STWI_S && latest_x4 < T0 + 16 * STWI_S);
  assert_true(paced(STW_CAUSE_HTTP_403, NULL, false, 1) < T0 + 16 * STWI_S);
}

static void an_unknown_number_reads_as_close_other(void **unused) {
  (void)unused;
  assert_int_equal(stwi_cause_row(STW_CAUSE_COUNT)->info.cause, STW_CAUSE_CLOSE_OTHER);
  assert_int_equal(stwi_cause_row((stw_cause)60000)->info.cause, STW_CAUSE_CLOSE_OTHER);
}

static const struct {
  uint16_t code;
  stw_cause cause;
} closes[] = {
    {0, STW_CAUSE_CLOSE_NORMAL},     {1000, STW_CAUSE_CLOSE_NORMAL},
    {1001, STW_CAUSE_GOING_AWAY},    {1002, STW_CAUSE_PEER_PROTOCOL},
    {1003, STW_CAUSE_BAD_PAYLOAD},   {1005, STW_CAUSE_CLOSE_NORMAL},
    {1007, STW_CAUSE_BAD_PAYLOAD},   {1008, STW_CAUSE_POLICY},
    {1009, STW_CAUSE_TOO_BIG},       {1010, STW_CAUSE_PEER_PROTOCOL},
    {1011, STW_CAUSE_SERVER_ERROR},  {1012, STW_CAUSE_RESTART},
    {1013, STW_CAUSE_TRY_LATER},     {1014, STW_CAUSE_SERVER_ERROR},
    {3000, STW_CAUSE_AUTH_FAILED},   {3003, STW_CAUSE_POLICY},
    {4400, STW_CAUSE_PEER_PROTOCOL}, {4401, STW_CAUSE_AUTH_FAILED},
    {4403, STW_CAUSE_POLICY},        {4409, STW_CAUSE_REPLACED},
    {4413, STW_CAUSE_TOO_BIG},       {4429, STW_CAUSE_TRY_LATER},
};

static void every_close_code_has_its_cause(void **unused) {
  (void)unused;
  for (unsigned code = 0; code <= UINT16_MAX; code++) {
    stw_cause wanted = STW_CAUSE_CLOSE_OTHER;
    for (size_t i = 0; i < COUNT(closes); i++)
      if (closes[i].code == code)
        wanted = closes[i].cause;
    assert_int_equal(stwi_cause_of_close((uint16_t)code), wanted);
  }
}

static void every_http_status_has_its_cause(void **unused) {
  (void)unused;
  for (unsigned status = 0; status <= 1000; status++) {
    stw_cause wanted = STW_CAUSE_UPGRADE_INVALID;
    switch (status) {
    case 401:
      wanted = STW_CAUSE_HTTP_401;
      break;
    case 403:
      wanted = STW_CAUSE_HTTP_403;
      break;
    case 407:
      wanted = STW_CAUSE_PROXY_AUTH;
      break;
    case 408:
      wanted = STW_CAUSE_UPGRADE_TIMEOUT;
      break;
    case 429:
      wanted = STW_CAUSE_HTTP_429;
      break;
    default:
      if (status / 100 == 3)
        wanted = STW_CAUSE_HTTP_REDIRECT;
      else if (status / 100 == 4)
        wanted = STW_CAUSE_HTTP_4XX;
      else if (status / 100 == 5)
        wanted = STW_CAUSE_HTTP_5XX;
    }
    assert_int_equal(stwi_cause_of_http((uint16_t)status), wanted);
  }
}

static void a_timeout_is_named_after_its_phase(void **unused) {
  (void)unused;
  static const stw_cause wanted[STW_PHASE_COUNT] = {
      [STW_PHASE_TOKEN] = STW_CAUSE_TOKEN_FAILED,
      [STW_PHASE_DNS] = STW_CAUSE_DNS_TIMEOUT,
      [STW_PHASE_TCP] = STW_CAUSE_TCP_TIMEOUT,
      [STW_PHASE_TLS] = STW_CAUSE_TLS_TIMEOUT,
      [STW_PHASE_UPGRADE] = STW_CAUSE_UPGRADE_TIMEOUT,
      [STW_PHASE_AUTH] = STW_CAUSE_UPGRADE_TIMEOUT,
      [STW_PHASE_RESUME] = STW_CAUSE_SESSION_ERROR,
      [STW_PHASE_OPENING] = STW_CAUSE_READY_TIMEOUT,
      [STW_PHASE_UP] = STW_CAUSE_HEARTBEAT_TIMEOUT,
      [STW_PHASE_CLOSING] = STW_CAUSE_ABNORMAL_FIN,
      [STW_PHASE_DEAD] = STW_CAUSE_ABNORMAL_FIN,
  };
  for (unsigned phase = 0; phase < STW_PHASE_COUNT; phase++)
    assert_int_equal(stwi_cause_of_phase_timeout((stw_phase)phase), wanted[phase]);
  assert_int_equal(stwi_cause_of_phase_timeout(STW_PHASE_COUNT), STW_CAUSE_ABNORMAL_FIN);
  assert_int_equal(stwi_cause_of_phase_timeout((stw_phase)99), STW_CAUSE_ABNORMAL_FIN);
}

static void only_what_a_message_can_cause_blames_it(void **unused) {
  (void)unused;
  for (unsigned cause = 0; cause < STW_CAUSE_COUNT; cause++)
    assert_int_equal(stwi_cause_blames_message((stw_cause)cause),
                     cause == STW_CAUSE_TOO_BIG || cause == STW_CAUSE_BAD_PAYLOAD ||
                         cause == STW_CAUSE_PEER_PROTOCOL);
}

static void the_third_time_within_a_minute_counts(void **unused) {
  (void)unused;
  struct stwi_repeat repeat = {0};
  assert_false(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 0));
  assert_false(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 30 * STWI_S));
  assert_true(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 60 * STWI_S));
  assert_true(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 90 * STWI_S));
  assert_false(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 121 * STWI_S));
}

static void another_repeated_cause_begins_anew(void **unused) {
  (void)unused;
  struct stwi_repeat repeat = {0};
  stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, STWI_S);
  stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 2 * STWI_S);
  assert_false(stwi_repeat_hit(&repeat, STW_CAUSE_INBOUND_TOO_BIG, 3 * STWI_S));
  assert_false(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 4 * STWI_S));
}

static void causes_that_never_become_permanent_are_not_counted(void **unused) {
  (void)unused;
  struct stwi_repeat repeat = {0};
  stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, STWI_S);
  for (unsigned i = 0; i < 10; i++)
    assert_false(stwi_repeat_hit(&repeat, STW_CAUSE_ABNORMAL_RST, 2 * STWI_S));
  stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 3 * STWI_S);
  assert_true(stwi_repeat_hit(&repeat, STW_CAUSE_REPLACED, 4 * STWI_S));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_row_is_sane),
      cmocka_unit_test(no_remedy_is_left_open_where_retrying_ends),
      cmocka_unit_test(overload_is_never_retried_at_once),
      cmocka_unit_test(overload_is_what_a_reached_server_has_no_room_for),
      cmocka_unit_test(a_cause_is_paced_by_its_row),
      cmocka_unit_test(an_unknown_number_reads_as_close_other),
      cmocka_unit_test(every_close_code_has_its_cause),
      cmocka_unit_test(every_http_status_has_its_cause),
      cmocka_unit_test(a_timeout_is_named_after_its_phase),
      cmocka_unit_test(only_what_a_message_can_cause_blames_it),
      cmocka_unit_test(the_third_time_within_a_minute_counts),
      cmocka_unit_test(another_repeated_cause_begins_anew),
      cmocka_unit_test(causes_that_never_become_permanent_are_not_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
