#include "core/pace.h"

static uint64_t spread_of(uint64_t after_ms) {
  return after_ms / 20 + 500;
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* "<name>=<digits>", then the end, ";" or a space: moves *at past it. */
static bool parse_item(const char **at, const char *end, char name, uint64_t *value) {
  const char *c = *at;
  if (end - c < 3 || c[0] != name || c[1] != '=' || c[2] < '0' || c[2] > '9')
    return false;
  uint64_t parsed = 0;
  for (c += 2; c < end && *c >= '0' && *c <= '9'; c++)
    parsed = least(parsed * 10 + (uint64_t)(*c - '0'), STWI_HINT_MAX_MS);
  if (c < end && *c != ';' && *c != ' ')
    return false;
  *value = parsed;
  *at = c;
  return true;
}

struct stwi_hint stwi_hint_parse(const char *reason, size_t size) {
  const char *at = reason, *end = reason + size;
  struct stwi_hint hint = {0};
  bool has_after = false, has_spread = false;
  while (at < end) {
    if (!has_after && parse_item(&at, end, 'r', &hint.after_ms))
      has_after = true;
    else if (!has_spread && parse_item(&at, end, 'w', &hint.spread_ms))
      has_spread = true;
    else
      break;
    if (at < end && *at++ != ';')
      break;
  }
  if (!has_after)
    return (struct stwi_hint){0};
  hint.is_given = true;
  if (!has_spread)
    hint.spread_ms = spread_of(hint.after_ms);
  return hint;
}

struct stwi_hint stwi_hint_retry_after(uint64_t retry_after_ms) {
  const uint64_t after_ms = least(retry_after_ms, STWI_HINT_MAX_MS);
  if (after_ms == 0)
    return (struct stwi_hint){0};
  return (struct stwi_hint){true, after_ms, spread_of(after_ms)};
}
