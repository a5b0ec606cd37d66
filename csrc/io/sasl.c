#include "io/sasl.h"

#include "core/mem.h"

#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
  HASH_BYTES_MAX = 32,
  CACHE_ENTRIES = 256,
  /* About 0.1 s of work.  Servers use 4096 to 10000; a hostile one asks for 2^31. */
  ITERATIONS_MAX = 200000,
  SALT_BYTES_MAX = 1024
};

/* A derived key, under a digest of all it was derived from. */
struct derived {
  uint8_t key[HASH_BYTES_MAX];
  uint8_t salted[HASH_BYTES_MAX];
  bool is_set;
};

struct stwi_sasl {
  Gsasl *gsasl;
  struct derived cache[CACHE_ENTRIES];
};

struct mechanism {
  const char *name;
  const char *hash; /* SCRAM; NULL: none is */
  bool has_binding; /* PLUS */
  bool needs_password;
};

static const struct mechanism mechanisms[] = {
    {"SCRAM-SHA-256-PLUS", "SHA256", true, true},
    {"SCRAM-SHA-1-PLUS", "SHA1", true, true},
    {"SCRAM-SHA-256", "SHA256", false, true},
    {"SCRAM-SHA-1", "SHA1", false, true},
    {"PLAIN", NULL, false, true},
    {"EXTERNAL", NULL, false, false},
    {"ANONYMOUS", NULL, false, false},
};

struct stwi_sasl_exchange {
  struct stwi_sasl *sasl;
  const struct mechanism *mechanism;
  Gsasl_session *session;
  char *output; /* of GNU SASL */
  size_t output_size;
  const char *why;
  size_t password_size;
  char password[]; /* wiped at the end */
};

static const struct mechanism *mechanism_of(const char *name) {
  for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
    if (strcmp(mechanisms[i].name, name) == 0)
      return &mechanisms[i];
  }
  return NULL;
}

/* ---- SCRAM's key derivation ---- */

static bool add(EVP_MD_CTX *digest, const char *text) {
  return EVP_DigestUpdate(digest, text, strlen(text) + 1) == 1;
}

static bool make_key(const struct stwi_sasl_exchange *exchange, const char *salt,
                     const char *iterations, uint8_t *key) {
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  const bool is_made = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                       add(digest, exchange->mechanism->hash) && add(digest, salt) &&
                       add(digest, iterations) && add(digest, exchange->password) &&
                       EVP_DigestFinal_ex(digest, key, NULL) == 1;
  EVP_MD_CTX_free(digest);
  return is_made;
}

static bool derive(struct stwi_sasl_exchange *exchange, const char *salt, int iterations,
                   const EVP_MD *hash, uint8_t *salted) {
  uint8_t raw[SALT_BYTES_MAX];
  char *prepared = NULL;
  const size_t salt_size = strlen(salt);
  if (salt_size == 0 || salt_size % 4 != 0 || salt_size > sizeof raw / 3 * 4) {
    exchange->why = "the salt of the server is no Base64, or too long";
    return false;
  }
  int raw_size = EVP_DecodeBlock(raw, (const unsigned char *)salt, (int)salt_size);
  for (size_t i = salt_size; raw_size > 0 && i > salt_size - 2 && salt[i - 1] == '='; i--)
    raw_size--;
  if (raw_size <= 0) {
    exchange->why = "the salt of the server is no Base64, or too long";
    return false;
  }
  if (gsasl_saslprep(exchange->password, 0, &prepared, NULL) != GSASL_OK) {
    exchange->why = "the password has characters that SASLprep (RFC 4013) forbids";
    return false;
  }
  const bool is_made = PKCS5_PBKDF2_HMAC(prepared, -1, raw, raw_size, iterations, hash,
                                         EVP_MD_get_size(hash), salted) == 1;
  OPENSSL_cleanse(prepared, strlen(prepared));
  gsasl_free(prepared);
  return is_made;
}

static int give_salted(struct stwi_sasl_exchange *exchange, const uint8_t *salted, size_t size) {
  static const char digits[] = "0123456789abcdef";
  char hex[2 * HASH_BYTES_MAX + 1];
  for (size_t i = 0; i < size; i++) {
    hex[2 * i] = digits[salted[i] >> 4];
    hex[2 * i + 1] = digits[salted[i] & 15];
  }
  hex[2 * size] = '\0';
  const int status = gsasl_property_set(exchange->session, GSASL_SCRAM_SALTED_PASSWORD, hex);
  OPENSSL_cleanse(hex, sizeof hex);
  return status;
}

