/* transport_xmpp.h: what the files of transport_xmpp share.
 *
 * A link is one dial.  libstrophe, in raw mode with a context and a connection of its own per
 * socket, connects and does TLS, and is then let go of: socket and TLS session are taken over, so
 * that no event loop, queue, parser or 1024th descriptor of libstrophe is in the way of an
 * established link.  Only the TLS handshake blocks; it runs on a thread of a small pool
 * (transport_xmpp_pool.c), and cutting the link ends it, as everything else, by shutting the socket
 * down.  All else happens on the loop without blocking: connecting, asking for STARTTLS, the
 * stream.
 *
 * Whatever must not happen inside a callback (the end of a dial from within dial) is deferred.
 * Everything is owner only (the loop's thread) where nothing else is said.
 */
#ifndef STWI_IO_TRANSPORT_XMPP_H
#define STWI_IO_TRANSPORT_XMPP_H

#include "io/resolve.h"
#include "io/resolve_srv.h"
#include "io/transport.h"
#include "io/xml_parse.h"

#include <openssl/ssl.h>
#include <uv.h>

enum {
  STWI_XMPP_BUFFER_BYTES = 16 * 1024,
  STWI_XMPP_DETAIL_BYTES = 256,
  STWI_XMPP_BINDING_BYTES_MAX = EVP_MAX_MD_SIZE,
  /* Threads for handshakes: so many compute, and one more may run for each that has taken so long
   * that it must be waiting for its peer. */
  STWI_XMPP_THREADS = 8,
  STWI_XMPP_THREADS_MAX = 64,
  STWI_XMPP_STALL_MS = 500
};

/* Why a link failed. */
struct stwi_xmpp_failure {
  stw_cause cause;
  char detail[STWI_XMPP_DETAIL_BYTES];
};

/* What TLS needs to know; in memory of its owner. */
struct stwi_xmpp_security {
  char *name; /* SNI and name in the certificate */
  char *ca_file, *client_cert, *client_key;
  bool is_insecure;
  bool is_direct; /* from the first byte: says so in ALPN (XEP-0368) */
};

struct stwi_xmpp_socket; /* transport_xmpp_strophe.c */
struct stwi_xmpp_pool;   /* transport_xmpp_pool.c */
struct stwi_xmpp_job;

struct stwi_xmpp {
  struct stwi_loop *loop;
  struct stwi_sink sink;
  struct stwi_resolver *resolver;
  struct stwi_xmpp_pool *pool;
  struct stwi_xmpp_link **conns; /* by conn slot: its links */
  size_t conn_capacity;
  struct stwi_xmpp_link *deferred, **deferred_end;
  uv_async_t *again;                     /* handshakes are over, or something was deferred */
  uv_timer_t *nudge;                     /* runs while a handshake waits for a thread */
  size_t handle_count;                   /* open handles of libuv that are ours */
  const struct sockaddr_in *name_server; /* NULL: the system's; tests set another */
  bool is_freeing;                       /* nothing is put any more */
  bool has_blocked_sigpipe;
  uint8_t buffer[STWI_XMPP_BUFFER_BYTES];
};

enum stwi_xmpp_stage {
  STWI_XMPP_RESOLVING,
  STWI_XMPP_CONNECTING,
  STWI_XMPP_ASKING,   /* for STARTTLS */
  STWI_XMPP_SECURING, /* the handshake runs or waits for a thread */
  STWI_XMPP_OPENING,  /* the stream's header is sent, the server's is awaited */
  STWI_XMPP_UP
};

/* What is needed only until the link is ready. */
struct stwi_xmpp_attempt {
  struct stwi_srv_lookup *srv; /* NULL: not asking for targets */
  struct stwi_lookup *lookup;  /* NULL: not resolving */
  /* What SRV records say, and behind them host and port of the dial unless SRV said enough. */
  struct stwi_srv_targets targets;
  size_t target; /* being tried */
  struct stwi_addresses addresses;
  size_t address; /* being tried */
  struct stwi_xmpp_security security;
  enum stwi_xmpp_tls tls;
  uint32_t unacked_max_ms;
};

struct stwi_xmpp_link {
  struct stwi_xmpp *xmpp;
  struct stwi_xmpp_link *next; /* of the same conn */
  struct stwi_xmpp_link *next_deferred;
  struct stwi_xmpp_attempt *attempt;
  struct stwi_xmpp_socket *socket; /* libstrophe's; NULL in the pool, and once taken over */
  struct stwi_xmpp_job *job;       /* NULL: not in the pool */
  struct stwi_xml_stream *parser;
  uv_poll_t *poll; /* NULL: nothing is waited for on the socket */
  SSL *ssl;        /* once secured */
  char *domain;
  uint8_t *out; /* what the socket did not take yet */
  size_t out_at, out_size, out_room;
  struct stwi_xmpp_failure failure;
  int fd; /* of the socket, ours to close once `socket` is NULL; -1: none */
  int poll_events;
  uint32_t conn, link;
  stw_phase phase;
  enum stwi_xmpp_stage stage;
  bool is_over; /* nothing but DOWN is put */
  bool is_cut;  /* by the core */
  bool is_busy; /* in the middle of something: not to be settled */
  bool is_deferred;
  bool is_paused;
  bool is_writing;     /* WRITABLE is owed */
  bool wants_writable; /* reading waits for the socket to be writable (TLS) */
  bool wants_read;     /* TLS has bytes that the socket does not show */
};

/* transport_xmpp_link.c */
/* NULL without memory. */
struct stwi_xmpp_link *stwi_xmpp_link_new(struct stwi_xmpp *xmpp, uint32_t conn,
                                          uint32_t generation);
