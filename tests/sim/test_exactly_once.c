/* Exactly once, both ways, in a deterministic world: the whole engine core with its outbox file and
 * its host on a virtual network that resets, swallows, doubles, swaps and drops, two server nodes
 * over one durable store, crashes of either side, power losses, full and failing disks, and servers
 * that lose their sessions.  What may be lost or repeated is what was told, and nothing else.
 *
 * STW_SEED replays, STW_SIM_MESSAGES makes it longer. */
#include "pair.h"

#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES 100000u
#define LIFE_MESSAGES 4000u
#define PATIENCE (900 * STWI_S) /* one message per proof, where a link was called broken */
#define DIGEST_PRIME 1099511628211u

#define BIT(what) (1u << (what))
#define OF_LINKS                                                                                   \
  (BIT(TO_CLIENT_LOST) | BIT(TO_SERVER_LOST) | BIT(BLACK_HOLE) | BIT(RESET) | BIT(SILENT_DOOR))
#define OF_HOSTS (BIT(CLIENT_KILLED) | BIT(CLIENT_CLOSED) | BIT(POWER_LOST) | BIT(NODE_KILLED))
#define OF_DISKS (BIT(DISK_FULL) | BIT(SYNC_FAILED))
#define OF_SERVERS (BIT(SESSION_EXPIRED) | BIT(SERVER_STORE_LOST))

static const struct {
  const char *name;
  uint32_t weight;
} misfortunes[MISFORTUNE_COUNT] = {
    [TO_CLIENT_LOST] = {"half-dead to the client", 4},
    [TO_SERVER_LOST] = {"half-dead to the server", 4},
    [BLACK_HOLE] = {"black holes", 4},
    [RESET] = {"resets", 8},
    [SILENT_DOOR] = {"silent doors", 2},
    [CLIENT_KILLED] = {"clients killed", 4},
    [CLIENT_CLOSED] = {"clients closed", 2},
    [POWER_LOST] = {"power losses", 4},
    [NODE_KILLED] = {"nodes killed", 6},
    [DISK_FULL] = {"full disks", 2},
    [SYNC_FAILED] = {"failed syncs", 2},
    [SESSION_EXPIRED] = {"sessions expired", 2},
    [SERVER_STORE_LOST] = {"server stores lost", 1},
};

/* ---- what happens ---- */

static bool is_all_sent(void) {
  return w.sent[0] >= w.plan.target && w.sent[1] >= w.plan.target;
}

static stw_lane draw_lane(void) {
  return pair_roll(8) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA;
}

static void send_some(void) {
  for (uint64_t i = pair_roll(10); i > 0; i--) {
    if (w.sent[0] < w.plan.target)
      pair_host_put(draw_lane());
    if (w.sent[1] < w.plan.target)
      pair_node_put(draw_lane());
  }
  if (pair_roll(20) == 0)
    pair_host_cancel(draw_lane());
  pair_timer(SEND, 0, 8 * STWI_MS);
}

static enum misfortune draw_misfortune(void) {
  uint64_t all = 0;
  for (unsigned i = 0; i < MISFORTUNE_COUNT; i++)
    all += pair_may((enum misfortune)i) ? misfortunes[i].weight : 0;
  uint64_t left = pair_roll(all);
  for (unsigned i = 0;; i++) {
    const uint64_t weight = pair_may((enum misfortune)i) ? misfortunes[i].weight : 0;
    if (left < weight)
      return (enum misfortune)i;
    left -= weight;
  }
}

/* To a link; false where there is none. */
static bool strike_link(enum misfortune what) {
  const uint32_t link = stwi_net_any(w.net);
  if (link == 0)
    return false;
  if (what == RESET)
    stwi_net_reset(w.net, w.now, link);
  else
    stwi_net_swallow(w.net, link, what != TO_SERVER_LOST, what != TO_CLIENT_LOST);
  return true;
}

