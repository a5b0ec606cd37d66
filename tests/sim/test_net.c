#include "sim/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EVENTS_MAX 4096u

struct seen {
  struct stwi_net_event event;
  char text[16];
};

static struct seen seen[EVENTS_MAX];
static size_t seen_count;

/* Takes all events, each with a copy of its text. */
static size_t drain(struct stwi_net *net) {
  seen_count = 0;
  while (seen_count < EVENTS_MAX && stwi_net_next(net, &seen[seen_count].event)) {
    struct seen *one = &seen[seen_count++];
    memset(one->text, 0, sizeof one->text);
    if (one->event.kind == STWI_NET_BYTES)
      memcpy(one->text, one->event.data,
             one->event.size < sizeof one->text ? one->event.size : sizeof one->text - 1);
  }
  return seen_count;
}

/* The texts that came to an end of a link, joined. */
static const char *texts(uint32_t link, enum stwi_net_end end) {
  static char joined[EVENTS_MAX];
  size_t used = 0;
  joined[0] = '\0';
  for (size_t i = 0; i < seen_count; i++) {
    const struct stwi_net_event *event = &seen[i].event;
    if (event->kind == STWI_NET_BYTES && event->link == link && event->end == end)
      used += (size_t)snprintf(joined + used, sizeof joined - used, "%s", seen[i].text);
  }
  return joined;
}

static unsigned count(enum stwi_net_event_kind kind, uint32_t link, enum stwi_net_end end) {
  unsigned times = 0;
  for (size_t i = 0; i < seen_count; i++)
    times += seen[i].event.kind == kind && seen[i].event.link == link && seen[i].event.end == end;
  return times;
}

static stw_cause down_cause(uint32_t link, enum stwi_net_end end) {
  for (size_t i = 0; i < seen_count; i++)
    if (seen[i].event.kind == STWI_NET_DOWN && seen[i].event.link == link &&
        seen[i].event.end == end)
      return seen[i].event.cause;
  return STW_CAUSE_COUNT;
}

static struct stwi_net *open_net(uint32_t *link) {
  struct stwi_net *net = stwi_net_new(7, 2);
  assert_non_null(net);
  *link = stwi_net_dial(net, 0, 1);
  assert_int_equal(drain(net), 2);
  return net;
}

static void say(struct stwi_net *net, stwi_time now, uint32_t link, enum stwi_net_end end,
                const char *text) {
  assert_true(stwi_net_send(net, now, link, end, text, strlen(text), false));
}

static void a_call_opens_both_ends_after_the_latency(void **unused) {
  (void)unused;
  struct stwi_net *net = stwi_net_new(1, 2);
  stwi_net_latency(net, 3 * STWI_MS, 3 * STWI_MS);
  const uint32_t link = stwi_net_dial(net, STWI_S, 1);
  assert_int_equal(link, 1);
  assert_int_equal(stwi_net_due(net), STWI_S + 3 * STWI_MS);
  assert_int_equal(drain(net), 2);
  assert_int_equal(seen[0].event.kind, STWI_NET_CALL);
  assert_int_equal(seen[0].event.end, STWI_NET_CALLEE);
  assert_int_equal(seen[0].event.place, 1);
  assert_int_equal(seen[1].event.kind, STWI_NET_OPEN);
  assert_int_equal(seen[1].event.at, STWI_S + 6 * STWI_MS);
  assert_int_equal(stwi_net_due(net), STWI_NEVER);
  assert_int_equal(stwi_net_any(net), link);
  stwi_net_free(net);
}

static void a_door_refuses_or_stays_silent(void **unused) {
  (void)unused;
  struct stwi_net *net = stwi_net_new(1, 1);
  stwi_net_door(net, 0, STWI_NET_DOOR_REFUSED);
  const uint32_t refused = stwi_net_dial(net, 0, 0);
  assert_int_equal(drain(net), 1);
  assert_int_equal(down_cause(refused, STWI_NET_CALLER), STW_CAUSE_TCP_REFUSED);
  stwi_net_door(net, 0, STWI_NET_DOOR_SILENT);
  const uint32_t silent = stwi_net_dial(net, STWI_S, 0);
  assert_int_equal(drain(net), 0);
  stwi_net_close(net, 2 * STWI_S, silent, STWI_NET_CALLER, true);
  assert_int_equal(drain(net), 1);
  assert_int_equal(down_cause(silent, STWI_NET_CALLER), STW_CAUSE_REQUESTED);
  stwi_net_free(net);
}

