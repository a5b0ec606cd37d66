#include "io/store_sqlite.h"

#include "core/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESERVE_BYTES 65536
#define LOCK_TRIES 100

/* The files this process has open.  SQLite's own locks are POSIX locks: the kernel drops all of
 * them when the process closes any descriptor of the file, so nobody may open it behind SQLite. */
struct stwi_sql_use {
  struct stwi_sql_use *next;
  dev_t device; /* of the folder: the file itself may be replaced */
  ino_t inode;
  unsigned users;
  bool is_alone;
  int lock; /* descriptor, -1: none */
  char name[];
};

static pthread_mutex_t uses_guard = PTHREAD_MUTEX_INITIALIZER;
static struct stwi_sql_use *uses;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint forks;

/* ---- text ---- */

void stwi_sql_say(char *detail, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(detail, STWI_SQL_DETAIL_BYTES, format, arguments);
  va_end(arguments);
}

const char *stwi_sql_tail(const char *path) {
  const size_t shown = 70, length = strlen(path);
  return length <= shown ? path : path + (length - shown);
}

/* ---- fork ---- */

static void before_fork(void) {
  pthread_mutex_lock(&uses_guard);
}

static void in_parent(void) {
  pthread_mutex_unlock(&uses_guard);
}

/* An open file description keeps its lock as long as anybody has it: the child must let go, or a
 * parent that dies would leave its file locked. */
static void in_child(void) {
  for (struct stwi_sql_use *use = uses; use != NULL; use = use->next) {
    if (use->lock >= 0)
      close(use->lock);
  }
  uses = NULL;
  atomic_fetch_add(&forks, 1);
  pthread_mutex_unlock(&uses_guard);
}

static void watch_forks(void) {
  pthread_atfork(before_fork, in_parent, in_child);
}

unsigned stwi_sql_forks(void) {
  return atomic_load_explicit(&forks, memory_order_relaxed);
}

/* ---- names ---- */

void stwi_sql_place_name(const struct stwi_sql_place *place, const char *suffix, char *path) {
  const size_t length = strlen(place->path), more = strlen(suffix);
  assert(length + more < STWI_SQL_PATH_BYTES); /* see open_folder */
  memcpy(path, place->path, length);
  memcpy(path + length, suffix, more + 1);
}

bool stwi_sql_place_has(const struct stwi_sql_place *place, const char *suffix) {
  char path[STWI_SQL_PATH_BYTES];
  struct stat found;
  stwi_sql_place_name(place, suffix, path);
  return lstat(path, &found) == 0;
}

uint64_t stwi_sql_place_size(const struct stwi_sql_place *place, const char *suffix) {
  char path[STWI_SQL_PATH_BYTES];
  struct stat found;
  stwi_sql_place_name(place, suffix, path);
  return lstat(path, &found) == 0 ? (uint64_t)found.st_size : 0;
}

int stwi_sql_place_remove(const struct stwi_sql_place *place, const char *suffix) {
  char path[STWI_SQL_PATH_BYTES];
  stwi_sql_place_name(place, suffix, path);
  return unlink(path) == 0 || errno == ENOENT ? 0 : errno;
}

int stwi_sql_place_rename(const struct stwi_sql_place *place, const char *from, const char *to) {
  char old[STWI_SQL_PATH_BYTES], new[STWI_SQL_PATH_BYTES];
  stwi_sql_place_name(place, from, old);
  stwi_sql_place_name(place, to, new);
  return rename(old, new) == 0 ? 0 : errno;
}

int stwi_sql_place_sync(const struct stwi_sql_place *place) {
  return fsync(place->folder) == 0 ? 0 : errno;
}

int stwi_sql_place_begin(const struct stwi_sql_place *place, const char *suffix) {
  char path[STWI_SQL_PATH_BYTES];
  stwi_sql_place_name(place, suffix, path);
  if (unlink(path) != 0 && errno != ENOENT)
    return errno;
  const int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0)
    return errno;
  close(file);
  return 0;
}

bool stwi_sql_place_reserve(const struct stwi_sql_place *place) {
  char path[STWI_SQL_PATH_BYTES];
  stwi_sql_place_name(place, ".reserve", path);
  const int file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0)
    return false;
  const bool is_there = posix_fallocate(file, 0, RESERVE_BYTES) == 0;
  close(file);
  if (!is_there)
    unlink(path);
  return is_there;
}

/* ---- what may be used ---- */

static stw_status refuse(const struct stwi_sql_place *place, const char *suffix, const char *why,
                         char *detail) {
  stwi_sql_say(detail, "%s%s: %s", stwi_sql_tail(place->path), suffix, why);
  return STW_E_STORE;
}

