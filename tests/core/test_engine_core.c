#include "core/engine_core.h"

#include "core/conn.h"
#include "core/mem.h"
#include "failing_mem.h"
#include "messages.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stwi_core *core;
static struct stwi_effects effects;
static stwi_time now;

static int set_up(void **unused) {
  (void)unused;
  now = STWI_S;
  core = stwi_core_new(NULL);
  stwi_effects_init(&effects);
  return core == NULL ? -1 : 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_core_free(core);
  stwi_effects_fini(&effects);
  return failing_mem_live == 0 ? 0 : -1;
}

static void step(const struct stwi_input *input) {
  effects.count = 0;
  stwi_core_step(core, input, 1, now, &effects);
}

static void turn(void) {
  step(&(struct stwi_input){.kind = STWI_IN_TURN});
}

static void give_entropy(void) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(core, &size);
  memset(bytes, 0x5a, size);
  stwi_core_entropy_given(core);
}

static void open_slot(uint32_t slot, struct stwi_conn_config *config) {
  step(&(struct stwi_input){
      .kind = STWI_IN_OPEN, .conn = slot, .u.open = {.config = config, .handle = {slot + 1}}});
}

static void link_says(uint32_t slot, uint32_t link, enum stwi_input_kind kind) {
  struct stwi_input input = {.kind = kind, .conn = slot, .link = link};
  if (kind == STWI_IN_READY)
    input.u.ready.subprotocol = "chat";
  if (kind == STWI_IN_DOWN)
    input.u.down.cause = STW_CAUSE_ABNORMAL_RST;
  step(&input);
}

static void submit(uint32_t slot, uint64_t number, uint32_t size) {
  const struct message_spec spec = {.number = number, .size = size};
  struct stwi_chunk *chunk = messages_chunk(&spec, 1);
  if (chunk == NULL)
    return;
  step(&(struct stwi_input){.kind = STWI_IN_SUBMIT, .conn = slot, .u.submit.chunks = chunk});
}

static size_t count(enum stwi_effect_kind kind) {
  size_t found = 0;
  for (size_t i = 0; i < effects.count; i++)
    found += effects.items[i].kind == kind;
  return found;
}

static const stw_event *event(stw_event_kind kind) {
  for (size_t i = 0; i < effects.count; i++)
    if (effects.items[i].kind == STWI_FX_EVENT && effects.items[i].u.event.kind == kind)
      return &effects.items[i].u.event;
  return NULL;
}

static void an_empty_core_sleeps_for_ever(void **unused) {
  (void)unused;
  turn();
  assert_int_equal(effects.count, 0);
  assert_false(stwi_core_has_more(core));
  assert_int_equal(stwi_core_deadline(core), STWI_NEVER);
  stwi_core_free(NULL);
}

static void inputs_for_empty_slots_are_nothing(void **unused) {
  (void)unused;
  for (unsigned kind = STWI_IN_REOPEN; kind <= STWI_IN_TURN; kind++)
    if (kind != STWI_IN_SUBMIT)
      step(&(struct stwi_input){.kind = (enum stwi_input_kind)kind, .conn = 3});
  submit(3, 1, 10);
  assert_int_equal(effects.count, 0);
}

static void many_slots_are_served(void **unused) {
  (void)unused;
  give_entropy();
  for (uint32_t slot = 0; slot < 100; slot += 3)
    open_slot(slot, world_config("a"));
  turn();
  assert_true(stwi_core_has_more(core) == false);
  assert_int_equal(count(STWI_FX_PUBLISH), 34);
  assert_int_equal(stwi_core_deadline(core), now + STWI_S);
  step(&(struct stwi_input){.kind = STWI_IN_FORGET, .conn = 99});
  assert_int_equal(count(STWI_FX_CUT), 1);
  step(&(struct stwi_input){.kind = STWI_IN_STOP});
  turn();
  assert_int_equal(stwi_core_deadline(core), STWI_NEVER);
}

static void a_core_without_entropy_writes_nothing(void **unused) {
  (void)unused;
  size_t size;
  stwi_core_entropy_want(core, &size);
  assert_int_equal(size, STWI_ENTROPY_BYTES);
  open_slot(0, world_config("a"));
  link_says(0, 1, STWI_IN_READY);
  assert_int_equal(count(STWI_FX_WRITE), 0);
  turn();
  assert_int_equal(count(STWI_FX_WRITE), 0);
  assert_true(stwi_core_has_more(core));
  give_entropy();
  stwi_core_entropy_want(core, &size);
  assert_int_equal(size, 0);
  turn();
  submit(0, 1, 10);
  turn();
  assert_int_equal(count(STWI_FX_WRITE), 1);
}

/* Each turn writes at most so much; the rest waits for the next one and loses nothing. */
static void a_turn_is_bounded(void **unused) {
  (void)unused;
  give_entropy();
  for (uint32_t slot = 0; slot < 20; slot++) {
    open_slot(slot, world_config("a"));
    link_says(slot, 1, STWI_IN_READY);
    link_says(slot, 1, STWI_IN_WRITABLE);
    for (uint64_t n = 1; n <= 80; n++)
      submit(slot, n, 4000);
  }
  size_t writes = 0;
  unsigned turns = 0;
  do {
    turn();
    size_t bytes = 0;
    for (size_t i = 0; i < effects.count; i++)
      bytes += effects.items[i].kind == STWI_FX_WRITE ? effects.items[i].u.write.size : 0;
    assert_true(bytes <= 1536 * 1024);
    writes += count(STWI_FX_WRITE);
    give_entropy();
    turns++;
  } while (stwi_core_has_more(core));
  assert_int_equal(writes, 20);
  assert_true(turns > 2);
}

