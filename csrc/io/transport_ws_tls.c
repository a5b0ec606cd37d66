/* TLS: one OpenSSL context and vhost per profile, and the real reason when a handshake fails.
 *
 * libwebsockets empties OpenSSL's error queue before it reports ("SSL err 1"), so the reason is
 * caught by an info callback while the handshake function returns, and kept with the SSL object. */
#include "io/transport_ws.h"

#include "core/mem.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
  /* libwebsockets checks no name that is an IPv6 address (it ends the name at the first colon), and
   * cuts longer ones.  Ours is checked in stwi_ws_tls_check in every case. */
  LWS_NAME_BYTES_MAX = 126
};

/* What was seen of one handshake. */
struct note {
  unsigned long error; /* OpenSSL's code; 0: none */
  int alert;           /* sent by the peer; -1: none */
};

static int note_index = -1;

static void free_note(void *parent, void *note, CRYPTO_EX_DATA *data, int index, long argl,
                      void *argp) {
  (void)parent, (void)data, (void)index, (void)argl, (void)argp;
  stwi_free(note);
}

static void make_index(void) {
  note_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_note);
}

static struct note *note_of(const SSL *ssl) {
  return ssl == NULL || note_index < 0 ? NULL : SSL_get_ex_data(ssl, note_index);
}

/* RFC 6066 section 3: no address in the server name. */
static void drop_numeric_sni(SSL *ssl) {
  struct in_addr v4;
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name != NULL && inet_pton(AF_INET, name, &v4) == 1)
    SSL_set_tlsext_host_name(ssl, NULL);
}

static void begin_note(SSL *ssl) {
  if (note_of(ssl) != NULL)
    return;
  drop_numeric_sni(ssl);
  struct note *note = stwi_alloc(sizeof *note);
  if (note == NULL)
    return;
  *note = (struct note){.alert = -1};
  if (SSL_set_ex_data(ssl, note_index, note) != 1)
    stwi_free(note);
}

static void on_info(const SSL *ssl, int where, int value) {
  if ((where & SSL_CB_HANDSHAKE_START) != 0)
    begin_note((SSL *)(uintptr_t)ssl);
  struct note *note = note_of(ssl);
  if (note == NULL)
    return;
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != SSL_AD_CLOSE_NOTIFY)
    note->alert = value & 0xff;
  if ((where & SSL_CB_EXIT) != 0 && value <= 0 && ERR_peek_last_error() != 0)
    note->error = ERR_peek_last_error();
}

/* ---- profiles ---- */

static int no_passphrase(char *buffer, int size, int is_writing, void *user) {
  (void)buffer, (void)size, (void)is_writing, (void)user;
  return -1; /* never ask at the terminal */
}

static struct stwi_ws_failure broken_file(const char *what, const char *path) {
  const unsigned long error = ERR_peek_last_error();
  const char *reason = ERR_reason_error_string(error);
  char text[128];
  if (reason == NULL)
    ERR_error_string_n(error, text, sizeof text);
  const struct stwi_ws_failure failure = stwi_ws_failure(
      STW_CAUSE_CONFIG, "%s %.120s cannot be used: %s", what, path, reason != NULL ? reason : text);
  ERR_clear_error();
  return failure;
}

static bool load_key(SSL_CTX *tls, const struct stwi_dial *dial, struct stwi_ws_failure *failure) {
  if (dial->client_cert[0] == '\0')
    return true;
  const char *key = dial->client_key[0] != '\0' ? dial->client_key : dial->client_cert;
  if (SSL_CTX_use_certificate_chain_file(tls, dial->client_cert) != 1) {
    *failure = broken_file("client_cert", dial->client_cert);
    return false;
  }
  if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(tls) != 1) {
    *failure = broken_file("client_key", key);
    return false;
  }
  return true;
}

static bool load_trust(SSL_CTX *tls, const struct stwi_dial *dial,
                       struct stwi_ws_failure *failure) {
  if (dial->ca_file[0] == '\0')
    return SSL_CTX_set_default_verify_paths(tls) == 1; /* SSL_CERT_FILE and SSL_CERT_DIR, too */
  if (SSL_CTX_load_verify_file(tls, dial->ca_file) == 1)
    return true;
  *failure = broken_file("ca_file", dial->ca_file);
  return false;
}

