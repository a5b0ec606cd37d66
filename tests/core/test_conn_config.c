#include "core/conn_config.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static char *text(const char *from) {
  const size_t size = strlen(from) + 1;
  return memcpy(stwi_alloc(size), from, size);
}

static struct stwi_conn_config *empty(void) {
  struct stwi_conn_config *config = stwi_alloc(sizeof *config);
  *config = (struct stwi_conn_config){0};
  return config;
}

static void everything_a_config_owns_is_freed(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = empty();
  const char *why;
  config->url_count = 2;
  config->urls = stwi_alloc(2 * sizeof *config->urls);
  assert_int_equal(stwi_url_parse("ws://a/b", &config->urls[0], &why), STW_OK);
  assert_int_equal(stwi_url_parse("wss://b?token=x", &config->urls[1], &why), STW_OK);
  config->headers = stwi_alloc(3 * sizeof *config->headers);
  config->headers[0] = text("Authorization");
  config->headers[1] = text("Bearer x");
  config->headers[2] = NULL;
  config->name = text("feed");
  config->subprotocols = text("a,b");
  config->ca_file = text("");
  config->client_cert = text("");
  config->client_key = text("");
  config->server_name = text("");
  config->proxy = text("user:password@proxy:3128");
  config->ready_when.text = text("ready");
  config->causes = stwi_alloc(sizeof *config->causes);
  assert_true(failing_mem_live > 10);
  stwi_conn_config_free(config);
  assert_int_equal(failing_mem_live, 0);
}

static void half_made_configs_can_be_freed(void **unused) {
  (void)unused;
  stwi_conn_config_free(NULL);
  stwi_conn_config_free(empty());
  assert_int_equal(failing_mem_live, 0);
}

static void what_is_not_set_is_empty_and_what_is_stays(void **unused) {
  (void)unused;
  struct stwi_conn_config *config = empty();
  config->proxy = text("proxy:3128");
  assert_true(stwi_conn_config_fill(config));
  assert_string_equal(config->proxy, "proxy:3128");
  char *const filled[] = {config->name,        config->subprotocols, config->ca_file,
                          config->client_cert, config->client_key,   config->server_name,
                          config->outbox_path};
  for (size_t i = 0; i < sizeof filled / sizeof filled[0]; i++)
    assert_string_equal(filled[i], "");
  stwi_conn_config_free(config);
  for (long succeed = 0; succeed < 8; succeed++) {
    config = empty();
    failing_mem_after = succeed;
    assert_false(stwi_conn_config_fill(config));
    failing_mem_after = -1;
    stwi_conn_config_free(config);
  }
  assert_int_equal(failing_mem_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(everything_a_config_owns_is_freed),
      cmocka_unit_test(what_is_not_set_is_empty_and_what_is_stays),
      cmocka_unit_test(half_made_configs_can_be_freed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
