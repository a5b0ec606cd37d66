/* negotiate.h: from an open stream to one that carries stanzas (RFC 6120 sections 4.3, 6, 7;
 * XEP-0198), sans-I/O: elements and the output of SASL go in, XML and requests come out.
 *
 *   features -> SASL -> new stream -> features -> [claim] -> resume, or bind and enable -> ready
 *
 * One table, states x inputs.  It stops before it claims anything, so that a link can stand by as a
 * candidate: until `claim` the server knows a login and no session.  What comes in a state that has
 * no cell for it is an error where the server broke the protocol, and passed over where it is not
 * known; only so much is passed over.  Nothing waits here: an answer that never comes is the timer
 * of the conn, with the phase that stwi_negotiate_phase names.
 *
 * TLS is the transport's, before begin.  SASL itself is the caller's (SCRAM takes milliseconds): it
 * is asked to begin or to step, and answers with stwi_negotiate_sasl, at once or later.
 *
 * Each call writes to `out` (STWI_NEGOTIATE_OUT_MAX bytes suffice), which goes to the transport
 * before anything else; it can hold a password and is to be wiped.  Allocates nothing.  Owner only.
 */
#ifndef STWI_CORE_XMPP_NEGOTIATE_H
#define STWI_CORE_XMPP_NEGOTIATE_H

#include "core/xmpp/mechanism.h"
#include "core/xmpp/sm.h"

#define STWI_NEGOTIATE_OUT_MAX 16384u
#define STWI_NEGOTIATE_DETAIL_MAX 256u
/* A login of SCRAM has two challenges. */
#define STWI_NEGOTIATE_ROUNDS_MAX 8u
#define STWI_NEGOTIATE_CHALLENGE_MAX 8192u
#define STWI_NEGOTIATE_IGNORED_MAX 32u

enum stwi_negotiate_state {
  STWI_NEGOTIATE_FEATURES,      /* the stream is open, its features are to come */
  STWI_NEGOTIATE_MECHANISM,     /* SASL was asked to begin */
  STWI_NEGOTIATE_CHALLENGE,     /* it is the server's turn */
  STWI_NEGOTIATE_STEP,          /* SASL was asked to step */
  STWI_NEGOTIATE_VERIFY,        /* likewise, with what came with <success/> */
  STWI_NEGOTIATE_RESTARTED,     /* logged in; the features of the new stream are to come */
  STWI_NEGOTIATE_AUTHENTICATED, /* waits for claim */
  STWI_NEGOTIATE_RESUME,
  STWI_NEGOTIATE_BIND,
  STWI_NEGOTIATE_ENABLE,
  STWI_NEGOTIATE_READY,
  STWI_NEGOTIATE_FAILED,
  STWI_NEGOTIATE_STATE_COUNT
};

/* What the account, the transport and the options allow.  Borrowed as long as the negotiation. */
struct stwi_negotiate_terms {
  const struct stwi_jid *account; /* its resource is asked for; without one the server gives one */
  bool is_tls;
  bool has_password, has_certificate;
  bool has_binding;           /* of the TLS channel */
  bool allows_plain_in_clear; /* PLAIN without TLS: for a server on the same machine */
  bool wants_stream_management;
  uint32_t mechanisms; /* those that may be used: STWI_MECHANISMS_ALL, or stwi_mechanisms_from what
                          was used before */
};

struct stwi_negotiate {
  const struct stwi_negotiate_terms *terms;
  struct stwi_sm *sm; /* borrowed */
  enum stwi_negotiate_state state;
  enum stwi_mechanism mechanism; /* in use, or used */
  uint32_t offered, tried;       /* sets of mechanisms */
  unsigned rounds, ignored;
  bool is_verified; /* SASL needs nothing more of the server */
  bool offers_bind, offers_sm;
  char detail[STWI_NEGOTIATE_DETAIL_MAX];
};

enum stwi_negotiate_news_kind {
  STWI_NEGOTIATE_NOTHING,
  STWI_NEGOTIATE_SASL_BEGIN, /* `mechanism`: its first output, if it has one before the server's */
  STWI_NEGOTIATE_SASL_STEP,  /* `challenge`: the next output */
  STWI_NEGOTIATE_RESTART,    /* a new stream: header and parser begin anew */
  STWI_NEGOTIATE_LOGGED_IN,  /* call claim when this link is to be the conn's */
  STWI_NEGOTIATE_STANZA,     /* the element is a stanza for the conn */
  STWI_NEGOTIATE_RESUME_REFUSED, /* `sm`, `detail`; a new session is being bound */
  STWI_NEGOTIATE_IS_READY,       /* `is_resumed`, `sm`; `why` where it cannot be resumed */
  STWI_NEGOTIATE_IS_OVER         /* `cause`, `detail`, `host`; end the link */
};

struct stwi_negotiate_news {
  enum stwi_negotiate_news_kind kind;
  enum stwi_mechanism mechanism;
  const char *challenge; /* base64, lent by the element, not terminated */
  size_t challenge_size;
  bool is_resumed;
  struct stwi_sm_news sm; /* of RESUMED, RESUME_REFUSED, ENABLED; else all zero */
  const char *why; /* static: stream management is off, or the stream not resumable; or NULL */
  stw_cause cause;
  const char *detail; /* lent until the next call */
  const char *host;   /* where the server sends us, lent by the element, not terminated; "" */
  size_t host_size;
};

/* The output of SASL. */
struct stwi_sasl_output {
  const char *data; /* base64, borrowed, not terminated; NULL: none */
  size_t size;
  bool is_verified; /* the mechanism needs nothing more of the server */
  stw_cause cause;  /* where `why` is set */
  const char *why;  /* it failed: a sentence, borrowed; else NULL */
};

/* The transport has opened the stream. */
void stwi_negotiate_begin(struct stwi_negotiate *negotiate,
                          const struct stwi_negotiate_terms *terms, struct stwi_sm *sm);
/* Takes a child of the stream.  Not in READY and FAILED. */
void stwi_negotiate_element(struct stwi_negotiate *negotiate, const struct stwi_element *element,
                            struct stwi_xml *out, struct stwi_negotiate_news *news);
/* The answer to SASL_BEGIN and SASL_STEP, once each; nothing is asked for any more: not taken. */
void stwi_negotiate_sasl(struct stwi_negotiate *negotiate, const struct stwi_sasl_output *output,
                         struct stwi_xml *out, struct stwi_negotiate_news *news);
/* After LOGGED_IN: resume where there is a session, else bind. */
void stwi_negotiate_claim(struct stwi_negotiate *negotiate, struct stwi_xml *out,
                          struct stwi_negotiate_news *news);

/* AUTH, RESUME or UP; DEAD in FAILED. */
stw_phase stwi_negotiate_phase(const struct stwi_negotiate *negotiate);

/* A stream that ends: <stream:error/>, or <close/> of RFC 7395.  For the conn as well, once it is
 * ready.  Fills cause, host and, in `detail`, a sentence.  False: it is neither. */
bool stwi_negotiate_is_end(const struct stwi_element *element, struct stwi_negotiate_news *news,
                           char *detail, size_t size);

#endif
