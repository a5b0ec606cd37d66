#include "sim/explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stw_explore {
  stw_explore_report report;
  char *trace; /* owned; NULL: none */
  size_t trace_size;
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

const stw_explore_rule_info *stw_explore_rule_at(size_t index) {
  static const stw_explore_rule_info rules[] = {
#define STW_X(name, slug, where, text) {slug, where, text},
      STW_EXPLORE_RULE_LIST(STW_X)
#undef STW_X
  };
  return index < COUNT(rules) ? &rules[index] : NULL;
}

const stw_word *stw_explore_fault_at(size_t index) {
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STW_EXPLORE_##name, slug, text},
      STW_EXPLORE_FAULT_LIST(STW_X)
#undef STW_X
  };
  return index < COUNT(words) ? &words[index] : NULL;
}

const stw_word *stw_explore_profile_at(size_t index) {
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STW_EXPLORE_PROFILE_##name, slug, text},
      STW_EXPLORE_PROFILE_LIST(STW_X)
#undef STW_X
  };
  return index < COUNT(words) ? &words[index] : NULL;
}

const stw_word *stw_explore_plant_at(size_t index) {
  static const stw_word words[] = {
#define STW_X(name, slug, text) {STW_PLANT_##name, slug, text},
      STW_EXPLORE_PLANT_LIST(STW_X)
#undef STW_X
  };
  return index < COUNT(words) ? &words[index] : NULL;
}

/* NULL: they can be lived. */
static const char *fault_of(const stw_explore_options *options) {
  if (options == NULL || options->struct_size != sizeof *options)
    return "stw_explore_options.struct_size is not set; set it to sizeof(stw_explore_options)";
  if (options->seeds == 0 || options->seeds > STW_EXPLORE_SEEDS_MAX)
    return "seeds must be from 1 to 100,000,000";
  if (options->profile >= STW_EXPLORE_PROFILE_COUNT)
    return "profile is no index for stw_explore_profile_at";
  if (options->plant >= STW_PLANT_COUNT)
    return "plant is no index for stw_explore_plant_at";
  return NULL;
}

static void add_up(stw_explore_report *report, const struct stwi_world *world, uint64_t seed,
                   uint32_t conns) {
  report->lives++;
  report->conns += conns;
  report->links += world->links;
  report->messages += world->sends;
  report->inbound += world->deliveries;
  report->steps += world->steps;
  report->virtual_ns += world->now - STWI_WORLD_START;
  for (unsigned i = 0; i < STW_EXPLORE_FAULT_COUNT; i++)
    report->faults[i] += world->faults[i];
  for (unsigned i = 0; i < STW_RULE_COUNT; i++)
    report->checks[i] += world->checks[i];
  report->digest += world->digest;
  if (world->broken[0] == '\0')
    return;
  report->is_broken = true;
  report->broken_seed = seed;
  report->broken_rule = (uint32_t)world->broken_rule;
  report->broken_ns = world->broken_at - STWI_WORLD_START;
  snprintf(report->broken, sizeof report->broken, "%.*s", (int)sizeof report->broken - 1,
           world->broken);
}

/* False without memory. */
static bool live_one(struct stw_explore *explore, const stw_explore_options *options,
                     uint64_t seed) {
  uint32_t conns = 0;
  struct stwi_world *world =
      stwi_explore_live(seed, (stw_explore_profile)options->profile,
                        (stw_explore_plant)options->plant, options->has_trace, &conns);
  if (world == NULL)
    return false;
  const bool has_memory = !world->is_out_of_memory;
  if (has_memory)
    add_up(&explore->report, world, seed, conns);
  free(explore->trace);
  explore->trace = world->log.text;
  explore->trace_size = world->log.size;
  world->log.text = NULL;
  stwi_world_free(world);
  return has_memory;
}

stw_status stw_explore_run(const stw_explore_options *options, stw_explore **explore,
                           const char **why) {
  *explore = NULL;
  *why = fault_of(options);
  if (*why != NULL)
    return STW_E_ARGUMENT;
  *why = "no memory for a life";
  struct stw_explore *made = calloc(1, sizeof *made);
  if (made == NULL)
    return STW_E_MEMORY;
  made->report.struct_size = sizeof made->report;
  for (uint64_t i = 0; i < options->seeds && !made->report.is_broken; i++) {
    if (!live_one(made, options, options->seed + i)) {
      stw_explore_free(made);
      return STW_E_MEMORY;
    }
  }
  *why = NULL;
  *explore = made;
  return STW_OK;
}

void stw_explore_free(stw_explore *explore) {
  if (explore == NULL)
    return;
  free(explore->trace);
  free(explore);
}

stw_status stw_explore_look(const stw_explore *explore, stw_explore_report *report) {
  if (explore == NULL || report == NULL || report->struct_size != sizeof *report)
    return STW_E_ARGUMENT;
  *report = explore->report;
  return STW_OK;
}

const char *stw_explore_trace(const stw_explore *explore, size_t *size) {
  *size = explore->trace == NULL ? 0 : explore->trace_size;
  return explore->trace == NULL ? "" : explore->trace;
}
