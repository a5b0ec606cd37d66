/* transport_ws.h: what the files of transport_ws share.
 *
 * A link is one dial.  It tries addresses on lanes: a lane is one TCP connection, opened by us (so
 * that the kernel's reason for a failure is known, and a proxy can be asked) and then handed to
 * libwebsockets, which does TLS and the HTTP upgrade.  The first lane to finish the upgrade is the
 * link's connection, the others are killed.  libwebsockets knows a lane by a key, never by a
 * pointer; the lane ends in WSI_DESTROY, the link when its last lane has.
 *
 * Whatever must not happen inside a callback of libwebsockets (killing, reading again, reporting
 * the end of a dial from within dial) is deferred: stwi_ws_defer, then the wait-cancelled callback.
 * Everything is owner only (the loop's thread).
 */
#ifndef STWI_IO_TRANSPORT_WS_H
#define STWI_IO_TRANSPORT_WS_H

#include "io/resolve.h"
#include "io/transport.h"

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

enum {
  STWI_WS_BUFFER_BYTES = 64 * 1024,
  STWI_WS_REQUEST_BYTES_MAX = 48 * 1024,
  STWI_WS_DETAIL_BYTES = 256,
  /* Deadlines are the core's: those of libwebsockets must never come first. */
  STWI_WS_NO_DEADLINE_S = 365 * 24 * 3600
};

/* One way to do TLS (or none): a context of OpenSSL and the vhost that uses it. */
struct stwi_ws_profile {
  struct stwi_ws_profile *next;
  struct lws_vhost *vhost;
  SSL_CTX *tls; /* NULL: plain */
  bool is_insecure;
  uint64_t stamp; /* of the files below, so that renewed ones are read */
  const char *ca_file, *client_cert, *client_key; /* in `text` */
  char text[];
};

struct stwi_ws {
  struct stwi_loop *loop;
  struct stwi_sink sink;
  struct lws_context *context; /* libwebsockets sets it to NULL when it is gone */
  struct stwi_resolver *resolver;
  struct stwi_ws_profile *profiles;
  struct stwi_ws_link **conns; /* by conn slot: its links */
  size_t conn_capacity;
  struct stwi_ws_lane **lanes; /* by key */
  uint32_t *lane_generations;
  uint32_t lane_capacity;
  uint32_t lane_hint; /* no free slot below */
  struct stwi_ws_link *deferred, **deferred_end;
  size_t handle_count; /* open handles of libuv that are ours */
  int gate;            /* see transport_ws_dial.c */
  char gate_name[16];
  struct lws *pipe; /* what wakes libwebsockets, until it is closed; see transport_ws_context.c */
  int fd_limit;     /* libwebsockets has room for descriptors below it */
  bool is_freeing;  /* nothing is put any more */
  bool has_blocked_sigpipe;
  size_t read_size; /* of the last read that gave bytes */
  uint8_t buffer[STWI_WS_BUFFER_BYTES];
};

/* Why a lane failed, as far as it knows. */
struct stwi_ws_failure {
  stw_cause cause;
  uint16_t http_status;
  uint64_t retry_after_ms;
  char detail[STWI_WS_DETAIL_BYTES];
};

/* What is needed only until the link is ready. */
struct stwi_ws_attempt {
  struct stwi_ws_profile *profile;
  struct stwi_lookup *lookup; /* NULL: not resolving */
  struct stwi_addresses addresses;
  bool has_tried[STWI_ADDRESSES_MAX];
  uv_timer_t *stagger; /* starts the next lane */
  char *request;       /* HTTP request without the empty line */
  char *connect;       /* request to the proxy, NULL for none */
  char *name;          /* SNI and name in the certificate */
  char *subprotocols;
  char accept[32]; /* the one right Sec-WebSocket-Accept */
  bool has_failed;
  uint32_t unacked_max_ms;
  struct stwi_ws_failure failure; /* the most telling so far */
};

