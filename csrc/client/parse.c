#include "client/parse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"

enum { FRACTION_DIGITS = 9, KEY_BYTES_MAX = 255, CODE_MIN = 1000, CODE_MAX = 4999 };
#define FRACTION 1000000000ull /* 10 to the power of FRACTION_DIGITS */

struct unit {
  const char *name;
  uint64_t scale;
};

static const struct unit durations[] = {{"", STWI_S},         {"s", STWI_S},        {"ms", STWI_MS},
                                        {"min", 60 * STWI_S}, {"h", 3600 * STWI_S}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},           {"B", 1},          {"KiB", 1u << 10},
                                    {"MiB", 1u << 20}, {"GiB", 1u << 30}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {NULL, 0}};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_same(struct stwi_part part, const char *word) {
  return part.size == strlen(word) && memcmp(part.text, word, part.size) == 0;
}

static struct stwi_part skip(struct stwi_part part, size_t size) {
  return (struct stwi_part){part.text + size, part.size - size};
}

static struct stwi_part trim(struct stwi_part part) {
  while (part.size > 0 && part.text[0] == ' ')
    part = skip(part, 1);
  while (part.size > 0 && part.text[part.size - 1] == ' ')
    part.size--;
  return part;
}

static const struct unit *find_unit(stw_option_type type, struct stwi_part name) {
  const struct unit *unit = type == STW_OPTION_DURATION ? durations
                            : type == STW_OPTION_BYTES  ? sizes
                                                        : counts;
  while (unit->name != NULL && !is_same(name, unit->name))
    unit++;
  return unit->name == NULL ? NULL : unit;
}

/* A decimal number as it stands, before its unit is known. */
struct decimal {
  uint64_t whole;    /* UINT64_MAX: that or more */
  uint64_t fraction; /* in 1 / FRACTION */
  bool has_fraction;
  bool is_over_zero;
};

static struct stwi_part read_whole(struct stwi_part part, struct decimal *number) {
  for (; part.size > 0 && is_digit(part.text[0]); part = skip(part, 1)) {
    const uint64_t digit = (uint64_t)(part.text[0] - '0');
    number->is_over_zero |= digit > 0;
    if (number->whole > (UINT64_MAX - digit) / 10)
      number->whole = UINT64_MAX;
    else
      number->whole = number->whole * 10 + digit;
  }
  return part;
}

static struct stwi_part read_fraction(struct stwi_part part, struct decimal *number) {
  uint64_t place = FRACTION;
  for (; part.size > 0 && is_digit(part.text[0]); part = skip(part, 1)) {
    const uint64_t digit = (uint64_t)(part.text[0] - '0');
    number->is_over_zero |= digit > 0;
    place /= 10; /* 0 after FRACTION_DIGITS: later digits are too small to matter */
    number->fraction += digit * place;
  }
  return part;
}

static uint64_t scale(const struct decimal *number, uint64_t unit) {
  if (number->whole > UINT64_MAX / unit - 1)
    return UINT64_MAX;
  /* fraction * unit / FRACTION in two steps, each of which fits */
  const uint64_t part =
      number->fraction * (unit / FRACTION) + number->fraction * (unit % FRACTION) / FRACTION;
  const uint64_t value = number->whole * unit + part;
  return value == 0 && number->is_over_zero ? 1 : value;
}

bool stwi_parse_number(stw_option_type type, struct stwi_part part, uint64_t *value) {
  struct decimal number = {0};
  part = trim(part);
  struct stwi_part rest = read_whole(part, &number);
  if (rest.size == part.size)
    return false;
  if (rest.size > 0 && rest.text[0] == '.') {
    const struct stwi_part fraction = skip(rest, 1);
    rest = read_fraction(fraction, &number);
    number.has_fraction = true;
    if (rest.size == fraction.size)
      return false;
  }
  const struct unit *unit = find_unit(type, trim(rest));
  if (unit == NULL || (unit->scale == 1 && number.has_fraction))
    return false;
  *value = scale(&number, unit->scale);
  return true;
}

bool stwi_range_next(const char **range, struct stwi_part *part) {
  static const char border[] = " | ";
  if (**range == '\0')
    return false;
  const char *end = strstr(*range, border);
  const size_t size = end == NULL ? strlen(*range) : (size_t)(end - *range);
  *part = (struct stwi_part){*range, size};
  *range += end == NULL ? size : size + strlen(border);
  return true;
}

/* Whether the value lies in one alternative; a word holds no number. */
static bool holds(stw_option_type type, struct stwi_part part, uint64_t value) {
  static const char border[] = " .. ";
  const char *dots = memmem(part.text, part.size, border, strlen(border));
  struct stwi_part low_text = part, high_text = part;
  if (dots != NULL) {
    low_text.size = (size_t)(dots - part.text);
    high_text = skip(part, low_text.size + strlen(border));
  }
  uint64_t low, high;
  return stwi_parse_number(type, low_text, &low) && stwi_parse_number(type, high_text, &high) &&
         low <= value && value <= high;
}

enum stwi_verdict stwi_parse_in_range(stw_option_type type, const char *range, const char *text,
                                      uint64_t *value) {
  struct stwi_part part;
  if (stwi_parse_number(type, (struct stwi_part){text, strlen(text)}, value)) {
    while (stwi_range_next(&range, &part))
      if (holds(type, part, *value))
        return STWI_FITS;
    return STWI_OUTSIDE;
  }
  *value = 0;
  /* A text that is no number can only be the same as a word. */
  return stwi_parse_choice(range, text) >= 0 && strstr(text, " .. ") == NULL ? STWI_FITS
                                                                             : STWI_MALFORMED;
}

