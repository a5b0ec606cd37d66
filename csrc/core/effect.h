/* effect.h: the only words that come out of the core.
 *
 * Effects are performed in order.  Pointers in them are lent until the next step.
 */
#ifndef STWI_CORE_EFFECT_H
#define STWI_CORE_EFFECT_H

#include "core/input.h"

/* Bytes before u.write.data that the performer may overwrite (libwebsockets wants 16). */
#define STWI_WRITE_HEADROOM 32u

/* How an XMPP stream comes to TLS. */
enum stwi_xmpp_tls {
  STWI_XMPP_TLS_STARTTLS, /* RFC 6120 section 5; a server that does not offer it is refused */
  STWI_XMPP_TLS_DIRECT,   /* from the first byte (XEP-0368) */
  STWI_XMPP_TLS_NONE
};

/* What an attempt at an XMPP stream over TCP (RFC 6120) needs besides. */
struct stwi_dial_xmpp {
  const char
      *domain; /* `to` of the stream, and the name to verify unless server_name says another */
  enum stwi_xmpp_tls tls;
  bool has_srv; /* ask the DNS where the domain's streams are (_xmpp-client, _xmpps-client); host
                   and port are tried where it does not know */
  uint32_t element_bytes_max; /* a longer first-level element ends the link with TOO_BIG */
};

/* What a transport needs to make one attempt.  All strings lent until the next step. */
struct stwi_dial {
  bool is_tls;
  const char *host; /* name or numeric address, without brackets */
  uint16_t port;
  const char *path;                /* with query, begins with "/" */
  const char *const *headers;      /* name, value, ..., NULL; checked already; may be NULL */
  const char *const *more_headers; /* of the credentials supplied, same form; may be NULL */
  const char *subprotocols;        /* comma list, "" for none */
  const char *ca_file;             /* "" for the system's */
  const char *client_cert;         /* "" for none */
  const char *client_key;
  const char *server_name; /* SNI and name to verify; "" for host */
  const char *proxy;       /* "host:port" or "user:password@host:port", "" for none */
  bool is_insecure;
  uint32_t unacked_max_ms; /* the kernel gives up when bytes stay unacknowledged for so long
                              (TCP_USER_TIMEOUT, RFC 5482); 0: as it is used to */
  const struct stwi_dial_xmpp *xmpp; /* NULL: a WebSocket.  Else is_tls, path, headers,
                                        subprotocols and proxy are not looked at */
};

enum stwi_effect_kind {
  STWI_FX_DIAL,    /* start link (conn, link); answered by PHASE*, then READY or DOWN */
  STWI_FX_WRITE,   /* write u.write; answered by WRITABLE or DOWN; one outstanding per link */
  STWI_FX_PAUSE,   /* u.pause.on: stop or go on reading */
  STWI_FX_RESTART, /* XMPP: begin the stream anew on the same connection (RFC 6120 section 4.3.3): a
                      new parser and a new header, which need no answer but elements */
  STWI_FX_LOOK,    /* what has the peer's kernel acknowledged?  Answered by LOOKED, if at all */
  STWI_FX_CUT, /* end the link at once: RST where u.cut.abort, FIN otherwise; answered by DOWN */
  STWI_FX_MESSAGE, /* u.message: an inbound message for the host */
  STWI_FX_EVENT,   /* u.event: anything else for the host and for observe */
  STWI_FX_STORE,   /* u.store: what the conn's store must keep; only where it has one */
  STWI_FX_PUBLISH  /* view, stats or outbox of conn changed: publish them to the calling threads */
};

/* What a store is told.  The ops of one turn are committed together or not at all, in order. */
enum stwi_store_op {
  STWI_STORE_PUT,     /* msg: keep it at its lane and number */
  STWI_STORE_SETTLED, /* lane, number: everything of the lane up to it, parked ones aside, is over
                       */
  STWI_STORE_REMOVE,  /* lane, number: this one is over, or was moved (its PUT follows) */
  STWI_STORE_PARK,    /* msg: at lane and number no more; parked under its id, with state, cause */
  STWI_STORE_FORGET,  /* id: a parked one is over, or was moved (its PUT follows) */
  STWI_STORE_SESSION, /* session: replaces what was kept of it */
  STWI_STORE_INBOUND  /* lane, number: the host has processed everything up to it */
};

struct stwi_store_change {
  enum stwi_store_op op;
  uint64_t serial; /* counts the conn's changes from 1; STWI_IN_STORED names the last committed */
  stw_lane lane;
  uint64_t number;
  stw_message_id id;
  const struct stwi_msg *msg;               /* lent until the next step */
  const struct stwi_session_saved *session; /* likewise */
};

struct stwi_effect {
  enum stwi_effect_kind kind;
  uint32_t conn;
  uint32_t link;
  union {
    struct stwi_dial dial;
    struct {
      uint8_t *data; /* STWI_WRITE_HEADROOM bytes before it are ours too */
      size_t size;
    } write;
    struct {
      bool on;
    } pause;
    struct {
      bool abort;
    } cut;
    struct {
      const uint8_t *data;
      size_t size;
      bool is_text;
      bool is_replayed;
      stw_lane lane;
      stw_message_id id; /* number 0: not numbered */
    } message;
    struct stwi_store_change store;
    stw_event event;
  } u;
};

struct stwi_effects {
  struct stwi_effect *items; /* owned; grows */
  size_t count, capacity;
};

void stwi_effects_init(struct stwi_effects *effects);
void stwi_effects_fini(struct stwi_effects *effects);
/* Appends an effect, its union zeroed (except for MESSAGE and WRITE, whose fields the caller sets),
 * and lends it until the next add; NULL without memory. */
struct stwi_effect *stwi_effects_add(struct stwi_effects *effects, enum stwi_effect_kind kind,
                                     uint32_t conn, uint32_t link);

#endif
