#include "core/conn_config.h"

#include "core/pace.h"
#include "failing_mem.h"
#include "seed.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct good {
  const char *text;
  bool is_tls;
  uint16_t port;
  const char *host, *path, *shown, *key;
};

static const struct good goods[] = {
    {"ws://example.net", false, 80, "example.net", "/", "ws://example.net:80/",
     "ws://example.net:80"},
    {"wss://example.net", true, 443, "example.net", "/", "wss://example.net:443/",
     "wss://example.net:443"},
    {"WSS://Example.NET/Feed", true, 443, "example.net", "/Feed", "wss://example.net:443/Feed",
     "wss://example.net:443"},
    {"Ws://a:8080/x/y?token=secret&b=c", false, 8080, "a", "/x/y?token=secret&b=c",
     "ws://a:8080/x/y", "ws://a:8080"},
    {"ws://a?token=secret", false, 80, "a", "/?token=secret", "ws://a:80/", "ws://a:80"},
    {"ws://a/?x=/y?z", false, 80, "a", "/?x=/y?z", "ws://a:80/", "ws://a:80"},
    {"ws://a:/b", false, 80, "a", "/b", "ws://a:80/b", "ws://a:80"},
    {"ws://a:65535", false, 65535, "a", "/", "ws://a:65535/", "ws://a:65535"},
    {"ws://a:00080", false, 80, "a", "/", "ws://a:80/", "ws://a:80"},
    {"ws://a/%0d%0a%zz%00", false, 80, "a", "/%0d%0a%zz%00", "ws://a:80/%0d%0a%zz%00", "ws://a:80"},
    {"ws://a/b@c:d", false, 80, "a", "/b@c:d", "ws://a:80/b@c:d", "ws://a:80"},
    {"ws://127.0.0.1:9001/", false, 9001, "127.0.0.1", "/", "ws://127.0.0.1:9001/",
     "ws://127.0.0.1:9001"},
    {"ws://[::1]", false, 80, "::1", "/", "ws://[::1]:80/", "ws://[::1]:80"},
    {"wss://[2001:DB8::A]:444/p?q", true, 444, "2001:db8::a", "/p?q", "wss://[2001:db8::a]:444/p",
     "wss://[2001:db8::a]:444"},
    {"ws://[::ffff:10.0.0.1]/", false, 80, "::ffff:10.0.0.1", "/", "ws://[::ffff:10.0.0.1]:80/",
     "ws://[::ffff:10.0.0.1]:80"},
    {"ws://my_service-1.local./", false, 80, "my_service-1.local.", "/",
     "ws://my_service-1.local.:80/", "ws://my_service-1.local.:80"},
};

static void good_urls_are_taken_apart(void **unused) {
  (void)unused;
  for (size_t i = 0; i < COUNT(goods); i++) {
    struct stwi_url url;
    const char *why = "";
    assert_int_equal(stwi_url_parse(goods[i].text, &url, &why), STW_OK);
    assert_null(why);
    assert_int_equal(url.is_tls, goods[i].is_tls);
    assert_int_equal(url.port, goods[i].port);
    assert_string_equal(url.host, goods[i].host);
    assert_string_equal(url.path, goods[i].path);
    assert_string_equal(url.shown, goods[i].shown);
    assert_string_equal(url.key, goods[i].key);
    stwi_url_fini(&url);
    stwi_url_fini(&url); /* twice is harmless */
  }
  assert_int_equal(failing_mem_live, 0);
}

struct bad {
  const char *text, *why;
};

static const struct bad bads[] = {
    {"", "empty"},
    {"example.net", "ws:// or wss://"},
    {"http://example.net", "ws:// or wss://"},
    {"https://example.net", "ws:// or wss://"},
    {"ws:/example.net", "ws:// or wss://"},
    {"wss:example.net", "ws:// or wss://"},
    {"wsss://a", "ws:// or wss://"},
    {"//a", "ws:// or wss://"},
    {"ws://", "host is missing"},
    {"ws:///path", "host is missing"},
    {"ws://:80/", "host is missing"},
    {"ws://?q", "host is missing"},
    {"ws://a#", "fragment"},
    {"ws://a/b#c", "fragment"},
    {"ws://a/?b#c", "fragment"},
    {"ws://a#b@c", "fragment"},
    {"ws://user@a", "headers, or credentials"},
    {"ws://user:password@a/", "headers, or credentials"},
    {"ws://@a/", "headers, or credentials"},
    {"ws://a:b@c:1/", "headers, or credentials"},
    {"ws://a:0", "1 to 65535"},
    {"ws://a:65536", "1 to 65535"},
    {"ws://a:000080", "1 to 65535"},
    {"ws://a:-1", "1 to 65535"},
    {"ws://a:8o", "1 to 65535"},
    {"ws://a:80:80", "1 to 65535"},
    {"ws://[::1]80", "1 to 65535"},
    {"ws://a%20b/", "no host name has"},
    {"ws://a\\b/", "no host name has"},
    {"ws://a,b/", "no host name has"},
    {"ws://{a}/", "no host name has"},
    {"ws://.a/", "begins with a dot"},
    {"ws://[::1", "not closed"},
    {"ws://[::1/", "not closed"},
    {"ws://[]", "no IPv6 address"},
    {"ws://[a]", "no IPv6 address"},
    {"ws://[1.2.3.4]", "no IPv6 address"},
    {"ws://[fe80::1%25eth0]", "no IPv6 address"},
    {"ws://[v1.x]", "no IPv6 address"},
    {"ws://a b/", "space"},
    {" ws://a", "space"},
    {"ws://a/\r\nX-Injected: yes", "line break"},
    {"ws://a/\n", "line break"},
    {"ws://a\t", "control"},
    {"ws://a/\x7f", "control"},
    {"ws://b\xc3\xbc"
     "cher.example/",
     "ASCII"},
    {"ws://a/\xff", "ASCII"},
};

