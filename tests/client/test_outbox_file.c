/* An outbox file at rest: what it refuses, and what an export of it carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "kept.h"

static struct host host;
static char folder[KEPT_FOLDER], path[KEPT_PATH], other[KEPT_PATH], exported[KEPT_PATH];

static int set_up(void **state) {
  (void)state;
  kept_folder(folder);
  snprintf(path, sizeof path, "%s/outbox", folder);
  snprintf(other, sizeof other, "%s/other", folder);
  snprintf(exported, sizeof exported, "%s/export", folder);
  host_init(&host);
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  host_fini(&host);
  unlink(path);
  unlink(other);
  unlink(exported);
  return rmdir(folder); /* fails where something was left behind */
}

/* A file with one message of the key. */
static stw_message_id make_file(const char *at, const void *key, size_t key_size) {
  const stw_send_options options = {
      .struct_size = sizeof options, .key = key, .key_size = key_size};
  stw_message_id id;
  stw_conn conn = kept_open(&host, at);
  assert_int_equal(stw_conn_send(conn, "kept", 4, &options, &id), STW_OK);
  assert_int_equal(stw_conn_free(conn), STW_OK);
  return id;
}

static size_t count_in(stw_outbox file, const stw_outbox_filter *filter) {
  stw_outbox_entry entries[4];
  uint64_t cursor = 0;
  size_t count = 0;
  assert_int_equal(stw_outbox_list(file, filter, &cursor, entries, 4, &count), STW_OK);
  return count;
}

static void what_is_no_outbox_file_is_refused(void **state) {
  (void)state;
  stw_outbox file;
  EXPECT(stw_outbox_open(path, true, &file), STW_E_STORE, "outbox");
  make_file(path, NULL, 0);
  assert_int_equal(symlink(path, other), 0);
  EXPECT(stw_outbox_open(other, true, &file), STW_E_STORE, "link");
  FILE *foreign = fopen(exported, "w");
  assert_non_null(foreign);
  for (int i = 0; i < 100; i++)
    fputs("this is no outbox at all\n", foreign);
  fclose(foreign);
  EXPECT(stw_outbox_open(exported, true, &file), STW_E_FORMAT, "export");
}

static void the_file_of_a_conn_of_this_process_is_busy(void **state) {
  (void)state;
  stw_outbox file;
  stw_conn conn = kept_open(&host, path);
  EXPECT(stw_outbox_open(path, true, &file), STW_E_BUSY, "outbox");
  assert_int_equal(stw_conn_free(conn), STW_OK);
  assert_int_equal(stw_outbox_open(path, true, &file), STW_OK);
  assert_int_equal(stw_outbox_close(file), STW_OK);
}

/* The folder itself, the one above it, and the file. */
#define ONLY_THE_FILE 3

static void closing_leaves_nothing_beside_the_file(void **state) {
  (void)state;
  const stw_message_id id = make_file(path, NULL, 0);
  assert_int_equal(host_entries(folder), ONLY_THE_FILE);
  for (int may_edit = 0; may_edit < 2; may_edit++) {
    stw_outbox file, second;
    assert_int_equal(stw_outbox_open(path, may_edit == 1, &file), STW_OK);
    assert_int_equal(count_in(file, NULL), 1);
    if (may_edit == 1) {
      assert_int_equal(stw_outbox_edit(file, id, STW_EDIT_HOLD), STW_OK);
    } else {
      assert_int_equal(stw_outbox_open(path, false, &second), STW_OK);
      assert_int_equal(count_in(second, NULL), 1);
      assert_int_equal(stw_outbox_close(second), STW_OK);
    }
    assert_int_equal(stw_outbox_close(file), STW_OK);
    assert_int_equal(host_entries(folder), ONLY_THE_FILE);
  }
  stw_outbox file;
  stw_outbox_entry entry;
  assert_int_equal(stw_outbox_open(path, false, &file), STW_OK);
  assert_int_equal(stw_outbox_get(file, id, &entry), STW_OK);
  assert_int_equal(entry.state, STW_MESSAGE_HELD);
  EXPECT(stw_outbox_edit(file, id, STW_EDIT_RELEASE), STW_E_STATE, "may_edit");
  uint64_t count;
  assert_int_equal(stw_outbox_export(file, NULL, exported, &count), STW_OK);
  EXPECT(stw_outbox_import(file, exported, &count), STW_E_STATE, "may_edit");
  assert_int_equal(stw_outbox_close(file), STW_OK);
}

