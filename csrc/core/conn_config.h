/* conn_config.h: the parsed options of one conn, as the core reads them.
 *
 * Made by client/config from the option table; owned by the conn, which frees it.  Strings are
 * never NULL: "" means not set.
 */
#ifndef STWI_CORE_CONN_CONFIG_H
#define STWI_CORE_CONN_CONFIG_H

#include "core/input.h"

struct stwi_url {
  bool is_tls;
  uint16_t port;
  char *host;  /* without brackets */
  char *path;  /* with query, begins with "/" */
  char *shown; /* scheme://host:port/path for people: no userinfo, no query */
  char *key;   /* scheme://host:port: the endpoint's identity for budgets */
};

enum stwi_overflow {
  STWI_OVERFLOW_REJECT,
  STWI_OVERFLOW_DROP_OLDEST,
  STWI_OVERFLOW_DROP_NEWEST,
  STWI_OVERFLOW_COALESCE
};
enum stwi_inbound { STWI_INBOUND_PAUSE, STWI_INBOUND_DROP_OLDEST, STWI_INBOUND_LATEST_BY_KEY };
enum stwi_match_kind {
  STWI_MATCH_NONE,
  STWI_MATCH_HOST,
  STWI_MATCH_EQUALS,
  STWI_MATCH_PREFIX,
  STWI_MATCH_CONTAINS
};
enum stwi_key_kind { STWI_KEY_NONE, STWI_KEY_PREFIX, STWI_KEY_UNTIL };
enum stwi_stale_action { STWI_STALE_EVENT, STWI_STALE_OPENING, STWI_STALE_RELINK };

enum stwi_profile { STWI_PROFILE_PLAIN, STWI_PROFILE_SESSION };
enum stwi_unknown_fate { STWI_UNKNOWN_REPLAY, STWI_UNKNOWN_ASK, STWI_UNKNOWN_FAIL };

struct stwi_match {
  enum stwi_match_kind kind;
  char *text;
  size_t size;
};

struct stwi_code_class {
  uint16_t code;
  stw_class cls;
};

struct stwi_conn_config {
  char *name;
  struct stwi_url *urls;
  size_t url_count;
  char **headers; /* name, value, ..., NULL */
  char *subprotocols;
  char *ca_file, *client_cert, *client_key, *server_name, *proxy;
  bool is_insecure;
  uint64_t open_timeout_ns;  /* one attempt */
  uint64_t close_timeout_ns; /* default of close; bounds the close handshake */
  uint64_t heartbeat_interval_ns;
  uint64_t heartbeat_idle_ns;    /* of a link on which nobody talks; 0: no other */
  bool is_idle_learnt;           /* heartbeat_idle_interval = auto */
  bool has_heartbeat;            /* heartbeat = ping */
  uint64_t heartbeat_timeout_ns; /* fixed T_soft; 0: adaptive */
  uint64_t max_silence_ns;       /* 0: off */
  enum stwi_stale_action stale_action;
  uint64_t retry_window_ns, retry_cap_ns;
  bool has_hedge; /* hedge = auto */
  uint64_t outbox_messages, outbox_bytes;
  enum stwi_overflow outbox_overflow;
  stw_guarantee guarantee;
  enum stwi_profile profile;
  bool may_downgrade;
  enum stwi_unknown_fate unknown_fate;
  uint64_t dead_letters; /* parked messages kept besides held ones; the oldest go first */
  bool has_inbound_from; /* inbound_from was given: it goes before what the store says */
  uint64_t inbound_from[STW_LANE_COUNT];
  char *outbox_path; /* "" memory only; a folder ends with "/" */
  bool is_durable;   /* durability = durable; else process */
  uint64_t max_message;
  uint64_t inbound_buffer;
  enum stwi_inbound inbound_overflow;
  enum stwi_key_kind inbound_key_kind;
  uint32_t inbound_key_arg; /* PREFIX: bytes; UNTIL: the byte */
  struct stwi_match ready_when;
  uint64_t ready_timeout_ns;
  bool has_credentials; /* credentials = host */
  uint64_t credentials_timeout_ns;
  struct stwi_code_class *causes; /* user overrides by close code */
  size_t cause_count;
};

/* Gives every string that is NULL its "".  False without memory: free it as it is. */
bool stwi_conn_config_fill(struct stwi_conn_config *config);
void stwi_conn_config_free(struct stwi_conn_config *config); /* NULL is fine */

/* Parses ws:// or wss:// (RFC 6455 section 3).  Userinfo is refused: E_URL.  On failure *why is a
 * static sentence.  Copies. */
stw_status stwi_url_parse(const char *text, struct stwi_url *url, const char **why);
void stwi_url_fini(struct stwi_url *url);

#endif
