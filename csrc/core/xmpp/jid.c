#include "core/xmpp/jid.h"

#include "core/utf8.h"

#include <string.h>

struct part {
  const char *text;
  size_t size;
};

/* RFC 7622 section 3.2: first the resource is cut off at the first slash, then the local part at
 * the first @. */
struct parts {
  bool has_local, has_resource;
  struct part local, domain, resource;
};

static struct parts split(const char *text, size_t size) {
  struct parts parts = {.domain = {text, size}};
  const char *slash = memchr(text, '/', size);
  if (slash != NULL) {
    parts.has_resource = true;
    parts.resource = (struct part){slash + 1, size - (size_t)(slash + 1 - text)};
    parts.domain.size = (size_t)(slash - text);
  }
  const char *at = memchr(text, '@', parts.domain.size);
  if (at != NULL) {
    parts.has_local = true;
    parts.local = (struct part){text, (size_t)(at - text)};
    parts.domain = (struct part){at + 1, parts.domain.size - parts.local.size - 1};
  }
  if (parts.domain.size > 1 && parts.domain.text[parts.domain.size - 1] == '.')
    parts.domain.size--;
  return parts;
}

static bool is_control(unsigned char c) {
  return c < 0x20 || c == 0x7F;
}

/* Of valid UTF-8: C1 controls, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF. */
static bool has_forbidden_character(const struct part *part) {
  static const char *const forbidden[] = {"\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF",
                                          "\xEF\xBF\xBE", "\xEF\xBF\xBF"};
  for (size_t i = 0; i < part->size; i++) {
    const unsigned char c = (unsigned char)part->text[i];
    const size_t left = part->size - i;
    if (is_control(c) || (c == 0xC2 && (unsigned char)part->text[i + 1] < 0xA0))
      return true;
    for (size_t k = 0; left >= 3 && k < sizeof forbidden / sizeof *forbidden; k++)
      if (memcmp(part->text + i, forbidden[k], 3) == 0)
        return true;
  }
  return false;
}

/* Of valid UTF-8: U+0020, U+00A0, U+1680, U+2000..200B, U+202F, U+205F, U+3000. */
static bool has_space(const struct part *part) {
  for (size_t i = 0; i < part->size; i++) {
    const char *at = part->text + i;
    const size_t left = part->size - i;
    if (*at == ' ' || (left >= 2 && memcmp(at, "\xC2\xA0", 2) == 0))
      return true;
    if (left < 3)
      continue;
    if (memcmp(at, "\xE2\x80", 2) == 0 && ((unsigned char)at[2] <= 0x8B || at[2] == '\xAF'))
      return true;
    if (memcmp(at, "\xE1\x9A\x80", 3) == 0 || memcmp(at, "\xE2\x81\x9F", 3) == 0 ||
        memcmp(at, "\xE3\x80\x80", 3) == 0)
      return true;
  }
  return false;
}

static const char *check_local(const struct part *local) {
  if (local->size == 0)
    return "the address has nothing before the @";
  if (local->size > STWI_JID_PART_MAX)
    return "the part of the address before the @ is longer than 1023 bytes";
  for (size_t i = 0; i < local->size; i++)
    if (memchr("\"&'/:<>@", local->text[i], 8) != NULL)
      return "the part of the address before the @ holds one of \" & ' : < >";
  if (has_forbidden_character(local) || has_space(local))
    return "the part of the address before the @ holds a space or control character";
  return NULL;
}

static bool is_host_character(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c >= 0x80;
}

/* Whether it is an address at all says whoever dials it. */
static const char *check_ipv6(const struct part *domain) {
  if (domain->size < 4 || domain->text[domain->size - 1] != ']')
    return "the domain of the address begins with [ and is no IPv6 address";
  for (size_t i = 1; i + 1 < domain->size; i++)
    if (memchr("0123456789abcdefABCDEF:.", domain->text[i], 24) == NULL)
      return "the domain of the address begins with [ and is no IPv6 address";
  return NULL;
}

