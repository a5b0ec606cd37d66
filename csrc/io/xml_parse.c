#include "io/xml_parse.h"

#include "core/mem.h"

#include <expat.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

enum {
  BLOCK_BYTES = 2048, /* of a tree; the first is kept */
  ALIGNMENT = sizeof(void *),
  ATTRIBUTES_MAX = 64
};

/* No XML name or URI has it. */
static const XML_Char separator = '\x1F';

/* ---- memory of a tree ---- */

struct block {
  struct block *next; /* an older one */
  size_t used, size;
  _Alignas(max_align_t) uint8_t bytes[];
};

static void *take(struct block **blocks, size_t size) {
  struct block *block = *blocks;
  size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (block == NULL || block->size - block->used < size) {
    const size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    block = stwi_alloc(sizeof *block + room);
    if (block == NULL)
      return NULL;
    *block = (struct block){.next = *blocks, .size = room};
    *blocks = block;
  }
  void *taken = block->bytes + block->used;
  block->used += size;
  return taken;
}

static void free_blocks(struct block *block) {
  while (block != NULL) {
    struct block *next = block->next;
    stwi_free(block);
    block = next;
  }
}

static void empty_blocks(struct block **blocks) {
  while (*blocks != NULL && ((*blocks)->next != NULL || (*blocks)->size > BLOCK_BYTES)) {
    struct block *next = (*blocks)->next;
    stwi_free(*blocks);
    *blocks = next;
  }
  if (*blocks != NULL)
    (*blocks)->used = 0;
}

/* ---- the parser ---- */

/* An element whose end has not come. */
struct open_element {
  struct stwi_element *element;
  const struct stwi_element **end; /* where its next child goes */
};

struct stwi_xml_stream {
  XML_Parser expat;
  struct stwi_xml_limits limits;
  struct stwi_xml_hooks hooks;
  struct block *blocks;
  struct stwi_element *root; /* the first-level element, until the blocks are emptied */
  struct open_element open[STWI_ELEMENT_DEPTH_MAX];
  uint32_t depth; /* of the element that is open, counted from the first level */
  char *text;
  size_t text_size, text_room;
  XML_Index boundary; /* where the current first-level element begins, or the last one ended */
  XML_Index fed;
  enum stwi_xml_status status;
  const char *why;
  bool is_in_root; /* the root of a stream is open */
  bool is_single;  /* there is no root around the first-level element */
  bool is_feeding, is_stopped, wants_reset;
};

struct stwi_xml_limits stwi_xml_limits(size_t bytes_max) {
  return (struct stwi_xml_limits){bytes_max, STWI_ELEMENT_DEPTH_MAX, ATTRIBUTES_MAX};
}

static void refuse(struct stwi_xml_stream *stream, enum stwi_xml_status status, const char *why) {
  if (stream->status != STWI_XML_OK)
    return;
  stream->status = status;
  stream->why = why;
  XML_StopParser(stream->expat, XML_FALSE);
}

static bool is_over(const struct stwi_xml_stream *stream) {
  return stream->status != STWI_XML_OK || stream->is_stopped || stream->wants_reset;
}

static void *take_for(struct stwi_xml_stream *stream, size_t size) {
  void *taken = take(&stream->blocks, size);
  if (taken == NULL)
    refuse(stream, STWI_XML_NO_MEMORY, "no memory for an element");
  return taken;
}

static const char *copy(struct stwi_xml_stream *stream, const char *text, size_t size) {
  char *taken = take_for(stream, size + 1);
  if (taken == NULL)
    return NULL;
  memcpy(taken, text, size);
  taken[size] = '\0';
  return taken;
}

/* Splits what expat calls a name; a namespace equal to `known` shares its memory. */
static bool split(struct stwi_xml_stream *stream, const XML_Char *full, const char *known,
                  const char **ns, const char **name) {
  const char *end = strchr(full, separator);
  *ns = NULL;
  if (end != NULL) {
    const size_t size = (size_t)(end - full);
    const bool is_known = known != NULL && strncmp(known, full, size) == 0 && known[size] == '\0';
    *ns = is_known ? known : copy(stream, full, size);
    full = end + 1;
    if (*ns == NULL)
      return false;
  }
  *name = copy(stream, full, strlen(full));
  return *name != NULL;
}

