#include "xml_reader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_BYTES = 4 << 20, SCOPE_MAX = 300 };

static _Alignas(16) uint8_t pool[POOL_BYTES];
static size_t pool_used;

struct binding {
  const char *prefix, *ns;
};

struct reader {
  const char *at, *end;
  bool is_bad;
  struct binding scope[SCOPE_MAX];
  size_t scope_count;
};

void xml_reader_reset(void) {
  pool_used = 0;
}

static void *take(struct reader *reader, size_t size) {
  size = (size + 15) & ~(size_t)15;
  if (size > POOL_BYTES - pool_used) {
    reader->is_bad = true;
    pool_used = 0;
  }
  void *memory = pool + pool_used;
  pool_used += size;
  return memset(memory, 0, size);
}

static char *copy(struct reader *reader, const char *from, size_t size) {
  char *text = take(reader, size + 1);
  memcpy(text, from, size);
  return text;
}

static bool skip(struct reader *reader, const char *text) {
  const size_t size = strlen(text);
  if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, text, size) != 0)
    return false;
  reader->at += size;
  return true;
}

static bool must_skip(struct reader *reader, const char *text) {
  if (!skip(reader, text))
    reader->is_bad = true;
  return !reader->is_bad;
}

static void skip_space(struct reader *reader) {
  while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL)
    reader->at++;
}

/* ---- texts ---- */

static size_t put_utf8(char *out, unsigned long c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
  }
  out[0] = (char)(0xE0 | c >> 12);
  out[1] = (char)(0x80 | (c >> 6 & 0x3F));
  out[2] = (char)(0x80 | (c & 0x3F));
  return 3;
}

static size_t read_reference(struct reader *reader, char *out) {
  static const struct {
    const char *name;
    char c;
  } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (skip(reader, known[i].name)) {
      *out = known[i].c;
      return 1;
    }
  }
  char *end = NULL;
  if (!must_skip(reader, "&#"))
    return 0;
  const unsigned long c =
      skip(reader, "x") ? strtoul(reader->at, &end, 16) : strtoul(reader->at, &end, 10);
  reader->at = end;
  return must_skip(reader, ";") ? put_utf8(out, c) : 0;
}

/* Up to one of `stops`; what an attribute's value makes of spaces is XML 1.0 section 3.3.3. */
static char *read_chars(struct reader *reader, const char *stops, bool is_value, size_t *size) {
  char *text = take(reader, (size_t)(reader->end - reader->at) + 4);
  size_t used = 0;
  while (!reader->is_bad && reader->at < reader->end && strchr(stops, *reader->at) == NULL) {
    if (*reader->at == '&') {
      used += read_reference(reader, text + used);
      continue;
    }
    const char c = *reader->at++;
    if (c == '<' || (c >= 0 && c < 0x20 && strchr("\t\r\n", c) == NULL))
      reader->is_bad = true;
    text[used++] = is_value && c >= 0 && c < 0x20 ? ' ' : (c == '\r' ? '\n' : c);
  }
  *size = used;
  char *kept = copy(reader, text, used);
  return kept;
}

/* ---- names ---- */

static const char *find_ns(struct reader *reader, const char *prefix) {
  for (size_t i = reader->scope_count; i > 0; i--)
    if (strcmp(reader->scope[i - 1].prefix, prefix) == 0)
      return *reader->scope[i - 1].ns == '\0' ? NULL : reader->scope[i - 1].ns;
  if (*prefix != '\0')
    reader->is_bad = true;
  return NULL;
}

/* Splits prefix:name in place; lends both. */
static char *read_name(struct reader *reader, char **prefix) {
  const size_t size = strcspn(reader->at, " \t\r\n/>='\"<");
  char *name = copy(reader, reader->at, size);
  reader->is_bad = reader->is_bad || size == 0;
  reader->at += size;
  char *colon = strchr(name, ':');
  *prefix = colon == NULL ? name + size : name;
  if (colon == NULL)
    return name;
  *colon = '\0';
  return colon + 1;
}

static void bind(struct reader *reader, const char *prefix, const char *ns) {
  if (reader->scope_count == SCOPE_MAX)
    reader->is_bad = true;
  else
    reader->scope[reader->scope_count++] = (struct binding){prefix, ns};
}

