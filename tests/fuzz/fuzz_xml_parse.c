/* Feeds arbitrary bytes to the XML parser, whole and in pieces, and checks what must hold for any
 * input: the same trees come however the bytes arrive, every tree keeps the limits, a refusal has a
 * sentence.
 *
 * The first byte says how long the pieces are.  Seeds are made by make_xml_corpus.py.
 */
#include "io/xml_parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { BYTES_MAX = 2048 };

static void must(bool holds) {
  if (!holds)
    abort();
}

/* What came, as one number. */
struct digest {
  uint64_t value;
  size_t elements;
};

static void mix(struct digest *digest, const void *data, size_t size) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < size; i++)
    digest->value = (digest->value ^ bytes[i]) * 0x100000001b3ull;
}

static void mix_text(struct digest *digest, const char *text) {
  if (text != NULL)
    mix(digest, text, strlen(text) + 1);
  else
    mix(digest, "-", 1);
}

static size_t mix_node(struct digest *digest, const struct stwi_element *node, uint32_t depth) {
  size_t bytes = node->text_size;
  size_t attributes = 0;
  must(node->name == NULL || depth <= STWI_ELEMENT_DEPTH_MAX); /* texts may lie below */
  must((node->name == NULL) == (node->text != NULL));
  mix_text(digest, node->name);
  mix_text(digest, node->ns);
  if (node->text != NULL)
    mix(digest, node->text, node->text_size);
  for (const struct stwi_attribute *at = node->attributes; at != NULL; at = at->next) {
    mix_text(digest, at->name);
    mix_text(digest, at->ns);
    mix_text(digest, at->value);
    attributes++;
  }
  must(attributes <= 64);
  for (const struct stwi_element *child = node->first; child != NULL; child = child->next) {
    must(child->name != NULL || child->next == NULL || child->next->name != NULL);
    bytes += mix_node(digest, child, depth + 1);
  }
  mix(digest, "]", 1);
  return bytes;
}

static void on_opened(void *owner, const struct stwi_element *header) {
  must(header->first == NULL && header->next == NULL);
  mix_node(owner, header, 1);
}

static void on_element(void *owner, const struct stwi_element *element) {
  struct digest *digest = owner;
  digest->elements++;
  must(element->name != NULL && element->next == NULL);
  must(mix_node(owner, element, 1) <= BYTES_MAX);
}

static void on_closed(void *owner) {
  mix(owner, "closed", 6);
}

static enum stwi_xml_status feed(const uint8_t *input, size_t size, size_t piece,
                                 struct digest *digest) {
  const struct stwi_xml_limits limits = stwi_xml_limits(BYTES_MAX);
  const struct stwi_xml_hooks hooks = {digest, on_opened, on_element, on_closed};
  struct stwi_xml_stream *stream = stwi_xml_stream_new(&limits, &hooks);
  enum stwi_xml_status status = STWI_XML_OK;
  const char *why;
  must(stream != NULL);
  *digest = (struct digest){0};
  for (size_t at = 0; at < size && status == STWI_XML_OK; at += piece) {
    uint8_t *copy = malloc(piece); /* so that a read beyond it is seen */
    const size_t part = size - at < piece ? size - at : piece;
    memcpy(copy, input + at, part);
    status = stwi_xml_stream_feed(stream, copy, part, &why);
    must((status == STWI_XML_OK) == (why == NULL));
    free(copy);
  }
  stwi_xml_stream_free(stream);
  return status;
}

static void parse_alone(const uint8_t *input, size_t size) {
  const struct stwi_xml_limits limits = stwi_xml_limits(BYTES_MAX);
  struct digest digest = {0};
  enum stwi_xml_status status;
  const char *why;
  struct stwi_xml_tree *tree = stwi_xml_parse(input, size, &limits, &status, &why);
  must((tree != NULL) == (status == STWI_XML_OK));
  if (tree != NULL)
    on_element(&digest, stwi_xml_tree_root(tree));
  stwi_xml_tree_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  struct digest whole, pieces;
  if (size < 2)
    return 0;
  const size_t piece = input[0] + 1u;
  const enum stwi_xml_status one = feed(input + 1, size - 1, size, &whole);
  const enum stwi_xml_status many = feed(input + 1, size - 1, piece, &pieces);
  /* A size is seen earlier in pieces: what came until then is the same. */
  if (one == STWI_XML_OK && many == STWI_XML_OK)
    must(whole.value == pieces.value && whole.elements == pieces.elements);
  parse_alone(input + 1, size - 1);
  return 0;
}
