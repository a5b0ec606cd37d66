/* Both lanes and what is parked beside them, with the store that they tell played by a list.
 *
 * The program is linked with --wrap for stwi_msg_has_id, so that looking for an id can be counted.
 */
#include "core/keys.h"
#include "core/outbox.h"

#include "core/pace.h"
#include "failing_mem.h"
#include "messages.h"
#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STREAM 64u
enum { KEPT_MAX = 4096, OTHER = 1000 };

/* What a store would hold: everything that stands or is parked, by id. */
struct kept {
  stw_message_id id;
  uint64_t number; /* 0: parked */
  stw_lane lane;
  stw_message_state state;
};

static struct stwi_outbox lanes[STW_LANE_COUNT];
static struct stwi_parked parked;
static struct kept kept[KEPT_MAX];
static size_t kept_count;
static uint64_t numbers[STW_LANE_COUNT];
static struct stwi_random dice;

static size_t kept_at(stw_lane lane, uint64_t number) {
  size_t i = 0;
  while (i < kept_count && !(kept[i].number == number && kept[i].lane == lane))
    i++;
  return i;
}

static size_t kept_id(stw_message_id id) {
  size_t i = 0;
  while (i < kept_count && !(kept[i].id.number == id.number && kept[i].id.stream == id.stream))
    i++;
  return i;
}

static void drop_kept(size_t i) {
  assert_true(i < kept_count);
  kept[i] = kept[--kept_count];
}

static void settle_kept(stw_lane lane, uint64_t upto) {
  for (size_t i = 0; i < kept_count;) {
    if (kept[i].lane == lane && kept[i].number > 0 && kept[i].number <= upto)
      drop_kept(i);
    else
      i++;
  }
}

static void store(void *unused, const struct stwi_store_change *change) {
  (void)unused;
  switch (change->op) {
  case STWI_STORE_PUT:
    assert_int_equal(kept_at(change->lane, change->number), kept_count);
    assert_int_equal(kept_id(change->id), kept_count);
    kept[kept_count++] =
        (struct kept){change->id, change->number, change->lane, STW_MESSAGE_QUEUED};
    break;
  case STWI_STORE_SETTLED:
    settle_kept(change->lane, change->number);
    break;
  case STWI_STORE_REMOVE:
    drop_kept(kept_at(change->lane, change->number));
    break;
  case STWI_STORE_PARK:
    if (change->number > 0)
      drop_kept(kept_at(change->lane, change->number));
    kept[kept_count++] = (struct kept){change->id, 0, change->lane, change->msg->state};
    break;
  case STWI_STORE_FORGET:
    assert_int_equal(kept[kept_id(change->id)].number, 0);
    drop_kept(kept_id(change->id));
    break;
  default:
    fail();
  }
}

static void begin(enum stwi_overflow overflow, enum stwi_unknown_fate fate, uint64_t messages) {
  const struct stwi_conn_config config = {.outbox_messages = messages,
                                          .outbox_bytes = 1 << 20,
                                          .outbox_overflow = overflow,
                                          .unknown_fate = fate,
                                          .dead_letters = 4};
  stwi_lanes_init(lanes, &parked, &config, STREAM);
  kept_count = 0;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    lanes[lane].tell = store;
    numbers[lane] = 0;
  }
}

static int set_up(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  begin(STWI_OVERFLOW_REJECT, STWI_UNKNOWN_REPLAY, 1000);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  failing_mem_after = -1;
  stwi_lanes_fini(lanes);
  return failing_mem_live == 0 ? 0 : -1;
}

static stw_message_id id_of(stw_lane lane, uint64_t number) {
  return (stw_message_id){STREAM | (uint64_t)lane, number};
}

static bool submit(stw_lane lane, const struct message_spec *spec, const stw_message_id *id,
                   bool is_move) {
  struct message_spec next = *spec;
  next.number = numbers[lane] + 1;
  struct stwi_chunk *chunk = messages_chunk(&next, 1);
  assert_non_null(chunk);
  struct stwi_msg *msg = stwi_chunk_first(chunk);
  msg->lane = (uint8_t)lane;
  msg->is_move = is_move;
  msg->id = id == NULL ? id_of(lane, next.number) : *id;
  const bool is_taken = stwi_lanes_take(lanes, chunk, STWI_S);
  if (!is_taken)
    stwi_chunk_free_list(chunk);
  numbers[lane] += is_taken;
  return is_taken;
}

