#include "core/engine_core.h"

#include <assert.h>
#include <string.h>

#include "core/conn.h"
#include "core/mem.h"

#define SLOTS_FIRST 16u
#define STEP_BYTES_MAX ((size_t)1024 * 1024)
#define MASKS_RESERVED 64u

struct stwi_core *stwi_core_new(const struct stwi_session_codec *codec) {
  struct stwi_core *core = stwi_alloc(sizeof *core);
  uint8_t *entropy = stwi_alloc(STWI_ENTROPY_BYTES);
  if (core == NULL || entropy == NULL) {
    stwi_free(entropy);
    stwi_free(core);
    return NULL;
  }
  memset(core, 0, sizeof *core);
  core->entropy = entropy;
  core->codec = codec;
  core->budgets = stwi_accounts_budgets(&core->accounts);
  stwi_heap_init(&core->heap);
  stwi_arena_init(&core->arena);
  return core;
}

void stwi_core_share_budgets(struct stwi_core *core, const struct stwi_budgets *budgets) {
  assert(core->slots == 0);
  core->budgets = *budgets;
}

void stwi_core_lend(struct stwi_core *core, const struct stwi_msg *msg) {
  struct stwi_chunk *chunk = msg->home;
  if (chunk->is_lent)
    return;
  chunk->is_lent = true;
  chunk->live++;
  chunk->next = core->lent;
  core->lent = chunk;
}

static void release_lent(struct stwi_core *core) {
  while (core->lent != NULL) {
    struct stwi_chunk *chunk = core->lent;
    core->lent = chunk->next;
    chunk->is_lent = false;
    stwi_chunk_release(chunk);
  }
}

void stwi_core_free(struct stwi_core *core) {
  if (core == NULL)
    return;
  for (uint32_t slot = 0; slot < core->slots; slot++)
    stwi_conn_free(core->conns[slot]);
  release_lent(core);
  stwi_free(core->conns);
  stwi_heap_fini(&core->heap);
  stwi_arena_fini(&core->arena);
  stwi_endpoints_fini(&core->endpoints);
  stwi_accounts_fini(&core->accounts);
  stwi_free(core->entropy);
  stwi_free(core);
}

uint8_t *stwi_core_entropy_want(struct stwi_core *core, size_t *size) {
  *size = core->entropy_left < STWI_ENTROPY_BYTES / 2 ? STWI_ENTROPY_BYTES : 0;
  return core->entropy;
}

void stwi_core_entropy_given(struct stwi_core *core) {
  core->entropy_left = STWI_ENTROPY_BYTES;
}

bool stwi_core_random(struct stwi_core *core, uint8_t *bytes, uint32_t size) {
  if (core->entropy_left < size)
    return false;
  core->entropy_left -= size;
  memcpy(bytes, core->entropy + core->entropy_left, size);
  return true;
}

bool stwi_core_mask(struct stwi_core *core, uint8_t mask[4]) {
  return stwi_core_random(core, mask, 4);
}

bool stwi_core_has_more(const struct stwi_core *core) {
  return core->dirty != NULL;
}
stwi_time stwi_core_deadline(const struct stwi_core *core) {
  return stwi_heap_first(&core->heap);
}

static struct stwi_conn *conn_at(const struct stwi_core *core, uint32_t slot) {
  return slot < core->slots ? core->conns[slot] : NULL;
}

void stwi_conn_dirty(struct stwi_conn *conn) {
  if (conn->is_dirty)
    return;
  conn->is_dirty = true;
  conn->next_dirty = conn->core->dirty;
  conn->core->dirty = conn;
}

static void undirty(struct stwi_conn *conn) {
  struct stwi_conn **place = &conn->core->dirty;
  while (*place != NULL && *place != conn)
    place = &(*place)->next_dirty;
  if (*place == conn)
    *place = conn->next_dirty;
  conn->is_dirty = false;
}

struct stwi_effect *stwi_conn_effect(struct stwi_conn *conn, enum stwi_effect_kind kind,
                                     uint32_t link) {
  return stwi_effects_add(conn->core->effects, kind, conn->slot, link);
}

stw_event *stwi_conn_event(struct stwi_conn *conn, stw_event_kind kind, uint32_t link) {
  if (conn->has_ended)
    return NULL;
  struct stwi_effect *effect = stwi_conn_effect(conn, STWI_FX_EVENT, link);
  if (effect == NULL)
    return NULL;
  effect->u.event.kind = kind;
  effect->u.event.link = link;
  effect->u.event.conn = conn->handle;
  effect->u.event.at_ns = conn->core->now;
  return &effect->u.event;
}

static bool reserve_slot(struct stwi_core *core, uint32_t slot) {
  if (slot < core->slots)
    return true;
  uint32_t slots = core->slots == 0 ? SLOTS_FIRST : core->slots;
  while (slots <= slot)
    slots *= 2;
  struct stwi_conn **conns = stwi_realloc(core->conns, slots * sizeof(struct stwi_conn *));
  if (conns == NULL)
    return false;
  memset(conns + core->slots, 0, (slots - core->slots) * sizeof(struct stwi_conn *));
  core->conns = conns;
  if (!stwi_heap_reserve(&core->heap, slots))
    return false;
  core->slots = slots;
  return true;
}

