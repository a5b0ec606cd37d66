#include "core/credentials.h"

#include "core/check.h"
#include "core/mem.h"

#include <string.h>
#include <strings.h>

void stwi_credentials_init(struct stwi_credentials *credentials, bool is_asked) {
  *credentials = (struct stwi_credentials){.is_asked = is_asked, .expires = STWI_NEVER};
}

static void free_headers(char **headers) {
  if (headers == NULL)
    return;
  for (char **item = headers; *item != NULL; item++) {
    explicit_bzero(*item, strlen(*item));
    stwi_free(*item);
  }
  stwi_free(headers);
}

void stwi_credentials_fini(struct stwi_credentials *credentials) {
  free_headers(credentials->headers);
  stwi_url_fini(&credentials->url);
  stwi_credentials_init(credentials, credentials->is_asked);
}

enum stwi_credentials_answer stwi_credentials_begin(struct stwi_credentials *credentials,
                                                    stwi_time now) {
  const bool is_usable =
      credentials->has_supply && !credentials->is_refused && now < credentials->expires;
  return !credentials->is_asked || is_usable ? STWI_CREDENTIALS_USE : STWI_CREDENTIALS_ASK;
}

static bool is_authorization(const char *name) {
  return strcasecmp(name, "Authorization") == 0;
}

static bool has_authorization(const char *const *headers) {
  for (; *headers != NULL; headers += 2)
    if (is_authorization(*headers))
      return true;
  return false;
}

static const char *check_headers(const char *const *headers) {
  for (; *headers != NULL; headers += 2) {
    if (headers[1] == NULL)
      return "the last header has a name but no value";
    const char *why = stwi_check_header_name(headers[0], strlen(headers[0]));
    if (why == NULL)
      why = stwi_check_header_value(headers[1], strlen(headers[1]));
    if (why != NULL)
      return why;
  }
  return NULL;
}

static const char *check(const char *token, const char *const *headers) {
  const char *why = headers == NULL ? NULL : check_headers(headers);
  if (why != NULL || token == NULL)
    return why;
  if (*token == '\0')
    return "the token is empty";
  if (headers != NULL && has_authorization(headers))
    return "give either a token or the header Authorization, not both";
  return stwi_check_header_value(token, strlen(token));
}

static char *copy(const char *prefix, const char *text) {
  const size_t prefix_size = strlen(prefix), size = strlen(text);
  char *copied = stwi_alloc(prefix_size + size + 1);
  if (copied == NULL)
    return NULL;
  memcpy(copied, prefix, prefix_size);
  memcpy(copied + prefix_size, text, size + 1);
  return copied;
}

static size_t count_of(const char *const *list) {
  size_t count = 0;
  while (list[count] != NULL)
    count++;
  return count;
}

/* Appends name and value; false without memory, then `list` is a list still. */
static bool append(char **list, const char *name, const char *prefix, const char *value) {
  while (*list != NULL)
    list++;
  list[0] = copy("", name);
  if (list[0] != NULL)
    list[1] = copy(prefix, value);
  return list[0] != NULL && list[1] != NULL;
}

/* The token's header first, then `rest` without another Authorization. */
static char **make_headers(const char *prefix, const char *token, const char *const *rest) {
  const size_t size = (count_of(rest) + 3) * sizeof(char *);
  char **list = stwi_alloc(size);
  if (list == NULL)
    return NULL;
  memset(list, 0, size);
  bool is_good = token == NULL || append(list, "Authorization", prefix, token);
  for (; is_good && *rest != NULL; rest += 2)
    if (token == NULL || !is_authorization(*rest))
      is_good = append(list, rest[0], "", rest[1]);
  if (is_good)
    return list;
  free_headers(list);
  return NULL;
}

/* The new list of headers: what is NULL keeps that part of the old list. */
static char **merge_headers(const struct stwi_credentials *old, const char *token,
                            const char *const *headers) {
  static const char *const none[] = {NULL};
  const char *const *kept = (void *)old->headers;
  if (kept == NULL)
    kept = none;
  const bool keeps_token =
      token == NULL && old->has_token && (headers == NULL || !has_authorization(headers));
  if (headers == NULL)
    headers = old->has_token ? kept + 2 : kept;
  return keeps_token ? make_headers("", kept[1], headers) : make_headers("Bearer ", token, headers);
}

static stwi_time end_of(uint64_t valid_ms, stwi_time now) {
  if (valid_ms == 0 || valid_ms > (STWI_NEVER - now) / STWI_MS)
    return STWI_NEVER;
  return now + valid_ms * STWI_MS;
}

stw_status stwi_credentials_supply(struct stwi_credentials *credentials, const char *url,
                                   const char *token, const char *const *headers, uint64_t valid_ms,
                                   stwi_time now, const char **why) {
  struct stwi_url parsed = {0};
  *why = check(token, headers);
  if (*why != NULL)
    return STW_E_URL;
  const stw_status status = url == NULL ? STW_OK : stwi_url_parse(url, &parsed, why);
  if (status != STW_OK)
    return status;
  char **merged = merge_headers(credentials, token, headers);
  if (merged == NULL) {
    stwi_url_fini(&parsed);
    *why = "no memory for the credentials";
    return STW_E_MEMORY;
  }
  if (token != NULL)
    credentials->has_token = true;
  else if (headers != NULL && has_authorization(headers))
    credentials->has_token = false;
  free_headers(credentials->headers);
  credentials->headers = merged;
  if (url != NULL) {
    stwi_url_fini(&credentials->url);
    credentials->url = parsed;
  }
  credentials->has_supply = true;
  credentials->is_fresh = credentials->is_fresh || credentials->is_refused;
  credentials->is_refused = false;
  credentials->expires = end_of(valid_ms, now);
  return STW_OK;
}

bool stwi_credentials_refused(struct stwi_credentials *credentials) {
  const bool is_permanent =
      credentials->is_asked ? credentials->is_fresh : !credentials->has_worked;
  credentials->is_refused = true;
  credentials->is_fresh = false;
  return is_permanent;
}

void stwi_credentials_accepted(struct stwi_credentials *credentials) {
  credentials->is_fresh = false;
  credentials->has_worked = true;
}
