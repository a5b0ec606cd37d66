/* event.h: what a conn tells its host, and the words it uses.
 *
 * States, causes, proofs, message states and event kinds are one list each.  Bindings, docs and
 * diagrams are derived from them by the `stw_*_at` walkers.
 */
#ifndef STEADWIRE_EVENT_H
#define STEADWIRE_EVENT_H

#include <steadwire/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Handles: small values, never pointers.  A stale or foreign one answers STW_E_HANDLE. */
typedef struct stw_engine {
  uint64_t id;
} stw_engine;
typedef struct stw_mailbox {
  uint64_t id;
} stw_mailbox;
typedef struct stw_conn {
  uint64_t id;
} stw_conn;

/* Two lanes: order is promised within each, and what waits in the control lane goes first.
 * X(NAME, slug, meaning) */
#define STW_LANE_LIST(X)                                                                           \
  X(DATA, "data", "the usual lane")                                                                \
  X(CONTROL, "control", "urgent messages: ahead of every message of the data lane")

typedef enum stw_lane {
#define STW_X(name, slug, text) STW_LANE_##name,
  STW_LANE_LIST(STW_X)
#undef STW_X
      STW_LANE_COUNT
} stw_lane;

/* A message's id: `stream` is random per outbox and lane (its lowest bit is the lane at
 * admission), `number` counts admissions to that lane from 1.  Stable for the life of the message:
 * across links, across restarts with a store, and when it is moved to another place or lane. */
typedef struct stw_message_id {
  uint64_t stream;
  uint64_t number;
} stw_message_id;

/* X(NAME, slug, meaning) */
#define STW_STATE_LIST(X)                                                                          \
  X(IDLE, "idle", "made, never opened")                                                            \
  X(CONNECTING, "connecting", "a link is being dialled, logged in or resumed")                     \
  X(ONLINE, "online", "messages flow")                                                             \
  X(SUSPECT, "suspect", "the link is late: probed, while a second one is dialled")                 \
  X(MIGRATING, "migrating",                                                                        \
    "the server goes away: moving to a second link, the first still works")                        \
  X(WAITING, "waiting", "between two attempts, by the pace of the last cause")                     \
  X(OFFLINE, "offline", "the host has no network")                                                 \
  X(CLOSED, "closed", "the host closed it; final until opened again")                              \
  X(FAILED, "failed", "a cause that retrying cannot mend; see it for what to do")

typedef enum stw_state {
#define STW_X(name, slug, text) STW_STATE_##name,
  STW_STATE_LIST(STW_X)
#undef STW_X
      STW_STATE_COUNT
} stw_state;

/* The phases of one link, in their order.  X(NAME, slug, meaning) */
#define STW_PHASE_LIST(X)                                                                          \
  X(TOKEN, "token", "credentials asked of the host")                                               \
  X(DNS, "dns", "name being resolved")                                                             \
  X(TCP, "tcp", "TCP connecting, addresses raced (RFC 8305)")                                      \
  X(TLS, "tls", "TLS handshake")                                                                   \
  X(UPGRADE, "upgrade", "HTTP upgrade sent (RFC 6455 section 4)")                                  \
  X(AUTH, "auth", "login inside the transport (XMPP SASL)")                                        \
  X(RESUME, "resume", "claiming the session")                                                      \
  X(OPENING, "opening", "opening messages sent, waiting for ready_when")                           \
  X(UP, "up", "carries messages")                                                                  \
  X(CLOSING, "closing", "close handshake running")                                                 \
  X(DEAD, "dead", "over; has a cause")

typedef enum stw_phase {
#define STW_X(name, slug, text) STW_PHASE_##name,
  STW_PHASE_LIST(STW_X)
#undef STW_X
      STW_PHASE_COUNT
} stw_phase;

