#include <steadwire/sim_fleet.h>

#include "sim/fleet_client.h"
#include "sim/fleet_peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MOST (10ull * 366 * 86400)
#define OURS "steadwire"

struct stw_fleet {
  struct stwi_fleet_options options;
  const struct stwi_peer *peer; /* NULL: the real core */
  struct stwi_path_step *steps;
  struct stwi_fleet_log log;
  struct stwi_fleet_tally tally;
  char why[160]; /* the last run stopped; "": it did not */
};

const char *stw_fleet_profile_at(size_t index) {
  const struct stwi_path_profile *profile = stwi_path_profile_at(index);
  return profile == NULL ? NULL : profile->name;
}

const char *stw_fleet_policy_at(size_t index) {
  if (index == 0)
    return OURS;
  const struct stwi_peer *peer = stwi_peer_at(index - 1);
  return peer == NULL ? NULL : peer->name;
}

static const struct stwi_path_profile *find_profile(const char *name) {
  size_t i = 0;
  const struct stwi_path_profile *profile;
  while ((profile = stwi_path_profile_at(i++)) != NULL && strcmp(profile->name, name) != 0)
    continue;
  return profile;
}

static bool are_steps_sound(const stw_fleet_params *params) {
  if (params->steps == NULL)
    return params->step_count == 0;
  for (size_t i = 1; i < params->step_count; i++)
    if (params->steps[i].at_us < params->steps[i - 1].at_us)
      return false;
  return params->step_count > 0;
}

static bool are_sound(const stw_fleet_params *params) {
  return params != NULL && params->struct_size == sizeof *params && params->policy != NULL &&
         params->profile != NULL && params->seconds > 0 && params->seconds <= SECONDS_MOST &&
         params->interval_ms <= SECONDS_MOST * 1000 &&
         (params->idle_interval_ms <= SECONDS_MOST * 1000 ||
          params->idle_interval_ms == STW_FLEET_LEARNT) &&
         are_steps_sound(params);
}

static bool copy_steps(stw_fleet *fleet, const stw_fleet_params *params) {
  if (params->steps == NULL)
    return true;
  fleet->steps = calloc(params->step_count, sizeof *fleet->steps);
  if (fleet->steps == NULL)
    return false;
  for (size_t i = 0; i < params->step_count; i++)
    fleet->steps[i] = (struct stwi_path_step){.at = params->steps[i].at_us * STWI_US,
                                              .rtt_ns = params->steps[i].rtt_us * STWI_US,
                                              .address = params->steps[i].address,
                                              .is_up = params->steps[i].is_up};
  fleet->options.steps = fleet->steps;
  fleet->options.step_count = params->step_count;
  return true;
}

stw_status stw_fleet_new(const stw_fleet_params *params, stw_fleet **out) {
  if (out == NULL || !are_sound(params))
    return STW_E_ARGUMENT;
  const struct stwi_path_profile *profile = find_profile(params->profile);
  const struct stwi_peer *peer = stwi_peer_named(params->policy);
  if (profile == NULL || (peer == NULL && strcmp(params->policy, OURS) != 0))
    return STW_E_ARGUMENT;
  stw_fleet *fleet = calloc(1, sizeof *fleet);
  if (fleet == NULL)
    return STW_E_MEMORY;
  fleet->peer = peer;
  fleet->log.is_on = params->has_log;
  fleet->options =
      (struct stwi_fleet_options){.profile = profile,
                                  .seed = params->seed,
                                  .interval_ns = params->interval_ms * STWI_MS,
                                  .is_idle_learnt = params->idle_interval_ms == STW_FLEET_LEARNT,
                                  .end = params->seconds * STWI_S,
                                  .has_no_hints = params->has_no_hints,
                                  .has_no_drain = params->has_no_drain,
                                  .has_no_hedge = params->has_no_hedge,
                                  .is_event_level = params->is_event_level};
  if (!fleet->options.is_idle_learnt)
    fleet->options.idle_interval_ns = params->idle_interval_ms * STWI_MS;
  if (!copy_steps(fleet, params)) {
    stw_fleet_free(fleet);
    return STW_E_MEMORY;
  }
  *out = fleet;
  return STW_OK;
}

void stw_fleet_free(stw_fleet *fleet) {
  if (fleet == NULL)
    return;
  free(fleet->steps);
  free(fleet->log.text);
  free(fleet);
}

static stw_status run_one(stw_fleet *fleet, uint64_t client) {
  const char *why = NULL;
  if (fleet->peer != NULL)
    return stwi_fleet_peer_run(&fleet->options, fleet->peer, client, &fleet->tally, &fleet->log);
  const stw_status status =
      stwi_fleet_client_run(&fleet->options, client, &fleet->tally, &fleet->log, &why);
  if (why != NULL)
    snprintf(fleet->why, sizeof fleet->why, "client %" PRIu64 " of seed %" PRIu64 ": %s", client,
             fleet->options.seed, why);
  return status;
}

stw_status stw_fleet_run(stw_fleet *fleet, uint64_t first, uint64_t count) {
  if (fleet == NULL || count > UINT64_MAX - first)
    return STW_E_ARGUMENT;
  fleet->log.size = 0;
  fleet->why[0] = '\0';
  for (uint64_t client = first; client - first < count; client++) {
    const stw_status status = run_one(fleet, client);
    if (status != STW_OK)
      return status;
  }
  return fleet->log.is_out_of_memory ? STW_E_MEMORY : STW_OK;
}

const char *stw_fleet_why(const stw_fleet *fleet) {
  return fleet->why;
}

const uint64_t *stw_fleet_values(const stw_fleet *fleet) {
  return fleet->tally.values;
}

const char *stw_fleet_log(const stw_fleet *fleet, size_t *size) {
  *size = fleet->log.size;
  return fleet->log.text == NULL ? "" : fleet->log.text;
}
