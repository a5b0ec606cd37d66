/* The negotiation of core on the transport and the SASL of io, at real servers: logs in, enables
 * stream management, is cut off, and resumes. */
#include "io_xmpp_server.h"

#include "core/xmpp/jid.h"
#include "core/xmpp/negotiate.h"
#include "io/sasl.h"

enum { RUNS = 16, CHALLENGE_BYTES = 4096 };

static struct client {
  struct stwi_sasl *sasl;
  struct stwi_sasl_exchange *exchange;
  struct stwi_negotiate negotiate;
  struct stwi_negotiate_terms terms;
  struct stwi_jid account;
  struct stwi_sm sm;
  struct stwi_sm_run runs[RUNS];
  struct stwi_sasl_credentials credentials;
  char binding_type[32];
  uint8_t binding[64];
  char out[STWI_NEGOTIATE_OUT_MAX];
  uint32_t link;
  bool is_ready, is_resumed;
  char over[STWI_NEGOTIATE_DETAIL_MAX];
} client;

static void take_news(struct world *world, struct stwi_xml *out,
                      const struct stwi_negotiate_news *news);

static struct stwi_xml fresh_out(void) {
  struct stwi_xml out;
  stwi_xml_init(&out, client.out, sizeof client.out, STWI_NS_CLIENT);
  return out;
}

static void step_sasl(struct world *world, const void *input, size_t size) {
  char encoded[2 * CHALLENGE_BYTES];
  struct stwi_negotiate_news news;
  struct stwi_sasl_output output = {0};
  const uint8_t *data;
  size_t data_size;
  const char *why;
  struct stwi_xml out = fresh_out();
  const enum stwi_sasl_status status =
      stwi_sasl_step(client.exchange, input, size, &data, &data_size, &why);
  if (why != NULL)
    fail_msg("%s", why);
  output.size = (size_t)EVP_EncodeBlock((unsigned char *)encoded, data, (int)data_size);
  output.data = data == NULL ? NULL : encoded;
  output.is_verified = status == STWI_SASL_DONE;
  stwi_negotiate_sasl(&client.negotiate, &output, &out, &news);
  take_news(world, &out, &news);
}

static void begin_sasl(struct world *world, enum stwi_mechanism mechanism) {
  enum stwi_sasl_status status;
  const char *why;
  print_message("  %s\n", stwi_mechanism_name(mechanism));
  client.exchange = stwi_sasl_begin(client.sasl, stwi_mechanism_name(mechanism),
                                    &client.credentials, &status, &why);
  if (client.exchange == NULL)
    fail_msg("%s", why);
  step_sasl(world, NULL, 0);
}

static void continue_sasl(struct world *world, const struct stwi_negotiate_news *news) {
  uint8_t input[CHALLENGE_BYTES];
  size_t size = news->challenge_size;
  assert_true(size < sizeof input);
  int length =
      size == 0 ? 0 : EVP_DecodeBlock(input, (const unsigned char *)news->challenge, (int)size);
  while (size > 0 && news->challenge[size - 1] == '=') {
    length--;
    size--;
  }
  step_sasl(world, input, (size_t)length);
}

static void take_news(struct world *world, struct stwi_xml *out,
                      const struct stwi_negotiate_news *news) {
  if (out->size > 0)
    world_write(world, client.link, out->out, out->size);
  switch (news->kind) {
  case STWI_NEGOTIATE_SASL_BEGIN:
    begin_sasl(world, news->mechanism);
    break;
  case STWI_NEGOTIATE_SASL_STEP:
    continue_sasl(world, news);
    break;
  case STWI_NEGOTIATE_RESTART:
    world->transport.ops->restart(world->transport.self, 7, client.link);
    break;
  case STWI_NEGOTIATE_LOGGED_IN: {
    struct stwi_negotiate_news next;
    struct stwi_xml more = fresh_out();
    stwi_negotiate_claim(&client.negotiate, &more, &next);
    take_news(world, &more, &next);
    break;
  }
  case STWI_NEGOTIATE_IS_READY:
    client.is_ready = true;
    client.is_resumed = news->is_resumed;
    break;
  case STWI_NEGOTIATE_IS_OVER:
    snprintf(client.over, sizeof client.over, "%s", news->detail);
    break;
  case STWI_NEGOTIATE_RESUME_REFUSED:
  case STWI_NEGOTIATE_STANZA:
  case STWI_NEGOTIATE_NOTHING:
    break;
  }
}

