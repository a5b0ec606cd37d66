#include "sim/path_model.h"

#include <stddef.h>

static const struct stwi_path_profile profiles[STWI_PATH_PROFILES] = {
    {"mobile",
     0.5,
     60,
     {[STWI_PATH_OUTAGE] = 2,
      [STWI_PATH_KILL] = 1,
      [STWI_PATH_HANDOVER] = 8,
      [STWI_PATH_SLEEP] = 6,
      [STWI_PATH_DEPLOY] = 2,
      [STWI_PATH_CRASH] = 1 / 30.0},
     70 * STWI_MS,
     0.5,
     350 * STWI_MS,
     0.3,
     300 * STWI_MS},
    {"desktop",
     2 / 24.0,
     2 / 24.0,
     {[STWI_PATH_OUTAGE] = 0.1,
      [STWI_PATH_KILL] = 0.1,
      [STWI_PATH_HANDOVER] = 0.2,
      [STWI_PATH_SLEEP] = 1.5,
      [STWI_PATH_DEPLOY] = 2,
      [STWI_PATH_CRASH] = 1 / 30.0},
     30 * STWI_MS,
     0.3,
     150 * STWI_MS,
     0.3,
     250 * STWI_MS},
    {"bot",
     0.2 / 24.0,
     0.2 / 24.0,
     {[STWI_PATH_OUTAGE] = 0.02,
      [STWI_PATH_KILL] = 0.02,
      [STWI_PATH_DEPLOY] = 2,
      [STWI_PATH_CRASH] = 1 / 30.0},
     30 * STWI_MS,
     0.3,
     150 * STWI_MS,
     0.3,
     250 * STWI_MS},
};

const struct stwi_path_profile *stwi_path_profile_at(size_t index) {
  return index < STWI_PATH_PROFILES ? &profiles[index] : NULL;
}

/* ---- in words ---- */

enum kind { SAME, NUMBER, TIME };

struct row {
  const char *name, *unit;
  enum kind kind;
  double same;   /* SAME: for all profiles */
  size_t offset; /* NUMBER, TIME: of a double or of nanoseconds in the profile */
  enum stwi_path_mark mark;
  const char *source;
};

#define OWN(kind, member) kind, 0, offsetof(struct stwi_path_profile, member)
#define RATE(source) OWN(NUMBER, per_day[STWI_PATH_##source])
#define ALL(value) SAME, (double)(value), 0
#define S(ns) ((double)(ns) / (double)STWI_S)

