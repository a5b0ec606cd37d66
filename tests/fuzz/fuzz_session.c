/* Plays arbitrary frames, calls and failing allocations against one role of steadwire.v1 and checks
 * what must hold whatever the peer does: each number reaches the host once and in order or in a
 * gap, windows are kept both ways, what is written follows the numbers, memory is bounded and all
 * of it is given back.
 *
 * Input: one byte (bit 0: the client's role, else the server's; the other bits are options), then
 * steps of one byte and what they read.  make_session_corpus.py writes the seeds in corpus/session
 * from tests/vectors.
 */
#include "session_input.h"

#include "core/session_client.h"

#include <steadwire/session.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { MESSAGE_MAX = 300, HEAP_MAX = 64 * 1024, STEPS_MAX = 400 };
static const char cid[] = "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17";

static struct bases bases;
static uint64_t now;
static uint64_t delivered[STW_LANE_COUNT]; /* up to here the host was given messages or gaps */

static void deliver(stw_lane lane, uint64_t from, uint64_t to) {
  must((unsigned)lane < STW_LANE_COUNT);
  must(from == delivered[lane] + 1 && to >= from);
  delivered[lane] = to;
}

/* ---- the server ---- */

static stw_session *session;
static stw_session_options options;
static stw_session_view view;
static uint32_t link;
static uint8_t openings;
static uint8_t token[STWI_TOKEN_BYTES];
static bool has_token;
static uint64_t unaccepted[STW_LANE_COUNT]; /* messages given and not accepted */
static uint64_t open_numbers[STW_LANE_COUNT][16];
static bool has_taken_back;               /* a gap over what had come: its messages count not */
static uint64_t expected[STW_LANE_COUNT]; /* the next number to be written */
static uint64_t told[STW_LANE_COUNT];     /* by WELCOME and ACK on this link */
static uint64_t window_messages, window_bytes; /* the client's */
static struct { uint64_t number, size; } written[STW_LANE_COUNT][64];

static void look(void) {
  view = (stw_session_view){.struct_size = sizeof view};
  stw_session_look(session, &view);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const stw_session_lane_view *of = &view.lanes[lane];
    bases.in[lane] = of->received;
    bases.out[lane] = of->written == 0 ? 0 : of->written - 1;
    must(of->processed <= of->accepted && of->accepted <= of->received);
    must(of->client_accepted < of->next && of->kept <= options.ring_messages);
    must(of->kept_bytes <= options.ring_bytes);
    must(!view.is_known || of->received == delivered[lane]);
  }
}

static void set_up_server(unsigned bits) {
  options = (stw_session_options){
      .struct_size = sizeof options,
      .ring_messages = 1 + bits % 4 * 3,
      .ring_bytes = 2000,
      .window_messages = 8,
      .window_bytes = 1000,
      .message_max = MESSAGE_MAX,
      .part_bytes = 50,
      .accepts_later = (bits & 4) != 0,
      .says_processed = (bits & 8) != 0,
      .refuses_when_full = (bits & 16) != 0,
      .takes_optimistic = (bits & 32) != 0,
      .server = "fuzz",
  };
  session = stw_session_new(&options);
  must(session != NULL);
  link = openings = 0;
  has_token = has_taken_back = false;
}

/* Messages given to the host before, of those above what is accepted. */
static uint64_t count_unaccepted(void) {
  uint64_t count = 0;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < unaccepted[lane]; i++) {
      if (open_numbers[lane][i] > view.lanes[lane].accepted)
        open_numbers[lane][kept++] = open_numbers[lane][i];
    }
    unaccepted[lane] = kept;
    count += kept;
  }
  return count;
}

static void check_message(const stw_session_item *item) {
  must(item->u.message.size <= MESSAGE_MAX);
  if (item->u.message.number == 0)
    return;
  deliver(item->lane, item->u.message.number, item->u.message.number);
  const uint64_t before = count_unaccepted();
  if (before == 0)
    has_taken_back = false;
  must(has_taken_back || before < options.window_messages);
  if (has_taken_back || !options.accepts_later)
    return;
  open_numbers[item->lane][unaccepted[item->lane]++] = item->u.message.number;
}

