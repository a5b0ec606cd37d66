#include "core/quiet.h"

#include "core/conn.h"

static struct stwi_conn *conn_at(const struct stwi_core *core, uint32_t slot) {
  return slot < core->slots ? core->conns[slot] : NULL;
}

static bool is_proven(const struct stwi_conn *conn, stw_lane lane) {
  return conn->lanes[lane].proven[STW_PROOF_RECEIVED] >= stwi_conn_whole_upto(conn, lane);
}

static bool has_nothing_to_say(const struct stwi_conn *conn, const struct stwi_link *link) {
  return !link->is_writing && !link->has_close_sent && link->pongs_used == 0 &&
         link->barrier_count == 0 && link->unproven_since == 0 && link->unacked_since != 0 &&
         stwi_lanes_messages(conn->lanes) == 0 && is_proven(conn, STW_LANE_DATA) &&
         is_proven(conn, STW_LANE_CONTROL);
}

/* Every timer but the heartbeat's. */
static stwi_time other_deadline(struct stwi_conn *conn) {
  const bool was_paused = conn->pulse.is_paused;
  conn->pulse.is_paused = true;
  const stwi_time at = stwi_conn_deadline(conn);
  conn->pulse.is_paused = was_paused;
  return at;
}

bool stwi_core_is_quiet(const struct stwi_core *core, uint32_t slot, struct stwi_quiet *quiet) {
  struct stwi_conn *conn = conn_at(core, slot);
  if (conn == NULL || conn->state != STW_STATE_ONLINE || conn->is_dirty || conn->is_closing)
    return false;
  const struct stwi_link *link = conn->active;
  if (!stwi_conn_may_ask(conn) || link->phase != STW_PHASE_UP || !link->is_stable ||
      !link->has_pong || stwi_conn_attempt_count(conn) > 0)
    return false;
  const struct stwi_pulse *pulse = &conn->pulse;
  if (pulse->is_paused || pulse->asked_at != 0 || !has_nothing_to_say(conn, link))
    return false;
  *quiet = (struct stwi_quiet){.conn = conn,
                               .pulse = *pulse,
                               .until = other_deadline(conn),
                               .now = core->now,
                               .unproven = link->out_bytes - link->proven_bytes};
  return quiet->unproven + stwi_quiet_question_bytes() < STWI_RATE_BYTES_MIN &&
         stwi_quiet_asks(quiet) < quiet->until;
}

stwi_time stwi_quiet_asks(const struct stwi_quiet *quiet) {
  return stwi_pulse_deadline(&quiet->pulse, quiet->now);
}

bool stwi_quiet_beat(struct stwi_quiet *quiet, stwi_time at) {
  const stwi_time asks = stwi_quiet_asks(quiet);
  const uint64_t bytes = quiet->unproven + stwi_quiet_question_bytes();
  struct stwi_pulse *pulse = &quiet->pulse;
  stwi_pulse_asked(pulse, stwi_conn_question_due(quiet->conn, asks, bytes));
  if (at >= quiet->until || at >= stwi_pulse_deadline(pulse, asks)) {
    pulse->asked_at = 0;
    return false;
  }
  stwi_pulse_heard(pulse, at);
  stwi_pulse_answered(pulse, asks, 0, at);
  quiet->last_asked = asks;
  quiet->now = at;
  quiet->unproven = 0;
  quiet->beats++;
  return true;
}

static void count(struct stwi_conn *conn, uint64_t beats) {
  struct stwi_link *link = conn->active;
  const uint64_t out = beats * stwi_quiet_question_bytes();
  link->barrier_id += beats;
  link->barrier_head = (uint32_t)((link->barrier_head + beats) % STWI_BARRIERS_MAX);
  link->out_bytes += out;
  link->proven_bytes = link->out_bytes;
  conn->metrics[STW_METRIC_BARRIERS] += beats;
  conn->metrics[STW_METRIC_WIRE_OUT_BYTES] += out;
  conn->metrics[STW_METRIC_WIRE_IN_BYTES] += beats * stwi_quiet_answer_bytes();
}

void stwi_core_lived(struct stwi_core *core, uint32_t slot, const struct stwi_quiet *quiet) {
  struct stwi_conn *conn = conn_at(core, slot);
  if (quiet->beats == 0)
    return;
  core->now = quiet->now;
  conn->pulse = quiet->pulse;
  conn->active->barrier_at = quiet->last_asked;
  conn->active->since_barrier_bytes = 0;
  count(conn, quiet->beats);
  stwi_heap_set(&core->heap, slot, stwi_conn_deadline(conn));
}

size_t stwi_quiet_question_bytes(void) {
  return stwi_frame_size(STWI_BARRIER_PAYLOAD, true);
}

size_t stwi_quiet_answer_bytes(void) {
  return stwi_frame_size(STWI_BARRIER_PAYLOAD, false);
}
