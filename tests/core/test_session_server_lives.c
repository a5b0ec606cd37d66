#include "core/session_server.h"

#include "seed.h"
#include "session_peer.h"

/* ---- another node ---- */

static void move_to_another_node(void) {
  uint8_t state[STW_SESSION_STATE_MAX];
  size_t size = 0;
  struct stwi_server next;
  assert_int_equal(stwi_server_save(&server, state, &size), STW_OK);
  assert_int_equal(stwi_server_init(&next, &options), STW_OK);
  assert_int_equal(stwi_server_load(&next, state, size), STW_OK);
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    const struct stwi_ring *ring = &server.lanes[i].ring;
    for (size_t k = 0; k < ring->count; k++) {
      const struct stwi_ring_entry *entry = stwi_ring_at(ring, k);
      assert_int_equal(stwi_server_restore(&next, (stw_lane)i, entry->number, entry->data,
                                           entry->size, entry->is_text),
                       STW_OK);
    }
  }
  stwi_server_fini(&server);
  server = next;
  server.options.server = server.name;
}

static void damaged_states_are_refused(void **unused) {
  (void)unused;
  uint8_t state[STW_SESSION_STATE_MAX];
  size_t size = 0;
  assert_int_equal(stwi_server_save(&server, state, &size), STW_E_STATE);
  connect_client();
  give_data(1);
  assert_int_equal(stwi_server_save(&server, state, &size), STW_OK);
  assert_int_equal(stwi_server_load(&server, state, size), STW_E_STATE);
  for (size_t cut = 0; cut < size; cut++) {
    renew();
    assert_int_equal(stwi_server_load(&server, state, cut), STW_E_FORMAT);
  }
  for (unsigned round = 0; round < 3000; round++) {
    uint8_t bad[STW_SESSION_STATE_MAX];
    memcpy(bad, state, size);
    bad[stwi_random_next(&dice) % size] = (uint8_t)stwi_random_next(&dice);
    renew();
    if (stwi_server_load(&server, bad, size) == STW_OK) {
      const struct stwi_sf_hello hello = hello_of();
      stw_session_claim claim = {.struct_size = sizeof claim, .principal = "alice"};
      uint32_t link = 0;
      stw_refusal refusal;
      stwi_server_open(&server, &hello, &claim, &link, &refusal);
    }
  }
}

/* Both ends are played with links that die anywhere, frames in flight that are lost, and moves to
 * another node.  The client knows only what it was told. */
static struct play {
  uint64_t sent[STW_LANE_COUNT]; /* by the client, on this link */
  uint64_t got[STW_LANE_COUNT];  /* by the server's host, committed or not */
  size_t parts[STW_LANE_COUNT];  /* bytes the client has of the message to come */
  bool is_up;                    /* the WELCOME has arrived */
} play;

static void play_post(stw_lane lane, uint64_t roll) {
  char body[64] = {0};
  const uint64_t number = server.lanes[lane].next;
  memcpy(body, &number, sizeof number);
  assert_int_equal(post(lane, body, 8 + roll % 50), number);
}

static void play_welcome(const struct stwi_sf_welcome *welcome) {
  play.is_up = client.is_welcomed = true;
  memcpy(client.token, welcome->token, sizeof client.token);
  memcpy(play.sent, welcome->received, sizeof play.sent);
}

static void play_take(void) {
  struct stwi_sframe frame;
  if (!stwi_server_take(&server, now, &frame))
    return;
  const stw_lane lane = frame.u.data.lane;
  if (frame.type == STWI_SF_WELCOME) {
    play_welcome(&frame.u.welcome);
  } else if (frame.type == STWI_SF_ACK) {
    assert_true(frame.u.ack.accepted <= client.gave[frame.u.ack.lane]);
  } else {
    const uint64_t wanted = client.has[lane] + 1;
    assert_true(frame.type == STWI_SF_PART || frame.type == STWI_SF_DATA);
    assert_int_equal(frame.u.data.number, wanted);
    if (play.parts[lane] == 0)
      assert_memory_equal(frame.u.data.payload, &wanted, sizeof wanted);
    play.parts[lane] = frame.type == STWI_SF_PART ? play.parts[lane] + frame.u.data.size : 0;
    client.has[lane] += frame.type == STWI_SF_DATA;
  }
}

static void play_give(stw_lane lane, uint64_t roll) {
  if (play.sent[lane] == client.gave[lane])
    client.gave[lane]++;
  const uint64_t number = ++play.sent[lane];
  assert_int_equal(give_bytes(STWI_SF_DATA, lane, number, 0, &number, sizeof number), STW_OK);
  if (item.kind == STW_SESSION_MESSAGE)
    assert_int_equal(item.u.message.number, ++play.got[lane]);
  assert_true(number <= play.got[lane]);
  if (roll % 3 == 0)
    stwi_server_accept(&server, lane, play.got[lane], now);
  if (roll % 7 == 0)
    stwi_server_processed(&server, lane, server.lanes[lane].accepted, now);
}

static void play_ack(stw_lane lane) {
  client.processed[lane] += (client.has[lane] - client.processed[lane] + 1) / 2;
  assert_int_equal(give_ack(lane, client.has[lane], client.processed[lane]), STW_OK);
}

static void play_step(void) {
  const uint64_t roll = stwi_random_next(&dice);
  const stw_lane lane = (stw_lane)(roll >> 8 & 1);
  now += roll % 20 * MS;
  switch (roll >> 16 & 3) {
  case 0:
    play_post(lane, roll);
    break;
  case 1:
    for (int i = 0; i < 6; i++)
      play_take();
    break;
  case 2:
    if (play.is_up)
      play_give(lane, roll);
    break;
  default:
    if (play.is_up)
      play_ack(lane);
    break;
  }
}

static void play_move(void) {
  for (int i = 0; i < STW_LANE_COUNT; i++) /* what was not committed is given again */
    play.got[i] = server.lanes[i].accepted;
  move_to_another_node();
}

static void nothing_is_lost_doubled_or_reordered_over_lives(void **unused) {
  (void)unused;
  const char *lives_text = getenv("STW_LIVES");
  const uint64_t lives = lives_text == NULL ? 3000 : strtoull(lives_text, NULL, 10);
  stwi_random_seed(&dice, test_seed("session_server"));
  options.part_bytes = 24;
  options.accepts_later = options.says_processed = options.takes_optimistic = true;
  client.caps |= STWI_SF_CAP_PROCESSED;
  play = (struct play){.is_up = false};
  renew();
  for (uint64_t life = 0; life < lives; life++) {
    if (life > 0 && stwi_random_below(&dice, 4) == 0)
      play_move();
    play.is_up = false;
    memset(play.parts, 0, sizeof play.parts);
    assert_int_equal(claim(), STW_REFUSAL_NONE);
    for (uint64_t steps = stwi_random_below(&dice, 60); steps > 0; steps--)
      play_step();
    for (int i = 0; i < STW_LANE_COUNT; i++)
      if (stwi_random_below(&dice, 8) == 0)
        client.has[i] = client.processed[i]; /* the client dies */
    if (stwi_random_below(&dice, 2) == 0)
      stwi_server_lost(&server, client.link);
  }
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    assert_true(lives < 100 || client.has[i] > lives);
    assert_true(lives < 100 || play.got[i] > lives);
    assert_int_equal(server.lanes[i].overflowed, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(damaged_states_are_refused),
      TEST(nothing_is_lost_doubled_or_reordered_over_lives),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
