/* The herd engine decides as the product does: the same herd is lived through by whole engine
 * cores, one for each client, and every attempt is made at the same nanosecond with the same
 * answer.  The only relation to be known is that of the dice: a conn's first link has drawn the
 * jitter of its pulse before it is lost, and so does a client of the herd. */
#include "core/engine_core.h"
#include "seed.h"
#include "sim/herd.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPENED (1000 * STWI_S)
#define DROPPED (OPENED + 10 * STWI_S) /* t = 0 of the herd */

enum { CLIENTS = 200, LOG_ROOM = 20000 };

struct process {
  struct stwi_core *core;
  struct stwi_effects effects;
  uint32_t link;      /* generation of the link that is up or under way */
  stwi_time ready_at; /* of the attempt under way; 0: no answer to come */
  bool is_back;
};

struct life {
  struct stwi_herd_config config;
  struct stwi_herd_server server;
  struct process processes[CLIENTS];
  struct stwi_herd_attempt log[LOG_ROOM];
  size_t count;
  uint32_t back;
};

static void step(struct life *life, uint32_t client, const struct stwi_input *input, stwi_time now);

static void answer(struct life *life, uint32_t client, uint32_t link, stwi_time now) {
  struct process *process = &life->processes[client];
  process->link = link;
  struct stwi_input input = {.link = link};
  struct stwi_herd_reply reply = {.answer = STWI_HERD_SERVED, .at = now - DROPPED};
  if (now >= DROPPED) {
    reply = stwi_herd_arrive(&life->server, now - DROPPED);
    assert_true(life->count < LOG_ROOM);
    life->log[life->count++] = (struct stwi_herd_attempt){now - DROPPED, client, reply.answer};
  }
  switch (reply.answer) {
  case STWI_HERD_DOWN:
    input.kind = STWI_IN_DOWN;
    input.u.down.cause = STW_CAUSE_TCP_REFUSED;
    break;
  case STWI_HERD_REFUSED:
    input.kind = STWI_IN_DOWN;
    input.u.down.cause = stwi_cause_of_http(503);
    input.u.down.http_status = 503;
    input.u.down.retry_after_ms = reply.retry_after_ms;
    break;
  case STWI_HERD_SERVED:
    process->ready_at = reply.at + DROPPED;
    input.kind = STWI_IN_PHASE;
    input.u.phase.phase = STW_PHASE_UPGRADE;
    break;
  }
  step(life, client, &input, now);
}

static void perform(struct life *life, uint32_t client, stwi_time now) {
  struct process *process = &life->processes[client];
  const struct stwi_effects done = process->effects;
  stwi_effects_init(&process->effects);
  for (size_t i = 0; i < done.count; i++) {
    const struct stwi_effect *effect = &done.items[i];
    if (effect->kind == STWI_FX_DIAL)
      answer(life, client, effect->link, now);
    if (effect->kind == STWI_FX_CUT && effect->link == process->link)
      process->ready_at = 0;
  }
  struct stwi_effects owned = done;
  stwi_effects_fini(&owned);
}

static void step(struct life *life, uint32_t client, const struct stwi_input *input,
                 stwi_time now) {
  struct process *process = &life->processes[client];
  size_t size;
  uint8_t *entropy = stwi_core_entropy_want(process->core, &size);
  memset(entropy, 7, size);
  stwi_core_entropy_given(process->core);
  stwi_core_step(process->core, input, 1, now, &process->effects);
  perform(life, client, now);
  do {
    stwi_core_step(process->core, &(struct stwi_input){.kind = STWI_IN_TURN}, 1, now,
                   &process->effects);
    perform(life, client, now);
  } while (stwi_core_has_more(process->core));
}

static void ready(struct life *life, uint32_t client) {
  struct process *process = &life->processes[client];
  const stwi_time at = process->ready_at;
  process->ready_at = 0;
  struct stwi_input input = {.kind = STWI_IN_READY, .link = process->link};
  input.u.ready.subprotocol = "";
  step(life, client, &input, at);
  stw_conn_view view = {.struct_size = sizeof view};
  assert_true(stwi_core_view(process->core, 0, &view));
  assert_int_equal(view.state, STW_STATE_ONLINE);
}

static void open_process(struct life *life, uint32_t client) {
  struct process *process = &life->processes[client];
  process->core = stwi_core_new(NULL);
  stwi_effects_init(&process->effects);
  struct stwi_conn_config *config = world_config("a");
  config->retry_window_ns = life->config.retry_window_ns;
  config->has_heartbeat = false;
  struct stwi_input input = {.kind = STWI_IN_OPEN};
  input.u.open.config = config;
  input.u.open.stream = 2;
  input.u.open.seed = stwi_random_stream(life->config.seed, client, 0);
  step(life, client, &input, OPENED);
  ready(life, client);
  step(life, client, &(struct stwi_input){.kind = STWI_IN_TURN}, OPENED + 3 * STWI_S);
}

