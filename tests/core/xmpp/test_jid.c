#include "core/xmpp/jid.h"

#include "core/pace.h"
#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct good {
  const char *text, *local, *domain, *resource, *kept;
};

static const struct good goods[] = {
    {"a@b", "a", "b", "", "a@b"},
    {"b", "", "b", "", "b"},
    {"b/r", "", "b", "r", "b/r"},
    {"Juliet@Example.COM/Balcony", "juliet", "example.com", "Balcony",
     "juliet@example.com/Balcony"},
    {"a@b/c@d/e", "a", "b", "c@d/e", "a@b/c@d/e"},
    {"b/a@c", "", "b", "a@c", "b/a@c"},
    {"a@b.example./r", "a", "b.example", "r", "a@b.example/r"},
    {"a@[::1]/r", "a", "[::1]", "r", "a@[::1]/r"},
    {"a@[FE80::1]", "a", "[fe80::1]", "", "a@[fe80::1]"},
    {"a@127.0.0.1", "a", "127.0.0.1", "", "a@127.0.0.1"},
    {"a@my_host-1", "a", "my_host-1", "", "a@my_host-1"},
    {"a@b/ a  b ", "a", "b", " a  b ", "a@b/ a  b "},
    {"a\\20b@c", "a\\20b", "c", "", "a\\20b@c"},
    {"fu\xC3\x9F@\xC3\x9F.de/\xE2\x99\x9A", "fu\xC3\x9F", "\xC3\x9F.de", "\xE2\x99\x9A",
     "fu\xC3\x9F@\xC3\x9F.de/\xE2\x99\x9A"},
    {"\xC3\x84@b", "\xC3\x84", "b", "", "\xC3\x84@b"}, /* not folded */
    {"a!#$%*+-=?^_`{|}~.,;()[]@b", "a!#$%*+-=?^_`{|}~.,;()[]", "b", "",
     "a!#$%*+-=?^_`{|}~.,;()[]@b"},
};

static void assert_part(const char *part, size_t size, const char *wanted) {
  assert_int_equal(size, strlen(wanted));
  assert_memory_equal(part, wanted, size);
}

static void addresses_are_split_and_normalised(void **unused) {
  (void)unused;
  for (size_t i = 0; i < COUNT(goods); i++) {
    struct stwi_jid jid;
    assert_null(stwi_jid_parse(&jid, goods[i].text, strlen(goods[i].text)));
    assert_part(stwi_jid_local(&jid), jid.local_size, goods[i].local);
    assert_part(stwi_jid_domain(&jid), jid.domain_size, goods[i].domain);
    assert_part(stwi_jid_resource(&jid), jid.resource_size, goods[i].resource);
    assert_string_equal(jid.text, goods[i].kept);
    assert_true(stwi_jid_is_sound(&jid));
    struct stwi_jid again;
    assert_null(stwi_jid_parse(&again, jid.text, strlen(jid.text)));
    assert_true(stwi_jid_is_same(&jid, &again));
  }
}

struct bad {
  const char *text, *word;
};

static const struct bad bads[] = {
    {"", "empty"},
    {"@b", "before the @"},
    {"a@", "no domain"},
    {"a@/r", "no domain"},
    {"/r", "no domain"},
    {"a@b/", "after the /"},
    {"b/", "after the /"},
    {"a@@b", "host name"},
    {"a@b@c", "host name"},
    {"a@.", "label"},
    {"a@b..", "label"},
    {"a@.b", "label"},
    {"a@b..c", "label"},
    {"a b@c", "space"},
    {"a\tb@c", "space"},
    {"a\x7F@c", "space"},
    {"a\"@c", "holds one of"},
    {"a&@c", "holds one of"},
    {"a'@c", "holds one of"},
    {"a:@c", "holds one of"},
    {"a<@c", "holds one of"},
    {"a>@c", "holds one of"},
    {"a@b c", "space"},
    {"a@b\n", "space"},
    {"a@b:5222", "host name"},
    {"a@b?x", "host name"},
    {"a@[::1", "IPv6"},
    {"a@[]", "IPv6"},
    {"a@[::g]", "IPv6"},
    {"a@b/r\x01", "control"},
    {"a@b/r\x7F", "control"},
    {"a\xC2\x80@b", "control"},
    {"a@b/\xC2\x9F", "control"},
    {"a\xC2\xA0@b", "space"},
    {"a\xE1\x9A\x80@b", "space"},
    {"a\xE2\x80\x80@b", "space"},
    {"a\xE2\x80\x8B@b", "space"},
    {"a@b\xE2\x80\xAF"
     "c",
     "space"},
    {"a\xE2\x81\x9F@b", "space"},
    {"a\xE3\x80\x80@b", "space"},
    {"a@b/\xE2\x80\xA8", "control"},
    {"a@b/\xE2\x80\xA9", "control"},
    {"a@b/\xEF\xBB\xBF", "control"},
    {"a@b/\xEF\xBF\xBE", "control"},
    {"a@b/\xEF\xBF\xBF", "control"},
    {"a\xFF@b", "UTF-8"},
    {"a@b/\xED\xA0\x80", "UTF-8"},
    {"a@b/\xC3", "UTF-8"},
};

static void what_is_no_address_is_refused_with_a_reason(void **unused) {
  (void)unused;
  static const struct stwi_jid none;
  for (size_t i = 0; i < COUNT(bads); i++) {
    struct stwi_jid jid;
    const char *why = stwi_jid_parse(&jid, bads[i].text, strlen(bads[i].text));
    assert_non_null(why);
    if (strstr(why, bads[i].word) == NULL)
      fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, bads[i].word);
    assert_memory_equal(&jid, &none, sizeof jid);
    assert_true(stwi_jid_is_sound(&jid));
  }
  struct stwi_jid jid;
  assert_non_null(stwi_jid_parse(&jid, "a\0b@c", 5));
  assert_non_null(stwi_jid_parse(&jid, "a@b/\0", 5));
}

