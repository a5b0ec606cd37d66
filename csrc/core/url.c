#include "core/check.h"
#include "core/conn_config.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 253, PORT_DIGITS_MAX = 5, PORT_MAX = 65535, PORT_PLAIN = 80, PORT_TLS = 443 };

/* A view into the text that is parsed. */
struct part {
  const char *text;
  size_t size;
};

struct parts {
  bool is_tls;
  struct part host; /* without brackets */
  bool is_ipv6;
  uint16_t port;
  struct part path, query; /* query with its "?" */
};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *parse_scheme(const char **at, bool *is_tls) {
  *is_tls = strncasecmp(*at, "wss://", 6) == 0;
  if (!*is_tls && strncasecmp(*at, "ws://", 5) != 0)
    return "the scheme must be ws:// or wss://";
  *at += *is_tls ? 6 : 5;
  return NULL;
}

/* The dotted end of an IPv6 literal: four numbers 0..255 without leading zeros. */
static bool is_ipv4(const char *text, size_t size) {
  const char *at = text, *end = text + size;
  for (unsigned field = 0; field < 4; field++) {
    unsigned value = 0;
    const char *from = at;
    for (; at < end && is_digit(*at) && at - from < 3; at++)
      value = value * 10 + (unsigned)(*at - '0');
    if (at == from || value > 255 || (*from == '0' && at - from > 1))
      return false;
    if (field < 3 && (at == end || *at++ != '.'))
      return false;
  }
  return at == end;
}

/* RFC 4291 section 2.2: eight groups of at most four hex digits, one run of them as "::". */
static bool is_ipv6(const char *text, size_t size) {
  const char *at = text, *end = text + size;
  unsigned groups = 0;
  bool has_run = false;
  if (size >= 2 && at[0] == ':' && at[1] == ':') {
    has_run = true;
    at += 2;
  }
  while (at < end) {
    const char *from = at;
    while (at < end && is_hex(*at))
      at++;
    if (at < end && *at == '.')
      return is_ipv4(from, (size_t)(end - from)) && (has_run ? groups <= 5 : groups == 6);
    if (at == from || at - from > 4 || ++groups > 8)
      return false;
    if (at == end)
      break;
    if (*at++ != ':' || at == end)
      return false;
    if (*at == ':') {
      if (has_run)
        return false;
      has_run = true;
      at++;
    }
  }
  return has_run ? groups <= 7 : groups == 8;
}

static const char *check_name(const struct part *host) {
  if (host->size == 0)
    return "the host is missing";
  if (host->size > HOST_MAX)
    return "the host name is longer than 253 bytes";
  for (size_t i = 0; i < host->size; i++) {
    const char c = host->text[i];
    if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_')
      return "the host name has a character that no host name has";
  }
  if (host->text[0] == '.')
    return "the host name begins with a dot";
  return NULL;
}

static const char *parse_host(const char **at, const char *end, struct parts *parts) {
  parts->is_ipv6 = *at < end && **at == '[';
  if (parts->is_ipv6) {
    const char *close = memchr(*at, ']', (size_t)(end - *at));
    if (close == NULL)
      return "the bracket of the IPv6 address is not closed";
    parts->host = (struct part){*at + 1, (size_t)(close - *at - 1)};
    *at = close + 1;
    return is_ipv6(parts->host.text, parts->host.size) ? NULL
                                                       : "this is no IPv6 address in brackets";
  }
  const char *colon = memchr(*at, ':', (size_t)(end - *at));
  if (colon == NULL)
    colon = end;
  parts->host = (struct part){*at, (size_t)(colon - *at)};
  *at = colon;
  return check_name(&parts->host);
}

