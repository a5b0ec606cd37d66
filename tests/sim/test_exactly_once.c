/* Exactly once, both ways, in a deterministic world: the client's session and the server's on a
 * virtual network that resets, swallows, doubles, swaps and drops, two server nodes over one
 * durable store, and crashes of either side.
 *
 * STW_SEED replays, STW_SIM_MESSAGES makes it longer. */
#include "pair.h"

#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES 200000u
#define LIFE_MESSAGES 1000u
#define DIGEST_PRIME 1099511628211u

static bool is_all_sent(void) {
  return w.sent[0] >= w.target && w.sent[1] >= w.target;
}

static void send_some(void) {
  const size_t standing = w.outbox[0].count - w.outbox[0].first;
  for (uint64_t i = pair_roll(6); i > 0; i--) {
    if (w.sent[0] < w.target && standing < PENDING_MAX)
      pair_client_put(pair_roll(8) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA);
    if (w.sent[1] < w.target)
      pair_node_put(pair_roll(8) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA);
  }
  if (pair_roll(20) == 0)
    pair_client_cancel(pair_roll(2) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA);
  pair_timer(SEND, 0, STWI_MS);
}

static void fault(void) {
  const uint32_t link = stwi_net_any(w.net);
  const uint64_t what = pair_roll(w.has_crashes ? 7 : 5);
  if (is_all_sent())
    return;
  pair_timer(FAULT, 0, (5 + pair_roll(150)) * STWI_MS);
  w.faults++;
  if (what == 5)
    pair_client_crash();
  else if (what == 6)
    pair_node_crash(pair_roll(NODES));
  else if (what >= 3)
    stwi_net_reset(w.net, w.now, link);
  else if (what == 2)
    stwi_net_swallow(w.net, link, true, true);
  else
    stwi_net_swallow(w.net, link, what == 0, what == 1);
}

static void on_timer(uint64_t token) {
  const uint64_t what = token >> 8;
  const enum timer kind = (enum timer)(token & 255);
  const bool is_alive = what == w.life;
  if (kind == SEND)
    send_some();
  else if (kind == FAULT)
    fault();
  else if (kind == NODE_COMMIT)
    pair_node_commit(&w.nodes[what]);
  else if (kind == NODE_BACK)
    stwi_net_door(w.net, (uint32_t)what, STWI_NET_DOOR_OPEN);
  else if (kind == DIAL && is_alive)
    pair_client_dial();
  else if (kind == TICK && is_alive)
    pair_client_tick();
  else if (kind == CLIENT_COMMIT && is_alive)
    pair_client_commit();
  else if (kind == STORE && is_alive)
    pair_client_stored();
}

static void on_caller(const struct stwi_net_event *event) {
  if (event->link != w.link)
    return;
  if (event->kind == STWI_NET_OPEN) {
    w.is_open = true;
    w.heard_at = w.now;
    pair_client_hello();
  } else if (event->kind == STWI_NET_BYTES) {
    pair_client_bytes(event);
  } else if (event->kind == STWI_NET_DOWN) {
    pair_client_unlink(true);
  }
}

static void on_callee(const struct stwi_net_event *event) {
  struct node *node = &w.nodes[event->place];
  if (event->kind == STWI_NET_CALL) {
    pair_node_unlink(node, false);
    node->link = event->link;
  } else if (event->link == node->link && event->kind == STWI_NET_BYTES) {
    pair_node_bytes(node, event);
  } else if (event->link == node->link && event->kind == STWI_NET_DOWN) {
    pair_node_unlink(node, true);
  }
}

