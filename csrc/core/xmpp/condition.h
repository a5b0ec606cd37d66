/* condition.h: what the errors of XMPP mean: a defined condition -> a cause.
 *
 * Three vocabularies: stream errors (RFC 6120 section 4.9.3), failures of SASL (section 6.5) and
 * stanza errors (section 8.3.3), each one table.  What a server says in its own words is shown,
 * never obeyed, but for one thing: Prosody and ejabberd report a stanza over their limit as
 * policy-violation, and only the words or a condition of XEP-0205 tell it from a ban.
 */
#ifndef STWI_CORE_XMPP_CONDITION_H
#define STWI_CORE_XMPP_CONDITION_H

#include "core/cause.h"
#include "core/xmpp/element.h"

#define STWI_CONDITION_HOST_MAX 1023u

struct stwi_condition {
  stw_cause cause;
  const char *name; /* static; "undefined-condition" for one that no table knows */
  const char *text; /* the server's words, lent by the element, not terminated; "" */
  size_t text_size;
  const char *host; /* see-other-host: host, host:port or [IPv6]:port, likewise; "" none */
  size_t host_size;
};

/* <stream:error/> */
struct stwi_condition stwi_condition_of_stream(const struct stwi_element *error);
/* <failure/> of SASL */
struct stwi_condition stwi_condition_of_sasl(const struct stwi_element *failure);
/* A stanza with an <error/>, or the <failed/> of XEP-0198. */
struct stwi_condition stwi_condition_of_stanza(const struct stwi_element *stanza);

enum stwi_conditions { STWI_CONDITIONS_STREAM, STWI_CONDITIONS_SASL, STWI_CONDITIONS_STANZA };
/* Walks a table: its row at `index`, with no text; `name` NULL: the one for any other condition,
 * which is the last. */
struct stwi_condition stwi_condition_at(enum stwi_conditions table, size_t index);

/* "<what>: <name> (<the server's words>)", cut to fit `size`, printable ASCII and UTF-8 only. */
void stwi_condition_describe(const struct stwi_condition *condition, const char *what, char *out,
                             size_t size);
/* Appends words of a peer to a text in a buffer of `size` bytes: controls become spaces, what is
 * too long or not UTF-8 is cut. */
void stwi_condition_append(char *out, size_t size, const char *words, size_t words_size);

#endif
