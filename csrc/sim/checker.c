#include "sim/checker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_DIGITS 8u
#define SERIAL_DIGITS 16u
#define FIRST_ENTRIES 64u
#define SERIAL_SHIFT 27u /* 134 million messages of a stream may have numbers */

enum status { SENT, WITHDRAWN, UNSURE };

/* Marks: a gap, and 1 << view: may be taken once more in it. */
#define GAP (1u << STWI_VIEW_COUNT)
#define REPEATS (GAP - 1)

struct entry {
  uint32_t size;
  uint8_t status;
  uint8_t marks;
  uint8_t times[STWI_VIEW_COUNT]; /* stops at UINT8_MAX */
};

struct stream {
  struct entry *entries; /* by serial - 1 */
  uint64_t *serials;     /* by number - 1: who has it now; 0: nobody */
  uint64_t last, capacity;
  uint64_t last_number, number_capacity;
  uint64_t highest[STWI_VIEW_COUNT]; /* taken */
  uint64_t count[STWI_VIEW_COUNT];
  uint64_t repeated[STWI_VIEW_COUNT];
};

struct stwi_checker {
  struct stream *streams;
  uint32_t stream_count;
  uint64_t faults[STWI_VIEW_COUNT][STWI_FAULT_COUNT]; /* those seen at once */
  char first[STWI_VIEW_COUNT][160];
};

const char *stwi_fault_name(enum stwi_fault fault) {
  static const char *const names[] = {"lost",       "duplicated", "reordered",
                                      "unexpected", "phantom",    "altered"};
  return fault < STWI_FAULT_COUNT ? names[fault] : "";
}

/* ---- bodies ---- */

static void write_hex(uint8_t *out, unsigned digits, uint64_t value) {
  for (unsigned i = digits; i-- > 0; value >>= 4)
    out[i] = (uint8_t) "0123456789abcdef"[value & 15];
}

static bool read_hex(const uint8_t *in, unsigned digits, uint64_t *value) {
  *value = 0;
  for (unsigned i = 0; i < digits; i++) {
    const uint8_t c = in[i];
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'a' || c > 'f'))
      return false;
    *value = *value << 4 | (uint64_t)(is_digit ? c - '0' : c - 'a' + 10);
  }
  return true;
}

static uint8_t filler(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint8_t)('A' + (*state >> 60));
}

void stwi_stamp_write(uint8_t *body, size_t size, uint32_t stream, uint64_t serial) {
  write_hex(body, STREAM_DIGITS, stream);
  write_hex(body + STREAM_DIGITS, SERIAL_DIGITS, serial);
  write_hex(body + STREAM_DIGITS + SERIAL_DIGITS, 8, size);
  uint64_t state = serial * 31 + stream;
  for (size_t i = STWI_STAMP_BYTES; i < size; i++)
    body[i] = filler(&state);
}

bool stwi_stamp_read(const uint8_t *body, size_t size, uint32_t *stream, uint64_t *serial) {
  uint64_t named = 0, length;
  if (size < STWI_STAMP_BYTES || !read_hex(body, STREAM_DIGITS, &named) ||
      !read_hex(body + STREAM_DIGITS, SERIAL_DIGITS, serial) ||
      !read_hex(body + STREAM_DIGITS + SERIAL_DIGITS, 8, &length))
    return false;
  *stream = (uint32_t)named;
  return *serial > 0;
}

static bool is_whole(const uint8_t *body, size_t size, uint32_t stream, uint64_t serial,
                     uint32_t sent_size) {
  uint64_t length = 0;
  if (size != sent_size || !read_hex(body + STREAM_DIGITS + SERIAL_DIGITS, 8, &length) ||
      length != size)
    return false;
  uint64_t state = serial * 31 + stream;
  for (size_t i = STWI_STAMP_BYTES; i < size; i++)
    if (body[i] != filler(&state))
      return false;
  return true;
}

/* ---- the ledger ---- */

struct stwi_checker *stwi_checker_new(uint32_t streams) {
  struct stwi_checker *checker = calloc(1, sizeof *checker);
  if (checker == NULL)
    return NULL;
  checker->streams = calloc(streams, sizeof *checker->streams);
  checker->stream_count = streams;
  if (checker->streams == NULL) {
    free(checker);
    return NULL;
  }
  return checker;
}

