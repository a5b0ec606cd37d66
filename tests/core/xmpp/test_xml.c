#include "core/xmpp/xml.h"

#include "core/pace.h"
#include "seed.h"
#include "xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static char buffer[65536];
static struct stwi_xml xml;

static int set_up(void **unused) {
  (void)unused;
  xml_reader_reset();
  stwi_xml_init(&xml, buffer, sizeof buffer, STWI_NS_CLIENT);
  return 0;
}

static void assert_written(const char *wanted) {
  if (!stwi_xml_is_good(&xml))
    fail_msg("not good: %s", xml.why == NULL ? "not ended" : xml.why);
  char text[4096];
  memcpy(text, buffer, xml.size);
  text[xml.size] = '\0';
  assert_string_equal(text, wanted);
}

static void a_stanza_is_written_as_servers_write_it(void **unused) {
  (void)unused;
  stwi_xml_start(&xml, "message", STWI_NS_CLIENT);
  stwi_xml_attribute(&xml, "to", "a@b");
  stwi_xml_attribute(&xml, "from", NULL);
  stwi_xml_attribute_number(&xml, "h", UINT32_MAX);
  stwi_xml_leaf(&xml, "body", STWI_NS_CLIENT, "hi", 2);
  stwi_xml_start(&xml, "x", "jabber:x:oob");
  stwi_xml_leaf(&xml, "url", "jabber:x:oob", "u", 1);
  stwi_xml_end(&xml);
  stwi_xml_leaf(&xml, "store", "urn:xmpp:hints", NULL, 0);
  stwi_xml_end(&xml);
  assert_written("<message to=\"a@b\" h=\"4294967295\"><body>hi</body>"
                 "<x xmlns=\"jabber:x:oob\"><url>u</url></x>"
                 "<store xmlns=\"urn:xmpp:hints\"/></message>");
}

static void an_element_that_stands_alone_declares_its_namespace(void **unused) {
  (void)unused;
  stwi_xml_init(&xml, buffer, sizeof buffer, NULL);
  stwi_xml_start(&xml, "iq", STWI_NS_CLIENT);
  stwi_xml_leaf(&xml, "plain", NULL, "", 0);
  stwi_xml_end(&xml);
  stwi_xml_leaf(&xml, "presence", STWI_NS_CLIENT, "", 0);
  assert_written("<iq xmlns=\"jabber:client\"><plain xmlns=\"\"/></iq>"
                 "<presence xmlns=\"jabber:client\"/>");
}

static void texts_and_values_are_escaped(void **unused) {
  (void)unused;
  stwi_xml_start(&xml, "a", STWI_NS_CLIENT);
  stwi_xml_attribute(&xml, "b", "<&>\"'\t\n\r]]>");
  stwi_xml_text(&xml, "<&>\"'\t\n\r]]>", 11);
  stwi_xml_text(&xml, "", 0);
  stwi_xml_end(&xml);
  assert_written("<a b=\"&lt;&amp;&gt;&quot;'&#9;&#10;&#13;]]&gt;\">"
                 "&lt;&amp;&gt;\"'\t\n&#13;]]&gt;</a>");
}

static void what_xml_cannot_carry_is_refused(void **unused) {
  (void)unused;
  static const char *const texts[] = {"\x01",         "\x08",          "\x0B",
                                      "\x1F",         "a\xEF\xBF\xBE", "\xEF\xBF\xBF",
                                      "\xED\xA0\x80", "\xC3",          "\xFF"};
  for (size_t i = 0; i < COUNT(texts); i++) {
    assert_false(stwi_xml_carries(texts[i], strlen(texts[i])));
    set_up(NULL);
    stwi_xml_leaf(&xml, "a", STWI_NS_CLIENT, texts[i], strlen(texts[i]));
    assert_false(stwi_xml_is_good(&xml));
    assert_false(xml.is_full);
    assert_non_null(strstr(xml.why, "XML cannot carry it"));
    set_up(NULL);
    stwi_xml_start(&xml, "a", STWI_NS_CLIENT);
    stwi_xml_attribute(&xml, "b", texts[i]);
    stwi_xml_end(&xml);
    assert_false(stwi_xml_is_good(&xml));
  }
  assert_false(stwi_xml_carries("a\0b", 3));
  assert_true(stwi_xml_carries("\t\n\r\x7F\xEF\xBF\xBD\xEF\xBE\xBF", 10));
  assert_true(stwi_xml_carries("\xEF\xBF", 0));
}

