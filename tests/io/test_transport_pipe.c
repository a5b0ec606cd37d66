#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/transport_pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that was put, as words: "phase:tcp ready:a bytes:xyz writable down:tcp_refused". */
struct script {
  struct stwi_transport transport;
  struct stwi_pipe *pipe;
  char text[4096];
  void (*on_input)(struct script *script, const struct stwi_input *input);
};

__attribute__((format(printf, 2, 3))) static void note(struct script *script, const char *format,
                                                       ...) {
  const size_t used = strlen(script->text);
  va_list args;
  va_start(args, format);
  vsnprintf(script->text + used, sizeof script->text - used, format, args);
  va_end(args);
}

static void put(void *owner, const struct stwi_input *input) {
  struct script *script = owner;
  note(script, "%s%u.%u ", script->text[0] != '\0' ? " " : "", input->conn, input->link);
  switch (input->kind) {
  case STWI_IN_PHASE:
    note(script, "phase:%d", (int)input->u.phase.phase);
    break;
  case STWI_IN_READY:
    note(script, "ready:%s", input->u.ready.subprotocol);
    break;
  case STWI_IN_BYTES:
    note(script, "bytes:%.*s", (int)input->u.bytes.size, (const char *)input->u.bytes.data);
    break;
  case STWI_IN_WRITABLE:
    note(script, "writable");
    break;
  case STWI_IN_DOWN:
    note(script, "down:%d/%u/%u", (int)input->u.down.cause, (unsigned)input->u.down.http_status,
         (unsigned)input->u.down.retry_after_ms);
    break;
  default:
    fail();
  }
  if (script->on_input != NULL)
    script->on_input(script, input);
}

static void open_script(struct script *script) {
  memset(script, 0, sizeof *script);
  script->transport = stwi_transport_pipe_new((struct stwi_sink){script, put});
  assert_non_null(script->transport.ops);
  script->pipe = script->transport.self;
}

static void close_script(struct script *script) {
  script->transport.ops->free(script->pipe);
}

static void expect(struct script *script, const char *text) {
  assert_string_equal(script->text, text);
  script->text[0] = '\0';
}

static void dial(struct script *script, uint32_t conn, uint32_t link) {
  const struct stwi_dial dial = {.host = "server.test", .port = 80, .path = "/feed"};
  script->transport.ops->dial(script->pipe, conn, link, &dial);
}

static void dial_ready(struct script *script) {
  dial(script, 1, 1);
  assert_true(stwi_pipe_accept(script->pipe, 1, 1, ""));
  script->text[0] = '\0';
}

static void write_text(struct script *script, const char *text) {
  uint8_t data[STWI_WRITE_HEADROOM + 64];
  memcpy(data + STWI_WRITE_HEADROOM, text, strlen(text));
  script->transport.ops->write(script->pipe, 1, 1, data + STWI_WRITE_HEADROOM, strlen(text));
}

static void expect_written(const struct script *script, const char *text) {
  size_t size;
  const uint8_t *data = stwi_pipe_written(script->pipe, 1, 1, &size);
  assert_int_equal(size, strlen(text));
  if (size > 0)
    assert_memory_equal(data, text, size);
}

static void dial_waits_for_the_peer(void **state) {
  (void)state;
  struct script script;
  struct stwi_pipe_end end;
  open_script(&script);
  dial(&script, 3, 9);
  expect(&script, "");
  assert_int_equal(stwi_pipe_dials(script.pipe), 1);
  assert_true(stwi_pipe_link(script.pipe, 0, &end));
  assert_int_equal(end.conn, 3);
  assert_int_equal(end.link, 9);
  assert_string_equal(end.host, "server.test");
  assert_string_equal(end.path, "/feed");
  assert_false(stwi_pipe_link(script.pipe, 1, &end));
  assert_false(stwi_pipe_send(script.pipe, 3, 9, "early", 5));
  assert_true(stwi_pipe_accept(script.pipe, 3, 9, "a"));
  assert_false(stwi_pipe_accept(script.pipe, 3, 9, "a"));
  char wanted[128];
  snprintf(wanted, sizeof wanted, "3.9 phase:%d 3.9 phase:%d 3.9 phase:%d 3.9 ready:a",
           STW_PHASE_DNS, STW_PHASE_TCP, STW_PHASE_UPGRADE);
  expect(&script, wanted);
  close_script(&script);
}

