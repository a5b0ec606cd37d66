/* The outbox against a model that keeps every message for ever in one array and does everything by
 * walking it.  Times are whole milliseconds and queues shorter than 1,000, so that the pause
 * between two walks for expiry never shows. */
#include "core/outbox.h"

#include "core/pace.h"
#include "failing_mem.h"
#include "messages.h"
#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { NUMBERS = 900, ROUNDS = 60, STEPS = 3000, KEYS = 5 };

struct fact {
  struct message_spec spec;
  stw_message_state state;
  stw_proof proof;
  stw_proof passed_by; /* that by which everything up to it settled */
  uint32_t attempts;
  stwi_time admitted;
  bool is_here; /* written on this link */
};

struct model {
  struct fact facts[NUMBERS + 1]; /* by number; 0 unused */
  uint64_t last;
  uint64_t latest[KEYS];
  uint64_t proven[STW_PROOF_COUNT], settled;
  struct stwi_msg_end ends[NUMBERS + 1];
  size_t end_count, end_read;
  uint64_t messages_max, bytes_max;
  enum stwi_overflow overflow;
  uint64_t suspect, strikes, cautious_until, replayed;
  stw_cause suspect_cause;
  bool is_cautious;
};

static const char *const key_names[KEYS] = {"", "a", "b", "c", "d"};

static struct model model;
static struct stwi_outbox outbox;
static struct stwi_random dice;

static uint64_t roll(uint64_t sides) {
  return stwi_random_below(&dice, sides);
}

static bool stands(uint64_t number) {
  return model.facts[number].state <= STW_MESSAGE_HELD;
}

static uint64_t count_in(stw_message_state state) {
  uint64_t count = 0;
  for (uint64_t n = 1; n <= model.last; n++)
    count += model.facts[n].state == state;
  return count;
}

static uint64_t standing_bytes(void) {
  uint64_t bytes = 0;
  for (uint64_t n = 1; n <= model.last; n++)
    bytes += stands(n) ? model.facts[n].spec.size : 0;
  return bytes;
}

static uint64_t standing(void) {
  return count_in(STW_MESSAGE_QUEUED) + count_in(STW_MESSAGE_INFLIGHT);
}

static void end(uint64_t number, stw_message_state state, stw_cause cause) {
  model.facts[number].state = state;
  model.ends[model.end_count++] =
      (struct stwi_msg_end){.number = number, .state = state, .cause = cause};
}

static unsigned key_index(const struct fact *fact) {
  unsigned index = 0;
  while (fact->spec.key != NULL && strcmp(key_names[index], fact->spec.key) != 0)
    index++;
  return index;
}

static stwi_time due(const struct fact *fact) {
  return fact->spec.ttl_ns == 0 ? STWI_NEVER : fact->admitted + fact->spec.ttl_ns;
}

static void settle_caution(void) {
  for (uint64_t n = 1; n <= model.cautious_until && n <= model.last; n++)
    if (stands(n))
      return;
  model.is_cautious = false;
}

static uint64_t oldest_unwritten(void) {
  for (uint64_t n = 1; n <= model.last; n++)
    if (model.facts[n].state == STW_MESSAGE_QUEUED)
      return n;
  return 0;
}

/* ---- the operations, on both sides ---- */