struct stwi_xmpp_link *stwi_xmpp_link_of(const struct stwi_xmpp *xmpp, uint32_t conn,
                                         uint32_t generation);
/* Lends the first link at or after conn slot *conn, and behind `link` unless NULL; NULL: no more.
 */
struct stwi_xmpp_link *stwi_xmpp_link_after(const struct stwi_xmpp *xmpp, size_t *conn,
                                            const struct stwi_xmpp_link *link);
void stwi_xmpp_put(struct stwi_xmpp_link *link, struct stwi_input *input);
void stwi_xmpp_phase(struct stwi_xmpp_link *link, stw_phase phase);
/* Has the link looked at again outside of any callback that concerns it. */
void stwi_xmpp_defer(struct stwi_xmpp_link *link);
void stwi_xmpp_run_deferred(struct stwi_xmpp *xmpp);
/* The link is over, for this reason unless it was over already. */
void stwi_xmpp_fail(struct stwi_xmpp_link *link, stw_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Closes, reports the end and frees the link, if it is over. */
void stwi_xmpp_settle(struct stwi_xmpp_link *link);
/* Waits for `events` of libuv on the socket, 0 for none; false without memory. */
bool stwi_xmpp_watch(struct stwi_xmpp_link *link, int events, uv_poll_cb callback);
void stwi_xmpp_unwatch(struct stwi_xmpp_link *link);
void stwi_xmpp_attempt_free(struct stwi_xmpp_link *link);
/* Closes what it has and frees it, without a word. */
void stwi_xmpp_link_free(struct stwi_xmpp_link *link);
void stwi_xmpp_reset(const struct stwi_xmpp_link *link); /* RST, at once */

/* transport_xmpp_dial.c */
void stwi_xmpp_dial(struct stwi_xmpp_link *link, const struct stwi_dial *dial);
/* The server agreed to STARTTLS. */
void stwi_xmpp_secure(struct stwi_xmpp_link *link);
/* From the pool: takes `socket`; `failure` NULL: the handshake succeeded. */
void stwi_xmpp_secured(struct stwi_xmpp_link *link, struct stwi_xmpp_socket *socket,
                       const struct stwi_xmpp_failure *failure);

/* transport_xmpp_stream.c */
/* Sends a stream header and begins to read. */
void stwi_xmpp_open_stream(struct stwi_xmpp_link *link);
void stwi_xmpp_restart(struct stwi_xmpp_link *link);
void stwi_xmpp_write(struct stwi_xmpp_link *link, const uint8_t *data, size_t size);
void stwi_xmpp_read(struct stwi_xmpp_link *link);
/* What SCRAM's PLUS forms bind to, into `binding` of STWI_XMPP_BINDING_BYTES_MAX: its size and
 * static type; 0 and NULL where there is none. */
size_t stwi_xmpp_binding(const struct stwi_xmpp_link *link, uint8_t *binding, const char **type);
/* Waits for what the stream waits for now. */
void stwi_xmpp_rearm(struct stwi_xmpp_link *link);

/* transport_xmpp_elements.c: the parser's hooks, `owner` is the link. */
extern const struct stwi_xml_hooks stwi_xmpp_hooks;

/* transport_xmpp_strophe.c: the only file that knows libstrophe. */
/* Begins to connect, without blocking; NULL with `failure`. */
struct stwi_xmpp_socket *stwi_xmpp_socket_new(const struct stwi_address *address,
                                              const struct stwi_xmpp_security *security,
                                              uint32_t unacked_max_ms,
                                              struct stwi_xmpp_failure *failure);
int stwi_xmpp_socket_fd(const struct stwi_xmpp_socket *socket); /* lends */
/* The TLS handshake: blocks until it is over or the socket is shut down.  Any thread, SIGPIPE
 * blocked in it; `security` is borrowed. */
bool stwi_xmpp_socket_secure(struct stwi_xmpp_socket *socket,
                             const struct stwi_xmpp_security *security,
                             struct stwi_xmpp_failure *failure);
/* Gives descriptor and TLS session (NULL if there is none) to the caller and frees the socket. */
void stwi_xmpp_socket_take(struct stwi_xmpp_socket *socket, int *fd, SSL **ssl);
/* Closes it, without a word on the wire but FIN or RST. */
void stwi_xmpp_socket_free(struct stwi_xmpp_socket *socket);

/* transport_xmpp_pool.c */
/* Threads call `wake` (any thread) when a handshake is over.  NULL without memory. */
struct stwi_xmpp_pool *stwi_xmpp_pool_new(uv_async_t *wake);
/* Ends what runs, waits for the threads. */
void stwi_xmpp_pool_free(struct stwi_xmpp_pool *pool);
/* Takes `socket`, copies `security`; stwi_xmpp_secured comes from stwi_xmpp_pool_collect unless
 * cancelled.  NULL without memory or threads: nothing was taken. */
struct stwi_xmpp_job *stwi_xmpp_pool_add(struct stwi_xmpp_pool *pool, struct stwi_xmpp_link *link,
                                         struct stwi_xmpp_socket *socket,
                                         const struct stwi_xmpp_security *security);
/* Ends the handshake at once, with RST where `abort`; its thread cleans up. */
void stwi_xmpp_pool_cancel(struct stwi_xmpp_pool *pool, struct stwi_xmpp_job *job, bool abort);
/* True if a handshake waits for a thread: then it is to be called again within STWI_XMPP_STALL_MS,
 * and may start one. */
bool stwi_xmpp_pool_collect(struct stwi_xmpp_pool *pool);

#endif
