/* libstrophe 0.12 as a dialler: a connection in raw mode that connects and does TLS.
 *
 * It is let go of as soon as the link is secured, because what comes after would not keep our
 * promises: its loop reads 4 KiB at a time and ends the process at descriptor 1024 (select), its
 * parser recurses over what the peer sent, copies a text once per line and keeps errors to itself,
 * and closing a TLS connection may wait for 1 s.
 *
 * What it does not show is seen through OpenSSL: the SSL object is noticed when it is made (a
 * callback of its extra data), and told there which certificates are trusted, which versions will
 * do, and to remember why a handshake fails.  A libstrophe that was built with another TLS library
 * is refused. */
#include "io/transport_xmpp.h"

#include "core/mem.h"
#include "io/tcp_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strophe.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

struct stwi_xmpp_socket {
  xmpp_ctx_t *context;
  xmpp_conn_t *conn;
  SSL *ssl; /* lent by libstrophe; NULL before the handshake */
  int fd;   /* likewise */
  int error;
  uint32_t unacked_max_ms;
  const struct stwi_xmpp_security *security; /* during the handshake */
  struct stwi_xmpp_failure failure;          /* what callbacks saw of it */
  int alert;                                 /* sent by the peer, -1: none */
};

/* The one that libstrophe works on in this thread: its callbacks have no other argument for it. */
static _Thread_local struct stwi_xmpp_socket *current;

static struct stwi_xmpp_failure make_failure(stw_cause cause, const char *what, const char *why) {
  struct stwi_xmpp_failure failure = {.cause = cause};
  snprintf(failure.detail, sizeof failure.detail, "%.120s: %.120s", what, why);
  return failure;
}

/* The first reason is the one. */
static void note_failure(struct stwi_xmpp_socket *socket, stw_cause cause, const char *what,
                         const char *why) {
  if (socket->failure.detail[0] == '\0')
    socket->failure = make_failure(cause, what, why);
}

/* ---- TLS, seen through OpenSSL ---- */

static const char *openssl_reason(void) {
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason != NULL ? reason : "unknown error";
}

static void note_alert(struct stwi_xmpp_socket *socket, int alert) {
  const bool is_ours = alert != SSL_AD_CLOSE_NOTIFY;
  if (is_ours && socket->alert < 0)
    socket->alert = alert;
}

static void note_error(struct stwi_xmpp_socket *socket) {
  const unsigned long error = ERR_peek_last_error();
  const int reason = ERR_GET_REASON(error);
  if (error == 0 || ERR_SYSTEM_ERROR(error) || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING ||
      socket->alert >= 0)
    return;
  const bool is_weak = reason == SSL_R_EE_KEY_TOO_SMALL || reason == SSL_R_CA_KEY_TOO_SMALL ||
                       reason == SSL_R_CA_MD_TOO_WEAK;
  note_failure(socket, is_weak ? STW_CAUSE_TLS_UNTRUSTED : STW_CAUSE_TLS_PROTOCOL, "TLS handshake",
               openssl_reason());
}

/* libstrophe puts whatever name into SNI and checks it as a host's: an address needs another check
 * and no SNI (RFC 6066 section 3). */
static void fit_address(SSL *ssl) {
  unsigned char address[sizeof(struct in6_addr)];
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == NULL ||
      (inet_pton(AF_INET, name, address) != 1 && inet_pton(AF_INET6, name, address) != 1))
    return;
  X509_VERIFY_PARAM *check = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set1_ip_asc(check, name);
  X509_VERIFY_PARAM_set1_host(check, NULL, 0);
  SSL_set_tlsext_host_name(ssl, NULL);
}

static void on_info(const SSL *ssl, int where, int value) {
  struct stwi_xmpp_socket *socket = current;
  if (socket == NULL || socket->ssl != ssl)
    return;
  if ((where & SSL_CB_HANDSHAKE_START) != 0)
    fit_address(socket->ssl);
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
    note_alert(socket, value & 0xff);
  if ((where & SSL_CB_EXIT) != 0 && value <= 0)
    note_error(socket);
}

