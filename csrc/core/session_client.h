/* session_client.h: everything a client knows of its session (steadwire.v1), without the outbox and
 * without the bytes of a link.
 *
 * Frames go in as structs and come out as structs; what has to happen with the messages of the
 * outbox is the caller's (core/conn_session).  Pure, bounded: besides the struct it holds at most
 * one message under assembly per lane, of at most `message_max` bytes.
 *
 * Use: init once; `link` when a link that speaks the subprotocol was committed; `hello` gives the
 * frame to write; `take` each frame that arrives; `unlink` when that link is gone.
 */
#ifndef STWI_CORE_SESSION_CLIENT_H
#define STWI_CORE_SESSION_CLIENT_H

#include "core/ack_due.h"
#include "core/input.h"
#include "core/parts.h"
#include "core/seen.h"
#include "core/session_frame.h"

#define STWI_SCLIENT_PART_BYTES 65536u
#define STWI_SCLIENT_WINDOW_MESSAGES 1024u
#define STWI_SCLIENT_PONGS_MAX 8u

enum stwi_sclient_phase {
  STWI_SCLIENT_OFF,     /* no link, or one that does not speak steadwire.v1 */
  STWI_SCLIENT_HELLO,   /* HELLO is to be written */
  STWI_SCLIENT_WAITING, /* it is written: only WELCOME, REFUSE and CLOSE may come */
  STWI_SCLIENT_UP
};

/* One outbound lane, as of the present link. */
struct stwi_sclient_out {
  uint64_t next;      /* first number that was neither written nor told as a hole here */
  uint64_t acked;     /* accepted by the server */
  uint64_t processed; /* by the server's application */
};

struct stwi_sclient_in {
  struct stwi_seen seen;
  struct stwi_ack_due ack;
  struct stwi_parts parts; /* of the next message */
};

struct stwi_session_client {
  struct stwi_session_saved saved; /* `processed` in it is kept in `in` */
  bool has_cid;
  bool has_renewed;    /* HELLO was refused as stale on this link, and answered with a new cid */
  bool is_after_stale; /* the session was begun in place of one that the server had lost */
  enum stwi_sclient_phase phase;
  struct stwi_sclient_out out[STW_LANE_COUNT];
  struct stwi_sclient_in in[STW_LANE_COUNT];
  uint64_t given[STW_LANE_COUNT]; /* at HELLO: the first number not given to a message yet */
  uint64_t message_max;           /* ours */
  /* the server's, of the last WELCOME */
  uint32_t caps;
  uint64_t window_messages, window_bytes, peer_message_max; /* 0: no bound */
  /* PONGs owed; the oldest give way */
  struct {
    uint64_t n, t;
  } pongs[STWI_SCLIENT_PONGS_MAX];
  uint32_t pong_count;
};

/* `saved` NULL: a session of its own begins, with a cid set by `renew`.  `inbound_from` NULL, or
 * what the host has committed itself: it goes before what was saved, of a session that the server
 * has welcomed; another one has no numbers yet.  Reserves nothing. */
void stwi_sclient_init(struct stwi_session_client *client, const struct stwi_session_saved *saved,
                       const uint64_t *inbound_from, uint64_t message_max);
void stwi_sclient_fini(struct stwi_session_client *client);

/* A new session under `cid` (16 random bytes): the token goes, inbound numbers begin at 1 again. */
void stwi_sclient_renew(struct stwi_session_client *client, const uint8_t cid[STWI_CID_BYTES]);
void stwi_sclient_link(struct stwi_session_client *client);
void stwi_sclient_unlink(struct stwi_session_client *client);
/* The id of inbound message `number` of `lane`. */
stw_message_id stwi_sclient_id(const struct stwi_session_client *client, stw_lane lane,
                               uint64_t number);
/* What a store must keep. */
void stwi_sclient_save(const struct stwi_session_client *client, struct stwi_session_saved *saved);

