/* Two ends in one process: the client keeps two lanes of numbered messages and lets sm do the
 * counting; the server counts as XEP-0198 says, on its own.  The wire between them loses its tail.
 * Whatever happens, no message is lost either way, none arrives twice but for a session that the
 * server forgot without a word, and nothing is taken for acknowledged that did not arrive.  The
 * rows of the table of libstrophe's defects (Debian 12) come first, each as a small story. */
#include "core/xmpp/sm.h"

#include "core/pace.h"
#include "seed.h"
#include "xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX = 4096, RUNS_MAX = 64, ROUNDS = 150, STEPS = 400 };

/* What a stanza is: a message of the client or of the server, or one without a number. */
struct stanza {
  stw_lane lane;
  uint64_t number; /* 0: the engine's own */
};

struct wire {
  struct stanza items[WIRE_MAX];
  unsigned count;
};

static struct {
  struct stwi_sm sm;
  struct stwi_sm_run runs[2][RUNS_MAX];
  unsigned which;
  struct stwi_sm_saved saved; /* what its store holds */
  bool is_up;
  uint64_t taken[STW_LANE_COUNT]; /* messages there are */
  uint64_t next[STW_LANE_COUNT];  /* to be written on this link */
  uint64_t proven[STW_LANE_COUNT];
  struct stanza log[WIRE_MAX]; /* of this session, by count from `log_base` + 1 */
  uint64_t log_base;
  unsigned log_count;
  struct stanza mailbox[WIRE_MAX]; /* with the host, not handled; number and index */
  uint64_t indexes[WIRE_MAX];
  unsigned waiting;
  uint64_t host_has; /* the last message that the host has handled */
} client;

static struct {
  unsigned session; /* its id; 0: none */
  uint64_t in;      /* stanzas of the client, counted */
  uint64_t out, out_acked;
  uint64_t has[STW_LANE_COUNT];      /* of the client's messages, all up to here */
  uint64_t repeated[STW_LANE_COUNT]; /* up to here they may come again */
  uint64_t made;                     /* its own messages so far */
  struct stanza sent[WIRE_MAX];      /* out_acked + 1.. */
  uint64_t host_repeated;            /* up to here its messages may come again to the host */
} server;

static struct wire to_server, to_client;
static struct stwi_random dice;
static uint64_t start; /* of both counts of a session: near the wrap now and then */

static uint64_t roll(uint64_t sides) {
  return stwi_random_below(&dice, sides);
}

static void take_from(struct wire *wire, unsigned count) {
  wire->count -= count;
  memmove(wire->items, wire->items + count, wire->count * sizeof *wire->items);
}

/* ---- the client ---- */

static void save(void) {
  stwi_sm_save(&client.sm, &client.saved);
}

/* The host's cursor is committed with its effect: always fresh, whatever else is old. */
static void save_cursor(void) {
  client.saved.handled = client.sm.handled;
  client.saved.base = client.sm.base;
}

static void lend_other_memory(uint32_t capacity) {
  client.which = 1 - client.which;
  stwi_sm_lend(&client.sm, client.runs[client.which],
               capacity < client.sm.count ? RUNS_MAX : capacity);
}

static void client_takes(stw_lane lane, unsigned count) {
  client.taken[lane] += count;
}

/* False: no room, or nothing to write. */
static bool client_writes(stw_lane lane, bool is_own) {
  const uint64_t number = is_own ? 0 : client.next[lane];
  if (number > client.taken[lane] || !stwi_sm_has_room(&client.sm, lane, number) ||
      to_server.count == WIRE_MAX || client.log_count == WIRE_MAX)
    return false;
  stwi_sm_wrote(&client.sm, lane, number);
  const struct stanza stanza = {lane, number};
  client.log[client.log_count++] = stanza;
  to_server.items[to_server.count++] = stanza;
  client.next[lane] += !is_own;
  return true;
}

static void client_writes_all(stw_lane lane) {
  while (client_writes(lane, false))
    ;
}

static void prove(stw_lane lane, uint64_t number) {
  assert_true(number <= server.has[lane]);
  if (client.proven[lane] < number)
    client.proven[lane] = number;
}