static stw_message_id send_to(stw_lane lane) {
  assert_true(submit(lane, &(struct message_spec){.size = 10}, NULL, false));
  return id_of(lane, numbers[lane]);
}

static void move_to(stw_lane lane, stw_message_id id) {
  assert_true(submit(lane, &(struct message_spec){0}, &id, true));
}

static struct stwi_msg *write_one(stw_lane lane) {
  struct stwi_msg *msg = stwi_outbox_next(&lanes[lane], STWI_S);
  if (msg != NULL)
    stwi_outbox_wrote(&lanes[lane], msg);
  return msg;
}

static void expect_end(stw_lane lane, stw_message_id id, stw_message_state state) {
  struct stwi_msg_end end;
  assert_int_equal(stwi_outbox_ends(&lanes[lane], &end, 1), 1);
  assert_int_equal(end.id.number, id.number);
  assert_int_equal(end.id.stream, id.stream);
  assert_int_equal(end.state, state);
}

static void expect_no_end(void) {
  assert_int_equal(lanes[STW_LANE_DATA].end_count, 0);
  assert_int_equal(lanes[STW_LANE_CONTROL].end_count, 0);
}

static stw_message_state state_of(stw_message_id id) {
  const struct stwi_msg *msg = stwi_lanes_find(lanes, id);
  return msg == NULL ? STW_MESSAGE_STATE_COUNT : (stw_message_state)msg->state;
}

/* ---- holding and releasing ---- */

static void others_pass_a_held_message(void **unused) {
  (void)unused;
  send_to(STW_LANE_DATA);
  const stw_message_id held = send_to(STW_LANE_DATA);
  const stw_message_id third = send_to(STW_LANE_DATA);
  assert_int_equal(stwi_lanes_edit(lanes, held, STW_EDIT_HOLD), STW_OK);
  assert_int_equal(state_of(held), STW_MESSAGE_HELD);
  assert_int_equal(stwi_lanes_messages(lanes), 3);
  assert_int_equal(stwi_lanes_bytes(lanes), 30);
  write_one(STW_LANE_DATA);
  assert_int_equal(write_one(STW_LANE_DATA)->id.number, third.number);
  assert_null(write_one(STW_LANE_DATA));
  stwi_outbox_prove(&lanes[STW_LANE_DATA], STW_PROOF_RECEIVED, 3, STW_PROOF_RECEIVED);
  expect_no_end();
  assert_int_equal(kept_count, 1);
}

static void a_released_one_goes_to_the_end_of_its_lane_with_its_id(void **unused) {
  (void)unused;
  const stw_message_id held = send_to(STW_LANE_DATA);
  stwi_lanes_edit(lanes, held, STW_EDIT_HOLD);
  send_to(STW_LANE_DATA);
  move_to(STW_LANE_DATA, held);
  assert_int_equal(state_of(held), STW_MESSAGE_QUEUED);
  assert_int_equal(parked.count, 0);
  assert_int_equal(write_one(STW_LANE_DATA)->number, 2);
  const struct stwi_msg *last = write_one(STW_LANE_DATA);
  assert_int_equal(last->id.number, held.number);
  assert_int_equal(last->number, 3);
  stwi_outbox_prove(&lanes[STW_LANE_DATA], STW_PROOF_RECEIVED, 3, STW_PROOF_RECEIVED);
  expect_end(STW_LANE_DATA, held, STW_MESSAGE_SETTLED);
  expect_no_end();
  assert_int_equal(kept_count, 0);
}

static void a_queued_one_can_change_the_lane(void **unused) {
  (void)unused;
  send_to(STW_LANE_DATA);
  const stw_message_id urgent = send_to(STW_LANE_DATA);
  move_to(STW_LANE_CONTROL, urgent);
  assert_int_equal(lanes[STW_LANE_CONTROL].messages, 1);
  assert_int_equal(lanes[STW_LANE_DATA].messages, 1);
  assert_int_equal(write_one(STW_LANE_CONTROL)->id.number, urgent.number);
  stwi_outbox_prove(&lanes[STW_LANE_CONTROL], STW_PROOF_RECEIVED, 1, STW_PROOF_RECEIVED);
  expect_end(STW_LANE_CONTROL, urgent, STW_MESSAGE_SETTLED);
}

