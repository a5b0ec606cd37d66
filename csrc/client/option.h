/* option.h: the option table.
 *
 * One row per option; the public walker, the docs, the bindings' keyword arguments and every check
 * read it.  Any thread.
 */
#ifndef STWI_CLIENT_OPTION_H
#define STWI_CLIENT_OPTION_H

#include <steadwire/config.h>

/* The order of the table, by subject. */
enum stwi_option_id {
  STWI_OPTION_URL,
  STWI_OPTION_NAME,
  STWI_OPTION_HEADERS,
  STWI_OPTION_SUBPROTOCOLS,
  STWI_OPTION_ORIGIN,
  STWI_OPTION_USER_AGENT,
  STWI_OPTION_CA_FILE,
  STWI_OPTION_CLIENT_CERT,
  STWI_OPTION_CLIENT_KEY,
  STWI_OPTION_SERVER_NAME,
  STWI_OPTION_INSECURE,
  STWI_OPTION_PROXY,
  STWI_OPTION_CREDENTIALS,
  STWI_OPTION_CREDENTIALS_TIMEOUT,
  STWI_OPTION_OPEN_TIMEOUT,
  STWI_OPTION_CLOSE_TIMEOUT,
  STWI_OPTION_CONNECT_TIMEOUT,
  STWI_OPTION_READY_WHEN,
  STWI_OPTION_READY_TIMEOUT,
  STWI_OPTION_HEARTBEAT,
  STWI_OPTION_HEARTBEAT_INTERVAL,
  STWI_OPTION_HEARTBEAT_TIMEOUT,
  STWI_OPTION_MAX_SILENCE,
  STWI_OPTION_STALE_ACTION,
  STWI_OPTION_RETRY_WINDOW,
  STWI_OPTION_RETRY_CAP,
  STWI_OPTION_HEDGE,
  STWI_OPTION_CAUSES,
  STWI_OPTION_GUARANTEE,
  STWI_OPTION_OUTBOX_MESSAGES,
  STWI_OPTION_OUTBOX_BYTES,
  STWI_OPTION_OUTBOX_OVERFLOW,
  STWI_OPTION_MAX_MESSAGE,
  STWI_OPTION_INBOUND_BUFFER,
  STWI_OPTION_INBOUND_OVERFLOW,
  STWI_OPTION_INBOUND_KEY,
  STWI_OPTION_TOTAL
};

/* Items of one LIST or MAP option. */
#define STWI_OPTION_ITEMS_MAX 64u

/* Lends the row of the table. */
const stw_option *stwi_option_row(enum stwi_option_id id);

/* E_OPTION: no option has this name; stw_last_error() names the nearest. */
stw_status stwi_option_find(const char *name, enum stwi_option_id *id);

#endif