static void names_are_names(void **unused) {
  (void)unused;
  static const struct {
    const char *name;
    bool is_good;
  } cases[] = {{"a", true},   {"Z", true},      {"_-.9", true}, {"\xC3\x84", true}, {"", false},
               {"1a", false}, {"-a", false},    {"a b", false}, {"a>", false},      {"a:b", false},
               {"a=", false}, {"a\xFF", false}, {"[", false},   {"{", false},       {"@", false},
               {"`", false},  {"a/", false}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    set_up(NULL);
    stwi_xml_leaf(&xml, cases[i].name, STWI_NS_CLIENT, "", 0);
    assert_int_equal(stwi_xml_is_good(&xml), cases[i].is_good);
    set_up(NULL);
    stwi_xml_start(&xml, "x", STWI_NS_CLIENT);
    stwi_xml_attribute(&xml, cases[i].name, "");
    stwi_xml_end(&xml);
    assert_int_equal(stwi_xml_is_good(&xml), cases[i].is_good);
  }
  set_up(NULL);
  stwi_xml_start(&xml, "x", STWI_NS_CLIENT);
  stwi_xml_attribute(&xml, "xmlns", "other");
  stwi_xml_end(&xml);
  assert_false(stwi_xml_is_good(&xml));
}

static void a_fault_stays_and_writes_nothing_more(void **unused) {
  (void)unused;
  stwi_xml_start(&xml, "a", STWI_NS_CLIENT);
  stwi_xml_text(&xml, "\x01", 1);
  const char *why = xml.why;
  const size_t size = xml.size;
  stwi_xml_start(&xml, "1", STWI_NS_CLIENT);
  stwi_xml_attribute(&xml, "b", "c");
  stwi_xml_text(&xml, "x", 1);
  stwi_xml_end(&xml);
  stwi_xml_end(&xml);
  assert_ptr_equal(xml.why, why);
  assert_int_equal(xml.size, size);
}

static void a_buffer_too_small_is_a_fault_at_every_size(void **unused) {
  (void)unused;
  const char *text = "<a b='&quot;'>x&lt;y<c xmlns='d' xmlns:n='m' n:e='f'/></a>";
  const struct stwi_element *tree = xml_read(text, strlen(text));
  stwi_xml_element(&xml, tree);
  assert_true(stwi_xml_is_good(&xml));
  const size_t whole = xml.size;
  for (size_t max = 0; max < whole; max++) {
    char *exact = malloc(max == 0 ? 1 : max);
    stwi_xml_init(&xml, exact, max, STWI_NS_CLIENT);
    stwi_xml_element(&xml, tree);
    assert_false(stwi_xml_is_good(&xml));
    assert_true(xml.is_full);
    assert_true(xml.size <= max);
    free(exact);
  }
}

static void an_element_without_its_end_is_not_good(void **unused) {
  (void)unused;
  stwi_xml_start(&xml, "a", STWI_NS_CLIENT);
  assert_false(stwi_xml_is_good(&xml));
  stwi_xml_end(&xml);
  assert_true(stwi_xml_is_good(&xml));
}

/* ---- trees ---- */

static void trees_come_back_as_they_were(void **unused) {
  (void)unused;
  static const char *const texts[] = {
      "<iq/>",
      "text",
      "<message xml:lang='en' to='a'><body>x</body>y<z xmlns=''><b/></z>w</message>",
      "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
      "<a xmlns:p='one' xmlns:q='two' p:x='1' q:x='2' x='3'><p:b/></a>",
      "<a><b><c><d/></c></b><e/>f<g><h/><i/></g></a>",
      "<a b='&#9;&#10;&#13; &lt;'>&#13;\t\n&amp;</a>",
  };
  for (size_t i = 0; i < COUNT(texts); i++) {
    set_up(NULL);
    const struct stwi_element *tree = xml_read(texts[i], strlen(texts[i]));
    assert_non_null(tree);
    stwi_xml_element(&xml, tree);
    assert_true(stwi_xml_is_good(&xml));
    const struct stwi_element *again = xml_read(buffer, xml.size);
    assert_non_null(again);
    assert_true(xml_is_same(tree, again));
  }
}

static void a_tree_is_as_deep_as_the_writer_allows(void **unused) {
  (void)unused;
  static struct stwi_element chain[STWI_ELEMENT_DEPTH_MAX + 1];
  for (unsigned depth = 1; depth <= STWI_ELEMENT_DEPTH_MAX + 1; depth++) {
    memset(chain, 0, sizeof chain);
    for (unsigned i = 0; i < depth; i++)
      chain[i] = (struct stwi_element){
          .name = "a", .ns = STWI_NS_CLIENT, .first = i + 1 < depth ? &chain[i + 1] : NULL};
    set_up(NULL);
    stwi_xml_element(&xml, chain);
    assert_int_equal(stwi_xml_is_good(&xml), depth <= STWI_ELEMENT_DEPTH_MAX);
  }
  assert_non_null(strstr(xml.why, "too deeply"));
}

