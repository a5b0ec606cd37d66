/* The opening handshake of RFC 6455 section 4.1: our request, and what is wrong with the answer.
 *
 * The request that libwebsockets writes is replaced whole: it says "connection: close", cuts the
 * path at 2 KiB and the host at 128 bytes, and has one word for the Host header and the name in the
 * certificate. */
#include "io/transport_ws.h"

#include "core/cause.h"
#include "core/mem.h"
#include "io/clock.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
  KEY_BYTES = 16,
  KEY_TEXT_BYTES = 25, /* base64 and NUL */
  VALUE_BYTES = 512,
  LWS_REQUEST_BYTES_MAX = 1024,
  DAY_S = 24 * 3600
};

static const char lws_request[] = "GET / HTTP/1.1\r\n";

/* ---- request ---- */

struct text {
  char *at;
  size_t size, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const size_t left = text->room - text->size;
  const int written = vsnprintf(text->at + text->size, left, format, args);
  va_end(args);
  text->size = written < 0 || (size_t)written >= left ? text->room : text->size + (size_t)written;
}

static void make_key(char *key, char *accept) {
  static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const uint64_t nonce[2] = {stwi_clock_random(), stwi_clock_random()};
  char both[KEY_TEXT_BYTES + sizeof guid];
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_EncodeBlock((unsigned char *)key, (const unsigned char *)nonce, KEY_BYTES);
  snprintf(both, sizeof both, "%s%s", key, guid);
  EVP_Digest(both, strlen(both), digest, &size, EVP_sha1(), NULL);
  EVP_EncodeBlock((unsigned char *)accept, digest, (int)size);
}

static void add_host(struct text *text, const struct stwi_dial *dial) {
  const bool is_v6 = strchr(dial->host, ':') != NULL;
  add(text, "Host: %s%s%s", is_v6 ? "[" : "", dial->host, is_v6 ? "]" : "");
  if (dial->port != (dial->is_tls ? 443 : 80))
    add(text, ":%u", (unsigned)dial->port);
  add(text, "\r\n");
}

static bool is_among(const char *name, const char *const *headers) {
  for (; headers != NULL && *headers != NULL; headers += 2)
    if (strcasecmp(name, *headers) == 0)
      return true;
  return false;
}

/* Adds all headers but those that `unless` gives, too. */
static void add_headers(struct text *text, const char *const *headers, const char *const *unless) {
  for (; headers != NULL && *headers != NULL; headers += 2)
    if (!is_among(headers[0], unless))
      add(text, "%s: %s\r\n", headers[0], headers[1]);
}

static void add_request(struct text *text, const struct stwi_dial *dial, const char *key) {
  add(text, "GET %s HTTP/1.1\r\n", dial->path);
  add_host(text, dial);
  add(text,
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
      "Sec-WebSocket-Version: 13\r\n",
      key);
  if (dial->subprotocols[0] != '\0')
    add(text, "Sec-WebSocket-Protocol: %s\r\n", dial->subprotocols);
  add_headers(text, dial->headers, dial->more_headers); /* what was supplied replaces */
  add_headers(text, dial->more_headers, NULL);
}

static char *copy(const char *text) {
  const size_t size = strlen(text) + 1;
  char *made = stwi_alloc(size);
  if (made != NULL)
    memcpy(made, text, size);
  return made;
}

