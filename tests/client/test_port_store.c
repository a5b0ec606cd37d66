/* The file behind a port: opening, refusing what it cannot keep, closing with patience. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/engine.h"
#include "client/handle.h"
#include "client/mailbox.h"
#include "client/port_store.h"
#include "host.h"

static struct host host;
static struct stwi_mailbox *mailbox;
static struct stwi_engine *engine;
static int closes;
static stw_status opens_with;

static void count_close(void *store, uint32_t patience_ms) {
  (void)store;
  assert_true(patience_ms <= STWI_CLOSE_PATIENCE_MS);
  closes++;
}
static const struct stwi_store_ops ops = {.close = count_close};

static stw_status open_fake(const struct stwi_store_options *options, struct stwi_store *store,
                            struct stwi_restored *restored, uint64_t *stream,
                            stw_store_health *health, char *detail) {
  (void)health;
  snprintf(detail, 200, "%s says no", options->path);
  store->ops = &ops;
  restored->last_number[STW_LANE_DATA] = 41;
  *stream = 1234;
  return opens_with;
}

static int set_up(void **state) {
  (void)state;
  host_init(&host);
  mailbox = stwi_mailbox_make();
  closes = 0;
  return stwi_handle_hold(host.engine.id, STWI_HANDLE_ENGINE, (void **)&engine) != STW_OK;
}

static int tear_down(void **state) {
  (void)state;
  stwi_handle_drop(host.engine.id);
  stwi_mailbox_drop(mailbox);
  host_fini(&host);
  return 0;
}

static struct stwi_port *open_port(stw_status status) {
  static struct stwi_conn_config config = {.outbox_path = "a-file",
                                           .outbox_messages = 10,
                                           .outbox_bytes = 1000,
                                           .max_message = 100,
                                           .inbound_buffer = 65536};
  struct stwi_port *port = stwi_port_new(engine, mailbox, &config, 77);
  assert_non_null(port);
  opens_with = status;
  assert_int_equal(stwi_port_store_open(port, &config, open_fake), status);
  return port;
}

static void a_refused_file_is_told_and_never_closed(void **state) {
  (void)state;
  struct stwi_port *port = open_port(STW_E_LOCKED);
  EXPECT(STW_E_LOCKED, STW_E_LOCKED, "a-file says no");
  stwi_port_drop(port);
  assert_int_equal(closes, 0);
}

static void an_ill_file_refuses_with_its_own_sentence(void **state) {
  (void)state;
  struct stwi_port *port = open_port(STW_OK);
  assert_int_equal(port->last_number[STW_LANE_DATA], 41);
  assert_int_equal(port->stream, 1234);
  assert_int_equal(stwi_port_store_check(port), STW_OK);
  snprintf(port->file->detail, sizeof port->file->detail, "disk is full");
  port->file->health = STW_STORE_FULL;
  EXPECT(stwi_port_store_check(port), STW_E_FULL, "disk is full");
  assert_true(port->wants_room);
  port->file->health = STW_STORE_FAILED;
  EXPECT(stwi_port_store_check(port), STW_E_STORE, "outbox_room");
  stwi_port_store_leave(port);
  stwi_port_drop(port);
}

static void a_file_is_closed_once_and_only_after_the_engine_left(void **state) {
  (void)state;
  struct stwi_port *port = open_port(STW_OK);
  stwi_port_store_close(port, 1);
  assert_int_equal(closes, 0);
  stwi_port_store_leave(port);
  stwi_port_store_close(port, STWI_CLOSE_PATIENCE_MS);
  stwi_port_store_close(port, STWI_CLOSE_PATIENCE_MS);
  assert_int_equal(closes, 1);
  stwi_port_drop(port);
  assert_int_equal(closes, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_refused_file_is_told_and_never_closed),
      TEST(an_ill_file_refuses_with_its_own_sentence),
      TEST(a_file_is_closed_once_and_only_after_the_engine_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