/* A close frame of the server: 1012, with the reason of the herd's server where it hints. */
static void drop_process(struct life *life, uint32_t client) {
  char reason[64] = "";
  if (life->config.policy == STWI_HERD_HINTED)
    stwi_herd_reason(&life->config, reason, sizeof reason);
  uint8_t frame[4 + sizeof reason] = {0x88, (uint8_t)(2 + strlen(reason)), 1012 >> 8, 1012 & 255};
  memcpy(frame + 4, reason, strlen(reason));
  struct stwi_input input = {.kind = STWI_IN_BYTES, .link = life->processes[client].link};
  input.u.bytes.data = frame;
  input.u.bytes.size = 4 + strlen(reason);
  step(life, client, &input, DROPPED);
}

/* A client leaves in the moment in which its patience ends, whatever would have come then. */
static bool is_ready_next(const struct process *process) {
  return process->ready_at != 0 && process->ready_at < stwi_core_deadline(process->core);
}

static stwi_time due(const struct process *process) {
  if (process->is_back)
    return STWI_NEVER;
  return is_ready_next(process) ? process->ready_at : stwi_core_deadline(process->core);
}

static void live(struct life *life, stwi_time stop_at) {
  stwi_herd_server_init(&life->server, life->config.capacity, life->config.down_ns,
                        life->config.is_naive, life->config.has_appointments);
  for (uint32_t client = 0; client < CLIENTS; client++) {
    open_process(life, client);
    drop_process(life, client);
  }
  while (life->back < CLIENTS) {
    uint32_t first = 0;
    for (uint32_t client = 1; client < CLIENTS; client++) {
      if (due(&life->processes[client]) < due(&life->processes[first]))
        first = client;
    }
    struct process *process = &life->processes[first];
    if (due(process) >= DROPPED + stop_at)
      break;
    if (is_ready_next(process)) {
      ready(life, first);
      process->is_back = true;
      life->back++;
    } else {
      step(life, first, &(struct stwi_input){.kind = STWI_IN_TURN}, due(process));
    }
  }
}

static void end(struct life *life) {
  for (uint32_t client = 0; client < CLIENTS; client++) {
    stwi_effects_fini(&life->processes[client].effects);
    stwi_core_free(life->processes[client].core);
  }
  free(life);
}

static void expect_same(const struct stwi_herd_config *config) {
  static struct stwi_herd_attempt log[LOG_ROOM];
  struct stwi_herd_config logged = *config;
  logged.log = log;
  logged.log_room = LOG_ROOM;
  struct stwi_herd herd;
  assert_true(stwi_herd_run(&herd, &logged));
  struct life *life = calloc(1, sizeof *life);
  life->config = *config;
  live(life, herd.config.stop_at);
  assert_int_equal(life->count, herd.attempts);
  for (size_t i = 0; i < life->count; i++) {
    assert_int_equal(life->log[i].client, log[i].client);
    assert_int_equal(life->log[i].at, log[i].at);
    assert_int_equal(life->log[i].answer, log[i].answer);
  }
  assert_int_equal(life->back, herd.reconnected);
  end(life);
  stwi_herd_fini(&herd);
}

static void whole_cores_make_the_same_attempts(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("herd_core");
  for (unsigned kind = 0; kind < 8; kind++)
    expect_same(&(struct stwi_herd_config){
        .clients = CLIENTS,
        .policy = kind & 1 ? STWI_HERD_UNHINTED : STWI_HERD_HINTED,
        .capacity = 10,
        .down_ns = 5 * STWI_S,
        .is_naive = kind & 2,
        .has_appointments = kind & 4,
        .retry_window_ns = 4 * STWI_S,
        .seed = seed + kind,
    });
}

/* A server that needs far longer than anybody waits: every pace and patience there is. */
static void whole_cores_collapse_and_recover_likewise(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("herd_core");
  expect_same(&(struct stwi_herd_config){
      .clients = CLIENTS,
      .policy = STWI_HERD_UNHINTED,
      .capacity = 1,
      .down_ns = 5 * STWI_S,
      .is_naive = true,
      .retry_window_ns = STWI_S,
      .seed = seed,
  });
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_cores_make_the_same_attempts),
      cmocka_unit_test(whole_cores_collapse_and_recover_likewise),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