/* Evidence for a message, weakest first.  X(NAME, slug, meaning) */
#define STW_PROOF_LIST(X)                                                                          \
  X(NONE, "none", "no evidence yet")                                                               \
  X(STORED, "stored", "committed to the outbox's store")                                           \
  X(WRITTEN, "written", "its last byte was handed to the socket")                                  \
  X(RECEIVED, "received", "the peer's WebSocket layer has taken it: its PONG barrier came back")   \
  X(ACCEPTED, "accepted", "the peer's session layer has acknowledged it")                          \
  X(PROCESSED, "processed", "the peer's application has said so")

typedef enum stw_proof {
#define STW_X(name, slug, text) STW_PROOF_##name,
  STW_PROOF_LIST(STW_X)
#undef STW_X
      STW_PROOF_COUNT
} stw_proof;

/* X(NAME, slug, is_final, meaning) */
#define STW_MESSAGE_STATE_LIST(X)                                                                  \
  X(QUEUED, "queued", false, "waiting for its turn on a link")                                     \
  X(INFLIGHT, "inflight", false, "written, the wanted proof is not there yet")                     \
  X(HELD, "held", false, "kept back by the host")                                                  \
  X(SETTLED, "settled", true, "has the proof it wants")                                            \
  X(EXPIRED, "expired", true, "its ttl ended before it was written")                               \
  X(CANCELLED, "cancelled", true, "taken back by the host before it was written")                  \
  X(DROPPED, "dropped", true, "removed by the outbox_overflow policy or replaced by its key")      \
  X(DEAD, "dead", true, "refused by the peer link after link: a poison message")                   \
  X(UNKNOWN, "unknown", true, "bytes of it left and nobody can say whether they arrived")

typedef enum stw_message_state {
#define STW_X(name, slug, final, text) STW_MESSAGE_##name,
  STW_MESSAGE_STATE_LIST(STW_X)
#undef STW_X
      STW_MESSAGE_STATE_COUNT
} stw_message_state;

/* X(NAME, slug, meaning) */
#define STW_GUARANTEE_LIST(X)                                                                      \
  X(AT_LEAST_ONCE, "at_least_once", "replayed until proven; the peer may see it twice")            \
  X(AT_MOST_ONCE, "at_most_once", "never written twice; its fate may end as unknown")              \
  X(EXACTLY_ONCE, "exactly_once", "numbered and acknowledged: needs the session profile")

typedef enum stw_guarantee {
#define STW_X(name, slug, text) STW_##name,
  STW_GUARANTEE_LIST(STW_X)
#undef STW_X
      STW_GUARANTEE_COUNT
} stw_guarantee;

/* What a cause means for retrying.  X(NAME, slug, meaning) */
#define STW_CLASS_LIST(X)                                                                          \
  X(HOST, "host", "asked for by the host, or a plain step forward")                                \
  X(LOCAL, "local", "this machine or its network")                                                 \
  X(PATH, "path", "somewhere between us and the server")                                           \
  X(SERVER_PLANNED, "server_planned", "the server said that it goes away")                         \
  X(OVERLOAD, "overload", "the server has no room, or is not there")                               \
  X(AUTH, "auth", "credentials were not accepted")                                                 \
  X(PROTOCOL, "protocol", "the two ends do not understand each other")

typedef enum stw_class {
#define STW_X(name, slug, text) STW_CLASS_##name,
  STW_CLASS_LIST(STW_X)
#undef STW_X
      STW_CLASS_COUNT
} stw_class;

/* Why a state changed, a link ended or an attempt failed.
 * X(NAME, slug, CLASS, PACE, PERMANENCE, meaning, what to do)
 * PACE and PERMANENCE are read by core/cause.c: see there.  */
