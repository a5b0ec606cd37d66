/* config_inside.h: what a stw_config holds, for the files that build from it. */
#ifndef STWI_CLIENT_CONFIG_INSIDE_H
#define STWI_CLIENT_CONFIG_INSIDE_H

#include <steadwire/config.h>

#include "client/option.h"

/* All text of one config, terminators included. */
#define STWI_CONFIG_TEXT_MAX 65536u

struct stwi_config_item {
  char *key; /* NULL in a LIST */
  char *value;
};

struct stwi_config_slot {
  char *text; /* of a scalar; NULL: the default */
  struct stwi_config_item *items;
  size_t count;
};

struct stw_config {
  size_t text_size; /* of everything in the slots */
  struct stwi_config_slot slots[STWI_OPTION_TOTAL];
};

/* Lends the present text of a scalar, its default if it was not set. */
const char *stwi_config_text(const stw_config *config, enum stwi_option_id id);

#endif
