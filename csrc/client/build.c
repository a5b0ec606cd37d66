/* From the texts of a config to the struct that the core reads. */
#include "client/config.h"

#include <string.h>
#include <strings.h>

#include "client/config_inside.h"
#include "client/error.h"
#include "client/judge.h"
#include "client/parse.h"
#include "core/mem.h"

static stw_status no_memory(void) {
  return stwi_error(STW_E_MEMORY,
                    "no memory for the options of a conn; free some, then open again");
}

static const struct stwi_config_slot *slot_of(const stw_config *config, enum stwi_option_id id) {
  return &config->slots[id];
}

static bool is_set(const stw_config *config, enum stwi_option_id id) {
  return *stwi_config_text(config, id) != '\0';
}

/* Values were judged when they were set: they parse. */
static uint64_t number(const stw_config *config, enum stwi_option_id id) {
  const stw_option *option = stwi_option_row(id);
  uint64_t value = 0;
  (void)stwi_parse_in_range(option->type, option->range, stwi_config_text(config, id), &value);
  return value;
}

static int choice(const stw_config *config, enum stwi_option_id id) {
  return stwi_parse_choice(stwi_option_row(id)->range, stwi_config_text(config, id));
}

static bool is_choice(const stw_config *config, enum stwi_option_id id, const char *text) {
  return strcmp(stwi_config_text(config, id), text) == 0;
}

/* --- what options say about one another --- */

static bool has_header(const stw_config *config, const char *name) {
  const struct stwi_config_slot *headers = slot_of(config, STWI_OPTION_HEADERS);
  for (size_t i = 0; i < headers->count; i++)
    if (strcasecmp(headers->items[i].key, name) == 0)
      return true;
  return false;
}

static stw_status check_header(const stw_config *config, enum stwi_option_id id,
                               const char *header) {
  if (!is_set(config, id) || !has_header(config, header))
    return STW_OK;
  return stwi_error(STW_E_VALUE, "option headers has %s, and option %s says it too; give one",
                    header, stwi_option_row(id)->name);
}

static stw_status check_client_cert(const stw_config *config) {
  const bool has_cert = is_set(config, STWI_OPTION_CLIENT_CERT);
  if (has_cert == is_set(config, STWI_OPTION_CLIENT_KEY))
    return STW_OK;
  return stwi_error(STW_E_VALUE, "option %s is set, but %s is not; give both or neither",
                    has_cert ? "client_cert" : "client_key",
                    has_cert ? "client_key" : "client_cert");
}

static stw_status check_retry(const stw_config *config) {
  if (number(config, STWI_OPTION_RETRY_CAP) >= number(config, STWI_OPTION_RETRY_WINDOW))
    return STW_OK;
  return stwi_error(STW_E_VALUE,
                    "option retry_cap = \"%s\" is below retry_window = \"%s\"; raise "
                    "retry_cap or lower retry_window",
                    stwi_show(stwi_config_text(config, STWI_OPTION_RETRY_CAP)).text,
                    stwi_show(stwi_config_text(config, STWI_OPTION_RETRY_WINDOW)).text);
}

static stw_status check_heartbeat(const stw_config *config) {
  const uint64_t idle = number(config, STWI_OPTION_HEARTBEAT_IDLE_INTERVAL);
  if (idle == 0 || idle >= number(config, STWI_OPTION_HEARTBEAT_INTERVAL))
    return STW_OK;
  return stwi_error(STW_E_VALUE,
                    "option heartbeat_idle_interval = \"%s\" is below heartbeat_interval = \"%s\"; "
                    "raise it, or lower heartbeat_interval",
                    stwi_show(stwi_config_text(config, STWI_OPTION_HEARTBEAT_IDLE_INTERVAL)).text,
                    stwi_show(stwi_config_text(config, STWI_OPTION_HEARTBEAT_INTERVAL)).text);
}

static stw_status check_session(const stw_config *config) {
  if (is_choice(config, STWI_OPTION_PROFILE, "session"))
    return STW_OK;
  if (is_choice(config, STWI_OPTION_GUARANTEE, "exactly_once"))
    return stwi_error(STW_E_VALUE, "option guarantee = \"exactly_once\" needs profile = session, "
                                   "and this conn has profile = plain; set profile, or use "
                                   "at_least_once");
  if (is_set(config, STWI_OPTION_INBOUND_FROM))
    return stwi_error(STW_E_VALUE,
                      "option inbound_from = \"%s\" needs profile = session: a plain "
                      "peer does not number its messages; set profile, or leave "
                      "inbound_from out",
                      stwi_show(stwi_config_text(config, STWI_OPTION_INBOUND_FROM)).text);
  return STW_OK;
}

