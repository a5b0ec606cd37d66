#include "core/xmpp/element.h"

#include <string.h>

static bool is_same(const char *wanted, const char *has) {
  return wanted == NULL || (has != NULL && strcmp(wanted, has) == 0);
}

bool stwi_element_is(const struct stwi_element *element, const char *name, const char *ns) {
  return element != NULL && element->name != NULL && is_same(name, element->name) &&
         is_same(ns, element->ns);
}

static const struct stwi_element *find(const struct stwi_element *from, const char *name,
                                       const char *ns) {
  while (from != NULL && !stwi_element_is(from, name, ns))
    from = from->next;
  return from;
}

const struct stwi_element *stwi_element_child(const struct stwi_element *parent, const char *name,
                                              const char *ns) {
  return find(parent->first, name, ns);
}

const struct stwi_element *stwi_element_after(const struct stwi_element *element, const char *name,
                                              const char *ns) {
  return find(element->next, name, ns);
}

const char *stwi_element_attribute(const struct stwi_element *element, const char *name) {
  for (const struct stwi_attribute *at = element->attributes; at != NULL; at = at->next)
    if (at->ns == NULL && strcmp(at->name, name) == 0)
      return at->value;
  return NULL;
}

const char *stwi_element_text(const struct stwi_element *element, size_t *size) {
  const struct stwi_element *only = element->first;
  const bool is_text = only != NULL && only->name == NULL && only->next == NULL;
  *size = is_text ? only->text_size : 0;
  return is_text ? only->text : "";
}

bool stwi_element_text_is(const struct stwi_element *element, const char *text) {
  size_t size;
  const char *has = stwi_element_text(element, &size);
  return size == strlen(text) && memcmp(has, text, size) == 0;
}

bool stwi_element_is_stanza(const struct stwi_element *element) {
  return stwi_element_is(element, "message", STWI_NS_CLIENT) ||
         stwi_element_is(element, "presence", STWI_NS_CLIENT) ||
         stwi_element_is(element, "iq", STWI_NS_CLIENT);
}
