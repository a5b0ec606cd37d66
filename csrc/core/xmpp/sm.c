#include "core/xmpp/sm.h"

#include <assert.h>
#include <string.h>

/* Of two counts modulo 2^32 one is behind the other if it is so by less than this. */
#define HALF 0x80000000u

/* ---- runs ---- */

static struct stwi_sm_run *run_at(const struct stwi_sm *sm, uint32_t index) {
  return &sm->runs[(sm->first + index) % sm->capacity];
}

void stwi_sm_init(struct stwi_sm *sm, struct stwi_sm_run *runs, uint32_t capacity) {
  assert(capacity > 0);
  memset(sm, 0, sizeof *sm);
  sm->runs = runs;
  sm->capacity = capacity;
}

void stwi_sm_lend(struct stwi_sm *sm, struct stwi_sm_run *runs, uint32_t capacity) {
  assert(capacity > 0 && capacity >= sm->count);
  for (uint32_t i = 0; i < sm->count; i++)
    runs[i] = *run_at(sm, i);
  sm->runs = runs;
  sm->capacity = capacity;
  sm->first = 0;
}

uint64_t stwi_sm_unacked(const struct stwi_sm *sm) {
  return sm->sent - sm->acked;
}

/* Does the stanza prolong the last run? */
static bool prolongs(const struct stwi_sm *sm, stw_lane lane, uint64_t number) {
  if (sm->count == 0)
    return false;
  const struct stwi_sm_run *last = run_at(sm, sm->count - 1);
  if (number == 0 || last->number == 0)
    return number == last->number;
  return last->lane == lane && last->number + last->count == number;
}

bool stwi_sm_has_room(const struct stwi_sm *sm, stw_lane lane, uint64_t number) {
  if (sm->phase == STWI_SM_OFF)
    return true;
  if (sm->phase == STWI_SM_RESUMING || stwi_sm_unacked(sm) == STWI_SM_UNACKED_MAX)
    return false;
  return sm->count < sm->capacity || prolongs(sm, lane, number);
}

void stwi_sm_wrote(struct stwi_sm *sm, stw_lane lane, uint64_t number) {
  assert(stwi_sm_has_room(sm, lane, number));
  if (sm->phase == STWI_SM_OFF)
    return;
  sm->sent++;
  if (prolongs(sm, lane, number)) {
    run_at(sm, sm->count - 1)->count++;
    return;
  }
  *run_at(sm, sm->count++) = (struct stwi_sm_run){.number = number, .count = 1, .lane = lane};
}

/* Takes up to `stanzas` from the oldest run; returns how many. */
static uint64_t take_from_run(struct stwi_sm *sm, uint64_t stanzas, struct stwi_sm_news *news) {
  struct stwi_sm_run *run = run_at(sm, 0);
  const uint32_t taken = stanzas < run->count ? (uint32_t)stanzas : run->count;
  run->count -= taken;
  if (run->number != 0) {
    run->number += taken;
    news->acked[run->lane] = run->number - 1;
  }
  if (run->count == 0) {
    sm->first = (sm->first + 1) % sm->capacity;
    sm->count--;
  }
  return taken;
}

/* The peer has all up to `h`.  False: it cannot. */
static bool acknowledge(struct stwi_sm *sm, uint32_t h, struct stwi_sm_news *news) {
  const uint64_t unacked = stwi_sm_unacked(sm);
  const uint32_t more = h - (uint32_t)sm->acked;
  if (more > unacked && (!sm->is_behind || more >= HALF))
    return false;
  news->beyond = more > unacked ? more - unacked : 0;
  for (uint64_t left = more - news->beyond; left > 0;)
    left -= take_from_run(sm, left, news);
  sm->acked += more;
  if (sm->sent < sm->acked)
    sm->sent = sm->acked;
  return true;
}

/* What is unacknowledged is forgotten here: it counts again when it is written again. */
static void drop_runs(struct stwi_sm *sm, struct stwi_sm_news *news) {
  for (uint32_t i = 0; i < sm->count; i++)
    if (run_at(sm, i)->number == 0)
      news->own_lost += run_at(sm, i)->count;
  sm->first = sm->count = 0;
  sm->sent = sm->acked;
}