/* The log knows what the saved state did not. */
static void prove_beyond(uint64_t upto, uint64_t beyond) {
  for (uint64_t count = upto - beyond + 1; count <= upto; count++) {
    const struct stanza *stanza = &client.log[count - client.log_base - 1];
    if (stanza->number != 0)
      prove(stanza->lane, stanza->number);
  }
}

static struct stwi_sm_news client_hears(const char *text) {
  struct stwi_sm_news news;
  xml_reader_reset();
  const struct stwi_element *element = xml_read(text, strlen(text));
  assert_non_null(element);
  stwi_sm_take(&client.sm, element, &news);
  assert_int_not_equal(news.kind, STWI_SM_BROKEN);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    if (news.acked[lane] != 0)
      prove((stw_lane)lane, news.acked[lane]);
  return news;
}

static void rewind_lanes(void) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    client.next[lane] = client.proven[lane] + 1;
}

static void host_handles(void) {
  if (client.waiting == 0)
    return;
  const uint64_t number = client.mailbox[0].number;
  if (number == client.host_has + 1)
    client.host_has = number;
  else
    assert_true(number <= client.host_has && number <= server.host_repeated);
  stwi_sm_handled(&client.sm, client.indexes[0]);
  save_cursor();
  client.waiting--;
  memmove(client.mailbox, client.mailbox + 1, client.waiting * sizeof *client.mailbox);
  memmove(client.indexes, client.indexes + 1, client.waiting * sizeof *client.indexes);
}

static void client_reads(void) {
  if (to_client.count == 0)
    return;
  const struct stanza stanza = to_client.items[0];
  take_from(&to_client, 1);
  uint64_t index;
  if (!stwi_sm_received(&client.sm, stanza.number != 0, &index))
    return;
  if (stanza.number != 0) {
    client.indexes[client.waiting] = index;
    client.mailbox[client.waiting++] = stanza;
  }
  save_cursor();
}

/* ---- the server ---- */

static void server_takes(unsigned count) {
  for (; count > 0 && to_server.count > 0; count--) {
    const struct stanza stanza = to_server.items[0];
    take_from(&to_server, 1);
    server.in++;
    if (stanza.number == 0)
      continue;
    uint64_t *has = &server.has[stanza.lane];
    if (stanza.number == *has + 1)
      *has = stanza.number;
    else /* neither a hole nor a repeat that nobody had to make */
      assert_true(stanza.number <= *has && stanza.number <= server.repeated[stanza.lane]);
  }
}

static void server_puts(struct stanza stanza) {
  if (to_client.count < WIRE_MAX)
    to_client.items[to_client.count++] = stanza;
}

static void server_sends(bool is_own) {
  if (server.out - server.out_acked == WIRE_MAX || to_client.count == WIRE_MAX)
    return;
  const struct stanza stanza = {STW_LANE_DATA, is_own ? 0 : ++server.made};
  server.sent[server.out++ - server.out_acked] = stanza;
  server_puts(stanza);
}

/* The client's h must be one of those that can be. */
static void server_hears(uint32_t h) {
  const uint32_t more = h - (uint32_t)server.out_acked;
  assert_true(more <= server.out - server.out_acked);
  server.out_acked += more;
  memmove(server.sent, server.sent + more, (server.out - server.out_acked) * sizeof *server.sent);
}

static void server_acks(void) {
  char text[100];
  snprintf(text, sizeof text, "<a xmlns='urn:xmpp:sm:3' h='%lu'/>",
           (unsigned long)(uint32_t)server.in);
  assert_int_equal(client_hears(text).kind, STWI_SM_ACKED);
}

/* ---- both ---- */

static uint32_t number_in(const char *written, const char *name) {
  const char *at = strstr(written, name);
  unsigned long number = 0;
  assert_non_null(at);
  assert_int_equal(sscanf(at + strlen(name), "=\"%lu", &number), 1);
  return (uint32_t)number;
}

static const char *write_with(void (*write)(struct stwi_sm *, struct stwi_xml *)) {
  static char text[4096];
  struct stwi_xml xml;
  stwi_xml_init(&xml, text, sizeof text - 1, STWI_NS_CLIENT);
  write(&client.sm, &xml);
  assert_true(stwi_xml_is_good(&xml));
  text[xml.size] = '\0';
  return text;
}

