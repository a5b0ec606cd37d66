/* conn.h: engines, mailboxes and conns.
 *
 * One engine thread serves many conns.  A host sends through a conn and collects events from a
 * mailbox, in batches, when the mailbox's one descriptor is readable.  There are no callbacks.
 * Every function here may be called from any thread unless its comment says otherwise; none waits
 * for the network.  After fork() every handle made before it answers E_FORKED in the child.
 */
#ifndef STEADWIRE_CONN_H
#define STEADWIRE_CONN_H

#include <steadwire/config.h>
#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Starts an engine: one thread, one loop.  E_MEMORY, E_SYSTEM (thread or descriptors). */
STW_API stw_status stw_engine_new(stw_engine *engine);

/* Stops the engine and joins its thread; its conns end with cause local_stop (their CLOSED events
 * stay in the mailboxes).  Bounded by 2 s.  E_HANDLE, E_FORKED. Not from two threads at once. */
STW_API stw_status stw_engine_free(stw_engine engine);

typedef enum stw_network { STW_NETWORK_UP, STW_NETWORK_DOWN, STW_NETWORK_CHANGED } stw_network;

/* Tells every conn of the engine what the host knows of the network: UP ends waits that budgets
 * allow to end, CHANGED has the present link asked while another is dialled, DOWN keeps links and
 * messages and tries again by itself after 30 s at the latest.  On Linux the engine notices by
 * itself what happens to links, addresses, routes and sleep (rtnetlink(7), CLOCK_BOOTTIME) and acts
 * where the path of a conn's own socket is concerned; this call is for what a host knows better.
 * Four hints at once and four a second act on a conn; of more the last one does.  Any thread.
 * E_ARGUMENT, E_HANDLE, E_FORKED, E_MEMORY, E_CLOSED. */
STW_API stw_status stw_engine_network(stw_engine engine, stw_network what);

/* Makes a mailbox.  E_MEMORY, E_SYSTEM (no descriptor). */
STW_API stw_status stw_mailbox_new(stw_mailbox *mailbox);

/* Frees a mailbox; lent events end.  Conns that use it are freed too (as stw_conn_free). */
STW_API stw_status stw_mailbox_free(stw_mailbox mailbox);

/* The descriptor to poll for reading; readable exactly while events wait.  Never read, write or
 * close it.  Negative: a stw_status. */
STW_API int stw_mailbox_fd(stw_mailbox mailbox);

/* Takes up to `max` events: `events[i]` are lent until the next drain or the mailbox's end.
 * *count may be 0: wake-ups can be spurious.  One thread at a time: E_BUSY.  E_HANDLE, E_FORKED. */
STW_API stw_status stw_mailbox_drain(stw_mailbox mailbox, const stw_event **events, size_t max,
                                     size_t *count);

/* Waits until events are there or `timeout_ms` is over (negative: for ever).
 * OK, E_TIMEOUT, E_INTERRUPTED (a signal), E_HANDLE, E_FORKED. */
STW_API stw_status stw_mailbox_wait(stw_mailbox mailbox, int64_t timeout_ms);

/* Opens a conn: copies `config`, starts dialling.  Never blocks without the option outbox; with it
 * the file is opened, checked and read here: some ms, and about a second per 100,000 messages.
 * E_VALUE (options that exclude one another, no url), E_HANDLE, E_FORKED, E_MEMORY; with outbox:
 * E_STORE, E_LOCKED (names the holder's pid), E_FORMAT.  A damaged file is no error: it is moved
 * aside, a new one begins, and the event store says so. */
STW_API stw_status stw_conn_open(stw_engine engine, stw_mailbox mailbox, const stw_config *config,
                                 stw_conn *conn);

/* Opens a conn again that is CLOSED or FAILED; the outbox is kept.  E_STATE in any other state. */
STW_API stw_status stw_conn_reopen(stw_conn conn);

typedef struct stw_send_options {
  size_t struct_size; /* sizeof(stw_send_options) */
  bool is_text;       /* UTF-8 is the caller's duty; the peer closes with 1007 otherwise */
  stw_guarantee guarantee;
  uint64_t ttl_ms; /* 0: for ever */
  const void *key; /* a later message with the same key replaces this one while queued */
  size_t key_size; /* 0: no key; at most 255 */
  stw_lane lane;
} stw_send_options;

typedef struct stw_payload {
  const void *data;
  size_t size;
} stw_payload;

