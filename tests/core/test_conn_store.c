/* A conn whose outbox has a store: what it is told, and what waits for its word. */
#include "world_test.h"

#include <string.h>

static struct stwi_core *core;
static struct stwi_effects effects;
static const stw_message_id first = {64, 1};

static int open_core(void **unused) {
  (void)unused;
  core = stwi_core_new(NULL);
  stwi_effects_init(&effects);
  return core == NULL ? -1 : 0;
}

static int close_core(void **unused) {
  (void)unused;
  stwi_core_free(core);
  stwi_effects_fini(&effects);
  return 0;
}

static void step(const struct stwi_input *input) {
  size_t size;
  uint8_t *entropy = stwi_core_entropy_want(core, &size);
  memset(entropy, 7, size);
  if (size > 0)
    stwi_core_entropy_given(core);
  effects.count = 0;
  stwi_core_step(core, input, 1, STWI_S, &effects);
}

static void open_conn(struct stwi_restored *restored) {
  struct stwi_conn_config *config = world_config("a");
  config->dead_letters = 10;
  const struct stwi_input input = {
      .kind = STWI_IN_OPEN,
      .u.open = {.config = config, .stream = 64, .seed = 1, .restored = restored}};
  step(&input);
}

static struct stwi_chunk *chunk_of(stw_lane lane, uint64_t number) {
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, 3));
  struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, "abc", 3);
  msg->lane = (uint8_t)lane;
  msg->number = number;
  msg->id = (stw_message_id){64 | (uint64_t)lane, number};
  return chunk;
}

static void submit(stw_lane lane, uint64_t number) {
  const struct stwi_input input = {.kind = STWI_IN_SUBMIT,
                                   .u.submit.chunks = chunk_of(lane, number)};
  step(&input);
}

static void stored(uint64_t serial, uint64_t data, stw_store_health health, const char *detail,
                   bool wants_all) {
  const struct stwi_input input = {.kind = STWI_IN_STORED,
                                   .u.stored = {.serial = serial,
                                                .upto = {data, 0},
                                                .health = health,
                                                .detail = detail,
                                                .wants_all = wants_all}};
  step(&input);
}

static const struct stwi_store_change *change(size_t nth) {
  for (size_t i = 0; i < effects.count; i++)
    if (effects.items[i].kind == STWI_FX_STORE && nth-- == 0)
      return &effects.items[i].u.store;
  return NULL;
}

static const stw_event *told(stw_event_kind kind) {
  for (size_t i = 0; i < effects.count; i++)
    if (effects.items[i].kind == STWI_FX_EVENT && effects.items[i].u.event.kind == kind)
      return &effects.items[i].u.event;
  return NULL;
}

static uint64_t metric(stw_metric which) {
  uint64_t values[STW_METRIC_COUNT];
  assert_true(stwi_core_metrics(core, 0, STWI_S, values));
  return values[which];
}

static void changes_are_told_in_order_with_growing_serials(void **unused) {
  (void)unused;
  struct stwi_restored restored = {.has_store = true};
  open_conn(&restored);
  submit(STW_LANE_DATA, 1);
  assert_int_equal(change(0)->op, STWI_STORE_PUT);
  assert_int_equal(change(0)->serial, 1);
  assert_memory_equal(stwi_msg_body(change(0)->msg), "abc", 3);
  const struct stwi_input cancel = {.kind = STWI_IN_EDIT,
                                    .u.edit = {.id = first, .edit = STW_EDIT_CANCEL}};
  step(&cancel);
  assert_int_equal(change(0)->op, STWI_STORE_REMOVE);
  assert_int_equal(change(0)->serial, 2);
  assert_int_equal(change(0)->number, 1);
  const struct stwi_input turn = {.kind = STWI_IN_TURN};
  step(&turn);
  assert_int_equal(told(STW_EVENT_MESSAGE_ENDED)->u.ended.state, STW_MESSAGE_CANCELLED);
}

static void what_is_committed_has_the_proof_stored(void **unused) {
  (void)unused;
  struct stwi_restored restored = {.has_store = true};
  open_conn(&restored);
  submit(STW_LANE_DATA, 1);
  submit(STW_LANE_DATA, 2);
  assert_int_equal(stwi_core_outbox(core, 0, STW_LANE_DATA)->stored_upto, 0);
  stored(1, 1, STW_STORE_OK, NULL, false);
  assert_int_equal(told(STW_EVENT_PROOF)->u.proof.proof, STW_PROOF_STORED);
  assert_int_equal(told(STW_EVENT_PROOF)->u.proof.upto, 1);
  assert_int_equal(metric(STW_METRIC_STORED), 1);
  stored(1, 1, STW_STORE_OK, NULL, false);
  assert_null(told(STW_EVENT_PROOF));
  stored(2, 2, STW_STORE_OK, NULL, false);
  assert_int_equal(metric(STW_METRIC_STORED), 2);
}