static void shut_door(void) {
  const uint64_t place = pair_roll(NODES);
  stwi_net_door(w.net, (uint32_t)place, STWI_NET_DOOR_SILENT);
  pair_timer(DOOR_BACK, place, pair_roll(800) * STWI_MS);
}

static void fill_disk(void) {
  stwi_model_full(w.store, true);
  pair_timer(SPACE, w.life, pair_roll(600) * STWI_MS);
}

static bool strike(enum misfortune what) {
  switch (what) {
  case SILENT_DOOR:
    return shut_door(), true;
  case CLIENT_KILLED:
  case POWER_LOST:
    return pair_client_crash(what == POWER_LOST), true;
  case CLIENT_CLOSED:
    return pair_client_close(), true;
  case NODE_KILLED:
    return pair_node_crash(pair_roll(NODES)), true;
  case DISK_FULL:
    return fill_disk(), true;
  case SYNC_FAILED:
    return stwi_model_fail_sync(w.store), true;
  case SESSION_EXPIRED:
  case SERVER_STORE_LOST:
    return pair_lose_session(what == SERVER_STORE_LOST), true;
  default:
    return strike_link(what);
  }
}

static void fault(void) {
  if (is_all_sent())
    return;
  const enum misfortune what = draw_misfortune();
  w.happened[what] += strike(what);
  pair_timer(FAULT, 0, (5 + pair_roll(700)) * STWI_MS);
}

static void on_client_timer(enum timer kind) {
  if (kind == TICK)
    w.tick_at = STWI_NEVER;
  else if (kind == CLIENT_COMMIT)
    pair_host_commit();
  else if (kind == STORE)
    pair_client_stored();
  else if (kind == SPACE)
    stwi_model_full(w.store, false);
}

static void on_timer(uint64_t token) {
  const uint64_t what = token >> 8;
  const enum timer kind = (enum timer)(token & 255);
  if (kind == SEND)
    send_some();
  else if (kind == FAULT)
    fault();
  else if (kind == NODE_COMMIT)
    pair_node_commit(&w.nodes[what]);
  else if (kind == DOOR_BACK)
    stwi_net_door(w.net, (uint32_t)what, STWI_NET_DOOR_OPEN);
  else if (kind != NODE_TICK && what == w.life)
    on_client_timer(kind);
}

/* ---- lives ---- */

static struct {
  unsigned long long sent, withdrawn, unsure, repeated, lives, links;
  unsigned long long doubled, swapped, dropped, swallowed;
  unsigned long long stale, refused, parts, coalesced, happened[MISFORTUNE_COUNT];
} sums;

static void note_event(const struct stwi_net_event *event) {
  w.digest = (w.digest ^ event->at) * DIGEST_PRIME;
  w.digest = (w.digest ^ event->link ^ (uint64_t)event->kind << 40) * DIGEST_PRIME;
  for (size_t i = 0; i < event->size; i += 8)
    w.digest = (w.digest ^ event->data[i]) * DIGEST_PRIME;
  if (w.plan.log != NULL)
    fprintf(w.plan.log, "%llu %u %u %u %zu %llx\n", (unsigned long long)event->at,
            (unsigned)event->kind, event->link, (unsigned)event->end, event->size,
            (unsigned long long)w.digest);
}

static bool is_all_taken(void) {
  struct stwi_verdict verdict;
  stwi_checker_verdict(w.checker, STWI_VIEW_DEDUPED, &verdict);
  return pair_host_standing() == 0 && verdict.faults[STWI_FAULT_LOST] == 0;
}