#define STW_CAUSE_LIST(X)                                                                          \
  X(REQUESTED, "requested", HOST, NOW, NEVER, "the host asked for it", "nothing")                  \
  X(READY, "ready", HOST, NOW, NEVER, "a link became ready", "nothing")                            \
  X(RECOVERED, "recovered", HOST, NOW, NEVER, "the suspected link answered: a false alarm",        \
    "nothing; many of these mean a slow peer or path")                                             \
  X(RETRY_DUE, "retry_due", HOST, NOW, NEVER, "the time of the next attempt came", "nothing")      \
  X(GOAWAY, "goaway", SERVER_PLANNED, WINDOW, NEVER, "the server asked us to move", "nothing")     \
  X(NET_UP, "net_up", LOCAL, NOW, NEVER, "the network came back", "nothing")                       \
  X(NET_DOWN, "net_down", LOCAL, NOW, NEVER, "the host lost its network",                          \
    "check the machine's network")                                                                 \
  X(IP_CHANGED, "ip_changed", LOCAL, NOW, NEVER, "the local address or route changed", "nothing")  \
  X(SUSPEND_RESUME, "suspend_resume", LOCAL, NOW, NEVER, "the machine slept", "nothing")           \
  X(HEARTBEAT_TIMEOUT, "heartbeat_timeout", PATH, NOW, NEVER,                                      \
    "the peer stopped answering: a zombie link",                                                   \
    "check NAT, proxy and load balancer idle timeouts on the path")                                \
  X(STALE, "stale", PATH, NOW, NEVER, "no message for max_silence although the link answers",      \
    "check the subscriptions; max_silence and stale_action set what happens")                      \
  X(IDLE_CUT_SUSPECTED, "idle_cut_suspected", PATH, NOW, NEVER,                                    \
    "the link died after an idle time that has killed links before",                               \
    "set heartbeat_interval below that time")                                                      \
  X(DNS_NXDOMAIN, "dns_nxdomain", PATH, WINDOW, NEVER, "the name does not exist",                  \
    "check the host name in url")                                                                  \
  X(DNS_TIMEOUT, "dns_timeout", PATH, WINDOW, NEVER, "the resolver did not answer in time",        \
    "check the machine's resolver")                                                                \
  X(DNS_SERVFAIL, "dns_servfail", PATH, WINDOW, NEVER, "the resolver could not answer",            \
    "check the machine's resolver")                                                                \
  X(TCP_REFUSED, "tcp_refused", OVERLOAD, WINDOW, NEVER, "nothing listens at this address",        \
    "check that the server runs and the port in url")                                              \
  X(TCP_TIMEOUT, "tcp_timeout", OVERLOAD, WINDOW_X4, NEVER, "no answer to the TCP connect",        \
    "check firewalls and the address in url")                                                      \
  X(TCP_RESET, "tcp_reset", PATH, WINDOW, NEVER, "connection reset before it was up",              \
    "check the server's log and any proxy between")                                                \
  X(NET_UNREACHABLE, "net_unreachable", LOCAL, WINDOW, NEVER, "no route to the server",            \
    "check the machine's network and routes")                                                      \
  X(PROXY_REFUSED, "proxy_refused", PATH, WINDOW, NEVER, "the HTTP proxy refused to connect us",   \
    "check the option proxy and the proxy's rules")                                                \
  X(PROXY_AUTH, "proxy_auth", AUTH, WINDOW, FIRST, "the HTTP proxy asks for credentials",          \
    "put user:password into the option proxy")                                                     \
  X(TLS_EXPIRED, "tls_expired", PROTOCOL, WINDOW_X4, FIRST,                                        \
    "the certificate is expired or not yet valid",                                                 \
    "renew the server's certificate; check this machine's clock")                                  \
  X(TLS_NAME, "tls_name", PROTOCOL, WINDOW_X4, FIRST, "the certificate is for another name",       \
    "use the name in the certificate, or set server_name")                                         \
  X(TLS_UNTRUSTED, "tls_untrusted", PROTOCOL, WINDOW_X4, FIRST,                                    \
    "the certificate's chain does not lead to a trusted CA",                                       \
    "set ca_file to the CA that signed the server's certificate")                                  \
  X(TLS_PROTOCOL, "tls_protocol", PROTOCOL, WINDOW_X4, FIRST,                                      \
    "no common TLS version or cipher, or the peer does not speak TLS",                             \
    "the server must offer TLS 1.2 or later on this port")                                         \
  X(TLS_ALERT, "tls_alert", PROTOCOL, WINDOW_X4, FIRST, "the server refused the TLS handshake",    \
    "check client_cert and the server's log")                                                      \
  X(TLS_TIMEOUT, "tls_timeout", OVERLOAD, OVERLOAD, NEVER, "the TLS handshake did not finish",     \
    "check the server's load; open_timeout bounds an attempt")                                     \
  X(HTTP_401, "http_401", AUTH, WINDOW, FRESH, "the server wants other credentials",               \
    "check the credentials in headers or those supplied")                                          \
  X(HTTP_403, "http_403", AUTH, WINDOW_X4, FIRST, "the server forbids this client",                \
    "check the account's rights and the option origin")                                            \
  X(HTTP_4XX, "http_4xx", PROTOCOL, WINDOW_X4, FIRST, "the server refused the request",            \
    "check the path and query of url")                                                             \
  X(HTTP_429, "http_429", OVERLOAD, OVERLOAD, NEVER, "too many requests", "nothing: paced")        \
  X(HTTP_5XX, "http_5xx", OVERLOAD, WINDOW, NEVER, "the server or its proxy is failing",           \
    "check the server; Retry-After is obeyed")                                                     \
  X(HTTP_REDIRECT, "http_redirect", PROTOCOL, WINDOW_X4, FIRST,                                    \
    "the server sent us elsewhere; redirects are not followed",                                    \
    "put the address it names into url")                                                           \
  X(UPGRADE_INVALID, "upgrade_invalid", PROTOCOL, WINDOW_X4, FIRST,                                \
    "the answer is no valid WebSocket upgrade (RFC 6455 section 4.1)",                             \
    "check that url leads to a WebSocket server")                                                  \
  X(UPGRADE_TIMEOUT, "upgrade_timeout", OVERLOAD, OVERLOAD, NEVER,                                 \
    "connected, but the upgrade was never answered",                                               \
    "check the server's load; open_timeout bounds an attempt")                                     \
  X(UPGRADE_EOF, "upgrade_eof", OVERLOAD, WINDOW, NEVER,                                           \
    "the connection ended before the upgrade was answered", "check the server's log")              \
  X(AUTH_FAILED, "auth_failed", AUTH, WINDOW, FRESH, "the login was refused",                      \
    "check the credentials")                                                                       \
  X(NO_MECHANISM, "no_mechanism", AUTH, WINDOW_X4, FIRST,                                          \
    "the server offers no way to log in that may be used",                                         \
    "see the detail for what it offers and what each would need")                                  \
  X(HOST_UNKNOWN, "host_unknown", PROTOCOL, WINDOW_X4, FIRST,                                      \
    "the server does not serve the domain of the address",                                         \
    "check the domain in url, and where its name leads")                                           \
  X(AUTH_EXPIRING, "auth_expiring", HOST, NOW, NEVER,                                              \
    "the credentials end soon: moving to a link with fresh ones", "nothing")                       \
  X(TOKEN_FAILED, "token_failed", AUTH, WINDOW, NEVER, "the host supplied no credentials in time", \
    "answer credentials_needed with stw_conn_supply within credentials_timeout")                   \
  X(READY_TIMEOUT, "ready_timeout", AUTH, WINDOW, NEVER,                                           \
    "ready_when did not match within ready_timeout",                                               \
    "check the opening messages and the pattern of ready_when")                                    \
  X(STREAM_ERROR, "stream_error", PROTOCOL, WINDOW, NEVER, "the XMPP stream ended with an error",  \
    "see the condition in the detail")                                                             \
  X(CLOSE_NORMAL, "close_normal", SERVER_PLANNED, WINDOW, NEVER,                                   \
    "closed with 1000, or the stream was closed", "nothing")                                       \
  X(GOING_AWAY, "going_away", SERVER_PLANNED, WINDOW, NEVER, "closed with 1001 or reset",          \
    "nothing")                                                                                     \
  X(RESTART, "restart", SERVER_PLANNED, WINDOW, NEVER,                                             \
    "closed with 1012 or system-shutdown: the server restarts",                                    \
    "nothing; a close reason r=<ms>;w=<ms> is obeyed")                                             \
  X(TRY_LATER, "try_later", OVERLOAD, OVERLOAD, NEVER,                                             \
    "closed with 1013 or resource-constraint: try again later",                                    \
    "nothing; a close reason r=<ms>;w=<ms> is obeyed")                                             \
  X(POLICY, "policy", AUTH, WINDOW_X4, FIRST,                                                      \
    "closed with 1008 or policy-violation: against the server's policy", "see the close reason")   \
  X(TOO_BIG, "too_big", PROTOCOL, WINDOW, NEVER,                                                   \
    "closed with 1009 or as over the stanza limit: a message was too big",                         \
    "send smaller messages")                                                                       \
  X(BAD_PAYLOAD, "bad_payload", PROTOCOL, WINDOW, NEVER,                                           \
    "closed with 1003, 1007 or not-well-formed: the server did not accept a message",              \
    "check what is sent")                                                                          \
  X(PEER_PROTOCOL, "peer_protocol", PROTOCOL, WINDOW_X4, NEVER,                                    \
    "closed with 1002, 1010 or bad-format: the server says that we broke the protocol",            \
    "check proxies between; report it with a recording")                                           \
  X(SERVER_ERROR, "server_error", OVERLOAD, WINDOW, NEVER,                                         \
    "closed with 1011, 1014 or internal-server-error", "check the server's log")                   \
  X(CLOSE_OTHER, "close_other", OVERLOAD, WINDOW, NEVER, "closed with another code",               \
    "map the code with the option causes")                                                         \
  X(REPLACED, "replaced", PROTOCOL, WINDOW, REPEATED,                                              \
    "closed with 4409 or conflict: another client uses the same identity",                         \
    "give each client its own login")                                                              \
  X(ABNORMAL_FIN, "abnormal_fin", PATH, NOW, NEVER, "the connection ended without a close frame",  \
    "check for crashes of the server and proxies that cut links")                                  \
  X(ABNORMAL_RST, "abnormal_rst", PATH, NOW, NEVER, "the connection was reset",                    \
    "check for crashes of the server and proxies that cut links")                                  \
  X(FRAME_ERROR, "frame_error", PROTOCOL, WINDOW, NEVER,                                           \
    "the server broke the WebSocket or XMPP protocol",                                             \
    "see the detail for the rule; report it to the server's authors")                              \
  X(INBOUND_TOO_BIG, "inbound_too_big", PROTOCOL, WINDOW, REPEATED,                                \
    "the server sent a message over max_message", "raise max_message")                             \
  X(SESSION_ERROR, "session_error", PROTOCOL, WINDOW, NEVER, "the session protocol was broken",    \
    "see the detail")                                                                              \
  X(RESUME_REFUSED, "resume_refused", PROTOCOL, NOW, NEVER,                                        \
    "the server has forgotten the session", "nothing; unproven messages are replayed")             \
  X(STORE_FAILED, "store_failed", LOCAL, NOW, NEVER, "the outbox file cannot be written",          \
    "see the detail; check the disk")                                                              \
  X(CONFIG, "config", LOCAL, NOW, ALWAYS, "a local setting cannot work", "see the detail")         \
  X(OVERLOAD_LOCAL, "overload_local", LOCAL, WINDOW, NEVER,                                        \
    "this process is out of descriptors or memory", "raise the limit the detail names")            \
  X(LOCAL_STOP, "local_stop", HOST, NOW, NEVER, "the engine was stopped", "nothing")               \
  X(SUPERSEDED, "superseded", HOST, NOW, NEVER, "another link of this conn was used", "nothing")