static void a_forgotten_conn_may_be_dirty(void **unused) {
  (void)unused;
  give_entropy();
  for (uint32_t slot = 0; slot < 3; slot++)
    open_slot(slot, world_config("a"));
  step(&(struct stwi_input){.kind = STWI_IN_FORGET, .conn = 1});
  turn();
  assert_int_equal(count(STWI_FX_PUBLISH), 2);
}

static void without_memory_opening_ends_at_once(void **unused) {
  (void)unused;
  bool has_opened = false;
  for (long after = 0; !has_opened; after++) {
    struct stwi_conn_config *config = world_config("a b");
    turn(); /* the list of effects is there */
    failing_mem_after = after;
    open_slot(0, config);
    failing_mem_after = -1;
    has_opened = stwi_core_outbox(core, 0, STW_LANE_DATA) != NULL;
    if (!has_opened && event(STW_EVENT_CLOSED) != NULL)
      assert_int_equal(event(STW_EVENT_CLOSED)->u.closed.cause, STW_CAUSE_OVERLOAD_LOCAL);
  }
}

static void without_memory_there_is_no_core(void **unused) {
  (void)unused;
  for (failing_mem_after = 0; failing_mem_after < 2;) {
    const long after = failing_mem_after;
    assert_null(stwi_core_new(NULL));
    failing_mem_after = after + 1;
  }
}

static void without_memory_for_the_outbox_the_conn_fails(void **unused) {
  (void)unused;
  give_entropy();
  open_slot(0, world_config("a"));
  const struct message_spec spec = {.number = 1, .size = 10};
  struct stwi_chunk *chunk = messages_chunk(&spec, 1);
  failing_mem_after = 0;
  step(&(struct stwi_input){.kind = STWI_IN_SUBMIT, .conn = 0, .u.submit.chunks = chunk});
  failing_mem_after = -1;
  assert_int_equal(event(STW_EVENT_STATE)->u.state.to, STW_STATE_FAILED);
  assert_int_equal(event(STW_EVENT_CLOSED)->u.closed.cause, STW_CAUSE_OVERLOAD_LOCAL);
}

static void link_reads(uint32_t link, const char *bytes, size_t size) {
  step(&(struct stwi_input){
      .kind = STWI_IN_BYTES, .conn = 0, .link = link, .u.bytes = {(const uint8_t *)bytes, size}});
}

/* A life with everything in it; any allocation of it may fail from `after` on. */
static void a_little_of_everything(long after) {
  struct stwi_conn_config *config = world_config("a b");
  failing_mem_after = after;
  open_slot(0, config);
  step(&(struct stwi_input){
      .kind = STWI_IN_OPENING, .conn = 0, .u.opening = {.key = "k", .data = "o", .size = 1}});
  for (uint32_t link = 1; link < 6; link++) {
    turn();
    link_says(0, link, STWI_IN_READY);
    submit(0, link, 4000);
    turn();
    link_says(0, link, STWI_IN_WRITABLE);
    link_reads(link, "\x81\x05hel", 5);
    link_reads(link, "lo\x89\x02hi", 6);
    turn();
    link_says(0, link, STWI_IN_WRITABLE);
    step(&(struct stwi_input){.kind = STWI_IN_SUPPLY, .conn = 0, .u.supply = {.token = "t"}});
    now += 300 * STWI_MS;
    turn();
    if (link == 3)
      link_reads(link, "\x88\x02\x03\xf4", 4);
    link_says(0, link, STWI_IN_DOWN);
    now += 70 * STWI_S;
  }
  step(&(struct stwi_input){.kind = STWI_IN_CLOSE, .conn = 0, .u.close.deadline = now + STWI_S});
  now += 2 * STWI_S;
  turn();
  step(&(struct stwi_input){.kind = STWI_IN_FORGET, .conn = 0});
}

static void any_allocation_may_fail(void **unused) {
  (void)unused;
  give_entropy();
  const long before = failing_mem_calls;
  a_little_of_everything(-1);
  const long calls = failing_mem_calls - before;
  for (long after = 0; after < calls; after++) {
    assert_int_equal(tear_down(NULL), 0);
    assert_int_equal(set_up(NULL), 0);
    give_entropy();
    a_little_of_everything(after);
    assert_null(stwi_core_outbox(core, 0, STW_LANE_DATA));
  }
}

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      CORE_TEST(an_empty_core_sleeps_for_ever),
      CORE_TEST(inputs_for_empty_slots_are_nothing),
      CORE_TEST(many_slots_are_served),
      CORE_TEST(a_core_without_entropy_writes_nothing),
      CORE_TEST(a_turn_is_bounded),
      CORE_TEST(a_forgotten_conn_may_be_dirty),
      CORE_TEST(without_memory_opening_ends_at_once),
      CORE_TEST(without_memory_there_is_no_core),
      CORE_TEST(without_memory_for_the_outbox_the_conn_fails),
      CORE_TEST(any_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
