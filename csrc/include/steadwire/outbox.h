/* outbox.h: look into what must still reach the peer, and change it.
 *
 * The same calls serve the outbox of a live conn and an outbox file that no process uses.  Entries
 * come in the order in which they would be sent: the control lane, the data lane, then what is
 * parked: held messages, dead letters, and messages whose fate waits for a decision.  Live calls
 * wait for the engine thread for at most one turn (bounded by 1 s: E_TIMEOUT).
 *
 * All calls, where not said otherwise: any thread; E_HANDLE, E_FORKED, E_CLOSED (engine gone),
 * E_MEMORY; for a file also E_STORE.
 */
#ifndef STEADWIRE_OUTBOX_H
#define STEADWIRE_OUTBOX_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct stw_outbox {
  uint64_t id;
} stw_outbox;

/* The outbox of a conn; lives as long as the conn's handle. */
STW_API stw_outbox stw_outbox_of(stw_conn conn);

/* Opens an outbox file that is not in use.  With `may_edit` it is locked against others until
 * stw_outbox_close; without, a file in use by another process can be read too, and every call that
 * would change it is E_STATE.
 * E_LOCKED (the error names the pid), E_FORMAT (no outbox file, or of a newer version; without
 * `may_edit` also of an older one, which `may_edit` or a conn brings up to date), E_STORE (missing,
 * unreadable, a symlink, damaged; with `may_edit` also one that this user may not write: the error
 * says what to change), E_BUSY (a conn of this process has it: use its own). */
STW_API stw_status stw_outbox_open(const char *path, bool may_edit, stw_outbox *outbox);
/* Closes a file; nothing of its use is left beside it.  E_ARGUMENT for the outbox of a conn. */
STW_API stw_status stw_outbox_close(stw_outbox outbox);

typedef struct stw_outbox_entry {
  stw_message_id id;
  stw_message_state state; /* QUEUED or INFLIGHT; parked: HELD, DEAD or UNKNOWN */
  stw_proof proof;
  stw_guarantee guarantee;
  bool is_text;
  uint32_t attempts;    /* times it was written */
  uint64_t size;        /* bytes */
  uint64_t age_ns;      /* since admission */
  uint64_t ttl_left_ns; /* 0: no ttl */
  char key[64];         /* first bytes, for people; "" if none */
  stw_lane lane;
  uint64_t number;   /* its place in the lane; 0: parked */
  stw_cause cause;   /* why it is parked; REQUESTED otherwise */
  uint32_t position; /* from the start of the list, about: places left empty may count */
} stw_outbox_entry;

typedef struct stw_outbox_filter {
  size_t struct_size;
  uint32_t states; /* bits 1 << stw_message_state; 0: all */
  uint32_t lanes;  /* bits 1 << stw_lane; 0: all */
  const void *key; /* messages with exactly this key; NULL: all */
  size_t key_size;
  uint64_t older_than_ns; /* age of at least this; 0: all */
} stw_outbox_filter;

/* Copies up to `max` entries; *count says how many.  *cursor is 0 for the first page, and what the
 * call left there for the next; it is 0 again behind the last.  `filter` NULL: all.  Entries that
 * move meanwhile may be seen twice or not at all.  A cursor names a place and holds nothing, so it
 * may be dropped, used again, or used with another filter, and does not go stale: what stands
 * behind that place is listed.  E_ARGUMENT (a cursor that names no place a message has had). */
STW_API stw_status stw_outbox_list(stw_outbox outbox, const stw_outbox_filter *filter,
                                   uint64_t *cursor, stw_outbox_entry *entries, size_t max,
                                   size_t *count);

/* Copies the entry of one message.  E_NOT_FOUND. */
STW_API stw_status stw_outbox_get(stw_outbox outbox, stw_message_id id, stw_outbox_entry *entry);

/* Copies up to `max` bytes of the body; *size is its whole size.  E_NOT_FOUND. */
STW_API stw_status stw_outbox_body(stw_outbox outbox, stw_message_id id, void *data, size_t max,
                                   size_t *size);

/* What can be done to a message.  X(NAME, slug, meaning) */
#define STW_EDIT_LIST(X)                                                                           \
  X(CANCEL, "cancel", "take it back: it ends as cancelled; a parked one is forgotten")             \
  X(HOLD, "hold", "park it until it is released; others pass")                                     \
  X(RELEASE, "release", "put a held one at the end of its lane")                                   \
  X(REQUEUE, "requeue", "put a dead one, or one of unknown fate, at the end of its lane")          \
  X(PRIORITISE, "prioritise", "move a queued or parked one to the end of the control lane")        \
  X(DEMOTE, "demote", "move a queued or parked one to the end of the data lane")

typedef enum stw_edit {
#define STW_X(name, slug, text) STW_EDIT_##name,
  STW_EDIT_LIST(STW_X)
#undef STW_X
      STW_EDIT_COUNT
} stw_edit;
STW_API const stw_word *stw_edit_at(size_t index);

/* Does it.  The id stays; the place and with it the number changes.
 * E_NOT_FOUND  ended or never there
 * E_STATE      bytes of it were written (it cannot be unsent or overtaken), or the edit does not
 *              fit its state, or its file was opened without may_edit
 * E_FULL       (RELEASE, REQUEUE) the outbox is at its bounds; (these, PRIORITISE and DEMOTE) its
 *              file has no space, as a send would say
 * E_STORE      (the same four) its file has failed
 * A conn whose outbox has a file settles an edit with the next commit. */
STW_API stw_status stw_outbox_edit(stw_outbox outbox, stw_message_id id, stw_edit edit);

/* Takes a message back if no byte of it was written: stw_outbox_edit with CANCEL. */
STW_API stw_status stw_outbox_cancel(stw_outbox outbox, stw_message_id id);

/* Writes the entries that `filter` lets through, with their bodies, to a new file `path` (mode
 * 0600; never over an existing one: E_STORE); *count says how many.  Nothing is removed. */
STW_API stw_status stw_outbox_export(stw_outbox outbox, const stw_outbox_filter *filter,
                                     const char *path, uint64_t *count);

/* Adds all messages of an export, at the ends of their lanes and with their ids; those whose id is
 * there already are left out.  The whole file is checked first: all or nothing.
 * E_FORMAT (the error names the place), E_STORE (unreadable), E_STATE (a file opened without
 * may_edit), E_FULL, E_TOO_BIG. */
STW_API stw_status stw_outbox_import(stw_outbox outbox, const char *path, uint64_t *count);

typedef struct stw_outbox_report {
  size_t struct_size;
  uint64_t queued[STW_LANE_COUNT], queued_bytes[STW_LANE_COUNT];
  uint64_t last_number[STW_LANE_COUNT]; /* highest ever given */
  uint64_t held, dead, unknown;
  uint64_t file_bytes;
  uint32_t version; /* of the file's schema */
  bool was_clean;   /* its last user closed it in order */
  bool is_sound;    /* integrity check, numbers and ids agree */
  char detail[200]; /* of the first fault; "" if sound */
} stw_outbox_report;
/* Checks a file from end to end (not for the outbox of a conn: E_ARGUMENT). */
STW_API stw_status stw_outbox_check(stw_outbox outbox, stw_outbox_report *report);

#ifdef __cplusplus
}
#endif
#endif
