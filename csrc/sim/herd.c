#include "sim/herd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cause.h"
#include "core/pulse.h"
#include "sim/herd_queue.h"

#define HINT_PERCENT 80u

enum { STREAM_CLIENT };

struct own {
  struct stwi_pace pace;
  struct stwi_bucket budget; /* each client is a process of its own */
};

struct client {
  struct stwi_random random;
  union {
    struct own own;
    struct stwi_peer_retry peer;
  } u;
};

struct run {
  struct stwi_herd *herd;
  struct stwi_herd_server server;
  struct stwi_herd_queue queue;
  struct client *clients;
  struct stwi_hint hint; /* of the close that dropped them */
};

stwi_time stwi_herd_optimum(const struct stwi_herd_config *config) {
  return config->down_ns + config->clients * STWI_S / config->capacity;
}

void stwi_herd_reason(const struct stwi_herd_config *config, char *reason, size_t size) {
  const uint64_t per_s = config->capacity * HINT_PERCENT;
  const uint64_t spread_ms = (config->clients * UINT64_C(100000) + per_s - 1) / per_s;
  snprintf(reason, size, "r=%llu;w=%llu", (unsigned long long)(config->down_ns / STWI_MS),
           (unsigned long long)spread_ms);
}

static bool is_own(const struct run *run) {
  return run->herd->config.policy < STWI_HERD_OWN_COUNT;
}

static void note(struct stwi_herd *herd, struct stwi_herd_moment moment,
                 enum stwi_herd_answer answer) {
  if (herd->attempts < herd->config.log_room)
    herd->config.log[herd->attempts] = (struct stwi_herd_attempt){moment.at, moment.client, answer};
  herd->attempts++;
  herd->seconds[moment.at / STWI_S].attempts++;
  herd->digest += stwi_random_stream(moment.at, moment.client, answer);
}

static void reconnect(struct stwi_herd *herd, stwi_time at) {
  herd->reconnected_at[herd->reconnected++] = at;
  herd->seconds[at / STWI_S].reconnected++;
}

/* ---- ours ---- */

/* As a conn does it: the pace, then the budget of the endpoint, which the attempt spends from. */
static stwi_time own_next(const struct run *run, struct client *client, stw_cause cause,
                          const struct stwi_hint *hint, stwi_time now) {
  struct own *own = &client->u.own;
  stwi_time at = stwi_cause_pace(cause, &own->pace, hint, true, now, &client->random);
  stwi_time when;
  if (at < run->herd->config.stop_at && !stwi_budget_allows(&own->budget, 1, at, &when))
    at = when;
  stwi_budget_spend(&own->budget, 1, at);
  return at;
}

static stwi_time own_lost(const struct run *run, struct client *client) {
  struct own *own = &client->u.own;
  /* the pulse of a conn's first link (conn_link.c): the first thing its dice are used for */
  stwi_random_below(&client->random, STWI_PULSE_JITTER_DRAW);
  stwi_pace_init(&own->pace, run->herd->config.retry_window_ns, STWI_HERD_RETRY_CAP);
  stwi_budget_init(&own->budget, 0);
  return own_next(run, client, STW_CAUSE_RESTART, &run->hint, 0);
}

static stwi_time own_failed(const struct run *run, struct client *client,
                            const struct stwi_herd_reply *reply, stwi_time now) {
  switch (reply->answer) {
  case STWI_HERD_DOWN:
    return own_next(run, client, STW_CAUSE_TCP_REFUSED, NULL, now);
  case STWI_HERD_REFUSED: {
    const struct stwi_hint hint = stwi_hint_retry_after(reply->retry_after_ms);
    return own_next(run, client, stwi_cause_of_http(503), &hint, now);
  }
  case STWI_HERD_SERVED:
    break;
  }
  return own_next(run, client, stwi_cause_of_phase_timeout(STW_PHASE_UPGRADE), NULL, now);
}

/* ---- all ---- */

static stwi_time lost(const struct run *run, struct client *client) {
  if (is_own(run))
    return own_lost(run, client);
  stwi_peer_init(&client->u.peer,
                 (enum stwi_peer_kind)(run->herd->config.policy - STWI_HERD_OWN_COUNT));
  return stwi_peer_next(&client->u.peer, 0, 0, &client->random);
}

