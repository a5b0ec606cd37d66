/* input.h: the only words that go into the core.
 *
 * client/ turns host calls, io/ turns what the world does into inputs; `stwi_core_step` takes them
 * in batches together with the time.  Everything pointed to is borrowed for the step, except
 * where a comment says takes.
 */
#ifndef STWI_CORE_INPUT_H
#define STWI_CORE_INPUT_H

#include <steadwire/conn.h>
#include <steadwire/event.h>
#include <steadwire/outbox.h>

struct stwi_chunk;
struct stwi_element;
struct stwi_conn_config;

/* Nanoseconds of CLOCK_MONOTONIC (or of virtual time). */
typedef uint64_t stwi_time;
#define STWI_NEVER UINT64_MAX
static inline stwi_time stwi_earlier(stwi_time a, stwi_time b) {
  return a < b ? a : b;
}
#define STWI_US 1000ull
#define STWI_MS 1000000ull
#define STWI_S 1000000000ull

enum stwi_input_kind {
  /* from the host */
  STWI_IN_OPEN, /* a new conn in slot `conn`; takes u.open.config */
  STWI_IN_REOPEN,
  STWI_IN_CLOSE,  /* u.close.deadline */
  STWI_IN_FORGET, /* the slot is free when its links have all said DOWN */
  STWI_IN_KICK,
  STWI_IN_SUBMIT,  /* takes u.submit.chunks: admitted messages */
  STWI_IN_OPENING, /* u.opening */
  STWI_IN_HOST_READY,
  STWI_IN_SUPPLY,    /* u.supply */
  STWI_IN_INBOUND,   /* u.inbound.is_full: the mailbox has no room / has room again */
  STWI_IN_EDIT,      /* u.edit: HOLD, CANCEL; moves come as messages of u.submit */
  STWI_IN_PROCESSED, /* u.processed: the host has processed inbound messages */
  /* from the store of a conn */
  STWI_IN_STORED, /* u.stored: what is committed, or how the store is */
  STWI_IN_STOP,   /* the engine stops: every conn ends with local_stop */
  /* from the machine, for all conns (conn ignored) */
  STWI_IN_NETWORK, /* u.network: the host says so */
  STWI_IN_NOTICED, /* an address, a route or a carrier has come: who lacked a network tries now */
  STWI_IN_WAKE,    /* the machine slept */
  STWI_IN_STALLED, /* this process did not run for u.stalled.for_ns: not held against peers */
  /* from a link (conn, link) */
  STWI_IN_PHASE,    /* u.phase: the link entered this phase (DNS, TCP, TLS, UPGRADE) */
  STWI_IN_READY,    /* transport, TLS and upgrade done; u.ready */
  STWI_IN_BYTES,    /* u.bytes */
  STWI_IN_ELEMENT,  /* u.element: a first-level element of the XMPP stream, in place of BYTES */
  STWI_IN_WRITABLE, /* everything of the last WRITE effect is in the socket; more may be written */
  STWI_IN_LOOKED,   /* u.looked: the answer to LOOK */
  STWI_IN_PATH,     /* u.network: the machine's network changed; the link's own path leads where it
                       led (UP), from another address (CHANGED), nowhere (DOWN) */
  STWI_IN_DOWN,     /* the link is over; the last input of a link, exactly once; u.down */
  /* end of a loop turn: due timers run, dirty conns write */
  STWI_IN_TURN
};

/* What a client must not forget of a session. */
struct stwi_session_saved {
  uint8_t cid[16];
  uint64_t incarnation; /* of the server's memory, as of the last WELCOME */
  bool is_welcomed;     /* `incarnation` and `token` are set */
  uint8_t token[32];
  uint64_t processed[STW_LANE_COUNT]; /* inbound: by the host */
  /* Outbound: since the store was opened and until WELCOME, the next number as it was found, over
   * as many processes as that takes; 0: WELCOME came.  A server that has this number knows messages
   * that the store has lost. */
  uint64_t found_next[STW_LANE_COUNT];
};

/* What a conn begins with: read from its store, or nothing but a fresh session. */
struct stwi_restored {
  bool has_store;
  bool is_unclean;           /* the last user of the store did not close it */
  bool may_lag;              /* ... and its last commits may be missing (level process) */
  struct stwi_chunk *chunks; /* messages, by number within each lane */
  struct stwi_chunk *parked; /* oldest first */
  uint64_t last_number[STW_LANE_COUNT]; /* highest ever given */
  uint64_t adopted;                     /* messages among them that belonged to other files */
  struct stwi_session_saved session;    /* its cid is always set */
};

struct stwi_input {
  enum stwi_input_kind kind;
  uint32_t conn; /* slot */
  uint32_t link; /* generation */
  union {
    struct {
      struct stwi_conn_config *config;
      uint64_t stream; /* random, or the store's: first half of every message id, lowest bit 0 */
      struct stwi_restored *restored; /* borrowed, its chunks taken; NULL: nothing kept */
      uint64_t seed;                  /* random: jitter and masks of this conn */
      stw_conn handle;                /* goes into events */
    } open;
    struct {
      stwi_time deadline;
    } close;
    struct {
      struct stwi_chunk *chunks;
    } submit;
    struct {
      const char *key;
      const void *data; /* NULL removes */
      size_t size;
      bool is_text;
    } opening;
    struct {
      const char *url;            /* NULL keeps */
      const char *token;          /* NULL keeps */
      const char *const *headers; /* NULL keeps */
      uint64_t valid_ms;
    } supply;
    struct {
      bool is_full;
    } inbound;
    struct {
      stw_message_id id;
      stw_edit edit;
    } edit;
    struct {
      stw_lane lane;
      uint64_t number;
    } processed;
    struct {
      uint64_t serial;               /* every change up to it is committed */
      uint64_t upto[STW_LANE_COUNT]; /* every message of the lane up to it is */
      stw_store_health health;       /* as of now */
      bool wants_all;     /* a new file was begun: PUT and PARK everything again, and the session */
      const char *detail; /* about health, when it changed; else NULL */
    } stored;
    struct {
      stw_network what;
    } network;
    struct {
      uint64_t for_ns;
    } stalled;
    struct {
      stw_phase phase;
    } phase;
    struct {
      const char *subprotocol; /* "" if none was chosen */
      uint64_t network; /* the same for every link that leaves by the same network, and for few
                           others; 0: not known */
      /* XMPP over TLS: what SCRAM's PLUS forms bind to (RFC 9266, RFC 5929); NULL: none. */
      const char *binding_type; /* "tls-exporter", "tls-unique" */
      const uint8_t *binding;
      size_t binding_size;
    } ready;
    struct {
      const uint8_t *data;
      size_t size;
    } bytes;
    const struct stwi_element *element; /* core/xmpp/element.h */
    struct {
      bool is_unacked;     /* bytes were sent that the peer's kernel has not acknowledged */
      uint64_t silence_ns; /* since it last acknowledged anything */
    } looked;
    struct {
      stw_cause cause;         /* as seen by the transport: dns_*, tcp_*, tls_*, http_*, upgrade_*,
                                  abnormal_*; or CONFIG, OVERLOAD_LOCAL */
      uint16_t http_status;    /* 0 if none */
      uint64_t retry_after_ms; /* from Retry-After, 0 if none */
      const char *detail;      /* sentence, no secrets */
    } down;
  } u;
};

#endif