/* What HELLO says about our side. */
struct stwi_sclient_place {
  uint64_t lowest[STW_LANE_COUNT], next[STW_LANE_COUNT];
  uint64_t window_bytes, idle_ms;
  struct stwi_text auth; /* borrowed until the frame is encoded */
};
/* Fills HELLO; from now on WELCOME is awaited.  What is written before it comes (optimistic) begins
 * behind the last number that the server is known to have. */
void stwi_sclient_hello(struct stwi_session_client *client, const struct stwi_sclient_place *place,
                        struct stwi_sframe *frame);

enum stwi_sclient_news_kind {
  STWI_SNEWS_NOTHING,
  STWI_SNEWS_WELCOMED,  /* u.welcomed; save() has changed */
  STWI_SNEWS_REFUSED,   /* the frame's close.code and text; a second cid_stale is BROKEN instead */
  STWI_SNEWS_MESSAGE,   /* u.message; the frame's lane, number (0: not numbered) and flags */
  STWI_SNEWS_DUPLICATE, /* a message that had arrived before was dropped */
  STWI_SNEWS_ACKED,     /* the frame's ack: something moved */
  STWI_SNEWS_NACKED,    /* the frame's nack */
  STWI_SNEWS_GAP,       /* u.gap; the frame's reason */
  STWI_SNEWS_GOAWAY,    /* the frame's goaway */
  STWI_SNEWS_CLOSE,     /* the frame's close: the last one */
  STWI_SNEWS_AUTH,      /* the frame's auth */
  STWI_SNEWS_BROKEN     /* u.broken: close the link with `code` */
};

struct stwi_sclient_hole { /* from 0: none */
  uint64_t from, to;
};

struct stwi_sclient_news {
  enum stwi_sclient_news_kind kind;
  union {
    struct {
      const uint8_t *data; /* borrowed from the frame, or `held` */
      size_t size;
      uint8_t *held; /* put together from PARTs: taken by the caller, for stwi_free; else NULL */
    } message;
    struct stwi_sclient_hole gap;
    struct {
      enum stwi_resume_state resume;
      bool is_lost; /* messages may be missing, how many is not known */
      struct stwi_sclient_hole holes[STW_LANE_COUNT]; /* inbound ones that will never come */
    } welcomed;
    struct {
      uint16_t code;   /* 4400; 1009 for a message over the limit */
      const char *why; /* static: the rule */
    } broken;
  } u;
};

/* Takes one frame (its texts and payload borrowed).  After BROKEN, CLOSE and a REFUSE that is not
 * answered with `renew` nothing more may be taken on this link. */
void stwi_sclient_take(struct stwi_session_client *client, const struct stwi_sframe *frame,
                       stwi_time now, struct stwi_sclient_news *news);

/* The message just taken could not be handed on: it did not arrive.  The link must end. */
void stwi_sclient_untake(struct stwi_session_client *client, stw_lane lane, uint64_t number);

/* Before message `number` is written: true and a GAP frame, where numbers between the last one and
 * it will never come. */
bool stwi_sclient_hole(struct stwi_session_client *client, stw_lane lane, uint64_t number,
                       struct stwi_sframe *frame);
/* The last byte of message `number` was written. */
void stwi_sclient_wrote(struct stwi_session_client *client, stw_lane lane, uint64_t number);
/* Does the server's window take another message, with so much written and unproven? */
bool stwi_sclient_has_window(const struct stwi_session_client *client, uint64_t messages,
                             uint64_t bytes, size_t size);

/* The host has processed inbound messages.  True: the cursor moved (a store must keep it). */
bool stwi_sclient_processed(struct stwi_session_client *client, stw_lane lane, uint64_t number,
                            stwi_time now);
/* The next ACK or PONG frame that is due; `is_last`: the link ends, so all that is owed is due. */
bool stwi_sclient_next_control(struct stwi_session_client *client, stwi_time now, bool is_last,
                               struct stwi_sframe *frame);
stwi_time stwi_sclient_deadline(const struct stwi_session_client *client); /* of the next ACK */

#endif
