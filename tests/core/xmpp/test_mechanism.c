#include "core/xmpp/mechanism.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ALL                                                                                        \
  (STWI_NEED_PASSWORD | STWI_NEED_CERTIFICATE | STWI_NEED_BINDING | STWI_NEED_TLS |                \
   STWI_NEED_NO_ACCOUNT)

static uint32_t bit(enum stwi_mechanism mechanism) {
  return 1u << mechanism;
}

static void names_are_those_registered(void **unused) {
  (void)unused;
  static const char *const names[] = {"EXTERNAL",      "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS",
                                      "SCRAM-SHA-256", "SCRAM-SHA-1",        "PLAIN",
                                      "ANONYMOUS"};
  for (unsigned i = 0; i < STWI_MECHANISM_COUNT; i++) {
    assert_string_equal(stwi_mechanism_name((enum stwi_mechanism)i), names[i]);
    assert_int_equal(stwi_mechanism_find(names[i], strlen(names[i])), i);
  }
  static const char *const others[] = {
      "", "plain", "PLAIN ", "SCRAM-SHA-256-PLUSX", "DIGEST-MD5", "SCRAM-SHA-512", "X-OAUTH2"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    assert_int_equal(stwi_mechanism_find(others[i], strlen(others[i])), STWI_MECHANISM_COUNT);
  assert_int_equal(stwi_mechanism_find("PLAIN", 4), STWI_MECHANISM_COUNT);
}

static void the_strongest_that_can_be_used_is_chosen(void **unused) {
  (void)unused;
  static const struct {
    unsigned given;
    enum stwi_mechanism chosen; /* of all */
  } cases[] = {
      {ALL, STWI_MECHANISM_EXTERNAL},
      {STWI_NEED_PASSWORD | STWI_NEED_TLS | STWI_NEED_BINDING, STWI_MECHANISM_SCRAM_SHA_256_PLUS},
      {STWI_NEED_PASSWORD | STWI_NEED_TLS, STWI_MECHANISM_SCRAM_SHA_256},
      {STWI_NEED_PASSWORD, STWI_MECHANISM_SCRAM_SHA_256},
      {STWI_NEED_CERTIFICATE, STWI_MECHANISM_COUNT},
      {STWI_NEED_TLS, STWI_MECHANISM_COUNT},
      {STWI_NEED_NO_ACCOUNT, STWI_MECHANISM_ANONYMOUS},
      {0, STWI_MECHANISM_COUNT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(stwi_mechanism_choose(STWI_MECHANISMS_ALL, cases[i].given), cases[i].chosen);
  assert_int_equal(stwi_mechanism_choose(0, ALL), STWI_MECHANISM_COUNT);
}

static void each_is_left_only_where_the_stronger_ones_are(void **unused) {
  (void)unused;
  uint32_t set = STWI_MECHANISMS_ALL;
  for (unsigned i = 0; i < STWI_MECHANISM_COUNT; i++) {
    assert_int_equal(stwi_mechanism_choose(set, ALL), i);
    set &= ~bit((enum stwi_mechanism)i);
  }
}

static void plain_needs_tls(void **unused) {
  (void)unused;
  const uint32_t plain = bit(STWI_MECHANISM_PLAIN);
  assert_int_equal(stwi_mechanism_choose(plain, STWI_NEED_PASSWORD), STWI_MECHANISM_COUNT);
  assert_string_equal(stwi_mechanism_lack(STWI_MECHANISM_PLAIN, STWI_NEED_PASSWORD),
                      "it needs TLS");
  assert_int_equal(stwi_mechanism_choose(plain, STWI_NEED_PASSWORD | STWI_NEED_TLS),
                   STWI_MECHANISM_PLAIN);
}

static void every_lack_has_its_sentence(void **unused) {
  (void)unused;
  for (unsigned i = 0; i < STWI_MECHANISM_COUNT; i++) {
    const enum stwi_mechanism mechanism = (enum stwi_mechanism)i;
    for (unsigned given = 0; given <= ALL; given++)
      assert_int_equal(stwi_mechanism_lack(mechanism, given) == NULL,
                       stwi_mechanism_choose(bit(mechanism), given) == mechanism);
    assert_null(stwi_mechanism_lack(mechanism, ALL));
  }
  assert_string_equal(stwi_mechanism_lack(STWI_MECHANISM_EXTERNAL, STWI_NEED_TLS),
                      "it needs client_cert");
  assert_non_null(
      strstr(stwi_mechanism_lack(STWI_MECHANISM_SCRAM_SHA_1_PLUS, STWI_NEED_PASSWORD), "binding"));
  assert_non_null(strstr(stwi_mechanism_lack(STWI_MECHANISM_SCRAM_SHA_1, 0), "password"));
  assert_non_null(strstr(stwi_mechanism_lack(STWI_MECHANISM_ANONYMOUS, 0), "local part"));
}

static void nothing_weaker_than_before_is_in_the_set(void **unused) {
  (void)unused;
  for (unsigned weakest = 0; weakest < STWI_MECHANISM_COUNT; weakest++)
    for (unsigned i = 0; i < STWI_MECHANISM_COUNT; i++)
      assert_int_equal(stwi_mechanisms_from((enum stwi_mechanism)weakest) >> i & 1u, i <= weakest);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_those_registered),
      cmocka_unit_test(the_strongest_that_can_be_used_is_chosen),
      cmocka_unit_test(each_is_left_only_where_the_stronger_ones_are),
      cmocka_unit_test(plain_needs_tls),
      cmocka_unit_test(every_lack_has_its_sentence),
      cmocka_unit_test(nothing_weaker_than_before_is_in_the_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
