/* The checker finds what it is for: mutations of right logs, each with the bug that would cause it,
 * are found and named; the right logs pass. */
#include "sim/checker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STREAMS 2u
#define MESSAGES 24u
#define RESUME_AT 12u    /* a new link begins with this message */
#define COMMITTED 9u     /* what the host had committed when it died */
#define WITHDRAWN_ONE 7u /* taken back before it was written; its number is a gap */
#define STEPS_MAX 400u

enum op { SENT, WITHDRAWN, GAP, TAKEN };

struct step {
  enum op op;
  uint32_t stream; /* where it is taken */
  uint32_t of;     /* the stream of its body */
  uint64_t serial; /* GAP: the number; numbers are serials here */
  uint32_t cut;    /* bytes missing at its end */
  bool is_raw, is_deduped;
};

struct log {
  struct step steps[STEPS_MAX];
  size_t count;
};

static size_t body_size(uint64_t serial) {
  return STWI_STAMP_BYTES + serial * 5;
}

static void add(struct log *log, enum op op, uint32_t stream, uint64_t serial) {
  assert_true(log->count < STEPS_MAX);
  log->steps[log->count++] =
      (struct step){.op = op, .stream = stream, .of = stream, .serial = serial};
}

static void add_taken(struct log *log, uint32_t stream, uint64_t serial, bool is_raw,
                      bool is_deduped) {
  add(log, TAKEN, stream, serial);
  log->steps[log->count - 1].is_raw = is_raw;
  log->steps[log->count - 1].is_deduped = is_deduped;
}

static void send_all(struct log *log) {
  log->count = 0;
  for (uint32_t stream = 0; stream < STREAMS; stream++) {
    for (uint64_t serial = 1; serial <= MESSAGES; serial++)
      add(log, SENT, stream, serial);
    add(log, WITHDRAWN, stream, WITHDRAWN_ONE);
  }
}

static void take_range(struct log *log, uint32_t stream, uint64_t from, uint64_t to,
                       uint64_t cursor) {
  for (uint64_t serial = from; serial <= to; serial++) {
    if (serial == WITHDRAWN_ONE)
      add(log, GAP, stream, serial);
    else
      add_taken(log, stream, serial, true, serial <= cursor);
  }
}

/* Nobody dies: what was taken was taken once. */
static void living_log(struct log *log) {
  send_all(log);
  for (uint32_t stream = 0; stream < STREAMS; stream++) {
    take_range(log, stream, 1, RESUME_AT - 1, MESSAGES);
    take_range(log, stream, RESUME_AT, MESSAGES, MESSAGES);
  }
}

/* The taking host dies having committed the first nine: it is given the others again. */
static void dying_log(struct log *log) {
  send_all(log);
  for (uint32_t stream = 0; stream < STREAMS; stream++) {
    take_range(log, stream, 1, RESUME_AT - 1, COMMITTED);
    take_range(log, stream, COMMITTED + 1, MESSAGES, MESSAGES);
  }
}

static void run(const struct log *log, struct stwi_checker *checker) {
  uint8_t body[STWI_STAMP_BYTES + 1024];
  for (size_t i = 0; i < log->count; i++) {
    const struct step *step = &log->steps[i];
    const size_t size = body_size(step->serial);
    switch (step->op) {
    case SENT:
      assert_int_equal(stwi_checker_sent(checker, step->stream, size, step->serial), step->serial);
      break;
    case WITHDRAWN:
      stwi_checker_withdrawn(checker, step->stream, step->serial);
      break;
    case GAP:
      stwi_checker_gap(checker, step->stream, step->serial, step->serial);
      break;
    case TAKEN:
      stwi_stamp_write(body, size, step->of, step->serial);
      if (step->is_raw)
        stwi_checker_taken(checker, STWI_VIEW_RAW, step->stream, body, size - step->cut);
      if (step->is_deduped)
        stwi_checker_taken(checker, STWI_VIEW_DEDUPED, step->stream, body, size - step->cut);
      break;
    }
  }
}

static bool judge(const struct log *log, enum stwi_view view, struct stwi_verdict *verdict) {
  struct stwi_checker *checker = stwi_checker_new(STREAMS);
  assert_non_null(checker);
  run(log, checker);
  const bool is_right = stwi_checker_verdict(checker, view, verdict);
  stwi_checker_free(checker);
  return is_right;
}

/* ---- bugs: each changes a right log as its effect would ---- */

/* The step that takes `serial` of stream 0 into the deduped view. */
static size_t taking(const struct log *log, uint64_t serial) {
  for (size_t i = 0; i < log->count; i++) {
    const struct step *step = &log->steps[i];
    if (step->op == TAKEN && step->stream == 0 && step->serial == serial && step->is_deduped)
      return i;
  }
  fail_msg("no step takes message %llu", (unsigned long long)serial);
  return 0;
}

