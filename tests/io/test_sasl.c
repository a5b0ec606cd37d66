#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/sasl.h"

#include <stdio.h>
#include <string.h>

static struct stwi_sasl *sasl;

static int open_sasl(void **state) {
  (void)state;
  sasl = stwi_sasl_new();
  return sasl == NULL ? -1 : 0;
}

static int close_sasl(void **state) {
  (void)state;
  stwi_sasl_free(sasl);
  return 0;
}

static const struct stwi_sasl_credentials user = {
    .user = "user", .password = "pencil", .domain = "example.org"};

static struct stwi_sasl_exchange *begin(const char *mechanism,
                                        const struct stwi_sasl_credentials *credentials) {
  enum stwi_sasl_status status;
  const char *why;
  struct stwi_sasl_exchange *exchange =
      stwi_sasl_begin(sasl, mechanism, credentials, &status, &why);
  if (exchange == NULL)
    fail_msg("%s", why);
  assert_int_equal(status, STWI_SASL_MORE);
  return exchange;
}

static void cannot_begin(const char *mechanism, const struct stwi_sasl_credentials *credentials) {
  enum stwi_sasl_status status;
  const char *why = NULL;
  assert_null(stwi_sasl_begin(sasl, mechanism, credentials, &status, &why));
  assert_int_equal(status, STWI_SASL_UNUSABLE);
  assert_non_null(why);
}

static enum stwi_sasl_status step(struct stwi_sasl_exchange *exchange, const char *input,
                                  char *output, size_t room, const char **why) {
  const uint8_t *data;
  size_t size;
  const enum stwi_sasl_status status =
      stwi_sasl_step(exchange, input, input == NULL ? 0 : strlen(input), &data, &size, why);
  assert_true(size < room);
  if (size > 0)
    memcpy(output, data, size);
  output[size] = '\0';
  return status;
}

/* The server's first message to what a SCRAM client has said. */
static void challenge(const char *first, const char *salt, const char *iterations, char *text,
                      size_t room) {
  const char *nonce = strstr(first, "r=");
  assert_non_null(nonce);
  snprintf(text, room, "%s3rfcNHYJY1ZVvWVs7j,s=%s,i=%s", nonce, salt, iterations);
}

static enum stwi_sasl_status answer(const char *mechanism, const char *salt, const char *iterations,
                                    const char **why) {
  char first[256], text[512], output[512];
  struct stwi_sasl_exchange *exchange = begin(mechanism, &user);
  assert_int_equal(step(exchange, NULL, first, sizeof first, why), STWI_SASL_MORE);
  assert_memory_equal(first, "n,,n=user,r=", 12);
  challenge(first, salt, iterations, text, sizeof text);
  const enum stwi_sasl_status status = step(exchange, text, output, sizeof output, why);
  if (status == STWI_SASL_MORE) {
    assert_memory_equal(output, "c=biws,r=", 9);
    assert_non_null(strstr(output, ",p="));
  }
  stwi_sasl_end(exchange);
  return status;
}

static void plain_says_user_and_password_once(void **state) {
  const uint8_t *output;
  size_t size;
  const char *why;
  (void)state;
  struct stwi_sasl_exchange *exchange = begin("PLAIN", &user);
  assert_int_equal(stwi_sasl_step(exchange, NULL, 0, &output, &size, &why), STWI_SASL_DONE);
  assert_int_equal(size, 12);
  assert_memory_equal(output, "\0user\0pencil", 12);
  stwi_sasl_end(exchange);
}

static void anonymous_and_external_need_no_secret(void **state) {
  const struct stwi_sasl_credentials nobody = {.domain = "example.org"};
  char output[64];
  const char *why;
  (void)state;
  struct stwi_sasl_exchange *exchange = begin("ANONYMOUS", &nobody);
  assert_int_equal(step(exchange, NULL, output, sizeof output, &why), STWI_SASL_DONE);
  assert_string_equal(output, "");
  stwi_sasl_end(exchange);
  exchange = begin("EXTERNAL", &nobody);
  assert_int_equal(step(exchange, NULL, output, sizeof output, &why), STWI_SASL_DONE);
  assert_string_equal(output, "");
  stwi_sasl_end(exchange);
}

static void scram_answers_and_answers_again_from_its_cache(void **state) {
  const char *why;
  (void)state;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(answer("SCRAM-SHA-1", "QSXCR+Q6sek8bf92", "4096", &why), STWI_SASL_MORE);
    assert_int_equal(answer("SCRAM-SHA-256", "W22ZaJ0SNY7soEsUEjb6gQ==", "4096", &why),
                     STWI_SASL_MORE);
  }
}

