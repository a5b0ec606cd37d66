#include "io/resolve.h"

#include "core/mem.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

/* One getaddrinfo call; lives until libuv gives it back, even when nobody waits any more. */
struct question {
  uv_getaddrinfo_t request;
  struct stwi_resolver *resolver; /* NULL: nobody waits */
  struct question *next;
  struct stwi_lookup *lookups;
  char host[];
};

struct stwi_lookup {
  struct stwi_lookup *next;
  struct question *question;
  void (*done)(void *owner, const struct stwi_resolved *resolved);
  void *owner;
  uint16_t port;
};

struct stwi_resolver {
  uv_loop_t *uv;
  struct question *questions;
};

/* ---- addresses ---- */

bool stwi_address_parse(struct stwi_address *address, const char *host, uint16_t port) {
  memset(address, 0, sizeof *address);
  if (inet_pton(AF_INET, host, &address->at.v4.sin_addr) == 1) {
    address->at.v4.sin_family = AF_INET;
    address->at.v4.sin_port = htons(port);
    return true;
  }
  if (inet_pton(AF_INET6, host, &address->at.v6.sin6_addr) == 1) {
    address->at.v6.sin6_family = AF_INET6;
    address->at.v6.sin6_port = htons(port);
    return true;
  }
  return false;
}

size_t stwi_address_size(const struct stwi_address *address) {
  return address->at.any.sa_family == AF_INET6 ? sizeof address->at.v6 : sizeof address->at.v4;
}

bool stwi_address_equal(const struct stwi_address *a, const struct stwi_address *b) {
  if (a->at.any.sa_family != b->at.any.sa_family)
    return false;
  if (a->at.any.sa_family == AF_INET6)
    return a->at.v6.sin6_port == b->at.v6.sin6_port &&
           a->at.v6.sin6_scope_id == b->at.v6.sin6_scope_id &&
           memcmp(&a->at.v6.sin6_addr, &b->at.v6.sin6_addr, sizeof a->at.v6.sin6_addr) == 0;
  return a->at.v4.sin_port == b->at.v4.sin_port &&
         a->at.v4.sin_addr.s_addr == b->at.v4.sin_addr.s_addr;
}

void stwi_address_format(const struct stwi_address *address, char *text) {
  const void *host = address->at.any.sa_family == AF_INET6 ? (const void *)&address->at.v6.sin6_addr
                                                           : (const void *)&address->at.v4.sin_addr;
  if (inet_ntop(address->at.any.sa_family, host, text, INET6_ADDRSTRLEN) == NULL)
    text[0] = '\0';
}

static bool contains(const struct stwi_addresses *list, const struct stwi_address *address) {
  for (size_t i = 0; i < list->count; i++) {
    if (stwi_address_equal(&list->items[i], address))
      return true;
  }
  return false;
}

static bool convert(struct stwi_address *address, const struct addrinfo *info) {
  memset(address, 0, sizeof *address);
  if (info->ai_family == AF_INET)
    memcpy(&address->at.v4, info->ai_addr, sizeof address->at.v4);
  else if (info->ai_family == AF_INET6)
    memcpy(&address->at.v6, info->ai_addr, sizeof address->at.v6);
  else
    return false;
  return true;
}

/* Appends the next address of `family` at or after `info`; answers where to go on. */
static const struct addrinfo *take_next(struct stwi_addresses *list, const struct addrinfo *info,
                                        bool is_family, int family) {
  for (; info != NULL; info = info->ai_next) {
    struct stwi_address address;
    if ((info->ai_family == family) != is_family || !convert(&address, info) ||
        contains(list, &address))
      continue;
    if (list->count < STWI_ADDRESSES_MAX)
      list->items[list->count++] = address;
    return info->ai_next;
  }
  return NULL;
}

static void interleave(struct stwi_addresses *list, const struct addrinfo *info) {
  list->count = 0;
  const int first = info != NULL ? info->ai_family : AF_UNSPEC;
  const struct addrinfo *same = info, *other = info;
  while (same != NULL || other != NULL) {
    same = take_next(list, same, true, first);
    other = take_next(list, other, false, first);
  }
}

static void set_port(struct stwi_addresses *list, uint16_t port) {
  for (size_t i = 0; i < list->count; i++) {
    struct stwi_address *address = &list->items[i];
    if (address->at.any.sa_family == AF_INET6)
      address->at.v6.sin6_port = htons(port);
    else
      address->at.v4.sin_port = htons(port);
  }
}