static int no_passphrase(char *buffer, int size, int is_writing, void *user) {
  (void)buffer, (void)size, (void)is_writing, (void)user;
  return -1; /* never ask at the terminal */
}

/* Only these, in place of those that libstrophe has loaded. */
static void trust(struct stwi_xmpp_socket *socket, const char *ca_file) {
  X509_STORE *store = X509_STORE_new();
  if (store == NULL || X509_STORE_load_file(store, ca_file) != 1)
    note_failure(socket, STW_CAUSE_CONFIG, ca_file, openssl_reason());
  if (store != NULL)
    SSL_set1_verify_cert_store(socket->ssl, store);
  X509_STORE_free(store);
}

static void show_certificate(struct stwi_xmpp_socket *socket, const char *cert, const char *key) {
  SSL_set_default_passwd_cb(socket->ssl, no_passphrase);
  if (SSL_use_certificate_chain_file(socket->ssl, cert) != 1)
    note_failure(socket, STW_CAUSE_CONFIG, cert, openssl_reason());
  else if (SSL_use_PrivateKey_file(socket->ssl, key, SSL_FILETYPE_PEM) != 1 ||
           SSL_check_private_key(socket->ssl) != 1)
    note_failure(socket, STW_CAUSE_CONFIG, key, openssl_reason());
}

static void prepare(struct stwi_xmpp_socket *socket) {
  static const unsigned char alpn[] = "\x0bxmpp-client";
  const struct stwi_xmpp_security *security = socket->security;
  SSL *ssl = socket->ssl;
  SSL_set_info_callback(ssl, on_info);
  SSL_set_min_proto_version(ssl, TLS1_2_VERSION);
  SSL_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE |
                        SSL_MODE_RELEASE_BUFFERS);
  if (security->is_direct)
    SSL_set_alpn_protos(ssl, alpn, sizeof alpn - 1);
  if (security->ca_file[0] != '\0')
    trust(socket, security->ca_file);
  if (security->client_cert[0] != '\0')
    show_certificate(socket, security->client_cert,
                     security->client_key[0] != '\0' ? security->client_key
                                                     : security->client_cert);
  ERR_clear_error();
}

static void on_ssl_new(void *parent, void *value, CRYPTO_EX_DATA *data, int index, long argl,
                       void *argp) {
  (void)value, (void)data, (void)index, (void)argl, (void)argp;
  if (current == NULL || current->security == NULL)
    return; /* of somebody else in this process */
  current->ssl = parent;
  prepare(current);
}

/* ---- callbacks of libstrophe ---- */

static int on_bad_certificate(const xmpp_tlscert_t *certificate, const char *why) {
  const char *expired = X509_verify_cert_error_string(X509_V_ERR_CERT_HAS_EXPIRED);
  const char *not_yet = X509_verify_cert_error_string(X509_V_ERR_CERT_NOT_YET_VALID);
  const char *host = X509_verify_cert_error_string(X509_V_ERR_HOSTNAME_MISMATCH);
  const char *address = X509_verify_cert_error_string(X509_V_ERR_IP_ADDRESS_MISMATCH);
  stw_cause cause = STW_CAUSE_TLS_UNTRUSTED;
  (void)certificate;
  if (strcmp(why, expired) == 0 || strcmp(why, not_yet) == 0)
    cause = STW_CAUSE_TLS_EXPIRED;
  else if (strcmp(why, host) == 0 || strcmp(why, address) == 0)
    cause = STW_CAUSE_TLS_NAME;
  note_failure(current, cause, "the server's certificate", why);
  return 0;
}

/* select() knows no descriptor from FD_SETSIZE on. */
static int move_down(int fd) {
  if (fd < FD_SETSIZE)
    return fd;
  const int low = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (low >= FD_SETSIZE) {
    close(low);
    errno = ENFILE;
    return -1;
  }
  return low;
}