static const struct row rows[] = {
    {"gaps of the radio, as a rule", "an hour", OWN(NUMBER, calm_gaps_per_hour), STWI_PATH_ASSUMED,
     ""},
    {"gaps of the radio, while driving", "an hour", OWN(NUMBER, driving_gaps_per_hour),
     STWI_PATH_ASSUMED,
     "mahimahi's driving traces, 1.81 h: 97 an hour, on links that are full all the time"},
    {"driving: an hour of every day, from", "o'clock", ALL(STWI_PATH_DRIVING_MORNING),
     STWI_PATH_ASSUMED, ""},
    {"... and one from", "o'clock", ALL(STWI_PATH_DRIVING_EVENING), STWI_PATH_ASSUMED, ""},
    {"a gap: Pareto, at least", "s", ALL(S(STWI_PATH_GAP_LEAST)), STWI_PATH_ASSUMED,
     "shorter ones are late packets"},
    {"a gap: Pareto, exponent", "1", ALL(STWI_PATH_GAP_ALPHA), STWI_PATH_ASSUMED,
     "the same traces: 2.17; gaps are longer here"},
    {"outages", "a day", RATE(OUTAGE), STWI_PATH_ASSUMED, ""},
    {"an outage: lognormal, median", "s", ALL(S(STWI_PATH_OUTAGE_MEDIAN)), STWI_PATH_ASSUMED, ""},
    {"an outage: lognormal, sigma", "1", ALL(STWI_PATH_OUTAGE_SIGMA), STWI_PATH_ASSUMED, ""},
    {"of outages end every flow", "%", ALL(100 * STWI_PATH_OUTAGE_ENDS_FLOWS), STWI_PATH_ASSUMED,
     ""},
    {"of outages are seen by the system", "%", ALL(100 * STWI_PATH_OUTAGE_IS_VISIBLE),
     STWI_PATH_ASSUMED, ""},
    {"silent deaths of every flow", "a day", RATE(KILL), STWI_PATH_ASSUMED, ""},
    {"moves to another network", "a day", RATE(HANDOVER), STWI_PATH_ASSUMED, ""},
    {"a move: no network for at least", "s", ALL(S(STWI_PATH_HANDOVER_LEAST)), STWI_PATH_ASSUMED,
     ""},
    {"a move: at most", "s", ALL(S(STWI_PATH_HANDOVER_MOST)), STWI_PATH_ASSUMED, ""},
    {"sleeps of the machine", "a day", RATE(SLEEP), STWI_PATH_ASSUMED, ""},
    {"of sleeps end every flow", "%", ALL(100 * STWI_PATH_SLEEP_ENDS_FLOWS), STWI_PATH_ASSUMED, ""},
    {"the system tells after", "s", ALL(S(STWI_PATH_HINT_AFTER)), STWI_PATH_MEASURED,
     "rtnetlink on Linux: 0.01 s; rounded up"},
    {"planned ends of the server's process", "a day", RATE(DEPLOY), STWI_PATH_ASSUMED, ""},
    {"told ahead by", "s", ALL(S(STWI_PATH_DRAIN_FOR)), STWI_PATH_ASSUMED, ""},
    {"ends of the server's machine without a word", "a day", RATE(CRASH), STWI_PATH_ASSUMED, ""},
    {"of clients are behind a proxy that forgets idle flows", "%",
     ALL(100 * STWI_PATH_BEHIND_PROXY), STWI_PATH_ASSUMED, ""},
    {"it forgets after", "s", ALL(S(STWI_PATH_PROXY_IDLE)), STWI_PATH_READ,
     "the idle timeout of AWS ALB, as it comes"},
    {"round trip: lognormal, median", "s", OWN(TIME, rtt_ns), STWI_PATH_MEASURED,
     "pings while driving: NUWiNS, three carriers, 60 to 77 ms; 5G-MeMU 32 ms"},
    {"round trip: sigma, of each way", "1", OWN(NUMBER, rtt_sigma), STWI_PATH_ASSUMED,
     "1 of 100 takes over 175 ms (mobile), 50 ms; the same pings: 0.26 to 0.56 s, 58 to 109 ms"},
    {"TCP, TLS and upgrade: lognormal, median", "s", OWN(TIME, handshake_ns), STWI_PATH_ASSUMED,
     ""},
    {"TCP, TLS and upgrade: sigma", "1", OWN(NUMBER, handshake_sigma), STWI_PATH_ASSUMED, ""},
    {"first retransmission of a flow; doubles", "s", OWN(TIME, rto_ns), STWI_PATH_MEASURED,
     "RFC 6298; Linux 6.18: 0.25, 0.65, 1.5, 4.8 s after a packet was lost"},
    {"first retransmission of a SYN; doubles", "s", ALL(S(STWI_PATH_SYN_RTO)), STWI_PATH_READ,
     "RFC 6298"},
    {"the longest between two retransmissions", "s", ALL(S(STWI_PATH_RTO_MOST)), STWI_PATH_READ,
     "TCP_RTO_MAX of Linux"},
    {"messages to the client, one in", "s", ALL(STWI_PATH_TALK_DOWN_S), STWI_PATH_ASSUMED, ""},
    {"messages to the server, one in", "s", ALL(STWI_PATH_TALK_UP_S), STWI_PATH_ASSUMED, ""},
};

static double value_of(const struct row *row, const struct stwi_path_profile *profile) {
  const void *at = (const uint8_t *)profile + row->offset;
  switch (row->kind) {
  case NUMBER:
    return *(const double *)at;
  case TIME:
    return S(*(const uint64_t *)at);
  case SAME:
    break;
  }
  return row->same;
}

bool stwi_path_parameter_at(size_t index, struct stwi_path_parameter *parameter) {
  if (index >= sizeof rows / sizeof rows[0])
    return false;
  const struct row *row = &rows[index];
  *parameter = (struct stwi_path_parameter){
      .name = row->name, .unit = row->unit, .source = row->source, .mark = row->mark};
  for (unsigned i = 0; i < STWI_PATH_PROFILES; i++)
    parameter->values[i] = value_of(row, &profiles[i]);
  return true;
}
