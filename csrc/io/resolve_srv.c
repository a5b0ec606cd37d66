#include "io/resolve_srv.h"

#include "core/mem.h"
#include "io/clock.h"

#include <arpa/nameser.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

enum {
  ANSWER_BYTES_MAX = 4096,
  FIXED_BYTES = 6, /* priority, weight, port */
  RETRANSMIT_S = 2,
  TRIES = 2
};

/* Lives until libuv gives it back, even when nobody waits any more. */
struct stwi_srv_lookup {
  uv_work_t request;
  void (*done)(void *owner, const struct stwi_srv_targets *targets); /* NULL: cancelled */
  void *owner;
  struct sockaddr_in server;
  bool has_server;
  struct stwi_srv_targets targets;
  char name[];
};

/* ---- answers ---- */

static bool read_target(struct stwi_srv_target *target, const ns_msg *message,
                        const ns_rr *record) {
  const uint8_t *data = ns_rr_rdata(*record);
  if (ns_rr_type(*record) != ns_t_srv || ns_rr_rdlen(*record) <= FIXED_BYTES)
    return false;
  target->priority = (uint16_t)ns_get16(data);
  target->weight = (uint16_t)ns_get16(data + 2);
  target->port = (uint16_t)ns_get16(data + 4);
  return dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + FIXED_BYTES, target->host,
                   (int)sizeof target->host) >= 0;
}

static uint64_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return *state >> 33;
}

/* RFC 2782: those of the lowest priority, each with a chance by its weight. */
static size_t pick(const struct stwi_srv_targets *targets, size_t from, uint64_t *state) {
  uint16_t lowest = UINT16_MAX;
  uint64_t sum = 0;
  for (size_t i = from; i < targets->count; i++) {
    if (targets->items[i].priority < lowest)
      lowest = targets->items[i].priority;
  }
  for (size_t i = from; i < targets->count; i++) {
    if (targets->items[i].priority == lowest)
      sum += targets->items[i].weight + 1u;
  }
  uint64_t at = next_random(state) % sum;
  for (size_t i = from; i < targets->count; i++) {
    const struct stwi_srv_target *target = &targets->items[i];
    if (target->priority != lowest)
      continue;
    if (at <= target->weight)
      return i;
    at -= target->weight + 1u;
  }
  return from;
}

static void order(struct stwi_srv_targets *targets, uint64_t random) {
  for (size_t i = 0; i + 1 < targets->count; i++) {
    const size_t next = pick(targets, i, &random);
    const struct stwi_srv_target kept = targets->items[i];
    targets->items[i] = targets->items[next];
    targets->items[next] = kept;
  }
}

void stwi_srv_parse(struct stwi_srv_targets *targets, const uint8_t *message, size_t size,
                    uint64_t random) {
  ns_msg parsed;
  ns_rr record;
  memset(targets, 0, sizeof *targets);
  if (size > ANSWER_BYTES_MAX || ns_initparse(message, (int)size, &parsed) != 0)
    return;
  for (int i = 0; i < ns_msg_count(parsed, ns_s_an) && targets->count < STWI_SRV_TARGETS_MAX; i++) {
    struct stwi_srv_target *target = &targets->items[targets->count];
    if (ns_parserr(&parsed, ns_s_an, i, &record) == 0 && read_target(target, &parsed, &record))
      targets->count++;
  }
  const char *host = targets->items[0].host;
  if (targets->count == 1 && (host[0] == '\0' || strcmp(host, ".") == 0)) {
    targets->is_refused = true;
    targets->count = 0;
  }
  order(targets, random);
}

/* ---- questions ---- */

static void on_work(uv_work_t *request) {
  struct stwi_srv_lookup *lookup = request->data;
  struct __res_state state;
  uint8_t answer[ANSWER_BYTES_MAX];
  memset(&state, 0, sizeof state);
  if (res_ninit(&state) != 0)
    return;
  state.retrans = RETRANSMIT_S;
  state.retry = TRIES;
  if (lookup->has_server) {
    state.nscount = 1;
    state.nsaddr_list[0] = lookup->server;
  }
  const int size = res_nquery(&state, lookup->name, ns_c_in, ns_t_srv, answer, sizeof answer);
  res_nclose(&state);
  if (size > 0 && (size_t)size <= sizeof answer)
    stwi_srv_parse(&lookup->targets, answer, (size_t)size, stwi_clock_random());
}

static void on_done(uv_work_t *request, int status) {
  struct stwi_srv_lookup *lookup = request->data;
  (void)status;
  if (lookup->done != NULL)
    lookup->done(lookup->owner, &lookup->targets);
  stwi_free(lookup);
}

struct stwi_srv_lookup *
stwi_srv_ask(void *uv_loop, const char *name, const struct sockaddr_in *server,
             void (*done)(void *owner, const struct stwi_srv_targets *targets), void *owner) {
  const size_t size = strlen(name) + 1;
  struct stwi_srv_lookup *lookup = stwi_alloc(sizeof *lookup + size);
  if (lookup == NULL)
    return NULL;
  memset(lookup, 0, sizeof *lookup);
  memcpy(lookup->name, name, size);
  lookup->request.data = lookup;
  lookup->done = done;
  lookup->owner = owner;
  lookup->has_server = server != NULL;
  if (server != NULL)
    lookup->server = *server;
  if (uv_queue_work(uv_loop, &lookup->request, on_work, on_done) == 0)
    return lookup;
  stwi_free(lookup);
  return NULL;
}

void stwi_srv_cancel(struct stwi_srv_lookup *lookup) {
  lookup->done = NULL;
  uv_cancel((uv_req_t *)&lookup->request);
}