struct stwi_ws_link {
  struct stwi_ws *ws;
  struct stwi_ws_link *next; /* of the same conn */
  struct stwi_ws_link *next_deferred;
  struct stwi_ws_lane *lanes;
  struct stwi_ws_lane *up;         /* the connection, once ready */
  struct stwi_ws_attempt *attempt; /* until ready */
  const char *detail;              /* static; why an established link ended */
  stw_cause cause;
  stw_phase phase;
  uint32_t conn, link;
  bool is_over; /* no new lane, nothing but DOWN is put */
  bool is_cut;  /* by the core */
  bool is_busy; /* in the middle of something: not to be settled */
  bool is_deferred;
  bool is_paused;
  bool is_held; /* readable while paused: libwebsockets waits for a read */
  bool is_resuming;
  bool is_writing; /* WRITABLE is owed */
  bool is_broken;  /* a write failed */
};

enum stwi_ws_stage { STWI_WS_CONNECTING, STWI_WS_PROXYING, STWI_WS_IN_LWS };

/* Bytes of the proxy's answer that were read so far. */
struct stwi_ws_proxy_answer {
  char line[64];
  uint32_t line_size, size, ending;
};

struct stwi_ws_lane {
  struct stwi_ws_link *link;
  struct stwi_ws_lane *next;
  struct lws *wsi; /* NULL: not yet, or destroyed */
  uv_poll_t *poll; /* while we do TCP */
  struct stwi_ws_proxy_answer *proxy;
  uint32_t key;    /* index in ws->lanes */
  int fd;          /* while we do TCP, else -1 */
  uint8_t address; /* index in the attempt's */
  uint8_t stage;
  bool is_doomed; /* to be killed */
  bool is_lost;   /* its end was looked at */
  bool is_handed; /* libwebsockets has taken the descriptor */
  bool is_gone;   /* WSI_DESTROY came while libwebsockets was still connecting */
};

/* transport_ws.c */
extern const struct lws_protocols stwi_ws_protocols[];

/* transport_ws_context.c */
#define STWI_WS_NO_DESCRIPTORS "no descriptors for the transport: raise RLIMIT_NOFILE"
/* Makes ws->context on the loop.  NULL, else what is missing (static); a context that could not be
 * made whole is there even then, and must be freed. */
const char *stwi_ws_context_new(struct stwi_ws *ws);
/* Outside of any callback, once; runs the loop.  ws->context is NULL afterwards, unless
 * libwebsockets does not let go of the loop within 2 s. */
void stwi_ws_context_free(struct stwi_ws *ws);

/* transport_ws_link.c */
/* NULL without memory. */
struct stwi_ws_link *stwi_ws_link_new(struct stwi_ws *ws, uint32_t conn, uint32_t generation);
struct stwi_ws_link *stwi_ws_link_of(const struct stwi_ws *ws, uint32_t conn, uint32_t generation);
void stwi_ws_links_free(struct stwi_ws *ws); /* of what is left, without a word */
void stwi_ws_put(struct stwi_ws_link *link, struct stwi_input *input);
void stwi_ws_phase(struct stwi_ws_link *link, stw_phase phase);
/* Has the link looked at again outside of any callback that concerns it. */
void stwi_ws_defer(struct stwi_ws_link *link);
void stwi_ws_run_deferred(struct stwi_ws *ws);
/* Reports the end and frees the link, if it has ended. */
void stwi_ws_settle(struct stwi_ws_link *link);
/* NULL without memory. */
struct stwi_ws_lane *stwi_ws_lane_new(struct stwi_ws_link *link);
void stwi_ws_lane_free(struct stwi_ws_lane *lane);
/* What libwebsockets gets as opaque user data, and the lane it stands for: NULL once freed. */
void *stwi_ws_lane_key(const struct stwi_ws_lane *lane);
struct stwi_ws_lane *stwi_ws_lane_of(struct lws *wsi);

