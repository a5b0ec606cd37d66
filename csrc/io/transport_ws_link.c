/* The tables of lanes and links, what is put, and what is deferred. */
#include "io/transport_ws.h"

#include "core/mem.h"

#include <string.h>

enum { GENERATION_SHIFT = 32 };

/* ---- lanes by key ---- */

static bool grow_lanes(struct stwi_ws *ws) {
  const uint32_t capacity = ws->lane_capacity == 0 ? 16 : ws->lane_capacity * 2;
  struct stwi_ws_lane **lanes = stwi_realloc(ws->lanes, capacity * sizeof *lanes);
  if (lanes == NULL)
    return false;
  ws->lanes = lanes;
  uint32_t *generations = stwi_realloc(ws->lane_generations, capacity * sizeof *generations);
  if (generations == NULL)
    return false;
  ws->lane_generations = generations;
  for (uint32_t i = ws->lane_capacity; i < capacity; i++) {
    lanes[i] = NULL;
    generations[i] = 0;
  }
  ws->lane_capacity = capacity;
  return true;
}

struct stwi_ws_lane *stwi_ws_lane_new(struct stwi_ws_link *link) {
  struct stwi_ws *ws = link->ws;
  while (ws->lane_hint < ws->lane_capacity && ws->lanes[ws->lane_hint] != NULL)
    ws->lane_hint++;
  if (ws->lane_hint == ws->lane_capacity && !grow_lanes(ws))
    return NULL;
  struct stwi_ws_lane *lane = stwi_alloc(sizeof *lane);
  if (lane == NULL)
    return NULL;
  *lane = (struct stwi_ws_lane){.link = link, .next = link->lanes, .key = ws->lane_hint, .fd = -1};
  link->lanes = lane;
  ws->lanes[lane->key] = lane;
  ws->lane_generations[lane->key]++;
  ws->lane_hint++;
  return lane;
}

void stwi_ws_lane_free(struct stwi_ws_lane *lane) {
  struct stwi_ws *ws = lane->link->ws;
  struct stwi_ws_lane **at = &lane->link->lanes;
  while (*at != lane)
    at = &(*at)->next;
  *at = lane->next;
  if (lane->link->up == lane)
    lane->link->up = NULL;
  ws->lanes[lane->key] = NULL;
  if (lane->key < ws->lane_hint)
    ws->lane_hint = lane->key;
  stwi_free(lane->proxy);
  stwi_free(lane);
}

void *stwi_ws_lane_key(const struct stwi_ws_lane *lane) {
  const uint64_t generation = lane->link->ws->lane_generations[lane->key];
  return (void *)(uintptr_t)(generation << GENERATION_SHIFT | (lane->key + 1u));
}

struct stwi_ws_lane *stwi_ws_lane_of(struct lws *wsi) {
  const uint64_t value = (uintptr_t)lws_get_opaque_user_data(wsi);
  const uint32_t index = (uint32_t)value - 1u;
  const struct stwi_ws *ws = lws_context_user(lws_get_context(wsi));
  if (value == 0 || index >= ws->lane_capacity || ws->lanes[index] == NULL ||
      ws->lane_generations[index] != (uint32_t)(value >> GENERATION_SHIFT))
    return NULL;
  return ws->lanes[index];
}

/* ---- links ---- */

struct stwi_ws_link *stwi_ws_link_of(const struct stwi_ws *ws, uint32_t conn, uint32_t generation) {
  struct stwi_ws_link *link = conn < ws->conn_capacity ? ws->conns[conn] : NULL;
  while (link != NULL && link->link != generation)
    link = link->next;
  return link;
}

static bool grow_conns(struct stwi_ws *ws, uint32_t conn) {
  if (conn < ws->conn_capacity)
    return true;
  size_t capacity = ws->conn_capacity == 0 ? 16 : ws->conn_capacity;
  while (capacity <= conn)
    capacity *= 2;
  struct stwi_ws_link **conns = stwi_realloc(ws->conns, capacity * sizeof(struct stwi_ws_link *));
  if (conns == NULL)
    return false;
  for (size_t i = ws->conn_capacity; i < capacity; i++)
    conns[i] = NULL;
  ws->conns = conns;
  ws->conn_capacity = capacity;
  return true;
}