static SSL_CTX *make_tls(const struct stwi_dial *dial, struct stwi_ws_failure *failure) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_index);
  ERR_clear_error();
  *failure = stwi_ws_failure(STW_CAUSE_OVERLOAD_LOCAL, "no memory for a TLS context");
  SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
  if (tls == NULL)
    return NULL;
  SSL_CTX_set_info_callback(tls, on_info);
  SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
  SSL_CTX_set_mode(tls, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(tls, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  if (SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 && load_trust(tls, dial, failure) &&
      load_key(tls, dial, failure))
    return tls;
  SSL_CTX_free(tls);
  return NULL;
}

static uint64_t mix(uint64_t stamp, uint64_t value) {
  return (stamp ^ value) * 0x9e3779b97f4a7c15ull;
}

/* Changes when the file does. */
static uint64_t stamp_of(uint64_t stamp, const char *path) {
  struct stat file;
  if (path[0] == '\0' || stat(path, &file) != 0)
    return mix(stamp, 0);
  stamp = mix(mix(stamp, file.st_ino), (uint64_t)file.st_size);
  return mix(mix(stamp, (uint64_t)file.st_mtim.tv_sec), (uint64_t)file.st_mtim.tv_nsec);
}

static uint64_t stamp_of_files(const struct stwi_dial *dial) {
  return stamp_of(stamp_of(stamp_of(1, dial->ca_file), dial->client_cert), dial->client_key);
}

static bool fits(const struct stwi_ws_profile *profile, const struct stwi_dial *dial,
                 uint64_t stamp) {
  if ((profile->tls != NULL) != dial->is_tls)
    return false;
  return !dial->is_tls || (profile->is_insecure == dial->is_insecure && profile->stamp == stamp &&
                           strcmp(profile->ca_file, dial->ca_file) == 0 &&
                           strcmp(profile->client_cert, dial->client_cert) == 0 &&
                           strcmp(profile->client_key, dial->client_key) == 0);
}

static struct stwi_ws_profile *profile_new(const struct stwi_dial *dial, uint64_t stamp) {
  const size_t ca_size = strlen(dial->ca_file) + 1, cert_size = strlen(dial->client_cert) + 1;
  const size_t key_size = strlen(dial->client_key) + 1;
  struct stwi_ws_profile *profile = stwi_alloc(sizeof *profile + ca_size + cert_size + key_size);
  if (profile == NULL)
    return NULL;
  memset(profile, 0, sizeof *profile);
  profile->is_insecure = dial->is_insecure;
  profile->stamp = stamp;
  profile->ca_file = memcpy(profile->text, dial->ca_file, ca_size);
  profile->client_cert = memcpy(profile->text + ca_size, dial->client_cert, cert_size);
  profile->client_key = memcpy(profile->text + ca_size + cert_size, dial->client_key, key_size);
  return profile;
}

static struct lws_vhost *make_vhost(struct stwi_ws *ws, SSL_CTX *tls) {
  const struct lws_context_creation_info info = {
      .port = CONTEXT_PORT_NO_LISTEN,
      .protocols = stwi_ws_protocols,
      .vhost_name = "steadwire",
      /* Without a context of ours libwebsockets would make one, with all CAs of the system. */
      .options = LWS_SERVER_OPTION_LIBUV | (tls != NULL ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
      .provided_client_ssl_ctx = tls,
      /* Else the environment's http_proxy would be used. */
      .http_proxy_address = "",
      .connect_timeout_secs = STWI_WS_NO_DEADLINE_S,
  };
  return lws_create_vhost(ws->context, &info);
}

struct stwi_ws_profile *stwi_ws_profile(struct stwi_ws *ws, const struct stwi_dial *dial,
                                        struct stwi_ws_failure *failure) {
  const uint64_t stamp = dial->is_tls ? stamp_of_files(dial) : 0;
  struct stwi_ws_profile *profile = ws->profiles;
  while (profile != NULL && !fits(profile, dial, stamp))
    profile = profile->next;
  if (profile != NULL)
    return profile;
  SSL_CTX *tls = dial->is_tls ? make_tls(dial, failure) : NULL;
  if (dial->is_tls && tls == NULL)
    return NULL;
  *failure = stwi_ws_failure(STW_CAUSE_OVERLOAD_LOCAL, "no memory for a TLS profile");
  profile = profile_new(dial, stamp);
  struct lws_vhost *vhost = profile != NULL ? make_vhost(ws, tls) : NULL;
  if (vhost == NULL) {
    SSL_CTX_free(tls);
    stwi_free(profile);
    return NULL;
  }
  profile->vhost = vhost;
  profile->tls = tls;
  profile->next = ws->profiles;
  ws->profiles = profile;
  return profile;
}

void stwi_ws_profiles_free(struct stwi_ws *ws) {
  while (ws->profiles != NULL) {
    struct stwi_ws_profile *profile = ws->profiles;
    ws->profiles = profile->next;
    SSL_CTX_free(profile->tls);
    stwi_free(profile);
  }
}

/* ---- checks ---- */

int stwi_ws_tls_flags(const struct stwi_ws_attempt *attempt) {
  if (attempt->profile->tls == NULL)
    return 0;
  int flags = LCCSCF_USE_SSL;
  if (attempt->profile->is_insecure)
    flags |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_ALLOW_EXPIRED | LCCSCF_ALLOW_INSECURE |
             LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
  if (strchr(attempt->name, ':') != NULL || strlen(attempt->name) > LWS_NAME_BYTES_MAX)
    flags |= LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
  return flags;
}

void stwi_ws_tls_excuse(const struct stwi_ws_attempt *attempt, X509_STORE_CTX *chain,
                        bool is_good) {
  if (!is_good && attempt->profile->is_insecure)
    X509_STORE_CTX_set_error(chain, X509_V_OK);
}

static bool is_for(X509 *certificate, const char *name) {
  unsigned char address[sizeof(struct in6_addr)];
  if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
    return X509_check_ip_asc(certificate, name, 0) == 1;
  return X509_check_host(certificate, name, strlen(name), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                         NULL) == 1;
}

static struct stwi_ws_failure bad_certificate(long error, const char *name) {
  const char *text = X509_verify_cert_error_string(error);
  switch (error) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return stwi_ws_failure(STW_CAUSE_TLS_EXPIRED, "the server's certificate: %s", text);
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    return stwi_ws_failure(STW_CAUSE_TLS_NAME, "the server's certificate is not for %.150s", name);
  default:
    return stwi_ws_failure(STW_CAUSE_TLS_UNTRUSTED, "the server's certificate: %s", text);
  }
}

bool stwi_ws_tls_check(struct stwi_ws_lane *lane, struct stwi_ws_failure *failure) {
  const struct stwi_ws_attempt *attempt = lane->link->attempt;
  if (attempt->profile->tls == NULL)
    return true;
  SSL *ssl = lws_get_ssl(lane->wsi);
  /* Else OpenSSL answers a bare FIN with an alert, and the RST that this provokes hides the FIN.
   * What is cut short is seen by the frames.  In the handshake libwebsockets would spin on it. */
  if (ssl != NULL)
    SSL_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (attempt->profile->is_insecure)
    return true;
  X509 *certificate = ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);
  long error = certificate == NULL ? X509_V_ERR_UNSPECIFIED : SSL_get_verify_result(ssl);
  if (error == X509_V_OK && !is_for(certificate, attempt->name))
    error = X509_V_ERR_HOSTNAME_MISMATCH;
  X509_free(certificate);
  if (error != X509_V_OK)
    *failure = bad_certificate(error, attempt->name);
  return error == X509_V_OK;
}

