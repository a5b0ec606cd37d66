/* resolve.h: host names to addresses, in libuv's thread pool, never on the loop thread.
 *
 * Questions for a name that is being asked already share that one getaddrinfo call, so a fleet of
 * conns that comes back at once costs the resolver one question.  Numeric hosts need none.
 * Everything is owner only (the loop's thread).
 */
#ifndef STWI_IO_RESOLVE_H
#define STWI_IO_RESOLVE_H

#include "core/input.h"

#include <netinet/in.h>

struct stwi_address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } at;
};

#define STWI_ADDRESSES_MAX 8u

/* In the order to try: that of RFC 6724, families alternating (RFC 8305 section 4), no repeats. */
struct stwi_addresses {
  size_t count;
  struct stwi_address items[STWI_ADDRESSES_MAX];
};

/* The answer: `addresses`, or NULL with the cause (dns_nxdomain, dns_servfail, overload_local) and
 * a sentence.  Both are lent during the call; the lookup is over and must not be cancelled. */
struct stwi_resolved {
  const struct stwi_addresses *addresses;
  stw_cause cause;
  const char *detail;
};

struct stwi_resolver;
struct stwi_lookup;

/* `uv_loop` is a uv_loop_t, borrowed until free.  NULL without memory. */
struct stwi_resolver *stwi_resolver_new(void *uv_loop);
/* Cancels all lookups.  A running getaddrinfo ends by itself on the loop and frees its memory. */
void stwi_resolver_free(struct stwi_resolver *resolver);

/* Asks for `host` (copied); `done` comes once, from the loop, never from within this call, unless
 * cancelled.  NULL without memory: `done` does not come. */
struct stwi_lookup *stwi_resolve(struct stwi_resolver *resolver, const char *host, uint16_t port,
                                 void (*done)(void *owner, const struct stwi_resolved *resolved),
                                 void *owner);
void stwi_resolve_cancel(struct stwi_lookup *lookup);

/* Reads a numeric `host` (IPv4 or IPv6, no brackets, no scope); false for a name. */
bool stwi_address_parse(struct stwi_address *address, const char *host, uint16_t port);
/* sizeof of the sockaddr inside. */
size_t stwi_address_size(const struct stwi_address *address);
/* Same family, host and port. */
bool stwi_address_equal(const struct stwi_address *a, const struct stwi_address *b);
/* "192.0.2.1" or "2001:db8::1" into `text`, which has INET6_ADDRSTRLEN bytes. */
void stwi_address_format(const struct stwi_address *address, char *text);

#endif
