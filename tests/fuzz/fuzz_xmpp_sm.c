/* Plays arbitrary elements and calls against stream management and checks what must hold whatever
 * the peer says: only what was written in this session is acknowledged, in order; our count never
 * goes back within a session nor past what came; a stanza is a repeat only after a resume; a peer
 * that breaks the rules leaves no session; a saved state is restored as it was.
 *
 * Input: steps of one byte and what they read.  make_xmpp_corpus.py writes the seeds in
 * corpus/xmpp_sm.
 */
#include "xmpp_input.h"

#include "core/xmpp/sm.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { RUNS_MAX = 40, LOG_MAX = 4096, STEPS_MAX = 2000 };

static struct stwi_sm sm;
static struct stwi_sm_run runs[2][RUNS_MAX];
static unsigned which;
static struct {
  stw_lane lane;
  uint64_t number;
} written[LOG_MAX];                   /* in this session, by count modulo LOG_MAX */
static uint64_t next[STW_LANE_COUNT]; /* the lowest number that can be written */
static uint64_t told;                 /* the last h of this session */
static uint64_t repeats_max;          /* stanzas that can be repeats now */

static struct stwi_xml *writer(void) {
  static char buffer[16384];
  static struct stwi_xml xml;
  stwi_xml_init(&xml, buffer, sizeof buffer, NULL);
  return &xml;
}

static void begin_counts(void) {
  next[0] = next[1] = 1;
  told = 0;
  repeats_max = 0;
}

static void start_link(bool is_new) {
  struct stwi_xml *xml = writer();
  struct stwi_jid jid;
  if (sm.phase != STWI_SM_OFF)
    return;
  if (is_new) {
    must(stwi_jid_parse(&jid, "a@b/c", 5) == NULL);
    stwi_sm_bind(&sm, &jid);
    stwi_sm_enable(&sm, xml);
    begin_counts();
  } else if (stwi_sm_is_resumable(&sm)) {
    stwi_sm_resume(&sm, xml);
  }
  must(stwi_xml_is_good(xml) || strlen(sm.id) > 0); /* an id that XML cannot carry is none */
}

static void write_stanza(void) {
  const unsigned what = take_byte();
  const stw_lane lane = (stw_lane)(what % STW_LANE_COUNT);
  const uint64_t number = (what & 2) != 0 ? 0 : next[lane] + (what >> 2 & 1);
  if (!stwi_sm_has_room(&sm, lane, number))
    return;
  const uint64_t before = sm.sent;
  stwi_sm_wrote(&sm, lane, number);
  must(sm.sent == before + (sm.phase != STWI_SM_OFF));
  if (sm.phase == STWI_SM_OFF)
    return;
  written[sm.sent % LOG_MAX].lane = lane;
  written[sm.sent % LOG_MAX].number = number;
  if (number != 0)
    next[lane] = number + 1;
}

static void check_acked(const struct stwi_sm_news *news, uint64_t from, uint64_t to) {
  uint64_t wanted[STW_LANE_COUNT] = {0, 0};
  for (uint64_t count = from + 1; count <= to; count++)
    if (written[count % LOG_MAX].number != 0)
      wanted[written[count % LOG_MAX].lane] = written[count % LOG_MAX].number;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    must(news->acked[lane] == wanted[lane]);
}

static void check_broken(const struct stwi_sm_news *news) {
  struct stwi_xml *xml = writer();
  must(news->why != NULL && sm.phase == STWI_SM_OFF && !stwi_sm_is_resumable(&sm));
  stwi_sm_complain(news, xml);
  must(stwi_xml_is_good(xml));
}