static void bad_urls_are_refused_with_a_sentence(void **unused) {
  (void)unused;
  for (size_t i = 0; i < COUNT(bads); i++) {
    struct stwi_url url;
    const char *why = NULL;
    assert_int_equal(stwi_url_parse(bads[i].text, &url, &why), STW_E_URL);
    assert_non_null(why);
    if (strstr(why, bads[i].why) == NULL)
      fail_msg("%s: \"%s\" does not say \"%s\"", bads[i].text, why, bads[i].why);
    assert_null(url.host);
  }
  assert_int_equal(failing_mem_live, 0);
}

static void lengths_are_bounded(void **unused) {
  (void)unused;
  static char text[9000];
  struct stwi_url url;
  const char *why;
  memset(text, 'a', sizeof text);
  memcpy(text, "ws://", 5);
  text[5 + 253] = '\0';
  assert_int_equal(stwi_url_parse(text, &url, &why), STW_OK);
  stwi_url_fini(&url);
  text[5 + 253] = 'a';
  text[5 + 254] = '\0';
  assert_int_equal(stwi_url_parse(text, &url, &why), STW_E_URL);
  memset(text, 'a', sizeof text);
  memcpy(text, "ws://h/", 7);
  text[8192] = '\0';
  assert_int_equal(stwi_url_parse(text, &url, &why), STW_OK);
  assert_int_equal(strlen(url.path), 8192 - 6);
  stwi_url_fini(&url);
  text[8192] = 'a';
  text[8193] = '\0';
  assert_int_equal(stwi_url_parse(text, &url, &why), STW_E_URL);
}

static bool is_taken(const char *literal) {
  char text[80];
  struct stwi_url url;
  const char *why;
  snprintf(text, sizeof text, "ws://[%s]/", literal);
  const bool is_good = stwi_url_parse(text, &url, &why) == STW_OK;
  stwi_url_fini(&url);
  return is_good;
}

static bool is_right(const char *literal) {
  struct in6_addr address;
  return inet_pton(AF_INET6, literal, &address) == 1;
}

static void check_literal(const char *literal) {
  if (is_taken(literal) != is_right(literal))
    fail_msg("[%s]: taken %d, right %d", literal, is_taken(literal), is_right(literal));
}

static void ipv6_literals_are_judged_as_inet_pton_does(void **unused) {
  (void)unused;
  static const char *const literals[] = {
      "::",
      ":",
      ":::",
      "::1",
      "1::",
      "1::1",
      "1:2:3:4:5:6:7:8",
      "1:2:3:4:5:6:7",
      ":1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7::",
      "::2:3:4:5:6:7:8",
      "1:2:3:4::5:6:7:8",
      "1::2::3",
      "12345::",
      "g::",
      "::1.2.3.4",
      "::1.2.3",
      "::1.2.3.4.5",
      "::256.1.1.1",
      "::01.2.3.4",
      "1:2:3:4:5:6:1.2.3.4",
      "1:2:3:4:5:1.2.3.4",
      "1:2:3:4:5:6:7:1.2.3.4",
      "1::1.2.3.4:5",
      "::1:2:3:4:5:1.2.3.4",
      "::1:2:3:4:5:6:1.2.3.4",
      "1:2:3:4:5:6:7:8:",
      "1:",
      "1",
      "",
      "::.1",
      "::1.2.3.",
      "::1..3.4",
      "::1.2.3.4x",
      "::a.2.3.4",
      "::0.0.0.0",
      "::1.2.3.1000",
      "0::0::",
  };
  for (size_t i = 0; i < COUNT(literals); i++)
    check_literal(literals[i]);
}

static void random_literals_are_judged_as_inet_pton_does(void **unused) {
  (void)unused;
  static const char letters[] = "::::0129afF.:1";
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("url"));
  unsigned good = 0;
  for (unsigned i = 0; i < 200000; i++) {
    char literal[48];
    const size_t size = stwi_random_below(&random, 22);
    for (size_t k = 0; k < size; k++)
      literal[k] = letters[stwi_random_below(&random, sizeof letters - 1)];
    literal[size] = '\0';
    check_literal(literal);
    good += is_right(literal);
  }
  assert_true(good > 100);
}

static void without_memory_nothing_is_left(void **unused) {
  (void)unused;
  for (long after = 0; after < 4; after++) {
    struct stwi_url url;
    const char *why = NULL;
    failing_mem_after = after;
    assert_int_equal(stwi_url_parse("wss://a/b?c", &url, &why), STW_E_MEMORY);
    assert_non_null(why);
    assert_null(url.host);
    assert_int_equal(failing_mem_live, 0);
  }
  failing_mem_after = -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_urls_are_taken_apart),
      cmocka_unit_test(bad_urls_are_refused_with_a_sentence),
      cmocka_unit_test(lengths_are_bounded),
      cmocka_unit_test(ipv6_literals_are_judged_as_inet_pton_does),
      cmocka_unit_test(random_literals_are_judged_as_inet_pton_does),
      cmocka_unit_test(without_memory_nothing_is_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