static void write_answer(struct stwi_sm *sm, struct stwi_xml *xml) {
  stwi_sm_answer(sm, xml);
}

static void client_answers(void) {
  assert_int_equal(client_hears("<r xmlns='urn:xmpp:sm:3'/>").kind, STWI_SM_ASKED);
  server_hears(number_in(write_with(write_answer), "h"));
}

/* Both counts begin at `start`, as if so many stanzas had gone before; inbound only where the host
 * has handled all of them. */
static void skip_counts(void) {
  const uint64_t inbound = client.waiting == 0 ? start : 0;
  client.sm.sent += start;
  client.sm.acked += start;
  client.sm.base -= inbound;
  server.in += start;
  server.out = server.out_acked = inbound;
  client.log_base = start;
}

/* Up to where the client begins to count; before_enabled stanzas are written before the answer. */
static void begin_session(unsigned before_enabled) {
  char text[100];
  struct stwi_jid jid;
  assert_null(stwi_jid_parse(&jid, "a@b/c", 5));
  const uint64_t old =
      server.out - server.out_acked; /* what it had for the client: it has it yet */
  struct stanza kept[WIRE_MAX];
  memcpy(kept, server.sent, old * sizeof *kept);
  stwi_sm_bind(&client.sm, &jid);
  write_with(stwi_sm_enable);
  client.log_count = 0;
  server.session++;
  server.in = 0;
  rewind_lanes();
  for (; before_enabled > 0; before_enabled--)
    client_writes(STW_LANE_DATA, false);
  snprintf(text, sizeof text, "<enabled xmlns='urn:xmpp:sm:3' id='%u' resume='true'/>",
           server.session);
  assert_int_equal(client_hears(text).kind, STWI_SM_ENABLED);
  skip_counts();
  client.is_up = true;
  save();
  for (uint64_t i = 0; i < old; i++) {
    server.sent[server.out++ - server.out_acked] = kept[i];
    server_puts(kept[i]);
  }
}

static void drop(unsigned arrives) {
  server_takes(arrives);
  to_server.count = to_client.count = 0;
  stwi_sm_unlink(&client.sm);
  client.is_up = false;
}

static void resume(void) {
  char text[100];
  server_hears(number_in(write_with(stwi_sm_resume), "h"));
  for (uint64_t left = roll(3); left > 0; left--)
    host_handles();
  snprintf(text, sizeof text, "<resumed xmlns='urn:xmpp:sm:3' previd='%u' h='%lu'/>",
           server.session, (unsigned long)(uint32_t)server.in);
  const struct stwi_sm_news news = client_hears(text);
  assert_int_equal(news.kind, STWI_SM_RESUMED);
  prove_beyond(server.in, news.beyond);
  client.log_count = (unsigned)(server.in - client.log_base);
  rewind_lanes();
  for (uint64_t i = 0; i < server.out - server.out_acked; i++)
    server_puts(server.sent[i]);
  client.is_up = true;
  save();
}

static void refuse_resume(bool says_h, unsigned before_enabled) {
  char text[100];
  write_with(stwi_sm_resume);
  snprintf(text, sizeof text,
           says_h ? "<failed xmlns='urn:xmpp:sm:3' h='%lu'/>" : "<failed xmlns='urn:xmpp:sm:3'/>",
           (unsigned long)(uint32_t)server.in);
  const struct stwi_sm_news news = client_hears(text);
  assert_int_equal(news.kind, STWI_SM_RESUME_REFUSED);
  if (says_h)
    prove_beyond(server.in, news.beyond);
  else
    memcpy(server.repeated, server.has, sizeof server.repeated);
  server.host_repeated = server.made;
  begin_session(before_enabled);
}

/* kill -9: what the store holds is all there is. */
static void restart_process(void) {
  drop((unsigned)roll(to_server.count + 1));
  memset(&client.sm, 0, sizeof client.sm);
  memset(client.runs, 0xa5, sizeof client.runs);
  client.waiting = 0;
  stwi_sm_init(&client.sm, client.runs[client.which], RUNS_MAX);
  assert_true(stwi_sm_restore(&client.sm, &client.saved));
}

