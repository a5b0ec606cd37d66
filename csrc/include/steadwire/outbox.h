/* outbox.h: look into what must still reach the peer. */
#ifndef STEADWIRE_OUTBOX_H
#define STEADWIRE_OUTBOX_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct stw_outbox_entry {
  stw_message_id id;
  stw_message_state state;
  stw_proof proof;
  stw_guarantee guarantee;
  bool is_text;
  uint32_t attempts;    /* times it was written */
  uint64_t size;        /* bytes */
  uint64_t age_ns;      /* since admission */
  uint64_t ttl_left_ns; /* 0: no ttl */
  char key[64];         /* first bytes, for people; "" if none */
} stw_outbox_entry;

/* Copies up to `max` entries with number > `after`, in order; *count says how many.  Waits for the
 * engine thread for at most one turn (bounded by 1 s: E_TIMEOUT).  Page with the last number.
 * E_HANDLE, E_FORKED, E_CLOSED (engine gone). */
STW_API stw_status stw_outbox_list(stw_conn conn, uint64_t after, stw_outbox_entry *entries,
                                   size_t max, size_t *count);

/* Copies up to `max` bytes of the body; *size is its whole size.  E_NOT_FOUND; else as list. */
STW_API stw_status stw_outbox_body(stw_conn conn, stw_message_id id, void *data, size_t max,
                                   size_t *size);

/* Takes a message back if no byte of it was written; its MESSAGE_ENDED says CANCELLED.
 * E_NOT_FOUND ended or never there, E_STATE already written (it cannot be unsent). */
STW_API stw_status stw_outbox_cancel(stw_conn conn, stw_message_id id);

#ifdef __cplusplus
}
#endif
#endif
