#include "core/xmpp/mechanism.h"

#include <string.h>

static const struct {
  const char *name;
  unsigned needs;
} rows[] = {
#define ROW(name, text, needs) {text, needs},
    STWI_MECHANISM_LIST(ROW)
#undef ROW
};

const char *stwi_mechanism_name(enum stwi_mechanism mechanism) {
  return rows[mechanism].name;
}

enum stwi_mechanism stwi_mechanism_find(const char *name, size_t size) {
  unsigned i = 0;
  while (i < STWI_MECHANISM_COUNT &&
         (strlen(rows[i].name) != size || memcmp(rows[i].name, name, size) != 0))
    i++;
  return (enum stwi_mechanism)i;
}

uint32_t stwi_mechanisms_from(enum stwi_mechanism weakest) {
  return STWI_MECHANISMS_ALL & ((2u << weakest) - 1u);
}

const char *stwi_mechanism_lack(enum stwi_mechanism mechanism, unsigned given) {
  const unsigned lacks = rows[mechanism].needs & ~given;
  if (lacks & STWI_NEED_TLS)
    return "it needs TLS";
  if (lacks & STWI_NEED_CERTIFICATE)
    return "it needs client_cert";
  if (lacks & STWI_NEED_NO_ACCOUNT)
    return "it is for addresses without a local part";
  if (lacks & STWI_NEED_PASSWORD)
    return "it needs a user and a password";
  return lacks == 0 ? NULL : "it needs channel binding, which this connection has not";
}

enum stwi_mechanism stwi_mechanism_choose(uint32_t set, unsigned given) {
  unsigned i = 0;
  while (i < STWI_MECHANISM_COUNT &&
         ((set >> i & 1u) == 0 || stwi_mechanism_lack((enum stwi_mechanism)i, given) != NULL))
    i++;
  return (enum stwi_mechanism)i;
}
