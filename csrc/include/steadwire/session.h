/* session.h: the server's side of steadwire.v1 (docs/protocol.md), without sockets and clocks.
 *
 * One object per client session (cid).  It outlives links: each new link of the client opens it
 * again.  The host moves bytes and keeps the state:
 *
 *   1. the first message of a link is a HELLO: stw_hello_read tells whose
 *   2. the host has the live object of that cid, or makes one and fills it from its store:
 *      stw_session_load, stw_session_restore for each kept message, ascending
 *   3. stw_session_open judges the HELLO.  Taken: the host saves (stw_session_save) before it
 *      writes the first frame of stw_session_take, so that a token that a client holds is never
 *      unknown to the store.  Refused: stw_refusal_write, and the object is as it was
 *   4. stw_session_receive for each further message, stw_session_take until it has none, again
 *      after each call that may have something to say, and at stw_session_deadline
 *
 * The newest link wins: opening fences the link before it, whose frames are refused from then on
 * (E_STATE, close it with 4409).  A host that fails to commit what it was given frees the object
 * and loads it again from its store: the client sends again what was never accepted.
 *
 * Times are nanoseconds of any clock that does not go back.  Owner only: one thread at a time.
 */
#ifndef STEADWIRE_SESSION_H
#define STEADWIRE_SESSION_H

#include <steadwire/event.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STW_CID_BYTES 16u
#define STW_SESSION_RANDOM_BYTES 48u    /* session id, then token */
#define STW_SESSION_PRINCIPAL_MAX 255u  /* bytes */
#define STW_SESSION_STATE_MAX 512u      /* bytes of stw_session_save */
#define STW_SESSION_CLOSE_TEXT_MAX 123u /* bytes; longer ones are cut */
#define STW_SESSION_REFUSAL_MAX 640u    /* bytes of stw_refusal_write */
#define STW_SESSION_NEVER UINT64_MAX

typedef struct stw_session stw_session;

typedef struct stw_session_options { /* 0 and NULL: the default in brackets */
  size_t struct_size;
  uint64_t ring_messages;   /* kept for the client, each lane [10000] */
  uint64_t ring_bytes;      /* likewise [16 MiB] */
  uint64_t window_messages; /* the client may have unacknowledged [1024] */
  uint64_t window_bytes;    /* likewise [4 MiB] */
  uint64_t message_max;     /* largest message, both ways [1 MiB], at most 1 GiB */
  uint64_t part_bytes;      /* larger messages go out in pieces of this [64 KiB] */
  uint64_t idle_ms;         /* told to the client: silence it may expect [0: not told] */
  uint64_t ring_ms;         /* told: how long messages are kept for it [120000] */
  uint64_t watermark_ms;    /* told: how long its cursor is kept [86400000] */
  uint64_t ack_messages;    /* acknowledged after so many [32], */
  uint64_t ack_bytes;       /* so many bytes [64 KiB] */
  uint64_t ack_ms;          /* or so long [50]; the control lane at once */
  bool accepts_later;       /* accepted is what stw_session_accept says, not what was received */
  bool says_processed;      /* the host calls stw_session_processed; clients may wait for it */
  bool refuses_when_full;   /* a full ring refuses (E_FULL); else its oldest give way as a gap */
  bool takes_optimistic;    /* clients may send DATA right behind their HELLO */
  const char *server;       /* name told to the client [""]; copied, at most 64 bytes */
} stw_session_options;

typedef enum stw_refusal {
  STW_REFUSAL_NONE = 0,
  STW_REFUSAL_STALE = 1,   /* this store does not know the session: the client begins another */
  STW_REFUSAL_VERSION = 2, /* no common version */
  STW_REFUSAL_AUTH = 3,    /* no token, a wrong one, or another principal's */
  STW_REFUSAL_BUSY = 4     /* the host's own: try again later */
} stw_refusal;

/* What a HELLO says; texts are lent from its bytes. */
typedef struct stw_hello {
  size_t struct_size;
  uint8_t cid[STW_CID_BYTES];
  bool has_token, has_incarnation;
  uint64_t incarnation;
  uint64_t received[STW_LANE_COUNT];  /* the client has everything up to these numbers */
  uint64_t processed[STW_LANE_COUNT]; /* and has worked through everything up to these */
  uint64_t lowest[STW_LANE_COUNT], next[STW_LANE_COUNT]; /* of what it sends: may come, not given */
  const char *auth; /* credentials for the host to judge; not terminated */
  size_t auth_size;
} stw_hello;