static void hear(void) {
  struct stwi_element *element = take_element();
  element->ns = STWI_NS_SM;
  const struct stwi_sm before = sm;
  struct stwi_sm_news news;
  stwi_sm_take(&sm, element, &news);
  must(sm.acked <= sm.sent && sm.count <= sm.capacity && news.beyond < 0x80000000u);
  if (news.kind == STWI_SM_BROKEN)
    check_broken(&news);
  if (news.kind == STWI_SM_ACKED || news.kind == STWI_SM_RESUMED) {
    must(sm.acked - before.acked <= before.sent - before.acked + news.beyond);
    check_acked(&news, before.acked, sm.acked - news.beyond);
  }
  if (news.kind == STWI_SM_RESUMED) {
    must(sm.sent == sm.acked);
    next[0] = next[1] = 1; /* what is unacknowledged is written again */
    repeats_max = sm.received - sm.told;
  }
  if (sm.phase == STWI_SM_OFF || news.kind == STWI_SM_ENABLED)
    repeats_max = 0;
  if (news.kind == STWI_SM_IGNORED)
    must(memcmp(&before, &sm, sizeof sm) == 0);
}

static void receive(void) {
  uint64_t index = 0;
  const uint64_t before = sm.received;
  if (stwi_sm_received(&sm, take_byte() % 2 == 0, &index))
    must(index == before + 1 && repeats_max == 0);
  else
    must(sm.received == before && repeats_max-- > 0);
}

static void check_count(void) {
  must(sm.handled <= sm.received && sm.for_host <= sm.received);
  const uint64_t count = (sm.handled > sm.base ? sm.handled : sm.base) - sm.base;
  must(stwi_sm_h(&sm) == (uint32_t)count);
  if (sm.phase == STWI_SM_ON) {
    must(count >= told);
    told = count;
  }
}

static void move_process(void) {
  struct stwi_sm_saved saved, again;
  stwi_sm_save(&sm, &saved);
  if (take_byte() % 4 == 0) { /* damaged on its way */
    const size_t high = take_byte() << 8;
    const size_t at = (high | take_byte()) % sizeof saved;
    ((uint8_t *)&saved)[at] ^= (uint8_t)take_byte();
  }
  struct stwi_sm other;
  stwi_sm_init(&other, runs[1 - which], RUNS_MAX);
  if (!stwi_sm_restore(&other, &saved))
    return;
  which = 1 - which;
  sm = other;
  stwi_sm_save(&sm, &again);
  must(again.run_count == saved.run_count && again.acked == saved.acked);
  must(strcmp(again.id, saved.id) == 0 && again.handled >= saved.handled);
  repeats_max = 0;
  told = 0;
  for (uint64_t count = sm.acked + 1, run = 0; run < sm.count; run++)
    for (uint32_t i = 0; i < saved.runs[run].count; i++, count++) {
      written[count % LOG_MAX].lane = saved.runs[run].lane;
      written[count % LOG_MAX].number =
          saved.runs[run].number == 0 ? 0 : saved.runs[run].number + i;
    }
}

static void lend(void) {
  const uint32_t capacity = 1 + take_byte() % RUNS_MAX;
  which = 1 - which;
  stwi_sm_lend(&sm, runs[which], capacity < sm.count ? RUNS_MAX : capacity);
}

static void step(unsigned op) {
  switch (op) {
  case 0:
  case 1:
    start_link(op == 0);
    break;
  case 2:
    stwi_sm_unlink(&sm);
    repeats_max = 0;
    break;
  case 3:
  case 4:
    if (stwi_sm_unacked(&sm) < LOG_MAX)
      write_stanza();
    break;
  case 5:
    receive();
    break;
  case 6:
    stwi_sm_handled(&sm, sm.handled + take_byte() % 8);
    break;
  case 7:
    move_process();
    break;
  case 8:
    lend();
    break;
  case 9:
    stwi_sm_forget(&sm);
    repeats_max = 0;
    told = 0;
    break;
  default:
    hear();
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  input_at = input;
  input_end = input + size;
  which = 0;
  begin_counts();
  stwi_sm_init(&sm, runs[0], 4);
  for (unsigned steps = 0; has_input() && steps < STEPS_MAX; steps++) {
    step(take_byte() % 16);
    check_count();
  }
  return 0;
}