static void note_event(const struct stwi_net_event *event) {
  w.digest = (w.digest ^ event->at) * DIGEST_PRIME;
  w.digest = (w.digest ^ event->link ^ (uint64_t)event->kind << 40) * DIGEST_PRIME;
  for (size_t i = 0; i < event->size; i += 8)
    w.digest = (w.digest ^ event->data[i]) * DIGEST_PRIME;
  if (w.log != NULL)
    fprintf(w.log, "%llu %u %u %u %zu %llx\n", (unsigned long long)event->at, (unsigned)event->kind,
            event->link, (unsigned)event->end, event->size, (unsigned long long)w.digest);
}

static bool is_all_taken(void) {
  struct stwi_verdict verdict;
  stwi_checker_verdict(w.checker, STWI_VIEW_DEDUPED, &verdict);
  return verdict.faults[STWI_FAULT_LOST] == 0;
}

struct life {
  uint64_t target; /* messages each way */
  bool has_crashes, has_harm;
  enum bug bug;
  FILE *log; /* NULL: none */
};

static struct {
  unsigned long long sent, withdrawn, links, faults, client_crashes, node_crashes;
  unsigned long long doubled, swapped, dropped;
} sums;

static void begin(uint64_t seed, const struct life *life) {
  memset(&w, 0, sizeof w);
  w.net = stwi_net_new(seed, NODES);
  w.checker = stwi_checker_new(2 * STW_LANE_COUNT);
  w.store = stwi_model_new(seed + 1, 0);
  w.target = life->target;
  w.has_crashes = life->has_crashes;
  w.bug = life->bug;
  w.log = life->log;
  w.life = 1;
  stwi_net_latency(w.net, 200 * STWI_US, 20 * STWI_MS);
  if (life->has_harm)
    stwi_net_harm(w.net, (struct stwi_net_harm){.doubled = 2000, .swapped = 300, .dropped = 300});
  pair_client_start();
  pair_timer(SEND, 0, STWI_MS);
  pair_timer(FAULT, 0, 100 * STWI_MS);
  for (size_t i = 0; i < NODES; i++)
    pair_timer(NODE_COMMIT, i, STWI_MS);
}

static void run(void) {
  struct stwi_net_event event;
  stwi_time look_at = 0, sent_at = 0;
  while (w.broken[0] == '\0' && stwi_net_next(w.net, &event)) {
    w.now = event.at;
    note_event(&event);
    if (event.kind == STWI_NET_TIMER)
      on_timer(event.token);
    else if (event.end == STWI_NET_CALLER)
      on_caller(&event);
    else
      on_callee(&event);
    pair_client_pump();
    for (size_t i = 0; i < NODES; i++)
      pair_node_pump(&w.nodes[i]);
    if (!is_all_sent() || w.now < look_at)
      continue;
    sent_at = sent_at == 0 ? w.now : sent_at;
    look_at = w.now + 200 * STWI_MS;
    if (is_all_taken() || w.now - sent_at > 60 * STWI_S)
      return;
  }
}

static void end(void) {
  for (size_t i = 0; i < NODES; i++)
    pair_node_drop(&w.nodes[i]);
  stwi_sclient_fini(&w.client);
  stwi_model_free(w.store);
  stwi_checker_free(w.checker);
  stwi_net_free(w.net);
}

static void add_up(const struct stwi_verdict *verdict) {
  const struct stwi_net_counts counts = stwi_net_counts(w.net);
  sums.sent += verdict->sent;
  sums.withdrawn += verdict->withdrawn;
  sums.links += w.links;
  sums.faults += w.faults;
  sums.client_crashes += w.client_crashes;
  sums.node_crashes += w.node_crashes;
  sums.doubled += counts.doubled;
  sums.swapped += counts.swapped;
  sums.dropped += counts.dropped + counts.swallowed;
}

static void tell(const char *what) {
  print_message("  %s: %llu sent, %llu withdrawn; %llu links, %llu client and %llu node crashes, "
                "%llu frames doubled, %llu swapped, %llu swallowed\n",
                what, sums.sent, sums.withdrawn, sums.links, sums.client_crashes, sums.node_crashes,
                sums.doubled, sums.swapped, sums.dropped);
}