/* Reads the first message of a link.  E_PROTOCOL: no HELLO, or a malformed one; *close_code is what
 * to close the link with. */
STW_API stw_status stw_hello_read(const void *data, size_t size, stw_hello *hello,
                                  uint32_t *close_code);

/* Writes the REFUSE for a HELLO to `out` (STW_SESSION_REFUSAL_MAX bytes) and its size to *size.
 * After STALE the link stays open for a second HELLO, after others it is closed. */
STW_API stw_status stw_refusal_write(stw_refusal refusal, const char *text, void *out,
                                     size_t *size);

/* A session that nobody has opened.  `options` NULL: defaults.  NULL: E_MEMORY or E_ARGUMENT (an
 * option beyond its range), by stw_last_error. */
STW_API stw_session *stw_session_new(const stw_session_options *options);
STW_API void stw_session_free(stw_session *session); /* NULL is allowed */

/* ---- what the host's store keeps ---- */

/* Copies the small state to `out` (STW_SESSION_STATE_MAX bytes): accepted and processed numbers of
 * both directions, tokens, principal.  Not the kept messages.  E_STATE: never opened. */
STW_API stw_status stw_session_save(const stw_session *session, void *out, size_t *size);
/* Fills a session nobody has opened.  E_STATE (opened or loaded before), E_FORMAT. */
STW_API stw_status stw_session_load(stw_session *session, const void *data, size_t size);
/* Adds a kept message after stw_session_load, ascending in its lane; copies it.  Numbers left out
 * will be a gap; those the client has worked through are passed over; beyond the ring's bounds the
 * oldest give way.  E_STATE (opened, or not ascending), E_TOO_BIG, E_MEMORY. */
STW_API stw_status stw_session_restore(stw_session *session, stw_lane lane, uint64_t number,
                                       const void *data, size_t size, bool is_text);

/* ---- links ---- */

typedef struct stw_session_claim {
  size_t struct_size;
  const void *hello; /* the message that stw_hello_read took; borrowed */
  size_t hello_size;
  const char *principal; /* who the host says this is; "" or NULL: nobody.  A session is its first
                            principal's; a host that wants no names in its store gives a digest */
  uint64_t incarnation;  /* of the host's store: changes when the store has lost sessions */
  uint8_t random[STW_SESSION_RANDOM_BYTES]; /* fresh, from the system */
  bool may_lack_token;  /* the host vouches for a client that has lost its token */
  const char *location; /* where the client should come back to; "" or NULL: not told */
} stw_session_claim;

/* Judges a HELLO.  With STW_REFUSAL_NONE the link is open under the number *link, the link before
 * it is fenced, and WELCOME, gaps and replays wait for stw_session_take.  Otherwise nothing has
 * changed; stw_last_error says why (for the host's log: it may name what an attacker should not
 * know).  E_PROTOCOL (malformed), E_ARGUMENT (another cid's; a principal too long), E_MEMORY. */
STW_API stw_status stw_session_open(stw_session *session, const stw_session_claim *claim,
                                    uint64_t now, uint32_t *link, stw_refusal *refusal);

/* The link is gone: what was half received on it is dropped.  A fenced link's end changes nothing.
 */
STW_API void stw_session_lost(stw_session *session, uint32_t link);

typedef enum stw_session_item_kind {
  STW_SESSION_NOTHING,  /* the frame was for the session alone */
  STW_SESSION_MESSAGE,  /* u.message */
  STW_SESSION_GAP,      /* u.gap: messages that will never come */
  STW_SESSION_PROOF,    /* u.proof: the client has more than before; the store may forget it */
  STW_SESSION_REJECTED, /* u.rejected: the client will never take this message */
  STW_SESSION_AUTH,     /* u.text: new credentials; answer with stw_session_auth */
  STW_SESSION_CLOSED    /* u.text: the client's last frame on this link */
} stw_session_item_kind;

