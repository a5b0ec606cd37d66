/* config.h: how a conn is set up: one option table, walked by all faces. */
#ifndef STEADWIRE_CONFIG_H
#define STEADWIRE_CONFIG_H

#include <steadwire/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct stw_config stw_config;

typedef enum stw_option_type {
  STW_OPTION_TEXT,
  STW_OPTION_DURATION, /* "15" (seconds), "1.5s", "250ms", "2min", "1h" */
  STW_OPTION_BYTES,    /* "65536", "64KiB", "16MiB", "1GiB" */
  STW_OPTION_COUNT,
  STW_OPTION_BOOL,   /* "true" / "false" */
  STW_OPTION_CHOICE, /* one of `range`, separated by " | " */
  STW_OPTION_LIST,   /* stw_config_add appends; stw_config_set makes it one item long */
  STW_OPTION_MAP     /* stw_config_put sets one item */
} stw_option_type;

typedef struct stw_option {
  const char *name;
  stw_option_type type;
  const char *unit;          /* "" where there is none */
  const char *default_value; /* in the text form stw_config_set takes */
  const char *range;         /* for people: "100ms .. 1h", or the choices */
  const char *text;          /* one sentence or two */
  bool is_secret;            /* never shown by errors, telemetry or dumps */
  bool is_face;              /* used by the Python and Lua faces; the engine only checks it */
} stw_option;

/* Lends row `index` of the option table, NULL past its end.  Any thread. */
STW_API const stw_option *stw_option_at(size_t index);

/* A config with every option at its default; NULL without memory.  Free with stw_config_free.
 * A config belongs to one thread at a time. */
STW_API stw_config *stw_config_new(void);
STW_API void stw_config_free(stw_config *config); /* NULL is fine */

/* Sets option `name` from text.  Copies.
 * E_OPTION no such option (stw_last_error names the nearest), E_VALUE malformed or out of range,
 * E_URL forbidden characters or scheme, E_MEMORY. */
STW_API stw_status stw_config_set(stw_config *config, const char *name, const char *value);

/* Appends to a LIST option (url, subprotocols). Errors as stw_config_set. */
STW_API stw_status stw_config_add(stw_config *config, const char *name, const char *value);

/* Sets one item of a MAP option (headers, causes).  Errors as stw_config_set. */
STW_API stw_status stw_config_put(stw_config *config, const char *name, const char *key,
                                  const char *value);

/* Lends the present text of a scalar option, NULL if there is no such scalar option. */
STW_API const char *stw_config_get(const stw_config *config, const char *name);

#ifdef __cplusplus
}
#endif
#endif
