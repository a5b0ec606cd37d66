/* config.h: the option table and what it becomes. */
#ifndef STWI_CLIENT_CONFIG_H
#define STWI_CLIENT_CONFIG_H

#include <steadwire/config.h>

#include "core/conn_config.h"

/* Parses a whole config for the core: checks what excludes one another, resolves defaults.
 * *out is the caller's (stwi_conn_config_free).  E_VALUE (also: no url), E_MEMORY; the sentence is
 * in stw_last_error(). */
stw_status stwi_config_build(const stw_config *config, struct stwi_conn_config **out);

#endif