static void begin(uint64_t count) {
  memset(&client, 0, sizeof client);
  memset(&server, 0, sizeof server);
  to_server.count = to_client.count = 0;
  stwi_sm_init(&client.sm, client.runs[0], RUNS_MAX);
  client.sm.received = client.sm.for_host = client.sm.handled = (uint64_t)1 << 33;
  start = count;
}

static void settle(void) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    while (client.next[lane] <= client.taken[lane]) {
      client_writes_all((stw_lane)lane);
      server_takes(WIRE_MAX);
      server_acks();
      if (client.log_count == WIRE_MAX) {
        drop(WIRE_MAX);
        refuse_resume(true, 0);
      }
    }
  }
  server_takes(WIRE_MAX);
  server_acks();
  while (to_client.count > 0)
    client_reads();
  while (client.waiting > 0)
    host_handles();
  client_answers();
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    assert_int_equal(server.has[lane], client.taken[lane]);
    assert_int_equal(client.proven[lane], client.taken[lane]);
  }
  assert_int_equal(client.host_has, server.made);
  assert_int_equal(server.out_acked, server.out);
}

/* ---- the table of defects: 0 lost, 0 twice, in order ---- */

static void three_sent_before_enabled_and_four_lost_all_arrive_once(void **unused) {
  (void)unused;
  begin(0);
  client_takes(STW_LANE_DATA, 7);
  begin_session(3); /* in the connect callback */
  server_takes(3);
  client_writes_all(STW_LANE_DATA);
  drop(0);
  resume();
  assert_int_equal(client.proven[STW_LANE_DATA], 3);
  assert_int_equal(client.next[STW_LANE_DATA], 4);
  settle();
}

static void four_lost_on_the_wire_all_arrive_once(void **unused) {
  (void)unused;
  begin(0);
  begin_session(0);
  client_takes(STW_LANE_DATA, 4);
  client_writes_all(STW_LANE_DATA);
  drop(0);
  resume();
  settle();
}

static void a_refused_resume_then_five_then_a_resume_keep_the_order(void **unused) {
  (void)unused;
  begin(0);
  begin_session(0);
  client_takes(STW_LANE_DATA, 3);
  client_writes_all(STW_LANE_DATA);
  drop(0); /* 3 unacknowledged */
  refuse_resume(false, 0);
  client_takes(STW_LANE_DATA, 5);
  client_writes_all(STW_LANE_DATA);
  assert_int_equal(to_server.items[0].number,
                   1); /* the oldest first, now and not at a later resume */
  server_takes(6);
  server_acks();
  drop(0);
  resume();
  assert_int_equal(client.next[STW_LANE_DATA], 7); /* none of those acknowledged again */
  settle();
}

static void what_is_queued_when_tcp_is_reset_already_arrives(void **unused) {
  (void)unused;
  begin(0);
  begin_session(0);
  drop(0);
  client_takes(STW_LANE_DATA, 3); /* nobody knows yet, or nobody has written yet */
  resume();
  settle();
  client_takes(STW_LANE_DATA, 3);
  client_writes(STW_LANE_DATA, false); /* the head is in the transport's hands */
  drop(0);
  refuse_resume(false, 0);
  settle();
}

static void a_stanza_written_by_half_arrives_whole(void **unused) {
  (void)unused;
  begin(0);
  begin_session(0);
  client_takes(STW_LANE_DATA, 2);
  client_writes(STW_LANE_DATA, false); /* counted before its first byte went */
  drop(0);                             /* the server never saw its end */
  resume();
  assert_int_equal(client.next[STW_LANE_DATA], 1);
  settle();
  client_takes(STW_LANE_DATA, 2);
  client_writes(STW_LANE_DATA, false); /* its end went out, and nobody said so */
  drop(1);
  resume(); /* no h beyond what was sent */
  settle();
}

/* Prosody 0.12 parses what comes behind a resume with the parser of the old link, which still holds
 * the half: it ends stream and session as not-well-formed. */
static void a_half_that_ends_the_resumed_stream_arrives_in_a_new_session(void **unused) {
  (void)unused;
  begin(0);
  begin_session(0);
  client_takes(STW_LANE_DATA, 3);
  client_writes(STW_LANE_DATA, false);
  drop(0);
  resume();
  client_writes_all(STW_LANE_DATA);
  drop(0);
  refuse_resume(false, 0);
  assert_int_equal(client.next[STW_LANE_DATA], 1);
  settle();
}

