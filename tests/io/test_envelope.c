#include "io/envelope.h"

#include "seed.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack.h>

/* ---- a frame's fields, as tests/vectors/make.py shows them ---- */

struct shown {
  char text[8192];
  size_t size;
};

static void show(struct shown *shown, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int size =
      vsnprintf(shown->text + shown->size, sizeof shown->text - shown->size, format, arguments);
  va_end(arguments);
  assert_true(size >= 0 && (size_t)size < sizeof shown->text - shown->size);
  shown->size += (size_t)size;
}

static void show_uint(struct shown *shown, const char *key, uint64_t value) {
  show(shown, ", \"%s\": %llu", key, (unsigned long long)value);
}

static void show_bytes(struct shown *shown, const char *key, const uint8_t *bytes, size_t size) {
  show(shown, ", \"%s\": \"", key);
  for (size_t i = 0; i < size; i++)
    show(shown, "%02x", bytes[i]);
  show(shown, "\"");
}

static void show_text(struct shown *shown, const char *key, struct stwi_text text) {
  show(shown, ", \"%s\": \"%.*s\"", key, (int)text.size, text.size > 0 ? text.data : "");
}

static void show_lanes(struct shown *shown, const char *key, const uint64_t *numbers) {
  show(shown, ", \"%s\": [%llu, %llu]", key, (unsigned long long)numbers[0],
       (unsigned long long)numbers[1]);
}

static void show_hello(struct shown *shown, const struct stwi_sf_hello *hello) {
  show(shown, "\"HELLO\", \"v\": [");
  const char *comma = "";
  for (unsigned version = 0; version < 32; version++)
    if ((hello->versions >> version & 1) != 0) {
      show(shown, "%s%u", comma, version);
      comma = ", ";
    }
  show(shown, "]");
  show_bytes(shown, "cid", hello->cid, sizeof hello->cid);
  if (hello->has_token)
    show_bytes(shown, "tok", hello->token, sizeof hello->token);
  if (hello->has_incarnation)
    show_uint(shown, "inc", hello->incarnation);
  show_lanes(shown, "rx", hello->received);
  show_lanes(shown, "lo", hello->lowest);
  show_lanes(shown, "nx", hello->next);
  show_lanes(shown, "pr", hello->processed);
  show_uint(shown, "caps", hello->caps);
  show_uint(shown, "win_msgs", hello->window_messages);
  show_uint(shown, "win_bytes", hello->window_bytes);
  show_uint(shown, "max", hello->message_max);
  show_uint(shown, "idle_ms", hello->idle_ms);
  if (hello->auth.size > 0)
    show_text(shown, "auth", hello->auth);
}

static void show_welcome(struct shown *shown, const struct stwi_sf_welcome *welcome) {
  show(shown, "\"WELCOME\"");
  show_uint(shown, "v", welcome->version);
  show_bytes(shown, "sid", welcome->sid, sizeof welcome->sid);
  show_bytes(shown, "tok", welcome->token, sizeof welcome->token);
  show_uint(shown, "inc", welcome->incarnation);
  show_uint(shown, "st", welcome->resume);
  show_lanes(shown, "rx", welcome->received);
  show_lanes(shown, "lo", welcome->lowest);
  show_lanes(shown, "nx", welcome->next);
  show_lanes(shown, "pr", welcome->processed);
  show_uint(shown, "caps", welcome->caps);
  show_uint(shown, "ttl_ms", welcome->ring_ms);
  show_uint(shown, "wm_ttl_ms", welcome->watermark_ms);
  show_uint(shown, "win_msgs", welcome->window_messages);
  show_uint(shown, "win_bytes", welcome->window_bytes);
  show_uint(shown, "max", welcome->message_max);
  show_uint(shown, "idle_ms", welcome->idle_ms);
  if (welcome->location.size > 0)
    show_text(shown, "loc", welcome->location);
  if (welcome->server.size > 0)
    show_text(shown, "srv", welcome->server);
}