struct stwi_ws_link *stwi_ws_link_new(struct stwi_ws *ws, uint32_t conn, uint32_t generation) {
  if (!grow_conns(ws, conn))
    return NULL;
  struct stwi_ws_link *link = stwi_alloc(sizeof *link);
  struct stwi_ws_attempt *attempt = stwi_alloc(sizeof *attempt);
  if (link == NULL || attempt == NULL) {
    stwi_free(link);
    stwi_free(attempt);
    return NULL;
  }
  memset(attempt, 0, sizeof *attempt);
  *link = (struct stwi_ws_link){
      .ws = ws, .next = ws->conns[conn], .attempt = attempt, .conn = conn, .link = generation};
  ws->conns[conn] = link;
  return link;
}

static void link_unlink(struct stwi_ws_link *link) {
  struct stwi_ws *ws = link->ws;
  struct stwi_ws_link **at = &ws->conns[link->conn];
  while (*at != link)
    at = &(*at)->next;
  *at = link->next;
  if (!link->is_deferred)
    return;
  at = &ws->deferred;
  while (*at != link)
    at = &(*at)->next_deferred;
  *at = link->next_deferred;
  if (link->next_deferred == NULL)
    ws->deferred_end = at;
}

static void link_free(struct stwi_ws_link *link) {
  stwi_ws_attempt_free(link);
  stwi_free(link);
}

void stwi_ws_put(struct stwi_ws_link *link, struct stwi_input *input) {
  if (link->ws->is_freeing)
    return;
  input->conn = link->conn;
  input->link = link->link;
  stwi_loop_dirty(link->ws->loop); /* some ends are seen after the loop's last hook */
  link->ws->sink.put(link->ws->sink.owner, input);
}

void stwi_ws_phase(struct stwi_ws_link *link, stw_phase phase) {
  if (phase <= link->phase || link->is_over)
    return;
  link->phase = phase;
  struct stwi_input input = {.kind = STWI_IN_PHASE, .u.phase.phase = phase};
  stwi_ws_put(link, &input);
}

static void put_down(struct stwi_ws_link *link) {
  struct stwi_input input = {.kind = STWI_IN_DOWN};
  if (link->is_cut) {
    input.u.down.cause = STW_CAUSE_REQUESTED;
    input.u.down.detail = "cut by this side";
  } else if (link->attempt != NULL && link->attempt->has_failed) {
    const struct stwi_ws_failure *failure = &link->attempt->failure;
    input.u.down.cause = failure->cause;
    input.u.down.http_status = failure->http_status;
    input.u.down.retry_after_ms = failure->retry_after_ms;
    input.u.down.detail = failure->detail;
  } else {
    input.u.down.cause = link->cause;
    input.u.down.detail = link->detail;
  }
  stwi_ws_put(link, &input);
}

void stwi_ws_settle(struct stwi_ws_link *link) {
  if (!link->is_over || link->is_busy || link->lanes != NULL)
    return;
  link_unlink(link);
  put_down(link);
  link_free(link);
}

void stwi_ws_links_free(struct stwi_ws *ws) {
  for (size_t conn = 0; conn < ws->conn_capacity; conn++) {
    while (ws->conns[conn] != NULL) {
      struct stwi_ws_link *link = ws->conns[conn];
      while (link->lanes != NULL)
        stwi_ws_lane_free(link->lanes);
      ws->conns[conn] = link->next;
      link_free(link);
    }
  }
}

/* ---- deferred work ---- */

void stwi_ws_defer(struct stwi_ws_link *link) {
  struct stwi_ws *ws = link->ws;
  if (link->is_deferred || ws->is_freeing)
    return;
  link->is_deferred = true;
  link->next_deferred = NULL;
  *ws->deferred_end = link;
  ws->deferred_end = &link->next_deferred;
  lws_cancel_service(ws->context);
}

static void kill_lanes(struct stwi_ws_link *link) {
  struct stwi_ws_lane *next;
  for (struct stwi_ws_lane *lane = link->lanes; lane != NULL; lane = next) {
    next = lane->next;
    if (link->is_over || lane->is_doomed)
      stwi_ws_kill(lane);
  }
}

void stwi_ws_run_deferred(struct stwi_ws *ws) {
  size_t count = 0;
  for (const struct stwi_ws_link *link = ws->deferred; link != NULL; link = link->next_deferred)
    count++;
  for (; count > 0 && ws->deferred != NULL; count--) {
    struct stwi_ws_link *link = ws->deferred;
    ws->deferred = link->next_deferred;
    if (ws->deferred == NULL)
      ws->deferred_end = &ws->deferred;
    link->is_deferred = false;
    link->is_busy = true;
    if (link->is_broken && link->up != NULL)
      stwi_ws_lost(link->up, NULL, 0);
    if (link->is_resuming)
      stwi_ws_resume(link);
    kill_lanes(link);
    link->is_busy = false;
    stwi_ws_settle(link);
  }
}