static void open_failed(struct stwi_core *core, const struct stwi_input *input) {
  stwi_conn_config_free(input->u.open.config);
  struct stwi_effect *effect = stwi_effects_add(core->effects, STWI_FX_EVENT, input->conn, 0);
  if (effect == NULL)
    return;
  effect->u.event.kind = STW_EVENT_CLOSED;
  effect->u.event.conn = input->u.open.handle;
  effect->u.event.at_ns = core->now;
  effect->u.event.u.closed.cause = STW_CAUSE_OVERLOAD_LOCAL;
  effect->u.event.u.closed.detail = "no memory for another conn; free some, then open it again";
}

static void open_conn(struct stwi_core *core, const struct stwi_input *input) {
  assert(conn_at(core, input->conn) == NULL);
  bool has_slot = reserve_slot(core, input->conn);
  if (!has_slot)
    stwi_conn_drop_restored(input->u.open.restored);
  struct stwi_conn *conn = has_slot ? stwi_conn_new(core, input) : NULL;
  if (conn == NULL) {
    open_failed(core, input);
    return;
  }
  core->conns[input->conn] = conn;
  stwi_conn_apply(conn, STWI_LINK_OPEN, STW_CAUSE_REQUESTED);
  stwi_conn_dirty(conn);
}

static void forget_conn(struct stwi_core *core, struct stwi_conn *conn) {
  if (!conn->has_ended)
    stwi_conn_session_leave(conn);
  stwi_heap_set(&core->heap, conn->slot, STWI_NEVER);
  undirty(conn);
  core->conns[conn->slot] = NULL;
  stwi_conn_drop_attempts(conn);
  stwi_conn_cut(conn, &conn->active, true);
  stwi_conn_free(conn);
}

static void turn_conn(struct stwi_core *core, struct stwi_conn *conn) {
  if (conn->has_store_gap && !conn->has_ended) {
    stwi_conn_detail(conn, "no memory to tell the outbox file what changed");
    stwi_conn_apply(conn, STWI_LINK_FATAL, STW_CAUSE_OVERLOAD_LOCAL);
  }
  if (!conn->has_ended)
    stwi_conn_timers(conn);
  if (!conn->has_ended)
    stwi_conn_pump(conn);
  if (!conn->has_ended)
    stwi_conn_tell_ends(conn);
  stwi_heap_set(&core->heap, conn->slot, stwi_conn_deadline(conn));
  stwi_conn_effect(conn, STWI_FX_PUBLISH, 0);
}

static bool may_go_on(const struct stwi_core *core) {
  return core->arena.given < STEP_BYTES_MAX && core->entropy_left >= 4 * MASKS_RESERVED;
}

/* What gets dirty again meanwhile, or does not fit into this step, waits for the next TURN. */
static void turn(struct stwi_core *core) {
  uint32_t slot;
  while (stwi_heap_pop(&core->heap, core->now, &slot))
    stwi_conn_dirty(core->conns[slot]);
  struct stwi_conn *conn = core->dirty;
  core->dirty = NULL;
  while (conn != NULL) {
    struct stwi_conn *next = conn->next_dirty;
    conn->is_dirty = false;
    if (may_go_on(core)) {
      turn_conn(core, conn);
    } else {
      stwi_conn_dirty(conn);
    }
    conn = next;
  }
}

static void for_all(struct stwi_core *core, const struct stwi_input *input) {
  for (uint32_t slot = 0; slot < core->slots; slot++) {
    if (core->conns[slot] != NULL)
      stwi_conn_machine_input(core->conns[slot], input);
  }
}

static void take(struct stwi_core *core, const struct stwi_input *input) {
  struct stwi_conn *conn = conn_at(core, input->conn);
  switch (input->kind) {
  case STWI_IN_OPEN:
    open_conn(core, input);
    break;
  case STWI_IN_TURN:
    turn(core);
    break;
  case STWI_IN_STOP:
  case STWI_IN_NETWORK:
  case STWI_IN_NOTICED:
  case STWI_IN_WAKE:
  case STWI_IN_STALLED:
    for_all(core, input);
    break;
  case STWI_IN_FORGET:
    if (conn != NULL)
      forget_conn(core, conn);
    break;
  case STWI_IN_SUBMIT:
    if (conn == NULL) {
      stwi_chunk_free_list(input->u.submit.chunks);
      break;
    }
    stwi_conn_host_input(conn, input);
    break;
  case STWI_IN_PHASE:
  case STWI_IN_READY:
  case STWI_IN_BYTES:
  case STWI_IN_ELEMENT:
  case STWI_IN_WRITABLE:
  case STWI_IN_LOOKED:
  case STWI_IN_PATH:
  case STWI_IN_DOWN:
    if (conn != NULL)
      stwi_conn_link_input(conn, input);
    break;
  default:
    if (conn != NULL)
      stwi_conn_host_input(conn, input);
    break;
  }
}

void stwi_core_step(struct stwi_core *core, const struct stwi_input *inputs, size_t count,
                    stwi_time now, struct stwi_effects *effects) {
  assert(now >= core->now);
  core->now = now;
  core->effects = effects;
  stwi_arena_reset(&core->arena);
  release_lent(core);
  for (size_t i = 0; i < count; i++)
    take(core, &inputs[i]);
  core->effects = NULL;
}

const struct stwi_outbox *stwi_core_outbox(const struct stwi_core *core, uint32_t slot,
                                           stw_lane lane) {
  const struct stwi_conn *conn = conn_at(core, slot);
  return conn == NULL ? NULL : &conn->lanes[lane];
}

const struct stwi_parked *stwi_core_parked(const struct stwi_core *core, uint32_t slot) {
  const struct stwi_conn *conn = conn_at(core, slot);
  return conn == NULL ? NULL : &conn->parked;
}