static stw_status check_file(const struct stwi_sql_place *place, const char *suffix, char *detail) {
  char path[STWI_SQL_PATH_BYTES];
  struct stat file;
  stwi_sql_place_name(place, suffix, path);
  if (lstat(path, &file) != 0)
    return errno == ENOENT ? STW_OK : refuse(place, suffix, strerror(errno), detail);
  if (S_ISLNK(file.st_mode))
    return refuse(place, suffix, "a symbolic link: give the path of the file itself", detail);
  if (!S_ISREG(file.st_mode))
    return refuse(place, suffix, "not a regular file: choose another path", detail);
  if (file.st_uid != geteuid())
    return refuse(place, suffix, "belongs to another user: choose another path", detail);
  if (file.st_nlink > 1)
    return refuse(place, suffix, "has a second name (hard link): remove one of them", detail);
  return STW_OK;
}

static stw_status check_files(const struct stwi_sql_place *place, char *detail) {
  static const char *const suffixes[] = {"",     "-wal",   "-shm",     "-journal",
                                         ".new", ".ready", ".reserve", ".new-journal"};
  stw_status status = STW_OK;
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && status == STW_OK; i++)
    status = check_file(place, suffixes[i], detail);
  return status;
}

/* Splits, resolves the folder, opens and judges it. */
static stw_status open_folder(struct stwi_sql_place *place, const char *path, struct stat *folder,
                              char *detail) {
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  char *parent = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
  char *real = parent == NULL ? NULL : realpath(parent, NULL);
  const int why = errno;
  free(parent);
  if (real == NULL) {
    stwi_sql_say(detail, "%s: its folder: %s: make the folder, or choose another path",
                 stwi_sql_tail(path), strerror(why));
    return STW_E_STORE;
  }
  const char *join = strcmp(real, "/") == 0 ? "" : "/";
  const int length = snprintf(place->path, sizeof place->path, "%s%s%s", real, join, name);
  place->name = place->path + strlen(real) + strlen(join);
  const size_t longest_suffix = 64;
  const bool fits = length > 0 && (size_t)length < sizeof place->path - longest_suffix;
  if (fits)
    place->folder = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(real);
  if (!fits || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
    stwi_sql_say(detail, "%s: not the path of a file, or over %zu bytes", stwi_sql_tail(path),
                 sizeof place->path - longest_suffix);
    return STW_E_STORE;
  }
  if (place->folder < 0 || fstat(place->folder, folder) != 0)
    return refuse(place, "", strerror(errno), detail);
  if ((folder->st_mode & S_IWOTH) != 0 && (folder->st_mode & S_ISVTX) == 0)
    return refuse(place, "", "everybody can write to its folder: chmod o-w, or choose another",
                  detail);
  return STW_OK;
}

/* ---- use and lock ---- */

static struct stwi_sql_use *find_use(const struct stat *folder, const char *name) {
  struct stwi_sql_use *use = uses;
  while (use != NULL && (use->device != folder->st_dev || use->inode != folder->st_ino ||
                         strcmp(use->name, name) != 0))
    use = use->next;
  return use;
}

static stw_status add_use(struct stwi_sql_place *place, const struct stat *folder,
                          enum stwi_sql_claim claim, char *detail) {
  struct stwi_sql_use *use = find_use(folder, place->name);
  if (use != NULL && (claim != STWI_SQL_READ || use->is_alone)) {
    stwi_sql_say(detail, "%s: in use by this process (pid %ld): use the outbox of its conn",
                 stwi_sql_tail(place->path), (long)getpid());
    return claim == STWI_SQL_OWN ? STW_E_LOCKED : STW_E_BUSY;
  }
  if (use == NULL) {
    use = stwi_alloc(sizeof *use + strlen(place->name) + 1);
    if (use == NULL) {
      stwi_sql_say(detail, "no memory");
      return STW_E_MEMORY;
    }
    *use = (struct stwi_sql_use){.next = uses,
                                 .device = folder->st_dev,
                                 .inode = folder->st_ino,
                                 .is_alone = claim != STWI_SQL_READ,
                                 .lock = -1};
    memcpy(use->name, place->name, strlen(place->name) + 1);
    uses = use;
  }
  use->users++;
  place->use = use;
  return STW_OK;
}

static stw_status refuse_lock(const struct stwi_sql_place *place, int why, char *detail) {
  char text[100];
  if (why != EACCES && why != EPERM)
    return refuse(place, ".lock", why == ELOOP ? "a symbolic link" : strerror(why), detail);
  snprintf(text, sizeof text, "%s: chmod u+w its folder", strerror(why));
  return refuse(place, ".lock", text, detail);
}

static stw_status name_holder(const struct stwi_sql_place *place, int lock, char *detail) {
  char text[24] = "";
  const ssize_t got = pread(lock, text, sizeof text - 1, 0);
  const long pid = got > 0 ? strtol(text, NULL, 10) : 0;
  if (pid > 0)
    stwi_sql_say(detail, "%s: in use by process %ld", stwi_sql_tail(place->path), pid);
  else
    stwi_sql_say(detail, "%s: in use by another process", stwi_sql_tail(place->path));
  return STW_E_LOCKED;
}

