#include "io/path.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* IFF_LOWER_UP of <linux/if.h>, which cannot stand beside <net/if.h>.  It follows the cable at
 * once; IFF_RUNNING does so up to a second later. */
#define HAS_CARRIER 0x10000u

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

struct stwi_interfaces stwi_interfaces_read(void) {
  struct stwi_interfaces interfaces = {NULL};
  if (getifaddrs(&interfaces.first) != 0)
    interfaces.first = NULL;
  return interfaces;
}

void stwi_interfaces_free(struct stwi_interfaces *interfaces) {
  if (interfaces->first != NULL)
    freeifaddrs(interfaces->first);
  interfaces->first = NULL;
}

static socklen_t size_of(sa_family_t family) {
  switch (family) {
  case AF_INET:
    return sizeof(struct sockaddr_in);
  case AF_INET6:
    return sizeof(struct sockaddr_in6);
  default:
    return 0;
  }
}

/* The host part only. */
static bool is_same(const union address *a, const struct sockaddr *other) {
  union address b;
  if (other->sa_family != a->any.sa_family)
    return false;
  memcpy(&b, other, size_of(other->sa_family));
  if (other->sa_family == AF_INET)
    return a->v4.sin_addr.s_addr == b.v4.sin_addr.s_addr;
  return memcmp(&a->v6.sin6_addr, &b.v6.sin6_addr, sizeof b.v6.sin6_addr) == 0;
}

/* Where packets to `peer` would leave from: 0, or errno. */
static int source_of(const union address *peer, union address *source) {
  const int fd = socket(peer->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  socklen_t size = sizeof *source;
  int error = connect(fd, &peer->any, size_of(peer->any.sa_family)) == 0 ? 0 : errno;
  if (error == 0 && getsockname(fd, &source->any, &size) != 0)
    error = errno;
  close(fd);
  return error;
}

static bool is_no_route(int error) {
  return error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN ||
         error == EADDRNOTAVAIL;
}

/* A route may outlive the carrier of its interface. */
static bool has_carrier(const union address *local, const struct stwi_interfaces *interfaces) {
  bool is_found = false;
  for (const struct ifaddrs *one = interfaces->first; one != NULL; one = one->ifa_next) {
    if (one->ifa_addr == NULL || !is_same(local, one->ifa_addr))
      continue;
    if (one->ifa_flags & HAS_CARRIER)
      return true;
    is_found = true;
  }
  return !is_found;
}

static bool ends_of(int fd, const struct sockaddr *known, union address *local,
                    union address *peer) {
  socklen_t size = sizeof *local;
  if (getsockname(fd, &local->any, &size) != 0 || size_of(local->any.sa_family) == 0)
    return false;
  size = sizeof *peer;
  if (known == NULL)
    return getpeername(fd, &peer->any, &size) == 0;
  memcpy(peer, known, size_of(known->sa_family));
  return true;
}

stw_network stwi_path_of(int fd, const struct sockaddr *known,
                         const struct stwi_interfaces *interfaces) {
  union address local, peer, source;
  if (!ends_of(fd, known, &local, &peer))
    return STW_NETWORK_UP;
  const int error = source_of(&peer, &source);
  if (is_no_route(error))
    return STW_NETWORK_DOWN;
  if (error != 0)
    return STW_NETWORK_UP;
  if (!is_same(&local, &source.any))
    return STW_NETWORK_CHANGED;
  return has_carrier(&local, interfaces) ? STW_NETWORK_UP : STW_NETWORK_DOWN;
}

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ at[i]) * 1099511628211u;
  return hash;
}

static const char *interface_of(const union address *local,
                                const struct stwi_interfaces *interfaces) {
  for (const struct ifaddrs *one = interfaces->first; one != NULL; one = one->ifa_next)
    if (one->ifa_addr != NULL && is_same(local, one->ifa_addr))
      return one->ifa_name;
  return "";
}

uint64_t stwi_path_network(int fd, const struct stwi_interfaces *interfaces) {
  enum { PREFIX_V4 = 3, PREFIX_V6 = 8 };
  union address local;
  socklen_t size = sizeof local;
  if (getsockname(fd, &local.any, &size) != 0 || size_of(local.any.sa_family) == 0)
    return 0;
  const char *name = interface_of(&local, interfaces);
  const uint64_t hash = mix(14695981039346656037u, name, strlen(name) + 1);
  return local.any.sa_family == AF_INET ? mix(hash, &local.v4.sin_addr, PREFIX_V4)
                                        : mix(hash, &local.v6.sin6_addr, PREFIX_V6);
}