static void more_attributes_with_namespaces_than_a_tag_can_have_are_refused(void **unused) {
  (void)unused;
  static struct stwi_attribute list[256];
  for (unsigned count = 255; count <= 256; count++) {
    for (unsigned i = 0; i < count; i++)
      list[i] = (struct stwi_attribute){
          .name = "a", .ns = "urn:x", .value = "", .next = i + 1 < count ? &list[i + 1] : NULL};
    const struct stwi_element element = {.name = "a", .ns = STWI_NS_CLIENT, .attributes = list};
    set_up(NULL);
    stwi_xml_element(&xml, &element);
    assert_int_equal(stwi_xml_is_good(&xml), count == 255);
  }
}

enum { NODES = 40 };

static struct stwi_random dice;

static const char *pick(const char *const *from, size_t count) {
  return from[stwi_random_below(&dice, count)];
}

/* Grows by hanging each new node below or behind an earlier one. */
static const struct stwi_element *random_tree(void) {
  static const char *const names[] = {"a", "body", "x-1", "\xC3\xA4"};
  static const char *const spaces[] = {STWI_NS_CLIENT, STWI_NS_STREAM, "urn:x&y", NULL};
  static const char *const texts[] = {"x", "<&>", "\xE2\x99\x9A", "'\"\n\t", " \r "};
  static struct stwi_element nodes[NODES];
  static struct stwi_attribute attributes[NODES];
  memset(nodes, 0, sizeof nodes);
  for (unsigned i = 0; i < NODES; i++) {
    struct stwi_element *node = &nodes[i];
    if (i > 0 && stwi_random_below(&dice, 3) == 0) {
      node->text = pick(texts, COUNT(texts));
      node->text_size = strlen(node->text);
    } else {
      node->name = pick(names, COUNT(names));
      node->ns = pick(spaces, COUNT(spaces));
      attributes[i] = (struct stwi_attribute){.name = pick(names, COUNT(names)),
                                              .ns = pick(spaces + 1, 3),
                                              .value = pick(texts, COUNT(texts))};
      node->attributes = stwi_random_below(&dice, 2) == 0 ? NULL : &attributes[i];
    }
    if (i == 0)
      continue;
    struct stwi_element *parent = &nodes[stwi_random_below(&dice, i)];
    while (parent->name == NULL)
      parent--;
    const struct stwi_element *first = parent->first;
    if (first != NULL && first->name == NULL && node->name == NULL)
      continue; /* neighbouring texts are one node */
    node->next = first;
    parent->first = node;
  }
  return nodes;
}

static void any_tree_comes_back_as_it_was(void **unused) {
  (void)unused;
  stwi_random_seed(&dice, test_seed("xml"));
  for (unsigned round = 0; round < 3000; round++) {
    set_up(NULL);
    const bool is_alone = stwi_random_below(&dice, 2) == 0;
    if (is_alone)
      stwi_xml_init(&xml, buffer, sizeof buffer, NULL);
    const struct stwi_element *tree = random_tree();
    stwi_xml_element(&xml, tree);
    assert_true(stwi_xml_is_good(&xml));
    const struct stwi_element *again =
        is_alone ? xml_read_alone(buffer, xml.size) : xml_read(buffer, xml.size);
    if (again == NULL || !xml_is_same(tree, again))
      fail_msg("%.*s", (int)xml.size, buffer);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(a_stanza_is_written_as_servers_write_it, set_up),
      cmocka_unit_test_setup(an_element_that_stands_alone_declares_its_namespace, set_up),
      cmocka_unit_test_setup(texts_and_values_are_escaped, set_up),
      cmocka_unit_test_setup(what_xml_cannot_carry_is_refused, set_up),
      cmocka_unit_test_setup(names_are_names, set_up),
      cmocka_unit_test_setup(a_fault_stays_and_writes_nothing_more, set_up),
      cmocka_unit_test_setup(a_buffer_too_small_is_a_fault_at_every_size, set_up),
      cmocka_unit_test_setup(an_element_without_its_end_is_not_good, set_up),
      cmocka_unit_test_setup(trees_come_back_as_they_were, set_up),
      cmocka_unit_test_setup(a_tree_is_as_deep_as_the_writer_allows, set_up),
      cmocka_unit_test_setup(more_attributes_with_namespaces_than_a_tag_can_have_are_refused,
                             set_up),
      cmocka_unit_test_setup(any_tree_comes_back_as_it_was, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
