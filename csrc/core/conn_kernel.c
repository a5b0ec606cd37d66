#include <stdio.h>

#include "core/conn.h"

/* While bytes are missing, the kernel is asked as often. */
#define LOOK_EACH (250 * STWI_MS)

/* Where the host wants to know, and no question to the peer itself is open: because it answers
 * none, or because what was written carries none (acknowledgements of a session, PONGs). */
static struct stwi_link *judged_link(const struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  if (link == NULL || link->phase != STW_PHASE_UP || !stwi_conn_is_live(conn) || link->is_paused)
    return NULL;
  const bool is_open = stwi_conn_may_ask(conn) && conn->pulse.asked_at != 0;
  return conn->config->has_heartbeat && !is_open ? link : NULL;
}

void stwi_conn_kernel_written(struct stwi_conn *conn, struct stwi_link *link) {
  if (link->unacked_since == 0)
    link->unacked_since = conn->core->now;
}

void stwi_conn_kernel_answered(const struct stwi_conn *conn, struct stwi_link *link) {
  link->unacked_since = link->out_bytes > link->proven_bytes ? conn->core->now : 0;
}

bool stwi_conn_kernel_doubts(const struct stwi_conn *conn) {
  return judged_link(conn) != NULL && conn->active->is_kernel_late;
}

stwi_time stwi_conn_kernel_deadline(const struct stwi_conn *conn) {
  const struct stwi_link *link = judged_link(conn);
  if (link == NULL || link->unacked_since == 0 || link->is_looking)
    return STWI_NEVER;
  const stwi_time first = link->unacked_since + stwi_pulse_soft_ns(&conn->pulse, conn->core->now);
  return first > link->look_at ? first : link->look_at;
}

void stwi_conn_kernel_timer(struct stwi_conn *conn) {
  if (stwi_conn_kernel_deadline(conn) > conn->core->now)
    return;
  if (stwi_conn_effect(conn, STWI_FX_LOOK, conn->active->gen) != NULL)
    conn->active->is_looking = true;
}

static void doubt(struct stwi_conn *conn, uint64_t silence_ns) {
  char detail[120];
  snprintf(detail, sizeof detail,
           "the peer's kernel has acknowledged nothing for %llu ms: dialling a second link",
           (unsigned long long)(silence_ns / STWI_MS));
  stwi_conn_detail(conn, detail);
  conn->active->is_kernel_late = !stwi_conn_may_ask(conn); /* else the PONG will tell */
  stwi_conn_apply(conn, STWI_LINK_PULSE_LATE, STW_CAUSE_HEARTBEAT_TIMEOUT);
}

static void give_up(struct stwi_conn *conn, uint64_t silence_ns) {
  char detail[120];
  snprintf(detail, sizeof detail,
           "the peer's kernel has acknowledged nothing for %llu ms on link %u",
           (unsigned long long)(silence_ns / STWI_MS), conn->active->gen);
  stwi_conn_call_dead(conn, detail);
}

static void clear(struct stwi_conn *conn, struct stwi_link *link) {
  const bool was_late = link->is_kernel_late;
  link->unacked_since = 0;
  link->is_kernel_late = false;
  if (was_late && conn->state == STW_STATE_SUSPECT)
    stwi_conn_apply(conn, STWI_LINK_PULSE_OK, STW_CAUSE_RECOVERED);
}

void stwi_conn_kernel_seen(struct stwi_conn *conn, struct stwi_link *link, bool is_unacked,
                           uint64_t silence_ns) {
  const stwi_time now = conn->core->now;
  link->is_looking = false;
  link->look_at = now + LOOK_EACH;
  if (judged_link(conn) != link || link->unacked_since == 0)
    return;
  if (!is_unacked) {
    clear(conn, link);
    return;
  }
  const uint64_t age = now - link->unacked_since, soft = stwi_pulse_soft_ns(&conn->pulse, now);
  const uint64_t silence = silence_ns < age ? silence_ns : age;
  if (silence >= soft && conn->state != STW_STATE_SUSPECT)
    doubt(conn, silence);
  if (silence >= 3 * soft && conn->state == STW_STATE_SUSPECT)
    give_up(conn, silence);
}
