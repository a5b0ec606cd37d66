#include <steadwire/sim_herd.h>

#include <stdlib.h>

#include "sim/herd.h"

struct stw_herd {
  struct stwi_herd herd;
};

const stw_word *stw_herd_policy_at(size_t index) {
  enum { OWN = STWI_HERD_OWN_COUNT };
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STWI_HERD_##name, slug, text},
      STWI_HERD_OWN_LIST(STW_X)
#undef STW_X
#define STW_X(name, slug, base, cap, patience, interval, timeout, text)                            \
  {OWN + STWI_PEER_##name, slug, text},
          STWI_PEER_LIST(STW_X)
#undef STW_X
  };
  return index < sizeof words / sizeof words[0] ? &words[index] : NULL;
}

/* NULL: they can be lived. */
static const char *fault_of(const stw_herd_options *options) {
  if (options == NULL || options->struct_size != sizeof *options)
    return "stw_herd_options.struct_size is not set; set it to sizeof(stw_herd_options)";
  if (options->policy >= STWI_HERD_POLICY_COUNT)
    return "policy is no index for stw_herd_policy_at";
  if (options->clients == 0 || options->clients > STW_HERD_CLIENTS_MAX)
    return "clients must be from 1 to 10,000,000";
  if (options->capacity == 0 || options->capacity > STW_HERD_CAPACITY_MAX)
    return "capacity must be from 1 to 1,000,000 handshakes a second";
  if (options->down_ns > STW_HERD_DOWN_MAX_NS)
    return "down must be at most an hour";
  if (options->clients * STWI_S / options->capacity > STW_HERD_OPTIMUM_MAX_NS - options->down_ns)
    return "at this capacity the clients need more than 12 hours; raise it, or have fewer clients";
  if (options->retry_window_ns < STWI_MS || options->retry_window_ns > 600 * STWI_S)
    return "retry_window must be from 1 ms to 10 min";
  return NULL;
}

stw_status stw_herd_run(const stw_herd_options *options, stw_herd **herd, const char **why) {
  *herd = NULL;
  *why = fault_of(options);
  if (*why != NULL)
    return STW_E_ARGUMENT;
  *why = "no memory for a herd of this size; have fewer clients";
  struct stw_herd *made = malloc(sizeof *made);
  if (made == NULL)
    return STW_E_MEMORY;
  const struct stwi_herd_config config = {
      .clients = (uint32_t)options->clients,
      .policy = options->policy,
      .capacity = options->capacity,
      .down_ns = options->down_ns,
      .is_naive = options->is_naive,
      .has_appointments = !options->has_no_retry_after,
      .retry_window_ns = options->retry_window_ns,
      .seed = options->seed,
  };
  if (!stwi_herd_run(&made->herd, &config)) {
    free(made);
    return STW_E_MEMORY;
  }
  *why = NULL;
  *herd = made;
  return STW_OK;
}

void stw_herd_free(stw_herd *herd) {
  if (herd == NULL)
    return;
  stwi_herd_fini(&herd->herd);
  free(herd);
}

stw_status stw_herd_look(const stw_herd *herd, stw_herd_report *report) {
  if (herd == NULL || report == NULL || report->struct_size != sizeof *report)
    return STW_E_ARGUMENT;
  const struct stwi_herd *lived = &herd->herd;
  const double clients = (double)lived->config.clients;
  *report = (stw_herd_report){
      .struct_size = sizeof *report,
      .peak_over_capacity = stwi_herd_peak(lived),
      .attempts_per_client = (double)lived->attempts / clients,
      .reconnected_percent = 100.0 * (double)lived->reconnected / clients,
      .t50_ns = stwi_herd_time(lived, 50),
      .t99_ns = stwi_herd_time(lived, 99),
      .t100_ns = stwi_herd_time(lived, 100),
      .optimum_ns = stwi_herd_optimum(&lived->config),
      .stop_ns = lived->config.stop_at,
      .attempts = lived->attempts,
      .refused = lived->refused,
      .abandoned = lived->abandoned,
      .digest = lived->digest,
  };
  return STW_OK;
}

const stw_herd_second *stw_herd_seconds(const stw_herd *herd, size_t *count) {
  const stw_herd_second *seconds = herd->herd.seconds;
  size_t used = herd->herd.second_count;
  while (used > 0 && seconds[used - 1].attempts == 0 && seconds[used - 1].reconnected == 0)
    used--;
  *count = used;
  return seconds;
}
