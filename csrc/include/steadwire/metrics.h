/* metrics.h: the counters of a conn, one table. */
#ifndef STEADWIRE_METRICS_H
#define STEADWIRE_METRICS_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, slug, TYPE, unit, meaning); TYPE is COUNTER (only grows) or GAUGE. */
#define STW_METRIC_LIST(X)                                                                         \
  X(ATTEMPTS, "attempts", COUNTER, "1", "links dialled, candidates included")                      \
  X(ATTEMPTS_FAILED, "attempts_failed", COUNTER, "1", "attempts that never became ready")          \
  X(LINKS, "links", COUNTER, "1", "links that came up")                                            \
  X(LINKS_LOST, "links_lost", COUNTER, "1", "links that ended without the host asking")            \
  X(SUSPECTS, "suspects", COUNTER, "1", "times the link was late")                                 \
  X(FALSE_ALARMS, "false_alarms", COUNTER, "1", "suspicions that the old link answered")           \
  X(HEDGES, "hedges", COUNTER, "1", "candidates dialled beside a suspected link")                  \
  X(SWITCHES, "switches", COUNTER, "1", "candidates that took over")                               \
  X(SENT, "sent", COUNTER, "1", "messages admitted")                                               \
  X(SENT_BYTES, "sent_bytes", COUNTER, "By", "payload bytes admitted")                             \
  X(WRITTEN, "written", COUNTER, "1", "messages written, replays included")                        \
  X(SETTLED, "settled", COUNTER, "1", "messages that got the proof they want")                     \
  X(REPLAYED, "replayed", COUNTER, "1", "messages written again on a later link")                  \
  X(EXPIRED, "expired", COUNTER, "1", "messages whose ttl ended")                                  \
  X(CANCELLED, "cancelled", COUNTER, "1", "messages taken back")                                   \
  X(DROPPED, "dropped", COUNTER, "1", "messages removed by overflow or key")                       \
  X(DEAD, "dead", COUNTER, "1", "poison messages")                                                 \
  X(UNKNOWN, "unknown", COUNTER, "1", "messages whose fate could not be learnt")                   \
  X(STORED, "stored", COUNTER, "1", "messages committed to the outbox's file")                     \
  X(DUPLICATES, "duplicates", COUNTER, "1", "inbound messages that had arrived before: dropped")   \
  X(RESUMES, "resumes", COUNTER, "1", "links on which the session went on")                        \
  X(RECEIVED, "received", COUNTER, "1", "messages that arrived")                                   \
  X(RECEIVED_BYTES, "received_bytes", COUNTER, "By", "payload bytes that arrived")                 \
  X(INBOUND_DROPPED, "inbound_dropped", COUNTER, "1",                                              \
    "inbound messages dropped by inbound_overflow")                                                \
  X(GAPS, "gaps", COUNTER, "1", "gap events")                                                      \
  X(PAUSES, "pauses", COUNTER, "1", "times reading stopped because the host did not drain")        \
  X(BARRIERS, "barriers", COUNTER, "1", "PINGs sent as barrier or heartbeat")                      \
  X(WIRE_OUT_BYTES, "wire_out_bytes", COUNTER, "By", "bytes written to sockets after the upgrade") \
  X(WIRE_IN_BYTES, "wire_in_bytes", COUNTER, "By", "bytes read from sockets after the upgrade")    \
  X(OUTBOX_MESSAGES, "outbox_messages", GAUGE, "1", "messages in the outbox")                      \
  X(OUTBOX_BYTES, "outbox_bytes", GAUGE, "By", "payload bytes in the outbox")                      \
  X(OUTBOX_PARKED, "outbox_parked", GAUGE, "1", "messages held, dead or of unknown fate")          \
  X(RTT_NS, "rtt_ns", GAUGE, "ns", "smoothed round trip of barriers")                              \
  X(PHI_MILLI, "phi_milli", GAUGE, "1",                                                            \
    "suspicion in thousandths: -log10 of the share of answers that took longer than this one "     \
    "does")                                                                                        \
  X(HEARTBEAT_INTERVAL_NS, "heartbeat_interval_ns", GAUGE, "ns",                                   \
    "silence after which the link is asked; less than the option where links died of silence")     \
  X(IDLE_BOUND_NS, "idle_bound_ns", GAUGE, "ns",                                                   \
    "silence that has killed links to this endpoint on this network; 0: none known")               \
  X(ONLINE_NS, "online_ns", COUNTER, "ns", "time online, suspect or migrating")                    \
  X(OPEN_NS, "open_ns", COUNTER, "ns", "time since the first open, closed time excluded")

typedef enum stw_metric {
#define STW_X(name, slug, type, unit, text) STW_METRIC_##name,
  STW_METRIC_LIST(STW_X)
#undef STW_X
      STW_METRIC_COUNT
} stw_metric;

typedef enum stw_metric_type { STW_METRIC_COUNTER, STW_METRIC_GAUGE } stw_metric_type;

typedef struct stw_metric_info {
  stw_metric metric;
  const char *name;
  stw_metric_type type;
  const char *unit; /* UCUM */
  const char *text;
} stw_metric_info;

/* Lends row `index`, NULL past the end. */
STW_API const stw_metric_info *stw_metric_at(size_t index);

/* Copies the first `count` metrics of a conn (index = stw_metric) as of the last engine turn.
 * E_HANDLE, E_FORKED, E_ARGUMENT. */
STW_API stw_status stw_conn_stats(stw_conn conn, uint64_t *values, size_t count);

#ifdef __cplusplus
}
#endif
#endif
