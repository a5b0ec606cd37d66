/* The dialogues of tests/vectors against the client's role: what the server's steps hold is taken,
 * and what the client's steps hold has to come, byte by byte. */
#include "core/mem.h"
#include "core/session_client.h"
#include "io/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS_MAX 40
#define LINE_MAX_BYTES 4096
#define ACK_WAIT (60 * STWI_MS) /* longer than an acknowledgement may wait */

struct step {
  char line[LINE_MAX_BYTES];
  uint8_t bytes[LINE_MAX_BYTES / 2];
  size_t size; /* 0: something done */
  struct stwi_sframe frame;
  bool is_clients, is_lost, is_wrong;
};

static struct step steps[STEPS_MAX];
static const struct step *step; /* the present one */
static struct stwi_session_client client;
static struct stwi_sclient_news news;
static stwi_time now;
static unsigned closed_with; /* what the client ended the link with; 0: it did not */

#define EXPECT(holds)                                                                              \
  do {                                                                                             \
    if (!(holds))                                                                                  \
      fail_msg("%s\nat %s", #holds, step->line);                                                   \
  } while (false)

/* ---- reading ---- */

static unsigned hex_digit(char digit) {
  return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static void read_step(struct step *at, const char *line) {
  snprintf(at->line, sizeof at->line, "%s", line);
  at->is_clients = strstr(line, "\"from\": \"client\"") != NULL;
  at->is_lost = strstr(line, "\"lost\": true") != NULL;
  at->is_wrong = strstr(line, "\"wrong\": true") != NULL;
  const char *hex = strstr(line, "\"hex\": \"");
  at->size = 0;
  if (hex == NULL)
    return;
  for (hex += strlen("\"hex\": \""); *hex != '"'; hex += 2)
    at->bytes[at->size++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
}

static bool does(const char *what) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "\"does\": \"%s", what);
  return strstr(step->line, pattern) != NULL;
}

/* ---- the server's steps ---- */

static void check_news(void) {
  const struct stwi_sframe *frame = &step->frame;
  if (news.kind == STWI_SNEWS_BROKEN) {
    EXPECT(step->is_wrong);
    closed_with = news.u.broken.code;
    return;
  }
  EXPECT(!step->is_wrong);
  if (frame->type == STWI_SF_WELCOME)
    EXPECT(news.kind == STWI_SNEWS_WELCOMED && news.u.welcomed.resume == frame->u.welcome.resume);
  if (frame->type == STWI_SF_REFUSE)
    EXPECT(news.kind == STWI_SNEWS_REFUSED);
  if (frame->type == STWI_SF_DATA) {
    EXPECT(news.kind == STWI_SNEWS_MESSAGE);
    EXPECT(news.u.message.size == frame->u.data.size);
    EXPECT(memcmp(news.u.message.data, frame->u.data.payload, frame->u.data.size) == 0);
  }
}

static void from_server(void) {
  if (step->size == 0 || step->is_lost)
    return;
  stwi_sclient_take(&client, &step->frame, now, &news);
  check_news();
  if (news.kind == STWI_SNEWS_MESSAGE)
    stwi_free(news.u.message.held);
}

/* ---- the client's steps ---- */

static void expect_written(const struct stwi_sframe *frame) {
  uint8_t bytes[LINE_MAX_BYTES / 2];
  const size_t size = stwi_envelope.encode(frame, bytes, sizeof bytes);
  EXPECT(size == step->size && memcmp(bytes, step->bytes, size) == 0);
}

static void process(const uint64_t numbers[STW_LANE_COUNT]) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_sclient_processed(&client, (stw_lane)lane, numbers[lane], now);
}

/* A session that a process before this one has begun. */
static void restore(const struct stwi_sf_hello *hello) {
  struct stwi_session_saved saved = {.incarnation = hello->incarnation,
                                     .is_welcomed = hello->has_incarnation};
  memcpy(saved.cid, hello->cid, sizeof saved.cid);
  memcpy(saved.token, hello->token, sizeof saved.token);
  stwi_sclient_fini(&client);
  stwi_sclient_init(&client, &saved, NULL, hello->message_max);
}

static void say_hello(const struct stwi_sf_hello *hello) {
  struct stwi_sframe frame;
  const bool is_renewed = client.phase == STWI_SCLIENT_WAITING; /* behind REFUSE STALE */
  if (!client.has_cid)
    restore(hello);
  if (is_renewed)
    stwi_sclient_renew(&client, hello->cid);
  else
    stwi_sclient_link(&client);
  process(hello->processed);
  struct stwi_sclient_place place = {
      .window_bytes = hello->window_bytes, .idle_ms = hello->idle_ms, .auth = hello->auth};
  memcpy(place.lowest, hello->lowest, sizeof place.lowest);
  memcpy(place.next, hello->next, sizeof place.next);
  stwi_sclient_hello(&client, &place, &frame);
  expect_written(&frame);
}

