#include "core/conn.h"

bool stwi_conn_store_is_well(const struct stwi_conn *conn) {
  return conn->store_health != STW_STORE_FULL && conn->store_health != STW_STORE_FAILED;
}

void stwi_conn_store(struct stwi_conn *conn, const struct stwi_store_change *change) {
  if (!conn->has_store)
    return;
  struct stwi_effect *effect = stwi_conn_effect(conn, STWI_FX_STORE, 0);
  if (effect == NULL) {
    conn->has_store_gap = true;
    stwi_conn_dirty(conn);
    return;
  }
  effect->u.store = *change;
  effect->u.store.serial = ++conn->store_serial;
  if (change->msg != NULL)
    stwi_core_lend(conn->core, change->msg);
}

static void tell(void *to, const struct stwi_store_change *change) {
  stwi_conn_store(to, change);
}

static void tell_session(struct stwi_conn *conn) {
  const struct stwi_store_change session = {.op = STWI_STORE_SESSION, .session = &conn->saved};
  stwi_conn_store(conn, &session);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_store_change inbound = {
        .op = STWI_STORE_INBOUND, .lane = (stw_lane)lane, .number = conn->saved.processed[lane]};
    if (inbound.number > 0)
      stwi_conn_store(conn, &inbound);
  }
}

void stwi_conn_drop_restored(const struct stwi_restored *restored) {
  if (restored == NULL)
    return;
  stwi_chunk_free_list(restored->chunks);
  stwi_chunk_free_list(restored->parked);
}

bool stwi_conn_restore(struct stwi_conn *conn, const struct stwi_restored *restored) {
  if (restored == NULL)
    return true;
  conn->has_store = restored->has_store;
  conn->saved = restored->session;
  for (unsigned lane = 0; lane < STW_LANE_COUNT && conn->has_store; lane++) {
    conn->lanes[lane].tell = tell;
    conn->lanes[lane].tell_to = conn;
  }
  return stwi_lanes_restore(conn->lanes, restored, conn->core->now);
}

static void on_upto(struct stwi_conn *conn, stw_lane lane, uint64_t upto) {
  struct stwi_outbox *outbox = &conn->lanes[lane];
  const uint64_t known = outbox->stored_upto;
  conn->metrics[STW_METRIC_STORED] += stwi_outbox_stored(outbox, upto);
  if (outbox->stored_upto > known)
    stwi_conn_tell_proof(conn, lane, STW_PROOF_STORED, outbox->stored_upto);
}

static void on_health(struct stwi_conn *conn, stw_store_health health, const char *detail) {
  if (health == conn->store_health && detail == NULL)
    return;
  conn->store_health = health;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_STORE, 0);
  if (event == NULL)
    return;
  event->u.store.health = health;
  event->u.store.detail = stwi_conn_lend_text(conn, detail);
}

void stwi_conn_on_stored(struct stwi_conn *conn, const struct stwi_input *input) {
  if (!conn->has_store)
    return;
  if (conn->stored_serial < input->u.stored.serial)
    conn->stored_serial = input->u.stored.serial;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    on_upto(conn, (stw_lane)lane, input->u.stored.upto[lane]);
  on_health(conn, input->u.stored.health, input->u.stored.detail);
  if (!input->u.stored.wants_all)
    return;
  stwi_lanes_tell_all(conn->lanes);
  tell_session(conn);
}
