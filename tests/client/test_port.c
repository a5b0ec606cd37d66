/* Admission: bounds, numbers and policies against a naive model, on many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "client/engine.h"
#include "client/handle.h"
#include "client/mailbox.h"
#include "client/port.h"
#include "core/pace.h"
#include "host.h"
#include "seed.h"

static struct host host;
static struct stwi_mailbox *mailbox;
static struct stwi_engine *engine;

static int set_up(void **state) {
  (void)state;
  host_init(&host);
  mailbox = stwi_mailbox_make();
  return stwi_handle_hold(host.engine.id, STWI_HANDLE_ENGINE, (void **)&engine) != STW_OK;
}

static int tear_down(void **state) {
  (void)state;
  stwi_handle_drop(host.engine.id);
  stwi_mailbox_drop(mailbox);
  host_fini(&host);
  return 0;
}

static const struct stwi_conn_config standard = {
    .outbox_messages = 10, .outbox_bytes = 1000, .max_message = 100, .inbound_buffer = 65536};

/* A port that no engine looks at: the test is its engine. */
static struct stwi_port *make_port(const struct stwi_conn_config *config) {
  struct stwi_port *port = stwi_port_new(engine, mailbox, config, 77);
  assert_non_null(port);
  port->is_submitted = true;
  return port;
}

static stw_status admit(struct stwi_port *port, const char *key, const void *data, size_t size,
                        uint64_t *number) {
  stw_send_options options = {.struct_size = sizeof options};
  options.key = key;
  options.key_size = key == NULL ? 0 : strlen(key);
  stw_payload payload = {data, size};
  size_t taken;
  stw_message_id id = {0, 0};
  const stw_status status = stwi_port_admit(port, &payload, 1, &options, &taken, &id);
  *number = id.number;
  return status;
}

static struct stwi_news collect(struct stwi_port *port) {
  struct stwi_news news = stwi_port_collect(port);
  port->is_submitted = true;
  return news;
}

static void what_is_admitted_is_collected_in_order_byte_for_byte(void **state) {
  (void)state;
  struct stwi_conn_config config = standard;
  config.outbox_messages = 100000;
  config.outbox_bytes = UINT32_MAX;
  config.max_message = 70000;
  struct stwi_port *port = make_port(&config);
  uint8_t *body = calloc(1, 70000);
  for (uint64_t n = 1; n <= 2000; n++) {
    uint64_t number;
    memcpy(body, &n, sizeof n);
    const size_t size = 8 + (n % 50 == 0 ? 60000 : n % 300);
    assert_int_equal(admit(port, n % 2 ? "key" : NULL, body, size, &number), STW_OK);
    assert_int_equal(number, n);
  }
  uint64_t expected = 0;
  struct stwi_chunk *chunks = collect(port).chunks;
  for (struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
      assert_int_equal(msg->number, ++expected);
      assert_int_equal(msg->size, 8 + (expected % 50 == 0 ? 60000 : expected % 300));
      assert_memory_equal(stwi_msg_body(msg), &expected, sizeof expected);
      assert_int_equal(msg->key_size, expected % 2 ? 3 : 0);
    }
  }
  assert_int_equal(expected, 2000);
  stwi_chunk_free_list(chunks);
  assert_null(collect(port).chunks);
  free(body);
  stwi_port_drop(port);
}

static void options_reach_the_message(void **state) {
  (void)state;
  struct stwi_port *port = make_port(&standard);
  stw_send_options options = {.struct_size = sizeof options, .is_text = true, .ttl_ms = 5};
  options.guarantee = STW_AT_MOST_ONCE;
  stw_payload payload = {"x", 1};
  size_t taken;
  stw_message_id id;
  assert_int_equal(stwi_port_admit(port, &payload, 1, &options, &taken, &id), STW_OK);
  options.ttl_ms = UINT64_MAX; /* as good as for ever; never an overflow */
  assert_int_equal(stwi_port_admit(port, &payload, 1, &options, &taken, &id), STW_OK);
  struct stwi_chunk *chunks = collect(port).chunks;
  struct stwi_msg *msg = stwi_chunk_first(chunks);
  assert_true(msg->is_text);
  assert_int_equal(msg->ttl_ns, 5 * STWI_MS);
  assert_int_equal(msg->guarantee, STW_AT_MOST_ONCE);
  assert_true(stwi_chunk_after(msg)->ttl_ns == STWI_NEVER);
  stwi_chunk_free_list(chunks);
  stwi_port_drop(port);
}