static int salt_password(struct stwi_sasl_exchange *exchange) {
  const char *salt = gsasl_property_fast(exchange->session, GSASL_SCRAM_SALT);
  const char *count = gsasl_property_fast(exchange->session, GSASL_SCRAM_ITER);
  uint8_t key[HASH_BYTES_MAX], salted[HASH_BYTES_MAX];
  if (salt == NULL || count == NULL)
    return GSASL_NO_CALLBACK; /* not asked for by the server yet */
  const long iterations = strtol(count, NULL, 10);
  if (iterations < 1 || iterations > ITERATIONS_MAX) {
    exchange->why = "the server asks for more than 200000 iterations of SCRAM, or for none";
    return GSASL_NO_PASSWORD;
  }
  const EVP_MD *hash = strcmp(exchange->mechanism->hash, "SHA1") == 0 ? EVP_sha1() : EVP_sha256();
  const size_t size = (size_t)EVP_MD_get_size(hash);
  if (!make_key(exchange, salt, count, key))
    return GSASL_MALLOC_ERROR;
  struct derived *known = &exchange->sasl->cache[key[0] % CACHE_ENTRIES];
  if (known->is_set && memcmp(known->key, key, sizeof key) == 0)
    return give_salted(exchange, known->salted, size);
  if (!derive(exchange, salt, (int)iterations, hash, salted))
    return GSASL_NO_PASSWORD;
  memcpy(known->key, key, sizeof key);
  memcpy(known->salted, salted, size);
  known->is_set = true;
  const int status = give_salted(exchange, salted, size);
  OPENSSL_cleanse(salted, sizeof salted);
  return status;
}

/* ---- GNU SASL asks ---- */

static int on_property(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property) {
  struct stwi_sasl_exchange *exchange = gsasl_session_hook_get(session);
  (void)gsasl;
  if (exchange == NULL || exchange->mechanism == NULL)
    return GSASL_NO_CALLBACK;
  if (property == GSASL_SCRAM_SALTED_PASSWORD && exchange->mechanism->hash != NULL)
    return salt_password(exchange);
  /* SCRAM never gets the password: it would derive by itself, without a limit. */
  if (property == GSASL_PASSWORD && exchange->mechanism->hash == NULL &&
      exchange->mechanism->needs_password)
    return gsasl_property_set(session, GSASL_PASSWORD, exchange->password);
  return GSASL_NO_CALLBACK;
}

/* ---- life ---- */

struct stwi_sasl *stwi_sasl_new(void) {
  struct stwi_sasl *sasl = stwi_alloc(sizeof *sasl);
  if (sasl == NULL)
    return NULL;
  memset(sasl, 0, sizeof *sasl);
  if (gsasl_init(&sasl->gsasl) != GSASL_OK) {
    stwi_free(sasl);
    return NULL;
  }
  gsasl_callback_set(sasl->gsasl, on_property);
  return sasl;
}

void stwi_sasl_free(struct stwi_sasl *sasl) {
  if (sasl == NULL)
    return;
  gsasl_done(sasl->gsasl);
  OPENSSL_cleanse(sasl->cache, sizeof sasl->cache);
  stwi_free(sasl);
}

bool stwi_sasl_knows(const struct stwi_sasl *sasl, const char *mechanism) {
  return mechanism_of(mechanism) != NULL && gsasl_client_support_p(sasl->gsasl, mechanism) != 0;
}

static int give(Gsasl_session *session, Gsasl_property property, const char *value) {
  return value == NULL ? GSASL_OK : gsasl_property_set(session, property, value);
}

static int give_binding(Gsasl_session *session, const struct stwi_sasl_credentials *credentials) {
  char *text = NULL;
  const bool is_exporter = strcmp(credentials->binding_type, "tls-exporter") == 0;
  int status =
      gsasl_base64_to((const char *)credentials->binding, credentials->binding_size, &text, NULL);
  if (status == GSASL_OK)
    status = gsasl_property_set(session, is_exporter ? GSASL_CB_TLS_EXPORTER : GSASL_CB_TLS_UNIQUE,
                                text);
  gsasl_free(text);
  return status;
}