/* ---- the session ---- */

bool stwi_sm_is_resumable(const struct stwi_sm *sm) {
  return sm->id[0] != '\0';
}

void stwi_sm_forget(struct stwi_sm *sm) {
  sm->phase = STWI_SM_OFF;
  sm->id[0] = sm->location[0] = '\0';
  sm->max_s = 0;
  sm->sent = sm->acked = 0;
  sm->first = sm->count = 0;
  sm->is_behind = false;
  sm->base = sm->received;
  sm->repeats = 0;
}

void stwi_sm_bind(struct stwi_sm *sm, const struct stwi_jid *bound) {
  stwi_sm_forget(sm);
  sm->bound = *bound;
}

void stwi_sm_unlink(struct stwi_sm *sm) {
  if (!stwi_sm_is_resumable(sm))
    stwi_sm_forget(sm);
  sm->phase = STWI_SM_OFF;
  sm->repeats = 0;
}

void stwi_sm_save(const struct stwi_sm *sm, struct stwi_sm_saved *saved) {
  memset(saved, 0, sizeof *saved);
  memcpy(saved->id, sm->id, sizeof saved->id);
  memcpy(saved->location, sm->location, sizeof saved->location);
  saved->bound = sm->bound;
  saved->max_s = sm->max_s;
  saved->acked = sm->acked;
  saved->base = sm->base;
  saved->handled = sm->handled;
  while (saved->run_count < sm->count && saved->run_count < STWI_SM_SAVED_RUNS) {
    saved->runs[saved->run_count] = *run_at(sm, saved->run_count);
    saved->run_count++;
  }
}

/* The index up to which the peer need not send again. */
static uint64_t handled_here(const struct stwi_sm *sm) {
  return sm->handled > sm->base ? sm->handled : sm->base;
}

static bool is_run_sound(const struct stwi_sm_run *run) {
  return run->count > 0 && run->count <= STWI_SM_UNACKED_MAX && run->number <= INT64_MAX &&
         (unsigned)run->lane < STW_LANE_COUNT;
}

/* The stanzas of all runs; more than there can be where one is not sound. */
static uint64_t count_saved(const struct stwi_sm_saved *saved) {
  uint64_t stanzas = 0;
  for (uint32_t i = 0; i < saved->run_count; i++)
    stanzas += is_run_sound(&saved->runs[i]) ? saved->runs[i].count : UINT32_MAX;
  return stanzas;
}

bool stwi_sm_restore(struct stwi_sm *sm, const struct stwi_sm_saved *saved) {
  if (memchr(saved->id, '\0', sizeof saved->id) == NULL ||
      memchr(saved->location, '\0', sizeof saved->location) == NULL ||
      !stwi_jid_is_sound(&saved->bound))
    return false;
  if (saved->run_count > STWI_SM_SAVED_RUNS || saved->run_count > sm->capacity ||
      count_saved(saved) > STWI_SM_UNACKED_MAX)
    return false;
  if (saved->acked > INT64_MAX || saved->base > INT64_MAX || saved->handled > INT64_MAX)
    return false;
  memcpy(sm->id, saved->id, sizeof sm->id);
  memcpy(sm->location, saved->location, sizeof sm->location);
  sm->bound = saved->bound;
  sm->max_s = saved->max_s;
  sm->acked = saved->acked;
  sm->sent = saved->acked + count_saved(saved);
  sm->base = saved->base;
  sm->handled = saved->handled;
  sm->received = sm->for_host = sm->handled = handled_here(sm);
  sm->is_behind = true;
  memcpy(sm->runs, saved->runs, saved->run_count * sizeof *saved->runs);
  sm->first = 0;
  sm->count = saved->run_count;
  return true;
}

/* ---- inbound ---- */

bool stwi_sm_received(struct stwi_sm *sm, bool is_for_host, uint64_t *index) {
  if (sm->repeats > 0) {
    sm->repeats--;
    return false;
  }
  *index = ++sm->received;
  if (is_for_host)
    sm->for_host = sm->received;
  else if (sm->for_host <= sm->handled)
    sm->handled = sm->received;
  return true;
}

