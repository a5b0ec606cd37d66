/* sclient_test: one session_client per test, with or without a link that was welcomed. */
#ifndef STEADWIRE_TESTS_SCLIENT_TEST_H
#define STEADWIRE_TESTS_SCLIENT_TEST_H

#include "core/session_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "failing_mem.h"
#define NOW (100 * STWI_S)
#define MAX 1000u

static struct stwi_session_client client;
static struct stwi_sclient_news news;
static struct stwi_sframe frame;
static const uint8_t cid[STWI_CID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 9, 10};
static const uint8_t other_cid[STWI_CID_BYTES] = {0xee};

static inline void take(const struct stwi_sframe *in) {
  stwi_sclient_take(&client, in, NOW, &news);
}

static inline void hello(uint64_t lowest, uint64_t next) {
  const struct stwi_sclient_place place = {
      .lowest = {lowest, 1}, .next = {next, 1}, .window_bytes = 4096};
  stwi_sclient_hello(&client, &place, &frame);
}

static inline struct stwi_sframe welcome(uint64_t received, uint64_t lowest, uint64_t next) {
  struct stwi_sframe in = {.type = STWI_SF_WELCOME};
  in.u.welcome = (struct stwi_sf_welcome){.version = 1,
                                          .incarnation = 7,
                                          .token = {0x70},
                                          .resume = STWI_RESUME_FULL,
                                          .received = {received, 0},
                                          .lowest = {lowest, 1},
                                          .next = {next, 1},
                                          .window_messages = 10,
                                          .window_bytes = 1000,
                                          .message_max = 500};
  return in;
}

static inline void up(void) {
  stwi_sclient_link(&client);
  hello(1, 100);
  const struct stwi_sframe in = welcome(0, 1, 1);
  take(&in);
  assert_int_equal(news.kind, STWI_SNEWS_WELCOMED);
}

static inline int set_up(void **unused) {
  (void)unused;
  stwi_sclient_init(&client, NULL, NULL, MAX);
  stwi_sclient_renew(&client, cid);
  return 0;
}

static inline int set_up_link(void **unused) {
  set_up(unused);
  up();
  return 0;
}

static inline int tear_down(void **unused) {
  (void)unused;
  stwi_sclient_fini(&client);
  assert_int_equal(failing_mem_live, 0);
  return 0;
}

static inline void data(uint32_t type, stw_lane lane, uint64_t number, const char *text) {
  struct stwi_sframe in = {.type = type};
  in.u.data.lane = lane;
  in.u.data.number = number;
  in.u.data.payload = (const uint8_t *)text;
  in.u.data.size = strlen(text);
  take(&in);
}

static inline void ack(uint64_t accepted, bool has_processed, uint64_t processed) {
  struct stwi_sframe in = {.type = STWI_SF_ACK};
  in.u.ack.accepted = accepted;
  in.u.ack.processed = processed;
  in.u.ack.has_processed = has_processed;
  take(&in);
}

static inline void gap(uint64_t from, uint64_t to) {
  struct stwi_sframe in = {.type = STWI_SF_GAP};
  in.u.gap.from = from;
  in.u.gap.to = to;
  take(&in);
}

static inline void plain(uint32_t type) {
  const struct stwi_sframe in = {.type = type};
  take(&in);
}

static inline void expect_broken(uint16_t code, const char *word) {
  assert_int_equal(news.kind, STWI_SNEWS_BROKEN);
  assert_int_equal(news.u.broken.code, code);
  assert_non_null(strstr(news.u.broken.why, word));
}

static inline void expect_ack(stw_lane lane, uint64_t accepted, uint64_t processed) {
  assert_int_equal(frame.type, STWI_SF_ACK);
  assert_int_equal(frame.u.ack.lane, lane);
  assert_int_equal(frame.u.ack.accepted, accepted);
  assert_true(frame.u.ack.has_processed);
  assert_int_equal(frame.u.ack.processed, processed);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define LINKED(test) cmocka_unit_test_setup_teardown(test, set_up_link, tear_down)

#endif