static void a_long_key_with_zeros_survives_an_export(void **state) {
  (void)state;
  char key[200];
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (char)(i % 7);
  const stw_message_id id = make_file(path, key, sizeof key);
  make_file(other, "else", 4);
  stw_outbox file;
  uint64_t count = 0;
  assert_int_equal(stw_outbox_open(path, false, &file), STW_OK);
  assert_int_equal(stw_outbox_export(file, NULL, exported, &count), STW_OK);
  assert_int_equal(count, 1);
  assert_int_equal(stw_outbox_close(file), STW_OK);
  assert_int_equal(stw_outbox_open(other, true, &file), STW_OK);
  assert_int_equal(stw_outbox_import(file, exported, &count), STW_OK);
  assert_int_equal(count, 1);
  stw_outbox_entry entry;
  assert_int_equal(stw_outbox_get(file, id, &entry), STW_OK);
  stw_outbox_filter filter = {.struct_size = sizeof filter, .key = key, .key_size = sizeof key};
  assert_int_equal(count_in(file, &filter), 1);
  filter.key_size = 63;
  assert_int_equal(count_in(file, &filter), 0);
  assert_int_equal(stw_outbox_close(file), STW_OK);
}

static void write_export(const uint8_t *bytes, size_t size) {
  FILE *out = fopen(exported, "wb");
  assert_non_null(out);
  assert_int_equal(fwrite(bytes, 1, size, out), size);
  assert_int_equal(fclose(out), 0);
}

static void a_broken_export_is_refused_and_nothing_taken(void **state) {
  (void)state;
  make_file(path, "key", 3);
  make_file(other, "else", 4);
  stw_outbox file;
  uint64_t count = 0;
  uint8_t bytes[4096];
  assert_int_equal(stw_outbox_open(path, false, &file), STW_OK);
  assert_int_equal(stw_outbox_export(file, NULL, exported, &count), STW_OK);
  assert_int_equal(stw_outbox_close(file), STW_OK);
  FILE *in = fopen(exported, "rb");
  assert_non_null(in);
  const size_t size = fread(bytes, 1, sizeof bytes, in);
  fclose(in);
  assert_true(size > 0 && size < sizeof bytes);
  assert_int_equal(stw_outbox_open(other, true, &file), STW_OK);
  for (size_t cut = 0; cut < size; cut++) {
    write_export(bytes, cut);
    EXPECT(stw_outbox_import(file, exported, &count), STW_E_FORMAT, "");
    assert_int_equal(count_in(file, NULL), 1);
  }
  for (size_t bit = 0; bit < size * 8; bit++) {
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    write_export(bytes, size);
    EXPECT(stw_outbox_import(file, exported, &count), STW_E_FORMAT, "");
    assert_int_equal(count_in(file, NULL), 1);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  write_export(bytes, size);
  assert_int_equal(stw_outbox_import(file, exported, &count), STW_OK);
  assert_int_equal(count_in(file, NULL), 2);
  assert_int_equal(stw_outbox_close(file), STW_OK);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(what_is_no_outbox_file_is_refused),
      TEST(the_file_of_a_conn_of_this_process_is_busy),
      TEST(closing_leaves_nothing_beside_the_file),
      TEST(a_long_key_with_zeros_survives_an_export),
      TEST(a_broken_export_is_refused_and_nothing_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