static stw_status check_whole(const stw_config *config) {
  if (slot_of(config, STWI_OPTION_URL)->count == 0)
    return stwi_error(STW_E_VALUE, "option url is not set; give it a ws:// or wss:// URL");
  if (is_choice(config, STWI_OPTION_INBOUND_OVERFLOW, "latest_by_key") &&
      !is_set(config, STWI_OPTION_INBOUND_KEY))
    return stwi_error(STW_E_VALUE,
                      "option inbound_overflow = \"latest_by_key\" needs inbound_key; "
                      "set it to %s",
                      stwi_option_row(STWI_OPTION_INBOUND_KEY)->range);
  stw_status status = check_client_cert(config);
  if (status == STW_OK)
    status = check_session(config);
  if (status == STW_OK)
    status = check_retry(config);
  if (status == STW_OK)
    status = check_heartbeat(config);
  if (status == STW_OK)
    status = check_header(config, STWI_OPTION_ORIGIN, "Origin");
  if (status == STW_OK)
    status = check_header(config, STWI_OPTION_USER_AGENT, "User-Agent");
  return status;
}

/* --- filling --- */

static void fill_numbers(const stw_config *config, struct stwi_conn_config *out) {
  out->open_timeout_ns = number(config, STWI_OPTION_OPEN_TIMEOUT);
  out->close_timeout_ns = number(config, STWI_OPTION_CLOSE_TIMEOUT);
  out->heartbeat_interval_ns = number(config, STWI_OPTION_HEARTBEAT_INTERVAL);
  out->heartbeat_idle_ns = number(config, STWI_OPTION_HEARTBEAT_IDLE_INTERVAL);
  out->heartbeat_timeout_ns = number(config, STWI_OPTION_HEARTBEAT_TIMEOUT);
  out->max_silence_ns = number(config, STWI_OPTION_MAX_SILENCE);
  out->retry_window_ns = number(config, STWI_OPTION_RETRY_WINDOW);
  out->retry_cap_ns = number(config, STWI_OPTION_RETRY_CAP);
  out->outbox_messages = number(config, STWI_OPTION_OUTBOX_MESSAGES);
  out->outbox_bytes = number(config, STWI_OPTION_OUTBOX_BYTES);
  out->dead_letters = number(config, STWI_OPTION_DEAD_LETTERS);
  out->max_message = number(config, STWI_OPTION_MAX_MESSAGE);
  out->inbound_buffer = number(config, STWI_OPTION_INBOUND_BUFFER);
  out->ready_timeout_ns = number(config, STWI_OPTION_READY_TIMEOUT);
  out->credentials_timeout_ns = number(config, STWI_OPTION_CREDENTIALS_TIMEOUT);
}

/* The choices of a range stand in the order of their enum. */
static void fill_choices(const stw_config *config, struct stwi_conn_config *out) {
  out->is_insecure = is_choice(config, STWI_OPTION_INSECURE, "true");
  out->has_heartbeat = is_choice(config, STWI_OPTION_HEARTBEAT, "ping");
  out->is_idle_learnt = is_choice(config, STWI_OPTION_HEARTBEAT_IDLE_INTERVAL, "auto");
  out->has_hedge = is_choice(config, STWI_OPTION_HEDGE, "auto");
  out->has_credentials = is_choice(config, STWI_OPTION_CREDENTIALS, "host");
  out->stale_action = (enum stwi_stale_action)choice(config, STWI_OPTION_STALE_ACTION);
  out->outbox_overflow = (enum stwi_overflow)choice(config, STWI_OPTION_OUTBOX_OVERFLOW);
  out->inbound_overflow = (enum stwi_inbound)choice(config, STWI_OPTION_INBOUND_OVERFLOW);
  out->guarantee = (stw_guarantee)choice(config, STWI_OPTION_GUARANTEE);
  out->profile = (enum stwi_profile)choice(config, STWI_OPTION_PROFILE);
  out->may_downgrade = is_choice(config, STWI_OPTION_ALLOW_DOWNGRADE, "true");
  out->unknown_fate = (enum stwi_unknown_fate)choice(config, STWI_OPTION_UNKNOWN_FATE);
  out->is_durable = is_choice(config, STWI_OPTION_DURABILITY, "durable");
  out->has_inbound_from = is_set(config, STWI_OPTION_INBOUND_FROM);
  (void)stwi_parse_cursor(stwi_config_text(config, STWI_OPTION_INBOUND_FROM), out->inbound_from);
  (void)stwi_parse_key(stwi_config_text(config, STWI_OPTION_INBOUND_KEY), &out->inbound_key_kind,
                       &out->inbound_key_arg);
}

static char *copy(const char *text, size_t size) {
  char *made = stwi_alloc(size + 1);
  if (made == NULL)
    return NULL;
  memcpy(made, text, size);
  made[size] = '\0';
  return made;
}

static char *copy_option(const stw_config *config, enum stwi_option_id id) {
  const char *text = stwi_config_text(config, id);
  return copy(text, strlen(text));
}

static char *copy_proxy(const stw_config *config) {
  const char *text = stwi_config_text(config, STWI_OPTION_PROXY), *why;
  struct stwi_part plain = {"", 0};
  if (*text != '\0' && stwi_parse_proxy(text, &plain, &why) == STW_E_MEMORY)
    return NULL;
  return copy(plain.text, plain.size);
}