bool stwi_sm_handled(struct stwi_sm *sm, uint64_t index) {
  const uint64_t upto = index >= sm->for_host ? sm->received : index;
  if (upto <= sm->handled)
    return false;
  sm->handled = upto;
  return true;
}

uint32_t stwi_sm_h(const struct stwi_sm *sm) {
  return (uint32_t)(handled_here(sm) - sm->base);
}

/* ---- what is written ---- */

void stwi_sm_enable(struct stwi_sm *sm, struct stwi_xml *xml) {
  assert(sm->phase == STWI_SM_OFF);
  stwi_sm_forget(sm);
  sm->phase = STWI_SM_ENABLING;
  stwi_xml_start(xml, "enable", STWI_NS_SM);
  stwi_xml_attribute(xml, "resume", "true");
  stwi_xml_end(xml);
}

void stwi_sm_resume(struct stwi_sm *sm, struct stwi_xml *xml) {
  assert(sm->phase == STWI_SM_OFF && stwi_sm_is_resumable(sm));
  sm->phase = STWI_SM_RESUMING;
  sm->told = handled_here(sm);
  stwi_xml_start(xml, "resume", STWI_NS_SM);
  stwi_xml_attribute(xml, "previd", sm->id);
  stwi_xml_attribute_number(xml, "h", stwi_sm_h(sm));
  stwi_xml_end(xml);
}

void stwi_sm_ask(const struct stwi_sm *sm, struct stwi_xml *xml) {
  assert(sm->phase == STWI_SM_ON);
  stwi_xml_leaf(xml, "r", STWI_NS_SM, "", 0);
}

void stwi_sm_answer(const struct stwi_sm *sm, struct stwi_xml *xml) {
  assert(sm->phase == STWI_SM_ON);
  stwi_xml_start(xml, "a", STWI_NS_SM);
  stwi_xml_attribute_number(xml, "h", stwi_sm_h(sm));
  stwi_xml_end(xml);
}

/* XEP-0198 section 4: undefined-condition, and for an h that is too high an element of its own. */
void stwi_sm_complain(const struct stwi_sm_news *news, struct stwi_xml *xml) {
  stwi_xml_start(xml, "error", STWI_NS_STREAM);
  stwi_xml_leaf(xml, "undefined-condition", STWI_NS_STREAM_ERROR, "", 0);
  if (news->is_too_high) {
    stwi_xml_start(xml, "handled-count-too-high", STWI_NS_SM);
    stwi_xml_attribute_number(xml, "h", news->h);
    stwi_xml_attribute_number(xml, "send-count", news->sent);
    stwi_xml_end(xml);
  }
  stwi_xml_leaf(xml, "text", STWI_NS_STREAM_ERROR, news->why, strlen(news->why));
  stwi_xml_end(xml);
}

/* ---- what the peer says ---- */

/* A number as xs:unsignedInt has it. */
static bool read_number(const char *text, uint32_t *number) {
  uint64_t value = 0;
  if (text == NULL || *text == '\0')
    return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9')
      return false;
    value = value * 10 + (unsigned)(*text - '0');
    if (value > UINT32_MAX)
      return false;
  }
  *number = (uint32_t)value;
  return true;
}

static void broken(struct stwi_sm *sm, struct stwi_sm_news *news, const char *why) {
  news->kind = STWI_SM_BROKEN;
  news->why = why;
  stwi_sm_forget(sm);
}

static void broken_count(struct stwi_sm *sm, struct stwi_sm_news *news) {
  news->is_too_high = news->h - (uint32_t)sm->acked < HALF;
  news->sent = (uint32_t)sm->sent;
  broken(sm, news,
         news->is_too_high ? "the server acknowledges stanzas that were never sent"
                           : "the server takes an acknowledgement back");
}

/* Reads h, which must be there. */
static bool take_h(struct stwi_sm *sm, const struct stwi_element *element,
                   struct stwi_sm_news *news) {
  news->has_h = read_number(stwi_element_attribute(element, "h"), &news->h);
  if (!news->has_h)
    broken(sm, news, "an acknowledgement of the server has no number");
  return news->has_h;
}