static void remove_step(struct log *log, size_t at) {
  memmove(&log->steps[at], &log->steps[at + 1], (log->count - at - 1) * sizeof log->steps[0]);
  log->count--;
}

static void insert_step(struct log *log, size_t at, struct step step) {
  assert_true(log->count < STEPS_MAX);
  memmove(&log->steps[at + 1], &log->steps[at], (log->count - at) * sizeof log->steps[0]);
  log->steps[at] = step;
  log->count++;
}

static void loses_tail(struct log *log) {
  remove_step(log, taking(log, MESSAGES));
}

static void loses_middle(struct log *log) {
  remove_step(log, taking(log, 4));
}

static void repeats_after_resume(struct log *log) {
  const struct step again = log->steps[taking(log, RESUME_AT - 1)];
  insert_step(log, taking(log, RESUME_AT), again);
}

static void swaps_across_resume(struct log *log) {
  const size_t last = taking(log, RESUME_AT - 1), first = taking(log, RESUME_AT);
  const struct step held = log->steps[last];
  log->steps[last] = log->steps[first];
  log->steps[first] = held;
}

static void crosses_streams(struct log *log) {
  struct step stray = log->steps[taking(log, 5)];
  stray.of = 1;
  insert_step(log, taking(log, 6), stray);
}

/* The effect was committed, but its cursor was not. */
static void processes_twice(struct log *log) {
  const struct step again = log->steps[taking(log, COMMITTED)];
  insert_step(log, taking(log, COMMITTED + 1), again);
}

/* A number that died with its uncommitted message was given again while the peer had it: the new
 * message passes for a repetition and is dropped. */
static void reuses_number(struct log *log) {
  size_t sent = 0;
  while (log->steps[sent].serial != MESSAGES)
    sent++;
  insert_step(log, sent + 1, (struct step){.op = SENT, .serial = MESSAGES + 1});
}

static void replays_stale(struct log *log) {
  const struct step stale = log->steps[taking(log, 2)];
  insert_step(log, taking(log, RESUME_AT + 3), stale);
}

static void delivers_gap(struct log *log) {
  insert_step(log, taking(log, RESUME_AT), (struct step){.op = GAP, .serial = RESUME_AT - 2});
}

static void truncates(struct log *log) {
  log->steps[taking(log, 20)].cut = 3;
}

static void sends_withdrawn(struct log *log) {
  struct step step = log->steps[taking(log, 6)];
  step.serial = WITHDRAWN_ONE;
  insert_step(log, taking(log, 6) + 1, step);
}

static void gives_up_with_gap(struct log *log) {
  log->steps[taking(log, 15)].op = GAP;
}

static void invents(struct log *log) {
  struct step step = log->steps[taking(log, 10)];
  step.serial = MESSAGES + 9;
  insert_step(log, taking(log, 10), step);
}

static void goes_backwards(struct log *log) {
  const size_t at = taking(log, 18);
  const struct step step = log->steps[at];
  remove_step(log, at);
  insert_step(log, taking(log, 21) + 1, step);
}

struct bug {
  const char *name;
  void (*plant)(struct log *log);
  enum stwi_fault fault;
};

static const struct bug bugs[] = {
    {"the tail is lost", loses_tail, STWI_FAULT_LOST},
    {"one in the middle is lost", loses_middle, STWI_FAULT_LOST},
    {"a resume repeats", repeats_after_resume, STWI_FAULT_DUPLICATED},
    {"neighbours change places at a resume", swaps_across_resume, STWI_FAULT_REORDERED},
    {"a message of another stream", crosses_streams, STWI_FAULT_UNEXPECTED},
    {"processed twice after a crash", processes_twice, STWI_FAULT_DUPLICATED},
    {"a number is used again after a crash", reuses_number, STWI_FAULT_LOST},
    {"a stale replay after newer ones", replays_stale, STWI_FAULT_DUPLICATED},
    {"a gap is announced for what came", delivers_gap, STWI_FAULT_UNEXPECTED},
    {"a body is cut silently", truncates, STWI_FAULT_ALTERED},
    {"a withdrawn message is sent", sends_withdrawn, STWI_FAULT_UNEXPECTED},
    {"a gap is announced for what should have come", gives_up_with_gap, STWI_FAULT_LOST},
    {"a message out of nothing", invents, STWI_FAULT_PHANTOM},
    {"one comes late, for the first time", goes_backwards, STWI_FAULT_REORDERED},
};

static void finds(const struct bug *bug, void (*make)(struct log *), enum stwi_view view) {
  struct log log;
  struct stwi_verdict verdict;
  make(&log);
  bug->plant(&log);
  if (judge(&log, view, &verdict))
    fail_msg("%s: not found", bug->name);
  if (verdict.faults[bug->fault] == 0)
    fail_msg("%s: not %s, but: %s", bug->name, stwi_fault_name(bug->fault), verdict.first);
  assert_true(verdict.first[0] != '\0');
}