static void give_server(const uint8_t *bytes, size_t size) {
  stw_session_item item;
  look();
  const stw_session_view before = view;
  const stw_status status = stw_session_receive(session, link, bytes, size, now, &item);
  must(status == STW_OK || item.close_code != 0);
  must(status == STW_OK || item.kind == STW_SESSION_NOTHING);
  struct stwi_sframe frame;
  const char *why;
  if (status == STW_OK && stwi_envelope.decode(bytes, size, &frame, &why) &&
      frame.type == STWI_SF_GAP && frame.u.gap.from <= before.lanes[frame.u.gap.lane].received)
    has_taken_back = true;
  if (item.kind == STW_SESSION_MESSAGE)
    check_message(&item);
  if (item.kind == STW_SESSION_GAP)
    deliver(item.lane, item.u.gap.from, item.u.gap.to);
  if (item.kind == STW_SESSION_REJECTED)
    must(item.u.rejected.number <= before.lanes[item.lane].written);
  if (item.kind == STW_SESSION_PROOF)
    must(item.u.proof.accepted <= before.lanes[item.lane].written &&
         item.u.proof.processed <= before.lanes[item.lane].next - 1);
  if (status == STW_E_PROTOCOL || status == STW_E_MEMORY) {
    const void *data;
    size_t left = 0;
    must(stw_session_receive(session, link, bytes, size, now, &item) == STW_E_STATE);
    must(stw_session_take(session, link, now, &data, &left) != STW_OK || left == 0);
  }
}

static void open_server(const uint8_t *hello, size_t size) {
  stw_session_claim claim = {.struct_size = sizeof claim,
                             .hello = hello,
                             .hello_size = size,
                             .principal = "",
                             .incarnation = 0x0123456789abcdef};
  for (unsigned i = 0; i < STWI_TOKEN_BYTES; i++)
    claim.random[16 + i] = (uint8_t)(0x80 + 0x20 * openings + i);
  look();
  const bool was_known = view.is_known;
  uint32_t opened;
  stw_refusal refusal;
  if (stw_session_open(session, &claim, now, &opened, &refusal) != STW_OK ||
      refusal != STW_REFUSAL_NONE)
    return;
  struct stwi_sframe frame;
  const char *why;
  must(stwi_envelope.decode(hello, size, &frame, &why));
  link = opened;
  openings++;
  window_messages = frame.u.hello.window_messages;
  window_bytes = frame.u.hello.window_bytes;
  memset(written, 0, sizeof written);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (!was_known)
      delivered[lane] = frame.u.hello.lowest[lane] - 1;
    expected[lane] = frame.u.hello.received[lane] + 1;
    told[lane] = 0;
  }
}

static void claim_server(void) {
  struct stwi_sframe frame = {.type = STWI_SF_HELLO};
  struct stwi_sf_hello *hello = &frame.u.hello;
  const unsigned bits = take_byte();
  look();
  *hello = (struct stwi_sf_hello){.versions = bits == 0xff ? 4 : 2, .caps = bits >> 4 & 7};
  memcpy(hello->cid, cid, sizeof hello->cid);
  hello->has_token = hello->has_incarnation = has_token && (bits & 3) != 3;
  memcpy(hello->token, token, sizeof token);
  hello->incarnation = 0x0123456789abcdef;
  hello->window_messages = bits & 4 ? 1 + take_byte() % 8 : 0;
  hello->window_bytes = bits & 4 ? take_byte() * 8 : 0;
  hello->message_max = bits & 8 ? take_byte() * 4 : 0;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    hello->received[lane] = take_number(view.lanes[lane].client_accepted);
    hello->processed[lane] = hello->received[lane] - hello->received[lane] % 2;
    hello->lowest[lane] = 1 + take_number(view.lanes[lane].accepted) % (INT64_MAX - 1);
    hello->next[lane] = hello->lowest[lane] + take_byte();
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (hello->next[lane] > INT64_MAX)
      hello->next[lane] = INT64_MAX;
  }
  uint8_t bytes[FRAME_MAX];
  open_server(bytes, write_frame(&frame, bytes, sizeof bytes));
}

/* What the client has not accepted of the last 64 messages of each lane fits its window, or is one
 * message alone. */
