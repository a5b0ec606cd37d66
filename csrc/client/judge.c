#include "client/judge.h"

#include <string.h>

#include "client/error.h"
#include "client/nearest.h"
#include "client/parse.h"
#include "core/check.h"
#include "core/utf8.h"

enum { NAME_MAX_BYTES = 64, PATH_MAX_BYTES = 4095, HOST_MAX_BYTES = 253 };

/* Judges a text; *why is a static sentence without the text itself. */
typedef stw_status judge(const char *text, const char **why);

struct stwi_shown stwi_show(const char *text) {
  static const char mark[] = "...";
  struct stwi_shown shown;
  size_t i = 0;
  for (; text[i] != '\0' && i < sizeof shown.text - 1; i++)
    shown.text[i] = text[i];
  const bool is_cut = text[i] != '\0';
  shown.text[i] = '\0';
  for (char *at = shown.text; *at != '\0'; at++)
    if (*at < ' ' || *at > '~' || *at == '"')
      *at = '?';
  if (is_cut)
    memcpy(shown.text + sizeof shown.text - sizeof mark, mark, sizeof mark);
  return shown;
}

static stw_status refuse(const stw_option *option, stw_status status, const char *text,
                         const char *why) {
  if (status == STW_E_MEMORY)
    return stwi_error(status, "option %s: no memory; free some, then set it again", option->name);
  if (option->is_secret)
    return stwi_error(status, "option %s: %s; allowed: %s", option->name, why, option->range);
  return stwi_error(status, "option %s = \"%s\": %s; allowed: %s", option->name,
                    stwi_show(text).text, why, option->range);
}

static stw_status judge_url(const char *text, const char **why) {
  struct stwi_url url;
  const stw_status status = stwi_url_parse(text, &url, why);
  stwi_url_fini(&url);
  return status;
}

static stw_status as_url(const char *found, const char **why) {
  *why = found;
  return found == NULL ? STW_OK : STW_E_URL;
}

static stw_status judge_subprotocol(const char *text, const char **why) {
  return as_url(stwi_check_subprotocol(text, strlen(text)), why);
}

static stw_status judge_header_name(const char *text, const char **why) {
  return as_url(stwi_check_header_name(text, strlen(text)), why);
}

static stw_status judge_header_value(const char *text, const char **why) {
  return as_url(stwi_check_header_value(text, strlen(text)), why);
}

static stw_status as_value(bool is_good, const char *found, const char **why) {
  *why = found;
  return is_good ? STW_OK : STW_E_VALUE;
}

static bool is_printable(const char *text) {
  for (; *text != '\0'; text++)
    if ((unsigned char)*text < ' ' || *text == 0x7f)
      return false;
  return true;
}

static stw_status judge_name(const char *text, const char **why) {
  const size_t size = strlen(text);
  const bool is_good =
      size <= NAME_MAX_BYTES && is_printable(text) && stwi_utf8_valid((const uint8_t *)text, size);
  return as_value(is_good, "too long, no UTF-8, or with a control character", why);
}

static stw_status judge_path(const char *text, const char **why) {
  return as_value(strlen(text) <= PATH_MAX_BYTES, "too long", why);
}

