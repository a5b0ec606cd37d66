#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/xml_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER                                                                                     \
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "                                     \
  "xmlns:stream='http://etherx.jabber.org/streams' id='7' version='1.0'>"

enum { BYTES_MAX = 4096, NOTES_MAX = 4096 };

static struct {
  struct stwi_xml_stream *stream;
  char text[NOTES_MAX]; /* what came */
  size_t elements;
  bool resets_on_element, stops_on_element;
} seen;

static void note(const char *text) {
  const size_t size = strlen(seen.text);
  snprintf(seen.text + size, sizeof seen.text - size, "%s", text);
}

static void note_tree(const struct stwi_element *element) {
  char text[256];
  if (element->name == NULL) {
    snprintf(text, sizeof text, "'%.*s'", (int)element->text_size, element->text);
    note(text);
    return;
  }
  snprintf(text, sizeof text, "%s{%s}", element->name, element->ns != NULL ? element->ns : "");
  note(text);
  for (const struct stwi_attribute *at = element->attributes; at != NULL; at = at->next) {
    snprintf(text, sizeof text, " %s{%s}=%s", at->name, at->ns != NULL ? at->ns : "", at->value);
    note(text);
  }
  note("[");
  for (const struct stwi_element *child = element->first; child != NULL; child = child->next)
    note_tree(child);
  note("]");
}

static void on_opened(void *owner, const struct stwi_element *header) {
  (void)owner;
  note("opened ");
  note_tree(header);
}

static void on_element(void *owner, const struct stwi_element *element) {
  (void)owner;
  seen.elements++;
  if (seen.elements <= 16)
    note_tree(element);
  if (seen.resets_on_element)
    assert_true(stwi_xml_stream_reset(seen.stream));
  if (seen.stops_on_element)
    stwi_xml_stream_stop(seen.stream);
}

static void on_closed(void *owner) {
  (void)owner;
  note("closed");
}

static const struct stwi_xml_hooks hooks = {NULL, on_opened, on_element, on_closed};

static void begin(void) {
  const struct stwi_xml_limits limits = stwi_xml_limits(BYTES_MAX);
  memset(&seen, 0, sizeof seen);
  seen.stream = stwi_xml_stream_new(&limits, &hooks);
  assert_non_null(seen.stream);
}

static void end(void) {
  stwi_xml_stream_free(seen.stream);
}

static enum stwi_xml_status feed(const char *text) {
  const char *why;
  return stwi_xml_stream_feed(seen.stream, text, strlen(text), &why);
}

static void begin_open(void) {
  begin();
  assert_int_equal(feed(HEADER), STWI_XML_OK);
  seen.text[0] = '\0';
}

static void trees_are_the_same_however_the_bytes_arrive(void **state) {
  static const char text[] =
      HEADER "<message to='a&amp;b' xml:lang='de'><body>x &lt; y\nz</body>"
             "<x xmlns='urn:x'><y/><p:z xmlns:p='urn:p' p:q='1'/></x></message> \n"
             "<presence/></stream:stream>";
  static const char want[] =
      "opened stream{http://etherx.jabber.org/streams} id{}=7 version{}=1.0[]"
      "message{jabber:client} to{}=a&b lang{http://www.w3.org/XML/1998/namespace}=de["
      "body{jabber:client}['x < y\nz']x{urn:x}[y{urn:x}[]z{urn:p} q{urn:p}=1[]]]"
      "presence{jabber:client}[]closed";
  (void)state;
  for (size_t step = 1; step < sizeof text; step++) {
    begin();
    for (size_t at = 0; at < sizeof text - 1; at += step) {
      const char *why;
      const size_t size = sizeof text - 1 - at < step ? sizeof text - 1 - at : step;
      assert_int_equal(stwi_xml_stream_feed(seen.stream, text + at, size, &why), STWI_XML_OK);
    }
    assert_string_equal(seen.text, want);
    end();
  }
}

static void what_xmpp_forbids_is_refused(void **state) {
  static const char *const forbidden[] = {
      "<!-- x -->", "<?php x?>", "<message><!-- x --></message>", "<message><?a b?></message>"};
  (void)state;
  for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
    begin_open();
    assert_int_equal(feed(forbidden[i]), STWI_XML_RESTRICTED);
    assert_int_equal(feed("<presence/>"), STWI_XML_RESTRICTED); /* and stays so */
    assert_int_equal(seen.elements, 0);
    end();
  }
  begin();
  assert_int_equal(feed("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), STWI_XML_RESTRICTED);
  end();
}

static void what_is_not_well_formed_is_refused(void **state) {
  static const char *const broken[] = {"<a></b>",
                                       "<a b='1' b='2'/>",
                                       "<a b=1/>",
                                       "<x:a/>",
                                       "&nbsp;",
                                       "<a>\x01</a>",
                                       "<a>\xff</a>",
                                       "text",
                                       "</stream:stream><a/>"};
  (void)state;
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
    begin_open();
    assert_int_equal(feed(broken[i]), STWI_XML_MALFORMED);
    end();
  }
}

static enum stwi_xml_status feed_times(const char *text, size_t count) {
  enum stwi_xml_status status = STWI_XML_OK;
  for (size_t i = 0; i < count && status == STWI_XML_OK; i++)
    status = feed(text);
  return status;
}