static void model_take(const struct message_spec *spec, stwi_time now) {
  const uint64_t number = ++model.last;
  struct fact *fact = &model.facts[number];
  *fact = (struct fact){.spec = *spec, .state = STW_MESSAGE_QUEUED, .admitted = now};
  if (spec->is_refused) {
    end(number, STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
    return;
  }
  const unsigned key = key_index(fact);
  if (key > 0) {
    const uint64_t old = model.latest[key];
    if (old != 0 && model.facts[old].state == STW_MESSAGE_QUEUED)
      end(old, STW_MESSAGE_DROPPED, STW_CAUSE_SUPERSEDED);
    model.latest[key] = number;
  }
  while (model.overflow == STWI_OVERFLOW_DROP_OLDEST &&
         (standing() > model.messages_max || standing_bytes() > model.bytes_max) &&
         oldest_unwritten() != number)
    end(oldest_unwritten(), STW_MESSAGE_DROPPED, STW_CAUSE_REQUESTED);
}

static void do_take(stwi_time now) {
  struct message_spec specs[8];
  const size_t count = 1 + roll(8);
  if (model.last + count > NUMBERS)
    return;
  for (size_t i = 0; i < count; i++) {
    const uint64_t key = roll(4) == 0 ? roll(KEYS) : 0;
    specs[i] = (struct message_spec){
        .number = model.last + i + 1,
        .size = (uint32_t)roll(100),
        .ttl_ns = roll(3) == 0 ? (1 + roll(50)) * STWI_MS : 0,
        .key = key == 0 ? NULL : key_names[key],
        .guarantee = roll(4) == 0 ? STW_AT_MOST_ONCE : STW_AT_LEAST_ONCE,
        .is_refused = roll(20) == 0,
    };
  }
  const size_t split = roll(count + 1); /* a list of two chunks, one of them perhaps empty */
  struct stwi_chunk *first = messages_chunk(specs, split);
  first->next = messages_chunk(specs + split, count - split);
  assert_true(stwi_outbox_take(&outbox, first, now));
  for (size_t i = 0; i < count; i++)
    model_take(&specs[i], now);
  settle_caution();
}

static uint64_t model_next(stwi_time now) {
  if (model.is_cautious && count_in(STW_MESSAGE_INFLIGHT) > 0)
    return 0;
  for (uint64_t n; (n = oldest_unwritten()) != 0;) {
    if (due(&model.facts[n]) > now)
      return n;
    end(n, STW_MESSAGE_EXPIRED, STW_CAUSE_REQUESTED);
    settle_caution();
  }
  return 0;
}

static void do_write(stwi_time now) {
  for (uint64_t left = roll(10); left > 0; left--) {
    struct stwi_msg *msg = stwi_outbox_next(&outbox, now);
    const uint64_t number = model_next(now);
    assert_int_equal(msg == NULL ? 0 : msg->number, number);
    if (msg == NULL)
      return;
    stwi_outbox_wrote(&outbox, msg);
    struct fact *fact = &model.facts[number];
    fact->state = STW_MESSAGE_INFLIGHT;
    fact->is_here = true;
    model.replayed += fact->attempts++ > 0;
  }
}

static uint64_t written_upto(void) {
  for (uint64_t n = model.last; n > 0; n--)
    if (model.facts[n].is_here)
      return n;
  return 0;
}

/* The last one that settled without the proof and has no way to it any more. */
static uint64_t short_of(stw_proof proof) {
  const stw_proof enough = proof < STW_PROOF_ACCEPTED ? proof : STW_PROOF_ACCEPTED;
  for (uint64_t n = model.settled; n > 0; n--)
    if (model.facts[n].passed_by < enough)
      return n;
  return 0;
}

static bool model_prove(stw_proof proof, uint64_t upto, stw_proof wanted) {
  if (upto > written_upto())
    upto = written_upto();
  if (upto <= short_of(proof))
    return false;
  for (uint64_t n = 1; n <= upto; n++) {
    struct fact *fact = &model.facts[n];
    if (fact->state != STW_MESSAGE_INFLIGHT)
      continue;
    if (fact->proof < proof)
      fact->proof = proof;
    if (proof >= wanted)
      fact->state = STW_MESSAGE_SETTLED;
  }
  if (proof >= wanted && model.suspect <= upto)
    model.suspect = model.strikes = 0;
  if (proof >= wanted)
    settle_caution();
  const bool is_settling = proof >= wanted && upto > model.settled;
  while (is_settling && model.settled < upto)
    model.facts[++model.settled].passed_by = proof;
  const bool is_news = is_settling || upto > model.proven[proof];
  for (unsigned weaker = 0; weaker <= proof; weaker++)
    if (model.proven[weaker] < upto)
      model.proven[weaker] = upto;
  return is_news;
}

static void do_prove(void) {
  const stw_proof proof = (stw_proof)(STW_PROOF_WRITTEN + roll(3));
  const stw_proof wanted = roll(5) == 0 ? STW_PROOF_WRITTEN : STW_PROOF_RECEIVED;
  const uint64_t upto = roll(3) == 0 ? roll(model.last + 2) : written_upto() - (roll(2) & 1);
  assert_int_equal(stwi_outbox_prove(&outbox, proof, upto, wanted),
                   model_prove(proof, upto, wanted));
}

static void model_requeue(uint64_t number) {
  struct fact *fact = &model.facts[number];
  fact->state = STW_MESSAGE_QUEUED;
  const unsigned key = key_index(fact);
  const uint64_t latest = key == 0 ? 0 : model.latest[key];
  if (fact->spec.guarantee == STW_AT_MOST_ONCE)
    end(number, STW_MESSAGE_UNKNOWN, STW_CAUSE_ABNORMAL_FIN);
  else if (latest > number && stands(latest))
    end(number, STW_MESSAGE_DROPPED, STW_CAUSE_SUPERSEDED);
}

static void do_lose(void) {
  uint64_t messages, bytes, model_messages = 0, model_bytes = 0;
  if (roll(2) == 0) {
    const stw_cause cause = roll(2) == 0 ? STW_CAUSE_TOO_BIG : STW_CAUSE_BAD_PAYLOAD;
    stwi_outbox_strike(&outbox, cause);
    const uint64_t inflight = count_in(STW_MESSAGE_INFLIGHT);
    uint64_t oldest = 1;
    while (oldest <= model.last && model.facts[oldest].state != STW_MESSAGE_INFLIGHT)
      oldest++;
    if (inflight > 0) {
      model.strikes =
          model.suspect == oldest && model.suspect_cause == cause ? model.strikes + 1 : 1;
      model.suspect = oldest;
      model.suspect_cause = cause;
      model.is_cautious = true;
      if (model.cautious_until < written_upto())
        model.cautious_until = written_upto();
      if (model.strikes >= 3 && inflight == 1) {
        end(oldest, STW_MESSAGE_DEAD, cause);
        model.suspect = model.strikes = 0;
      }
    }
  }
  stwi_outbox_link_lost(&outbox, &messages, &bytes);
  for (uint64_t n = 1; n <= model.last; n++) {
    model.facts[n].is_here = false;
    if (model.facts[n].state != STW_MESSAGE_INFLIGHT)
      continue;
    model_requeue(n);
    model_messages += stands(n);
    model_bytes += stands(n) ? model.facts[n].spec.size : 0;
  }
  settle_caution();
  assert_int_equal(messages, model_messages);
  assert_int_equal(bytes, model_bytes);
}

static void do_expire(stwi_time now) {
  const stwi_time next = stwi_outbox_expire(&outbox, now);
  for (uint64_t n = 1; n <= model.last; n++) {
    struct fact *fact = &model.facts[n];
    if (fact->state == STW_MESSAGE_QUEUED && due(fact) <= now)
      end(n, STW_MESSAGE_EXPIRED, STW_CAUSE_REQUESTED);
    else if (fact->state == STW_MESSAGE_QUEUED)
      assert_true(next <= due(fact) || next <= now + NUMBERS * STWI_US);
  }
  settle_caution();
}

static stw_status model_cancel(uint64_t number) {
  if (number == 0 || number > model.last || !stands(number))
    return STW_E_NOT_FOUND;
  if (model.facts[number].attempts > 0)
    return STW_E_STATE;
  end(number, STW_MESSAGE_CANCELLED, STW_CAUSE_REQUESTED);
  settle_caution();
  return STW_OK;
}

static void do_cancel(void) {
  for (uint64_t left = roll(12); left > 0; left--) {
    const uint64_t number = roll(model.last + 3);
    assert_int_equal(stwi_outbox_cancel(&outbox, number), model_cancel(number));
  }
}

static void do_collect(void) {
  struct stwi_msg_end ends[16];
  const size_t count = stwi_outbox_ends(&outbox, ends, 1 + roll(16));
  for (size_t i = 0; i < count; i++) {
    const struct stwi_msg_end *wanted = &model.ends[model.end_read++];
    assert_int_equal(ends[i].number, wanted->number);
    assert_int_equal(ends[i].state, wanted->state);
    assert_int_equal(ends[i].cause, wanted->cause);
  }
  assert_int_equal(outbox.end_count, model.end_count - model.end_read);
}

/* ---- agreement ---- */

static void compare(void) {
  uint64_t number = 0;
  const struct stwi_msg *msg = stwi_outbox_after(&outbox, 0);
  for (uint64_t n = 1; n <= model.last; n++) {
    const struct fact *fact = &model.facts[n];
    if (!stands(n))
      continue;
    assert_non_null(msg);
    assert_int_equal(msg->number, n);
    assert_int_equal(msg->state, fact->state);
    assert_int_equal(msg->proof, fact->proof);
    assert_int_equal(msg->attempts, fact->attempts);
    assert_int_equal(msg->size, fact->spec.size);
    number = n;
    msg = stwi_outbox_after(&outbox, number);
  }
  assert_null(msg);
  assert_int_equal(outbox.messages, standing());
  assert_int_equal(outbox.bytes, standing_bytes());
  assert_int_equal(outbox.inflight, count_in(STW_MESSAGE_INFLIGHT));
  assert_int_equal(outbox.is_cautious, model.is_cautious);
  assert_int_equal(outbox.replayed, model.replayed);
  for (unsigned proof = 0; proof < STW_PROOF_COUNT; proof++) {
    assert_int_equal(outbox.proven[proof], model.proven[proof]);
    assert_int_equal(outbox.short_of[proof], short_of((stw_proof)proof));
  }
  assert_int_equal(outbox.settled, model.settled);
  for (unsigned state = STW_MESSAGE_SETTLED; state < STW_MESSAGE_STATE_COUNT; state++)
    assert_int_equal(outbox.counts[state], count_in((stw_message_state)state));
}

static void step(stwi_time now) {
  switch (roll(10)) {
  case 0:
  case 1:
    do_take(now);
    break;
  case 2:
  case 3:
  case 4:
    do_write(now);
    break;
  case 5:
  case 6:
    do_prove();
    break;
  case 7:
    do_expire(now);
    break;
  case 8:
    do_cancel();
    break;
  default:
    if (roll(3) == 0)
      do_lose();
    do_collect();
    break;
  }
}

static void any_sequence_agrees_with_the_model(void **unused) {
  (void)unused;
  stwi_random_seed(&dice, test_seed("outbox"));
  for (unsigned round = 0; round < ROUNDS; round++) {
    model = (struct model){.messages_max = 1 + roll(40),
                           .bytes_max = roll(4000),
                           .overflow = (enum stwi_overflow)roll(4)};
    stwi_outbox_init(&outbox, model.messages_max, model.bytes_max, model.overflow);
    stwi_time now = STWI_S;
    for (unsigned i = 0; i < STEPS && model.last < NUMBERS - 8; i++) {
      now += roll(3) == 0 ? roll(10) * STWI_MS : 0;
      step(now);
      if (i % 7 == 0)
        compare();
    }
    compare();
    stwi_outbox_fini(&outbox);
    assert_int_equal(failing_mem_live, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_sequence_agrees_with_the_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