/* Queues a message.  Copies `data`.  Never blocks.  `options` NULL: binary, the conn's guarantee.
 * `id` may be NULL.
 * OK           taken: its fate arrives as PROOF or MESSAGE_ENDED
 * E_FULL       at outbox_messages or outbox_bytes; wait for OUTBOX_ROOM
 * E_TOO_BIG    over max_message       E_GUARANTEE  not with this profile
 * E_CLOSED     closing, closed or failed   E_HANDLE, E_FORKED, E_ARGUMENT, E_MEMORY */
STW_API stw_status stw_conn_send(stw_conn conn, const void *data, size_t size,
                                 const stw_send_options *options, stw_message_id *id);

/* Queues `count` messages with the same options, in order, as stw_conn_send each but with one
 * lock.  *taken says how many were; with an error they are the first ones.  `first` (may be NULL)
 * gets the id of the first; the others follow without a hole. */
STW_API stw_status stw_conn_send_many(stw_conn conn, const stw_payload *payloads, size_t count,
                                      const stw_send_options *options, size_t *taken,
                                      stw_message_id *first);

/* Says that every inbound message of `lane` up to `number` (of its id) has taken effect, so that
 * the peer need not keep it: the proof processed there.  Cumulative; a lower number than before
 * does nothing.  For exactly once across a crash of the host, commit the number together with the
 * effect and pass it back with the option inbound_from.
 * E_ARGUMENT (no such lane, or a number that has not arrived), E_CLOSED, E_HANDLE, E_FORKED. */
STW_API stw_status stw_conn_processed(stw_conn conn, stw_lane lane, uint64_t number);

/* Closes: refuses new messages, goes on until every message has its proof or `timeout_ms` is over
 * (0: at once), then the close handshake.  CLOSED is the last event.  E_CLOSED if it is closed. */
STW_API stw_status stw_conn_close(stw_conn conn, uint64_t timeout_ms);

/* Frees the handle; a conn still open is cut at once.  No event of it arrives any more. */
STW_API stw_status stw_conn_free(stw_conn conn);

/* Ends a wait between attempts now (within the attempt budget); harmless in other states. */
STW_API stw_status stw_conn_kick(stw_conn conn);

/* Sets (or with data NULL removes) the opening message `key`: sent by the engine itself first on
 * every link that did not resume, in order of first setting; sent at once when online.  Copies.
 * E_TOO_BIG, E_ARGUMENT (key empty or over 255 bytes), E_CLOSED. */
STW_API stw_status stw_conn_opening(stw_conn conn, const char *key, const void *data, size_t size,
                                    bool is_text);

/* Says that the server has accepted the opening (ready_when = "host").  E_CLOSED. */
STW_API stw_status stw_conn_ready(stw_conn conn);

/* The answer to CREDENTIALS_NEEDED, or new credentials ahead of need.  All copied, each may be
 * NULL.  Names and values are checked as in headers. E_URL, E_CLOSED. */
typedef struct stw_credentials {
  size_t struct_size;
  const char *url;            /* replaces the url of the next attempts */
  const char *token;          /* sent as "Authorization: Bearer <token>" */
  const char *const *headers; /* name, value, name, value, ..., NULL */
  uint64_t valid_ms;          /* 0: until refused */
} stw_credentials;
STW_API stw_status stw_conn_supply(stw_conn conn, const stw_credentials *credentials);

/* A consistent look at a conn.  Strings are copied into the struct. */
typedef struct stw_conn_view {
  size_t struct_size;
  stw_state state;
  bool is_closing;
  stw_cause cause; /* of the last transition */
  uint32_t attempt;
  uint32_t link;            /* generation of the active link, 0 if none */
  uint64_t since_ns;        /* CLOCK_MONOTONIC of the last transition */
  uint64_t next_attempt_ns; /* CLOCK_MONOTONIC, 0 unless WAITING */
  uint64_t rtt_ns;          /* smoothed, 0 until measured */
  uint64_t outbox_messages, outbox_bytes;
  stw_message_id stream;  /* of the data lane; number: the last admitted one */
  uint16_t close_code;    /* of the last link that ended, 0 if none */
  uint16_t http_status;   /* of the last attempt that failed, 0 if none */
  char detail[160];       /* sentence about the last cause */
  char subprotocol[64];   /* chosen by the server on the active link */
  char endpoint[160];     /* URL in use, without userinfo and query */
  stw_message_id control; /* of the control lane; number: the last admitted one */
  uint64_t outbox_parked; /* messages held, dead or of unknown fate */
  bool has_session;       /* the active link speaks steadwire.v1 */
  bool has_store;         /* the outbox has a file, and it is well */
} stw_conn_view;
STW_API stw_status stw_conn_look(stw_conn conn, stw_conn_view *view);

#ifdef __cplusplus
}
#endif
#endif
