#include "io/envelope_export_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/envelope_cursor.h"

#define CHUNK_BYTES 65536u
#define FIRST_BYTES 65536u

/* ---- the file ---- */

struct bytes {
  uint8_t *data;
  size_t used, size;
};

static stw_status say(char *detail, stw_status status, const char *what, const char *path) {
  snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "%.60s: %.120s", what, path);
  return status;
}

/* Memory grows with what was read, never with what a file claims. */
static bool grow(struct bytes *bytes) {
  if (bytes->used < bytes->size)
    return true;
  const size_t size = bytes->size == 0 ? FIRST_BYTES : 2 * bytes->size;
  uint8_t *data = realloc(bytes->data, size);
  if (data == NULL)
    return false;
  bytes->data = data;
  bytes->size = size;
  return true;
}

static stw_status read_all(int fd, const char *path, struct bytes *bytes, char *detail) {
  for (;;) {
    if (!grow(bytes))
      return say(detail, STW_E_MEMORY, "no memory to read the export", path);
    const ssize_t got = read(fd, bytes->data + bytes->used, bytes->size - bytes->used);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return say(detail, STW_E_STORE, strerror(errno), path);
    if (got == 0)
      return STW_OK;
    bytes->used += (size_t)got;
    if (bytes->used >= STWI_EXPORT_MAGIC_BYTES &&
        memcmp(bytes->data, STWI_EXPORT_MAGIC, STWI_EXPORT_MAGIC_BYTES - 1) != 0)
      return say(detail, STW_E_FORMAT, "no export of an outbox", path);
    if (bytes->used > STWI_EXPORT_BYTES_MAX)
      return say(detail, STW_E_FORMAT, "an export of over 4 GiB", path);
  }
}

stw_status stwi_export_read(const char *path, struct stwi_chunk **chunks, char *detail) {
  struct stat there;
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    return say(detail, STW_E_STORE, strerror(errno), path);
  struct bytes bytes = {NULL, 0, 0};
  stw_status status;
  if (fstat(fd, &there) != 0 || !S_ISREG(there.st_mode))
    status = say(detail, STW_E_STORE, "no regular file", path);
  else
    status = read_all(fd, path, &bytes, detail);
  close(fd);
  if (status == STW_OK)
    status = stwi_export_parse(bytes.data, bytes.used, chunks, detail);
  free(bytes.data);
  return status;
}

/* ---- one message ---- */

enum field {
  FIELD_STREAM,
  FIELD_NUMBER,
  FIELD_LANE,
  FIELD_GUARANTEE,
  FIELD_TTL,
  FIELD_AGE,
  FIELD_ATTEMPTS,
  FIELD_STATE,
  FIELD_CAUSE,
  FIELD_NUMBERS, /* the others are no numbers */
  FIELD_TEXT = FIELD_NUMBERS,
  FIELD_KEY,
  FIELD_BODY,
  FIELD_COUNT
};

static const struct {
  const char *name;
  uint64_t least, most;
} fields[FIELD_COUNT] = {
    [FIELD_STREAM] = {"stream", 0, UINT64_MAX},
    [FIELD_NUMBER] = {"number", 1, STWI_ENVELOPE_NUMBER_MAX},
    [FIELD_LANE] = {"lane", 0, STW_LANE_COUNT - 1},
    [FIELD_GUARANTEE] = {"guarantee", 0, STW_GUARANTEE_COUNT - 1},
    [FIELD_TTL] = {"ttl_ns", 0, UINT64_MAX},
    [FIELD_AGE] = {"age_ns", 0, UINT64_MAX / 2},
    [FIELD_ATTEMPTS] = {"attempts", 0, UINT32_MAX},
    [FIELD_STATE] = {"state", 0, STW_MESSAGE_STATE_COUNT - 1},
    [FIELD_CAUSE] = {"cause", 0, STW_CAUSE_COUNT - 1},
    [FIELD_TEXT] = {"text", 0, 0},
    [FIELD_KEY] = {"key", 0, UINT8_MAX},
    [FIELD_BODY] = {"body", 0, (uint64_t)1 << 30}, /* the most that max_message can be */
};

struct parsed {
  uint64_t numbers[FIELD_NUMBERS];
  bool is_text;
  const uint8_t *key, *body;
  size_t key_size, body_size;
};

static enum field find_field(struct stwi_text key) {
  unsigned i = 0;
  while (i < FIELD_COUNT &&
         (strlen(fields[i].name) != key.size || memcmp(fields[i].name, key.data, key.size) != 0))
    i++;
  return (enum field)i;
}

static bool read_bytes(struct stwi_cursor *cursor, enum field field, const uint8_t **bytes,
                       size_t *size) {
  return stwi_cursor_bin(cursor, bytes, size) && *size <= fields[field].most;
}

static bool read_field(struct stwi_cursor *cursor, enum field field, struct parsed *parsed) {
  switch (field) {
  case FIELD_TEXT:
    return stwi_cursor_bool(cursor, &parsed->is_text);
  case FIELD_KEY:
    return read_bytes(cursor, field, &parsed->key, &parsed->key_size);
  case FIELD_BODY:
    return read_bytes(cursor, field, &parsed->body, &parsed->body_size);
  default:
    return stwi_cursor_uint(cursor, &parsed->numbers[field]) &&
           parsed->numbers[field] >= fields[field].least &&
           parsed->numbers[field] <= fields[field].most;
  }
}