static void what_was_written_stays_where_it_is(void **unused) {
  (void)unused;
  const stw_message_id id = send_to(STW_LANE_DATA);
  uint64_t messages, bytes;
  write_one(STW_LANE_DATA);
  for (unsigned i = 0; i < 2; i++) {
    move_to(STW_LANE_CONTROL, id);
    assert_int_equal(stwi_lanes_edit(lanes, id, STW_EDIT_HOLD), STW_E_STATE);
    assert_int_equal(stwi_lanes_edit(lanes, id, STW_EDIT_CANCEL), STW_E_STATE);
    assert_int_equal(lanes[STW_LANE_DATA].messages, 1);
    stwi_outbox_link_lost(&lanes[STW_LANE_DATA], &messages, &bytes);
  }
  assert_int_equal(state_of(id), STW_MESSAGE_QUEUED);
}

static void an_edit_of_nothing_does_nothing(void **unused) {
  (void)unused;
  const stw_message_id gone = id_of(STW_LANE_DATA, 77), foreign = {OTHER, 1};
  move_to(STW_LANE_DATA, gone);
  move_to(STW_LANE_CONTROL, foreign);
  assert_int_equal(stwi_lanes_messages(lanes), 0);
  assert_int_equal(stwi_lanes_edit(lanes, gone, STW_EDIT_HOLD), STW_E_NOT_FOUND);
  const stw_message_id here = send_to(STW_LANE_DATA);
  assert_int_equal(here.number, 2);
  assert_int_equal(stwi_lanes_edit(lanes, here, STW_EDIT_RELEASE), STW_E_STATE);
  stwi_lanes_edit(lanes, here, STW_EDIT_HOLD);
  assert_int_equal(stwi_lanes_edit(lanes, here, STW_EDIT_HOLD), STW_E_STATE);
}

static void a_held_one_can_be_cancelled_and_expires(void **unused) {
  (void)unused;
  const stw_message_id first = send_to(STW_LANE_CONTROL);
  stwi_lanes_edit(lanes, first, STW_EDIT_HOLD);
  assert_int_equal(stwi_lanes_edit(lanes, first, STW_EDIT_CANCEL), STW_OK);
  expect_end(STW_LANE_CONTROL, first, STW_MESSAGE_CANCELLED);
  submit(STW_LANE_DATA, &(struct message_spec){.size = 1, .ttl_ns = 5 * STWI_S}, NULL, false);
  submit(STW_LANE_DATA, &(struct message_spec){.size = 1, .ttl_ns = 9 * STWI_S}, NULL, false);
  stwi_lanes_edit(lanes, id_of(STW_LANE_DATA, 1), STW_EDIT_HOLD);
  stwi_lanes_edit(lanes, id_of(STW_LANE_DATA, 2), STW_EDIT_HOLD);
  assert_int_equal(stwi_lanes_expire(lanes, 2 * STWI_S), 6 * STWI_S);
  assert_int_equal(stwi_lanes_expire(lanes, 6 * STWI_S), 10 * STWI_S);
  expect_end(STW_LANE_DATA, id_of(STW_LANE_DATA, 1), STW_MESSAGE_EXPIRED);
  assert_int_equal(parked.held, 1);
  assert_int_equal(kept_count, 1);
}

/* ---- letters ---- */

static void die(stw_lane lane) {
  uint64_t messages, bytes;
  for (unsigned strike = 0; strike < 3; strike++) {
    write_one(lane);
    stwi_outbox_strike(&lanes[lane], STW_CAUSE_TOO_BIG);
    stwi_outbox_link_lost(&lanes[lane], &messages, &bytes);
  }
}

