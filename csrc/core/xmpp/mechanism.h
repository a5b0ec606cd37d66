/* mechanism.h: the SASL mechanisms of XMPP, strongest first, and which of them may be used.
 *
 * A mechanism that binds the login to the TLS channel goes before any that does not: it is the only
 * one that a machine in the middle with a valid certificate cannot pass on.  PLAIN shows the
 * password to the server, and to everybody on a path without TLS.
 *
 * Sources: RFC 5802, RFC 7677, RFC 4616, RFC 4422 appendix A, RFC 4505; RFC 6120 section 6.3.3.
 */
#ifndef STWI_CORE_XMPP_MECHANISM_H
#define STWI_CORE_XMPP_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a mechanism needs. */
enum stwi_mechanism_need {
  STWI_NEED_PASSWORD = 1,
  STWI_NEED_CERTIFICATE = 2, /* of ours, given to TLS */
  STWI_NEED_BINDING = 4,     /* the transport knows the channel's binding data */
  STWI_NEED_TLS = 8,
  STWI_NEED_NO_ACCOUNT = 16 /* the address has no local part */
};

/* X(NAME, "registered name", needs) */
#define STWI_MECHANISM_LIST(X)                                                                     \
  X(EXTERNAL, "EXTERNAL", STWI_NEED_CERTIFICATE | STWI_NEED_TLS)                                   \
  X(SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", STWI_NEED_PASSWORD | STWI_NEED_BINDING)              \
  X(SCRAM_SHA_1_PLUS, "SCRAM-SHA-1-PLUS", STWI_NEED_PASSWORD | STWI_NEED_BINDING)                  \
  X(SCRAM_SHA_256, "SCRAM-SHA-256", STWI_NEED_PASSWORD)                                            \
  X(SCRAM_SHA_1, "SCRAM-SHA-1", STWI_NEED_PASSWORD)                                                \
  X(PLAIN, "PLAIN", STWI_NEED_PASSWORD | STWI_NEED_TLS)                                            \
  X(ANONYMOUS, "ANONYMOUS", STWI_NEED_NO_ACCOUNT)

enum stwi_mechanism {
#define STWI_X(name, text, needs) STWI_MECHANISM_##name,
  STWI_MECHANISM_LIST(STWI_X)
#undef STWI_X
      STWI_MECHANISM_COUNT
};

/* Sets of mechanisms have the bit 1 << mechanism. */
#define STWI_MECHANISMS_ALL ((1u << STWI_MECHANISM_COUNT) - 1u)

const char *stwi_mechanism_name(enum stwi_mechanism mechanism);
/* STWI_MECHANISM_COUNT: none of ours. */
enum stwi_mechanism stwi_mechanism_find(const char *name, size_t size);

/* Those at least as strong as `weakest`: what an attempt may use after an earlier one of the same
 * conn has used that, so that nobody can talk it down. */
uint32_t stwi_mechanisms_from(enum stwi_mechanism weakest);

/* The strongest of a set whose needs are all among what is `given` (STWI_NEED_*);
 * STWI_MECHANISM_COUNT: none. */
enum stwi_mechanism stwi_mechanism_choose(uint32_t set, unsigned given);

/* Why a mechanism cannot be used with what is given: a static sentence; NULL: it can. */
const char *stwi_mechanism_lack(enum stwi_mechanism mechanism, unsigned given);

#endif