static bool add_attributes(struct stwi_xml_stream *stream, struct stwi_element *element,
                           const XML_Char **pairs) {
  const struct stwi_attribute **end = &element->attributes;
  for (size_t count = 0; pairs[2 * count] != NULL; count++) {
    if (count == stream->limits.attributes_max) {
      refuse(stream, STWI_XML_TOO_BIG, "an element has too many attributes");
      return false;
    }
    struct stwi_attribute *attribute = take_for(stream, sizeof *attribute);
    if (attribute == NULL)
      return false;
    *attribute = (struct stwi_attribute){0};
    const char *value = pairs[2 * count + 1];
    if (!split(stream, pairs[2 * count], NULL, &attribute->ns, &attribute->name))
      return false;
    attribute->value = copy(stream, value, strlen(value));
    if (attribute->value == NULL)
      return false;
    *end = attribute;
    end = &attribute->next;
  }
  return true;
}

static void check_size(struct stwi_xml_stream *stream, XML_Index at) {
  if (at > stream->boundary && (size_t)(at - stream->boundary) > stream->limits.bytes_max)
    refuse(stream, STWI_XML_TOO_BIG, "an element is longer than the limit");
}

/* Ends what was read of a text node. */
static void flush_text(struct stwi_xml_stream *stream) {
  if (stream->text_size == 0)
    return;
  struct open_element *parent = &stream->open[stream->depth - 1];
  struct stwi_element *node = take_for(stream, sizeof *node);
  const char *text = node == NULL ? NULL : copy(stream, stream->text, stream->text_size);
  if (text == NULL)
    return;
  *node = (struct stwi_element){.text = text, .text_size = stream->text_size};
  *parent->end = node;
  parent->end = &node->next;
  stream->text_size = 0;
}

static struct stwi_element *make_element(struct stwi_xml_stream *stream, const XML_Char *full,
                                         const XML_Char **pairs) {
  const char *known = stream->depth > 0 ? stream->open[stream->depth - 1].element->ns : NULL;
  struct stwi_element *element = take_for(stream, sizeof *element);
  if (element == NULL)
    return NULL;
  *element = (struct stwi_element){0};
  if (!split(stream, full, known, &element->ns, &element->name) ||
      !add_attributes(stream, element, pairs))
    return NULL;
  return element;
}

static void open_root(struct stwi_xml_stream *stream, const XML_Char *full,
                      const XML_Char **pairs) {
  const struct stwi_element *header = make_element(stream, full, pairs);
  if (header == NULL)
    return;
  stream->is_in_root = true;
  stream->boundary = XML_GetCurrentByteIndex(stream->expat);
  stream->hooks.opened(stream->hooks.owner, header);
  empty_blocks(&stream->blocks);
}

static void XMLCALL on_start(void *owner, const XML_Char *full, const XML_Char **pairs) {
  struct stwi_xml_stream *stream = owner;
  if (is_over(stream))
    return;
  check_size(stream, XML_GetCurrentByteIndex(stream->expat));
  if (stream->status != STWI_XML_OK)
    return;
  if (!stream->is_in_root && !stream->is_single) {
    open_root(stream, full, pairs);
    return;
  }
  if (stream->depth == stream->limits.depth_max) {
    refuse(stream, STWI_XML_TOO_BIG, "an element is nested too deep");
    return;
  }
  flush_text(stream);
  struct stwi_element *element = is_over(stream) ? NULL : make_element(stream, full, pairs);
  if (element == NULL)
    return;
  if (stream->depth == 0) {
    stream->root = element;
  } else {
    struct open_element *parent = &stream->open[stream->depth - 1];
    *parent->end = element;
    parent->end = &element->next;
  }
  stream->open[stream->depth++] = (struct open_element){element, &element->first};
}

static void end_first_level(struct stwi_xml_stream *stream) {
  stream->boundary =
      XML_GetCurrentByteIndex(stream->expat) + XML_GetCurrentByteCount(stream->expat);
  if (stream->is_single)
    return; /* stwi_xml_parse takes it */
  stream->hooks.element(stream->hooks.owner, stream->root);
  empty_blocks(&stream->blocks);
}