static void say_message(const struct stwi_sframe *frame) {
  struct stwi_sframe hole;
  EXPECT(!stwi_sclient_hole(&client, frame->u.data.lane, frame->u.data.number, &hole));
  EXPECT(client.out[frame->u.data.lane].next == frame->u.data.number);
  EXPECT(stwi_sclient_has_window(&client, 1, 1, frame->u.data.size));
  if (frame->type == STWI_SF_DATA)
    stwi_sclient_wrote(&client, frame->u.data.lane, frame->u.data.number);
}

static void say_gap(const struct stwi_sframe *frame) {
  struct stwi_sframe hole;
  EXPECT(stwi_sclient_hole(&client, frame->u.gap.lane, frame->u.gap.to + 1, &hole));
  expect_written(&hole);
  stwi_sclient_wrote(&client, frame->u.gap.lane, frame->u.gap.to);
}

/* One that is said again is the answer to a repeat: of the last message, as far as it knows. */
static void say_ack(const struct stwi_sframe *frame) {
  struct stwi_sframe ack;
  const stw_lane lane = frame->u.ack.lane;
  stwi_sclient_processed(&client, lane, frame->u.ack.processed, now - ACK_WAIT);
  if (stwi_sclient_deadline(&client) == STWI_NEVER) {
    const struct stwi_sframe repeat = {
        .type = STWI_SF_DATA,
        .u.data = {.lane = lane, .number = frame->u.ack.accepted, .payload = (const uint8_t *)""}};
    stwi_sclient_take(&client, &repeat, now - ACK_WAIT, &news);
    EXPECT(news.kind == STWI_SNEWS_DUPLICATE);
  }
  EXPECT(stwi_sclient_next_control(&client, now, false, &ack));
  expect_written(&ack);
}

static void from_client(void) {
  if (does("close 4"))
    EXPECT(closed_with == strtoul(strstr(step->line, "close ") + 6, NULL, 10));
  if (does("close 4"))
    closed_with = 0;
  if (does("close") || does("lose") || does("open another link"))
    stwi_sclient_unlink(&client);
  if (step->size == 0)
    return;
  switch (step->frame.type) {
  case STWI_SF_HELLO:
    say_hello(&step->frame.u.hello);
    break;
  case STWI_SF_DATA:
  case STWI_SF_PART:
    say_message(&step->frame);
    break;
  case STWI_SF_GAP:
    say_gap(&step->frame);
    break;
  case STWI_SF_ACK:
    say_ack(&step->frame);
    break;
  default:
    EXPECT(step->frame.type == STWI_SF_CLOSE); /* its caller's */
    break;
  }
}

/* ---- dialogues ---- */

static void decode(struct step *at) {
  const char *why = NULL;
  if (at->size > 0 && !stwi_envelope.decode(at->bytes, at->size, &at->frame, &why))
    fail_msg("%s: %s", why, at->line);
}

static void play(size_t count) {
  stwi_sclient_init(&client, NULL, NULL, 0);
  now = 1000 * STWI_S;
  closed_with = 0;
  for (size_t i = 0; i < count; i++) {
    decode(&steps[i]);
    step = &steps[i];
    now += ACK_WAIT;
    if (step->is_clients)
      from_client();
    else
      from_server();
  }
  EXPECT(closed_with == 0); /* or the dialogue does not tell the close */
  EXPECT(stwi_sclient_deadline(&client) == STWI_NEVER);
  stwi_sclient_fini(&client);
}

/* False where a wrong frame is the client's own. */
static bool is_for_clients(size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (steps[i].is_clients && steps[i].is_wrong)
      return false;
  }
  return count > 0;
}

static void every_dialogue_is_led_as_written(void **unused) {
  (void)unused;
  static char line[LINE_MAX_BYTES];
  FILE *file = fopen("tests/vectors/dialogues.json", "r");
  if (file == NULL)
    fail_msg("no tests/vectors/dialogues.json: run from the project's root");
  size_t count = 0, played = 0, all = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "    {", 5) == 0) {
      assert_true(count < STEPS_MAX);
      read_step(&steps[count++], line);
    } else if (strncmp(line, "  ]", 3) == 0) {
      all++;
      if (is_for_clients(count)) {
        play(count);
        played++;
      }
      count = 0;
    }
  }
  fclose(file);
  assert_true(played >= 20 && played < all);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_dialogue_is_led_as_written)};
  return cmocka_run_group_tests_name("vectors_client", tests, NULL, NULL);
}