/* All fields, each once, in any order; *why names what is wrong. */
static bool read_message(struct stwi_cursor *cursor, struct parsed *parsed, const char **why) {
  uint32_t count, seen = 0;
  *why = "no map of 12 fields";
  if (!stwi_cursor_map(cursor, &count) || count != FIELD_COUNT)
    return false;
  for (uint32_t i = 0; i < count; i++) {
    struct stwi_text key;
    *why = "a field's name is no text";
    if (!stwi_cursor_text(cursor, &key))
      return false;
    const enum field field = find_field(key);
    *why = "an unknown field";
    if (field == FIELD_COUNT)
      return false;
    *why = fields[field].name;
    if ((seen >> field & 1) != 0 || !read_field(cursor, field, parsed))
      return false;
    seen |= (uint32_t)1 << field;
  }
  return true;
}

/* ---- all of them ---- */

struct list {
  struct stwi_chunk *first, *last;
};

static struct stwi_msg *append(struct list *list, const struct parsed *parsed) {
  const size_t need = stwi_msg_footprint(parsed->key_size, parsed->body_size);
  struct stwi_chunk *chunk = list->last;
  if (chunk == NULL || chunk->size - chunk->used < need) {
    chunk = stwi_chunk_new((uint32_t)(need > CHUNK_BYTES ? need : CHUNK_BYTES));
    if (chunk == NULL)
      return NULL;
    if (list->last == NULL)
      list->first = chunk;
    else
      list->last->next = chunk;
    list->last = chunk;
  }
  return stwi_chunk_append(chunk, parsed->key, (uint8_t)parsed->key_size, parsed->body,
                           (uint32_t)parsed->body_size);
}

static bool add_message(struct list *list, const struct parsed *parsed) {
  struct stwi_msg *msg = append(list, parsed);
  if (msg == NULL)
    return false;
  msg->id = (stw_message_id){parsed->numbers[FIELD_STREAM], parsed->numbers[FIELD_NUMBER]};
  msg->lane = (uint8_t)parsed->numbers[FIELD_LANE];
  msg->guarantee = (uint8_t)parsed->numbers[FIELD_GUARANTEE];
  msg->is_text = parsed->is_text;
  msg->ttl_ns = parsed->numbers[FIELD_TTL];
  msg->waited_ns = parsed->numbers[FIELD_AGE];
  if (msg->ttl_ns > 0) /* what is left of it, from the age on */
    msg->ttl_ns =
        msg->ttl_ns < UINT64_MAX - msg->waited_ns ? msg->ttl_ns + msg->waited_ns : UINT64_MAX;
  msg->attempts = (uint32_t)parsed->numbers[FIELD_ATTEMPTS];
  msg->state = STW_MESSAGE_QUEUED;
  return true;
}

static uint64_t read_be(const uint8_t *at, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++)
    value = value << 8 | at[i];
  return value;
}

static bool check_frame(const uint8_t *data, size_t size, uint64_t *count, char *detail) {
  const char *why = NULL;
  const uint8_t *end = size < STWI_EXPORT_END_BYTES ? data : data + size - STWI_EXPORT_END_BYTES;
  if (size < STWI_EXPORT_MAGIC_BYTES ||
      memcmp(data, STWI_EXPORT_MAGIC, STWI_EXPORT_MAGIC_BYTES - 1) != 0)
    why = "this is no export of an outbox";
  else if (data[STWI_EXPORT_MAGIC_BYTES - 1] != STWI_EXPORT_VERSION)
    why = "the export is of another version; use the steadwire that wrote it";
  else if (size < STWI_EXPORT_MAGIC_BYTES + STWI_EXPORT_END_BYTES || end[0] != 0x92 ||
           end[1] != 0xcf || end[10] != 0xce)
    why = "the export has no end: it was cut, or its writing was interrupted; export again";
  else if (read_be(end + 11, 4) != stwi_export_crc(0, data, size - STWI_EXPORT_END_BYTES))
    why = "the export is damaged (its checksum differs); export again";
  if (why != NULL) {
    snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "%s", why);
    return false;
  }
  *count = read_be(end + 2, 8);
  return true;
}

static stw_status parse_messages(struct stwi_cursor *cursor, uint64_t count, struct list *list,
                                 char *detail) {
  for (uint64_t i = 1; cursor->at < cursor->end || i <= count; i++) {
    struct parsed parsed;
    const char *why = "it is not there";
    memset(&parsed, 0, sizeof parsed);
    if (cursor->at == cursor->end || i > count || !read_message(cursor, &parsed, &why)) {
      snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "message %llu of %llu in the export: %s",
               (unsigned long long)i, (unsigned long long)count,
               i > count ? "there are more than it says" : why);
      return STW_E_FORMAT;
    }
    if (!add_message(list, &parsed)) {
      snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "no memory for the messages of the export");
      return STW_E_MEMORY;
    }
  }
  return STW_OK;
}

stw_status stwi_export_parse(const uint8_t *data, size_t size, struct stwi_chunk **chunks,
                             char *detail) {
  uint64_t count;
  struct list list = {NULL, NULL};
  if (!check_frame(data, size, &count, detail))
    return STW_E_FORMAT;
  struct stwi_cursor cursor = {data + STWI_EXPORT_MAGIC_BYTES, data + size - STWI_EXPORT_END_BYTES,
                               NULL};
  const stw_status status = parse_messages(&cursor, count, &list, detail);
  if (status != STW_OK) {
    stwi_chunk_free_list(list.first);
    return status;
  }
  *chunks = list.first;
  return STW_OK;
}