static void the_dead_are_kept_up_to_their_bound_and_can_be_sent_again(void **unused) {
  (void)unused;
  stw_message_id ids[6];
  for (unsigned i = 0; i < 6; i++) {
    ids[i] = send_to(STW_LANE_DATA);
    die(STW_LANE_DATA);
    expect_end(STW_LANE_DATA, ids[i], STW_MESSAGE_DEAD);
  }
  assert_int_equal(parked.letters, 4);
  assert_int_equal(kept_count, 4);
  assert_int_equal(state_of(ids[1]), STW_MESSAGE_STATE_COUNT);
  const struct stwi_msg *letter = stwi_lanes_find(lanes, ids[5]);
  assert_int_equal(letter->cause, STW_CAUSE_TOO_BIG);
  assert_int_equal(letter->attempts, 3);
  move_to(STW_LANE_DATA, ids[5]);
  assert_int_equal(write_one(STW_LANE_DATA)->id.number, ids[5].number);
  assert_int_equal(stwi_lanes_edit(lanes, ids[4], STW_EDIT_CANCEL), STW_OK);
  assert_int_equal(parked.letters, 2);
  expect_no_end();
}

static void a_letter_whose_end_was_not_told_yet_is_not_moved(void **unused) {
  (void)unused;
  const stw_message_id id = send_to(STW_LANE_DATA);
  die(STW_LANE_DATA);
  move_to(STW_LANE_DATA, id);
  assert_int_equal(state_of(id), STW_MESSAGE_DEAD);
  expect_end(STW_LANE_DATA, id, STW_MESSAGE_DEAD);
}

static void an_unknown_fate_is_asked_about_or_final(void **unused) {
  (void)unused;
  for (unsigned fate = STWI_UNKNOWN_REPLAY; fate <= STWI_UNKNOWN_FAIL; fate++) {
    stwi_lanes_fini(lanes);
    begin(STWI_OVERFLOW_REJECT, (enum stwi_unknown_fate)fate, 10);
    const stw_message_id id = send_to(STW_LANE_DATA);
    uint64_t messages, bytes;
    write_one(STW_LANE_DATA);
    stwi_outbox_link_lost(&lanes[STW_LANE_DATA], &messages, &bytes);
    assert_int_equal(messages, fate == STWI_UNKNOWN_REPLAY);
    assert_int_equal(parked.letters, fate == STWI_UNKNOWN_ASK);
    assert_int_equal(kept_count, fate != STWI_UNKNOWN_FAIL);
    if (fate != STWI_UNKNOWN_REPLAY)
      expect_end(STW_LANE_DATA, id, STW_MESSAGE_UNKNOWN);
  }
}

static void a_peer_that_forgot_leaves_what_was_written_in_doubt(void **unused) {
  (void)unused;
  const stw_message_id first = send_to(STW_LANE_DATA);
  const stw_message_id second = send_to(STW_LANE_DATA);
  uint64_t messages, bytes;
  write_one(STW_LANE_DATA);
  stwi_outbox_link_lost(&lanes[STW_LANE_DATA], &messages, &bytes);
  stwi_outbox_doubt(&lanes[STW_LANE_DATA], STW_CAUSE_RESTART);
  assert_int_equal(state_of(first), STW_MESSAGE_QUEUED);
  lanes[STW_LANE_DATA].fate = STWI_UNKNOWN_FAIL;
  stwi_outbox_doubt(&lanes[STW_LANE_DATA], STW_CAUSE_RESTART);
  expect_end(STW_LANE_DATA, first, STW_MESSAGE_UNKNOWN);
  assert_int_equal(state_of(second), STW_MESSAGE_QUEUED);
}

/* ---- chunks ---- */

static void a_parked_message_does_not_keep_the_chunk_it_came_with(void **unused) {
  (void)unused;
  struct message_spec specs[100];
  memset(specs, 0, sizeof specs);
  for (unsigned i = 0; i < 100; i++) {
    specs[i].number = i + 1;
    specs[i].size = 100;
  }
  struct stwi_chunk *chunk = messages_chunk(specs, 100);
  for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg))
    msg->id = id_of(STW_LANE_DATA, msg->number);
  assert_true(stwi_lanes_take(lanes, chunk, STWI_S));
  const uint32_t large = chunk->size;
  numbers[STW_LANE_DATA] = 100;
  assert_int_equal(stwi_lanes_edit(lanes, id_of(STW_LANE_DATA, 2), STW_EDIT_HOLD), STW_OK);
  die(STW_LANE_DATA);
  expect_end(STW_LANE_DATA, id_of(STW_LANE_DATA, 1), STW_MESSAGE_DEAD);
  for (uint64_t number = 1; number <= 2; number++) {
    const struct stwi_msg *msg = stwi_lanes_find(lanes, id_of(STW_LANE_DATA, number));
    assert_int_equal(msg->size, 100);
    assert_true(msg->home->size < large / 50);
  }
  move_to(STW_LANE_CONTROL, id_of(STW_LANE_DATA, 2));
  assert_int_equal(write_one(STW_LANE_CONTROL)->id.number, 2);
}