static void scram_bounds_the_work_that_a_server_asks_for(void **state) {
  static const char *const counts[] = {"200001", "2147483647", "99999999999999999999"};
  const char *why;
  (void)state;
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    assert_int_equal(answer("SCRAM-SHA-1", "QSXCR+Q6sek8bf92", counts[i], &why), STWI_SASL_FAILED);
    assert_non_null(why);
  }
}

static void scram_refuses_what_is_no_challenge(void **state) {
  static const char *const bad[] = {"", "r=x", "r=other,s=QSXCR+Q6sek8bf92,i=4096", "\xff\xfe"};
  char output[256];
  const char *why;
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct stwi_sasl_exchange *exchange = begin("SCRAM-SHA-1", &user);
    assert_int_equal(step(exchange, NULL, output, sizeof output, &why), STWI_SASL_MORE);
    assert_int_equal(step(exchange, bad[i], output, sizeof output, &why), STWI_SASL_FAILED);
    assert_non_null(why);
    stwi_sasl_end(exchange);
  }
  assert_int_equal(answer("SCRAM-SHA-1", "!!!!", "4096", &why), STWI_SASL_FAILED);
  assert_int_equal(answer("SCRAM-SHA-1", "AAA", "4096", &why), STWI_SASL_FAILED);
}

static void scram_does_not_take_a_server_that_proves_nothing(void **state) {
  char first[256], text[512], output[512];
  const char *why;
  (void)state;
  struct stwi_sasl_exchange *exchange = begin("SCRAM-SHA-1", &user);
  step(exchange, NULL, first, sizeof first, &why);
  challenge(first, "QSXCR+Q6sek8bf92", "4096", text, sizeof text);
  assert_int_equal(step(exchange, text, output, sizeof output, &why), STWI_SASL_MORE);
  assert_int_equal(step(exchange, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", output, sizeof output, &why),
                   STWI_SASL_FAILED);
  stwi_sasl_end(exchange);
}

static void plus_names_its_binding(void **state) {
  static const uint8_t binding[] = "0123456789ab";
  struct stwi_sasl_credentials bound = user;
  char output[256];
  const char *why;
  (void)state;
  bound.binding_type = "tls-exporter";
  bound.binding = binding;
  bound.binding_size = sizeof binding - 1;
  struct stwi_sasl_exchange *exchange = begin("SCRAM-SHA-256-PLUS", &bound);
  assert_int_equal(step(exchange, NULL, output, sizeof output, &why), STWI_SASL_MORE);
  assert_memory_equal(output, "p=tls-exporter,,n=user,", 23);
  stwi_sasl_end(exchange);
  bound.binding_type = "tls-unique";
  exchange = begin("SCRAM-SHA-1-PLUS", &bound);
  assert_int_equal(step(exchange, NULL, output, sizeof output, &why), STWI_SASL_MORE);
  assert_memory_equal(output, "p=tls-unique,,n=user,", 21);
  stwi_sasl_end(exchange);
}

static void what_is_missing_is_told_before_a_byte_is_sent(void **state) {
  const struct stwi_sasl_credentials no_password = {.user = "user"}, no_user = {.password = "x"};
  (void)state;
  cannot_begin("DIGEST-MD5", &user);
  cannot_begin("", &user);
  cannot_begin("PLAIN", &no_password);
  cannot_begin("SCRAM-SHA-1", &no_user);
  cannot_begin("SCRAM-SHA-1-PLUS", &user);
  assert_true(stwi_sasl_knows(sasl, "SCRAM-SHA-256"));
  assert_false(stwi_sasl_knows(sasl, "CRAM-MD5"));
}

static void passwords_that_saslprep_forbids_are_told(void **state) {
  struct stwi_sasl_credentials odd = user;
  char first[256], text[512], output[512];
  const char *why;
  (void)state;
  odd.password = "a\x07";
  struct stwi_sasl_exchange *exchange = begin("SCRAM-SHA-1", &odd);
  step(exchange, NULL, first, sizeof first, &why);
  challenge(first, "QSXCR+Q6sek8bf92", "4096", text, sizeof text);
  assert_int_equal(step(exchange, text, output, sizeof output, &why), STWI_SASL_FAILED);
  assert_non_null(strstr(why, "SASLprep"));
  stwi_sasl_end(exchange);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_says_user_and_password_once),
      cmocka_unit_test(anonymous_and_external_need_no_secret),
      cmocka_unit_test(scram_answers_and_answers_again_from_its_cache),
      cmocka_unit_test(scram_bounds_the_work_that_a_server_asks_for),
      cmocka_unit_test(scram_refuses_what_is_no_challenge),
      cmocka_unit_test(scram_does_not_take_a_server_that_proves_nothing),
      cmocka_unit_test(plus_names_its_binding),
      cmocka_unit_test(what_is_missing_is_told_before_a_byte_is_sent),
      cmocka_unit_test(passwords_that_saslprep_forbids_are_told),
  };
  return cmocka_run_group_tests(tests, open_sasl, close_sasl);
}
