#include <steadwire/config.h>

#include <string.h>
#include <strings.h>

#include "client/config_inside.h"
#include "client/error.h"
#include "client/judge.h"
#include "core/mem.h"

static stw_status no_memory(void) {
  return stwi_error(STW_E_MEMORY, "no memory for an option's value; free some, then set it again");
}

static bool is_scalar(const stw_option *option) {
  return option->type != STW_OPTION_LIST && option->type != STW_OPTION_MAP;
}

static size_t size_of(const char *text) {
  return text == NULL ? 0 : strlen(text) + 1;
}

static char *copy(const char *text) {
  char *made = stwi_alloc(size_of(text));
  if (made != NULL)
    memcpy(made, text, size_of(text));
  return made;
}

/* Any value may be a secret. */
static void wipe_free(char *text) {
  if (text == NULL)
    return;
  explicit_bzero(text, strlen(text));
  stwi_free(text);
}

static void free_item(stw_config *config, struct stwi_config_item item) {
  config->text_size -= size_of(item.key) + size_of(item.value);
  wipe_free(item.key);
  wipe_free(item.value);
}

static void clear(stw_config *config, struct stwi_config_slot *slot) {
  config->text_size -= size_of(slot->text);
  wipe_free(slot->text);
  for (size_t i = 0; i < slot->count; i++)
    free_item(config, slot->items[i]);
  stwi_free(slot->items);
  *slot = (struct stwi_config_slot){0};
}

/* Before anything changes: is there room for `added` bytes of text in place of `removed`? */
static stw_status check_room(const stw_config *config, const char *name, size_t removed,
                             size_t added) {
  if (config->text_size - removed + added <= STWI_CONFIG_TEXT_MAX)
    return STW_OK;
  return stwi_error(STW_E_VALUE, "option %s: all values together are over 64 KiB; shorten some",
                    name);
}

stw_config *stw_config_new(void) {
  stw_config *config = stwi_alloc(sizeof *config);
  if (config == NULL)
    (void)no_memory();
  else
    *config = (stw_config){0};
  return config;
}

void stw_config_free(stw_config *config) {
  if (config == NULL)
    return;
  for (size_t i = 0; i < STWI_OPTION_TOTAL; i++)
    clear(config, &config->slots[i]);
  stwi_free(config);
}

/* Answers what every call checks first: its arguments, and that the option exists. */
static stw_status find(const stw_config *config, const char *name, const char *value,
                       enum stwi_option_id *id) {
  if (config == NULL || name == NULL || value == NULL)
    return stwi_error(STW_E_ARGUMENT, "a config, an option's name and its value cannot be NULL");
  return stwi_option_find(name, id);
}

static stw_status wrong_call(enum stwi_option_id id) {
  const stw_option *option = stwi_option_row(id);
  const char *call = option->type == STW_OPTION_MAP    ? "has items by name: use stw_config_put"
                     : option->type == STW_OPTION_LIST ? "is a list: use stw_config_add"
                                                       : "has one value: use stw_config_set";
  return stwi_error(STW_E_VALUE, "option %s %s", option->name, call);
}

static stw_status set_scalar(stw_config *config, enum stwi_option_id id, const char *value) {
  struct stwi_config_slot *slot = &config->slots[id];
  stw_status status = stwi_judge(id, value);
  if (status == STW_OK)
    status = check_room(config, stwi_option_row(id)->name, size_of(slot->text), size_of(value));
  if (status != STW_OK)
    return status;
  char *text = copy(value);
  if (text == NULL)
    return no_memory();
  clear(config, slot);
  slot->text = text;
  config->text_size += size_of(text);
  return STW_OK;
}

/* Copies; on failure nothing has changed. */
static stw_status append(stw_config *config, struct stwi_config_slot *slot, const char *key,
                         const char *value) {
  struct stwi_config_item item = {.value = copy(value)};
  struct stwi_config_item *items = NULL;
  if (item.value != NULL && key != NULL)
    item.key = copy(key);
  if (item.value != NULL && (item.key != NULL) == (key != NULL))
    items = stwi_realloc(slot->items, (slot->count + 1) * sizeof *items);
  if (items == NULL) {
    wipe_free(item.key);
    wipe_free(item.value);
    return no_memory();
  }
  items[slot->count++] = item;
  slot->items = items;
  config->text_size += size_of(key) + size_of(value);
  return STW_OK;
}