typedef struct stw_session_item {
  stw_session_item_kind kind;
  uint32_t close_code; /* of a refusal of stw_session_receive: what to close the link with */
  stw_lane lane;
  union {
    struct {
      uint64_t number; /* 0: not numbered: comes at most once, never acknowledged */
      const void *data;
      size_t size;
      bool is_text, is_replayed; /* replayed: written on an earlier link already; no repeat */
    } message;
    struct {
      uint64_t from, to;
      stw_gap_reason reason;
    } gap;
    struct {
      uint64_t accepted, processed; /* everything up to them */
      uint64_t kept_from;           /* the store may forget numbers below */
    } proof;
    struct {
      uint64_t number;
      uint32_t code;
      const char *text; /* not terminated */
      size_t text_size;
    } rejected;
    struct {
      uint32_t code; /* CLOSED */
      const char *data;
      size_t size;
    } text;
  } u;
} stw_session_item;

/* Takes one message of the link.  What *item points to is lent from `data` or by the session until
 * its next call.
 * E_PROTOCOL  the peer broke the protocol: write nothing more, close the link with
 *             item->close_code; the session stays, the client may come back
 * E_STATE     a fenced or closed link (close code 4409 or 4400); nothing was taken
 * E_MEMORY    nothing was taken: close the link with 1013, the client comes back */
STW_API stw_status stw_session_receive(stw_session *session, uint32_t link, const void *data,
                                       size_t size, uint64_t now, stw_session_item *item);

/* Lends the next message to write on the link, until the session's next call; *size 0: nothing for
 * now.  Heeds the client's window; control lane first, large messages in pieces.  Behind
 * stw_session_close's frame there is nothing.
 * E_STATE (a fenced link), E_MEMORY (call again, or drop the link: nothing is lost). */
STW_API stw_status stw_session_take(stw_session *session, uint32_t link, uint64_t now,
                                    const void **data, size_t *size);

/* When stw_session_take will have something without a further call; STW_SESSION_NEVER. */
STW_API uint64_t stw_session_deadline(const stw_session *session);

/* ---- inbound cursors ---- */

/* (accepts_later) Everything up to `upto` is committed by the host and may be acknowledged.
 * Passing over what is accepted already is allowed.  E_ARGUMENT: beyond what was received. */
STW_API stw_status stw_session_accept(stw_session *session, stw_lane lane, uint64_t upto,
                                      uint64_t now);
/* (says_processed) Everything up to `upto` was worked through.  E_ARGUMENT: beyond accepted. */
STW_API stw_status stw_session_processed(stw_session *session, stw_lane lane, uint64_t upto,
                                         uint64_t now);

/* ---- outbound ---- */

/* Keeps a message for the client and gives its number; copies it.  It is kept until the client has
 * worked through it (clients that say so) or has accepted it (others), over as many links as that
 * takes.  Full: the oldest give way and become a gap, or (refuses_when_full) E_FULL.
 * E_TOO_BIG (message_max, ring_bytes), E_MEMORY, E_STATE (never opened and not loaded). */
STW_API stw_status stw_session_send(stw_session *session, stw_lane lane, const void *data,
                                    size_t size, bool is_text, uint64_t *number);

/* Asks the client to move: within after_ms + random * spread_ms, to `location` ("" or NULL: where
 * it is told by DNS).  E_STATE: no link. */
STW_API stw_status stw_session_goaway(stw_session *session, uint64_t after_ms, uint64_t spread_ms,
                                      const char *location, uint32_t code);
/* The link's last frame: acknowledgements due go before it, kept messages stay for the next link.
 * E_STATE: no link. */
STW_API stw_status stw_session_close(stw_session *session, uint32_t code, const char *text);
/* Answers STW_SESSION_AUTH.  E_STATE: no link. */
STW_API stw_status stw_session_auth(stw_session *session, bool is_ok, uint64_t expires_ms);

/* ---- a look ---- */

typedef struct stw_session_lane_view {
  uint64_t received, accepted, processed; /* inbound */
  uint64_t duplicates;                    /* inbound, dropped */
  uint64_t next;                          /* outbound: the number the next message gets */
  uint64_t kept_from;                     /* outbound: numbers below are forgotten */
  uint64_t written, client_accepted, client_processed;
  uint64_t kept, kept_bytes, replayed, overflowed;
} stw_session_lane_view;

typedef struct stw_session_view {
  size_t struct_size;
  uint8_t cid[STW_CID_BYTES];
  bool is_known; /* opened once, or loaded */
  bool is_open;  /* has a link */
  bool was_resumed;
  uint32_t link;
  stw_session_lane_view lanes[STW_LANE_COUNT];
} stw_session_view;
STW_API void stw_session_look(const stw_session *session, stw_session_view *view);

#ifdef __cplusplus
}
#endif
#endif