static bool give_all(struct stwi_sasl_exchange *exchange,
                     const struct stwi_sasl_credentials *credentials) {
  Gsasl_session *session = exchange->session;
  return give(session, GSASL_AUTHID, credentials->user) == GSASL_OK &&
         give(session, GSASL_AUTHZID, credentials->authzid) == GSASL_OK &&
         give(session, GSASL_SERVICE, "xmpp") == GSASL_OK &&
         give(session, GSASL_HOSTNAME, credentials->domain) == GSASL_OK &&
         give(session, GSASL_ANONYMOUS_TOKEN, "") == GSASL_OK &&
         (!exchange->mechanism->has_binding || give_binding(session, credentials) == GSASL_OK);
}

static const char *what_lacks(const struct mechanism *mechanism,
                              const struct stwi_sasl_credentials *credentials) {
  if (mechanism->needs_password && (credentials->user == NULL || credentials->password == NULL))
    return "this SASL mechanism needs a user and a password";
  if (mechanism->has_binding && (credentials->binding_type == NULL || credentials->binding == NULL))
    return "this SASL mechanism needs the channel binding of TLS";
  return NULL;
}

static struct stwi_sasl_exchange *
exchange_new(struct stwi_sasl *sasl, const struct mechanism *mechanism, const char *password) {
  const size_t size = password == NULL ? 1 : strlen(password) + 1;
  struct stwi_sasl_exchange *exchange = stwi_alloc(sizeof *exchange + size);
  if (exchange == NULL)
    return NULL;
  memset(exchange, 0, sizeof *exchange + size);
  if (password != NULL)
    memcpy(exchange->password, password, size);
  exchange->password_size = size;
  exchange->sasl = sasl;
  exchange->mechanism = mechanism;
  return exchange;
}

struct stwi_sasl_exchange *stwi_sasl_begin(struct stwi_sasl *sasl, const char *mechanism,
                                           const struct stwi_sasl_credentials *credentials,
                                           enum stwi_sasl_status *status, const char **why) {
  const struct mechanism *known = mechanism_of(mechanism);
  *status = STWI_SASL_UNUSABLE;
  *why = "this SASL mechanism is not known here";
  if (known == NULL || gsasl_client_support_p(sasl->gsasl, mechanism) == 0)
    return NULL;
  *why = what_lacks(known, credentials);
  if (*why != NULL)
    return NULL;
  *status = STWI_SASL_NO_MEMORY;
  *why = "no memory for a login";
  struct stwi_sasl_exchange *exchange = exchange_new(sasl, known, credentials->password);
  if (exchange == NULL)
    return NULL;
  if (gsasl_client_start(sasl->gsasl, mechanism, &exchange->session) != GSASL_OK) {
    exchange->session = NULL;
    stwi_sasl_end(exchange);
    return NULL;
  }
  gsasl_session_hook_set(exchange->session, exchange);
  if (!give_all(exchange, credentials)) {
    stwi_sasl_end(exchange);
    return NULL;
  }
  *status = STWI_SASL_MORE;
  *why = NULL;
  return exchange;
}

static void drop_output(struct stwi_sasl_exchange *exchange) {
  if (exchange->output != NULL)
    OPENSSL_cleanse(exchange->output, exchange->output_size);
  gsasl_free(exchange->output);
  exchange->output = NULL;
  exchange->output_size = 0;
}

void stwi_sasl_end(struct stwi_sasl_exchange *exchange) {
  if (exchange == NULL)
    return;
  drop_output(exchange);
  if (exchange->session != NULL)
    gsasl_finish(exchange->session);
  OPENSSL_cleanse(exchange->password, exchange->password_size);
  stwi_free(exchange);
}

static enum stwi_sasl_status status_of(int status) {
  switch (status) {
  case GSASL_OK:
    return STWI_SASL_DONE;
  case GSASL_NEEDS_MORE:
    return STWI_SASL_MORE;
  case GSASL_MALLOC_ERROR:
    return STWI_SASL_NO_MEMORY;
  default:
    return STWI_SASL_FAILED;
  }
}

enum stwi_sasl_status stwi_sasl_step(struct stwi_sasl_exchange *exchange, const void *input,
                                     size_t size, const uint8_t **output, size_t *output_size,
                                     const char **why) {
  drop_output(exchange);
  const int status =
      gsasl_step(exchange->session, input, size, &exchange->output, &exchange->output_size);
  *output = (const uint8_t *)exchange->output;
  *output_size = exchange->output_size;
  *why = NULL;
  if (status != GSASL_OK && status != GSASL_NEEDS_MORE)
    *why = exchange->why != NULL ? exchange->why : gsasl_strerror(status);
  return status_of(status);
}