static void check_client_window(void) {
  uint64_t messages = 0, bytes = 0;
  for (unsigned i = 0; i < STW_LANE_COUNT; i++) {
    const uint64_t recent = expected[i] < 64 ? 1 : expected[i] - 62;
    const uint64_t above = view.lanes[i].client_accepted + 1;
    for (uint64_t n = above > recent ? above : recent; n <= expected[i]; n++) {
      messages += written[i][n % 64].number == n;
      bytes += written[i][n % 64].number == n ? written[i][n % 64].size : 0;
    }
  }
  must(messages <= 1 || window_messages == 0 || messages <= window_messages);
  must(messages <= 1 || window_bytes == 0 || bytes <= window_bytes);
}

static void count_written(const struct stwi_sframe *frame) {
  const stw_lane lane = frame->u.data.lane;
  const uint64_t number = frame->u.data.number;
  must(number == expected[lane]);
  if (written[lane][number % 64].number != number)
    written[lane][number % 64].size = 0;
  written[lane][number % 64].number = number;
  written[lane][number % 64].size += frame->u.data.size;
  look();
  check_client_window();
}

static void check_frame(const struct stwi_sframe *frame) {
  if (frame->type == STWI_SF_WELCOME) {
    memcpy(token, frame->u.welcome.token, sizeof token);
    has_token = true;
  } else if (frame->type == STWI_SF_ACK) {
    const stw_lane lane = frame->u.ack.lane;
    must(frame->u.ack.accepted >= told[lane] && frame->u.ack.accepted <= delivered[lane]);
    told[lane] = frame->u.ack.accepted;
  } else if (frame->type == STWI_SF_GAP) {
    must(frame->u.gap.from == expected[frame->u.gap.lane]);
    expected[frame->u.gap.lane] = frame->u.gap.to + 1;
  } else if (frame->type == STWI_SF_PART) {
    count_written(frame);
  } else if (frame->type == STWI_SF_DATA) {
    count_written(frame);
    expected[frame->u.data.lane]++;
  }
}

/* Writes what there is to write; bounded, since nothing that is taken makes more. */
static void drain_server(void) {
  for (unsigned frames = 0;; frames++) {
    const void *data;
    size_t size;
    if (stw_session_take(session, link, now, &data, &size) != STW_OK || size == 0)
      return;
    struct stwi_sframe frame;
    const char *why;
    must(stwi_envelope.decode(data, size, &frame, &why));
    check_frame(&frame);
    must(frames < 1000);
  }
}

static void move_server(void) {
  uint8_t state[STW_SESSION_STATE_MAX];
  size_t size;
  if (stw_session_save(session, state, &size) != STW_OK)
    return;
  stw_session *other = stw_session_new(&options);
  if (other == NULL)
    return;
  stw_session_free(session);
  session = other;
  must(stw_session_load(session, state, size) == STW_OK);
  stw_session_view loaded = {.struct_size = sizeof loaded};
  stw_session_look(session, &loaded);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    must(loaded.lanes[lane].received <= delivered[lane]);
    delivered[lane] = loaded.lanes[lane].received; /* what was not accepted comes again */
    unaccepted[lane] = 0;
    const uint64_t kept = loaded.lanes[lane].next - 1;
    if (kept > 0 && take_byte() % 2 == 0)
      stw_session_restore(session, (stw_lane)lane, kept, "kept", 4, true);
  }
  link = 0;
}

static void call_server(unsigned what) {
  static const char body[2 * MESSAGE_MAX];
  const stw_lane lane = (stw_lane)(take_byte() % 3); /* one too many */
  uint64_t number;
  look();
  switch (what) {
  case 0:
    stw_session_accept(session, lane, take_number(lane < STW_LANE_COUNT ? bases.in[lane] : 0), now);
    break;
  case 1:
    stw_session_processed(session, lane, take_number(lane < STW_LANE_COUNT ? bases.in[lane] : 0),
                          now);
    break;
  case 2:
    stw_session_send(session, lane, body, take_byte() * 2, take_byte() % 2 == 0, &number);
    break;
  case 3:
    stw_session_goaway(session, 1, 2, "elsewhere", 1012);
    break;
  case 4:
    stw_session_close(session, 1000, "bye");
    break;
  case 5:
    stw_session_auth(session, true, 1000);
    break;
  case 6:
    stw_session_lost(session, link - take_byte() % 2);
    break;
  default:
    move_server();
    break;
  }
}

