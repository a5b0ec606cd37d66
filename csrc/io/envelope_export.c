#include "io/envelope_export_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <msgpack/pack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES 65536u
#define NAME_TRIES 16u

struct stwi_export {
  int fd;
  char *path, *name; /* where it goes; where it is written */
  uint64_t count, bytes;
  uint32_t crc;
  int error; /* of the first write that failed */
  size_t used;
  uint8_t buffer[BUFFER_BYTES];
};

uint32_t stwi_export_crc(uint32_t crc, const uint8_t *data, size_t size) {
  static const uint32_t nibbles[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  crc = ~crc;
  for (size_t i = 0; i < size; i++) {
    crc ^= data[i];
    crc = crc >> 4 ^ nibbles[crc & 15];
    crc = crc >> 4 ^ nibbles[crc & 15];
  }
  return ~crc;
}

/* ---- writing ---- */

static void write_all(struct stwi_export *export, const uint8_t *data, size_t size) {
  while (size > 0 && export->error == 0) {
    const ssize_t done = write(export->fd, data, size);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0) {
      export->error = errno;
      return;
    }
    data += done;
    size -= (size_t)done;
  }
}

static void flush(struct stwi_export *export) {
  write_all(export, export->buffer, export->used);
  export->used = 0;
}

static void put(struct stwi_export *export, const uint8_t *data, size_t size) {
  export->bytes += size;
  export->crc = stwi_export_crc(export->crc, data, size);
  if (size > BUFFER_BYTES - export->used)
    flush(export);
  if (size > BUFFER_BYTES) {
    write_all(export, data, size);
  } else if (size > 0) {
    memcpy(export->buffer + export->used, data, size);
    export->used += size;
  }
}

static int append(void *export, const char *data, size_t size) {
  put(export, (const uint8_t *)data, size);
  return 0;
}

static stw_status say_errno(struct stwi_export *export, const char *what, int error, char *detail) {
  snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "%s %.120s: %s", what, export->path, strerror(error));
  return STW_E_STORE;
}

/* ---- begin ---- */

static void free_export(struct stwi_export *export) {
  if (export->fd >= 0)
    close(export->fd);
  free(export->path);
  free(export->name);
  free(export);
}

static struct stwi_export *new_export(const char *path) {
  struct stwi_export *export = malloc(sizeof *export);
  if (export == NULL)
    return NULL;
  memset(export, 0, offsetof(struct stwi_export, buffer));
  export->fd = -1;
  export->path = strdup(path);
  export->name = malloc(strlen(path) + 32);
  if (export->path != NULL && export->name != NULL)
    return export;
  free_export(export);
  return NULL;
}

/* A name beside the path that nobody has. */
static int open_beside(struct stwi_export *export) {
  const size_t room = strlen(export->path) + 32;
  for (unsigned i = 0; i < NAME_TRIES; i++) {
    snprintf(export->name, room, "%s.%ld-%u.part", export->path, (long)getpid(), i);
    export->fd = open(export->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (export->fd >= 0)
      return 0;
    if (errno != EEXIST)
      return errno;
  }
  return EEXIST;
}

stw_status stwi_export_begin(const char *path, struct stwi_export **out, char *detail) {
  struct stwi_export *export = new_export(path);
  if (export == NULL) {
    snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "no memory for an export");
    return STW_E_MEMORY;
  }
  struct stat there;
  stw_status status = STW_OK;
  const bool is_there = lstat(path, &there) == 0;
  const int error = is_there ? EEXIST : open_beside(export);
  if (is_there) {
    snprintf(detail, STWI_EXPORT_DETAIL_BYTES, "%.120s exists already; give another name", path);
    status = STW_E_STORE;
  } else if (error != 0) {
    status = say_errno(export, "cannot write the export", error, detail);
  }
  if (status != STW_OK) {
    free_export(export);
    return status;
  }
  put(export, (const uint8_t *)STWI_EXPORT_MAGIC, STWI_EXPORT_MAGIC_BYTES);
  *out = export;
  return STW_OK;
}

