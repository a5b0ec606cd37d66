/* checker.h: counts what went wrong between those who sent messages and those who took them.
 *
 * A stream is one way of one lane of one conn; the caller numbers streams from 0.  Every message of
 * a stream has a serial, from 1, without holes, in the order in which it must be taken; the body
 * carries both (stwi_stamp_*), so that nothing but the body itself is believed.  What is taken is
 * seen in two views: raw, as the host was given it, and deduped, as its effects were committed
 * together with its cursor.  Owner only; it costs 16 bytes a message.
 */
#ifndef STWI_SIM_CHECKER_H
#define STWI_SIM_CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stwi_view { STWI_VIEW_RAW, STWI_VIEW_DEDUPED, STWI_VIEW_COUNT };

enum stwi_fault {
  STWI_FAULT_LOST,       /* sent, not withdrawn, never taken */
  STWI_FAULT_DUPLICATED, /* taken again */
  STWI_FAULT_REORDERED,  /* taken for the first time after a later one of its stream */
  STWI_FAULT_UNEXPECTED, /* sent, but not to be here: withdrawn, announced as a gap, or of another
                            stream */
  STWI_FAULT_PHANTOM,    /* nobody ever sent this */
  STWI_FAULT_ALTERED,    /* sent, with another body */
  STWI_FAULT_COUNT
};

struct stwi_verdict {
  uint64_t sent, withdrawn, unsure;
  uint64_t repeated; /* taken again where that was allowed */
  uint64_t taken;    /* first takings of right messages */
  uint64_t faults[STWI_FAULT_COUNT];
  char first[160]; /* a sentence about one of the faults; "" if there is none */
};

const char *stwi_fault_name(enum stwi_fault fault);

/* ---- bodies: printable, so that a text message can carry them ---- */

#define STWI_STAMP_BYTES 32u /* the shortest body */

/* Fills `size` (at least STWI_STAMP_BYTES) bytes with the body of a message. */
void stwi_stamp_write(uint8_t *body, size_t size, uint32_t stream, uint64_t serial);
/* Reads the names at the start of a body; false where they are none. */
bool stwi_stamp_read(const uint8_t *body, size_t size, uint32_t *stream, uint64_t *serial);

/* ---- the ledger ---- */

struct stwi_checker;

struct stwi_checker *stwi_checker_new(uint32_t streams); /* NULL without memory */
void stwi_checker_free(struct stwi_checker *checker);

/* A host sent the next message of `stream`, with a body of `size` bytes and, if the sender numbers
 * (0: it does not), this number.  The serial; 0 without memory. */
uint64_t stwi_checker_sent(struct stwi_checker *checker, uint32_t stream, size_t size,
                           uint64_t number);
/* It must not be taken any more: no byte of it was written, and its sender knows. */
void stwi_checker_withdrawn(struct stwi_checker *checker, uint32_t stream, uint64_t serial);
/* It may be taken, or not: its sender died before it knew, or may give only so much. */
void stwi_checker_unsure(struct stwi_checker *checker, uint32_t stream, uint64_t serial);
/* It may be taken once more: its taker has forgotten it, and its sender was told so. */
void stwi_checker_may_repeat(struct stwi_checker *checker, uint32_t stream, uint64_t serial);
/* Its taker begins anew: order is judged from here, and gaps told before say nothing any more. */
void stwi_checker_begin_anew(struct stwi_checker *checker, uint32_t stream);
/* A host took this from `stream`, in this view. */
void stwi_checker_taken(struct stwi_checker *checker, enum stwi_view view, uint32_t stream,
                        const void *body, size_t size);
/* A host was told that these numbers never come.  One that its sender gave up after it was taken is
 * over: that says nothing about it. */
void stwi_checker_gap(struct stwi_checker *checker, uint32_t stream, uint64_t from, uint64_t to);

/* Highest serial sent, and how many were taken for the first time in a view. */
uint64_t stwi_checker_last(const struct stwi_checker *checker, uint32_t stream);
uint64_t stwi_checker_count(const struct stwi_checker *checker, enum stwi_view view,
                            uint32_t stream);
bool stwi_checker_has(const struct stwi_checker *checker, enum stwi_view view, uint32_t stream,
                      uint64_t serial);

/* Sums up a view, as if nothing came any more.  True: no fault. */
bool stwi_checker_verdict(const struct stwi_checker *checker, enum stwi_view view,
                          struct stwi_verdict *verdict);

#endif
