/* path_model.h: every number of the fault model that is not of a profile, and all of them in words:
 * docs/fault_model.md is written from here.
 */
#ifndef STWI_SIM_PATH_MODEL_H
#define STWI_SIM_PATH_MODEL_H

#include "sim/path.h"

#define STWI_PATH_HINT_AFTER (100 * STWI_MS) /* until the operating system has told */
#define STWI_PATH_DRIVING_MORNING 8          /* hours of the day */
#define STWI_PATH_DRIVING_EVENING 17
#define STWI_PATH_GAP_LEAST STWI_S
#define STWI_PATH_GAP_ALPHA 1.9
#define STWI_PATH_OUTAGE_MEDIAN (30 * STWI_S)
#define STWI_PATH_OUTAGE_SIGMA 1.3
#define STWI_PATH_OUTAGE_ENDS_FLOWS 0.5
#define STWI_PATH_OUTAGE_IS_VISIBLE 0.7
#define STWI_PATH_HANDOVER_LEAST (1 * STWI_S)
#define STWI_PATH_HANDOVER_MOST (2 * STWI_S)
#define STWI_PATH_SLEEP_ENDS_FLOWS 0.8
#define STWI_PATH_DRAIN_FOR (10 * STWI_S)
#define STWI_PATH_BEHIND_PROXY 0.1
#define STWI_PATH_PROXY_IDLE (60 * STWI_S)
#define STWI_PATH_SYN_RTO STWI_S
#define STWI_PATH_RTO_MOST (120 * STWI_S)
#define STWI_PATH_TALK_UP_S 600 /* between two messages of the application, on average */
#define STWI_PATH_TALK_DOWN_S 120

#define STWI_PATH_PROFILES 3u

/* Where a figure comes from. */
enum stwi_path_mark {
  STWI_PATH_ASSUMED,  /* ours; beside it what was found, if anything was */
  STWI_PATH_READ,     /* in the source named */
  STWI_PATH_MEASURED, /* in the recordings or on the system named */
};

struct stwi_path_parameter {
  const char *name, *unit, *source;
  enum stwi_path_mark mark;
  double values[STWI_PATH_PROFILES]; /* in the order of stwi_path_profile_at */
};

/* Fills *parameter; false past the end. */
bool stwi_path_parameter_at(size_t index, struct stwi_path_parameter *parameter);

#endif
