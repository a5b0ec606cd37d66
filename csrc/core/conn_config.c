#include "core/conn_config.h"

#include "core/mem.h"

#include <string.h>

/* Paths and headers may carry tokens: nothing of them stays in freed memory. */
static void wipe_free(char *text) {
  if (text == NULL)
    return;
  explicit_bzero(text, strlen(text));
  stwi_free(text);
}

static void free_list(char **list) {
  if (list == NULL)
    return;
  for (char **item = list; *item != NULL; item++)
    wipe_free(*item);
  stwi_free(list);
}

bool stwi_conn_config_fill(struct stwi_conn_config *config) {
  char **const texts[] = {&config->name,        &config->subprotocols, &config->ca_file,
                          &config->client_cert, &config->client_key,   &config->server_name,
                          &config->proxy,       &config->outbox_path};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    if (*texts[i] != NULL)
      continue;
    *texts[i] = stwi_alloc(1);
    if (*texts[i] == NULL)
      return false;
    **texts[i] = '\0';
  }
  return true;
}

void stwi_conn_config_free(struct stwi_conn_config *config) {
  if (config == NULL)
    return;
  for (size_t i = 0; i < config->url_count; i++)
    stwi_url_fini(&config->urls[i]);
  stwi_free(config->urls);
  free_list(config->headers);
  stwi_free(config->name);
  stwi_free(config->subprotocols);
  stwi_free(config->ca_file);
  stwi_free(config->client_cert);
  stwi_free(config->client_key);
  stwi_free(config->server_name);
  stwi_free(config->outbox_path);
  wipe_free(config->proxy);
  stwi_free(config->ready_when.text);
  stwi_free(config->causes);
  stwi_free(config);
}