static const char *check_domain(const struct part *domain) {
  if (domain->size == 0)
    return "the address has no domain";
  if (domain->size > STWI_JID_PART_MAX)
    return "the domain of the address is longer than 1023 bytes";
  if (domain->text[0] == '[')
    return check_ipv6(domain);
  if (has_forbidden_character(domain) || has_space(domain))
    return "the domain of the address holds a space or control character";
  bool is_label_empty = true;
  for (size_t i = 0; i < domain->size; i++) {
    const unsigned char c = (unsigned char)domain->text[i];
    if (c != '.' && !is_host_character(c))
      return "the domain of the address has a character that no host name has";
    if (c == '.' && is_label_empty)
      return "the domain of the address has an empty label";
    is_label_empty = c == '.';
  }
  return is_label_empty ? "the domain of the address has an empty label" : NULL;
}

static const char *check_resource(const struct part *resource) {
  if (resource->size == 0)
    return "the address has nothing after the /";
  if (resource->size > STWI_JID_PART_MAX)
    return "the resource of the address is longer than 1023 bytes";
  if (has_forbidden_character(resource))
    return "the resource of the address holds a control character";
  return NULL;
}

static const char *check(const struct parts *parts) {
  const char *why = NULL;
  if (parts->has_local)
    why = check_local(&parts->local);
  if (why == NULL)
    why = check_domain(&parts->domain);
  if (why == NULL && parts->has_resource)
    why = check_resource(&parts->resource);
  return why;
}

static char *put(char *at, const struct part *part) {
  if (part->size > 0)
    memcpy(at, part->text, part->size);
  return at + part->size;
}

static char *put_lower(char *at, const struct part *part) {
  char *end = put(at, part);
  for (; at < end; at++)
    if (*at >= 'A' && *at <= 'Z')
      *at = (char)(*at - 'A' + 'a');
  return end;
}

const char *stwi_jid_parse(struct stwi_jid *jid, const char *text, size_t size) {
  memset(jid, 0, sizeof *jid);
  if (size == 0)
    return "the address is empty";
  if (!stwi_utf8_valid((const uint8_t *)text, size))
    return "the address is not UTF-8";
  const struct parts parts = split(text, size);
  const char *why = check(&parts);
  if (why != NULL)
    return why;
  char *at = put_lower(jid->text, &parts.local);
  if (parts.has_local)
    *at++ = '@';
  at = put_lower(at, &parts.domain);
  if (parts.has_resource)
    *at++ = '/';
  put(at, &parts.resource);
  jid->local_size = (uint16_t)parts.local.size;
  jid->domain_size = (uint16_t)parts.domain.size;
  jid->resource_size = (uint16_t)parts.resource.size;
  return NULL;
}

const char *stwi_jid_local(const struct stwi_jid *jid) {
  return jid->text;
}

const char *stwi_jid_domain(const struct stwi_jid *jid) {
  return jid->text + jid->local_size + (jid->local_size > 0);
}

const char *stwi_jid_resource(const struct stwi_jid *jid) {
  return jid->text + stwi_jid_bare_size(jid) + (jid->resource_size > 0);
}

size_t stwi_jid_bare_size(const struct stwi_jid *jid) {
  return (size_t)(stwi_jid_domain(jid) - jid->text) + jid->domain_size;
}

bool stwi_jid_is_same(const struct stwi_jid *a, const struct stwi_jid *b) {
  return strcmp(a->text, b->text) == 0;
}

bool stwi_jid_is_same_bare(const struct stwi_jid *a, const struct stwi_jid *b) {
  const size_t size = stwi_jid_bare_size(a);
  return size == stwi_jid_bare_size(b) && memcmp(a->text, b->text, size) == 0;
}

bool stwi_jid_is_same_domain(const struct stwi_jid *a, const struct stwi_jid *b) {
  return a->domain_size == b->domain_size &&
         memcmp(stwi_jid_domain(a), stwi_jid_domain(b), a->domain_size) == 0;
}

bool stwi_jid_is_sound(const struct stwi_jid *jid) {
  static const struct stwi_jid none;
  struct stwi_jid again;
  const char *end = memchr(jid->text, '\0', sizeof jid->text);
  if (end == NULL)
    return false;
  if (end == jid->text)
    return memcmp(jid, &none, sizeof none) == 0;
  return stwi_jid_parse(&again, jid->text, (size_t)(end - jid->text)) == NULL &&
         memcmp(&again, jid, sizeof again) == 0;
}