static const char *parse_port(const char *at, const char *end, struct parts *parts) {
  static const char why[] = "the port must be a number from 1 to 65535";
  parts->port = parts->is_tls ? PORT_TLS : PORT_PLAIN;
  if (at == end)
    return NULL;
  if (*at++ != ':')
    return why;
  if (at == end) /* RFC 3986 section 3.2.3: an empty port is the default one */
    return NULL;
  if (end - at > PORT_DIGITS_MAX)
    return why;
  unsigned port = 0;
  for (; at < end; at++) {
    if (!is_digit(*at))
      return why;
    port = port * 10 + (unsigned)(*at - '0');
  }
  if (port == 0 || port > PORT_MAX)
    return why;
  parts->port = (uint16_t)port;
  return NULL;
}

static const char *split(const char *text, struct parts *parts) {
  const char *at = text;
  const char *why = stwi_check_url_text(text, strlen(text));
  if (why == NULL)
    why = parse_scheme(&at, &parts->is_tls);
  if (why != NULL)
    return why;
  if (strchr(at, '#') != NULL)
    return "a WebSocket URL has no fragment: remove it, or write # as %23";
  const char *end = at + strcspn(at, "/?");
  if (memchr(at, '@', (size_t)(end - at)) != NULL)
    return "user and password do not go into the URL: use the option headers, or credentials";
  why = parse_host(&at, end, parts);
  if (why == NULL)
    why = parse_port(at, end, parts);
  const size_t path_size = strcspn(end, "?");
  parts->path = (struct part){end, path_size};
  parts->query = (struct part){end + path_size, strlen(end + path_size)};
  return why;
}

/* scheme://host:port and what follows. */
static char *print(const struct parts *parts, const char *host, const struct part *path) {
  static const char format[] = "%s://%s%s%s:%u%.*s";
  const char *scheme = parts->is_tls ? "wss" : "ws";
  const char *open = parts->is_ipv6 ? "[" : "", *close = parts->is_ipv6 ? "]" : "";
  const size_t size = sizeof format + strlen(host) + path->size + 16;
  char *text = stwi_alloc(size);
  if (text != NULL)
    snprintf(text, size, format, scheme, open, host, close, (unsigned)parts->port, (int)path->size,
             path->text);
  return text;
}

static char *lower(const struct part *part) {
  char *text = stwi_alloc(part->size + 1);
  if (text == NULL)
    return NULL;
  for (size_t i = 0; i < part->size; i++) {
    const char c = part->text[i];
    text[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  }
  text[part->size] = '\0';
  return text;
}

static char *join_path(const struct parts *parts) {
  char *text = stwi_alloc(parts->path.size + parts->query.size + 2);
  if (text == NULL)
    return NULL;
  char *at = text;
  if (parts->path.size == 0)
    *at++ = '/';
  at = mempcpy(at, parts->path.text, parts->path.size);
  at = mempcpy(at, parts->query.text, parts->query.size);
  *at = '\0';
  return text;
}

stw_status stwi_url_parse(const char *text, struct stwi_url *url, const char **why) {
  static const struct part root = {"/", 1}, nothing = {"", 0};
  struct parts parts = {0};
  *url = (struct stwi_url){0};
  *why = split(text, &parts);
  if (*why != NULL)
    return STW_E_URL;
  url->is_tls = parts.is_tls;
  url->port = parts.port;
  url->host = lower(&parts.host);
  url->path = join_path(&parts);
  if (url->host != NULL) {
    url->shown = print(&parts, url->host, parts.path.size == 0 ? &root : &parts.path);
    url->key = print(&parts, url->host, &nothing);
  }
  if (url->path != NULL && url->shown != NULL && url->key != NULL)
    return STW_OK;
  stwi_url_fini(url);
  *why = "no memory for the URL";
  return STW_E_MEMORY;
}

void stwi_url_fini(struct stwi_url *url) {
  if (url->path != NULL) /* its query may hold a token */
    explicit_bzero(url->path, strlen(url->path));
  stwi_free(url->host);
  stwi_free(url->path);
  stwi_free(url->shown);
  stwi_free(url->key);
  *url = (struct stwi_url){0};
}
