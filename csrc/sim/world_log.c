#include "sim/world_inside.h"

static void log_state(struct stwi_world *world, uint32_t conn, const stw_event *event,
                      const char *detail) {
  stwi_world_say_so(world, "conn %u %s -> %s: %s, attempt %u, next in %.3f s%s%s", conn,
                    stw_state_at((size_t)event->u.state.from)->name,
                    stw_state_at((size_t)event->u.state.to)->name,
                    stw_cause_at((size_t)event->u.state.cause)->name, event->u.state.attempt,
                    (double)event->u.state.delay_ns / 1e9, detail[0] == '\0' ? "" : "; ", detail);
}

static void log_gap(struct stwi_world *world, uint32_t conn, const stw_event *event) {
  stwi_world_say_so(world, "conn %u gap: %s, lane %u, %llu to %llu", conn,
                    stw_gap_reason_at((size_t)event->u.gap.reason)->name,
                    (unsigned)event->u.gap.lane, (unsigned long long)event->u.gap.from,
                    (unsigned long long)event->u.gap.to);
}

void stwi_world_log_event(struct stwi_world *world, uint32_t conn, const stw_event *event,
                          const char *detail) {
  if (!world->log.is_on)
    return;
  const char *kind = stw_event_kind_at((size_t)event->kind)->name;
  const char *text = detail == NULL ? "" : detail;
  switch (event->kind) {
  case STW_EVENT_STATE:
    log_state(world, conn, event, text);
    break;
  case STW_EVENT_GAP:
    log_gap(world, conn, event);
    break;
  case STW_EVENT_PROOF:
    stwi_world_say_so(world, "conn %u link %u proof: %s up to %llu, settled %llu, lane %u", conn,
                      event->link, stw_proof_at((size_t)event->u.proof.proof)->name,
                      (unsigned long long)event->u.proof.upto,
                      (unsigned long long)event->u.proof.settled, (unsigned)event->u.proof.lane);
    break;
  case STW_EVENT_MESSAGE_ENDED:
    stwi_world_say_so(world, "conn %u message %llu of lane %u ended: %s, %s", conn,
                      (unsigned long long)event->u.ended.id.number,
                      (unsigned)(event->u.ended.id.stream & 1),
                      stw_message_state_at((size_t)event->u.ended.state)->name,
                      stw_cause_at((size_t)event->u.ended.cause)->name);
    break;
  case STW_EVENT_RETRY:
    stwi_world_say_so(world, "conn %u link %u retry: %s in %.3f s; %s", conn, event->link,
                      stw_cause_at((size_t)event->u.retry.cause)->name,
                      (double)event->u.retry.delay_ns / 1e9, text);
    break;
  default:
    stwi_world_say_so(world, "conn %u link %u %s%s%s", conn, event->link, kind,
                      text[0] == '\0' ? "" : "; ", text);
    break;
  }
}