static int on_socket(xmpp_conn_t *conn, void *descriptor) {
  struct stwi_xmpp_socket *socket = current;
  int *fd = descriptor;
  const int on = 1, low = move_down(*fd);
  (void)conn;
  if (low < 0) {
    socket->error = errno;
    return -1; /* libstrophe closes it */
  }
  if (low != *fd)
    close(*fd);
  *fd = low;
  fcntl(low, F_SETFD, FD_CLOEXEC);
  setsockopt(low, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(low, IPPROTO_TCP, TCP_USER_TIMEOUT, &socket->unacked_max_ms,
             sizeof socket->unacked_max_ms);
  socket->fd = low;
  return 0;
}

static void on_event(xmpp_conn_t *conn, xmpp_conn_event_t event, int error,
                     xmpp_stream_error_t *stream_error, void *owner) {
  (void)conn, (void)event, (void)error, (void)stream_error, (void)owner;
}

/* ---- life ---- */

/* libstrophe keeps the first context that ever had a connection in a static variable, which its
 * parsers compare with: it must be one that stays, and be set before threads can race for it. */
static xmpp_ctx_t *first_context;
static xmpp_conn_t *first_conn;

static void set_up(void) {
  xmpp_initialize();
  first_context = xmpp_ctx_new(NULL, NULL);
  if (first_context != NULL)
    first_conn = xmpp_conn_new(first_context);
  SSL_get_ex_new_index(0, NULL, on_ssl_new, NULL, NULL);
}

static void let_go(struct stwi_xmpp_socket *socket) {
  if (socket->conn != NULL)
    xmpp_conn_release(socket->conn);
  if (socket->context != NULL)
    xmpp_ctx_free(socket->context);
  stwi_free(socket);
}

static struct stwi_xmpp_failure no_low_descriptor(void) {
  struct stwi_xmpp_failure failure = {.cause = STW_CAUSE_OVERLOAD_LOCAL};
  snprintf(failure.detail, sizeof failure.detail,
           "all %d descriptors that libstrophe can connect with are in use", FD_SETSIZE);
  return failure;
}

static struct stwi_xmpp_failure why_not(const struct stwi_xmpp_socket *socket,
                                        const char *address) {
  struct rlimit limit;
  if (socket->error == ENFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur > FD_SETSIZE)
    return no_low_descriptor();
  struct stwi_xmpp_failure failure = {.cause = stwi_tcp_cause(socket->error)};
  snprintf(failure.detail, sizeof failure.detail, "connecting to %s: %s", address,
           strerror(socket->error));
  return failure;
}

static bool connect_to(struct stwi_xmpp_socket *socket, const struct stwi_address *address,
                       const char *text) {
  const bool is_v6 = address->at.any.sa_family == AF_INET6;
  const uint16_t port = ntohs(is_v6 ? address->at.v6.sin6_port : address->at.v4.sin_port);
  current = socket;
  errno = 0;
  const int status = xmpp_connect_raw(socket->conn, text, port, on_event, NULL);
  current = NULL;
  if (socket->error == 0)
    socket->error = errno;
  return status == XMPP_EOK;
}

struct stwi_xmpp_socket *stwi_xmpp_socket_new(const struct stwi_address *address,
                                              const struct stwi_xmpp_security *security,
                                              uint32_t unacked_max_ms,
                                              struct stwi_xmpp_failure *failure) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  char text[INET6_ADDRSTRLEN];
  pthread_once(&once, set_up);
  stwi_address_format(address, text);
  *failure = (struct stwi_xmpp_failure){STW_CAUSE_OVERLOAD_LOCAL, "no memory for a connection"};
  struct stwi_xmpp_socket *socket = stwi_alloc(sizeof *socket);
  if (socket == NULL)
    return NULL;
  memset(socket, 0, sizeof *socket);
  socket->fd = -1;
  socket->alert = -1;
  socket->unacked_max_ms = unacked_max_ms;
  socket->context = xmpp_ctx_new(NULL, NULL);
  socket->conn = socket->context == NULL ? NULL : xmpp_conn_new(socket->context);
  if (socket->conn == NULL) {
    let_go(socket);
    return NULL;
  }
  xmpp_conn_set_flags(socket->conn, XMPP_CONN_FLAG_DISABLE_SM |
                                        (security->is_insecure ? XMPP_CONN_FLAG_TRUST_TLS : 0));
  xmpp_conn_set_jid(socket->conn, security->name);
  xmpp_conn_set_certfail_handler(socket->conn, on_bad_certificate);
  xmpp_conn_set_sockopt_callback(socket->conn, on_socket);
  if (connect_to(socket, address, text))
    return socket;
  *failure = why_not(socket, text);
  let_go(socket);
  return NULL;
}

