/* Logins at real servers, each started by tests/support/peers/xmpp_server.py.  Skipped, with a line
 * that says so, where a server or the Python packages of the tests are missing. */
#include "io_xmpp_server.h"

#include "core/xmpp/element.h"
#include "io/sasl.h"

/* ---- a client, as small as it can be ---- */

enum step { LOGIN, RESTARTED, BOUND, PINGED, REFUSED };

static struct client {
  struct stwi_sasl *sasl;
  struct stwi_sasl_exchange *exchange;
  const char *mechanism, *user, *password;
  char binding_type[32];
  uint8_t binding[64];
  size_t binding_size;
  enum step step;
  bool is_offered;
  char failure[64];
} client;

static void say(struct world *world, const char *text) {
  world_write(world, 1, text, strlen(text));
}

static void say_base64(struct world *world, const char *tag, const char *attributes,
                       const uint8_t *data, size_t size) {
  char encoded[4096], text[4600];
  assert_true(size < sizeof encoded / 2);
  const int length = EVP_EncodeBlock((unsigned char *)encoded, data, (int)size);
  snprintf(text, sizeof text, "<%s xmlns='" STWI_NS_SASL "'%s>%s</%s>", tag, attributes,
           length == 0 ? "=" : encoded, tag);
  say(world, text);
}

static size_t decode(const struct stwi_element *element, uint8_t *out, size_t room) {
  size_t size;
  const char *text = stwi_element_text(element, &size);
  if (size == 0 || (size == 1 && text[0] == '='))
    return 0;
  assert_true(size < room);
  int length = EVP_DecodeBlock(out, (const unsigned char *)text, (int)size);
  assert_true(length > 0);
  for (size_t i = size; text[i - 1] == '='; i--)
    length--;
  return (size_t)length;
}

static void begin_login(struct world *world, const struct stwi_element *features) {
  const struct stwi_element *list = stwi_element_child(features, "mechanisms", STWI_NS_SASL);
  const struct stwi_element *one = stwi_element_child(list, "mechanism", STWI_NS_SASL);
  for (; one != NULL; one = stwi_element_after(one, "mechanism", STWI_NS_SASL))
    client.is_offered |= stwi_element_text_is(one, client.mechanism);
  if (!client.is_offered) {
    client.step = REFUSED;
    return;
  }
  enum stwi_sasl_status status;
  const char *why;
  const uint8_t *output;
  size_t size;
  const struct stwi_sasl_credentials credentials = {
      .user = client.user,
      .password = client.password,
      .domain = "localhost",
      .binding_type = client.binding_size > 0 ? client.binding_type : NULL,
      .binding = client.binding,
      .binding_size = client.binding_size};
  client.exchange = stwi_sasl_begin(client.sasl, client.mechanism, &credentials, &status, &why);
  if (client.exchange == NULL)
    fail_msg("%s", why);
  status = stwi_sasl_step(client.exchange, NULL, 0, &output, &size, &why);
  assert_true(status == STWI_SASL_MORE || status == STWI_SASL_DONE);
  char mechanism[64];
  snprintf(mechanism, sizeof mechanism, " mechanism='%s'", client.mechanism);
  say_base64(world, "auth", mechanism, output, size);
}

static void answer(struct world *world, const struct stwi_element *element, bool is_success) {
  uint8_t input[2048];
  const uint8_t *output;
  const char *why;
  size_t size = decode(element, input, sizeof input), output_size;
  if (is_success && size == 0)
    return;
  const enum stwi_sasl_status status =
      stwi_sasl_step(client.exchange, input, size, &output, &output_size, &why);
  if (status != STWI_SASL_MORE && status != STWI_SASL_DONE)
    fail_msg("%s", why);
  if (!is_success)
    say_base64(world, "response", "", output, output_size);
}

static void log_in(struct world *world, const struct stwi_element *element) {
  if (stwi_element_is(element, "features", STWI_NS_STREAM)) {
    begin_login(world, element);
  } else if (stwi_element_is(element, "challenge", STWI_NS_SASL)) {
    answer(world, element, false);
  } else if (stwi_element_is(element, "success", STWI_NS_SASL)) {
    answer(world, element, true);
    client.step = RESTARTED;
    world->transport.ops->restart(world->transport.self, 7, 1);
  } else if (stwi_element_is(element, "failure", STWI_NS_SASL)) {
    snprintf(client.failure, sizeof client.failure, "%s", element->first->name);
    client.step = REFUSED;
  } else {
    fail_msg("<%s> during the login", element->name);
  }
}