static void the_smaller_of_two_limits_is_named(void **state) {
  (void)state;
  struct stwi_conn_config config = standard;
  struct stwi_port *port = make_port(&config);
  uint64_t number;
  char body[2000] = {0};
  EXPECT(admit(port, NULL, body, 101, &number), STW_E_TOO_BIG, "max_message (100)");
  stwi_port_drop(port);
  config.max_message = 1 << 20;
  port = make_port(&config);
  EXPECT(admit(port, NULL, body, 1001, &number), STW_E_TOO_BIG, "outbox_bytes (1000)");
  EXPECT(admit(port, NULL, body, 1000, &number), STW_OK, "");
  EXPECT(admit(port, NULL, body, 1, &number), STW_E_FULL, "outbox_room");
  stwi_port_drop(port);
}

static void a_refusing_port_takes_nothing(void **state) {
  (void)state;
  struct stwi_port *port = make_port(&standard);
  uint64_t number;
  assert_int_equal(admit(port, NULL, "x", 1, &number), STW_OK);
  struct stwi_chunk *chunks = stwi_port_collect_early(port, true);
  assert_non_null(chunks);
  stwi_chunk_free_list(chunks);
  EXPECT(admit(port, NULL, "x", 1, &number), STW_E_CLOSED, "open a new one");
  assert_int_equal(port->last_number[STW_LANE_DATA], 1);
  assert_true(port->is_submitted); /* still on the engine's list */
  stwi_port_drop(port);
}

static void undrained_ends_count_as_messages(void **state) {
  (void)state;
  struct stwi_port *port = make_port(&standard);
  uint64_t number;
  port->ends_waiting = 9;
  assert_int_equal(admit(port, NULL, "x", 1, &number), STW_OK);
  EXPECT(admit(port, NULL, "x", 1, &number), STW_E_FULL, "9 events of ended ones");
  assert_true(port->wants_room);
  assert_false(stwi_port_has_room(port));
  port->ends_waiting = 8;
  assert_true(stwi_port_has_room(port));
  stwi_port_drop(port);
}

static void news_are_told_once(void **state) {
  (void)state;
  struct stwi_port *port = make_port(&standard);
  stwi_port_tell_room(port);
  stwi_port_tell_forget(port);
  stwi_port_tell_drained(port);
  struct stwi_news news = collect(port);
  assert_true(news.has_box_room && news.is_forgotten && news.chunks == NULL);
  news = collect(port);
  assert_false(news.has_box_room || news.is_forgotten);
  stwi_port_drop(port);
}

/* ---- against a model ---- */

struct model {
  uint64_t messages, bytes; /* admitted and not released */
};

static bool model_admits(const struct model *model, const struct stwi_conn_config *config,
                         size_t size, bool has_key) {
  const bool is_strict = config->outbox_overflow == STWI_OVERFLOW_REJECT ||
                         (config->outbox_overflow == STWI_OVERFLOW_COALESCE && !has_key);
  const uint64_t times = is_strict ? 1 : 2;
  return model->messages + 1 <= times * config->outbox_messages &&
         model->bytes + size <= times * config->outbox_bytes;
}

