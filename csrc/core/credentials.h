/* credentials.h: what an attempt logs in with.
 *
 * The host supplies; the last unexpired supply serves while the host is busy; a refusal (401)
 * forces one fresh supply, then counts as a failure.
 */
#ifndef STWI_CORE_CREDENTIALS_H
#define STWI_CORE_CREDENTIALS_H

#include "core/conn_config.h"

struct stwi_credentials {
  bool is_asked; /* credentials = host */
  bool has_supply;
  bool is_refused;     /* the present supply was refused: do not use it again */
  bool is_fresh;       /* supplied after the last refusal: a refusal of it is permanent */
  bool has_worked;     /* the server has accepted what we log in with at least once */
  bool has_token;      /* headers[0], headers[1] come from a token */
  bool is_waiting;     /* an attempt stands in phase token: kept by the caller */
  stwi_time deadline;  /* of that wait: kept by the caller */
  stwi_time expires;   /* STWI_NEVER: until refused */
  struct stwi_url url; /* host NULL: the config's */
  char **headers;      /* name, value, ..., NULL; Authorization first where a token was given */
};

enum stwi_credentials_answer { STWI_CREDENTIALS_USE, STWI_CREDENTIALS_ASK };

void stwi_credentials_init(struct stwi_credentials *credentials, bool is_asked);
void stwi_credentials_fini(struct stwi_credentials *credentials); /* wipes */
/* Before an attempt: USE what is there (or nothing is needed), or ASK the host (event). */
enum stwi_credentials_answer stwi_credentials_begin(struct stwi_credentials *credentials,
                                                    stwi_time now);
/* Copies; url, token, headers: NULL keeps what was supplied before.  E_URL (checked with the rules
 * of url and headers), E_MEMORY: then the old supply stays. */
stw_status stwi_credentials_supply(struct stwi_credentials *credentials, const char *url,
                                   const char *token, const char *const *headers, uint64_t valid_ms,
                                   stwi_time now, const char **why);
/* An attempt was refused for its credentials.  True: permanent (fresh ones; or static ones that
 * have never worked: later refusals of those may be a proxy's in a deploy). */
bool stwi_credentials_refused(struct stwi_credentials *credentials);
/* A link became ready: a later refusal asks for a fresh supply again. */
void stwi_credentials_accepted(struct stwi_credentials *credentials);

#endif
