/* Heartbeats without their bytes leave a conn exactly as real ones do. */
#include "core/quiet.h"

#include "core/conn.h"
#include "messages.h"
#include "seed.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A core with one conn, and what its peer must answer. */
struct side {
  struct stwi_core *core;
  struct stwi_effects effects;
  stwi_time now;
  uint8_t question[STWI_BARRIER_PAYLOAD];
  bool is_asked;
};

static void give_entropy(struct side *side) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(side->core, &size);
  memset(bytes, 0, size); /* masks of zeros: what is written can be read as it is */
  if (size > 0)
    stwi_core_entropy_given(side->core);
}

static void step(struct side *side, struct stwi_input input);

/* The socket takes every write at once. */
static void perform(struct side *side) {
  uint32_t writable = 0;
  for (size_t i = 0; i < side->effects.count; i++) {
    const struct stwi_effect *effect = &side->effects.items[i];
    if (effect->kind != STWI_FX_WRITE)
      continue;
    writable = effect->link;
    const size_t size = effect->u.write.size, tail = sizeof side->question;
    side->is_asked = size >= tail;
    if (side->is_asked)
      memcpy(side->question, effect->u.write.data + size - tail, tail);
  }
  side->effects.count = 0;
  if (writable != 0)
    step(side, (struct stwi_input){.kind = STWI_IN_WRITABLE, .link = writable});
}

static void step(struct side *side, struct stwi_input input) {
  const struct stwi_input inputs[] = {input, {.kind = STWI_IN_TURN}};
  give_entropy(side);
  stwi_core_step(side->core, inputs, 2, side->now, &side->effects);
  perform(side);
}

static void answer(struct side *side, stwi_time at) {
  uint8_t pong[2 + STWI_BARRIER_PAYLOAD];
  const size_t size =
      stwi_frame_encode(pong, STWI_OP_PONG, true, NULL, side->question, sizeof side->question);
  assert_true(side->is_asked);
  side->is_asked = false;
  side->now = at;
  step(side, (struct stwi_input){.kind = STWI_IN_BYTES, .link = 1, .u.bytes = {pong, size}});
}

static void turn_at(struct side *side, stwi_time at) {
  side->now = at;
  step(side, (struct stwi_input){.kind = STWI_IN_TURN});
}

static void begin(struct side *side) {
  *side = (struct side){.core = stwi_core_new(NULL), .now = STWI_S};
  stwi_effects_init(&side->effects);
  step(side,
       (struct stwi_input){.kind = STWI_IN_OPEN,
                           .u.open = {.config = world_config("a"), .seed = 7, .handle = {1}}});
  step(side,
       (struct stwi_input){.kind = STWI_IN_READY, .link = 1, .u.ready = {.subprotocol = "chat"}});
}

/* Online and proven. */
static void begin_quiet(struct side *side) {
  begin(side);
  answer(side, side->now + 40 * STWI_MS);
  turn_at(side, stwi_core_deadline(side->core));
}

static void end(struct side *side) {
  stwi_core_free(side->core);
  stwi_effects_fini(&side->effects);
}

static struct stwi_conn *conn_of(const struct side *side) {
  return side->core->conns[0];
}

static void expect_same(const struct side *a, const struct side *b) {
  const struct stwi_conn *one = conn_of(a), *other = conn_of(b);
  assert_memory_equal(&one->pulse, &other->pulse, sizeof one->pulse);
  assert_memory_equal(one->metrics, other->metrics, sizeof one->metrics);
  const struct stwi_link *x = one->active, *y = other->active;
  assert_true(x->barrier_id == y->barrier_id && x->barrier_head == y->barrier_head);
  assert_true(x->barrier_count == y->barrier_count && x->barrier_at == y->barrier_at);
  assert_true(x->out_bytes == y->out_bytes && x->proven_bytes == y->proven_bytes);
  assert_true(x->is_writing == y->is_writing && x->unproven_since == y->unproven_since);
  assert_true(one->state == other->state && one->byte_ns == other->byte_ns);
  assert_true(stwi_core_deadline(a->core) == stwi_core_deadline(b->core));
}

/* Mostly like a path, sometimes far beyond what is still no suspicion. */
static uint64_t round_trip(struct stwi_random *random) {
  const uint64_t kind = stwi_random_below(random, 100);
  const uint64_t most = kind < 90 ? 200 * STWI_MS : kind < 98 ? 2 * STWI_S : 20 * STWI_S;
  return 1 + stwi_random_below(random, most);
}

static void say(struct side *side, uint64_t number) {
  const struct message_spec spec = {.number = number, .size = 100};
  struct stwi_chunk *chunk = messages_chunk(&spec, 1);
  step(side, (struct stwi_input){.kind = STWI_IN_SUBMIT, .u.submit.chunks = chunk});
}

static bool is_quiet(const struct side *side) {
  struct stwi_quiet quiet;
  return stwi_core_is_quiet(side->core, 0, &quiet);
}

