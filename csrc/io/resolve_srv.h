/* resolve_srv.h: where a domain's service is, by SRV records (RFC 2782), in libuv's thread pool.
 *
 * Owner only (the loop's thread) where nothing else is said.
 */
#ifndef STWI_IO_RESOLVE_SRV_H
#define STWI_IO_RESOLVE_SRV_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STWI_SRV_TARGETS_MAX 8u
#define STWI_SRV_HOST_BYTES 256u

struct stwi_srv_target {
  char host[STWI_SRV_HOST_BYTES]; /* a name, without its last dot */
  uint16_t port, priority, weight;
};

/* In the order to try: by priority, within it at random by weight.  Neither targets nor refusal:
 * the domain has no such records, or nobody answered. */
struct stwi_srv_targets {
  size_t count;
  bool is_refused; /* the only target is ".": the domain does not have this service */
  struct stwi_srv_target items[STWI_SRV_TARGETS_MAX];
};

/* Reads a DNS message; what is malformed gives no targets.  Any thread. */
void stwi_srv_parse(struct stwi_srv_targets *targets, const uint8_t *message, size_t size,
                    uint64_t random);

struct stwi_srv_lookup;

/* Asks for the SRV records at `name` ("_xmpp-client._tcp.example.org", copied).  `done` comes once,
 * from the loop, never from within this call, unless cancelled; the targets are lent during it.
 * `server` NULL: those of the system; else only this one (tests).  NULL without memory. */
struct stwi_srv_lookup *
stwi_srv_ask(void *uv_loop, const char *name, const struct sockaddr_in *server,
             void (*done)(void *owner, const struct stwi_srv_targets *targets), void *owner);
/* A running question ends by itself, within 8 s per server of the system, and frees its memory. */
void stwi_srv_cancel(struct stwi_srv_lookup *lookup);

#endif
