#include "core/check.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static bool is_graphic(char c) {
  return c > 0x20 && c < 0x7f;
}

/* RFC 9110 section 5.6.2. */
static bool is_delimiter(char c) {
  return strchr("\"(),/:;<=>?@[\\]{}", c) != NULL;
}

/* What is wrong with a byte that must be printable ASCII. */
static const char *blame(char c) {
  if (c == '\r' || c == '\n')
    return "a line break is not allowed here";
  if (c == '\0')
    return "a NUL byte is not allowed here";
  if (c == ' ')
    return "a space is not allowed here";
  if ((unsigned char)c >= 0x80)
    return "only ASCII is allowed here: percent-encode other characters";
  return "control characters are not allowed here";
}

const char *stwi_check_url_text(const char *text, size_t size) {
  if (size == 0)
    return "the URL is empty";
  if (size > STWI_TEXT_MAX)
    return "the URL is longer than 8 KiB";
  for (size_t i = 0; i < size; i++)
    if (!is_graphic(text[i]))
      return blame(text[i]);
  return NULL;
}

static const char *check_token(const char *text, size_t size) {
  if (size == 0)
    return "the name is empty";
  if (size > STWI_TEXT_MAX)
    return "the name is longer than 8 KiB";
  for (size_t i = 0; i < size; i++) {
    if (!is_graphic(text[i]))
      return blame(text[i]);
    if (is_delimiter(text[i]))
      return "a name has only letters, digits and !#$%&'*+-.^_`|~";
  }
  return NULL;
}

static bool is_reserved(const char *name, size_t size) {
  static const char *const reserved[] = {"host", "upgrade", "connection", "content-length",
                                         "transfer-encoding"};
  static const char prefix[] = "sec-websocket-";
  if (size >= sizeof prefix - 1 && strncasecmp(name, prefix, sizeof prefix - 1) == 0)
    return true;
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (size == strlen(reserved[i]) && strncasecmp(name, reserved[i], size) == 0)
      return true;
  return false;
}

const char *stwi_check_header_name(const char *text, size_t size) {
  const char *why = check_token(text, size);
  if (why == NULL && is_reserved(text, size))
    why = "this header is written by the WebSocket handshake itself";
  return why;
}

const char *stwi_check_header_value(const char *text, size_t size) {
  if (size > STWI_TEXT_MAX)
    return "the value is longer than 8 KiB";
  for (size_t i = 0; i < size; i++)
    if (!is_graphic(text[i]) && text[i] != ' ' && text[i] != '\t')
      return blame(text[i]);
  if (size > 0 && (!is_graphic(text[0]) || !is_graphic(text[size - 1])))
    return "a value neither begins nor ends with a space";
  return NULL;
}

const char *stwi_check_subprotocol(const char *text, size_t size) {
  return check_token(text, size);
}