static uint64_t patience_of(const struct run *run, const struct client *client) {
  return is_own(run) ? stwi_pace_patience(&client->u.own.pace, STWI_HERD_PATIENCE)
                     : client->u.peer.peer->patience_ns;
}

/* An attempt, with everything that follows from it up to the next one: it waits for nobody. */
static void attempt(struct run *run, struct stwi_herd_moment moment) {
  struct stwi_herd *herd = run->herd;
  struct client *client = &run->clients[moment.client];
  const struct stwi_herd_reply reply = stwi_herd_arrive(&run->server, moment.at);
  note(herd, moment, reply.answer);
  stwi_time now = moment.at;
  if (reply.answer == STWI_HERD_SERVED) {
    const stwi_time leaves_at = moment.at + patience_of(run, client);
    if (reply.at < leaves_at) {
      if (reply.at < herd->config.stop_at)
        reconnect(herd, reply.at);
      return;
    }
    herd->abandoned++;
    now = leaves_at;
  } else {
    herd->refused++;
  }
  const stwi_time next = is_own(run)
                             ? own_failed(run, client, &reply, now)
                             : stwi_peer_next(&client->u.peer, moment.at, now, &client->random);
  stwi_herd_queue_add(&run->queue, moment.client, next);
}

static bool reserve(struct run *run) {
  struct stwi_herd *herd = run->herd;
  const uint32_t clients = herd->config.clients;
  herd->second_count = (uint32_t)((herd->config.stop_at + STWI_S - 1) / STWI_S);
  herd->seconds = calloc(herd->second_count, sizeof *herd->seconds);
  herd->reconnected_at = malloc(clients * sizeof *herd->reconnected_at);
  run->clients = malloc(clients * sizeof *run->clients);
  return stwi_herd_queue_init(&run->queue, clients, herd->config.stop_at) &&
         herd->seconds != NULL && herd->reconnected_at != NULL && run->clients != NULL;
}

static void live(struct run *run) {
  const struct stwi_herd_config *config = &run->herd->config;
  stwi_herd_server_init(&run->server, config->capacity, config->down_ns, config->is_naive,
                        config->has_appointments);
  char reason[64] = "";
  if (config->policy == STWI_HERD_HINTED)
    stwi_herd_reason(config, reason, sizeof reason);
  run->hint = stwi_hint_parse(reason, strlen(reason));
  for (uint32_t i = 0; i < config->clients; i++) {
    struct client *client = &run->clients[i];
    stwi_random_seed(&client->random, stwi_random_stream(config->seed, i, STREAM_CLIENT));
    stwi_herd_queue_add(&run->queue, i, lost(run, client));
  }
  struct stwi_herd_moment moment;
  while (stwi_herd_queue_take(&run->queue, &moment))
    attempt(run, moment);
}

bool stwi_herd_run(struct stwi_herd *herd, const struct stwi_herd_config *config) {
  *herd = (struct stwi_herd){.config = *config};
  if (herd->config.stop_at == 0) {
    const stwi_time twice = 2 * stwi_herd_optimum(config);
    herd->config.stop_at = twice > STWI_HERD_STOP_LEAST ? twice : STWI_HERD_STOP_LEAST;
  }
  struct run run = {.herd = herd};
  const bool has_room = reserve(&run);
  if (has_room)
    live(&run);
  stwi_herd_queue_fini(&run.queue);
  free(run.clients);
  if (!has_room)
    stwi_herd_fini(herd);
  return has_room;
}

void stwi_herd_fini(struct stwi_herd *herd) {
  free(herd->seconds);
  free(herd->reconnected_at);
  herd->seconds = NULL;
  herd->reconnected_at = NULL;
}

double stwi_herd_peak(const struct stwi_herd *herd) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < herd->second_count; i++) {
    if (herd->seconds[i].attempts > most)
      most = herd->seconds[i].attempts;
  }
  return (double)most / (double)herd->config.capacity;
}

stwi_time stwi_herd_time(const struct stwi_herd *herd, unsigned percent) {
  const uint64_t needed = ((uint64_t)herd->config.clients * percent + 99) / 100;
  if (needed == 0 || needed > herd->reconnected)
    return STWI_NEVER;
  return herd->reconnected_at[needed - 1];
}
