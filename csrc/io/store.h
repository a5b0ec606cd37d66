/* store.h: where an outbox is kept: one file, one writer thread, group commit.
 *
 * The engine thread hands changes over (copied into the batch being collected) and never waits; the
 * writer thread commits batch after batch and wakes the engine, which collects what has become
 * true.  The contract for failures:
 *
 * - Level process survives kill -9; after a power loss the last commits may be missing, never one
 *   in the middle.  Level durable: what was reported as committed survives power loss.
 * - A write or sync that fails: the handle is not used again.  Everything is asked for again
 *   (wants_all), written to a new file, and that takes the path's place: REWRITTEN.  If that fails
 *   too: FAILED, tried again every 5 s; what comes meanwhile is not kept.
 * - No space (also quota, file size): FULL.  What came stays in memory, the removal of messages
 * goes on (a reserve of 64 KiB is given up for it), tried again every second.
 * - Another program holds the file locked, or no memory: FAILED, the same handle is tried again
 *   every second.
 * - A damaged file is moved aside as <path>.damaged-<time>; a new one, with a new stream and a new
 *   session, takes what can be read: MOVED_ASIDE.
 * - Newer version, foreign file, other owner, symbolic or hard link, folder that everybody can
 * write to: refused, untouched.  Locked: refused; the sentence names the pid that holds it.
 * - fork: the child's copy is dead: every call does nothing, close does not touch the file.
 */
#ifndef STWI_IO_STORE_H
#define STWI_IO_STORE_H

#include "core/effect.h"
#include "core/input.h"

enum stwi_store_level { STWI_LEVEL_PROCESS, STWI_LEVEL_DURABLE };

/* What became true since the last collect(). */
struct stwi_store_news {
  uint64_t serial;               /* every change up to it is committed */
  uint64_t upto[STW_LANE_COUNT]; /* every message PUT in the lane up to this number is */
  stw_store_health health;
  bool has_changed; /* health, since the last collect */
  bool wants_all;   /* give everything again: see above; once per rewrite */
  char detail[200]; /* about health: what, the path, what to do */
};

struct stwi_store_ops {
  /* Adds a change to the batch being collected; copies what it points to.  False without memory:
   * the store counts as failed from then on. Engine thread. */
  bool (*add)(void *store, const struct stwi_store_change *change);
  /* End of a turn: hands the batch to the writer if it has any. Engine thread. */
  void (*flush)(void *store);
  /* Engine thread.  Where the news say wants_all, what was added before is void, and what is added
   * until the next flush must be everything. */
  void (*collect)(void *store, struct stwi_store_news *news);
  /* Commits what is left, marks the file as closed in order, joins the writer, unlocks, frees.
   * Bounded by `patience_ms`, then the file is left unclean (but whole). Any thread. */
  void (*close)(void *store, uint32_t patience_ms);
};

struct stwi_store {
  const struct stwi_store_ops *ops; /* NULL: no store */
  void *self;
};

struct stwi_store_options {
  const char *path; /* a file; or a folder with a trailing "/": a file of our own in it, and those
                       of dead owners are adopted and removed */
  enum stwi_store_level level;
  uint64_t new_stream; /* random: used where a new file is begun */
  uint8_t new_cid[16]; /* likewise */
  void *owner;
  void (*wake)(void *owner); /* on the writer's thread: call collect soon */
};

/* Opens, locks, checks and reads.  *restored is filled (its chunks are the caller's), *stream is
 * the file's.  Messages at_most_once of an unclean file come parked as UNKNOWN: they may have been
 * written.  `detail` (at least 200 bytes) says what was found (RECOVERED, ADOPTED, MOVED_ASIDE, or
 * OK with "") or why it was refused; *health names it.  Any thread.
 * E_LOCKED, E_FORMAT, E_STORE, E_MEMORY. */
stw_status stwi_store_sqlite_open(const struct stwi_store_options *options,
                                  struct stwi_store *store, struct stwi_restored *restored,
                                  uint64_t *stream, stw_store_health *health, char *detail);

/* A cursor of stw_outbox_list, live or of a file: the section in the two highest bits, below them
 * the number (parked: the serial) of the last one seen there, from 1. */
enum stwi_cursor_section { STWI_CURSOR_CONTROL = 1, STWI_CURSOR_DATA, STWI_CURSOR_PARKED };
#define STWI_CURSOR_SHIFT 62
#define STWI_CURSOR_NUMBER (((uint64_t)1 << STWI_CURSOR_SHIFT) - 1)

/* ---- a file at rest ---- */

struct stwi_store_file; /* one thread at a time */

/* `may_edit` locks it, and brings a file of an older version up to date.  No message is changed by
 * opening, and closing leaves nothing beside the file that was not there before.  E_LOCKED, E_BUSY
 * (in use by this process), E_FORMAT, E_STORE (also: may_edit of what this user may not write),
 * E_MEMORY. */
stw_status stwi_store_file_open(const char *path, bool may_edit, struct stwi_store_file **file,
                                char *detail);
void stwi_store_file_close(struct stwi_store_file *file);
/* As stw_outbox_* of outbox.h; `detail` (200 bytes) gets the sentence of a refusal. */
stw_status stwi_store_file_list(struct stwi_store_file *file, const stw_outbox_filter *filter,
                                uint64_t *cursor, stw_outbox_entry *entries, size_t max,
                                size_t *count, char *detail);
stw_status stwi_store_file_get(struct stwi_store_file *file, stw_message_id id,
                               stw_outbox_entry *entry, char *detail);
/* *body is malloc'ed, the caller's. */
stw_status stwi_store_file_body(struct stwi_store_file *file, stw_message_id id, uint8_t **body,
                                size_t *size, char *detail);
/* The message of an entry just read, with its whole key, alone in *chunk, which is the caller's. */
stw_status stwi_store_file_copy(struct stwi_store_file *file, const stw_outbox_entry *entry,
                                struct stwi_chunk **chunk, char *detail);
stw_status stwi_store_file_edit(struct stwi_store_file *file, stw_message_id id, stw_edit edit,
                                char *detail);
/* Adds messages (their ids kept, those present left out) in one transaction. */
stw_status stwi_store_file_add(struct stwi_store_file *file, struct stwi_chunk *chunks,
                               uint64_t *count, char *detail);
stw_status stwi_store_file_check(struct stwi_store_file *file, stw_outbox_report *report,
                                 char *detail);

#endif