int stwi_xmpp_socket_fd(const struct stwi_xmpp_socket *socket) {
  return socket->fd;
}

static struct stwi_xmpp_failure why_not_secure(const struct stwi_xmpp_socket *socket) {
  if (socket->failure.detail[0] != '\0')
    return socket->failure;
  if (socket->alert >= 0) {
    const bool is_version =
        socket->alert == TLS1_AD_PROTOCOL_VERSION || socket->alert == TLS1_AD_INSUFFICIENT_SECURITY;
    return make_failure(is_version ? STW_CAUSE_TLS_PROTOCOL : STW_CAUSE_TLS_ALERT,
                        "the server's alert", SSL_alert_desc_string_long(socket->alert));
  }
  if (socket->ssl == NULL)
    return make_failure(STW_CAUSE_CONFIG, "TLS",
                        "libstrophe of this machine was not built with OpenSSL");
  return make_failure(STW_CAUSE_TCP_RESET, "TLS handshake", "the peer ended the connection");
}

/* What the handshake needed, and is not needed any more: the CAs of the system are 800 KiB. */
static void slim(SSL *ssl) {
  X509_STORE *empty = X509_STORE_new();
  SSL_set1_verify_cert_store(ssl, NULL);
  if (empty != NULL)
    SSL_CTX_set_cert_store(SSL_get_SSL_CTX(ssl), empty);
}

bool stwi_xmpp_socket_secure(struct stwi_xmpp_socket *socket,
                             const struct stwi_xmpp_security *security,
                             struct stwi_xmpp_failure *failure) {
  ERR_clear_error();
  socket->security = security;
  current = socket;
  const int status = xmpp_conn_tls_start(socket->conn);
  current = NULL;
  socket->security = NULL;
  const bool is_good =
      status == XMPP_EOK && socket->ssl != NULL && socket->failure.detail[0] == '\0';
  if (is_good)
    slim(socket->ssl);
  else
    *failure = why_not_secure(socket);
  if (status != XMPP_EOK)
    socket->ssl = NULL; /* libstrophe has freed it */
  ERR_clear_error();
  return is_good;
}

/* Out of the way of those that are to be secured yet. */
static int move_up(int fd) {
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE);
  return high >= 0 ? high : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

void stwi_xmpp_socket_take(struct stwi_xmpp_socket *socket, int *fd, SSL **ssl) {
  *fd = move_up(socket->fd);
  *ssl = socket->ssl;
  if (*ssl == NULL) {
    let_go(socket);
    return;
  }
  SSL_set_info_callback(*ssl, NULL);
  SSL_set_app_data(*ssl, NULL);
  SSL_up_ref(*ssl);
  SSL_set_quiet_shutdown(*ssl, 1);
  let_go(socket);
  SSL_set_quiet_shutdown(*ssl, 0);
  SSL_set_shutdown(*ssl, 0);
  /* Else OpenSSL answers a bare FIN with an alert, and the RST that this provokes hides the FIN. */
  SSL_set_options(*ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (*fd >= 0)
    SSL_set_fd(*ssl, *fd);
}

void stwi_xmpp_socket_free(struct stwi_xmpp_socket *socket) {
  if (socket->ssl != NULL)
    SSL_set_quiet_shutdown(socket->ssl, 1);
  let_go(socket);
}