static void phases_come_in_order_and_once(void **state) {
  (void)state;
  struct script script;
  char wanted[64];
  open_script(&script);
  dial(&script, 1, 1);
  assert_true(stwi_pipe_phase(script.pipe, 1, 1, STW_PHASE_TCP));
  assert_true(stwi_pipe_phase(script.pipe, 1, 1, STW_PHASE_DNS));
  snprintf(wanted, sizeof wanted, "1.1 phase:%d", STW_PHASE_TCP);
  expect(&script, wanted);
  close_script(&script);
}

static void refusal_says_what_the_test_says(void **state) {
  (void)state;
  struct script script;
  char wanted[64];
  open_script(&script);
  dial(&script, 1, 1);
  assert_true(stwi_pipe_end(script.pipe, 1, 1, STW_CAUSE_HTTP_5XX, 503, 7000, "away"));
  snprintf(wanted, sizeof wanted, "1.1 down:%d/503/7000", STW_CAUSE_HTTP_5XX);
  expect(&script, wanted);
  assert_false(stwi_pipe_accept(script.pipe, 1, 1, ""));
  assert_false(stwi_pipe_end(script.pipe, 1, 1, STW_CAUSE_HTTP_5XX, 0, 0, ""));
  close_script(&script);
}

static void bytes_both_ways(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  write_text(&script, "hello ");
  expect(&script, "1.1 writable");
  write_text(&script, "world");
  expect_written(&script, "hello world");
  stwi_pipe_take(script.pipe, 1, 1, 6);
  expect_written(&script, "world");
  stwi_pipe_take(script.pipe, 1, 1, 600);
  expect_written(&script, "");
  script.text[0] = '\0';
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "abc", 3));
  expect(&script, "1.1 bytes:abc");
  close_script(&script);
}

static void pieces_are_as_small_as_asked_for(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  assert_true(stwi_pipe_chunk(script.pipe, 1, 1, 2));
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "abcde", 5));
  expect(&script, "1.1 bytes:ab 1.1 bytes:cd 1.1 bytes:e");
  close_script(&script);
}

static void silence_swallows_in_the_directions_named(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  assert_true(stwi_pipe_silence(script.pipe, 1, 1, true, false));
  write_text(&script, "lost");
  expect_written(&script, "");
  expect(&script, "1.1 writable"); /* it seems to work */
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "a", 1));
  expect(&script, "1.1 bytes:a");
  assert_true(stwi_pipe_silence(script.pipe, 1, 1, false, true));
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "lost", 4));
  expect(&script, "");
  write_text(&script, "kept");
  expect_written(&script, "kept");
  close_script(&script);
}

static void writable_is_held_until_told(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  assert_true(stwi_pipe_hold(script.pipe, 1, 1, true));
  write_text(&script, "a");
  stwi_pipe_run(script.pipe);
  expect(&script, "");
  assert_true(stwi_pipe_hold(script.pipe, 1, 1, false));
  expect(&script, "1.1 writable");
  assert_true(stwi_pipe_hold(script.pipe, 1, 1, false));
  expect(&script, "");
  close_script(&script);
}

static void paused_link_keeps_its_bytes(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  script.transport.ops->pause(script.pipe, 1, 1, true);
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "ab", 2));
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "cd", 2));
  stwi_pipe_run(script.pipe);
  expect(&script, "");
  script.transport.ops->pause(script.pipe, 1, 1, false);
  expect(&script, "");
  stwi_pipe_run(script.pipe);
  expect(&script, "1.1 bytes:abcd");
  close_script(&script);
}

static void pause_on_bytes(struct script *script, const struct stwi_input *input) {
  if (input->kind == STWI_IN_BYTES)
    script->transport.ops->pause(script->pipe, 1, 1, true);
}

static void pause_from_inside_stops_the_next_piece(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  script.on_input = pause_on_bytes;
  stwi_pipe_chunk(script.pipe, 1, 1, 1);
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "ab", 2));
  expect(&script, "1.1 bytes:a");
  script.transport.ops->pause(script.pipe, 1, 1, false);
  stwi_pipe_run(script.pipe);
  expect(&script, "1.1 bytes:b");
  close_script(&script);
}