/* transport_ws_dial.c */
bool stwi_ws_gate_open(struct stwi_ws *ws);
void stwi_ws_dial(struct stwi_ws_link *link, const struct stwi_dial *dial);
/* Notes why the dial failed, if it tells more than what is noted already. */
void stwi_ws_fail(struct stwi_ws_link *link, const struct stwi_ws_failure *failure);
/* A failure from a format (detail) without HTTP status. */
struct stwi_ws_failure stwi_ws_failure(stw_cause cause, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The lane did not make it: goes on with the next address, or settles the link. */
void stwi_ws_lane_failed(struct stwi_ws_lane *lane);
/* Closes a lane that libwebsockets does not have, and frees it. */
void stwi_ws_lane_drop(struct stwi_ws_lane *lane);
/* libwebsockets has connected to the gate: gives it the lane's TCP connection instead. */
void stwi_ws_hand_over(struct stwi_ws_lane *lane, struct lws *wsi);
void stwi_ws_attempt_free(struct stwi_ws_link *link);

/* transport_ws_proxy.c */
char *stwi_ws_proxy_request(const struct stwi_dial *dial);
/* Splits "host:port" or "user:password@host:port"; false if it is neither. */
bool stwi_ws_proxy_parse(const char *proxy, char *host, size_t host_size, uint16_t *port);
/* Reads what the proxy has answered: 1 connected, 0 not yet, -1 refused with `failure`. */
int stwi_ws_proxy_read(struct stwi_ws_lane *lane, struct stwi_ws_failure *failure);

/* transport_ws_tls.c */
/* Finds or makes the profile; NULL with `failure`. */
struct stwi_ws_profile *stwi_ws_profile(struct stwi_ws *ws, const struct stwi_dial *dial,
                                        struct stwi_ws_failure *failure);
void stwi_ws_profiles_free(struct stwi_ws *ws); /* after the context is gone */
/* Flags of LCCSCF for a connection of this attempt. */
int stwi_ws_tls_flags(const struct stwi_ws_attempt *attempt);
/* In the verify callback: lets an insecure profile accept whatever came. */
void stwi_ws_tls_excuse(const struct stwi_ws_attempt *attempt, X509_STORE_CTX *chain, bool is_good);
/* After the handshake, before any secret is sent: is the certificate good, and for this name? */
bool stwi_ws_tls_check(struct stwi_ws_lane *lane, struct stwi_ws_failure *failure);
/* Why TLS failed; false if TLS is not to blame. */
bool stwi_ws_tls_why(struct stwi_ws_lane *lane, struct stwi_ws_failure *failure);
/* An alert that came over an established link, NULL for none.  Static. */
const char *stwi_ws_tls_alert(struct stwi_ws_lane *lane);

/* transport_ws_http.c */
/* Makes attempt->request, ->accept, ->name, ->subprotocols; false with `failure`. */
bool stwi_ws_request(struct stwi_ws_attempt *attempt, const struct stwi_dial *dial,
                     struct stwi_ws_failure *failure);
/* Puts our request in the place of the one that libwebsockets has written; false: it cannot. */
bool stwi_ws_write_request(const struct stwi_ws_attempt *attempt, char **end, size_t room);
/* Judges the answer; true with the subprotocol ("" for none), else false with `failure`. */
bool stwi_ws_answer(const struct stwi_ws_attempt *attempt, struct lws *wsi, char *subprotocol,
                    size_t size, struct stwi_ws_failure *failure);
/* Retry-After, RFC 9110 section 10.2.3: seconds or a date, as ms from `now_ms`; 0 if neither. */
uint64_t stwi_ws_retry_after_ms(const char *value, uint64_t now_ms);

/* transport_ws_stream.c */
int stwi_ws_readable(struct stwi_ws_lane *lane);
int stwi_ws_bytes(struct stwi_ws_lane *lane, const uint8_t *data, size_t size);
void stwi_ws_writable(struct stwi_ws_lane *lane);
void stwi_ws_write(struct stwi_ws_link *link, uint8_t *data, size_t size);
void stwi_ws_resume(struct stwi_ws_link *link);
void stwi_ws_put_bytes(struct stwi_ws_link *link, const uint8_t *data, size_t size);

/* transport_ws_look.c */
void stwi_ws_look(struct stwi_ws *ws);

/* transport_ws_end.c */
/* libwebsockets is about to close the lane: takes what is left and finds out why.  `text` is its
 * own sentence or NULL. */
void stwi_ws_lost(struct stwi_ws_lane *lane, const char *text, size_t size);
void stwi_ws_kill(struct stwi_ws_lane *lane);
/* At once, on the wire: RST and nothing more is sent. */
void stwi_ws_reset(struct stwi_ws_lane *lane);

#endif