static stw_status check_count(const struct stwi_config_slot *slot, const char *name) {
  if (slot->count < STWI_OPTION_ITEMS_MAX)
    return STW_OK;
  return stwi_error(STW_E_VALUE, "option %s has 64 items already; give fewer", name);
}

static stw_status set_list(stw_config *config, enum stwi_option_id id, const char *value) {
  struct stwi_config_slot *slot = &config->slots[id];
  struct stwi_config_slot made = {0};
  size_t removed = 0;
  for (size_t i = 0; i < slot->count; i++)
    removed += size_of(slot->items[i].value);
  stw_status status = stwi_judge(id, value);
  if (status == STW_OK)
    status = check_room(config, stwi_option_row(id)->name, removed, size_of(value));
  if (status == STW_OK)
    status = append(config, &made, NULL, value);
  if (status != STW_OK)
    return status;
  clear(config, slot);
  *slot = made;
  return STW_OK;
}

stw_status stw_config_set(stw_config *config, const char *name, const char *value) {
  enum stwi_option_id id;
  const stw_status status = find(config, name, value, &id);
  if (status != STW_OK)
    return status;
  const stw_option *option = stwi_option_row(id);
  if (is_scalar(option))
    return set_scalar(config, id, value);
  if (*value == '\0') {
    clear(config, &config->slots[id]);
    return STW_OK;
  }
  return option->type == STW_OPTION_LIST ? set_list(config, id, value) : wrong_call(id);
}

stw_status stw_config_add(stw_config *config, const char *name, const char *value) {
  enum stwi_option_id id;
  stw_status status = find(config, name, value, &id);
  if (status != STW_OK)
    return status;
  if (stwi_option_row(id)->type != STW_OPTION_LIST)
    return wrong_call(id);
  status = stwi_judge(id, value);
  if (status == STW_OK)
    status = check_count(&config->slots[id], name);
  if (status == STW_OK)
    status = check_room(config, name, 0, size_of(value));
  return status == STW_OK ? append(config, &config->slots[id], NULL, value) : status;
}

/* Header names are the same in any letter case; close codes have none. */
static struct stwi_config_item *find_item(const struct stwi_config_slot *slot, const char *key) {
  for (size_t i = 0; i < slot->count; i++)
    if (strcasecmp(slot->items[i].key, key) == 0)
      return &slot->items[i];
  return NULL;
}

static stw_status replace(stw_config *config, struct stwi_config_item *item, const char *name,
                          const char *value) {
  const stw_status status = check_room(config, name, size_of(item->value), size_of(value));
  if (status != STW_OK)
    return status;
  char *text = copy(value);
  if (text == NULL)
    return no_memory();
  config->text_size += size_of(text) - size_of(item->value);
  wipe_free(item->value);
  item->value = text;
  return STW_OK;
}

stw_status stw_config_put(stw_config *config, const char *name, const char *key,
                          const char *value) {
  enum stwi_option_id id;
  stw_status status = find(config, name, key == NULL ? NULL : value, &id);
  if (status != STW_OK)
    return status;
  if (stwi_option_row(id)->type != STW_OPTION_MAP)
    return wrong_call(id);
  status = stwi_judge_item(id, key, value);
  if (status != STW_OK)
    return status;
  struct stwi_config_slot *slot = &config->slots[id];
  struct stwi_config_item *item = find_item(slot, key);
  if (item != NULL)
    return replace(config, item, name, value);
  status = check_count(slot, name);
  if (status == STW_OK)
    status = check_room(config, name, 0, size_of(key) + size_of(value));
  return status == STW_OK ? append(config, slot, key, value) : status;
}

const char *stwi_config_text(const stw_config *config, enum stwi_option_id id) {
  const char *text = config->slots[id].text;
  return text == NULL ? stwi_option_row(id)->default_value : text;
}

const char *stw_config_get(const stw_config *config, const char *name) {
  enum stwi_option_id id;
  if (find(config, name, "", &id) != STW_OK || !is_scalar(stwi_option_row(id)))
    return NULL;
  return stwi_config_text(config, id);
}