static void begin(uint64_t seed, const struct plan *plan) {
  memset(&w, 0, sizeof w);
  w.plan = *plan;
  w.net = stwi_net_new(seed, NODES);
  w.checker = stwi_checker_new(2 * STW_LANE_COUNT);
  w.store = stwi_model_new(seed + 1, plan->bug == CLAIMS_DURABLE ? 8 : plan->lag);
  w.life = 1;
  w.incarnation = 5;
  w.gives_cursor = pair_roll(2) == 0;
  w.replays = pair_roll(4) > 0;
  w.options = (stw_session_options){.struct_size = sizeof w.options,
                                    .part_bytes = 1500,
                                    .says_processed = true,
                                    .refuses_when_full = true,
                                    .takes_optimistic = pair_roll(2) == 0};
  stwi_net_latency(w.net, 200 * STWI_US, 20 * STWI_MS);
  if (plan->has_harm)
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
      pair_client_event(&event);
    else
      pair_node_event(&event);
    pair_client_turn();
    for (size_t i = 0; i < NODES; i++)
      pair_node_pump(&w.nodes[i]);
    if (!is_all_sent() || w.now < look_at)
      continue;
    sent_at = sent_at == 0 ? w.now : sent_at;
    look_at = w.now + 200 * STWI_MS;
    if (is_all_taken() || w.now - sent_at > PATIENCE)
      return;
  }
}

static void end(void) {
  for (size_t i = 0; i < NODES; i++)
    pair_node_crash(i);
  pair_client_stop();
  stwi_model_free(w.store);
  stwi_checker_free(w.checker);
  stwi_net_free(w.net);
}

static void add_up(const struct stwi_verdict *verdict) {
  const struct stwi_net_counts counts = stwi_net_counts(w.net);
  sums.lives++;
  sums.sent += verdict->sent;
  sums.withdrawn += verdict->withdrawn;
  sums.unsure += verdict->unsure;
  sums.repeated += verdict->repeated;
  sums.links += counts.links;
  sums.doubled += counts.doubled;
  sums.swapped += counts.swapped;
  sums.dropped += counts.dropped;
  sums.swallowed += counts.swallowed;
  sums.stale += w.stale;
  sums.refused += w.refused;
  sums.parts += w.parts;
  sums.coalesced += w.coalesced;
  for (unsigned i = 0; i < MISFORTUNE_COUNT; i++)
    sums.happened[i] += w.happened[i];
}

static void tell(const char *what) {
  print_message("  %s: %llu sent in %llu lives, %llu withdrawn, %llu that may be lost, %llu "
                "repeats that were told; %llu refused, %llu coalesced, %llu parts\n",
                what, sums.sent, sums.lives, sums.withdrawn, sums.unsure, sums.repeated,
                sums.refused, sums.coalesced, sums.parts);
  print_message("    %llu links, %llu frames doubled, %llu swapped, %llu dropped, %llu swallowed, "
                "%llu sessions stale",
                sums.links, sums.doubled, sums.swapped, sums.dropped, sums.swallowed, sums.stale);
  for (unsigned i = 0; i < MISFORTUNE_COUNT; i++)
    if (sums.happened[i] > 0)
      print_message(", %llu %s", sums.happened[i], misfortunes[i].name);
  print_message("\n");
}

static uint64_t total(void) {
  const char *given = getenv("STW_SIM_MESSAGES");
  return given == NULL ? MESSAGES : strtoull(given, NULL, 10);
}

/* Where hosts die, or hand over to others, they are asked to drop by their cursor what comes again.
 */
static enum stwi_view strictest(const struct plan *plan) {
  return plan->has_one_node ? STWI_VIEW_RAW : STWI_VIEW_DEDUPED;
}

/* One life to its end; false: it broke, w.broken says how. */
static bool live(uint64_t seed, const struct plan *plan, struct stwi_verdict *verdict) {
  begin(seed, plan);
  run();
  if (w.broken[0] == '\0')
    snprintf(w.broken, sizeof w.broken, "%s", stwi_model_broken(w.store));
  for (enum stwi_view each = STWI_VIEW_DEDUPED + 1; each-- > strictest(plan);)
    if (!stwi_checker_verdict(w.checker, each, verdict) && w.broken[0] == '\0')
      snprintf(w.broken, sizeof w.broken, "%s", verdict->first);
  if (w.broken[0] == '\0' && pair_host_standing() > 0)
    snprintf(w.broken, sizeof w.broken, "the outbox never became empty");
  add_up(verdict);
  end();
  return w.broken[0] == '\0';
}