static void every_planted_bug_is_found_and_named(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof bugs / sizeof bugs[0]; i++) {
    finds(&bugs[i], living_log, STWI_VIEW_RAW);
    finds(&bugs[i], living_log, STWI_VIEW_DEDUPED);
    finds(&bugs[i], dying_log, STWI_VIEW_DEDUPED);
  }
}

static void a_log_where_nobody_dies_is_right_in_both_views(void **unused) {
  (void)unused;
  struct log log;
  living_log(&log);
  for (enum stwi_view view = 0; view < STWI_VIEW_COUNT; view++) {
    struct stwi_verdict verdict;
    assert_true(judge(&log, view, &verdict));
    assert_string_equal(verdict.first, "");
    assert_int_equal(verdict.sent, STREAMS * MESSAGES);
    assert_int_equal(verdict.withdrawn, STREAMS);
    assert_int_equal(verdict.taken, STREAMS * (MESSAGES - 1));
  }
}

static void a_log_where_the_host_dies_is_right_once_deduped(void **unused) {
  (void)unused;
  struct log log;
  struct stwi_verdict verdict;
  dying_log(&log);
  assert_true(judge(&log, STWI_VIEW_DEDUPED, &verdict));
  assert_false(judge(&log, STWI_VIEW_RAW, &verdict));
  const uint64_t again = RESUME_AT - 1 - COMMITTED;
  assert_int_equal(verdict.faults[STWI_FAULT_DUPLICATED], STREAMS * again);
  assert_int_equal(verdict.faults[STWI_FAULT_LOST], 0);
  assert_int_equal(verdict.faults[STWI_FAULT_REORDERED], 0);
}

static void an_unsure_message_may_come_once_or_not_at_all(void **unused) {
  (void)unused;
  for (unsigned times = 0; times < 3; times++) {
    struct stwi_checker *checker = stwi_checker_new(1);
    uint8_t body[STWI_STAMP_BYTES];
    struct stwi_verdict verdict;
    assert_int_equal(stwi_checker_sent(checker, 0, sizeof body, 0), 1);
    stwi_checker_unsure(checker, 0, 1);
    stwi_stamp_write(body, sizeof body, 0, 1);
    for (unsigned i = 0; i < times; i++)
      stwi_checker_taken(checker, STWI_VIEW_RAW, 0, body, sizeof body);
    assert_int_equal(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict), times < 2);
    assert_int_equal(verdict.unsure, 1);
    stwi_checker_free(checker);
  }
}

static void take(struct stwi_checker *checker, uint64_t serial) {
  uint8_t body[STWI_STAMP_BYTES];
  stwi_stamp_write(body, sizeof body, 0, serial);
  stwi_checker_taken(checker, STWI_VIEW_RAW, 0, body, sizeof body);
}

static void what_may_repeat_does_so_once(void **unused) {
  (void)unused;
  for (unsigned repeats = 0; repeats < 3; repeats++) {
    struct stwi_checker *checker = stwi_checker_new(1);
    struct stwi_verdict verdict;
    stwi_checker_sent(checker, 0, STWI_STAMP_BYTES, 0);
    take(checker, 1);
    stwi_checker_may_repeat(checker, 0, 1);
    for (unsigned i = 0; i < repeats; i++)
      take(checker, 1);
    assert_int_equal(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict), repeats < 2);
    assert_int_equal(verdict.repeated, repeats > 0);
    assert_int_equal(verdict.taken, 1);
    stwi_checker_free(checker);
  }
}

/* 1 to 3 are sent; 2 is told as a gap, and 3 is taken, before the taker begins anew. */
static void order_and_gaps_hold_until_the_taker_begins_anew(void **unused) {
  (void)unused;
  for (unsigned is_anew = 0; is_anew < 2; is_anew++) {
    struct stwi_checker *checker = stwi_checker_new(1);
    struct stwi_verdict verdict;
    for (uint64_t serial = 1; serial <= 3; serial++)
      stwi_checker_sent(checker, 0, STWI_STAMP_BYTES, serial);
    take(checker, 1);
    stwi_checker_gap(checker, 0, 2, 2);
    take(checker, 3);
    stwi_checker_may_repeat(checker, 0, 3);
    if (is_anew == 1)
      stwi_checker_begin_anew(checker, 0);
    take(checker, 2);
    take(checker, 3);
    assert_int_equal(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict), is_anew);
    assert_int_equal(verdict.faults[STWI_FAULT_REORDERED], 1 - is_anew);
    assert_int_equal(verdict.faults[STWI_FAULT_UNEXPECTED], 1 - is_anew);
    stwi_checker_free(checker);
  }
}