void stwi_checker_free(struct stwi_checker *checker) {
  if (checker == NULL)
    return;
  for (uint32_t i = 0; i < checker->stream_count; i++) {
    free(checker->streams[i].entries);
    free(checker->streams[i].serials);
  }
  free(checker->streams);
  free(checker);
}

static bool reserve(void **items, uint64_t *capacity, uint64_t wanted, size_t size) {
  if (wanted <= *capacity)
    return true;
  uint64_t more = *capacity == 0 ? FIRST_ENTRIES : *capacity;
  while (more < wanted)
    more *= 2;
  char *grown = realloc(*items, more * size);
  if (grown == NULL)
    return false;
  memset(grown + *capacity * size, 0, (more - *capacity) * size);
  *items = grown;
  *capacity = more;
  return true;
}

static bool note_number(struct stream *stream, uint64_t number, uint64_t serial) {
  if (number == 0)
    return true;
  void *items = stream->serials;
  if (number >> SERIAL_SHIFT != 0 ||
      !reserve(&items, &stream->number_capacity, number, sizeof *stream->serials))
    return false;
  stream->serials = items;
  stream->serials[number - 1] = serial;
  if (number > stream->last_number)
    stream->last_number = number;
  return true;
}

uint64_t stwi_checker_sent(struct stwi_checker *checker, uint32_t stream, size_t size,
                           uint64_t number) {
  struct stream *at = &checker->streams[stream];
  void *items = at->entries;
  if (!reserve(&items, &at->capacity, at->last + 1, sizeof *at->entries))
    return 0;
  at->entries = items;
  if (!note_number(at, number, at->last + 1))
    return 0;
  at->entries[at->last++].size = (uint32_t)size;
  return at->last;
}

static struct entry *find(const struct stwi_checker *checker, uint32_t stream, uint64_t serial) {
  if (stream >= checker->stream_count)
    return NULL;
  struct stream *at = &checker->streams[stream];
  return serial >= 1 && serial <= at->last ? &at->entries[serial - 1] : NULL;
}

void stwi_checker_withdrawn(struct stwi_checker *checker, uint32_t stream, uint64_t serial) {
  struct entry *entry = find(checker, stream, serial);
  if (entry != NULL)
    entry->status = WITHDRAWN;
}

void stwi_checker_unsure(struct stwi_checker *checker, uint32_t stream, uint64_t serial) {
  struct entry *entry = find(checker, stream, serial);
  if (entry != NULL)
    entry->status = UNSURE;
}

void stwi_checker_may_repeat(struct stwi_checker *checker, uint32_t stream, uint64_t serial) {
  struct entry *entry = find(checker, stream, serial);
  if (entry != NULL)
    entry->marks |= REPEATS;
}

void stwi_checker_begin_anew(struct stwi_checker *checker, uint32_t stream) {
  struct stream *at = &checker->streams[stream];
  memset(at->highest, 0, sizeof at->highest);
  for (uint64_t serial = 1; serial <= at->last; serial++)
    at->entries[serial - 1].marks &= REPEATS;
}

static void say(char first[160], enum stwi_fault fault, uint32_t stream, uint64_t serial,
                const char *how) {
  if (first[0] == '\0')
    snprintf(first, 160, "%s: message %llu of stream %u %s", stwi_fault_name(fault),
             (unsigned long long)serial, stream, how);
}

static void fault_now(struct stwi_checker *checker, enum stwi_view view, enum stwi_fault fault,
                      uint32_t stream, uint64_t serial, const char *how) {
  checker->faults[view][fault]++;
  say(checker->first[view], fault, stream, serial, how);
}

static void take(struct stwi_checker *checker, enum stwi_view view, uint32_t stream,
                 uint64_t serial, struct entry *entry) {
  struct stream *at = &checker->streams[stream];
  if (entry->times[view] > 0 && (entry->marks & 1u << view) != 0) {
    entry->marks ^= (uint8_t)(1u << view);
    at->repeated[view]++;
    if (serial > at->highest[view])
      at->highest[view] = serial;
    return;
  }
  if (entry->times[view] < UINT8_MAX)
    entry->times[view]++;
  if (entry->times[view] > 1) {
    fault_now(checker, view, STWI_FAULT_DUPLICATED, stream, serial, "was taken again");
    return;
  }
  at->count[view]++;
  if (serial < at->highest[view])
    fault_now(checker, view, STWI_FAULT_REORDERED, stream, serial, "came after a later one");
  else
    at->highest[view] = serial;
}