static void breaks_after_so_many_bytes(void **state) {
  (void)state;
  struct script script;
  char wanted[64];
  open_script(&script);
  dial_ready(&script);
  assert_true(stwi_pipe_break_after(script.pipe, 1, 1, 3, SIZE_MAX));
  write_text(&script, "ab");
  expect(&script, "1.1 writable");
  write_text(&script, "cdef");
  expect_written(&script, "abc"); /* half of a frame, perhaps */
  expect(&script, "");
  assert_false(stwi_pipe_send(script.pipe, 1, 1, "x", 1));
  stwi_pipe_run(script.pipe);
  snprintf(wanted, sizeof wanted, "1.1 down:%d/0/0", STW_CAUSE_ABNORMAL_RST);
  expect(&script, wanted);

  dial_ready(&script);
  assert_true(stwi_pipe_break_after(script.pipe, 1, 1, SIZE_MAX, 3));
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "ab", 2));
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "cdef", 4));
  expect(&script, "1.1 bytes:ab 1.1 bytes:c");
  stwi_pipe_run(script.pipe);
  expect(&script, wanted);
  close_script(&script);
}

static void cut_link_is_down_at_the_next_run(void **state) {
  (void)state;
  struct script script;
  struct stwi_pipe_end end;
  char wanted[64];
  open_script(&script);
  dial_ready(&script);
  script.transport.ops->cut(script.pipe, 1, 1, true);
  expect(&script, "");
  assert_true(stwi_pipe_link(script.pipe, 0, &end));
  assert_true(end.is_cut && end.is_abort);
  write_text(&script, "late");
  assert_false(stwi_pipe_send(script.pipe, 1, 1, "late", 4));
  stwi_pipe_run(script.pipe);
  snprintf(wanted, sizeof wanted, "1.1 down:%d/0/0", STW_CAUSE_REQUESTED);
  expect(&script, wanted);
  assert_false(stwi_pipe_link(script.pipe, 0, &end));
  stwi_pipe_run(script.pipe);
  expect(&script, "");
  close_script(&script);
}

static void dial_on_down(struct script *script, const struct stwi_input *input) {
  if (input->kind == STWI_IN_DOWN && input->link < 3)
    dial(script, 1, input->link + 1);
}

static void sink_may_dial_from_inside_down(void **state) {
  (void)state;
  struct script script;
  struct stwi_pipe_end end;
  open_script(&script);
  dial_ready(&script);
  script.on_input = dial_on_down;
  script.transport.ops->cut(script.pipe, 1, 1, false);
  stwi_pipe_run(script.pipe);
  assert_true(stwi_pipe_link(script.pipe, 0, &end));
  assert_int_equal(end.link, 2);
  assert_int_equal(stwi_pipe_dials(script.pipe), 2);
  close_script(&script);
}

static void links_of_a_conn_live_side_by_side(void **state) {
  (void)state;
  struct script script;
  open_script(&script);
  dial_ready(&script);
  dial(&script, 1, 2);
  assert_true(stwi_pipe_accept(script.pipe, 1, 2, ""));
  script.text[0] = '\0';
  assert_true(stwi_pipe_send(script.pipe, 1, 2, "b", 1));
  assert_true(stwi_pipe_send(script.pipe, 1, 1, "a", 1));
  expect(&script, "1.2 bytes:b 1.1 bytes:a");
  close_script(&script);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dial_waits_for_the_peer),
      cmocka_unit_test(phases_come_in_order_and_once),
      cmocka_unit_test(refusal_says_what_the_test_says),
      cmocka_unit_test(bytes_both_ways),
      cmocka_unit_test(pieces_are_as_small_as_asked_for),
      cmocka_unit_test(silence_swallows_in_the_directions_named),
      cmocka_unit_test(writable_is_held_until_told),
      cmocka_unit_test(paused_link_keeps_its_bytes),
      cmocka_unit_test(pause_from_inside_stops_the_next_piece),
      cmocka_unit_test(breaks_after_so_many_bytes),
      cmocka_unit_test(cut_link_is_down_at_the_next_run),
      cmocka_unit_test(sink_may_dial_from_inside_down),
      cmocka_unit_test(links_of_a_conn_live_side_by_side),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
