#include "power_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define BUCKETS 256

/* What a sector was when it was last synced. */
struct sector {
  struct sector *next;
  int64_t number;
  unsigned size; /* bytes of it that were in the file */
  uint8_t bytes[SECTOR];
};

/* A file on the disk, whatever its name. */
struct disk_file {
  struct disk_file *next;
  ino_t inode;
  dev_t device;
  int descriptor; /* our own; closed only when no handle is left */
  int64_t synced_size;
  struct sector *buckets[BUCKETS];
};

struct handle {
  sqlite3_file base;
  struct disk_file *file; /* NULL: not watched (-shm and temporary ones) */
  sqlite3_file *real;
  int last_errno; /* of a write that was refused */
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs *system_vfs;
static struct disk_file *files;
static uint64_t random_state = 1;
static unsigned steps, lose_at, sync_fails_in, failed_syncs;
static bool lies;
static char reserve[300]; /* "": the disk has room */
static int64_t room;
static int full_with;
static _Atomic bool is_off;
static void (*during_sync)(void *owner);
static void *during_owner;

static uint64_t draw(void) {
  random_state += 0x9e3779b97f4a7c15u;
  uint64_t z = random_state;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static void must(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "power_vfs: %s\n", what);
  abort();
}

/* ---- what is not synced ---- */

static int64_t size_of(const struct disk_file *file) {
  struct stat found;
  must(fstat(file->descriptor, &found) == 0, "fstat");
  return found.st_size;
}

static struct disk_file *watch(const char *path) {
  struct stat found;
  if (path == NULL || stat(path, &found) != 0)
    return NULL;
  for (struct disk_file *file = files; file != NULL; file = file->next) {
    if (file->inode == found.st_ino && file->device == found.st_dev)
      return file;
  }
  struct disk_file *file = calloc(1, sizeof *file);
  must(file != NULL, "no memory");
  file->inode = found.st_ino;
  file->device = found.st_dev;
  file->descriptor = open(path, O_RDWR | O_CLOEXEC);
  must(file->descriptor >= 0, "open");
  file->synced_size = found.st_size;
  file->next = files;
  files = file;
  return file;
}

static void keep_sector(struct disk_file *file, int64_t number) {
  struct sector **at = &file->buckets[number % BUCKETS];
  for (struct sector *sector = *at; sector != NULL; sector = sector->next) {
    if (sector->number == number)
      return;
  }
  struct sector *sector = calloc(1, sizeof *sector);
  must(sector != NULL, "no memory");
  const ssize_t got = pread(file->descriptor, sector->bytes, SECTOR, number * SECTOR);
  sector->size = got > 0 ? (unsigned)got : 0;
  sector->number = number;
  sector->next = *at;
  *at = sector;
}

static void keep(struct disk_file *file, int64_t from, int64_t to) {
  for (int64_t number = from / SECTOR; number * SECTOR < to; number++)
    keep_sector(file, number);
}

static void forget_sectors(struct disk_file *file) {
  for (int i = 0; i < BUCKETS; i++) {
    while (file->buckets[i] != NULL) {
      struct sector *sector = file->buckets[i];
      file->buckets[i] = sector->next;
      free(sector);
    }
  }
  file->synced_size = size_of(file);
}

/* ---- the loss ---- */

/* Old, new, or torn. */
static void damage(struct disk_file *file, const struct sector *sector, int64_t size) {
  const int64_t at = sector->number * SECTOR;
  uint8_t now[SECTOR] = {0};
  if (at >= size || draw() % 3 == 0)
    return;
  const ssize_t got = pread(file->descriptor, now, SECTOR, at);
  must(got >= 0, "pread");
  const size_t whole = at + SECTOR <= size ? SECTOR : (size_t)(size - at);
  const size_t first_new = draw() % 2 == 0 ? 0 : draw() % (SECTOR + 1);
  for (size_t i = first_new; i < whole; i++)
    now[i] = sector->bytes[i];
  must(pwrite(file->descriptor, now, whole, at) == (ssize_t)whole, "pwrite");
}

static void lose_file(struct disk_file *file) {
  int64_t size = size_of(file);
  if (size != file->synced_size && draw() % 2 == 0) {
    const int64_t low = size < file->synced_size ? size : file->synced_size;
    const int64_t high = size < file->synced_size ? file->synced_size : size;
    size = low + (int64_t)(draw() % (uint64_t)(high - low + 1));
    must(ftruncate(file->descriptor, size) == 0, "ftruncate");
  }
  for (int i = 0; i < BUCKETS; i++) {
    for (const struct sector *sector = file->buckets[i]; sector != NULL; sector = sector->next)
      damage(file, sector, size);
  }
}

void power_vfs_restore(void) {
  pthread_mutex_lock(&guard);
  while (files != NULL) {
    struct disk_file *file = files;
    files = file->next;
    if (is_off)
      lose_file(file);
    forget_sectors(file);
    close(file->descriptor);
    free(file);
  }
  is_off = false;
  lose_at = 0;
  pthread_mutex_unlock(&guard);
}

/* Counts a write or a sync; true where the power goes in it. */
static bool is_last(void) {
  steps++;
  if (lose_at == 0 || steps != lose_at)
    return false;
  is_off = true;
  return true;
}

/* ---- methods ---- */

static struct handle *handle_of(sqlite3_file *file) {
  return (struct handle *)(void *)file;
}

static int vfs_close(sqlite3_file *file) {
  struct handle *handle = handle_of(file);
  return handle->real->pMethods->xClose(handle->real);
}

static int vfs_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at) {
  struct handle *handle = handle_of(file);
  return is_off ? SQLITE_IOERR_READ : handle->real->pMethods->xRead(handle->real, bytes, size, at);
}

