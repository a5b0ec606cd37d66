#include <steadwire/session.h>

#include "failing_mem.h"

#include "io/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static stw_session *session;
static uint8_t wire[4096];
static stw_session_item item;
static uint32_t link_number;

static size_t encoded(const struct stwi_sframe *frame) {
  size_t size = stwi_envelope.encode(frame, wire, sizeof wire);
  assert_true(size > 0);
  if (frame->type == STWI_SF_DATA) {
    memcpy(wire + size, frame->u.data.payload, frame->u.data.size);
    size += frame->u.data.size;
  }
  return size;
}

static size_t hello(void) {
  struct stwi_sframe frame = {.type = STWI_SF_HELLO};
  struct stwi_sf_hello *said = &frame.u.hello;
  said->versions = 2;
  memcpy(said->cid, "0123456789abcdef", sizeof said->cid);
  said->caps = STWI_SF_CAP_PARTS;
  said->auth = (struct stwi_text){"token", 5};
  for (int i = 0; i < STW_LANE_COUNT; i++)
    said->lowest[i] = said->next[i] = 1;
  return encoded(&frame);
}

static stw_refusal open_session(void) {
  const size_t size = hello();
  const stw_session_claim claim = {
      .struct_size = sizeof claim, .hello = wire, .hello_size = size, .random = {1, 2, 3}};
  stw_refusal refusal = STW_REFUSAL_BUSY;
  assert_int_equal(stw_session_open(session, &claim, 0, &link_number, &refusal), STW_OK);
  return refusal;
}

static struct stwi_sframe taken(void) {
  const void *data;
  size_t size;
  struct stwi_sframe frame;
  const char *why = "";
  assert_int_equal(stw_session_take(session, link_number, 0, &data, &size), STW_OK);
  assert_true(size > 0);
  if (!stwi_envelope.decode(data, size, &frame, &why))
    fail_msg("%s", why);
  return frame;
}

static stw_status give(const struct stwi_sframe *frame) {
  return stw_session_receive(session, link_number, wire, encoded(frame), 0, &item);
}

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  session = stw_session_new(NULL);
  return session == NULL;
}

static int tear_down(void **unused) {
  (void)unused;
  stw_session_free(session);
  assert_int_equal(failing_mem_live, 0);
  return 0;
}

static void a_hello_is_read_and_answered_in_bytes(void **unused) {
  (void)unused;
  stw_hello read = {.struct_size = sizeof read};
  uint32_t code = 1;
  assert_int_equal(stw_hello_read(wire, hello(), &read, &code), STW_OK);
  assert_memory_equal(read.cid, "0123456789abcdef", 16);
  assert_int_equal(read.auth_size, 5);
  assert_int_equal(read.lowest[STW_LANE_CONTROL], 1);
  assert_int_equal(open_session(), STW_REFUSAL_NONE);
  const struct stwi_sframe welcome = taken();
  assert_int_equal(welcome.type, STWI_SF_WELCOME);
  assert_int_equal(welcome.u.welcome.window_messages, 1024);
  assert_int_equal(welcome.u.welcome.token[0], 0);
  assert_int_equal(welcome.u.welcome.sid[0], 1);
}

static void what_is_no_hello_has_a_close_code_and_a_sentence(void **unused) {
  (void)unused;
  stw_hello read = {.struct_size = sizeof read};
  uint32_t code = 0;
  const size_t size = hello();
  for (size_t cut = 0; cut < size; cut++) {
    assert_int_equal(stw_hello_read(wire, cut, &read, &code), STW_E_PROTOCOL);
    assert_int_equal(code, 4400);
    assert_true(stw_last_error()[0] != '\0');
  }
  const struct stwi_sframe ping = {.type = STWI_SF_PING};
  assert_int_equal(stw_hello_read(wire, encoded(&ping), &read, &code), STW_E_PROTOCOL);
  assert_non_null(strstr(stw_last_error(), "no HELLO"));
}

static void refusals_are_frames(void **unused) {
  (void)unused;
  uint8_t out[STW_SESSION_REFUSAL_MAX];
  size_t size = 0;
  char text[400];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  assert_int_equal(stw_refusal_write(STW_REFUSAL_STALE, text, out, &size), STW_OK);
  struct stwi_sframe frame;
  const char *why;
  assert_true(stwi_envelope.decode(out, size, &frame, &why));
  assert_int_equal(frame.type, STWI_SF_REFUSE);
  assert_int_equal(frame.u.close.code, STWI_REFUSE_STALE);
  assert_int_equal(frame.u.close.text.size, STW_SESSION_CLOSE_TEXT_MAX);
  assert_int_equal(stw_refusal_write(STW_REFUSAL_NONE, "", out, &size), STW_E_ARGUMENT);
}