static void depth_is_limited(void **state) {
  (void)state;
  begin_open();
  assert_int_equal(feed_times("<a>", STWI_ELEMENT_DEPTH_MAX), STWI_XML_OK);
  assert_int_equal(feed_times("</a>", STWI_ELEMENT_DEPTH_MAX), STWI_XML_OK);
  assert_int_equal(seen.elements, 1);
  assert_int_equal(feed_times("<a>", STWI_ELEMENT_DEPTH_MAX), STWI_XML_OK);
  assert_int_equal(feed("<a>"), STWI_XML_TOO_BIG);
  end();
}

static void size_is_limited_wherever_it_is(void **state) {
  (void)state;
  begin_open();
  assert_int_equal(feed("<a>"), STWI_XML_OK);
  assert_int_equal(feed_times("0123456789\n", BYTES_MAX / 11 + 1), STWI_XML_TOO_BIG); /* text */
  end();
  begin_open();
  assert_int_equal(feed("<a b='"), STWI_XML_OK);
  assert_int_equal(feed_times("0123456789", BYTES_MAX / 10 + 1), STWI_XML_TOO_BIG); /* a tag */
  end();
  begin_open();
  assert_int_equal(feed("<a>"), STWI_XML_OK);
  assert_int_equal(feed_times("<b/>", BYTES_MAX / 4 + 1), STWI_XML_TOO_BIG); /* children */
  end();
  begin();
  assert_int_equal(feed("<stream b='"), STWI_XML_OK);
  assert_int_equal(feed_times("0123456789", BYTES_MAX / 10 + 1), STWI_XML_TOO_BIG); /* header */
  end();
}

static void attributes_are_limited(void **state) {
  char text[BYTES_MAX] = "<a";
  (void)state;
  for (int i = 0; i < 65; i++) {
    const size_t size = strlen(text);
    snprintf(text + size, sizeof text - size, " a%d=''%s", i, i == 64 ? "/>" : "");
  }
  begin_open();
  assert_int_equal(feed(text), STWI_XML_TOO_BIG);
  end();
}

static void any_number_of_elements_and_spaces_may_come(void **state) {
  (void)state;
  begin_open();
  assert_int_equal(feed_times("<presence/>\n   ", 10 * BYTES_MAX), STWI_XML_OK);
  assert_int_equal(seen.elements, 10 * BYTES_MAX);
  assert_int_equal(feed_times(" ", 2 * BYTES_MAX), STWI_XML_OK);
  end();
}

static void a_reset_from_within_drops_the_rest(void **state) {
  (void)state;
  begin_open();
  seen.resets_on_element = true;
  assert_int_equal(feed("<success/><evil/>"), STWI_XML_OK);
  assert_string_equal(seen.text, "success{jabber:client}[]");
  seen.resets_on_element = false;
  assert_int_equal(feed(HEADER "<features/>"), STWI_XML_OK);
  assert_non_null(strstr(seen.text, "features{jabber:client}[]"));
  assert_null(strstr(seen.text, "evil"));
  end();
}

static void after_a_stop_nothing_is_read_until_a_reset(void **state) {
  (void)state;
  begin_open();
  seen.stops_on_element = true;
  assert_int_equal(feed("<proceed/><evil/>"), STWI_XML_OK);
  assert_int_equal(feed("<evil/>"), STWI_XML_OK);
  assert_int_equal(seen.elements, 1);
  seen.stops_on_element = false;
  assert_true(stwi_xml_stream_reset(seen.stream));
  assert_int_equal(feed(HEADER "<a/>"), STWI_XML_OK);
  assert_int_equal(seen.elements, 2);
  end();
}

static enum stwi_xml_status parse(const char *text) {
  const struct stwi_xml_limits limits = stwi_xml_limits(BYTES_MAX);
  enum stwi_xml_status status;
  const char *why;
  struct stwi_xml_tree *tree = stwi_xml_parse(text, strlen(text), &limits, &status, &why);
  seen.text[0] = '\0';
  assert_int_equal(tree != NULL, status == STWI_XML_OK);
  if (tree != NULL)
    note_tree(stwi_xml_tree_root(tree));
  else
    assert_non_null(why);
  stwi_xml_tree_free(tree);
  return status;
}

static void a_text_is_one_element(void **state) {
  char big[BYTES_MAX + 32] = "<a>";
  (void)state;
  assert_int_equal(parse("<open xmlns='urn:f' to='x'/>"), STWI_XML_OK);
  assert_string_equal(seen.text, "open{urn:f} to{}=x[]");
  assert_int_equal(parse("<a/><b/>"), STWI_XML_MALFORMED);
  assert_int_equal(parse("<a>"), STWI_XML_MALFORMED);
  assert_int_equal(parse(""), STWI_XML_MALFORMED);
  assert_int_equal(parse("<a><!-- x --></a>"), STWI_XML_RESTRICTED);
  memset(big + 3, 'x', BYTES_MAX);
  memcpy(big + 3 + BYTES_MAX, "</a>", 5);
  assert_int_equal(parse(big), STWI_XML_TOO_BIG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(trees_are_the_same_however_the_bytes_arrive),
      cmocka_unit_test(what_xmpp_forbids_is_refused),
      cmocka_unit_test(what_is_not_well_formed_is_refused),
      cmocka_unit_test(depth_is_limited),
      cmocka_unit_test(size_is_limited_wherever_it_is),
      cmocka_unit_test(attributes_are_limited),
      cmocka_unit_test(any_number_of_elements_and_spaces_may_come),
      cmocka_unit_test(a_reset_from_within_drops_the_rest),
      cmocka_unit_test(after_a_stop_nothing_is_read_until_a_reset),
      cmocka_unit_test(a_text_is_one_element),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