/* ---- one message ---- */

static void put_key(msgpack_packer *packer, const char *name) {
  msgpack_pack_str(packer, strlen(name));
  msgpack_pack_str_body(packer, name, strlen(name));
}

static void put_number(msgpack_packer *packer, const char *name, uint64_t value) {
  put_key(packer, name);
  msgpack_pack_uint64(packer, value);
}

static void put_bytes(msgpack_packer *packer, const char *name, const uint8_t *bytes, size_t size) {
  put_key(packer, name);
  msgpack_pack_bin(packer, size);
  if (size > 0)
    msgpack_pack_bin_body(packer, bytes, size);
}

stw_status stwi_export_put(struct stwi_export *export, const struct stwi_msg *msg, char *detail) {
  msgpack_packer packer;
  msgpack_packer_init(&packer, export, append);
  msgpack_pack_map(&packer, STWI_EXPORT_FIELDS);
  put_number(&packer, "stream", msg->id.stream);
  put_number(&packer, "number", msg->id.number);
  put_number(&packer, "lane", msg->lane);
  put_number(&packer, "guarantee", msg->guarantee);
  put_key(&packer, "text");
  if (msg->is_text)
    msgpack_pack_true(&packer);
  else
    msgpack_pack_false(&packer);
  put_bytes(&packer, "key", stwi_msg_key(msg), msg->key_size);
  put_number(&packer, "ttl_ns", msg->ttl_ns);
  put_number(&packer, "age_ns", msg->waited_ns);
  put_number(&packer, "attempts", msg->attempts);
  put_number(&packer, "state", msg->state);
  put_number(&packer, "cause", msg->cause);
  put_bytes(&packer, "body", stwi_msg_body(msg), msg->size);
  export->count++;
  if (export->error != 0)
    return say_errno(export, "cannot write the export", export->error, detail);
  if (export->bytes <= STWI_EXPORT_BYTES_MAX - STWI_EXPORT_END_BYTES)
    return STW_OK;
  snprintf(detail, STWI_EXPORT_DETAIL_BYTES,
           "the export would be over 4 GiB; export fewer "
           "messages at a time, with a filter");
  return STW_E_STORE;
}

/* ---- end ---- */

static void put_end(struct stwi_export *export) {
  uint8_t end[STWI_EXPORT_END_BYTES] = {0x92, 0xcf};
  const uint32_t crc = export->crc;
  for (unsigned i = 0; i < 8; i++)
    end[2 + i] = (uint8_t)(export->count >> (56 - 8 * i));
  end[10] = 0xce;
  for (unsigned i = 0; i < 4; i++)
    end[11 + i] = (uint8_t)(crc >> (24 - 8 * i));
  put(export, end, sizeof end);
  flush(export);
}

static void sync_folder(const char *path) {
  char *copy = strdup(path);
  if (copy == NULL)
    return;
  char *slash = strrchr(copy, '/');
  if (slash != NULL)
    slash[slash == copy ? 1 : 0] = '\0';
  const int fd = open(slash == NULL ? "." : copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
  free(copy);
}

/* A link, unlike a rename, never replaces what has come to exist. */
static stw_status publish(struct stwi_export *export, char *detail) {
  put_end(export);
  if (export->error == 0 && fsync(export->fd) != 0)
    export->error = errno;
  if (export->error == 0 && link(export->name, export->path) != 0)
    export->error = errno;
  if (export->error != 0)
    return say_errno(export, "cannot write the export", export->error, detail);
  sync_folder(export->path);
  return STW_OK;
}

stw_status stwi_export_end(struct stwi_export *export, stw_status status, uint64_t *count,
                           char *detail) {
  if (status == STW_OK)
    status = publish(export, detail);
  *count = status == STW_OK ? export->count : 0;
  unlink(export->name);
  free_export(export);
  return status;
}
