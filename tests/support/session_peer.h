/* session_peer.h: the server's role and a client of it on structs, for its test programs.
 *
 * Include it in the one file of a program; it brings failing_mem.  `client` holds what a client
 * knows, and no more.
 */
#ifndef STEADWIRE_TESTS_SESSION_PEER_H
#define STEADWIRE_TESTS_SESSION_PEER_H

#include "core/pace.h"
#include "core/session_server.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MS ((uint64_t)1000000)

enum { INCARNATION = 77 };

static struct stwi_server server;
static struct stwi_random dice;
static uint64_t now;

/* What a client holds: of each lane the number it has, and the last one it gave. */
static struct client {
  uint8_t token[STWI_TOKEN_BYTES];
  bool is_welcomed;
  uint64_t has[STW_LANE_COUNT], gave[STW_LANE_COUNT], processed[STW_LANE_COUNT];
  uint32_t caps, link;
} client;

static stw_session_options options = {.struct_size = sizeof options};

static inline int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  now = 1000 * MS;
  stwi_random_seed(&dice, 5);
  options = (stw_session_options){.struct_size = sizeof options};
  client = (struct client){.caps = STWI_SF_CAP_PARTS};
  assert_int_equal(stwi_server_init(&server, &options), STW_OK);
  return 0;
}

static inline int tear_down(void **unused) {
  (void)unused;
  stwi_server_fini(&server);
  assert_int_equal(failing_mem_live, 0);
  return 0;
}

static inline void renew(void) {
  stwi_server_fini(&server);
  assert_int_equal(stwi_server_init(&server, &options), STW_OK);
}

static inline struct stwi_sf_hello hello_of(void) {
  struct stwi_sf_hello hello = {.versions = 2, .cid = "client", .caps = client.caps};
  hello.has_token = hello.has_incarnation = client.is_welcomed;
  hello.incarnation = INCARNATION;
  memcpy(hello.token, client.token, sizeof hello.token);
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    hello.received[i] = client.has[i];
    hello.processed[i] = client.processed[i];
    hello.lowest[i] = 1;
    hello.next[i] = client.gave[i] + 1;
  }
  return hello;
}

static inline stw_refusal claim_as(const struct stwi_sf_hello *hello, const char *principal) {
  stw_session_claim claim = {
      .struct_size = sizeof claim, .principal = principal, .incarnation = INCARNATION};
  for (size_t i = 0; i < sizeof claim.random; i++)
    claim.random[i] = (uint8_t)stwi_random_next(&dice);
  stw_refusal refusal = STW_REFUSAL_BUSY;
  assert_int_equal(stwi_server_open(&server, hello, &claim, &client.link, &refusal), STW_OK);
  return refusal;
}

static inline stw_refusal claim(void) {
  const struct stwi_sf_hello hello = hello_of();
  return claim_as(&hello, "alice");
}

static inline struct stwi_sframe take(uint32_t type) {
  struct stwi_sframe frame = {.type = 0};
  assert_true(stwi_server_take(&server, now, &frame));
  assert_int_equal(frame.type, type);
  return frame;
}

static inline void take_nothing(void) {
  struct stwi_sframe frame = {.type = 0};
  if (stwi_server_take(&server, now, &frame))
    fail_msg("a frame of type %u came", frame.type);
}

static inline struct stwi_sf_welcome connect_client(void) {
  assert_int_equal(claim(), STW_REFUSAL_NONE);
  const struct stwi_sf_welcome welcome = take(STWI_SF_WELCOME).u.welcome;
  memcpy(client.token, welcome.token, sizeof client.token);
  client.is_welcomed = true;
  return welcome;
}

static stw_session_item item;

static inline stw_status give(const struct stwi_sframe *frame) {
  const stw_status status = stwi_server_check_link(&server, client.link, &item);
  return status == STW_OK ? stwi_server_receive(&server, frame, now, &item) : status;
}

static inline stw_status give_bytes(uint32_t type, stw_lane lane, uint64_t number, uint32_t flags,
                                    const void *data, size_t size) {
  struct stwi_sframe frame = {.type = type};
  frame.u.data.lane = lane;
  frame.u.data.number = number;
  frame.u.data.flags = flags;
  frame.u.data.payload = data;
  frame.u.data.size = size;
  return give(&frame);
}

static inline stw_status give_data(uint64_t number) {
  static uint64_t body; /* what arrives is lent from here */
  body = number;
  if (number > client.gave[0])
    client.gave[0] = number;
  return give_bytes(STWI_SF_DATA, STW_LANE_DATA, number, 0, &body, sizeof body);
}

static inline stw_status give_ack(stw_lane lane, uint64_t accepted, uint64_t processed) {
  struct stwi_sframe frame = {.type = STWI_SF_ACK};
  frame.u.ack.lane = lane;
  frame.u.ack.accepted = accepted;
  frame.u.ack.processed = processed;
  frame.u.ack.has_processed = (client.caps & STWI_SF_CAP_PROCESSED) != 0;
  return give(&frame);
}

static inline stw_status give_gap(uint64_t from, uint64_t to) {
  struct stwi_sframe frame = {.type = STWI_SF_GAP};
  frame.u.gap.lane = STW_LANE_DATA;
  frame.u.gap.from = from;
  frame.u.gap.to = to;
  frame.u.gap.reason = STWI_GAP_REMOVED;
  return give(&frame);
}

static inline uint64_t post(stw_lane lane, const void *data, size_t size) {
  uint64_t number = 0;
  assert_int_equal(stwi_server_send(&server, lane, data, size, false, &number), STW_OK);
  return number;
}

static inline void post_count(unsigned count) {
  while (count-- > 0)
    post(STW_LANE_DATA, "12345678", 8);
}

static inline void expect_data(uint64_t number) {
  assert_int_equal(take(STWI_SF_DATA).u.data.number, number);
}

static inline void expect_gap(uint64_t from, uint64_t to, uint32_t reason) {
  const struct stwi_sframe frame = take(STWI_SF_GAP);
  assert_int_equal(frame.u.gap.from, from);
  assert_int_equal(frame.u.gap.to, to);
  assert_int_equal(frame.u.gap.reason, reason);
}

static inline void expect_broken(stw_status status, uint32_t code) {
  assert_int_equal(status, STW_E_PROTOCOL);
  assert_int_equal(item.close_code, code);
  assert_true(server.why[0] != '\0');
  assert_int_equal(give_data(1), STW_E_STATE);
  take_nothing();
  client.has[0] = client.has[1] = 0;
  client.gave[0] = client.gave[1] = 0;
  client.is_welcomed = false;
  renew();
  connect_client();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