static void bytes_arrive_in_order_and_then_the_end(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  say(net, STWI_S, link, STWI_NET_CALLER, "a");
  say(net, STWI_S, link, STWI_NET_CALLER, "b");
  say(net, STWI_S, link, STWI_NET_CALLEE, "x");
  stwi_net_close(net, STWI_S, link, STWI_NET_CALLER, false);
  assert_false(stwi_net_send(net, STWI_S, link, STWI_NET_CALLER, "c", 1, false));
  drain(net);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "ab");
  assert_string_equal(texts(link, STWI_NET_CALLER), "");
  assert_int_equal(down_cause(link, STWI_NET_CALLER), STW_CAUSE_REQUESTED);
  assert_int_equal(down_cause(link, STWI_NET_CALLEE), STW_CAUSE_ABNORMAL_FIN);
  assert_int_equal(seen[seen_count - 1].event.kind, STWI_NET_DOWN);
  assert_int_equal(stwi_net_any(net), 0);
  stwi_net_free(net);
}

static void writable_comes_once_all_has_left(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  static const uint8_t big[100000];
  assert_true(stwi_net_send(net, STWI_S, link, STWI_NET_CALLER, big, sizeof big, false));
  assert_true(stwi_net_send(net, STWI_S, link, STWI_NET_CALLER, big, sizeof big, false));
  drain(net);
  assert_int_equal(count(STWI_NET_WRITABLE, link, STWI_NET_CALLER), 1);
  assert_int_equal(count(STWI_NET_BYTES, link, STWI_NET_CALLEE), 2);
  stwi_net_free(net);
}

static void a_reset_loses_what_is_under_way(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  say(net, STWI_S, link, STWI_NET_CALLER, "a");
  stwi_net_reset(net, STWI_S, link);
  drain(net);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "");
  for (enum stwi_net_end end = STWI_NET_CALLER; end <= STWI_NET_CALLEE; end++) {
    assert_int_equal(down_cause(link, end), STW_CAUSE_ABNORMAL_RST);
    assert_int_equal(count(STWI_NET_DOWN, link, end), 1);
  }
  stwi_net_reset(net, STWI_S, link);
  assert_int_equal(drain(net), 0);
  stwi_net_free(net);
}

static void an_abort_is_heard_without_what_was_under_way(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  say(net, STWI_S, link, STWI_NET_CALLER, "a");
  stwi_net_close(net, STWI_S, link, STWI_NET_CALLER, true);
  drain(net);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "");
  assert_int_equal(down_cause(link, STWI_NET_CALLEE), STW_CAUSE_ABNORMAL_RST);
  stwi_net_free(net);
}

static void a_half_dead_link_loses_one_way_only(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  say(net, STWI_S, link, STWI_NET_CALLER, "a");
  stwi_net_swallow(net, link, false, true);
  say(net, STWI_S, link, STWI_NET_CALLER, "b");
  say(net, STWI_S, link, STWI_NET_CALLEE, "x");
  drain(net);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "a");
  assert_string_equal(texts(link, STWI_NET_CALLER), "x");
  assert_int_equal(count(STWI_NET_WRITABLE, link, STWI_NET_CALLER), 1);
  assert_int_equal(stwi_net_counts(net).swallowed, 1);
  stwi_net_close(net, 2 * STWI_S, link, STWI_NET_CALLER, false);
  drain(net);
  assert_int_equal(count(STWI_NET_DOWN, link, STWI_NET_CALLEE), 0);
  stwi_net_free(net);
}

static void the_dead_hear_nothing_and_their_peer_a_reset(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  say(net, STWI_S, link, STWI_NET_CALLER, "a");
  stwi_net_died(net, STWI_S, link, STWI_NET_CALLEE);
  drain(net);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "");
  assert_int_equal(count(STWI_NET_DOWN, link, STWI_NET_CALLEE), 0);
  assert_int_equal(down_cause(link, STWI_NET_CALLER), STW_CAUSE_ABNORMAL_RST);
  assert_false(stwi_net_send(net, STWI_S, link, STWI_NET_CALLEE, "x", 1, false));
  stwi_net_free(net);
}

static void last_words_of_an_old_link_can_come_after_the_first_of_the_next(void **unused) {
  (void)unused;
  struct stwi_net *net = stwi_net_new(1, 1);
  stwi_net_latency(net, 400 * STWI_MS, 400 * STWI_MS);
  const uint32_t old = stwi_net_dial(net, 0, 0);
  drain(net);
  stwi_net_latency(net, STWI_MS, STWI_MS);
  say(net, STWI_S, old, STWI_NET_CALLER, "old");
  const uint32_t new = stwi_net_dial(net, STWI_S, 0);
  drain(net);
  assert_int_equal(seen[0].event.kind, STWI_NET_WRITABLE);
  assert_int_equal(seen[1].event.link, new);
  assert_int_equal(seen[seen_count - 1].event.link, old);
  assert_string_equal(texts(old, STWI_NET_CALLEE), "old");
  stwi_net_free(net);
}