static void write_holder(int lock) {
  char text[24];
  const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)length, 0) != length)
    return; /* the lock holds without its text */
}

/* One try: *lock stays -1 where the file was removed by its last holder meanwhile. */
static stw_status try_lock(const struct stwi_sql_place *place, int *lock, char *detail) {
  char path[STWI_SQL_PATH_BYTES];
  stwi_sql_place_name(place, ".lock", path);
  const int file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, (mode_t)0600);
  struct stat opened, named;
  stw_status status = STW_OK;
  if (file < 0 || fstat(file, &opened) != 0)
    status = refuse_lock(place, errno, detail);
  else if (!S_ISREG(opened.st_mode) || opened.st_uid != geteuid())
    status = refuse(place, ".lock", "not a file of this user", detail);
  if (status == STW_OK) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &whole) != 0)
      status = errno == EAGAIN || errno == EACCES ? name_holder(place, file, detail)
                                                  : refuse(place, ".lock", strerror(errno), detail);
    else if (lstat(path, &named) == 0 && named.st_ino == opened.st_ino &&
             named.st_dev == opened.st_dev)
      *lock = file;
  }
  if (*lock < 0 && file >= 0)
    close(file);
  return status;
}

static stw_status take_lock(struct stwi_sql_place *place, char *detail) {
  int lock = -1;
  stw_status status = STW_OK;
  for (int i = 0; i < LOCK_TRIES && lock < 0 && status == STW_OK; i++)
    status = try_lock(place, &lock, detail);
  if (status != STW_OK)
    return status;
  if (lock < 0)
    return refuse(place, ".lock", "does not stay where it is", detail);
  write_holder(lock);
  place->use->lock = lock;
  return STW_OK;
}

stw_status stwi_sql_place_open(struct stwi_sql_place *place, const char *path,
                               enum stwi_sql_claim claim, char *detail) {
  *place = (struct stwi_sql_place){.folder = -1};
  struct stat folder;
  pthread_once(&once, watch_forks);
  stw_status status = open_folder(place, path, &folder, detail);
  pthread_mutex_lock(&uses_guard);
  if (status == STW_OK)
    status = add_use(place, &folder, claim, detail);
  if (status == STW_OK)
    status = check_files(place, detail);
  if (status == STW_OK && claim != STWI_SQL_READ)
    status = take_lock(place, detail);
  pthread_mutex_unlock(&uses_guard);
  if (status != STW_OK)
    stwi_sql_place_close(place);
  return status;
}

static void drop_use(struct stwi_sql_place *place) {
  struct stwi_sql_use *use = place->use;
  place->use = NULL;
  if (use == NULL || --use->users > 0)
    return;
  if (use->lock >= 0) {
    stwi_sql_place_remove(place, ".lock"); /* while it is held: see try_lock */
    close(use->lock);
  }
  struct stwi_sql_use **at = &uses;
  while (*at != use)
    at = &(*at)->next;
  *at = use->next;
  stwi_free(use);
}

void stwi_sql_place_close(struct stwi_sql_place *place) {
  pthread_mutex_lock(&uses_guard);
  drop_use(place);
  pthread_mutex_unlock(&uses_guard);
  if (place->folder >= 0)
    close(place->folder);
  place->folder = -1;
}

/* ---- what is there ---- */

static uint32_t big_endian(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The header of the format: 16 bytes of magic, user_version at 60, application_id at 68. */
static enum stwi_sql_kind judge(const uint8_t *head, ssize_t size, uint32_t *version) {
  if (size == 0)
    return STWI_SQL_MISSING;
  if (size < 100 || memcmp(head, "SQLite format 3", 16) != 0 ||
      big_endian(head + 68) != STWI_SQL_APPLICATION)
    return STWI_SQL_FOREIGN;
  *version = big_endian(head + 60);
  return *version > stwi_sql_version ? STWI_SQL_NEWER : STWI_SQL_OURS;
}

stw_status stwi_sql_place_probe(const struct stwi_sql_place *place, enum stwi_sql_kind *kind,
                                uint32_t *version, char *detail) {
  *kind = STWI_SQL_OURS;
  *version = stwi_sql_version;
  if (place->use->users > 1)
    return STW_OK; /* judged by the first reader; see `uses` for why not again */
  *kind = STWI_SQL_MISSING;
  const int file = open(place->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0)
    return errno == ENOENT ? STW_OK : refuse(place, "", strerror(errno), detail);
  uint8_t head[100];
  const ssize_t size = pread(file, head, sizeof head, 0);
  const int why = errno;
  close(file);
  if (size < 0)
    return refuse(place, "", strerror(why), detail);
  *kind = judge(head, size, version);
  return STW_OK;
}
