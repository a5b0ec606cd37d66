/* io_tls.h: certificates made on the spot, each wrong in its own way, and peers that show them. */
#ifndef TESTS_IO_TLS_H
#define TESTS_IO_TLS_H

#include "io_world.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { CERT_DAY_S = 24 * 3600 };

struct cert {
  X509 *x509;
  EVP_PKEY *key;
};

struct cert_wish {
  const char *name;     /* subject */
  const char *san;      /* "DNS:example.test,IP:127.0.0.1", NULL for none */
  const char *eku;      /* "serverAuth", NULL for none */
  long from_s, until_s; /* from now; both 0: a day around now */
  int rsa_bits;         /* 0: P-256 */
  const EVP_MD *digest; /* NULL: SHA-256 */
  bool is_ca;
  const struct cert *issuer; /* NULL: self-signed */
};

static inline void cert_extend(X509 *x509, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  assert_non_null(extension);
  X509_add_ext(x509, extension, -1);
  X509_EXTENSION_free(extension);
}

static inline struct cert cert_make(struct cert_wish wish) {
  static long serial;
  struct cert cert = {.x509 = X509_new()};
  cert.key = wish.rsa_bits != 0 ? EVP_RSA_gen((unsigned)wish.rsa_bits) : EVP_EC_gen("P-256");
  assert_non_null(cert.key);
  X509_set_version(cert.x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), ++serial);
  if (wish.from_s == 0 && wish.until_s == 0) {
    wish.from_s = -CERT_DAY_S;
    wish.until_s = CERT_DAY_S;
  }
  X509_gmtime_adj(X509_getm_notBefore(cert.x509), wish.from_s);
  X509_gmtime_adj(X509_getm_notAfter(cert.x509), wish.until_s);
  X509_set_pubkey(cert.x509, cert.key);
  X509_NAME *name = X509_get_subject_name(cert.x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wish.name, -1, -1, 0);
  const struct cert *issuer = wish.issuer != NULL ? wish.issuer : &cert;
  X509_set_issuer_name(cert.x509, X509_get_subject_name(issuer->x509));
  cert_extend(cert.x509, issuer->x509, NID_basic_constraints,
              wish.is_ca ? "critical,CA:TRUE" : "CA:FALSE");
  if (wish.san != NULL)
    cert_extend(cert.x509, issuer->x509, NID_subject_alt_name, wish.san);
  if (wish.eku != NULL)
    cert_extend(cert.x509, issuer->x509, NID_ext_key_usage, wish.eku);
  X509_sign(cert.x509, issuer->key, wish.digest != NULL ? wish.digest : EVP_sha256());
  return cert;
}

static inline void cert_free(struct cert *cert) {
  X509_free(cert->x509);
  EVP_PKEY_free(cert->key);
}

/* Writes certificate and key as PEM to a new file; its name goes into `path`. */
static inline void cert_save(const struct cert *cert, bool with_key, char *path, size_t room) {
  const char *folder = getenv("TMPDIR");
  snprintf(path, room, "%s/stw-cert-XXXXXX", folder != NULL ? folder : "/tmp");
  const int fd = mkstemp(path);
  assert_true(fd >= 0);
  FILE *file = fdopen(fd, "w");
  assert_int_equal(PEM_write_X509(file, cert->x509), 1);
  if (with_key)
    assert_int_equal(PEM_write_PrivateKey(file, cert->key, NULL, NULL, 0, NULL, NULL), 1);
  fclose(file);
}

/* What a TLS peer shows and asks for. */
struct tls_peer {
  struct peer peer; /* first: a peer's serve function gets it */
  struct cert cert;
  X509 *extra;     /* sent along, NULL for none */
  X509 *client_ca; /* client certificates of this one are required, NULL for none */
  int max_version; /* 0: any */
  const char *ciphers;
  char sni[128]; /* "" if none came */
  bool has_alpn;
  bool was_shut_down; /* the client said close_notify */
  void (*serve)(struct tls_peer *peer, SSL *ssl);
};

static inline int tls_note_sni(SSL *ssl, int *alert, void *arg) {
  struct tls_peer *peer = arg;
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  (void)alert;
  snprintf(peer->sni, sizeof peer->sni, "%s", name != NULL ? name : "");
  return SSL_TLSEXT_ERR_OK;
}

static inline int tls_note_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                                const unsigned char *in, unsigned in_size, void *arg) {
  struct tls_peer *peer = arg;
  (void)ssl;
  peer->has_alpn = in_size == 9 && memcmp(in, "\x08http/1.1", 9) == 0;
  *out = in + 1;
  *out_size = in[0];
  return SSL_TLSEXT_ERR_OK;
}

static inline SSL_CTX *tls_peer_context(struct tls_peer *peer) {
  SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_security_level(tls, 0); /* so that weak things can be shown at all */
  if (peer->max_version != 0) {
    SSL_CTX_set_min_proto_version(tls, 0);
    SSL_CTX_set_max_proto_version(tls, peer->max_version);
  }
  if (peer->ciphers != NULL)
    SSL_CTX_set_cipher_list(tls, peer->ciphers);
  SSL_CTX_use_certificate(tls, peer->cert.x509);
  SSL_CTX_use_PrivateKey(tls, peer->cert.key);
  if (peer->extra != NULL) {
    X509_up_ref(peer->extra);
    SSL_CTX_add_extra_chain_cert(tls, peer->extra);
  }
  if (peer->client_ca != NULL) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), peer->client_ca);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  }
  SSL_CTX_set_tlsext_servername_callback(tls, tls_note_sni);
  SSL_CTX_set_tlsext_servername_arg(tls, peer);
  SSL_CTX_set_alpn_select_cb(tls, tls_note_alpn, peer);
  return tls;
}

static inline void serve_tls(struct peer *base, int fd) {
  struct tls_peer *peer = (struct tls_peer *)base;
  SSL_CTX *tls = tls_peer_context(peer);
  SSL *ssl = SSL_new(tls);
  SSL_set_fd(ssl, fd);
  if (SSL_accept(ssl) == 1)
    peer->serve(peer, ssl);
  peer->was_shut_down = (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
  SSL_free(ssl);
  SSL_CTX_free(tls);
  ERR_clear_error();
}

static inline bool tls_upgrade(struct tls_peer *peer, SSL *ssl, const char *data) {
  char *request = peer->peer.request, answer[8 * 1024];
  size_t size = 0;
  while (size < 4 || memcmp(request + size - 4, "\r\n\r\n", 4) != 0) {
    if (size + 1 >= sizeof peer->peer.request || SSL_read(ssl, request + size, 1) != 1)
      return false;
    request[++size] = '\0';
  }
  const size_t answer_size = make_upgrade(request, "", data, answer, sizeof answer);
  return SSL_write(ssl, answer, (int)answer_size) == (int)answer_size;
}

static inline void tls_echo(struct tls_peer *peer, SSL *ssl) {
  char buffer[32 * 1024];
  int size;
  if (!tls_upgrade(peer, ssl, "early"))
    return;
  while ((size = SSL_read(ssl, buffer, sizeof buffer)) > 0)
    SSL_write(ssl, buffer, size);
}

#endif
