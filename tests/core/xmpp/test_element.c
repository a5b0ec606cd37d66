#include "core/xmpp/element.h"

#include "xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct stwi_element *read(const char *text) {
  const struct stwi_element *element = xml_read(text, strlen(text));
  assert_non_null(element);
  return element;
}

static int reset(void **unused) {
  (void)unused;
  xml_reader_reset();
  return 0;
}

static void an_element_is_known_by_name_and_namespace(void **unused) {
  (void)unused;
  const struct stwi_element *iq = read("<iq><query xmlns='jabber:iq:roster'/></iq>");
  assert_true(stwi_element_is(iq, "iq", STWI_NS_CLIENT));
  assert_true(stwi_element_is(iq, NULL, STWI_NS_CLIENT));
  assert_true(stwi_element_is(iq, "iq", NULL));
  assert_true(stwi_element_is(iq, NULL, NULL));
  assert_false(stwi_element_is(iq, "message", STWI_NS_CLIENT));
  assert_false(stwi_element_is(iq, "iq", "jabber:server"));
  assert_false(stwi_element_is(NULL, NULL, NULL));
  const struct stwi_element bare = {.name = "iq"};
  assert_false(stwi_element_is(&bare, "iq", STWI_NS_CLIENT));
}

static void children_are_found_among_texts_and_strangers(void **unused) {
  (void)unused;
  const struct stwi_element *message = read("<message>a<body>one</body>b<body xmlns='x'>two</body>"
                                            "<subject/>c<body>three</body></message>");
  const struct stwi_element *body = stwi_element_child(message, "body", STWI_NS_CLIENT);
  assert_true(stwi_element_text_is(body, "one"));
  body = stwi_element_after(body, "body", STWI_NS_CLIENT);
  assert_true(stwi_element_text_is(body, "three"));
  assert_null(stwi_element_after(body, "body", STWI_NS_CLIENT));
  assert_true(stwi_element_text_is(stwi_element_child(message, NULL, "x"), "two"));
  assert_null(stwi_element_child(message, "thread", NULL));
  assert_null(stwi_element_child(body, NULL, NULL)); /* a text is no element */
}

static void attributes_of_a_namespace_are_others(void **unused) {
  (void)unused;
  const struct stwi_element *message = read("<message xml:id='1' to='a' xmlns:n='x' n:type='b'/>");
  assert_string_equal(stwi_element_attribute(message, "to"), "a");
  assert_null(stwi_element_attribute(message, "type"));
  assert_null(stwi_element_attribute(message, "id"));
}

static void the_text_of_an_element_with_more_than_text_is_empty(void **unused) {
  (void)unused;
  static const char *const others[] = {"<a/>", "<a><b/></a>", "<a>x<b/></a>", "<a><b/>x</a>"};
  size_t size;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_string_equal(stwi_element_text(read(others[i]), &size), "");
    assert_int_equal(size, 0);
    assert_true(stwi_element_text_is(read(others[i]), ""));
  }
  assert_memory_equal(stwi_element_text(read("<a>x&amp;y</a>"), &size), "x&y", 3);
  assert_int_equal(size, 3);
  assert_false(stwi_element_text_is(read("<a>xyz</a>"), "xy"));
  assert_false(stwi_element_text_is(read("<a>xy</a>"), "xz"));
}

static void three_elements_are_stanzas(void **unused) {
  (void)unused;
  static const struct {
    const char *text;
    bool is_stanza;
  } cases[] = {
      {"<message/>", true},
      {"<presence/>", true},
      {"<iq/>", true},
      {"<query/>", false},
      {"<message xmlns='jabber:server'/>", false},
      {"<r xmlns='urn:xmpp:sm:3'/>", false},
      {"<a xmlns='urn:xmpp:sm:3' h='1'/>", false},
      {"<stream:features/>", false},
      {" ", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(stwi_element_is_stanza(read(cases[i].text)), cases[i].is_stanza);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(an_element_is_known_by_name_and_namespace, reset),
      cmocka_unit_test_setup(children_are_found_among_texts_and_strangers, reset),
      cmocka_unit_test_setup(attributes_of_a_namespace_are_others, reset),
      cmocka_unit_test_setup(the_text_of_an_element_with_more_than_text_is_empty, reset),
      cmocka_unit_test_setup(three_elements_are_stanzas, reset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