/* ---- questions ---- */

static stw_cause cause_of(int status) {
  switch (status) {
  case UV_EAI_NONAME:
  case UV_EAI_NODATA:
  case UV_EAI_ADDRFAMILY:
  case UV_EAI_FAMILY:
    return STW_CAUSE_DNS_NXDOMAIN;
  case UV_EAI_MEMORY:
  case UV_ENOMEM:
  case UV_EMFILE:
  case UV_ENFILE:
    return STW_CAUSE_OVERLOAD_LOCAL;
  default:
    return STW_CAUSE_DNS_SERVFAIL;
  }
}

static void forget(struct question *question) {
  if (question->resolver == NULL)
    return;
  struct question **at = &question->resolver->questions;
  while (*at != question)
    at = &(*at)->next;
  *at = question->next;
  question->resolver = NULL;
}

static void answer(struct stwi_lookup *lookup, const struct addrinfo *info, int status,
                   const char *detail) {
  struct stwi_addresses addresses = {0};
  struct stwi_resolved resolved = {.cause = cause_of(status), .detail = detail};
  if (status == 0) {
    interleave(&addresses, info);
    set_port(&addresses, lookup->port);
    resolved.cause = STW_CAUSE_DNS_NXDOMAIN;
    if (addresses.count > 0)
      resolved.addresses = &addresses;
  }
  lookup->done(lookup->owner, &resolved);
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *info) {
  struct question *question = request->data;
  char detail[320];
  snprintf(detail, sizeof detail, "resolving %.250s: %s", question->host,
           status == 0 ? "no usable address" : uv_strerror(status));
  forget(question);
  while (question->lookups != NULL) {
    struct stwi_lookup *lookup = question->lookups;
    question->lookups = lookup->next;
    lookup->question = NULL;
    answer(lookup, info, status, detail);
    stwi_free(lookup);
  }
  uv_freeaddrinfo(info);
  stwi_free(question);
}

static struct question *ask(struct stwi_resolver *resolver, const char *host) {
  for (struct question *q = resolver->questions; q != NULL; q = q->next) {
    if (strcmp(q->host, host) == 0)
      return q;
  }
  const size_t size = strlen(host) + 1;
  struct question *question = stwi_alloc(sizeof *question + size);
  if (question == NULL)
    return NULL;
  memset(question, 0, sizeof *question);
  memcpy(question->host, host, size);
  question->request.data = question;
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  if (uv_getaddrinfo(resolver->uv, &question->request, on_answer, host, NULL, &hints) != 0) {
    stwi_free(question);
    return NULL;
  }
  question->resolver = resolver;
  question->next = resolver->questions;
  resolver->questions = question;
  return question;
}

struct stwi_lookup *stwi_resolve(struct stwi_resolver *resolver, const char *host, uint16_t port,
                                 void (*done)(void *owner, const struct stwi_resolved *resolved),
                                 void *owner) {
  struct stwi_lookup *lookup = stwi_alloc(sizeof *lookup);
  if (lookup == NULL)
    return NULL;
  struct question *question = ask(resolver, host);
  if (question == NULL) {
    stwi_free(lookup);
    return NULL;
  }
  *lookup = (struct stwi_lookup){
      .next = question->lookups, .question = question, .done = done, .owner = owner, .port = port};
  question->lookups = lookup;
  return lookup;
}

void stwi_resolve_cancel(struct stwi_lookup *lookup) {
  struct question *question = lookup->question;
  struct stwi_lookup **at = &question->lookups;
  while (*at != lookup)
    at = &(*at)->next;
  *at = lookup->next;
  stwi_free(lookup);
  /* One that runs already stays known: the next attempt joins it rather than hang a second thread
   * of the pool on a resolver that does not answer. */
  if (question->lookups == NULL && uv_cancel((uv_req_t *)&question->request) == 0)
    forget(question);
}

struct stwi_resolver *stwi_resolver_new(void *uv_loop) {
  struct stwi_resolver *resolver = stwi_alloc(sizeof *resolver);
  if (resolver != NULL)
    *resolver = (struct stwi_resolver){.uv = uv_loop};
  return resolver;
}

void stwi_resolver_free(struct stwi_resolver *resolver) {
  if (resolver == NULL)
    return;
  while (resolver->questions != NULL) {
    struct question *question = resolver->questions;
    while (question->lookups != NULL)
      stwi_resolve_cancel(question->lookups);
    forget(question);
  }
  stwi_free(resolver);
}
