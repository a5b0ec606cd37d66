#include "core/endpoint.h"

#include <string.h>

#include "core/mem.h"

#define UNUSED_KEPT 64u
#define MUTE_STRIKES 2u
#define MUTE_RETRY (600 * STWI_S)

static void forget(struct stwi_endpoint *endpoint) {
  stwi_free(endpoint->key);
  stwi_free(endpoint);
}

static struct stwi_endpoint *make(const char *key) {
  size_t size = strlen(key) + 1;
  struct stwi_endpoint *endpoint = stwi_alloc(sizeof *endpoint);
  char *copy = stwi_alloc(size);
  if (endpoint == NULL || copy == NULL) {
    stwi_free(copy);
    stwi_free(endpoint);
    return NULL;
  }
  memset(endpoint, 0, sizeof *endpoint);
  memcpy(copy, key, size);
  endpoint->key = copy;
  return endpoint;
}

struct stwi_endpoint *stwi_endpoint_hold(struct stwi_endpoints *endpoints, const char *key) {
  struct stwi_endpoint *endpoint = endpoints->first;
  while (endpoint != NULL && strcmp(endpoint->key, key) != 0)
    endpoint = endpoint->next;
  if (endpoint == NULL) {
    endpoint = make(key);
    if (endpoint == NULL)
      return NULL;
    endpoint->next = endpoints->first;
    endpoints->first = endpoint;
  }
  endpoint->conns++;
  return endpoint;
}

void stwi_endpoint_drop(struct stwi_endpoints *endpoints, struct stwi_endpoint *endpoint) {
  endpoint->conns--;
  uint32_t unused = 0;
  struct stwi_endpoint **place = &endpoints->first;
  while (*place != NULL) {
    struct stwi_endpoint *here = *place;
    if (here->conns == 0 && ++unused > UNUSED_KEPT) {
      *place = here->next;
      forget(here);
    } else {
      place = &here->next;
    }
  }
}

void stwi_endpoints_fini(struct stwi_endpoints *endpoints) {
  while (endpoints->first != NULL) {
    struct stwi_endpoint *next = endpoints->first->next;
    forget(endpoints->first);
    endpoints->first = next;
  }
}

bool stwi_endpoint_ponged(struct stwi_endpoint *endpoint) {
  endpoint->has_pong = true;
  return stwi_endpoint_mute_clear(endpoint);
}

void stwi_endpoint_connected(struct stwi_endpoint *endpoint, uint64_t ns) {
  if (ns != 0 && (endpoint->connect_ns == 0 || ns < endpoint->connect_ns))
    endpoint->connect_ns = ns;
}

bool stwi_endpoint_mute_strike(struct stwi_endpoint *endpoint, stwi_time now) {
  if (endpoint->is_mute || endpoint->has_pong)
    return false;
  endpoint->mute_strikes++;
  endpoint->is_mute = endpoint->mute_strikes >= MUTE_STRIKES;
  endpoint->mute_since = now;
  return !endpoint->is_acquitted;
}

bool stwi_endpoint_mute_retry(struct stwi_endpoint *endpoint, stwi_time now) {
  if (!endpoint->is_mute || now - endpoint->mute_since < MUTE_RETRY)
    return false;
  endpoint->is_mute = false;
  endpoint->mute_strikes = MUTE_STRIKES - 1;
  return true;
}

bool stwi_endpoint_mute_clear(struct stwi_endpoint *endpoint) {
  bool was_mute = endpoint->is_mute;
  endpoint->is_mute = false;
  endpoint->mute_strikes = 0;
  endpoint->is_acquitted = true;
  return was_mute;
}