void stwi_checker_taken(struct stwi_checker *checker, enum stwi_view view, uint32_t stream,
                        const void *body, size_t size) {
  uint32_t named;
  uint64_t serial;
  if (!stwi_stamp_read(body, size, &named, &serial)) {
    fault_now(checker, view, STWI_FAULT_PHANTOM, stream, 0, "has a body nobody sent");
    return;
  }
  struct entry *entry = find(checker, named, serial);
  if (entry == NULL)
    fault_now(checker, view, STWI_FAULT_PHANTOM, stream, serial, "was never sent");
  else if (named != stream)
    fault_now(checker, view, STWI_FAULT_UNEXPECTED, named, serial, "came in another stream");
  else if (!is_whole(body, size, stream, serial, entry->size))
    fault_now(checker, view, STWI_FAULT_ALTERED, stream, serial, "came with another body");
  else
    take(checker, view, stream, serial, entry);
}

void stwi_checker_gap(struct stwi_checker *checker, uint32_t stream, uint64_t from, uint64_t to) {
  struct stream *at = &checker->streams[stream];
  if (to > at->last_number)
    to = at->last_number;
  for (uint64_t number = from == 0 ? 1 : from; number <= to; number++) {
    struct entry *entry = find(checker, stream, at->serials[number - 1]);
    if (entry == NULL)
      continue;
    const bool is_over = entry->status == UNSURE && entry->times[STWI_VIEW_RAW] > 0;
    if (!is_over)
      entry->marks |= GAP;
  }
}

uint64_t stwi_checker_last(const struct stwi_checker *checker, uint32_t stream) {
  return checker->streams[stream].last;
}

uint64_t stwi_checker_count(const struct stwi_checker *checker, enum stwi_view view,
                            uint32_t stream) {
  return checker->streams[stream].count[view];
}

bool stwi_checker_has(const struct stwi_checker *checker, enum stwi_view view, uint32_t stream,
                      uint64_t serial) {
  const struct entry *entry = find(checker, stream, serial);
  return entry != NULL && entry->times[view] > 0;
}

static void sum_entry(const struct entry *entry, enum stwi_view view, uint32_t stream,
                      uint64_t serial, struct stwi_verdict *verdict) {
  const bool is_taken = entry->times[view] > 0;
  verdict->sent++;
  verdict->withdrawn += entry->status == WITHDRAWN;
  verdict->unsure += entry->status == UNSURE;
  verdict->taken += is_taken;
  if (is_taken && entry->status == WITHDRAWN) {
    verdict->faults[STWI_FAULT_UNEXPECTED]++;
    say(verdict->first, STWI_FAULT_UNEXPECTED, stream, serial, "was withdrawn, and taken");
  } else if (is_taken && (entry->marks & GAP) != 0) {
    verdict->faults[STWI_FAULT_UNEXPECTED]++;
    say(verdict->first, STWI_FAULT_UNEXPECTED, stream, serial, "was announced as a gap, and taken");
  } else if (!is_taken && entry->status == SENT) {
    verdict->faults[STWI_FAULT_LOST]++;
    say(verdict->first, STWI_FAULT_LOST, stream, serial,
        (entry->marks & GAP) != 0 ? "was announced as a gap, but its sender kept it"
                                  : "was never taken");
  }
}

bool stwi_checker_verdict(const struct stwi_checker *checker, enum stwi_view view,
                          struct stwi_verdict *verdict) {
  memset(verdict, 0, sizeof *verdict);
  memcpy(verdict->faults, checker->faults[view], sizeof verdict->faults);
  memcpy(verdict->first, checker->first[view], sizeof verdict->first);
  for (uint32_t i = 0; i < checker->stream_count; i++) {
    verdict->repeated += checker->streams[i].repeated[view];
    for (uint64_t serial = 1; serial <= checker->streams[i].last; serial++)
      sum_entry(&checker->streams[i].entries[serial - 1], view, i, serial, verdict);
  }
  uint64_t faults = 0;
  for (unsigned i = 0; i < STWI_FAULT_COUNT; i++)
    faults += verdict->faults[i];
  return faults == 0;
}