int stwi_parse_choice(const char *range, const char *text) {
  struct stwi_part part;
  for (int place = 0; stwi_range_next(&range, &part); place++)
    if (is_same(part, text))
      return place;
  return -1;
}

bool stwi_parse_match(const char *text, enum stwi_match_kind *kind, const char **pattern) {
  static const struct {
    const char *start;
    enum stwi_match_kind kind;
  } forms[] = {{"equals:", STWI_MATCH_EQUALS},
               {"prefix:", STWI_MATCH_PREFIX},
               {"contains:", STWI_MATCH_CONTAINS}};
  *pattern = "";
  *kind = *text == '\0' ? STWI_MATCH_NONE : STWI_MATCH_HOST;
  if (*text == '\0' || strcmp(text, "host") == 0)
    return true;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    const size_t size = strlen(forms[i].start);
    if (strncmp(text, forms[i].start, size) != 0)
      continue;
    *kind = forms[i].kind;
    *pattern = text + size;
    return true;
  }
  return false;
}

bool stwi_parse_key(const char *text, enum stwi_key_kind *kind, uint32_t *arg) {
  static const char prefix[] = "prefix:", until[] = "until:";
  const size_t prefix_size = sizeof prefix - 1, until_size = sizeof until - 1;
  *arg = 0;
  *kind = STWI_KEY_NONE;
  if (strncmp(text, prefix, prefix_size) == 0) {
    const struct stwi_part number = {text + prefix_size, strlen(text + prefix_size)};
    uint64_t bytes;
    if (!stwi_parse_number(STW_OPTION_COUNT, number, &bytes) || bytes == 0 || bytes > KEY_BYTES_MAX)
      return false;
    *kind = STWI_KEY_PREFIX;
    *arg = (uint32_t)bytes;
    return true;
  }
  if (strncmp(text, until, until_size) == 0 && strlen(text) == until_size + 1) {
    *kind = STWI_KEY_UNTIL;
    *arg = (uint8_t)text[until_size];
    return true;
  }
  return *text == '\0';
}

/* Numbers are below 2^63: what any peer can count. */
static bool read_number(struct stwi_part part, uint64_t *value) {
  return stwi_parse_number(STW_OPTION_COUNT, part, value) && *value <= INT64_MAX;
}

bool stwi_parse_cursor(const char *text, uint64_t numbers[STW_LANE_COUNT]) {
  const char *comma = strchr(text, ',');
  const size_t size = comma == NULL ? strlen(text) : (size_t)(comma - text);
  numbers[STW_LANE_DATA] = numbers[STW_LANE_CONTROL] = 0;
  if (*text == '\0')
    return true;
  if (!read_number((struct stwi_part){text, size}, &numbers[STW_LANE_DATA]))
    return false;
  return comma == NULL ||
         read_number((struct stwi_part){comma + 1, strlen(comma + 1)}, &numbers[STW_LANE_CONTROL]);
}

bool stwi_parse_close_code(const char *text, uint16_t *code) {
  uint64_t value;
  const struct stwi_part part = {text, strlen(text)};
  if (part.size != 4 || !stwi_parse_number(STW_OPTION_COUNT, part, &value) || value < CODE_MIN ||
      value > CODE_MAX || value == 1006 || value == 1015)
    return false;
  *code = (uint16_t)value;
  return true;
}

bool stwi_parse_class(const char *text, stw_class *cls) {
  const stw_word *word;
  for (size_t i = 0; (word = stw_class_at(i)) != NULL; i++) {
    if (strcmp(text, word->name) != 0)
      continue;
    *cls = (stw_class)word->value;
    return true;
  }
  return false;
}

static bool has_port(struct stwi_part host) {
  const char *colon = memrchr(host.text, ':', host.size);
  const char *end = host.text + host.size;
  return colon != NULL && colon + 1 < end && memchr(colon, ']', (size_t)(end - colon)) == NULL;
}

/* "HOST:PORT": the rules of a URL, and the port must be there. */
static stw_status check_authority(struct stwi_part host, const char **why) {
  char url[300];
  struct stwi_url parsed;
  const int size = snprintf(url, sizeof url, "ws://%.*s", (int)host.size, host.text);
  if (size >= (int)sizeof url)
    *why = "the host name is longer than 253 bytes";
  else if (memchr(host.text, '/', host.size) != NULL || memchr(host.text, '?', host.size) != NULL)
    *why = "a proxy has no path";
  else if (!has_port(host))
    *why = "the port is missing";
  if (*why != NULL)
    return STW_E_URL;
  const stw_status status = stwi_url_parse(url, &parsed, why);
  stwi_url_fini(&parsed);
  return status;
}

/* "user:..." may begin like a scheme, but no scheme but http is spoken. */
static bool has_scheme(const char *text) {
  const char *colon = strchr(text, ':');
  return colon != NULL && strncmp(colon, "://", 3) == 0;
}

stw_status stwi_parse_proxy(const char *text, struct stwi_part *plain, const char **why) {
  static const char scheme[] = "http://";
  *why = stwi_check_url_text(text, strlen(text));
  if (*why != NULL)
    return STW_E_URL;
  if (strncasecmp(text, scheme, sizeof scheme - 1) == 0)
    text += sizeof scheme - 1;
  *plain = (struct stwi_part){text, strlen(text)};
  if (plain->size > 0 && text[plain->size - 1] == '/')
    plain->size--;
  const char *at = memrchr(text, '@', plain->size);
  const char *host = at == NULL ? text : at + 1;
  if (has_scheme(text))
    *why = "only HTTP proxies are supported";
  else if (at != NULL && memchr(text, ':', (size_t)(at - text)) == NULL)
    *why = "the user of a proxy has a password";
  if (*why != NULL)
    return STW_E_URL;
  return check_authority(skip(*plain, (size_t)(host - text)), why);
}