static uint64_t total(void) {
  const char *given = getenv("STW_SIM_MESSAGES");
  return given == NULL ? MESSAGES : strtoull(given, NULL, 10);
}

/* One life to its end; false: it broke, w.broken says how. */
static bool live(uint64_t seed, const struct life *life, struct stwi_verdict *verdict) {
  const enum stwi_view view = life->has_crashes ? STWI_VIEW_DEDUPED : STWI_VIEW_RAW;
  begin(seed, life);
  run();
  if (w.broken[0] == '\0')
    snprintf(w.broken, sizeof w.broken, "%s", stwi_model_broken(w.store));
  for (enum stwi_view each = STWI_VIEW_DEDUPED + 1; each-- > view;)
    if (!stwi_checker_verdict(w.checker, each, verdict) && w.broken[0] == '\0')
      snprintf(w.broken, sizeof w.broken, "%s", verdict->first);
  add_up(verdict);
  end();
  return w.broken[0] == '\0';
}

/* Lives until so many messages were sent, each with a seed of its own. */
static void live_on(const char *what, uint64_t seed, struct life life, uint64_t count) {
  memset(&sums, 0, sizeof sums);
  while (sums.sent < count) {
    struct stwi_verdict verdict;
    if (!live(seed, &life, &verdict))
      fail_msg("seed=%llu: %s", (unsigned long long)seed, w.broken);
    assert_true(verdict.sent >= 2 * life.target);
    assert_true(verdict.taken >= verdict.sent - verdict.withdrawn - verdict.unsure);
    seed++;
  }
  tell(what);
  assert_true(sums.links > 0 && sums.faults > 0);
}

static void exactly_once_after_dedup_by_the_committed_cursor_while_hosts_die(void **unused) {
  (void)unused;
  live_on("hosts die: deduped by committed cursors", test_seed("test_exactly_once"),
          (struct life){.target = LIFE_MESSAGES, .has_crashes = true, .has_harm = true},
          total() / 2);
  assert_true(sums.client_crashes > 0 && sums.node_crashes > 0);
}

static void exactly_once_raw_while_links_die(void **unused) {
  (void)unused;
  live_on("links die: raw", test_seed("test_exactly_once"),
          (struct life){.target = LIFE_MESSAGES, .has_harm = true}, total() / 2);
}

static void planted_bugs_of_the_hosts_are_found(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("test_exactly_once");
  for (enum bug bug = NO_BUG + 1; bug < BUG_COUNT; bug++) {
    const struct life life = {.target = 5000, .has_crashes = true, .bug = bug};
    struct stwi_verdict verdict;
    uint64_t lives = 0;
    while (lives < 200 && live(seed + lives, &life, &verdict))
      lives++;
    if (lives == 200)
      fail_msg("seed=%llu: bug %u is not found", (unsigned long long)seed, (unsigned)bug);
  }
}

static void the_same_seed_gives_the_same_log(void **unused) {
  (void)unused;
  struct stwi_verdict verdict;
  char *logs[2];
  size_t sizes[2];
  for (unsigned i = 0; i < 2; i++) {
    FILE *log = open_memstream(&logs[i], &sizes[i]);
    assert_non_null(log);
    assert_true(
        live(7, &(struct life){.target = 500, .has_crashes = true, .has_harm = true, .log = log},
             &verdict));
    fclose(log);
  }
  assert_true(sizes[0] > 1000);
  assert_int_equal(sizes[0], sizes[1]);
  assert_memory_equal(logs[0], logs[1], sizes[0]);
  free(logs[0]);
  free(logs[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exactly_once_after_dedup_by_the_committed_cursor_while_hosts_die),
      cmocka_unit_test(exactly_once_raw_while_links_die),
      cmocka_unit_test(planted_bugs_of_the_hosts_are_found),
      cmocka_unit_test(the_same_seed_gives_the_same_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