/* ---- bounds, keys, strangers ---- */

static void the_bounds_are_common_and_urgent_ones_outlive_the_others(void **unused) {
  (void)unused;
  stwi_lanes_fini(lanes);
  begin(STWI_OVERFLOW_DROP_OLDEST, STWI_UNKNOWN_REPLAY, 3);
  const stw_message_id held = send_to(STW_LANE_DATA);
  stwi_lanes_edit(lanes, held, STW_EDIT_HOLD);
  const stw_message_id first = send_to(STW_LANE_DATA);
  send_to(STW_LANE_DATA);
  send_to(STW_LANE_CONTROL);
  expect_end(STW_LANE_DATA, first, STW_MESSAGE_DROPPED);
  send_to(STW_LANE_CONTROL);
  assert_int_equal(lanes[STW_LANE_DATA].messages, 0);
  send_to(STW_LANE_CONTROL);
  assert_int_equal(lanes[STW_LANE_CONTROL].messages, 2);
  assert_int_equal(stwi_lanes_messages(lanes), 3);
}

static void a_moved_message_replaces_nothing_by_its_key(void **unused) {
  (void)unused;
  const struct message_spec spec = {.size = 5, .key = "k"};
  submit(STW_LANE_DATA, &spec, NULL, false);
  const stw_message_id held = id_of(STW_LANE_DATA, 1);
  stwi_lanes_edit(lanes, held, STW_EDIT_HOLD);
  submit(STW_LANE_DATA, &spec, NULL, false);
  expect_no_end(); /* a held one is not replaced */
  move_to(STW_LANE_DATA, held);
  expect_no_end();
  assert_int_equal(lanes[STW_LANE_DATA].messages, 2);
  uint64_t messages, bytes;
  write_one(STW_LANE_DATA);
  write_one(STW_LANE_DATA);
  stwi_outbox_link_lost(&lanes[STW_LANE_DATA], &messages, &bytes);
  assert_int_equal(messages, 2);
}

static void a_message_that_is_there_already_is_not_taken_twice(void **unused) {
  (void)unused;
  const stw_message_id foreign = {OTHER, 5};
  const struct message_spec spec = {.size = 5};
  assert_true(submit(STW_LANE_DATA, &spec, &foreign, false));
  assert_true(submit(STW_LANE_CONTROL, &spec, &foreign, false));
  assert_int_equal(stwi_lanes_messages(lanes), 1);
  assert_int_equal(state_of(foreign), STW_MESSAGE_QUEUED);
  write_one(STW_LANE_DATA);
  stwi_outbox_prove(&lanes[STW_LANE_DATA], STW_PROOF_RECEIVED, 1, STW_PROOF_RECEIVED);
  expect_end(STW_LANE_DATA, foreign, STW_MESSAGE_SETTLED);
}

static void poison_is_found_among_both_lanes(void **unused) {
  (void)unused;
  const stw_message_id urgent = send_to(STW_LANE_CONTROL);
  const stw_message_id bad = send_to(STW_LANE_DATA);
  uint64_t messages, bytes;
  for (unsigned link = 0; link < 3; link++) {
    write_one(STW_LANE_CONTROL);
    if (link == 1) {
      assert_null(stwi_outbox_next(&lanes[STW_LANE_DATA], STWI_S)); /* one at a time */
      stwi_outbox_prove(&lanes[STW_LANE_CONTROL], STW_PROOF_RECEIVED, 1, STW_PROOF_RECEIVED);
    }
    write_one(STW_LANE_DATA);
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
      stwi_outbox_strike(&lanes[lane], STW_CAUSE_TOO_BIG);
      stwi_outbox_link_lost(&lanes[lane], &messages, &bytes);
    }
  }
  expect_end(STW_LANE_DATA, bad, STW_MESSAGE_DEAD);
  assert_int_equal(state_of(urgent), STW_MESSAGE_STATE_COUNT);
  expect_no_end();
}