bool stwi_ws_request(struct stwi_ws_attempt *attempt, const struct stwi_dial *dial,
                     struct stwi_ws_failure *failure) {
  char key[KEY_TEXT_BYTES];
  make_key(key, attempt->accept);
  struct text text = {.at = stwi_alloc(STWI_WS_REQUEST_BYTES_MAX),
                      .room = STWI_WS_REQUEST_BYTES_MAX};
  attempt->request = text.at;
  attempt->name = copy(dial->server_name[0] != '\0' ? dial->server_name : dial->host);
  attempt->subprotocols = copy(dial->subprotocols);
  if (attempt->request == NULL || attempt->name == NULL || attempt->subprotocols == NULL) {
    *failure = stwi_ws_failure(STW_CAUSE_OVERLOAD_LOCAL, "no memory for a request");
    return false;
  }
  add_request(&text, dial, key);
  if (text.size >= text.room) {
    *failure = stwi_ws_failure(STW_CAUSE_CONFIG, "path and headers are more than %d bytes",
                               STWI_WS_REQUEST_BYTES_MAX);
    return false;
  }
  char *fitted = stwi_realloc(text.at, text.size + 1);
  if (fitted != NULL)
    attempt->request = fitted;
  return true;
}

bool stwi_ws_write_request(const struct stwi_ws_attempt *attempt, char **end, size_t room) {
  const size_t first_size = sizeof lws_request - 1;
  const size_t size = strlen(attempt->request);
  char *begin = NULL;
  /* How far back it begins is not told: look for its first line. */
  for (size_t back = first_size; back <= LWS_REQUEST_BYTES_MAX && begin == NULL; back++) {
    if (memcmp(*end - back, lws_request, first_size) == 0)
      begin = *end - back;
  }
  if (begin == NULL || size > room)
    return false;
  memcpy(begin, attempt->request, size);
  *end = begin + size;
  return true;
}

/* ---- answer ---- */

/* Into `value`: what stands in the header, without blanks around; false if it is not there. */
static bool header(struct lws *wsi, enum lws_token_indexes token, char *value) {
  value[0] = '\0';
  if (lws_hdr_total_length(wsi, token) <= 0)
    return false;
  if (lws_hdr_copy(wsi, value, VALUE_BYTES, token) < 0)
    memcpy(value, "?", sizeof "?"); /* too long for anything we could ask for */
  const size_t blanks = strspn(value, " \t");
  memmove(value, value + blanks, strlen(value + blanks) + 1);
  for (size_t size = strlen(value); size > 0 && strchr(" \t\r\n", value[size - 1]) != NULL; size--)
    value[size - 1] = '\0';
  return true;
}

/* Is `word` one of the comma list, in any case if `any_case`? */
static bool lists(const char *list, const char *word, bool any_case) {
  const size_t size = strlen(word);
  while (*list != '\0') {
    list += strspn(list, ", \t");
    const size_t item = strcspn(list, ", \t");
    if (item == size && size > 0 &&
        (any_case ? strncasecmp(list, word, size) : strncmp(list, word, size)) == 0)
      return true;
    list += item;
  }
  return false;
}

/* A word from the wire is fit for a log. */
static void make_printable(char *text) {
  for (; *text != '\0'; text++) {
    if (*text < 0x20 || *text > 0x7e)
      *text = '?';
  }
}

/* Credentials and tokens stand in the userinfo and the query. */
static void redact(char *location) {
  location[strcspn(location, "?#")] = '\0';
  char *host = strstr(location, "//");
  if (host == NULL)
    return;
  host += 2;
  const size_t size = strcspn(host, "/");
  for (size_t i = size; i > 0; i--) {
    if (host[i - 1] == '@') {
      memmove(host, host + i, strlen(host + i) + 1);
      return;
    }
  }
}

static int month_of(const char *name) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  for (int i = 0; i < 12; i++) {
    if (strncmp(months + 3 * i, name, 3) == 0)
      return i;
  }
  return -1;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT"; the two older forms of RFC 9110 are read as no date. */
static bool parse_date(const char *text, uint64_t *ms) {
  char month[4];
  struct tm at = {0};
  int end = 0;
  const char *comma = strchr(text, ',');
  if (comma == NULL ||
      sscanf(comma, ", %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &at.tm_mday, month, &at.tm_year,
             &at.tm_hour, &at.tm_min, &at.tm_sec, &end) != 6 ||
      end == 0)
    return false;
  at.tm_mon = month_of(month);
  at.tm_year -= 1900;
  if (at.tm_mon < 0)
    return false;
  const time_t seconds = timegm(&at);
  *ms = seconds < 0 ? 0 : (uint64_t)seconds * 1000;
  return true;
}