static void white_space_and_questions_are_no_stanzas(void **unused) {
  (void)unused;
  begin(0);
  begin_session(0);
  for (unsigned resumes = 0; resumes < 2; resumes++) {
    client_takes(STW_LANE_DATA, 3);
    client_writes_all(STW_LANE_DATA);
    struct stwi_xml xml;
    char text[100];
    stwi_xml_init(&xml, text, sizeof text, STWI_NS_CLIENT);
    stwi_sm_ask(&client.sm, &xml); /* and a " " that the transport writes alone */
    stwi_sm_answer(&client.sm, &xml);
    server_takes(3);
    server_acks();
    drop(0);
    resume();
    assert_int_equal(stwi_sm_unacked(&client.sm), 0);
    assert_int_equal(client.next[STW_LANE_DATA], client.taken[STW_LANE_DATA] + 1);
  }
  settle();
}

static void each_row_holds_across_a_killed_process(void **unused) {
  (void)unused;
  begin(0);
  client_takes(STW_LANE_DATA, 7);
  begin_session(3);
  server_takes(2);
  client_writes_all(STW_LANE_DATA);
  restart_process();
  resume();
  settle();
  client_takes(STW_LANE_DATA, 3);
  client_writes_all(STW_LANE_DATA);
  restart_process();
  refuse_resume(true, 2);
  settle();
}

/* ---- any order of events ---- */

static void come_back(void) {
  if (!stwi_sm_is_resumable(&client.sm))
    begin_session((unsigned)roll(4));
  else if (roll(4) > 0)
    resume();
  else
    refuse_resume(roll(2) == 0, (unsigned)roll(4));
}

static void step_up(void) {
  const stw_lane lane = (stw_lane)roll(STW_LANE_COUNT);
  switch (roll(12)) {
  case 0:
  case 1:
    client_takes(lane, (unsigned)roll(6));
    break;
  case 2:
  case 3:
    for (uint64_t left = roll(6); left > 0; left--)
      client_writes(lane, roll(4) == 0);
    break;
  case 4:
    server_takes((unsigned)roll(8));
    break;
  case 5:
    server_acks();
    break;
  case 6:
    server_sends(roll(4) == 0);
    break;
  case 7:
    client_reads();
    break;
  case 8:
    host_handles();
    break;
  case 9:
    client_answers();
    break;
  case 10:
    if (roll(3) == 0)
      lend_other_memory(1 + (uint32_t)roll(RUNS_MAX));
    else if (roll(2) == 0 && client.sm.count <= STWI_SM_SAVED_RUNS)
      save();
    break;
  default:
    if (roll(4) == 0)
      restart_process();
    else
      drop((unsigned)roll(to_server.count + 1));
    break;
  }
}

static void nothing_is_lost_and_nothing_comes_twice(void **unused) {
  (void)unused;
  static const uint64_t starts[] = {0, UINT32_MAX, UINT32_MAX - 5, UINT32_MAX - 40};
  stwi_random_seed(&dice, test_seed("sm"));
  for (unsigned round = 0; round < ROUNDS; round++) {
    begin(starts[roll(4)]);
    for (unsigned i = 0; i < STEPS; i++) {
      if (client.is_up)
        step_up();
      else if (roll(3) == 0)
        host_handles();
      else if (roll(3) == 0)
        client_takes(STW_LANE_DATA, 1);
      else
        come_back();
    }
    if (!client.is_up)
      come_back();
    settle();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(three_sent_before_enabled_and_four_lost_all_arrive_once),
      cmocka_unit_test(four_lost_on_the_wire_all_arrive_once),
      cmocka_unit_test(a_refused_resume_then_five_then_a_resume_keep_the_order),
      cmocka_unit_test(what_is_queued_when_tcp_is_reset_already_arrives),
      cmocka_unit_test(a_stanza_written_by_half_arrives_whole),
      cmocka_unit_test(a_half_that_ends_the_resumed_stream_arrives_in_a_new_session),
      cmocka_unit_test(white_space_and_questions_are_no_stanzas),
      cmocka_unit_test(each_row_holds_across_a_killed_process),
      cmocka_unit_test(nothing_is_lost_and_nothing_comes_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