/* ---- how long it takes to find one ---- */

static uint64_t compared; /* ids looked at */

bool __real_stwi_msg_has_id(const struct stwi_msg *msg, stw_message_id id);
bool __wrap_stwi_msg_has_id(const struct stwi_msg *msg, stw_message_id id);

bool __wrap_stwi_msg_has_id(const struct stwi_msg *msg, stw_message_id id) {
  compared++;
  return __real_stwi_msg_has_id(msg, id);
}

/* Looking for one must not take longer where there are many; quadratic work would fail at once. */
#define FEW(call)                                                                                  \
  do {                                                                                             \
    compared = 0;                                                                                  \
    call;                                                                                          \
    assert_in_range(compared, 1, 8);                                                               \
  } while (0)

static void a_hundred_thousand_moved_messages_are_edited_one_by_one(void **unused) {
  (void)unused;
  enum { MANY = 100000 };
  stwi_lanes_fini(lanes);
  begin(STWI_OVERFLOW_REJECT, STWI_UNKNOWN_REPLAY, MANY);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    lanes[lane].tell = NULL;
  for (uint64_t i = 0; i < MANY; i++)
    send_to(STW_LANE_DATA);
  for (uint64_t i = 1; i <= MANY; i++) /* not in order, nor from one end */
    FEW(move_to(STW_LANE_CONTROL, id_of(STW_LANE_DATA, i * 77777 % MANY + 1)));
  assert_int_equal(lanes[STW_LANE_CONTROL].messages, MANY);
  assert_int_equal(lanes[STW_LANE_DATA].count, 0);
  for (uint64_t i = 1; i <= MANY; i++)
    FEW(assert_int_equal(stwi_lanes_edit(lanes, id_of(STW_LANE_DATA, i), STW_EDIT_HOLD), STW_OK));
  assert_int_equal(parked.held, MANY);
  for (uint64_t i = 1; i <= MANY; i++)
    FEW(move_to(STW_LANE_DATA, id_of(STW_LANE_DATA, i * 33333 % MANY + 1)));
  assert_int_equal(parked.count, 0);
  for (uint64_t i = 1; i <= MANY; i++)
    FEW(assert_int_equal(stwi_lanes_edit(lanes, id_of(STW_LANE_DATA, i), STW_EDIT_CANCEL), STW_OK));
  assert_int_equal(stwi_lanes_messages(lanes), 0);
  struct stwi_msg_end end;
  while (stwi_outbox_ends(&lanes[STW_LANE_DATA], &end, 1) > 0)
    continue;
}

/* ---- what a store kept ---- */

static void what_was_kept_goes_on_where_it_was(void **unused) {
  (void)unused;
  const struct message_spec specs[] = {{.number = 4, .size = 5}, {.number = 9, .size = 5}};
  struct stwi_restored restored = {.has_store = true,
                                   .chunks = messages_chunk(specs, 2),
                                   .parked = messages_chunk(specs, 2),
                                   .last_number = {12, 3}};
  struct stwi_msg *msg = stwi_chunk_first(restored.chunks);
  for (; msg != NULL; msg = stwi_chunk_after(msg)) {
    msg->id = id_of(STW_LANE_DATA, msg->number);
    msg->attempts = 1;
  }
  msg = stwi_chunk_first(restored.parked);
  msg->state = STW_MESSAGE_HELD;
  msg->id = (stw_message_id){OTHER, 1};
  msg = stwi_chunk_after(msg);
  msg->state = STW_MESSAGE_DEAD;
  msg->id = (stw_message_id){OTHER, 2};
  assert_true(stwi_lanes_restore(lanes, &restored, STWI_S));
  assert_int_equal(kept_count, 0); /* the store knows */
  assert_int_equal(lanes[STW_LANE_DATA].taken, 12);
  assert_int_equal(lanes[STW_LANE_CONTROL].taken, 3);
  assert_int_equal(write_one(STW_LANE_DATA)->number, 4);
  assert_int_equal(write_one(STW_LANE_DATA)->attempts, 2);
  assert_int_equal(state_of((stw_message_id){OTHER, 1}), STW_MESSAGE_HELD);
  stwi_lanes_tell_all(lanes);
  assert_int_equal(kept_count, 4);
}