static void show_goaway(struct shown *shown, const struct stwi_sframe *frame) {
  show(shown, "\"GOAWAY\"");
  show_uint(shown, "after_ms", frame->u.goaway.after_ms);
  show_uint(shown, "spread_ms", frame->u.goaway.spread_ms);
  show_uint(shown, "code", frame->u.goaway.code);
  show(shown, ", \"resumable\": %s", frame->u.goaway.is_resumable ? "true" : "false");
  if (frame->u.goaway.location.size > 0)
    show_text(shown, "loc", frame->u.goaway.location);
}

static void show_auth(struct shown *shown, const struct stwi_sframe *frame) {
  show(shown, "\"AUTH\"");
  if (!frame->u.auth.is_answer) {
    show_text(shown, "token", frame->u.auth.token);
    return;
  }
  show(shown, ", \"ok\": %s", frame->u.auth.is_ok ? "true" : "false");
  show_uint(shown, "expires_ms", frame->u.auth.expires_ms);
}

static void show_lane_frame(struct shown *shown, const struct stwi_sframe *frame) {
  switch (frame->type) {
  case STWI_SF_DATA:
  case STWI_SF_PART:
    show(shown, frame->type == STWI_SF_DATA ? "\"DATA\"" : "\"PART\"");
    show_uint(shown, "lane", frame->u.data.lane);
    show_uint(shown, "number", frame->u.data.number);
    if (frame->type == STWI_SF_DATA)
      show_uint(shown, "flags", frame->u.data.flags);
    show_bytes(shown, "payload", frame->u.data.payload, frame->u.data.size);
    return;
  case STWI_SF_ACK:
    show(shown, "\"ACK\"");
    show_uint(shown, "lane", frame->u.ack.lane);
    show_uint(shown, "accepted", frame->u.ack.accepted);
    if (frame->u.ack.has_processed)
      show_uint(shown, "processed", frame->u.ack.processed);
    return;
  case STWI_SF_NACK:
    show(shown, "\"NACK\"");
    show_uint(shown, "lane", frame->u.nack.lane);
    show_uint(shown, "number", frame->u.nack.number);
    show_uint(shown, "code", frame->u.nack.code);
    show_text(shown, "text", frame->u.nack.text);
    return;
  default:
    show(shown, "\"GAP\"");
    show_uint(shown, "lane", frame->u.gap.lane);
    show_uint(shown, "from", frame->u.gap.from);
    show_uint(shown, "to", frame->u.gap.to);
    show_uint(shown, "reason", frame->u.gap.reason);
  }
}

static void show_frame(struct shown *shown, const struct stwi_sframe *frame) {
  *shown = (struct shown){.size = 0};
  show(shown, "{\"type\": ");
  if (frame->type >= STWI_SF_IGNORED_FROM) {
    show(shown, "\"ignored\"");
    show_uint(shown, "number", frame->type);
  } else if (frame->type == STWI_SF_HELLO) {
    show_hello(shown, &frame->u.hello);
  } else if (frame->type == STWI_SF_WELCOME) {
    show_welcome(shown, &frame->u.welcome);
  } else if (frame->type == STWI_SF_GOAWAY) {
    show_goaway(shown, frame);
  } else if (frame->type == STWI_SF_AUTH) {
    show_auth(shown, frame);
  } else if (frame->type == STWI_SF_PING || frame->type == STWI_SF_PONG) {
    show(shown, frame->type == STWI_SF_PING ? "\"PING\"" : "\"PONG\"");
    show_uint(shown, "n", frame->u.ping.n);
    show_uint(shown, "t", frame->u.ping.t);
  } else if (frame->type == STWI_SF_CLOSE || frame->type == STWI_SF_REFUSE) {
    show(shown, frame->type == STWI_SF_CLOSE ? "\"CLOSE\"" : "\"REFUSE\"");
    show_uint(shown, "code", frame->u.close.code);
    show_text(shown, "text", frame->u.close.text);
  } else {
    show_lane_frame(shown, frame);
  }
  show(shown, "}");
}

/* ---- vectors: one to a line ---- */

struct vector {
  char *line;
  uint8_t *bytes; /* a block of exactly `size` bytes: reading past it is seen */
  size_t size;
};

static unsigned hex_digit(char digit) {
  return (unsigned)(isdigit((unsigned char)digit) ? digit - '0' : digit - 'a' + 10);
}