static void messages_go_both_ways(void **unused) {
  (void)unused;
  open_session();
  taken();
  uint64_t number = 0;
  assert_int_equal(stw_session_send(session, STW_LANE_DATA, "hello", 5, true, &number), STW_OK);
  const struct stwi_sframe data = taken();
  assert_int_equal(data.u.data.number, 1);
  assert_int_equal(data.u.data.flags, STWI_SF_TEXT);
  assert_memory_equal(data.u.data.payload, "hello", 5);
  struct stwi_sframe frame = {.type = STWI_SF_DATA};
  frame.u.data.number = 1;
  frame.u.data.payload = (const uint8_t *)"world";
  frame.u.data.size = 5;
  assert_int_equal(give(&frame), STW_OK);
  assert_int_equal(item.kind, STW_SESSION_MESSAGE);
  assert_memory_equal(item.u.message.data, "world", 5);
  assert_int_equal(stw_session_deadline(session), 50000000);
  stw_session_view view = {.struct_size = sizeof view};
  stw_session_look(session, &view);
  assert_int_equal(view.lanes[STW_LANE_DATA].received, 1);
  assert_int_equal(view.lanes[STW_LANE_DATA].kept, 1);
  assert_true(view.is_open);
}

static void a_saved_session_goes_on_in_another_object(void **unused) {
  (void)unused;
  open_session();
  uint64_t number = 0;
  stw_session_send(session, STW_LANE_CONTROL, "kept", 4, false, &number);
  uint8_t state[STW_SESSION_STATE_MAX];
  size_t size = 0;
  assert_int_equal(stw_session_save(session, state, &size), STW_OK);
  stw_session *other = stw_session_new(NULL);
  assert_int_equal(stw_session_load(other, state, size), STW_OK);
  assert_int_equal(stw_session_restore(other, STW_LANE_CONTROL, 1, "kept", 4, false), STW_OK);
  stw_session_free(session);
  session = other;
  open_session();
  assert_int_equal(taken().u.welcome.resume, STWI_RESUME_FULL);
  assert_memory_equal(taken().u.data.payload, "kept", 4);
}

static void bytes_that_are_no_frame_break_the_link(void **unused) {
  (void)unused;
  open_session();
  taken();
  assert_int_equal(stw_session_receive(session, link_number, "\xc1", 1, 0, &item), STW_E_PROTOCOL);
  assert_int_equal(item.close_code, 4400);
  const void *data;
  size_t size = 1;
  assert_int_equal(stw_session_take(session, link_number, 0, &data, &size), STW_OK);
  assert_int_equal(size, 0);
  assert_int_equal(stw_session_take(session, link_number + 1, 0, &data, &size), STW_E_STATE);
}

static void wrong_arguments_are_refused(void **unused) {
  (void)unused;
  uint64_t number;
  stw_session_options options = {.struct_size = sizeof options, .message_max = UINT64_MAX};
  assert_null(stw_session_new(&options));
  options = (stw_session_options){.struct_size = 0};
  assert_null(stw_session_new(&options));
  assert_int_equal(stw_session_send(session, STW_LANE_DATA, "x", 1, false, &number), STW_E_STATE);
  assert_int_equal(stw_session_send(session, (stw_lane)2, "x", 1, false, &number), STW_E_ARGUMENT);
  assert_int_equal(stw_session_send(NULL, STW_LANE_DATA, "x", 1, false, &number), STW_E_ARGUMENT);
  assert_int_equal(stw_session_close(session, 1000, ""), STW_E_STATE);
  assert_int_equal(stw_session_accept(session, STW_LANE_DATA, 1, 0), STW_E_ARGUMENT);
  stw_session_free(NULL);
}

static void without_memory_a_frame_stays_for_the_next_call(void **unused) {
  (void)unused;
  open_session();
  const void *data;
  size_t size;
  failing_mem_after = 0;
  assert_int_equal(stw_session_take(session, link_number, 0, &data, &size), STW_E_MEMORY);
  failing_mem_after = -1;
  assert_int_equal(taken().type, STWI_SF_WELCOME);
  failing_mem_after = 0;
  assert_null(stw_session_new(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_hello_is_read_and_answered_in_bytes),
      TEST(what_is_no_hello_has_a_close_code_and_a_sentence),
      TEST(refusals_are_frames),
      TEST(messages_go_both_ways),
      TEST(a_saved_session_goes_on_in_another_object),
      TEST(bytes_that_are_no_frame_break_the_link),
      TEST(wrong_arguments_are_refused),
      TEST(without_memory_a_frame_stays_for_the_next_call),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