static void random_admissions(enum stwi_overflow overflow, struct stwi_random *random) {
  struct stwi_conn_config config = standard;
  config.outbox_overflow = overflow;
  struct stwi_port *port = make_port(&config);
  struct model model = {0};
  uint64_t expected = 0;
  static const char body[100];
  for (int step = 0; step < 3000; step++) {
    if (stwi_random_below(random, 4) == 0) { /* the engine publishes that some have ended */
      struct stwi_chunk *chunks = collect(port).chunks;
      stwi_chunk_free_list(chunks);
      const uint64_t ended = stwi_random_below(random, model.messages + 1);
      const uint64_t bytes = model.messages == ended ? model.bytes : model.bytes / 2;
      port->released_messages += ended;
      port->released_bytes += bytes;
      model.messages -= ended;
      model.bytes -= bytes;
      continue;
    }
    const size_t size = (size_t)stwi_random_below(random, 101);
    const bool has_key = stwi_random_below(random, 2) == 0;
    const bool is_over =
        model.messages >= config.outbox_messages || model.bytes + size > config.outbox_bytes;
    uint64_t number;
    const stw_status status = admit(port, has_key ? "k" : NULL, body, size, &number);
    assert_int_equal(status, model_admits(&model, &config, size, has_key) ? STW_OK : STW_E_FULL);
    if (status != STW_OK)
      continue;
    assert_int_equal(number, ++expected);
    model.messages++;
    model.bytes += size;
    struct stwi_msg *last = stwi_chunk_first(port->submit_last);
    for (struct stwi_msg *msg = last; msg != NULL; msg = stwi_chunk_after(msg))
      last = msg;
    assert_int_equal(last->is_refused, overflow == STWI_OVERFLOW_DROP_NEWEST && is_over);
  }
  stwi_port_drop(port);
}

static void every_policy_admits_what_the_model_admits(void **state) {
  (void)state;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed(__func__));
  for (int i = 0; i < 5; i++) {
    random_admissions(STWI_OVERFLOW_REJECT, &random);
    random_admissions(STWI_OVERFLOW_DROP_OLDEST, &random);
    random_admissions(STWI_OVERFLOW_DROP_NEWEST, &random);
    random_admissions(STWI_OVERFLOW_COALESCE, &random);
  }
}

/* ---- threads ---- */

enum { EACH = 5000, THREADS = 4 };

struct sender {
  struct stwi_port *port;
  uint32_t mark;
  _Atomic bool is_wrong;
};

static void *send_each(void *arg) {
  struct sender *sender = arg;
  uint64_t last = 0;
  for (uint32_t n = 0; n < EACH; n++) {
    const uint32_t data[2] = {sender->mark, n};
    uint64_t number;
    if (admit(sender->port, NULL, data, sizeof data, &number) != STW_OK || number <= last)
      atomic_store(&sender->is_wrong, true);
    last = number;
  }
  return NULL;
}

static void threads_share_one_count_without_holes(void **state) {
  (void)state;
  struct stwi_conn_config config = standard;
  config.outbox_messages = config.outbox_bytes = UINT32_MAX;
  struct stwi_port *port = make_port(&config);
  struct sender senders[THREADS];
  pthread_t threads[THREADS];
  for (uint32_t i = 0; i < THREADS; i++) {
    senders[i].port = port;
    senders[i].mark = i;
    atomic_init(&senders[i].is_wrong, false);
    assert_int_equal(pthread_create(&threads[i], NULL, send_each, &senders[i]), 0);
  }
  uint64_t expected = 0;
  uint32_t next[THREADS] = {0};
  while (expected < THREADS * EACH) {
    struct stwi_chunk *chunks = stwi_port_collect_early(port, false);
    for (struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
      for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL;
           msg = stwi_chunk_after(msg)) {
        uint32_t data[2];
        memcpy(data, stwi_msg_body(msg), sizeof data);
        assert_int_equal(msg->number, ++expected);
        assert_int_equal(data[1], next[data[0]]++);
      }
    }
    stwi_chunk_free_list(chunks);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_false(senders[i].is_wrong);
  }
  stwi_port_drop(port);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(what_is_admitted_is_collected_in_order_byte_for_byte),
      TEST(options_reach_the_message),
      TEST(the_smaller_of_two_limits_is_named),
      TEST(a_refusing_port_takes_nothing),
      TEST(undrained_ends_count_as_messages),
      TEST(news_are_told_once),
      TEST(every_policy_admits_what_the_model_admits),
      TEST(threads_share_one_count_without_holes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
