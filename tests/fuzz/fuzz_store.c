/* Opens arbitrary bytes as an outbox file: at rest for reading and for editing, and as the store of
 * a conn.  Each answers with a status and a sentence, nothing is read beyond what it is, and what
 * comes back keeps its bounds.
 *
 * Input: one byte of options (bit 0: the header is made to pass, bit 1: no page count in it), the
 * bytes of the file.  make_store_corpus.py writes the seeds in corpus/store.
 */
#include "core/chunk.h"
#include "io/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static char folder[200], path[256];

static void must(bool holds) {
  if (!holds)
    abort();
}

static void clear_folder(void) {
  DIR *listing = opendir(folder);
  const struct dirent *entry;
  while (listing != NULL && (entry = readdir(listing)) != NULL) {
    char name[600];
    snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
    unlink(name); /* not the two folders */
  }
  if (listing != NULL)
    closedir(listing);
}

static void remove_folder(void) {
  clear_folder();
  rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir;
  snprintf(folder, sizeof folder, "%s/stw-fuzz-XXXXXX", base);
  must(mkdtemp(folder) != NULL);
  snprintf(path, sizeof path, "%s/a.db", folder);
  return atexit(remove_folder);
}

static void write_file(const uint8_t *input, size_t size) {
  const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  must(file >= 0 && write(file, input + 1, size - 1) == (ssize_t)(size - 1));
  if ((input[0] & 1) != 0) {
    must(pwrite(file, "SQLite format 3", 16, 0) == 16);
    must(pwrite(file, "\0\0\0\1", 4, 60) == 4 && pwrite(file, "STWD", 4, 68) == 4);
  }
  if ((input[0] & 2) != 0)
    must(pwrite(file, "\0\0\0\0", 4, 28) == 4);
  close(file);
}

static bool is_status(stw_status status) {
  return status <= STW_OK && status >= STW_E_PROTOCOL;
}

static void check_file(bool may_edit) {
  struct stwi_store_file *file;
  char detail[200] = "";
  const stw_status status = stwi_store_file_open(path, may_edit, &file, detail);
  must(is_status(status) && (status == STW_OK || detail[0] != '\0'));
  if (status != STW_OK)
    return;
  stw_outbox_entry entries[16];
  uint64_t cursor = 0;
  size_t count = 0;
  for (int pages = 0; pages < 20 && (pages == 0 || cursor != 0); pages++) {
    if (stwi_store_file_list(file, NULL, &cursor, entries, 16, &count, detail) != STW_OK)
      break;
    must(count <= 16);
  }
  for (size_t i = 0; i < count; i++) {
    uint8_t *body;
    size_t size;
    stw_outbox_entry entry;
    must(memchr(entries[i].key, '\0', sizeof entries[i].key) != NULL);
    must(is_status(stwi_store_file_get(file, entries[i].id, &entry, detail)));
    if (stwi_store_file_body(file, entries[i].id, &body, &size, detail) == STW_OK)
      free(body);
    if (may_edit)
      must(is_status(
          stwi_store_file_edit(file, entries[i].id, (stw_edit)(i % STW_EDIT_COUNT), detail)));
  }
  stw_outbox_report report;
  must(is_status(stwi_store_file_check(file, &report, detail)));
  must(memchr(report.detail, '\0', sizeof report.detail) != NULL);
  stwi_store_file_close(file);
}

static void check_messages(struct stwi_chunk *chunks, bool is_parked) {
  for (struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
      must(msg->lane < STW_LANE_COUNT && msg->guarantee < STW_GUARANTEE_COUNT);
      must((msg->number == 0) == is_parked && msg->id.number != 0);
    }
  }
  stwi_chunk_free_list(chunks);
}

static void on_wake(void *owner) {
  (void)owner;
}

static void check_store(void) {
  const struct stwi_store_options options = {
      .path = path, .level = STWI_LEVEL_PROCESS, .new_stream = 2, .wake = on_wake};
  struct stwi_store store;
  struct stwi_restored restored;
  uint64_t stream;
  stw_store_health health;
  char detail[200];
  const stw_status status =
      stwi_store_sqlite_open(&options, &store, &restored, &stream, &health, detail);
  must(is_status(status) && (status == STW_OK || detail[0] != '\0'));
  if (status != STW_OK)
    return;
  must((stream & 1) == 0);
  check_messages(restored.chunks, false);
  check_messages(restored.parked, true);
  const struct stwi_store_change change = {
      .op = STWI_STORE_SETTLED, .serial = 1, .number = restored.last_number[0]};
  must(store.ops->add(store.self, &change));
  store.ops->close(store.self, 10000);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (size < 1)
    return 0;
  clear_folder();
  write_file(input, size);
  check_file(false);
  check_file(true);
  check_store();
  return 0;
}
