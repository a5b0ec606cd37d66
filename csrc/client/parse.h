/* parse.h: the text forms of option values.
 *
 * A range is the text of the option table itself, so what people read is what is checked:
 * alternatives separated by " | ", each a word ("auto"), one value ("0") or "LOW .. HIGH".
 * Nothing here allocates or keeps anything.  Any thread.
 */
#ifndef STWI_CLIENT_PARSE_H
#define STWI_CLIENT_PARSE_H

#include <steadwire/config.h>

#include "core/conn_config.h"

/* A stretch of text, lent by whatever it was cut from. */
struct stwi_part {
  const char *text;
  size_t size;
};

/* Reads a number: DURATION "15" (seconds), "1.5s", "250ms", "2min", "1h" into nanoseconds; BYTES
 * "65536", "64KiB", "1.5MiB", "1GiB"; COUNT "100".  Spaces around number and unit are allowed.
 * Too large for 64 bits gives UINT64_MAX; over zero gives at least 1.  False: malformed. */
bool stwi_parse_number(stw_option_type type, struct stwi_part part, uint64_t *value);

/* Cuts the next alternative off `*range`; false at its end. */
bool stwi_range_next(const char **range, struct stwi_part *part);

enum stwi_verdict { STWI_FITS, STWI_MALFORMED, STWI_OUTSIDE };

/* Reads a number and checks it against the range.  A word of the range ("auto") gives 0. */
enum stwi_verdict stwi_parse_in_range(stw_option_type type, const char *range, const char *text,
                                      uint64_t *value);

/* The place of `text` among the alternatives, -1 if it is none of them. */
int stwi_parse_choice(const char *range, const char *text);

/* "" | "host" | "equals:TEXT" | "prefix:TEXT" | "contains:TEXT"; *pattern lends TEXT or "". */
bool stwi_parse_match(const char *text, enum stwi_match_kind *kind, const char **pattern);

/* "" | "prefix:N", N 1..255 | "until:C", C one byte; *arg is N or C. */
bool stwi_parse_key(const char *text, enum stwi_key_kind *kind, uint32_t *arg);

/* "" | "N" | "N,M": whole numbers, M is 0 if it is missing. */
bool stwi_parse_cursor(const char *text, uint64_t numbers[STW_LANE_COUNT]);

/* A close code that can be given to a cause: "1000" to "4999", always four digits; 1006 and 1015
 * never stand in a frame (RFC 6455 section 7.4.1). */
bool stwi_parse_close_code(const char *text, uint16_t *code);

bool stwi_parse_class(const char *text, stw_class *cls);

/* "HOST:PORT" or "USER:PASSWORD@HOST:PORT", "http://" before and "/" after it allowed; *plain lends
 * what is between them.  E_URL with *why a static sentence without the text; E_MEMORY. */
stw_status stwi_parse_proxy(const char *text, struct stwi_part *plain, const char **why);

#endif