typedef enum stw_cause {
#define STW_X(name, slug, cls, pace, permanence, text, remedy) STW_CAUSE_##name,
  STW_CAUSE_LIST(STW_X)
#undef STW_X
      STW_CAUSE_COUNT
} stw_cause;

/* X(NAME, slug, meaning) */
#define STW_EVENT_LIST(X)                                                                          \
  X(STATE, "state", "the state changed")                                                           \
  X(MESSAGE, "message", "a message arrived")                                                       \
  X(PROOF, "proof", "messages up to a number have a proof")                                        \
  X(MESSAGE_ENDED, "message_ended", "one outbound message ended without the proof it wanted")      \
  X(REPLAY, "replay", "unproven messages are sent again on a new link")                            \
  X(GAP, "gap", "inbound messages are missing, or may be")                                         \
  X(PAUSED, "paused", "the host does not drain: reading from the socket has stopped")              \
  X(RESUMED, "resumed", "the host drains again: reading goes on")                                  \
  X(OUTBOX_ROOM, "outbox_room", "a full outbox has room again")                                    \
  X(NO_PONG, "no_pong", "the peer answers no PING: messages settle at written")                    \
  X(STALE, "stale", "no message for max_silence although the link answers")                        \
  X(CREDENTIALS_NEEDED, "credentials_needed", "answer with stw_conn_supply")                       \
  X(RETRY, "retry", "an attempt failed while others go on: why, and when the next one is due")     \
  X(STORE, "store", "the outbox file: recovered, replaced, full, failed or well again")            \
  X(DOWNGRADED, "downgraded", "the server does not speak steadwire.v1: the plain profile is used") \
  X(SESSION_STALE, "session_stale",                                                                \
    "the server has lost the session: a new one begins, what was inflight may arrive twice")       \
  X(CLOSED, "closed", "the conn has ended; its last event")