uint64_t stwi_ws_retry_after_ms(const char *value, uint64_t now_ms) {
  const uint64_t most = (uint64_t)DAY_S * 1000;
  uint64_t ms;
  if (value[0] >= '0' && value[0] <= '9') {
    char *end;
    const unsigned long long seconds = strtoull(value, &end, 10);
    if (*end != '\0')
      return 0;
    return seconds > (unsigned long long)DAY_S ? most : (uint64_t)seconds * 1000;
  }
  if (!parse_date(value, &ms) || ms <= now_ms)
    return 0;
  return ms - now_ms > most ? most : ms - now_ms;
}

static struct stwi_ws_failure refused(struct lws *wsi, unsigned status) {
  char value[VALUE_BYTES];
  struct stwi_ws_failure failure =
      stwi_ws_failure(stwi_cause_of_http((uint16_t)status), "the server answered %u", status);
  if (status >= 300 && status < 400 && header(wsi, WSI_TOKEN_HTTP_LOCATION, value)) {
    redact(value);
    make_printable(value);
    failure =
        stwi_ws_failure(failure.cause, "the server answered %u and names %.180s", status, value);
  }
  failure.http_status = (uint16_t)status;
  if (header(wsi, WSI_TOKEN_HTTP_RETRY_AFTER, value))
    failure.retry_after_ms = stwi_ws_retry_after_ms(value, stwi_clock_wall_ms());
  return failure;
}

/* The rule of RFC 6455 section 4.1 that a 101 breaks, NULL for none. */
static const char *broken_rule(const struct stwi_ws_attempt *attempt, struct lws *wsi,
                               char *value) {
  if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP1_0) > 0)
    return "it is HTTP/1.0";
  if (!header(wsi, WSI_TOKEN_UPGRADE, value) || strcasecmp(value, "websocket") != 0)
    return "it lacks Upgrade: websocket";
  if (!header(wsi, WSI_TOKEN_CONNECTION, value) || !lists(value, "upgrade", true))
    return "it lacks Connection: Upgrade";
  if (!header(wsi, WSI_TOKEN_ACCEPT, value))
    return "it lacks Sec-WebSocket-Accept";
  if (strcmp(value, attempt->accept) != 0)
    return "Sec-WebSocket-Accept does not fit our key";
  if (header(wsi, WSI_TOKEN_EXTENSIONS, value) && value[0] != '\0')
    return "it uses an extension that was not asked for";
  if (header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, value) ||
      header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, value))
    return "it announces a body (RFC 9110 section 8.6)";
  if (header(wsi, WSI_TOKEN_PROTOCOL, value) && !lists(attempt->subprotocols, value, false))
    return "it chose a subprotocol that was not asked for";
  return NULL;
}

bool stwi_ws_answer(const struct stwi_ws_attempt *attempt, struct lws *wsi, char *subprotocol,
                    size_t size, struct stwi_ws_failure *failure) {
  const unsigned status = lws_http_client_http_response(wsi);
  char value[VALUE_BYTES];
  if (status < 100 || status > 999) {
    *failure = stwi_ws_failure(STW_CAUSE_UPGRADE_INVALID, "the answer has no HTTP status");
    return false;
  }
  if (status != 101) {
    *failure = refused(wsi, status);
    return false;
  }
  const char *rule = broken_rule(attempt, wsi, value);
  if (rule != NULL) {
    *failure = stwi_ws_failure(STW_CAUSE_UPGRADE_INVALID, "the server answered 101, but %s", rule);
    failure->http_status = 101;
    return false;
  }
  header(wsi, WSI_TOKEN_PROTOCOL, value);
  snprintf(subprotocol, size, "%s", value);
  return true;
}