static bool is_true(const char *value) {
  return value != NULL && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

/* False: there is none, or it is too long. */
static bool copy(char *to, const char *value, size_t max) {
  const size_t size = value == NULL ? 0 : strlen(value);
  if (size == 0 || size > max)
    return false;
  memcpy(to, value, size + 1);
  return true;
}

static void take_enabled(struct stwi_sm *sm, const struct stwi_element *element,
                         struct stwi_sm_news *news) {
  news->kind = STWI_SM_ENABLED;
  sm->phase = STWI_SM_ON;
  sm->base = sm->received;
  if (!is_true(stwi_element_attribute(element, "resume")))
    news->why = "the server does not let the stream be resumed";
  else if (!copy(sm->id, stwi_element_attribute(element, "id"), STWI_SM_ID_MAX))
    news->why = "the server gave the stream no id, or one over 1023 bytes: it cannot be resumed";
  if (news->why != NULL)
    return;
  copy(sm->location, stwi_element_attribute(element, "location"), STWI_SM_LOCATION_MAX);
  if (!read_number(stwi_element_attribute(element, "max"), &sm->max_s))
    sm->max_s = 0;
}

static void take_refused(struct stwi_sm *sm, const struct stwi_element *element,
                         struct stwi_sm_news *news) {
  (void)element;
  news->kind = STWI_SM_REFUSED;
  stwi_sm_forget(sm);
}

static void take_resumed(struct stwi_sm *sm, const struct stwi_element *element,
                         struct stwi_sm_news *news) {
  const char *id = stwi_element_attribute(element, "previd");
  if (id == NULL || strcmp(id, sm->id) != 0) {
    broken(sm, news, "the server resumed another stream than was asked for");
    return;
  }
  if (!take_h(sm, element, news))
    return;
  if (!acknowledge(sm, news->h, news)) {
    broken_count(sm, news);
    return;
  }
  drop_runs(sm, news);
  news->kind = STWI_SM_RESUMED;
  sm->phase = STWI_SM_ON;
  sm->is_behind = false;
  sm->repeats = sm->received - sm->told;
}

/* An h that cannot be is not believed; the session is over anyway. */
static void take_resume_refused(struct stwi_sm *sm, const struct stwi_element *element,
                                struct stwi_sm_news *news) {
  news->kind = STWI_SM_RESUME_REFUSED;
  news->has_h =
      read_number(stwi_element_attribute(element, "h"), &news->h) && acknowledge(sm, news->h, news);
  drop_runs(sm, news);
  stwi_sm_forget(sm);
}

static void take_ack(struct stwi_sm *sm, const struct stwi_element *element,
                     struct stwi_sm_news *news) {
  if (!take_h(sm, element, news))
    return;
  if (acknowledge(sm, news->h, news))
    news->kind = STWI_SM_ACKED;
  else
    broken_count(sm, news);
}

static void take_question(struct stwi_sm *sm, const struct stwi_element *element,
                          struct stwi_sm_news *news) {
  (void)sm;
  (void)element;
  news->kind = STWI_SM_ASKED;
}

typedef void taker(struct stwi_sm *sm, const struct stwi_element *element,
                   struct stwi_sm_news *news);

/* By phase; where there is none it was not asked for. */
static const struct {
  const char *name;
  taker *take[STWI_SM_PHASE_COUNT];
} elements[] = {
    {"enabled", {[STWI_SM_ENABLING] = take_enabled}},
    {"failed", {[STWI_SM_ENABLING] = take_refused, [STWI_SM_RESUMING] = take_resume_refused}},
    {"resumed", {[STWI_SM_RESUMING] = take_resumed}},
    {"a", {[STWI_SM_ON] = take_ack}},
    {"r", {[STWI_SM_ON] = take_question}},
};

void stwi_sm_take(struct stwi_sm *sm, const struct stwi_element *element,
                  struct stwi_sm_news *news) {
  memset(news, 0, sizeof *news);
  for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
    if (strcmp(elements[i].name, element->name) != 0)
      continue;
    taker *take = elements[i].take[sm->phase];
    if (take == NULL)
      broken(sm, news, "the server says something of stream management that was not asked for");
    else
      take(sm, element, news);
    return;
  }
}