static void step_server(unsigned op) {
  uint8_t bytes[FRAME_MAX];
  struct stwi_sframe frame;
  size_t size;
  if (op == 0) {
    const uint8_t *given = take_bytes(&size);
    stw_hello hello = {.struct_size = sizeof hello};
    uint32_t close_code;
    if (stw_hello_read(given, size, &hello, &close_code) == STW_OK)
      open_server(given, size);
    else
      give_server(given, size);
  } else if (op < 5) {
    look();
    if (take_frame(&frame, &bases)) {
      size = stwi_envelope.encode(&frame, bytes, sizeof bytes);
      if (size > 0)
        give_server(bytes, write_frame(&frame, bytes, sizeof bytes));
    }
  } else if (op == 5) {
    claim_server();
  } else if (op == 6) {
    drain_server();
  } else {
    call_server(take_byte() % 8);
  }
  look();
}

/* ---- the client ---- */

static struct stwi_session_client client;
static bool is_linked;

static void set_up_client(unsigned bits) {
  struct stwi_session_saved saved = {.is_welcomed = (bits & 2) != 0};
  memcpy(saved.cid, cid, sizeof saved.cid);
  saved.processed[0] = bits >> 2 & 3;
  saved.incarnation = 0x0123456789abcdef;
  stwi_sclient_init(&client, &saved, NULL, MESSAGE_MAX);
  is_linked = false;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    delivered[lane] = client.in[lane].seen.accepted;
}

static void unlink_client(void) {
  stwi_sclient_unlink(&client);
  is_linked = false;
}

static void hello_client(void) {
  struct stwi_sclient_place place = {.window_bytes = 1000, .auth = {"", 0}};
  struct stwi_sframe frame;
  uint8_t bytes[FRAME_MAX];
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    place.lowest[lane] = client.out[lane].acked + 1;
    place.next[lane] = place.lowest[lane] + take_byte();
  }
  stwi_sclient_link(&client);
  stwi_sclient_hello(&client, &place, &frame);
  write_frame(&frame, bytes, sizeof bytes);
  must(frame.u.hello.received[0] == delivered[0] && frame.u.hello.received[1] == delivered[1]);
  is_linked = true;
}

static void on_client_news(const struct stwi_sframe *frame, const struct stwi_sclient_news *news) {
  switch (news->kind) {
  case STWI_SNEWS_MESSAGE:
    must(news->u.message.size <= MESSAGE_MAX);
    if (frame->u.data.number != 0)
      deliver(frame->u.data.lane, frame->u.data.number, frame->u.data.number);
    stwi_free(news->u.message.held);
    if (take_byte() < 16) { /* the host had no room */
      stwi_sclient_untake(&client, frame->u.data.lane, frame->u.data.number);
      delivered[frame->u.data.lane] -= frame->u.data.number != 0;
      unlink_client();
    }
    break;
  case STWI_SNEWS_GAP:
    deliver(frame->u.gap.lane, news->u.gap.from, news->u.gap.to);
    break;
  case STWI_SNEWS_WELCOMED:
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
      const struct stwi_sclient_hole *hole = &news->u.welcomed.holes[lane];
      if (hole->from != 0)
        deliver((stw_lane)lane, hole->from, hole->to);
    }
    break;
  case STWI_SNEWS_NACKED:
    must(frame->u.nack.number < client.out[frame->u.nack.lane].next);
    break;
  case STWI_SNEWS_REFUSED:
    if (frame->u.close.code == STWI_REFUSE_STALE) {
      stwi_sclient_renew(&client, (const uint8_t *)cid);
      memset(delivered, 0, sizeof delivered);
    }
    unlink_client();
    break;
  case STWI_SNEWS_CLOSE:
    unlink_client();
    break;
  case STWI_SNEWS_BROKEN:
    must(news->u.broken.code == 4400 || news->u.broken.code == 1009);
    must(news->u.broken.why[0] != '\0');
    unlink_client();
    break;
  default:
    break;
  }
}

static void give_client(const struct stwi_sframe *frame) {
  struct stwi_sclient_news news;
  if (!is_linked)
    return;
  const uint64_t acked = client.out[0].acked;
  const bool is_welcome = frame->type == STWI_SF_WELCOME;
  stwi_sclient_take(&client, frame, now, &news);
  must(is_welcome || client.out[0].acked >= acked);
  on_client_news(frame, &news);
}

