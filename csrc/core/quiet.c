#include "core/quiet.h"

#include "core/conn.h"

static bool has_nothing_to_say(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  return !link->is_writing && !link->has_close_sent && link->pongs_used == 0 &&
         link->barrier_count == 0 && link->unproven_since == 0 &&
         stwi_lanes_messages(conn->lanes) == 0;
}

static bool is_proven(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  return link != NULL && link->phase == STW_PHASE_UP && link->is_stable && link->has_pong &&
         stwi_conn_may_ask(conn) && stwi_conn_attempt_count(conn) == 0;
}

/* Every timer but the heartbeat's. */
static stwi_time other_deadline(struct stwi_conn *conn) {
  conn->pulse.is_paused = true;
  const stwi_time at = stwi_conn_deadline(conn);
  conn->pulse.is_paused = false;
  return at;
}

bool stwi_core_is_quiet(const struct stwi_core *core, uint32_t slot, struct stwi_quiet *quiet) {
  struct stwi_conn *conn = slot < core->slots ? core->conns[slot] : NULL;
  if (conn == NULL || conn->state != STW_STATE_ONLINE || conn->is_dirty || conn->is_closing ||
      conn->pulse.is_paused || conn->pulse.asked_at != 0)
    return false;
  if (!is_proven(conn) || !has_nothing_to_say(conn))
    return false;
  *quiet = (struct stwi_quiet){.conn = conn, .until = other_deadline(conn)};
  return stwi_quiet_asks(quiet) < quiet->until;
}

stwi_time stwi_quiet_asks(const struct stwi_quiet *quiet) {
  return stwi_pulse_deadline(&quiet->conn->pulse, quiet->conn->core->now);
}

bool stwi_quiet_beat(const struct stwi_quiet *quiet, stwi_time at, struct stwi_effects *effects) {
  struct stwi_core *core = quiet->conn->core;
  const stwi_time before = core->now;
  if (at >= quiet->until)
    return false;
  core->now = stwi_quiet_asks(quiet);
  core->effects = effects;
  const bool is_beat = stwi_conn_beat(quiet->conn, at);
  core->effects = NULL;
  if (!is_beat)
    core->now = before;
  return is_beat;
}

void stwi_quiet_over(const struct stwi_quiet *quiet) {
  struct stwi_conn *conn = quiet->conn;
  stwi_heap_set(&conn->core->heap, conn->slot, stwi_conn_deadline(conn));
}

size_t stwi_quiet_question_bytes(void) {
  return stwi_frame_size(STWI_BARRIER_PAYLOAD, true);
}

size_t stwi_quiet_answer_bytes(void) {
  return stwi_frame_size(STWI_BARRIER_PAYLOAD, false);
}
