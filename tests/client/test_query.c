/* A question to the engine thread is answered once; who waits too long is let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "client/config.h"
#include "client/engine.h"
#include "messages.h"

static struct stwi_core *core;
static struct stwi_effects effects;

static void step(struct stwi_input *input) {
  effects.count = 0;
  stwi_core_step(core, input, 1, 1000, &effects);
}

/* Slot 3 holds a conn with the messages 1 to 5, none of them written. */
static int set_up(void **state) {
  (void)state;
  core = stwi_core_new(NULL);
  stwi_effects_init(&effects);
  stw_config *text = stw_config_new();
  struct stwi_conn_config *config;
  assert_int_equal(stw_config_set(text, "url", "ws://fake:1"), STW_OK);
  assert_int_equal(stwi_config_build(text, &config), STW_OK);
  stw_config_free(text);
  struct stwi_input open = {.kind = STWI_IN_OPEN, .conn = 3};
  open.u.open.config = config;
  step(&open);
  struct message_spec specs[5];
  memset(specs, 0, sizeof specs);
  for (uint32_t i = 0; i < 5; i++) {
    specs[i].number = i + 1;
    specs[i].size = i;
  }
  struct stwi_input submit = {.kind = STWI_IN_SUBMIT, .conn = 3};
  submit.u.submit.chunks = messages_chunk(specs, 5);
  step(&submit);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  stwi_core_free(core);
  stwi_effects_fini(&effects);
  return 0;
}

static void answer(struct stwi_query *query, const struct stwi_core *of, uint32_t slot,
                   stwi_time now) {
  stwi_query_look(query, of, slot, now);
  stwi_query_tell(query);
}

static struct stwi_query *ask_list(uint64_t after, size_t max) {
  struct stwi_query *query = stwi_query_new(STWI_QUERY_LIST);
  assert_non_null(query);
  query->cursor =
      after == 0 ? 0
                 : (uint64_t)STWI_CURSOR_DATA << STWI_CURSOR_SHIFT | after; /* of the data lane */
  query->max = max;
  query->entries = calloc(max, sizeof *query->entries);
  return query;
}

static void a_list_has_at_most_what_was_asked_for(void **state) {
  (void)state;
  struct stwi_query *query = ask_list(1, 3);
  answer(query, core, 3, 5000);
  assert_int_equal(stwi_query_wait(query), STW_OK);
  assert_int_equal(query->count, 3);
  assert_int_equal(query->entries[0].id.number, 2);
  assert_int_equal(query->entries[2].id.number, 4);
  assert_int_equal(query->entries[0].age_ns, 4000);
  stwi_query_drop(query);
}

static void an_empty_slot_or_no_core_is_closed(void **state) {
  (void)state;
  struct stwi_query *query = ask_list(0, 1);
  answer(query, core, 2, 0);
  assert_int_equal(stwi_query_wait(query), STW_E_CLOSED);
  stwi_query_drop(query);
  query = ask_list(0, 1);
  answer(query, core, UINT32_MAX, 0);
  assert_int_equal(stwi_query_wait(query), STW_E_CLOSED);
  stwi_query_drop(query);
  query = ask_list(0, 1);
  answer(query, NULL, 3, 0);
  assert_int_equal(stwi_query_wait(query), STW_E_CLOSED);
  stwi_query_drop(query);
}

static void a_body_has_its_whole_size_and_what_fits(void **state) {
  (void)state;
  struct stwi_query *query = stwi_query_new(STWI_QUERY_BODY);
  query->id = stwi_outbox_find(stwi_core_outbox(core, 3, STW_LANE_DATA), 5)->id;
  query->max = 2;
  answer(query, core, 3, 0);
  assert_int_equal(stwi_query_wait(query), STW_OK);
  assert_int_equal(query->count, 4);
  assert_memory_equal(query->body, "\0\0", 2);
  stwi_query_drop(query);
}

static stw_status judge(stw_message_id id, stw_edit edit) {
  struct stwi_query *query = stwi_query_new(STWI_QUERY_JUDGE);
  query->id = id;
  query->edit = edit;
  answer(query, core, 3, 0);
  stw_status status = stwi_query_wait(query);
  stwi_query_drop(query);
  return status;
}

static void only_what_waits_unwritten_can_be_taken_back_or_overtaken(void **state) {
  (void)state;
  struct stwi_msg *msg = stwi_outbox_find(stwi_core_outbox(core, 3, STW_LANE_DATA), 5);
  const stw_message_id gone = {msg->id.stream, 6};
  assert_int_equal(judge(msg->id, STW_EDIT_CANCEL), STW_OK);
  assert_int_equal(judge(msg->id, STW_EDIT_HOLD), STW_OK);
  assert_int_equal(judge(msg->id, STW_EDIT_PRIORITISE), STW_OK);
  assert_int_equal(judge(msg->id, STW_EDIT_DEMOTE), STW_E_STATE); /* it is there already */
  assert_int_equal(judge(msg->id, STW_EDIT_RELEASE), STW_E_STATE);
  assert_int_equal(judge(msg->id, STW_EDIT_REQUEUE), STW_E_STATE);
  assert_int_equal(judge(gone, STW_EDIT_CANCEL), STW_E_NOT_FOUND);
  msg->attempts = 1; /* written on a lost link */
  assert_int_equal(judge(msg->id, STW_EDIT_CANCEL), STW_E_STATE);
  assert_int_equal(judge(msg->id, STW_EDIT_PRIORITISE), STW_E_STATE);
}

static void *answer_late(void *arg) {
  struct stwi_query *query = arg;
  answer(query, core, 3, 0);
  stwi_query_drop(query);
  return NULL;
}

static void another_thread_answers(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    struct stwi_query *query = ask_list(0, 5);
    pthread_t thread;
    atomic_fetch_add(&query->refs, 1);
    assert_int_equal(pthread_create(&thread, NULL, answer_late, query), 0);
    stw_status status = STW_E_TIMEOUT; /* of a thread that got no turn for a second, too */
    for (int k = 0; k < 20 && status == STW_E_TIMEOUT; k++)
      status = stwi_query_wait(query);
    assert_int_equal(status, STW_OK);
    assert_int_equal(query->count, 5);
    stwi_query_drop(query);
    pthread_join(thread, NULL);
  }
}

static void an_answer_that_never_comes_is_a_timeout(void **state) {
  (void)state;
  struct stwi_query *query = ask_list(0, 1);
  assert_int_equal(stwi_query_wait(query), STW_E_TIMEOUT);
  stwi_query_drop(query);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_list_has_at_most_what_was_asked_for),
      TEST(an_empty_slot_or_no_core_is_closed),
      TEST(a_body_has_its_whole_size_and_what_fits),
      TEST(only_what_waits_unwritten_can_be_taken_back_or_overtaken),
      TEST(another_thread_answers),
      TEST(an_answer_that_never_comes_is_a_timeout),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