static void on_input(struct world *world, const struct stwi_input *input) {
  if (input->kind == STWI_IN_READY && input->u.ready.binding != NULL) {
    snprintf(client.binding_type, sizeof client.binding_type, "%s", input->u.ready.binding_type);
    client.binding_size = input->u.ready.binding_size;
    memcpy(client.binding, input->u.ready.binding, client.binding_size);
  }
  if (input->kind != STWI_IN_ELEMENT)
    return;
  const struct stwi_element *element = input->u.element;
  const char *id = stwi_element_attribute(element, "id");
  if (client.step == LOGIN) {
    log_in(world, element);
  } else if (client.step == RESTARTED && stwi_element_is(element, "features", STWI_NS_STREAM)) {
    say(world, "<iq type='set' id='bind'><bind xmlns='" STWI_NS_BIND "'/></iq>");
  } else if (id != NULL && strcmp(id, "bind") == 0) {
    assert_string_equal(stwi_element_attribute(element, "type"), "result");
    client.step = BOUND;
    say(world, "<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
  } else if (id != NULL && strcmp(id, "ping") == 0) {
    assert_string_equal(stwi_element_attribute(element, "type"), "result");
    client.step = PINGED;
  }
}

static bool is_over(struct world *world) {
  return client.step >= PINGED || world->links[1].is_down;
}

static struct stwi_dial_xmpp xmpp;

static struct stwi_dial dial_to(uint16_t port, enum stwi_xmpp_tls tls) {
  struct stwi_dial dial = plain_dial(port);
  xmpp = (struct stwi_dial_xmpp){.domain = "localhost", .tls = tls, .element_bytes_max = 262144};
  dial.xmpp = &xmpp;
  dial.ca_file = server.ca_file;
  return dial;
}

static void try_login(const char *mechanism, const char *user, const char *password, uint16_t port,
                      enum stwi_xmpp_tls tls) {
  struct world world;
  const struct stwi_dial dial = dial_to(port, tls);
  client = (struct client){.mechanism = mechanism, .user = user, .password = password};
  client.sasl = stwi_sasl_new();
  world_open_with(&world, stwi_transport_xmpp_new);
  world.on_input = on_input;
  world_dial(&world, 1, &dial);
  world_run(&world, is_over);
  if (world.links[1].is_down)
    fail_msg("%s", world.links[1].detail);
  world.transport.ops->cut(world.transport.self, 7, 1, false);
  world_run(&world, link_1_is_down);
  world_close(&world);
  stwi_sasl_end(client.exchange);
  stwi_sasl_free(client.sasl);
}

static void logs_in(const char *mechanism, uint16_t port, enum stwi_xmpp_tls tls) {
  try_login(mechanism, "user0", "secret", port, tls);
  if (client.step != PINGED)
    fail_msg("%s: %s", mechanism, client.is_offered ? client.failure : "not offered");
}

/* ---- the promises ---- */

static void logs_in_over_starttls(void **state) {
  (void)state;
  logs_in("SCRAM-SHA-1", server.starttls, STWI_XMPP_TLS_STARTTLS);
  logs_in("SCRAM-SHA-256", server.starttls, STWI_XMPP_TLS_STARTTLS);
  logs_in("PLAIN", server.starttls, STWI_XMPP_TLS_STARTTLS);
}

static void logs_in_over_direct_tls(void **state) {
  (void)state;
  logs_in("SCRAM-SHA-1", server.direct, STWI_XMPP_TLS_DIRECT);
  logs_in("SCRAM-SHA-256", server.direct, STWI_XMPP_TLS_DIRECT);
  logs_in("PLAIN", server.direct, STWI_XMPP_TLS_DIRECT);
}

static void logs_in_without_tls_where_asked_to(void **state) {
  (void)state;
  logs_in("SCRAM-SHA-1", server.plain, STWI_XMPP_TLS_NONE);
}

static void wrong_passwords_are_told_by_their_condition(void **state) {
  (void)state;
  try_login("SCRAM-SHA-1", "user0", "wrong", server.starttls, STWI_XMPP_TLS_STARTTLS);
  assert_int_equal(client.step, REFUSED);
  assert_string_equal(client.failure, "not-authorized");
  try_login("PLAIN", "nobody", "wrong", server.direct, STWI_XMPP_TLS_DIRECT);
  assert_int_equal(client.step, REFUSED);
  assert_string_equal(client.failure, "not-authorized");
}

static void plus_binds_the_login_to_the_channel(void **state) {
  (void)state;
  logs_in("SCRAM-SHA-1-PLUS", server.tls12, STWI_XMPP_TLS_DIRECT);
  assert_string_equal(client.binding_type, "tls-unique");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logs_in_over_starttls),
      cmocka_unit_test(logs_in_over_direct_tls),
      cmocka_unit_test(logs_in_without_tls_where_asked_to),
      cmocka_unit_test(wrong_passwords_are_told_by_their_condition),
      cmocka_unit_test(plus_binds_the_login_to_the_channel),
  };
  return run_at_both(tests, sizeof tests / sizeof tests[0]);
}