static void XMLCALL on_end(void *owner, const XML_Char *full) {
  struct stwi_xml_stream *stream = owner;
  (void)full;
  if (is_over(stream))
    return;
  check_size(stream, XML_GetCurrentByteIndex(stream->expat));
  if (stream->depth == 0) {
    stream->is_in_root = false;
    if (!is_over(stream))
      stream->hooks.closed(stream->hooks.owner);
    return;
  }
  flush_text(stream);
  if (is_over(stream))
    return;
  if (--stream->depth == 0)
    end_first_level(stream);
}

static bool grow_text(struct stwi_xml_stream *stream, size_t size) {
  if (size <= stream->text_room)
    return true;
  size_t room = stream->text_room == 0 ? 256 : stream->text_room;
  while (room < size)
    room *= 2;
  char *text = stwi_realloc(stream->text, room);
  if (text == NULL)
    return false;
  stream->text = text;
  stream->text_room = room;
  return true;
}

static bool is_space(const XML_Char *text, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
      return false;
  }
  return true;
}

static void XMLCALL on_text(void *owner, const XML_Char *text, int count) {
  struct stwi_xml_stream *stream = owner;
  const size_t size = (size_t)count;
  const XML_Index at = XML_GetCurrentByteIndex(stream->expat);
  if (is_over(stream))
    return;
  if (stream->depth == 0) {
    if (!is_space(text, size))
      refuse(stream, STWI_XML_MALFORMED, "text between the elements of the stream");
    stream->boundary = at;
    return;
  }
  check_size(stream, at);
  if (is_over(stream))
    return;
  if (!grow_text(stream, stream->text_size + size)) {
    refuse(stream, STWI_XML_NO_MEMORY, "no memory for a text");
    return;
  }
  memcpy(stream->text + stream->text_size, text, size);
  stream->text_size += size;
}

static void XMLCALL on_doctype(void *owner, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset) {
  (void)name, (void)system, (void)public, (void)has_subset;
  refuse(owner, STWI_XML_RESTRICTED, "a document type, which XMPP forbids");
}

static void XMLCALL on_comment(void *owner, const XML_Char *text) {
  (void)text;
  refuse(owner, STWI_XML_RESTRICTED, "a comment, which XMPP forbids");
}

static void XMLCALL on_instruction(void *owner, const XML_Char *target, const XML_Char *text) {
  (void)target, (void)text;
  refuse(owner, STWI_XML_RESTRICTED, "a processing instruction, which XMPP forbids");
}

/* ---- life ---- */

static void set_handlers(struct stwi_xml_stream *stream) {
  XML_SetUserData(stream->expat, stream);
  XML_SetElementHandler(stream->expat, on_start, on_end);
  XML_SetCharacterDataHandler(stream->expat, on_text);
  XML_SetStartDoctypeDeclHandler(stream->expat, on_doctype);
  XML_SetCommentHandler(stream->expat, on_comment);
  XML_SetProcessingInstructionHandler(stream->expat, on_instruction);
}

struct stwi_xml_stream *stwi_xml_stream_new(const struct stwi_xml_limits *limits,
                                            const struct stwi_xml_hooks *hooks) {
  static const XML_Memory_Handling_Suite memory = {stwi_alloc, stwi_realloc, stwi_free};
  struct stwi_xml_stream *stream = stwi_alloc(sizeof *stream);
  if (stream == NULL)
    return NULL;
  memset(stream, 0, sizeof *stream);
  stream->limits = *limits;
  stream->hooks = *hooks;
  /* XMPP is UTF-8, whatever a declaration says (RFC 6120 section 11.6). */
  stream->expat = XML_ParserCreate_MM("UTF-8", &memory, &separator);
  if (stream->expat == NULL) {
    stwi_free(stream);
    return NULL;
  }
  set_handlers(stream);
  return stream;
}

void stwi_xml_stream_free(struct stwi_xml_stream *stream) {
  if (stream == NULL)
    return;
  XML_ParserFree(stream->expat);
  free_blocks(stream->blocks);
  stwi_free(stream->text);
  stwi_free(stream);
}