/* In the order in which they stand; `ns` is the prefix until the tag is complete. */
static struct stwi_attribute *read_attributes(struct reader *reader) {
  struct stwi_attribute *first = NULL, **last = &first;
  for (skip_space(reader); !reader->is_bad && reader->at < reader->end; skip_space(reader)) {
    if (*reader->at == '/' || *reader->at == '>')
      return first;
    char *prefix;
    const char *name = read_name(reader, &prefix);
    size_t size;
    if (!must_skip(reader, "="))
      return first;
    const char quote[2] = {reader->at < reader->end ? *reader->at : '\0', '\0'};
    if ((*quote != '"' && *quote != '\'') || !must_skip(reader, quote))
      reader->is_bad = true;
    const char *value = read_chars(reader, quote, true, &size);
    must_skip(reader, quote);
    if (strcmp(name, "xmlns") == 0 || strcmp(prefix, "xmlns") == 0) {
      bind(reader, strcmp(prefix, "xmlns") == 0 ? name : "", value);
      continue;
    }
    struct stwi_attribute *made = take(reader, sizeof *made);
    *made = (struct stwi_attribute){.name = name, .ns = prefix, .value = value};
    *last = made;
    last = (struct stwi_attribute **)&made->next;
  }
  return first;
}

static void resolve_attributes(struct reader *reader, struct stwi_attribute *at) {
  for (; at != NULL; at = (struct stwi_attribute *)at->next)
    at->ns = *at->ns == '\0' ? NULL : find_ns(reader, at->ns);
}

/* ---- trees ---- */

static struct stwi_element *read_node(struct reader *reader);

static void read_children(struct reader *reader, struct stwi_element *parent) {
  struct stwi_element **last = (struct stwi_element **)&parent->first;
  while (!reader->is_bad && reader->at < reader->end) {
    if (skip(reader, "</"))
      return;
    struct stwi_element *child = read_node(reader);
    *last = child;
    last = (struct stwi_element **)&child->next;
  }
  reader->is_bad = true;
}

static void read_end(struct reader *reader, const struct stwi_element *element) {
  char *prefix;
  const char *name = read_name(reader, &prefix);
  if (strcmp(name, element->name) != 0)
    reader->is_bad = true;
  must_skip(reader, ">");
}

static struct stwi_element *read_node(struct reader *reader) {
  struct stwi_element *node = take(reader, sizeof *node);
  if (!skip(reader, "<")) {
    node->text = read_chars(reader, "<", false, &node->text_size);
    return node;
  }
  const size_t outer = reader->scope_count;
  char *prefix;
  node->name = read_name(reader, &prefix);
  struct stwi_attribute *attributes = read_attributes(reader);
  if (reader->is_bad)
    return node;
  resolve_attributes(reader, attributes);
  node->attributes = attributes;
  node->ns = find_ns(reader, prefix);
  if (!skip(reader, "/>") && must_skip(reader, ">")) {
    read_children(reader, node);
    read_end(reader, node);
  }
  reader->scope_count = outer;
  return node;
}

static const struct stwi_element *read_root(const char *text, size_t size, bool is_in_stream) {
  static struct reader reader;
  reader = (struct reader){.at = text, .end = text + size};
  char *whole = copy(&reader, text, size); /* terminated */
  reader.at = whole;
  reader.end = whole + size;
  bind(&reader, "xml", STWI_NS_XML);
  if (is_in_stream) {
    bind(&reader, "stream", STWI_NS_STREAM);
    bind(&reader, "", STWI_NS_CLIENT);
  }
  const struct stwi_element *root = read_node(&reader);
  return reader.is_bad || reader.at != reader.end ? NULL : root;
}

const struct stwi_element *xml_read(const char *text, size_t size) {
  return read_root(text, size, true);
}

const struct stwi_element *xml_read_alone(const char *text, size_t size) {
  return read_root(text, size, false);
}

/* ---- comparing ---- */

static bool is_same_text(const char *a, const char *b) {
  return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool has_same_attributes(const struct stwi_element *a, const struct stwi_element *b) {
  const struct stwi_attribute *x = a->attributes, *y = b->attributes;
  for (; x != NULL && y != NULL; x = x->next, y = y->next)
    if (!is_same_text(x->name, y->name) || !is_same_text(x->ns, y->ns) ||
        !is_same_text(x->value, y->value))
      return false;
  return x == y;
}

bool xml_is_same(const struct stwi_element *a, const struct stwi_element *b) {
  if (!is_same_text(a->name, b->name) || !is_same_text(a->ns, b->ns) ||
      !has_same_attributes(a, b) || a->text_size != b->text_size ||
      (a->text_size > 0 && memcmp(a->text, b->text, a->text_size) != 0))
    return false;
  const struct stwi_element *x = a->first, *y = b->first;
  for (; x != NULL && y != NULL; x = x->next, y = y->next)
    if (!xml_is_same(x, y))
      return false;
  return x == y;
}
