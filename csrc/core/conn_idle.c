#include "core/conn.h"

/* The next link has to be there so soon after the last one for the path to have been well. */
#define PROMPT_WITHIN (3 * STWI_S)

static struct stwi_idle *known(struct stwi_conn *conn, const struct stwi_link *link) {
  return stwi_idles_of(&conn->endpoints[link->endpoint]->idles, link->network, conn->core->now);
}

static uint64_t silence_of(const struct stwi_conn *conn, const struct stwi_link *link) {
  const stwi_time heard = conn->pulse.heard_at;
  const stwi_time last = heard > link->wrote_at ? heard : link->wrote_at;
  return conn->core->now > last ? conn->core->now - last : 0;
}

static uint64_t most(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* What is learnt shortens what was asked for, but not below STWI_IDLE_SHORTEST. */
static void set_intervals(struct stwi_conn *conn, const struct stwi_idle *idle) {
  const struct stwi_conn_config *config = conn->config;
  const uint64_t wanted = config->heartbeat_interval_ns;
  const uint64_t cap = most(stwi_idle_cap_ns(idle), least(wanted, STWI_IDLE_SHORTEST));
  const uint64_t interval = least(wanted, cap);
  const uint64_t quiet =
      config->is_idle_learnt ? stwi_idle_interval_ns(idle) : config->heartbeat_idle_ns;
  conn->idle_bound_ns = idle->bound_ns;
  if (config->has_heartbeat)
    stwi_pulse_set_intervals(&conn->pulse, interval, most(interval, least(quiet, cap)));
}

void stwi_conn_idle_asked(const struct stwi_conn *conn, struct stwi_link *link) {
  const uint64_t silence = silence_of(conn, link);
  const bool is_trial =
      link->barrier_count == 0 && conn->state != STW_STATE_SUSPECT && silence >= STWI_IDLE_SHORTEST;
  if (!is_trial)
    return;
  link->trial_id = link->barrier_id + 1;
  link->trial_ns = silence;
}

void stwi_conn_idle_answered(struct stwi_conn *conn, struct stwi_link *link, uint64_t id) {
  if (link->trial_id == 0 || id < link->trial_id)
    return;
  struct stwi_idle *idle = known(conn, link);
  stwi_idle_lived(idle, link->trial_ns, conn->core->now);
  link->trial_id = 0;
  set_intervals(conn, idle);
}

void stwi_conn_idle_forget(struct stwi_conn *conn) {
  conn->idle_death_ns = 0;
  if (conn->active != NULL)
    conn->active->trial_id = 0;
}

/* By a timeout or a reset, with or without a question; who says goodbye had another reason. */
static bool is_death(stw_cause cause) {
  return cause == STW_CAUSE_HEARTBEAT_TIMEOUT || cause == STW_CAUSE_IDLE_CUT_SUSPECTED ||
         cause == STW_CAUSE_ABNORMAL_FIN || cause == STW_CAUSE_ABNORMAL_RST;
}

void stwi_conn_idle_over(struct stwi_conn *conn, const struct stwi_link *link, stw_cause cause) {
  conn->idle_death_ns = 0;
  if (link->phase < STW_PHASE_UP || !is_death(cause) || !stwi_conn_may_ask(conn))
    return;
  const bool is_unasked = link->barrier_count == 0;
  if (link->trial_id != 0)
    conn->idle_death_ns = link->trial_ns;
  else if (is_unasked)
    conn->idle_death_ns = silence_of(conn, link);
  conn->idle_death_at = conn->core->now;
  conn->idle_death_network = link->network;
}

void stwi_conn_idle_follow(struct stwi_conn *conn, const struct stwi_link *link, bool is_prompt) {
  struct stwi_idle *idle = known(conn, link);
  const stwi_time now = conn->core->now;
  const bool is_same = conn->idle_death_network == link->network && conn->pace.attempts == 0;
  if (conn->idle_death_ns != 0 && is_prompt && is_same && now - conn->idle_death_at < PROMPT_WITHIN)
    stwi_idle_died(idle, conn->idle_death_ns, now);
  conn->idle_death_ns = 0;
  set_intervals(conn, idle);
}

bool stwi_conn_idle_is_known(struct stwi_conn *conn, const struct stwi_link *link) {
  return link->trial_id != 0 && stwi_idle_is_known_to_kill(known(conn, link), link->trial_ns);
}