static void what_was_parked_needs_no_more_memory_than_it_has_bytes(void **unused) {
  (void)unused;
  struct stwi_chunk *chunk = stwi_chunk_new(1 << 18); /* as a store reads them */
  for (uint64_t number = 1; number <= 3; number++) {
    struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, "body", 4);
    msg->id = (stw_message_id){OTHER, number};
    msg->state = STW_MESSAGE_HELD;
  }
  const struct stwi_restored restored = {.has_store = true, .parked = chunk};
  assert_true(stwi_lanes_restore(lanes, &restored, STWI_S));
  for (uint64_t number = 1; number <= 3; number++) {
    const struct stwi_msg *msg = stwi_lanes_find(lanes, (stw_message_id){OTHER, number});
    assert_int_equal(msg->home->size, stwi_msg_footprint(0, 4));
    assert_memory_equal(stwi_msg_body(msg), "body", 4);
  }
}

static void what_was_kept_is_freed_without_memory(void **unused) {
  (void)unused;
  const struct message_spec specs[] = {{.number = 1, .size = 5, .key = "k"}};
  for (int after = 0; after < 4; after++) {
    struct stwi_restored restored = {.chunks = messages_chunk(specs, 1),
                                     .parked = messages_chunk(specs, 1)};
    stwi_chunk_first(restored.parked)->state = STW_MESSAGE_HELD;
    failing_mem_after = after;
    const bool is_taken = stwi_lanes_restore(lanes, &restored, STWI_S);
    failing_mem_after = -1;
    assert_int_equal(is_taken, after >= 4);
    stwi_lanes_fini(lanes);
    assert_int_equal(failing_mem_live, 0);
    begin(STWI_OVERFLOW_REJECT, STWI_UNKNOWN_REPLAY, 1000);
  }
}

/* ---- any sequence ---- */

static stw_message_id any_id(void) {
  if (kept_count > 0 && stwi_random_below(&dice, 4) > 0)
    return kept[stwi_random_below(&dice, kept_count)].id;
  const stw_lane lane = (stw_lane)stwi_random_below(&dice, 2);
  return id_of(lane, stwi_random_below(&dice, numbers[lane] + 2));
}

static void random_step(void) {
  const stw_lane lane = (stw_lane)stwi_random_below(&dice, 2);
  struct stwi_outbox *outbox = &lanes[lane];
  static const char *const keys[] = {NULL, NULL, NULL, "a", "b"};
  const stw_message_id foreign = {OTHER, stwi_random_below(&dice, 50)};
  const struct message_spec spec = {
      .size = (uint32_t)stwi_random_below(&dice, 50),
      .key = keys[stwi_random_below(&dice, 5)],
      .guarantee = stwi_random_below(&dice, 5) == 0 ? STW_AT_MOST_ONCE : STW_AT_LEAST_ONCE,
      .ttl_ns = stwi_random_below(&dice, 9) == 0 ? STWI_MS : 0};
  switch (stwi_random_below(&dice, 10)) {
  case 0:
  case 1:
    submit(lane, &spec, stwi_random_below(&dice, 9) == 0 ? &foreign : NULL, false);
    break;
  case 2:
    move_to(lane, any_id());
    break;
  case 3:
    stwi_lanes_edit(lanes, any_id(), STW_EDIT_HOLD);
    break;
  case 4:
    stwi_lanes_edit(lanes, any_id(), STW_EDIT_CANCEL);
    break;
  case 5:
  case 6:
    write_one(lane);
    break;
  case 7:
    stwi_outbox_prove(outbox, STW_PROOF_RECEIVED, stwi_random_below(&dice, numbers[lane] + 2),
                      STW_PROOF_RECEIVED);
    break;
  case 8:
    stwi_lanes_expire(lanes, STWI_S + stwi_random_below(&dice, 3) * STWI_MS);
    break;
  default: {
    uint64_t messages, bytes;
    struct stwi_msg_end end;
    for (unsigned i = 0; i < STW_LANE_COUNT; i++) {
      if (stwi_random_below(&dice, 2) == 0)
        stwi_outbox_strike(&lanes[i], STW_CAUSE_TOO_BIG);
      stwi_outbox_link_lost(&lanes[i], &messages, &bytes);
      while (stwi_outbox_ends(&lanes[i], &end, 1) > 0)
        assert_int_not_equal(end.state, STW_MESSAGE_HELD);
    }
  }
  }
}

