#include "core/outbox_inside.h"

enum { STRIKES_MAX = 3 };

void stwi_poison_proven(struct stwi_outbox *outbox, uint64_t upto) {
  if (outbox->suspect_number > upto)
    return;
  outbox->suspect_number = 0;
  outbox->suspect_strikes = 0;
}

void stwi_poison_calm(struct stwi_outbox *outbox) {
  if (outbox->count == 0 || outbox->ring[outbox->head].number > outbox->cautious_until)
    outbox->is_cautious = false;
}

/* A strike while others were inflight too may hit an innocent one: it counts, but only a strike
 * against a message that was alone kills. */
void stwi_outbox_strike(struct stwi_outbox *outbox, stw_cause cause) {
  if (outbox->inflight == 0)
    return;
  struct stwi_msg *oldest = stwi_outbox_at(outbox, 0);
  if (oldest->number != outbox->suspect_number || cause != outbox->suspect_cause) {
    outbox->suspect_number = oldest->number;
    outbox->suspect_cause = cause;
    outbox->suspect_strikes = 0;
  }
  outbox->suspect_strikes++;
  outbox->is_cautious = true;
  if (outbox->cautious_until < outbox->written_upto)
    outbox->cautious_until = outbox->written_upto;
  if (outbox->suspect_strikes < STRIKES_MAX || stwi_outbox_inflight(outbox) > 1)
    return;
  outbox->suspect_number = 0;
  outbox->suspect_strikes = 0;
  stwi_outbox_end(outbox, oldest, STWI_MSG_POISON, cause);
}