static void marks_above_the_spaces_of_unicode_are_letters(void **unused) {
  (void)unused;
  static const char *const texts[] = {"a\xE2\x80\x8C@b", "a\xE2\x82\xAC@b", "a\xC2\xA1@b",
                                      "a\xE1\x9A\x81@b", "a\xEF\xBF\xBD@b"};
  for (size_t i = 0; i < COUNT(texts); i++) {
    struct stwi_jid jid;
    assert_null(stwi_jid_parse(&jid, texts[i], strlen(texts[i])));
  }
}

static void each_part_has_at_most_1023_bytes(void **unused) {
  (void)unused;
  static const struct {
    size_t local, domain, resource;
    const char *word; /* NULL: good */
  } cases[] = {{1023, 1023, 1023, NULL}, {1024, 1, 1, "before the @"}, {1, 1024, 1, "domain"},
               {1, 1, 1024, "resource"}, {0, 1023, 0, NULL},           {0, 1024, 0, "domain"}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    char text[4000];
    size_t size = 0;
    memset(text, 'x', sizeof text);
    size += cases[i].local;
    if (cases[i].local > 0)
      text[size++] = '@';
    size += cases[i].domain;
    if (cases[i].resource > 0)
      text[size++] = '/';
    size += cases[i].resource;
    struct stwi_jid jid;
    const char *why = stwi_jid_parse(&jid, text, size);
    if (cases[i].word == NULL) {
      assert_null(why);
      assert_int_equal(strlen(jid.text), size);
      assert_true(stwi_jid_is_sound(&jid));
    } else {
      assert_non_null(strstr(why, cases[i].word));
    }
  }
}

static struct stwi_jid parse(const char *text) {
  struct stwi_jid jid;
  assert_null(stwi_jid_parse(&jid, text, strlen(text)));
  return jid;
}

static void addresses_compare_whole_bare_and_by_domain(void **unused) {
  (void)unused;
  static const struct {
    const char *a, *b;
    bool whole, bare, domain;
  } cases[] = {
      {"A@B/r", "a@b/r", true, true, true},  {"a@b/r", "a@b/R", false, true, true},
      {"a@b/r", "a@b", false, true, true},   {"a@b", "c@b", false, false, true},
      {"a@b", "b", false, false, true},      {"a@b", "a@c", false, false, false},
      {"a@bb", "a@b", false, false, false},  {"b/a@b", "a@b", false, false, true},
      {"ab@c", "a@bc", false, false, false}, {"a.b", "a", false, false, false},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    const struct stwi_jid a = parse(cases[i].a), b = parse(cases[i].b);
    assert_int_equal(stwi_jid_is_same(&a, &b), cases[i].whole);
    assert_int_equal(stwi_jid_is_same_bare(&a, &b), cases[i].bare);
    assert_int_equal(stwi_jid_is_same_domain(&a, &b), cases[i].domain);
  }
}

static void a_damaged_address_is_not_sound(void **unused) {
  (void)unused;
  struct stwi_jid jid = parse("a@b/r");
  jid.local_size = 2;
  assert_false(stwi_jid_is_sound(&jid));
  jid = parse("a@b/r");
  jid.text[0] = 'A';
  assert_false(stwi_jid_is_sound(&jid));
  jid = parse("a@b/r");
  jid.text[0] = '@';
  assert_false(stwi_jid_is_sound(&jid));
  memset(jid.text, 'x', sizeof jid.text);
  assert_false(stwi_jid_is_sound(&jid));
  memset(&jid, 0, sizeof jid);
  assert_true(stwi_jid_is_sound(&jid));
  jid.domain_size = 1;
  assert_false(stwi_jid_is_sound(&jid));
}

/* Whatever the bytes: an answer, and what is kept is kept as it is when it is read again. */
static void any_bytes_are_an_address_or_none(void **unused) {
  (void)unused;
  static const char alphabet[] = "abZ@/.:[]- \t\"&\xC3\x84\xE2\x80\xA8\xEF\xBF\xBE\xFF";
  struct stwi_random dice;
  stwi_random_seed(&dice, test_seed("jid"));
  unsigned good = 0;
  for (unsigned round = 0; round < 50000; round++) {
    const size_t size = stwi_random_below(&dice, 12);
    char *text = malloc(size == 0 ? 1 : size); /* its bounds are watched by the sanitizers */
    for (size_t i = 0; i < size; i++)
      text[i] = alphabet[stwi_random_below(&dice, sizeof alphabet)];
    struct stwi_jid jid;
    if (stwi_jid_parse(&jid, text, size) == NULL) {
      good++;
      assert_true(stwi_jid_is_sound(&jid));
      assert_true(jid.domain_size > 0);
    }
    free(text);
  }
  assert_true(good > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(addresses_are_split_and_normalised),
      cmocka_unit_test(what_is_no_address_is_refused_with_a_reason),
      cmocka_unit_test(marks_above_the_spaces_of_unicode_are_letters),
      cmocka_unit_test(each_part_has_at_most_1023_bytes),
      cmocka_unit_test(addresses_compare_whole_bare_and_by_domain),
      cmocka_unit_test(a_damaged_address_is_not_sound),
      cmocka_unit_test(any_bytes_are_an_address_or_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