static bool has_room(int64_t more) {
  if (reserve[0] == '\0' || more <= 0)
    return true;
  if (access(reserve, F_OK) == 0 || more > room)
    return false;
  room -= more;
  return true;
}

/* As SQLite's own VFS says it. */
static int refuse_space(struct handle *handle) {
  handle->last_errno = full_with == ENOSPC ? 0 : full_with;
  return full_with == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int write_watched(struct handle *handle, const void *bytes, int size, sqlite3_int64 at) {
  struct disk_file *file = handle->file;
  if (!has_room(at + size - size_of(file)))
    return refuse_space(handle);
  keep(file, at, at + size);
  if (!is_last())
    return handle->real->pMethods->xWrite(handle->real, bytes, size, at);
  handle->real->pMethods->xWrite(handle->real, bytes, (int)(draw() % (uint64_t)(size + 1)), at);
  return SQLITE_IOERR_WRITE;
}

static int vfs_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at) {
  struct handle *handle = handle_of(file);
  pthread_mutex_lock(&guard);
  const int code = is_off ? SQLITE_IOERR_WRITE
                   : handle->file == NULL
                       ? handle->real->pMethods->xWrite(handle->real, bytes, size, at)
                       : write_watched(handle, bytes, size, at);
  pthread_mutex_unlock(&guard);
  return code;
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 size) {
  struct handle *handle = handle_of(file);
  pthread_mutex_lock(&guard);
  if (!is_off && handle->file != NULL)
    keep(handle->file, size, size_of(handle->file));
  const int code =
      is_off ? SQLITE_IOERR_TRUNCATE : handle->real->pMethods->xTruncate(handle->real, size);
  pthread_mutex_unlock(&guard);
  return code;
}

/* After a failed sync Linux calls the pages clean: what was not written is lost at once. */
static int fail_sync(struct disk_file *file) {
  failed_syncs++;
  lose_file(file);
  forget_sectors(file);
  return SQLITE_IOERR_FSYNC;
}

static int sync_watched(struct disk_file *file) {
  if (is_off || is_last())
    return SQLITE_IOERR_FSYNC;
  if (sync_fails_in > 0 && --sync_fails_in == 0)
    return fail_sync(file);
  if (!lies)
    forget_sectors(file);
  return SQLITE_OK;
}

static int vfs_sync(sqlite3_file *file, int flags) {
  (void)flags;
  struct handle *handle = handle_of(file);
  if (during_sync != NULL)
    during_sync(during_owner);
  pthread_mutex_lock(&guard);
  const int code = handle->file == NULL ? SQLITE_OK : sync_watched(handle->file);
  pthread_mutex_unlock(&guard);
  return code;
}

static int vfs_size(sqlite3_file *file, sqlite3_int64 *size) {
  struct handle *handle = handle_of(file);
  return is_off ? SQLITE_IOERR_FSTAT : handle->real->pMethods->xFileSize(handle->real, size);
}

static int vfs_lock(sqlite3_file *file, int level) {
  struct handle *handle = handle_of(file);
  return handle->real->pMethods->xLock(handle->real, level);
}

static int vfs_unlock(sqlite3_file *file, int level) {
  struct handle *handle = handle_of(file);
  return handle->real->pMethods->xUnlock(handle->real, level);
}

static int vfs_is_locked(sqlite3_file *file, int *answer) {
  struct handle *handle = handle_of(file);
  return handle->real->pMethods->xCheckReservedLock(handle->real, answer);
}