/* Whatever else it has to do, it does by its timers. */
static void settle(struct side *side) {
  for (unsigned i = 0; i < 4 && !is_quiet(side); i++)
    turn_at(side, stwi_core_deadline(side->core));
  assert_true(is_quiet(side));
}

static void real_beat(struct side *side, uint64_t rtt) {
  const stwi_time asks = stwi_core_deadline(side->core);
  turn_at(side, asks);
  answer(side, asks + rtt);
}

/* Its PONG is written behind the last question: unproven bytes. */
static void ping(struct side *side) {
  static const uint8_t bytes[] = {0x89, 0};
  side->now += STWI_S;
  step(side, (struct stwi_input){.kind = STWI_IN_BYTES, .link = 1, .u.bytes = {bytes, 2}});
}

/* The beats of `skipping` are lived through, up to one that would be more than a beat. */
static void live(struct side *real, struct side *skipping, struct stwi_random *random,
                 unsigned beats) {
  struct stwi_quiet quiet;
  assert_true(stwi_core_is_quiet(skipping->core, 0, &quiet));
  for (unsigned i = 0; i < beats; i++) {
    const stwi_time asks = stwi_quiet_asks(&quiet);
    assert_true(asks == stwi_core_deadline(real->core));
    turn_at(real, asks);
    const stwi_time late = stwi_core_deadline(real->core);
    const bool is_at_border = stwi_random_below(random, 4) == 0;
    const stwi_time back =
        is_at_border ? late - stwi_random_below(random, 2) : asks + round_trip(random);
    const bool is_beat = back < late;
    assert_int_equal(stwi_quiet_beat(&quiet, back, &skipping->effects), is_beat);
    const stwi_time in_time = is_beat ? back : asks + 1;
    if (!is_beat)
      assert_true(stwi_quiet_beat(&quiet, in_time, &skipping->effects));
    answer(real, in_time);
    skipping->now = in_time;
  }
  stwi_quiet_over(&quiet);
  assert_int_equal(skipping->effects.count, 0);
}

static void skipped_beats_are_equal_to_real_ones(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("quiet"));
  struct side real, skipping;
  begin_quiet(&real);
  begin_quiet(&skipping);
  uint64_t number = 0;
  for (unsigned round = 0; round < 300; round++) {
    live(&real, &skipping, &random, (unsigned)stwi_random_below(&random, 40));
    expect_same(&real, &skipping);
    const uint64_t rtt = 1 + stwi_random_below(&random, STWI_S);
    if (round % 3 == 0) {
      real_beat(&real, rtt);
      real_beat(&skipping, rtt);
    } else if (round % 3 == 1) {
      number++;
      real.now = skipping.now = real.now + STWI_S;
      say(&real, number);
      say(&skipping, number);
      answer(&real, real.now + rtt);
      answer(&skipping, skipping.now + rtt);
    } else {
      ping(&real);
      ping(&skipping);
    }
    settle(&real);
    settle(&skipping);
    expect_same(&real, &skipping);
  }
  end(&real);
  end(&skipping);
}

static void a_conn_with_anything_to_do_is_not_quiet(void **unused) {
  (void)unused;
  struct side side;
  begin(&side);
  assert_false(is_quiet(&side)); /* asked */
  answer(&side, side.now + 40 * STWI_MS);
  assert_false(is_quiet(&side)); /* not yet stable */
  turn_at(&side, stwi_core_deadline(side.core));
  assert_true(is_quiet(&side));
  say(&side, 1);
  assert_false(is_quiet(&side));
  answer(&side, side.now + 40 * STWI_MS);
  assert_true(is_quiet(&side));
  step(&side, (struct stwi_input){.kind = STWI_IN_INBOUND, .u.inbound = {.is_full = true}});
  assert_false(is_quiet(&side));
  step(&side, (struct stwi_input){.kind = STWI_IN_INBOUND, .u.inbound = {.is_full = false}});
  assert_true(is_quiet(&side));
  turn_at(&side, stwi_core_deadline(side.core));
  assert_false(is_quiet(&side)); /* a question is open */
  step(&side, (struct stwi_input){.kind = STWI_IN_CLOSE, .u.close = {side.now + STWI_S}});
  assert_false(is_quiet(&side));
  end(&side);
  side.core = stwi_core_new(NULL);
  assert_false(is_quiet(&side));
  stwi_core_free(side.core);
}

static void no_beat_changes_nothing(void **unused) {
  (void)unused;
  struct side one, other;
  struct stwi_quiet quiet;
  begin_quiet(&one);
  begin_quiet(&other);
  assert_true(stwi_core_is_quiet(one.core, 0, &quiet));
  assert_false(stwi_quiet_beat(&quiet, stwi_quiet_asks(&quiet) + STWI_S * 60, &one.effects));
  stwi_quiet_over(&quiet);
  expect_same(&one, &other);
  end(&one);
  end(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(skipped_beats_are_equal_to_real_ones),
      cmocka_unit_test(a_conn_with_anything_to_do_is_not_quiet),
      cmocka_unit_test(no_beat_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