typedef enum stw_event_kind {
#define STW_X(name, slug, text) STW_EVENT_##name,
  STW_EVENT_LIST(STW_X)
#undef STW_X
      STW_EVENT_COUNT
} stw_event_kind;

/* Why inbound messages may be missing.  X(NAME, slug, meaning) */
#define STW_GAP_LIST(X)                                                                            \
  X(NEW_LINK, "new_link", "a new plain link: the server may have sent messages in between")        \
  X(OVERFLOW, "overflow", "messages were dropped by inbound_overflow")                             \
  X(REMOVED, "removed", "the server took them back before they were sent")                         \
  X(REPLAY_LOST, "replay_lost", "the server could not keep them until the session went on")        \
  X(SESSION_LOST, "session_lost", "the session was lost: how many is not known")

typedef enum stw_gap_reason {
#define STW_X(name, slug, text) STW_GAP_##name,
  STW_GAP_LIST(STW_X)
#undef STW_X
      STW_GAP_COUNT
} stw_gap_reason;

/* What has happened to the outbox's file.  X(NAME, slug, meaning) */
#define STW_STORE_LIST(X)                                                                          \
  X(OK, "ok", "messages are kept again")                                                           \
  X(RECOVERED, "recovered", "messages of an earlier process were found and will be sent")          \
  X(ADOPTED, "adopted", "messages of a process that has died were taken over")                     \
  X(MOVED_ASIDE, "moved_aside", "the file was damaged: kept under another name, a new one began")  \
  X(REWRITTEN, "rewritten", "writing failed once: everything was written to a new file")           \
  X(FULL, "full", "the disk is full: sends are refused until there is space")                      \
  X(FAILED, "failed", "the file cannot be written: sends are refused, what waits is in memory")