static int vfs_control(sqlite3_file *file, int what, void *argument) {
  struct handle *handle = handle_of(file);
  if (what == SQLITE_FCNTL_LAST_ERRNO && handle->last_errno != 0) {
    *(int *)argument = handle->last_errno;
    return SQLITE_OK;
  }
  return handle->real->pMethods->xFileControl(handle->real, what, argument);
}

static int vfs_sector_size(sqlite3_file *file) {
  (void)file;
  return SECTOR;
}

static int vfs_characteristics(sqlite3_file *file) {
  (void)file;
  return 0; /* not even that what surrounds a write stays whole */
}

static int vfs_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **at) {
  struct handle *handle = handle_of(file);
  return is_off ? SQLITE_IOERR_SHMMAP
                : handle->real->pMethods->xShmMap(handle->real, page, size, extend, at);
}

static int vfs_shm_lock(sqlite3_file *file, int offset, int count, int flags) {
  struct handle *handle = handle_of(file);
  return handle->real->pMethods->xShmLock(handle->real, offset, count, flags);
}

static void vfs_shm_barrier(sqlite3_file *file) {
  struct handle *handle = handle_of(file);
  handle->real->pMethods->xShmBarrier(handle->real);
}

static int vfs_shm_unmap(sqlite3_file *file, int remove) {
  struct handle *handle = handle_of(file);
  return handle->real->pMethods->xShmUnmap(handle->real, is_off ? 0 : remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_is_locked,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_characteristics,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                    int *out_flags) {
  (void)vfs;
  struct handle *handle = handle_of(file);
  memset(handle, 0, sizeof *handle);
  handle->real = (sqlite3_file *)(void *)(handle + 1);
  if (is_off)
    return SQLITE_CANTOPEN;
  const int code = system_vfs->xOpen(system_vfs, path, handle->real, flags, out_flags);
  if (code != SQLITE_OK)
    return code;
  handle->base.pMethods = &methods;
  pthread_mutex_lock(&guard);
  handle->file = watch(path);
  pthread_mutex_unlock(&guard);
  return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int is_synced) {
  (void)vfs;
  return is_off ? SQLITE_IOERR_DELETE : system_vfs->xDelete(system_vfs, path, is_synced);
}

void power_vfs_install(void) {
  static sqlite3_vfs vfs;
  if (system_vfs != NULL)
    return;
  system_vfs = sqlite3_vfs_find(NULL);
  vfs = *system_vfs;
  vfs.zName = "power";
  vfs.szOsFile = (int)sizeof(struct handle) + system_vfs->szOsFile;
  vfs.pNext = NULL;
  vfs.xOpen = vfs_open;
  vfs.xDelete = vfs_delete;
  must(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK, "sqlite3_vfs_register");
}

/* ---- switches ---- */

void power_vfs_seed(uint64_t seed) {
  random_state = seed;
}

void power_vfs_lose_after(unsigned count) {
  pthread_mutex_lock(&guard);
  lose_at = count == 0 ? 0 : steps + count;
  pthread_mutex_unlock(&guard);
}

bool power_vfs_is_off(void) {
  pthread_mutex_lock(&guard);
  const bool answer = is_off;
  pthread_mutex_unlock(&guard);
  return answer;
}

bool power_vfs_goes(void) {
  pthread_mutex_lock(&guard);
  const bool answer = is_off || is_last();
  pthread_mutex_unlock(&guard);
  return answer;
}

unsigned power_vfs_steps(void) {
  pthread_mutex_lock(&guard);
  const unsigned answer = steps;
  pthread_mutex_unlock(&guard);
  return answer;
}

void power_vfs_lie(bool on) {
  pthread_mutex_lock(&guard);
  lies = on;
  pthread_mutex_unlock(&guard);
}

void power_vfs_fail_sync_after(unsigned count) {
  pthread_mutex_lock(&guard);
  sync_fails_in = count;
  pthread_mutex_unlock(&guard);
}

unsigned power_vfs_failed_syncs(void) {
  pthread_mutex_lock(&guard);
  const unsigned answer = failed_syncs;
  pthread_mutex_unlock(&guard);
  return answer;
}

void power_vfs_fill(const char *path, int why) {
  pthread_mutex_lock(&guard);
  full_with = why;
  snprintf(reserve, sizeof reserve, "%s", path == NULL ? "" : path);
  room = 65536;
  pthread_mutex_unlock(&guard);
}

void power_vfs_on_sync(void (*during)(void *owner), void *owner) {
  during_sync = during;
  during_owner = owner;
}
