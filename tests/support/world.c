#include "world.h"

static void print_event(const struct world_event *event, FILE *out) {
  const stw_event *e = &event->event;
  fprintf(out, "%9.3f conn %u link %u %s", (double)(event->at - WORLD_START) / 1e9, event->conn,
          e->link, stw_event_kind_at((size_t)e->kind)->name);
  if (e->kind == STW_EVENT_STATE) {
    fprintf(out, " %s -> %s (%s) attempt %u delay %.3f",
            stw_state_at((size_t)e->u.state.from)->name, stw_state_at((size_t)e->u.state.to)->name,
            stw_cause_at((size_t)e->u.state.cause)->name, e->u.state.attempt,
            (double)e->u.state.delay_ns / 1e9);
  }
  if (e->kind == STW_EVENT_PROOF)
    fprintf(out, " %s %llu", stw_proof_at((size_t)e->u.proof.proof)->name,
            (unsigned long long)e->u.proof.upto);
  if (e->kind == STW_EVENT_MESSAGE_ENDED)
    fprintf(out, " %llu %s", (unsigned long long)e->u.ended.id.number,
            stw_message_state_at((size_t)e->u.ended.state)->name);
  fprintf(out, "  %s\n", event->detail);
}

void world_print(const struct world *world, FILE *out) {
  const size_t first = world->event_count > 200 ? world->event_count - 200 : 0;
  for (size_t i = first; i < world->event_count; i++)
    print_event(&world->events[i], out);
}