static bool reset_now(struct stwi_xml_stream *stream) {
  if (XML_ParserReset(stream->expat, "UTF-8") != XML_TRUE)
    return false;
  set_handlers(stream);
  empty_blocks(&stream->blocks);
  stream->root = NULL;
  stream->depth = 0;
  stream->text_size = 0;
  stream->boundary = 0;
  stream->fed = 0;
  stream->status = STWI_XML_OK;
  stream->why = NULL;
  stream->is_in_root = false;
  stream->is_stopped = false;
  stream->wants_reset = false;
  return true;
}

bool stwi_xml_stream_reset(struct stwi_xml_stream *stream) {
  if (!stream->is_feeding)
    return reset_now(stream);
  stream->wants_reset = true;
  XML_StopParser(stream->expat, XML_FALSE);
  return true;
}

void stwi_xml_stream_stop(struct stwi_xml_stream *stream) {
  stream->is_stopped = true;
  XML_StopParser(stream->expat, XML_FALSE);
}

static void note_error(struct stwi_xml_stream *stream) {
  const enum XML_Error error = XML_GetErrorCode(stream->expat);
  if (stream->status != STWI_XML_OK)
    return;
  stream->status = error == XML_ERROR_NO_MEMORY ? STWI_XML_NO_MEMORY : STWI_XML_MALFORMED;
  stream->why = XML_ErrorString(error);
}

enum stwi_xml_status stwi_xml_stream_feed(struct stwi_xml_stream *stream, const void *data,
                                          size_t size, const char **why) {
  const size_t part_max = INT_MAX / 2;
  stream->is_feeding = true;
  for (size_t at = 0; at < size && !is_over(stream);) {
    const size_t part = size - at < part_max ? size - at : part_max;
    stream->fed += (XML_Index)part;
    if (XML_Parse(stream->expat, (const char *)data + at, (int)part, XML_FALSE) != XML_STATUS_OK &&
        !stream->is_stopped && !stream->wants_reset)
      note_error(stream);
    /* A tag that does not end is seen by no handler. */
    if (!is_over(stream))
      check_size(stream, stream->fed);
    at += part;
  }
  stream->is_feeding = false;
  if (stream->wants_reset && !reset_now(stream)) {
    stream->status = STWI_XML_NO_MEMORY;
    stream->why = "no memory to begin a stream anew";
  }
  *why = stream->why;
  return stream->status;
}

/* ---- a single element ---- */

struct stwi_xml_tree {
  struct block *blocks;
  const struct stwi_element *root;
};

static enum stwi_xml_status parse_whole(struct stwi_xml_stream *stream, const void *text,
                                        size_t size, const char **why) {
  *why = "an element is longer than the limit";
  if (size > stream->limits.bytes_max)
    return STWI_XML_TOO_BIG;
  const enum stwi_xml_status status = stwi_xml_stream_feed(stream, text, size, why);
  if (status != STWI_XML_OK)
    return status;
  if (XML_Parse(stream->expat, "", 0, XML_TRUE) != XML_STATUS_OK)
    note_error(stream);
  *why = stream->why;
  return stream->status;
}

struct stwi_xml_tree *stwi_xml_parse(const void *text, size_t size,
                                     const struct stwi_xml_limits *limits,
                                     enum stwi_xml_status *status, const char **why) {
  const struct stwi_xml_hooks none = {0};
  struct stwi_xml_tree *tree = stwi_alloc(sizeof *tree);
  struct stwi_xml_stream *stream = stwi_xml_stream_new(limits, &none);
  *status = STWI_XML_NO_MEMORY;
  *why = "no memory to parse";
  if (tree != NULL && stream != NULL) {
    stream->is_single = true;
    *status = parse_whole(stream, text, size, why);
  }
  if (*status != STWI_XML_OK) {
    stwi_free(tree);
    tree = NULL;
  } else {
    *tree = (struct stwi_xml_tree){stream->blocks, stream->root};
    stream->blocks = NULL;
  }
  stwi_xml_stream_free(stream);
  return tree;
}

const struct stwi_element *stwi_xml_tree_root(const struct stwi_xml_tree *tree) {
  return tree->root;
}

void stwi_xml_tree_free(struct stwi_xml_tree *tree) {
  if (tree == NULL)
    return;
  free_blocks(tree->blocks);
  stwi_free(tree);
}