static void a_gap_over_what_was_taken_and_given_up_is_none(void **unused) {
  (void)unused;
  for (unsigned is_unsure = 0; is_unsure < 2; is_unsure++) {
    struct stwi_checker *checker = stwi_checker_new(1);
    struct stwi_verdict verdict;
    stwi_checker_sent(checker, 0, STWI_STAMP_BYTES, 1);
    take(checker, 1);
    if (is_unsure == 1)
      stwi_checker_unsure(checker, 0, 1);
    stwi_checker_gap(checker, 0, 1, 1);
    assert_int_equal(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict), is_unsure);
    stwi_checker_free(checker);
  }
}

static void a_gap_concerns_who_has_the_number_now(void **unused) {
  (void)unused;
  struct stwi_checker *checker = stwi_checker_new(1);
  uint8_t body[STWI_STAMP_BYTES];
  struct stwi_verdict verdict;
  stwi_checker_sent(checker, 0, sizeof body, 1);
  stwi_checker_withdrawn(checker, 0, 1);
  assert_int_equal(stwi_checker_sent(checker, 0, sizeof body, 1), 2);
  stwi_checker_gap(checker, 0, 1, UINT64_MAX);
  assert_false(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict));
  assert_int_equal(verdict.faults[STWI_FAULT_LOST], 1);
  stwi_checker_free(checker);
}

static void a_body_that_is_no_stamp_is_a_phantom(void **unused) {
  (void)unused;
  static const char *const bodies[] = {"",
                                       "short",
                                       "0000000000000000000000010000002",
                                       "0000000G000000000000000100000020",
                                       "00000000000000000000000000000020",
                                       "00000007000000000000000100000020"};
  for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
    struct stwi_checker *checker = stwi_checker_new(1);
    struct stwi_verdict verdict;
    stwi_checker_taken(checker, STWI_VIEW_RAW, 0, bodies[i], strlen(bodies[i]));
    assert_false(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict));
    assert_int_equal(verdict.faults[STWI_FAULT_PHANTOM], 1);
    stwi_checker_free(checker);
  }
}

static void every_byte_of_a_body_counts(void **unused) {
  (void)unused;
  uint8_t body[80];
  for (size_t at = 0; at < sizeof body; at++) {
    struct stwi_checker *checker = stwi_checker_new(2);
    struct stwi_verdict verdict;
    stwi_checker_sent(checker, 1, sizeof body, 0);
    stwi_stamp_write(body, sizeof body, 1, 1);
    body[at] ^= 1;
    stwi_checker_taken(checker, STWI_VIEW_RAW, 1, body, sizeof body);
    assert_false(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict));
    assert_int_equal(verdict.taken, 0);
    stwi_checker_free(checker);
  }
}

static void a_long_stream_is_counted(void **unused) {
  (void)unused;
  struct stwi_checker *checker = stwi_checker_new(1);
  uint8_t body[STWI_STAMP_BYTES];
  struct stwi_verdict verdict;
  for (uint64_t serial = 1; serial <= 100000; serial++) {
    assert_int_equal(stwi_checker_sent(checker, 0, sizeof body, serial), serial);
    stwi_stamp_write(body, sizeof body, 0, serial);
    stwi_checker_taken(checker, STWI_VIEW_RAW, 0, body, sizeof body);
  }
  assert_true(stwi_checker_verdict(checker, STWI_VIEW_RAW, &verdict));
  assert_int_equal(verdict.taken, 100000);
  assert_int_equal(stwi_checker_last(checker, 0), 100000);
  assert_int_equal(stwi_checker_count(checker, STWI_VIEW_RAW, 0), 100000);
  assert_true(stwi_checker_has(checker, STWI_VIEW_RAW, 0, 100000));
  assert_false(stwi_checker_has(checker, STWI_VIEW_DEDUPED, 0, 100000));
  assert_false(stwi_checker_has(checker, STWI_VIEW_RAW, 0, 100001));
  stwi_checker_free(checker);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_planted_bug_is_found_and_named),
      cmocka_unit_test(a_log_where_nobody_dies_is_right_in_both_views),
      cmocka_unit_test(a_log_where_the_host_dies_is_right_once_deduped),
      cmocka_unit_test(an_unsure_message_may_come_once_or_not_at_all),
      cmocka_unit_test(what_may_repeat_does_so_once),
      cmocka_unit_test(order_and_gaps_hold_until_the_taker_begins_anew),
      cmocka_unit_test(a_gap_over_what_was_taken_and_given_up_is_none),
      cmocka_unit_test(a_gap_concerns_who_has_the_number_now),
      cmocka_unit_test(a_body_that_is_no_stamp_is_a_phantom),
      cmocka_unit_test(every_byte_of_a_body_counts),
      cmocka_unit_test(a_long_stream_is_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