/* Everything that stands or is parked is in the store, at the same place, and nothing else. */
static void compare(void) {
  size_t count = 0;
  uint64_t bytes = 0;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    uint64_t standing = 0;
    const struct stwi_msg *msg;
    for (uint64_t at = 0; (msg = stwi_outbox_after(&lanes[lane], at)) != NULL; at = msg->number) {
      const struct kept *row = &kept[kept_at((stw_lane)lane, msg->number)];
      assert_true(stwi_msg_has_id(msg, row->id));
      assert_ptr_equal(stwi_lanes_find(lanes, msg->id), msg);
      assert_int_equal(msg->lane, lane);
      bytes += msg->size;
      standing++;
    }
    assert_int_equal(standing, lanes[lane].messages);
    count += standing;
  }
  const struct stwi_parking *item;
  for (uint64_t at = 0; (item = stwi_parked_after(&parked, at)) != NULL; at = item->serial) {
    const struct kept *row = &kept[kept_id(item->msg->id)];
    assert_int_equal(row->number, 0);
    assert_int_equal(row->state, item->msg->state);
    assert_ptr_equal(stwi_lanes_find(lanes, item->msg->id), item->msg);
    bytes += item->msg->state == STW_MESSAGE_HELD ? item->msg->size : 0;
    count++;
  }
  assert_int_equal(count, kept_count);
  assert_int_equal(parked.count, parked.held + parked.letters);
  assert_int_equal(stwi_lanes_bytes(lanes), bytes);
}

static void the_store_always_knows_what_stands(void **unused) {
  (void)unused;
  stwi_random_seed(&dice, test_seed("lanes"));
  for (unsigned round = 0; round < 60; round++) {
    stwi_lanes_fini(lanes);
    assert_int_equal(failing_mem_live, 0);
    begin((enum stwi_overflow)stwi_random_below(&dice, 4),
          (enum stwi_unknown_fate)stwi_random_below(&dice, 3), 5 + stwi_random_below(&dice, 40));
    for (unsigned step = 0; step < 1500; step++) {
      random_step();
      if (step % 5 == 0)
        compare();
    }
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(others_pass_a_held_message),
      TEST(a_released_one_goes_to_the_end_of_its_lane_with_its_id),
      TEST(a_queued_one_can_change_the_lane),
      TEST(what_was_written_stays_where_it_is),
      TEST(an_edit_of_nothing_does_nothing),
      TEST(a_held_one_can_be_cancelled_and_expires),
      TEST(the_dead_are_kept_up_to_their_bound_and_can_be_sent_again),
      TEST(a_letter_whose_end_was_not_told_yet_is_not_moved),
      TEST(an_unknown_fate_is_asked_about_or_final),
      TEST(a_peer_that_forgot_leaves_what_was_written_in_doubt),
      TEST(a_parked_message_does_not_keep_the_chunk_it_came_with),
      TEST(the_bounds_are_common_and_urgent_ones_outlive_the_others),
      TEST(a_moved_message_replaces_nothing_by_its_key),
      TEST(a_message_that_is_there_already_is_not_taken_twice),
      TEST(poison_is_found_among_both_lanes),
      TEST(a_hundred_thousand_moved_messages_are_edited_one_by_one),
      TEST(what_was_kept_goes_on_where_it_was),
      TEST(what_was_parked_needs_no_more_memory_than_it_has_bytes),
      TEST(what_was_kept_is_freed_without_memory),
      TEST(the_store_always_knows_what_stands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