static void send_digits(struct stwi_net *net, uint32_t link, bool may_be_harmed) {
  for (unsigned i = 0; i < 10; i++) {
    const char digit = (char)('0' + i);
    stwi_net_send(net, STWI_S + i * STWI_US, link, STWI_NET_CALLER, &digit, 1, may_be_harmed);
  }
  drain(net);
}

static void harm_doubles_and_swaps_only_what_may_be_harmed(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  stwi_net_harm(net, (struct stwi_net_harm){.doubled = 300000, .swapped = 300000});
  send_digits(net, link, false);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "0123456789");
  send_digits(net, link, true);
  const struct stwi_net_counts counts = stwi_net_counts(net);
  assert_true(counts.doubled > 0 && counts.swapped > 0);
  assert_int_equal(strlen(texts(link, STWI_NET_CALLEE)), 10 + counts.doubled);
  for (char digit = '0'; digit <= '9'; digit++)
    assert_non_null(strchr(texts(link, STWI_NET_CALLEE), digit));
  assert_true(strncmp(texts(link, STWI_NET_CALLEE), "0123456789", 10) != 0);
  stwi_net_free(net);
}

static void a_dropped_packet_breaks_the_link(void **unused) {
  (void)unused;
  uint32_t link;
  struct stwi_net *net = open_net(&link);
  stwi_net_harm(net, (struct stwi_net_harm){.dropped = 1000000});
  assert_true(stwi_net_send(net, STWI_S, link, STWI_NET_CALLER, "a", 1, true));
  drain(net);
  assert_string_equal(texts(link, STWI_NET_CALLEE), "");
  assert_int_equal(down_cause(link, STWI_NET_CALLEE), STW_CAUSE_ABNORMAL_RST);
  stwi_net_free(net);
}

static void timers_come_in_order_of_time_then_of_setting(void **unused) {
  (void)unused;
  struct stwi_net *net = stwi_net_new(1, 1);
  static const stwi_time at[] = {5, 3, 9, 3, 1, 5, 3};
  for (uint64_t i = 0; i < 7; i++)
    assert_true(stwi_net_timer(net, at[i], i));
  assert_int_equal(drain(net), 7);
  static const uint64_t wanted[] = {4, 1, 3, 6, 0, 5, 2};
  for (size_t i = 0; i < 7; i++)
    assert_int_equal(seen[i].event.token, wanted[i]);
  stwi_net_free(net);
}

/* A busy network; a digest of everything it told. */
static uint64_t busy(uint64_t seed) {
  struct stwi_net *net = stwi_net_new(seed, 3);
  struct stwi_net_event event;
  uint64_t digest = 0;
  stwi_net_latency(net, 0, 30 * STWI_MS);
  stwi_net_harm(net, (struct stwi_net_harm){20000, 20000, 1000});
  for (uint64_t i = 0; i < 100; i++)
    stwi_net_timer(net, i * STWI_MS, i);
  for (unsigned turns = 0; turns < 3000 && stwi_net_next(net, &event); turns++) {
    digest = digest * 1099511628211u + event.at * 31 + event.link * 7 + (uint64_t)event.kind;
    if (event.kind == STWI_NET_TIMER)
      stwi_net_dial(net, event.at, (uint32_t)(event.token % 3));
    if (event.kind == STWI_NET_OPEN || event.kind == STWI_NET_BYTES)
      stwi_net_send(net, event.at, event.link, event.end, "0123456789", 10, true);
    if (event.kind == STWI_NET_TIMER && event.token % 10 == 0 && stwi_net_any(net) != 0)
      stwi_net_reset(net, event.at, stwi_net_any(net));
  }
  stwi_net_free(net);
  return digest;
}

static void the_same_seed_gives_the_same_events(void **unused) {
  (void)unused;
  assert_int_equal(busy(42), busy(42));
  assert_int_not_equal(busy(42), busy(43));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_call_opens_both_ends_after_the_latency),
      cmocka_unit_test(a_door_refuses_or_stays_silent),
      cmocka_unit_test(bytes_arrive_in_order_and_then_the_end),
      cmocka_unit_test(writable_comes_once_all_has_left),
      cmocka_unit_test(a_reset_loses_what_is_under_way),
      cmocka_unit_test(an_abort_is_heard_without_what_was_under_way),
      cmocka_unit_test(a_half_dead_link_loses_one_way_only),
      cmocka_unit_test(the_dead_hear_nothing_and_their_peer_a_reset),
      cmocka_unit_test(last_words_of_an_old_link_can_come_after_the_first_of_the_next),
      cmocka_unit_test(harm_doubles_and_swaps_only_what_may_be_harmed),
      cmocka_unit_test(a_dropped_packet_breaks_the_link),
      cmocka_unit_test(timers_come_in_order_of_time_then_of_setting),
      cmocka_unit_test(the_same_seed_gives_the_same_events),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