/* Lives until so many messages were sent, each with a seed of its own. */
static void live_on(const char *what, uint64_t seed, struct plan plan, uint64_t count) {
  memset(&sums, 0, sizeof sums);
  plan.target = LIFE_MESSAGES;
  plan.has_harm = true;
  while (sums.sent < count) {
    struct stwi_verdict verdict;
    if (!live(seed, &plan, &verdict))
      fail_msg("STW_SEED=%llu: %s", (unsigned long long)seed, w.broken);
    assert_true(verdict.sent >= 2 * plan.target);
    assert_true(verdict.taken >= verdict.sent - verdict.withdrawn - verdict.unsure);
    seed++;
  }
  tell(what);
}

static void exactly_once_raw_while_links_die(void **unused) {
  (void)unused;
  live_on("links die: raw", test_seed("test_exactly_once"),
          (struct plan){.has_one_node = true, .misfortunes = OF_LINKS | OF_DISKS}, total() / 3);
}

static void exactly_once_by_the_committed_cursor_while_hosts_die(void **unused) {
  (void)unused;
  live_on("hosts die: deduped by committed cursors", test_seed("test_exactly_once"),
          (struct plan){.misfortunes = OF_LINKS | OF_DISKS | OF_HOSTS}, total() / 3);
}

static void lost_or_repeated_is_only_what_was_told(void **unused) {
  (void)unused;
  live_on("sessions and unsynced commits are lost: as told", test_seed("test_exactly_once"),
          (struct plan){.misfortunes = OF_LINKS | OF_DISKS | OF_HOSTS | OF_SERVERS, .lag = 6},
          total() / 3);
}

enum { PLANTED_LIVES = 1000 };

static void planted_bugs_are_found(void **unused) {
  (void)unused;
  static const char *const names[BUG_COUNT] = {
      [ACCEPTS_BEFORE_COMMIT] = "an early acknowledgement",
      [FORGETS_CURSOR] = "a server that forgets its cursor",
      [PROCESSED_BEFORE_COMMIT] = "processed before the host's commit",
      [CLAIMS_COMMIT] = "a file that says committed too soon",
      [CLAIMS_DURABLE] = "an unsynced tail called durable",
      [DROPS_PART] = "a piece that goes missing",
  };
  const uint64_t seed = 1; /* always the same lives: it is the checker that is tested here */
  for (enum bug bug = NO_BUG + 1; bug < BUG_COUNT; bug++) {
    const struct plan plan = {
        .target = 5000, .misfortunes = OF_LINKS | OF_DISKS | OF_HOSTS, .bug = bug};
    struct stwi_verdict verdict;
    uint64_t lives = 0;
    while (lives < PLANTED_LIVES && live(seed + lives, &plan, &verdict))
      lives++;
    if (lives == PLANTED_LIVES)
      fail_msg("not found in %u lives: %s", (unsigned)PLANTED_LIVES, names[bug]);
    print_message("  %s, in life %llu: %s\n", names[bug], (unsigned long long)lives + 1, w.broken);
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
    const struct plan plan = {.target = 500,
                              .misfortunes = OF_LINKS | OF_DISKS | OF_HOSTS | OF_SERVERS,
                              .has_harm = true,
                              .lag = 6,
                              .log = log};
    if (!live(7, &plan, &verdict))
      fail_msg("STW_SEED=7: %s", w.broken);
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
      cmocka_unit_test(exactly_once_raw_while_links_die),
      cmocka_unit_test(exactly_once_by_the_committed_cursor_while_hosts_die),
      cmocka_unit_test(lost_or_repeated_is_only_what_was_told),
      cmocka_unit_test(planted_bugs_are_found),
      cmocka_unit_test(the_same_seed_gives_the_same_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
