/* sm_test: a client's end of stream management for tests that play the server by hand.
 */
#ifndef STEADWIRE_TESTS_SM_TEST_H
#define STEADWIRE_TESTS_SM_TEST_H

#include "core/xmpp/sm.h"

#include "xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define NS " xmlns='urn:xmpp:sm:3'"

enum { RUNS = 8 };

static struct stwi_sm_run memory[RUNS];
static struct stwi_sm sm;
static struct stwi_sm_news news;
static char written[4096];

static inline int set_up(void **unused) {
  (void)unused;
  xml_reader_reset();
  stwi_sm_init(&sm, memory, RUNS);
  return 0;
}

/* The peer says it. */
__attribute__((format(printf, 1, 2))) static inline enum stwi_sm_news_kind hear(const char *format,
                                                                                ...) {
  char text[8192];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const struct stwi_element *element = xml_read(text, strlen(text));
  assert_non_null(element);
  stwi_sm_take(&sm, element, &news);
  return news.kind;
}

static inline struct stwi_xml *writer(void) {
  static struct stwi_xml xml;
  stwi_xml_init(&xml, written, sizeof written - 1, STWI_NS_CLIENT);
  return &xml;
}

static inline void assert_written(const struct stwi_xml *xml, const char *wanted) {
  assert_true(stwi_xml_is_good(xml));
  written[xml->size] = '\0';
  assert_string_equal(written, wanted);
}

static inline void bind(void) {
  struct stwi_jid jid;
  assert_null(stwi_jid_parse(&jid, "a@b/c", 5));
  stwi_sm_bind(&sm, &jid);
}

static inline void enabling(void) {
  bind();
  stwi_sm_enable(&sm, writer());
}

static inline void enable(void) {
  enabling();
  assert_int_equal(hear("<enabled" NS " id='x' resume='true'/>"), STWI_SM_ENABLED);
}

static inline void lose_and_resume(void) {
  stwi_sm_unlink(&sm);
  stwi_sm_resume(&sm, writer());
}

static inline void write_messages(uint64_t from, uint64_t to) {
  for (uint64_t n = from; n <= to; n++)
    stwi_sm_wrote(&sm, STW_LANE_DATA, n);
}

static inline void write_own(unsigned count) {
  while (count-- > 0)
    stwi_sm_wrote(&sm, STW_LANE_DATA, 0);
}

#endif
