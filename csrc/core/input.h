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

struct stwi_chunk;
struct stwi_conn_config;

/* Nanoseconds of CLOCK_MONOTONIC (or of virtual time). */
typedef uint64_t stwi_time;
#define STWI_NEVER UINT64_MAX
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
  STWI_IN_CANCEL,  /* u.cancel.number */
  STWI_IN_OPENING, /* u.opening */
  STWI_IN_HOST_READY,
  STWI_IN_SUPPLY,  /* u.supply */
  STWI_IN_INBOUND, /* u.inbound.is_full: the mailbox has no room / has room again */
  STWI_IN_STOP,    /* the engine stops: every conn ends with local_stop */
  /* from the machine, for all conns (conn ignored) */
  STWI_IN_NETWORK, /* u.network */
  STWI_IN_WAKE,    /* the machine slept */
  STWI_IN_STALLED, /* this process did not run for u.stalled.for_ns: not held against peers */
  /* from a link (conn, link) */
  STWI_IN_PHASE,    /* u.phase: the link entered this phase (DNS, TCP, TLS, UPGRADE) */
  STWI_IN_READY,    /* transport, TLS and upgrade done; u.ready */
  STWI_IN_BYTES,    /* u.bytes */
  STWI_IN_WRITABLE, /* everything of the last WRITE effect is in the socket; more may be written */
  STWI_IN_DOWN,     /* the link is over; the last input of a link, exactly once; u.down */
  /* end of a loop turn: due timers run, dirty conns write */
  STWI_IN_TURN
};

struct stwi_input {
  enum stwi_input_kind kind;
  uint32_t conn; /* slot */
  uint32_t link; /* generation */
  union {
    struct {
      struct stwi_conn_config *config;
      uint64_t stream; /* random: first half of every message id */
      uint64_t seed;   /* random: jitter and masks of this conn */
      stw_conn handle; /* goes into events */
    } open;
    struct {
      stwi_time deadline;
    } close;
    struct {
      struct stwi_chunk *chunks;
    } submit;
    struct {
      uint64_t number;
    } cancel;
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
    } ready;
    struct {
      const uint8_t *data;
      size_t size;
    } bytes;
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