static void note_binding(const struct stwi_input *input) {
  client.terms.has_binding =
      input->u.ready.binding != NULL && strcmp(input->u.ready.binding_type, "tls-unique") == 0;
  if (!client.terms.has_binding)
    return;
  snprintf(client.binding_type, sizeof client.binding_type, "%s", input->u.ready.binding_type);
  memcpy(client.binding, input->u.ready.binding, input->u.ready.binding_size);
  client.credentials.binding_type = client.binding_type;
  client.credentials.binding = client.binding;
  client.credentials.binding_size = input->u.ready.binding_size;
}

static void on_input(struct world *world, const struct stwi_input *input) {
  if (input->link != client.link)
    return;
  if (input->kind == STWI_IN_READY) {
    note_binding(input);
    stwi_negotiate_begin(&client.negotiate, &client.terms, &client.sm);
  } else if (input->kind == STWI_IN_ELEMENT && !client.is_ready && client.over[0] == '\0') {
    struct stwi_negotiate_news news;
    struct stwi_xml out = fresh_out();
    stwi_negotiate_element(&client.negotiate, input->u.element, &out, &news);
    take_news(world, &out, &news);
  }
}

static bool is_settled(struct world *world) {
  return client.is_ready || client.over[0] != '\0' || world->links[client.link].is_down;
}

static bool link_is_down(struct world *world) {
  return world->links[client.link].is_down;
}

static void dial(struct world *world, uint32_t link, uint16_t port, enum stwi_xmpp_tls tls) {
  const struct stwi_dial_xmpp xmpp = {
      .domain = "localhost", .tls = tls, .element_bytes_max = 262144};
  struct stwi_dial to = plain_dial(port);
  to.xmpp = &xmpp;
  to.ca_file = server.ca_file;
  client.link = link;
  client.is_ready = false;
  world_dial(world, link, &to);
  world_run(world, is_settled);
  if (!client.is_ready)
    fail_msg("%s%s", client.over, world->links[link].is_down ? world->links[link].detail : "");
  stwi_sasl_end(client.exchange);
  client.exchange = NULL;
}

static void resumes(uint16_t port, enum stwi_xmpp_tls tls) {
  struct world world;
  memset(&client, 0, sizeof client);
  client.sasl = stwi_sasl_new();
  client.credentials =
      (struct stwi_sasl_credentials){.user = "user1", .password = "secret", .domain = "localhost"};
  assert_null(stwi_jid_parse(&client.account, "user1@localhost", 15));
  client.terms = (struct stwi_negotiate_terms){.account = &client.account,
                                               .is_tls = tls != STWI_XMPP_TLS_NONE,
                                               .has_password = true,
                                               .wants_stream_management = true,
                                               .mechanisms = STWI_MECHANISMS_ALL};
  stwi_sm_init(&client.sm, client.runs, RUNS);
  world_open_with(&world, stwi_transport_xmpp_new);
  world.on_input = on_input;
  dial(&world, 1, port, tls);
  assert_false(client.is_resumed);
  world.transport.ops->cut(world.transport.self, 7, 1, true);
  world_run(&world, link_is_down);
  stwi_sm_unlink(&client.sm);
  for (uint32_t link = 2; link < 5; link++) {
    dial(&world, link, port, tls);
    assert_true(client.is_resumed);
    world.transport.ops->cut(world.transport.self, 7, link, true);
    world_run(&world, link_is_down);
    stwi_sm_unlink(&client.sm);
  }
  world_close(&world);
  stwi_sasl_free(client.sasl);
}

static void resumes_over_starttls(void **state) {
  (void)state;
  resumes(server.starttls, STWI_XMPP_TLS_STARTTLS);
}

static void resumes_over_direct_tls(void **state) {
  (void)state;
  resumes(server.direct, STWI_XMPP_TLS_DIRECT);
}

static void resumes_over_tls_1_2(void **state) {
  (void)state;
  resumes(server.tls12, STWI_XMPP_TLS_DIRECT);
}

static void resumes_without_tls(void **state) {
  (void)state;
  resumes(server.plain, STWI_XMPP_TLS_NONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(resumes_over_starttls),
      cmocka_unit_test(resumes_over_direct_tls),
      cmocka_unit_test(resumes_over_tls_1_2),
      cmocka_unit_test(resumes_without_tls),
  };
  return run_at_both(tests, sizeof tests / sizeof tests[0]);
}