typedef enum stw_store_health {
#define STW_X(name, slug, text) STW_STORE_##name,
  STW_STORE_LIST(STW_X)
#undef STW_X
      STW_STORE_COUNT
} stw_store_health;

/* One event.  Lent by stw_mailbox_drain until the next drain of the same mailbox (pointers in it
 * too).  Fields are only ever added at the end, so an old binary reads what it knows. */
typedef struct stw_event {
  stw_event_kind kind;
  uint32_t link; /* generation of the link concerned, 0 if none */
  stw_conn conn;
  uint64_t at_ns; /* CLOCK_MONOTONIC when the engine saw it */
  union {
    struct {
      stw_state from, to;
      stw_cause cause;
      uint32_t attempt;                   /* failed attempts since the last stable link */
      uint64_t delay_ns;                  /* WAITING: until the next attempt */
      uint16_t close_code;                /* 0 if none */
      uint16_t http_status;               /* 0 if none */
      bool resumed;                       /* ONLINE: the session went on where it was */
      uint64_t phase_ns[STW_PHASE_COUNT]; /* ONLINE: time the link spent in each phase */
      const char *detail;                 /* sentence, never a secret; "" if none */
    } state;
    struct {
      const void *data;
      size_t size;
      bool is_text;
      bool is_replayed;  /* written on an earlier link already, which did not bring it */
      stw_lane lane;     /* of the session; DATA without one */
      stw_message_id id; /* number 0: the peer does not number its messages */
    } message;
    struct {
      stw_proof proof;
      stw_lane lane;
      uint64_t upto;    /* every number of the lane > after and <= upto has it, save those that
                           MESSAGE_ENDED named or will name: moved ones are reported one by one */
      uint64_t after;   /* numbers <= after keep what was said of them before: those that had no
                           such proof settled without it, for their peer could not give it */
      uint64_t settled; /* every number of the lane <= settled is settled or so named: it gets no
                           further proof, save that what was accepted may be processed */
    } proof;
    struct {
      stw_message_id id;
      stw_message_state state; /* SETTLED only for a message that was moved */
      stw_cause cause;
      const char *detail;
    } ended;
    struct {
      uint64_t messages, bytes;
    } replay;
    struct {
      stw_gap_reason reason;
      bool known; /* `messages` is the exact number missing */
      uint64_t messages;
      stw_lane lane;
      uint64_t from, to; /* of a session: the numbers that will never come; else 0 */
    } gap;
    struct {
      uint32_t attempt;
      stw_cause why;
      uint64_t deadline_ns; /* time left to answer */
    } credentials;
    struct {
      stw_cause cause;
      uint32_t attempt;
      uint64_t delay_ns;
      uint16_t close_code;
      uint16_t http_status;
      const char *detail;
    } retry;
    struct {
      uint64_t silence_ns;
    } stale;
    struct {
      stw_store_health health;
      uint64_t messages; /* RECOVERED, ADOPTED: how many */
      const char *detail;
    } store;
    struct {
      uint64_t messages; /* whose fate is not known: the option unknown_fate decides */
      const char *detail;
    } session_stale;
    struct {
      stw_cause cause;
      uint64_t undelivered; /* messages without the proof they wanted; list them before freeing */
      const char *detail;
    } closed;
  } u;
} stw_event;

/* One row of a list above. */
typedef struct stw_word {
  int value;
  const char *name;
  const char *text;
} stw_word;

/* Walkers: lend row `index`, NULL past the end.  Any thread. */
STW_API const stw_word *stw_state_at(size_t index);
STW_API const stw_word *stw_phase_at(size_t index);
STW_API const stw_word *stw_proof_at(size_t index);
STW_API const stw_word *stw_message_state_at(size_t index);
STW_API const stw_word *stw_guarantee_at(size_t index);
STW_API const stw_word *stw_class_at(size_t index);
STW_API const stw_word *stw_event_kind_at(size_t index);
STW_API const stw_word *stw_gap_reason_at(size_t index);
STW_API const stw_word *stw_lane_at(size_t index);
STW_API const stw_word *stw_store_health_at(size_t index);

typedef struct stw_cause_info {
  stw_cause cause;
  const char *name;
  stw_class cls;
  const char *text;
  const char *remedy;
} stw_cause_info;
STW_API const stw_cause_info *stw_cause_at(size_t index);

#ifdef __cplusplus
}
#endif
#endif