static void welcome_client(void) {
  struct stwi_sframe frame = {.type = STWI_SF_WELCOME};
  struct stwi_sf_welcome *welcome = &frame.u.welcome;
  const unsigned bits = take_byte();
  *welcome = (struct stwi_sf_welcome){.version = 1,
                                      .resume = (enum stwi_resume_state)(bits % 3),
                                      .caps = bits >> 2,
                                      .window_messages = take_byte() % 8,
                                      .window_bytes = take_byte() * 4,
                                      .message_max = take_byte() * 4};
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    welcome->received[lane] = take_number(client.out[lane].acked);
    welcome->processed[lane] = take_number(client.out[lane].processed);
    welcome->next[lane] = take_number(delivered[lane] + 3);
    welcome->lowest[lane] = take_number(delivered[lane] + 1);
    if (welcome->processed[lane] > welcome->received[lane])
      welcome->processed[lane] = welcome->received[lane];
  }
  give_client(&frame);
}

static void write_client(void) {
  const stw_lane lane = (stw_lane)(take_byte() % STW_LANE_COUNT);
  const uint64_t number = client.out[lane].next + take_byte() % 3;
  struct stwi_sframe gap;
  if (client.phase != STWI_SCLIENT_UP || !stwi_sclient_has_window(&client, 1, 10, 10))
    return;
  if (stwi_sclient_hole(&client, lane, number, &gap)) {
    must(gap.u.gap.to == number - 1 && gap.u.gap.from <= gap.u.gap.to);
    stwi_sclient_wrote(&client, lane, number - 1);
  }
  stwi_sclient_wrote(&client, lane, number);
}

static void control_client(bool is_last) {
  struct stwi_sframe frame;
  unsigned count = 0;
  while (stwi_sclient_next_control(&client, now, is_last, &frame)) {
    must(++count <= STWI_SCLIENT_PONGS_MAX + STW_LANE_COUNT);
    if (frame.type == STWI_SF_ACK)
      must(frame.u.ack.accepted == delivered[frame.u.ack.lane] &&
           frame.u.ack.processed <= frame.u.ack.accepted);
  }
  must(stwi_sclient_deadline(&client) > now);
}

static void step_client(unsigned op) {
  struct stwi_sframe frame;
  const char *why;
  size_t size;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    bases.in[lane] = delivered[lane];
    bases.out[lane] = client.out[lane].next < 2 ? 0 : client.out[lane].next - 2;
  }
  if (op == 0) {
    const uint8_t *given = take_bytes(&size);
    if (stwi_envelope.decode(given, size, &frame, &why))
      give_client(&frame);
    else if (is_linked)
      unlink_client();
  } else if (op < 4) {
    if (take_frame(&frame, &bases) &&
        (frame.type != STWI_SF_GAP || (frame.u.gap.from > 0 && frame.u.gap.from <= frame.u.gap.to)))
      give_client(&frame);
  } else if (op == 4) {
    hello_client();
  } else if (op == 5) {
    welcome_client();
  } else if (op == 6) {
    write_client();
  } else if (take_byte() % 2 == 0) {
    const stw_lane lane = (stw_lane)(take_byte() % STW_LANE_COUNT);
    stwi_sclient_processed(&client, lane, take_number(delivered[lane]), now);
  } else {
    control_client(take_byte() % 2 == 0);
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    must(client.in[lane].seen.accepted == delivered[lane]);
    must(client.in[lane].seen.processed <= delivered[lane]);
    must(client.out[lane].processed <= client.out[lane].acked);
    must(!is_linked || client.out[lane].acked < client.out[lane].next);
  }
}

/* ---- both ---- */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  input_at = input;
  input_end = input + size;
  const size_t before = heap_live;
  const unsigned bits = take_byte();
  const bool is_client = (bits & 1) != 0;
  now = 1000000000;
  memset(delivered, 0, sizeof delivered);
  memset(unaccepted, 0, sizeof unaccepted);
  if (is_client)
    set_up_client(bits);
  else
    set_up_server(bits >> 1);
  for (unsigned steps = 0; has_input() && steps < STEPS_MAX; steps++) {
    const unsigned op = take_byte();
    now += (uint64_t)(op >> 4 & 7) * 10000000;
    heap_fails_in = op >= 0xf8 ? (long)(op - 0xf8) : -1;
    if (is_client)
      step_client(op % 8);
    else
      step_server(op % 8);
    heap_fails_in = -1;
    must(heap_live - before <= HEAP_MAX);
  }
  if (is_client)
    stwi_sclient_fini(&client);
  else
    stw_session_free(session);
  must(heap_live == before);
  return 0;
}