/* ---- reasons ---- */

static struct stwi_ws_failure refused_by_alert(int alert) {
  const char *text = SSL_alert_desc_string_long(alert);
  if (alert == TLS1_AD_PROTOCOL_VERSION || alert == TLS1_AD_INSUFFICIENT_SECURITY)
    return stwi_ws_failure(STW_CAUSE_TLS_PROTOCOL, "the server's alert: %s", text);
  return stwi_ws_failure(STW_CAUSE_TLS_ALERT, "the server's alert: %s", text);
}

static bool is_weak_certificate(int reason) {
  return reason == SSL_R_EE_KEY_TOO_SMALL || reason == SSL_R_CA_KEY_TOO_SMALL ||
         reason == SSL_R_CA_MD_TOO_WEAK;
}

static bool is_end_of_stream(unsigned long error) {
  return error == 0 || ERR_SYSTEM_ERROR(error) ||
         ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

bool stwi_ws_tls_why(struct stwi_ws_lane *lane, struct stwi_ws_failure *failure) {
  const struct stwi_ws_attempt *attempt = lane->link->attempt;
  const SSL *ssl = lane->wsi == NULL ? NULL : lws_get_ssl(lane->wsi);
  const struct note *note = note_of(ssl);
  if (note == NULL)
    return false;
  const long verified = SSL_get_verify_result(ssl);
  if (verified != X509_V_OK && !attempt->profile->is_insecure) {
    *failure = bad_certificate(verified, attempt->name);
    return true;
  }
  if (note->alert >= 0) {
    *failure = refused_by_alert(note->alert);
    return true;
  }
  if (is_end_of_stream(note->error))
    return false;
  const int reason = ERR_GET_REASON(note->error);
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified == X509_V_OK) {
    /* No certificate is to blame: the host process has set up libwebsockets once more meanwhile. */
    *failure = stwi_ws_failure(STW_CAUSE_TCP_RESET, "the TLS handshake was disturbed locally");
    return true;
  }
  const char *text = ERR_reason_error_string(note->error);
  *failure = stwi_ws_failure(is_weak_certificate(reason) ? STW_CAUSE_TLS_UNTRUSTED
                                                         : STW_CAUSE_TLS_PROTOCOL,
                             "TLS handshake: %s", text != NULL ? text : "unknown error");
  return true;
}

const char *stwi_ws_tls_alert(struct stwi_ws_lane *lane) {
  const struct note *note = note_of(lane->wsi == NULL ? NULL : lws_get_ssl(lane->wsi));
  return note == NULL || note->alert < 0 ? NULL : SSL_alert_desc_string_long(note->alert);
}