static void a_sick_store_is_told_and_seen(void **unused) {
  (void)unused;
  struct stwi_restored restored = {.has_store = true};
  open_conn(&restored);
  stw_conn_view view = {.struct_size = sizeof view};
  stwi_core_view(core, 0, &view);
  assert_true(view.has_store);
  stored(0, 0, STW_STORE_FULL, "no space", false);
  assert_int_equal(told(STW_EVENT_STORE)->u.store.health, STW_STORE_FULL);
  assert_string_equal(told(STW_EVENT_STORE)->u.store.detail, "no space");
  stwi_core_view(core, 0, &view);
  assert_false(view.has_store);
  stored(0, 0, STW_STORE_FULL, NULL, false);
  assert_null(told(STW_EVENT_STORE));
  stored(0, 0, STW_STORE_OK, NULL, false);
  assert_int_equal(told(STW_EVENT_STORE)->u.store.health, STW_STORE_OK);
}

static void a_new_file_is_told_everything(void **unused) {
  (void)unused;
  struct stwi_restored restored = {.has_store = true,
                                   .chunks = chunk_of(STW_LANE_DATA, 1),
                                   .parked = chunk_of(STW_LANE_CONTROL, 7),
                                   .last_number = {1, 7},
                                   .session = {.processed = {0, 5}}};
  stwi_chunk_first(restored.parked)->state = STW_MESSAGE_DEAD;
  open_conn(&restored);
  assert_null(change(0));
  stored(0, 1, STW_STORE_REWRITTEN, "a new file", true);
  assert_int_equal(change(0)->op, STWI_STORE_PUT);
  assert_int_equal(change(1)->op, STWI_STORE_PARK);
  assert_int_equal(change(2)->op, STWI_STORE_SESSION);
  assert_int_equal(change(3)->op, STWI_STORE_INBOUND);
  assert_int_equal(change(3)->number, 5);
  assert_int_equal(change(3)->lane, STW_LANE_CONTROL);
  assert_null(change(4));
}

/* Of three messages the second was written; the conn ends by `kind`. */
static void expect_written_one_told(enum stwi_input_kind kind) {
  struct stwi_restored restored = {.has_store = true};
  open_conn(&restored);
  for (uint64_t number = 1; number <= 3; number++)
    submit(STW_LANE_DATA, number);
  stwi_outbox_find(&core->conns[0]->lanes[STW_LANE_DATA], 2)->attempts = 1;
  const struct stwi_input end = {.kind = kind};
  step(&end);
  assert_int_equal(change(0)->op, STWI_STORE_PUT);
  assert_int_equal(change(0)->number, 2);
  assert_int_equal(change(0)->msg->attempts, 1);
  assert_null(change(1));
}

static void a_conn_that_ends_tells_what_it_has_written(void **unused) {
  (void)unused;
  expect_written_one_told(STWI_IN_STOP);
  const struct stwi_input forget = {.kind = STWI_IN_FORGET};
  step(&forget);
  assert_null(change(0));
  expect_written_one_told(STWI_IN_FORGET);
}

static void what_a_dead_process_may_have_written_is_told_too(void **unused) {
  (void)unused;
  struct stwi_restored restored = {.has_store = true,
                                   .is_unclean = true,
                                   .chunks = chunk_of(STW_LANE_DATA, 1),
                                   .last_number = {1, 0}};
  open_conn(&restored);
  submit(STW_LANE_DATA, 2);
  const struct stwi_input forget = {.kind = STWI_IN_FORGET};
  step(&forget);
  assert_int_equal(change(0)->number, 1);
  assert_int_equal(change(0)->msg->attempts, 1);
  assert_null(change(1));
}

static void without_a_store_nothing_is_told(void **unused) {
  (void)unused;
  open_conn(NULL);
  submit(STW_LANE_DATA, 1);
  assert_null(change(0));
  stored(1, 1, STW_STORE_FULL, "", true);
  assert_int_equal(effects.count, 0);
  assert_int_equal(stwi_core_parked(core, 0)->count, 0);
  assert_null(stwi_core_parked(core, 9));
}

static void a_conn_that_cannot_tell_its_store_fails(void **unused) {
  (void)unused;
  struct stwi_restored restored = {.has_store = true};
  open_conn(&restored);
  core->conns[0]->has_store_gap = true;
  const struct stwi_input turn = {.kind = STWI_IN_TURN};
  step(&turn);
  submit(STW_LANE_DATA, 1);
  step(&turn);
  stw_conn_view view = {.struct_size = sizeof view};
  stwi_core_view(core, 0, &view);
  assert_int_equal(view.state, STW_STATE_FAILED);
  assert_int_equal(view.cause, STW_CAUSE_OVERLOAD_LOCAL);
}

#define CORE_TEST(name) cmocka_unit_test_setup_teardown(name, open_core, close_core)

int main(void) {
  const struct CMUnitTest tests[] = {
      CORE_TEST(changes_are_told_in_order_with_growing_serials),
      CORE_TEST(what_is_committed_has_the_proof_stored),
      CORE_TEST(a_sick_store_is_told_and_seen),
      CORE_TEST(a_new_file_is_told_everything),
      CORE_TEST(a_conn_that_ends_tells_what_it_has_written),
      CORE_TEST(what_a_dead_process_may_have_written_is_told_too),
      CORE_TEST(without_a_store_nothing_is_told),
      CORE_TEST(a_conn_that_cannot_tell_its_store_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