static stw_status judge_server_name(const char *text, const char **why) {
  static const char alphabet[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
  const size_t size = strlen(text);
  if (size > HOST_MAX_BYTES)
    return as_url("longer than 253 bytes", why);
  return as_url(strspn(text, alphabet) == size ? NULL : "with a character no host name has", why);
}

static stw_status judge_proxy(const char *text, const char **why) {
  struct stwi_part plain;
  return *text == '\0' ? STW_OK : stwi_parse_proxy(text, &plain, why);
}

static stw_status judge_ready_when(const char *text, const char **why) {
  enum stwi_match_kind kind;
  const char *pattern;
  return as_value(stwi_parse_match(text, &kind, &pattern), "none of its forms", why);
}

static stw_status judge_inbound_key(const char *text, const char **why) {
  enum stwi_key_kind kind;
  uint32_t arg;
  return as_value(stwi_parse_key(text, &kind, &arg), "none of its forms", why);
}

static stw_status judge_cursor(const char *text, const char **why) {
  uint64_t numbers[STW_LANE_COUNT];
  return as_value(stwi_parse_cursor(text, numbers), "no whole number, nor two with a comma", why);
}

static stw_status judge_close_code(const char *text, const char **why) {
  uint16_t code;
  return as_value(stwi_parse_close_code(text, &code), "no close code that a server can send", why);
}

/* Of the options whose values are free text. */
static judge *const judges[STWI_OPTION_TOTAL] = {
    [STWI_OPTION_URL] = judge_url,
    [STWI_OPTION_NAME] = judge_name,
    [STWI_OPTION_HEADERS] = judge_header_value,
    [STWI_OPTION_SUBPROTOCOLS] = judge_subprotocol,
    [STWI_OPTION_ORIGIN] = judge_header_value,
    [STWI_OPTION_USER_AGENT] = judge_header_value,
    [STWI_OPTION_CA_FILE] = judge_path,
    [STWI_OPTION_CLIENT_CERT] = judge_path,
    [STWI_OPTION_CLIENT_KEY] = judge_path,
    [STWI_OPTION_SERVER_NAME] = judge_server_name,
    [STWI_OPTION_PROXY] = judge_proxy,
    [STWI_OPTION_READY_WHEN] = judge_ready_when,
    [STWI_OPTION_INBOUND_KEY] = judge_inbound_key,
    [STWI_OPTION_INBOUND_FROM] = judge_cursor,
    [STWI_OPTION_OUTBOX] = judge_path,
};

static stw_status judge_text(enum stwi_option_id id, const char *text) {
  const stw_option *option = stwi_option_row(id);
  const char *why = "longer than 8 KiB";
  stw_status status = STW_E_VALUE;
  if (strlen(text) <= STWI_TEXT_MAX)
    status = judges[id](text, &why);
  return status == STW_OK ? STW_OK : refuse(option, status, text, why);
}

static stw_status judge_number(const stw_option *option, const char *text) {
  static const char *const forms[] = {
      [STW_OPTION_DURATION] = "no duration such as 15 (seconds), 1.5s, 250ms, 2min or 1h",
      [STW_OPTION_BYTES] = "no size such as 65536, 64KiB, 1.5MiB or 1GiB",
      [STW_OPTION_COUNT] = "no whole number",
  };
  uint64_t value;
  const enum stwi_verdict verdict = stwi_parse_in_range(option->type, option->range, text, &value);
  if (verdict == STWI_FITS)
    return STW_OK;
  return refuse(option, STW_E_VALUE, text,
                verdict == STWI_OUTSIDE ? "out of range" : forms[option->type]);
}

static stw_status judge_choice(const stw_option *option, const char *text) {
  const char *range = option->range;
  struct stwi_nearest nearest = stwi_nearest_to(text);
  struct stwi_part part;
  if (stwi_parse_choice(range, text) >= 0)
    return STW_OK;
  while (stwi_range_next(&range, &part))
    stwi_nearest_offer(&nearest, part.text, part.size);
  return stwi_error(STW_E_VALUE,
                    "option %s = \"%s\": no such choice, the nearest is %.*s; "
                    "allowed: %s",
                    option->name, stwi_show(text).text, (int)nearest.size, nearest.name,
                    option->range);
}

stw_status stwi_judge(enum stwi_option_id id, const char *text) {
  const stw_option *option = stwi_option_row(id);
  switch (option->type) {
  case STW_OPTION_DURATION:
  case STW_OPTION_BYTES:
  case STW_OPTION_COUNT:
    return judge_number(option, text);
  case STW_OPTION_BOOL:
  case STW_OPTION_CHOICE:
    return judge_choice(option, text);
  default:
    return judge_text(id, text);
  }
}

static stw_status judge_class(const char *code, const char *text) {
  struct stwi_nearest nearest = stwi_nearest_to(text);
  const stw_word *word;
  stw_class cls;
  if (stwi_parse_class(text, &cls))
    return STW_OK;
  for (size_t i = 0; (word = stw_class_at(i)) != NULL; i++)
    stwi_nearest_offer(&nearest, word->name, strlen(word->name));
  return stwi_error(STW_E_VALUE,
                    "option causes: close code %s: no class is called \"%s\"; the "
                    "nearest is %.*s; allowed: %s",
                    code, stwi_show(text).text, (int)nearest.size, nearest.name,
                    stwi_option_row(STWI_OPTION_CAUSES)->range);
}

stw_status stwi_judge_item(enum stwi_option_id id, const char *key, const char *text) {
  const stw_option *option = stwi_option_row(id);
  const bool is_causes = id == STWI_OPTION_CAUSES;
  const char *why;
  stw_status status = is_causes ? judge_close_code(key, &why) : judge_header_name(key, &why);
  if (status != STW_OK)
    return refuse(option, status, key, why);
  if (is_causes)
    return judge_class(key, text);
  status = judge_header_value(text, &why);
  if (status == STW_OK)
    return STW_OK;
  return stwi_error(status, "option headers: the value of %s: %s; allowed: %s", stwi_show(key).text,
                    why, option->range);
}
