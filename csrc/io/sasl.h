/* sasl.h: SASL mechanisms (RFC 4422) by GNU SASL, for the core, which chooses and carries them.
 *
 * A step gets what the server sent (decoded from Base64) and gives what to answer.  SCRAM derives
 * its keys in the step that answers the server's first message: 4096 iterations cost about 3 ms,
 * 10000 about 7 ms, so a salt and count that are asked for again are answered from the cache of the
 * engine (stwi_sasl_new).  Secrets are wiped before memory is given back.
 * Owner only.
 */
#ifndef STWI_IO_SASL_H
#define STWI_IO_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a mechanism may ask for; NULL: not at hand.  Borrowed by begin. */
struct stwi_sasl_credentials {
  const char *user;     /* local part of the JID; EXTERNAL and ANONYMOUS need none */
  const char *password; /* UTF-8 */
  const char *authzid;  /* who to act as; NULL: whom the credentials are for */
  const char *domain;   /* of the server, for mechanisms that name it */
  /* Of TLS, for the PLUS forms: its type ("tls-exporter", "tls-unique") and data; NULL: none. */
  const char *binding_type;
  const uint8_t *binding;
  size_t binding_size;
};

enum stwi_sasl_status {
  STWI_SASL_MORE,     /* send the output (it may be empty), wait for the server */
  STWI_SASL_DONE,     /* send the output unless empty; the server proved what it had to */
  STWI_SASL_FAILED,   /* the server's message is wrong, or it could not prove itself */
  STWI_SASL_UNUSABLE, /* mechanism unknown, or a credential it needs is missing or unfit */
  STWI_SASL_NO_MEMORY
};

struct stwi_sasl;          /* what all logins of an engine share */
struct stwi_sasl_exchange; /* one login */

/* NULL without memory. */
struct stwi_sasl *stwi_sasl_new(void);
/* After all exchanges are freed. */
void stwi_sasl_free(struct stwi_sasl *sasl);

/* Is it one of SCRAM-SHA-256(-PLUS), SCRAM-SHA-1(-PLUS), PLAIN, EXTERNAL, ANONYMOUS, and does this
 * machine's GNU SASL have it? */
bool stwi_sasl_knows(const struct stwi_sasl *sasl, const char *mechanism);

/* NULL with *status and *why (static). */
struct stwi_sasl_exchange *stwi_sasl_begin(struct stwi_sasl *sasl, const char *mechanism,
                                           const struct stwi_sasl_credentials *credentials,
                                           enum stwi_sasl_status *status, const char **why);
/* Wipes what it holds. */
void stwi_sasl_end(struct stwi_sasl_exchange *exchange);

/* The first step has no input (NULL, 0).  *output is lent until the next step or end.  On FAILED
 * and UNUSABLE *why is a sentence, static, without secrets. */
enum stwi_sasl_status stwi_sasl_step(struct stwi_sasl_exchange *exchange, const void *input,
                                     size_t size, const uint8_t **output, size_t *output_size,
                                     const char **why);

#endif