static bool next_vector(FILE *file, struct vector *vector) {
  size_t room = 0;
  vector->line = NULL;
  while (getline(&vector->line, &room, file) > 0) {
    const char *hex = strstr(vector->line, "\"hex\": \"");
    if (hex == NULL)
      continue;
    hex += strlen("\"hex\": \"");
    vector->size = strcspn(hex, "\"") / 2;
    vector->bytes = malloc(vector->size + (vector->size == 0));
    assert_non_null(vector->bytes);
    for (size_t i = 0; i < vector->size; i++)
      vector->bytes[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return true;
  }
  free(vector->line);
  return false;
}

static void free_vector(struct vector *vector) {
  free(vector->bytes);
  free(vector->line);
}

static FILE *open_vectors(const char *name) {
  FILE *file = fopen(name, "r");
  if (file == NULL)
    fail_msg("no %s: run from the project's root", name);
  return file;
}

static size_t encode(const struct stwi_sframe *frame, uint8_t *out, size_t max) {
  size_t size = stwi_envelope.encode(frame, out, max);
  if (size > 0 && (frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART)) {
    if (size + frame->u.data.size > max)
      return 0;
    memcpy(out + size, frame->u.data.payload, frame->u.data.size);
    size += frame->u.data.size;
  }
  return size;
}

static void check_written(const struct vector *vector, const struct stwi_sframe *frame) {
  uint8_t *out = malloc(vector->size);
  assert_non_null(out);
  assert_int_equal(encode(frame, out, vector->size), vector->size);
  assert_memory_equal(out, vector->bytes, vector->size);
  const size_t head =
      vector->size -
      (frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART ? frame->u.data.size : 0);
  for (size_t max = 0; max < head; max++)
    assert_int_equal(stwi_envelope.encode(frame, out, max), 0);
  free(out);
}

static size_t check_good(const char *name) {
  FILE *file = open_vectors(name);
  struct vector vector;
  size_t count = 0;
  while (next_vector(file, &vector)) {
    char *fields = strstr(vector.line, "\"fields\": ");
    if (fields != NULL) {
      struct stwi_sframe frame;
      const char *why = NULL;
      if (!stwi_envelope.decode(vector.bytes, vector.size, &frame, &why))
        fail_msg("%s: %s", why, vector.line);
      struct shown shown;
      show_frame(&shown, &frame);
      fields += strlen("\"fields\": ");
      if (strncmp(fields, shown.text, shown.size) != 0)
        fail_msg("%s\nfrom %s", shown.text, vector.line);
      if (strstr(vector.line, "\"shortest\": false") == NULL)
        check_written(&vector, &frame);
      count++;
    }
    free_vector(&vector);
  }
  fclose(file);
  return count;
}

static void good_vectors_are_read_and_written(void **state) {
  (void)state;
  assert_true(check_good("tests/vectors/frames.json") >= 30);
}

static void every_frame_of_the_dialogues_is_read_and_written(void **state) {
  (void)state;
  assert_true(check_good("tests/vectors/dialogues.json") >= 60);
}

static void malformed_vectors_are_refused_by_name(void **state) {
  (void)state;
  FILE *file = open_vectors("tests/vectors/frames.json");
  struct vector vector;
  size_t count = 0;
  while (next_vector(file, &vector)) {
    char *wanted = strstr(vector.line, "\"why\": \"");
    if (wanted != NULL) {
      wanted += strlen("\"why\": \"");
      wanted[strcspn(wanted, "\"")] = '\0';
      struct stwi_sframe frame;
      const char *why = NULL;
      assert_false(stwi_envelope.decode(vector.bytes, vector.size, &frame, &why));
      assert_non_null(why);
      if (strstr(why, wanted) == NULL)
        fail_msg("\"%s\" instead of \"%s\" for %s", why, wanted, vector.line);
      count++;
    }
    free_vector(&vector);
  }
  fclose(file);
  assert_true(count >= 90);
}

static void every_frame_cut_short_is_refused(void **state) {
  (void)state;
  FILE *file = open_vectors("tests/vectors/frames.json");
  struct vector vector;
  while (next_vector(file, &vector)) {
    struct stwi_sframe frame;
    const char *why = NULL;
    if (stwi_envelope.decode(vector.bytes, vector.size, &frame, &why))
      for (size_t size = 0; size < vector.size; size++) {
        uint8_t *cut = malloc(size + (size == 0));
        assert_non_null(cut);
        memcpy(cut, vector.bytes, size);
        why = NULL;
        assert_false(stwi_envelope.decode(cut, size, &frame, &why));
        assert_non_null(why);
        free(cut);
      }
    free_vector(&vector);
  }
  fclose(file);
}

/* ---- the validator against msgpack-c ---- */

static uint64_t draw(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static void what_is_valid_is_what_msgpack_c_takes(void **state) {
  (void)state;
  uint64_t seed = test_seed("what_is_valid_is_what_msgpack_c_takes") | 1;
  FILE *file = open_vectors("tests/vectors/frames.json");
  struct vector vector;
  size_t taken = 0;
  while (next_vector(file, &vector)) {
    for (int round = 0; round < 200; round++) {
      uint8_t *bytes = malloc(vector.size + 1);
      assert_non_null(bytes);
      if (vector.size > 0)
        memcpy(bytes, vector.bytes, vector.size);
      for (uint64_t changes = draw(&seed) % 3; vector.size > 0 && changes > 0; changes--)
        bytes[draw(&seed) % vector.size] = (uint8_t)draw(&seed);
      const char *why = NULL;
      struct stwi_sframe frame;
      const bool is_valid = stwi_envelope_valid(bytes, vector.size, &why);
      const bool is_frame = stwi_envelope.decode(bytes, vector.size, &frame, &why);
      if (is_frame)
        assert_true(is_valid);
      if (is_valid) {
        msgpack_zone zone;
        assert_true(msgpack_zone_init(&zone, 4096));
        msgpack_object object;
        size_t offset = 0;
        assert_int_equal(msgpack_unpack((const char *)bytes, vector.size, &offset, &zone, &object),
                         MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(offset, vector.size);
        msgpack_zone_destroy(&zone);
        taken++;
      }
      free(bytes);
    }
    free_vector(&vector);
  }
  fclose(file);
  assert_true(taken > 1000);
}

static void depth_is_bounded_at_16(void **state) {
  (void)state;
  uint8_t bytes[18];
  memset(bytes, 0x91, sizeof bytes);
  const char *why = NULL;
  bytes[16] = 0x01;
  assert_true(stwi_envelope_valid(bytes, 17, &why));
  bytes[16] = 0x91;
  bytes[17] = 0x01;
  assert_false(stwi_envelope_valid(bytes, 18, &why));
  assert_string_equal(why, "more than 16 arrays and maps inside each other");
}

static void a_head_fits_its_bound(void **state) {
  (void)state;
  struct stwi_sframe frame = {.type = STWI_SF_WELCOME};
  memset(&frame.u.welcome, 0xff, offsetof(struct stwi_sf_welcome, location));
  frame.u.welcome.resume = STWI_RESUME_FULL;
  uint8_t out[STWI_SFRAME_HEAD_MAX];
  assert_in_range(encode(&frame, out, sizeof out), 250, sizeof out);
  memset(&frame, 0, sizeof frame);
  frame.type = STWI_SF_HELLO;
  memset(&frame.u.hello, 0xff, offsetof(struct stwi_sf_hello, auth));
  frame.u.hello.has_token = frame.u.hello.has_incarnation = true;
  assert_in_range(encode(&frame, out, sizeof out), 250, sizeof out);
}

static void an_unknown_type_is_not_written(void **state) {
  (void)state;
  const struct stwi_sframe frame = {.type = 14};
  uint8_t out[64];
  assert_int_equal(stwi_envelope.encode(&frame, out, sizeof out), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_vectors_are_read_and_written),
      cmocka_unit_test(every_frame_of_the_dialogues_is_read_and_written),
      cmocka_unit_test(malformed_vectors_are_refused_by_name),
      cmocka_unit_test(every_frame_cut_short_is_refused),
      cmocka_unit_test(what_is_valid_is_what_msgpack_c_takes),
      cmocka_unit_test(depth_is_bounded_at_16),
      cmocka_unit_test(a_head_fits_its_bound),
      cmocka_unit_test(an_unknown_type_is_not_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