static char *join_subprotocols(const stw_config *config) {
  static const char comma[] = ", ";
  const struct stwi_config_slot *list = slot_of(config, STWI_OPTION_SUBPROTOCOLS);
  size_t size = 1;
  for (size_t i = 0; i < list->count; i++)
    size += strlen(list->items[i].value) + strlen(comma);
  char *text = stwi_alloc(size), *at = text;
  if (text == NULL)
    return NULL;
  for (size_t i = 0; i < list->count; i++) {
    if (i > 0)
      at = mempcpy(at, comma, strlen(comma));
    at = mempcpy(at, list->items[i].value, strlen(list->items[i].value));
  }
  *at = '\0';
  return text;
}

static bool fill_texts(const stw_config *config, struct stwi_conn_config *out) {
  const char *pattern;
  (void)stwi_parse_match(stwi_config_text(config, STWI_OPTION_READY_WHEN), &out->ready_when.kind,
                         &pattern);
  out->ready_when.size = strlen(pattern);
  out->ready_when.text = copy(pattern, out->ready_when.size);
  out->name = copy_option(config, STWI_OPTION_NAME);
  out->ca_file = copy_option(config, STWI_OPTION_CA_FILE);
  out->client_cert = copy_option(config, STWI_OPTION_CLIENT_CERT);
  out->client_key = copy_option(config, STWI_OPTION_CLIENT_KEY);
  out->server_name = copy_option(config, STWI_OPTION_SERVER_NAME);
  out->outbox_path = copy_option(config, STWI_OPTION_OUTBOX);
  out->proxy = copy_proxy(config);
  out->subprotocols = join_subprotocols(config);
  return out->ready_when.text != NULL && out->name != NULL && out->ca_file != NULL &&
         out->client_cert != NULL && out->client_key != NULL && out->server_name != NULL &&
         out->outbox_path != NULL && out->proxy != NULL && out->subprotocols != NULL;
}

static bool fill_urls(const stw_config *config, struct stwi_conn_config *out) {
  const struct stwi_config_slot *list = slot_of(config, STWI_OPTION_URL);
  out->urls = stwi_alloc(list->count * sizeof *out->urls);
  if (out->urls == NULL)
    return false;
  for (; out->url_count < list->count; out->url_count++) {
    const char *why;
    struct stwi_url *url = &out->urls[out->url_count];
    if (stwi_url_parse(list->items[out->url_count].value, url, &why) != STW_OK)
      return false;
  }
  return true;
}

static bool add_header(char **at, const char *name, const char *value) {
  at[0] = copy(name, strlen(name));
  if (at[0] != NULL)
    at[1] = copy(value, strlen(value));
  return at[0] != NULL && at[1] != NULL;
}

static bool fill_headers(const stw_config *config, struct stwi_conn_config *out) {
  const struct stwi_config_slot *map = slot_of(config, STWI_OPTION_HEADERS);
  static const struct {
    enum stwi_option_id id;
    const char *name;
  } extras[] = {{STWI_OPTION_ORIGIN, "Origin"}, {STWI_OPTION_USER_AGENT, "User-Agent"}};
  const size_t extra_count = sizeof extras / sizeof *extras;
  const size_t size = (2 * (map->count + extra_count) + 1) * sizeof *out->headers;
  char **at = out->headers = stwi_alloc(size);
  if (at == NULL)
    return false;
  memset(at, 0, size); /* so that the list ends after what was added */
  for (size_t i = 0; i < map->count; i++, at += 2)
    if (!add_header(at, map->items[i].key, map->items[i].value))
      return false;
  for (size_t i = 0; i < extra_count; i++) {
    if (!is_set(config, extras[i].id))
      continue;
    if (!add_header(at, extras[i].name, stwi_config_text(config, extras[i].id)))
      return false;
    at += 2;
  }
  return true;
}

static bool fill_causes(const stw_config *config, struct stwi_conn_config *out) {
  const struct stwi_config_slot *map = slot_of(config, STWI_OPTION_CAUSES);
  if (map->count == 0)
    return true;
  out->causes = stwi_alloc(map->count * sizeof *out->causes);
  if (out->causes == NULL)
    return false;
  for (; out->cause_count < map->count; out->cause_count++) {
    struct stwi_code_class *made = &out->causes[out->cause_count];
    (void)stwi_parse_close_code(map->items[out->cause_count].key, &made->code);
    (void)stwi_parse_class(map->items[out->cause_count].value, &made->cls);
  }
  return true;
}

stw_status stwi_config_build(const stw_config *config, struct stwi_conn_config **out) {
  if (config == NULL)
    return stwi_error(STW_E_ARGUMENT, "the config is NULL; make one with stw_config_new");
  const stw_status status = check_whole(config);
  if (status != STW_OK)
    return status;
  struct stwi_conn_config *made = stwi_alloc(sizeof *made);
  if (made == NULL)
    return no_memory();
  *made = (struct stwi_conn_config){0};
  fill_numbers(config, made);
  fill_choices(config, made);
  if (!fill_texts(config, made) || !fill_urls(config, made) || !fill_headers(config, made) ||
      !fill_causes(config, made)) {
    stwi_conn_config_free(made);
    return no_memory();
  }
  *out = made;
  return STW_OK;
}
