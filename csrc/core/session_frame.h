/* session_frame.h: the frames of steadwire.v1 as structs, and what turns them into bytes.
 *
 * docs/protocol.md is the specification.  A frame is one WebSocket binary message holding one
 * msgpack array whose first element is the type.  The core reads and writes structs; io/envelope
 * is the codec, handed to the core as a table so that the core stays free of msgpack.
 */
#ifndef STWI_CORE_SESSION_FRAME_H
#define STWI_CORE_SESSION_FRAME_H

#include <steadwire/event.h>

#define STWI_SESSION_SUBPROTOCOL "steadwire.v1"
#define STWI_SESSION_VERSION 1u
#define STWI_CID_BYTES 16u
#define STWI_TOKEN_BYTES 32u

enum stwi_sframe_type {
  STWI_SF_HELLO = 1,   /* client, first on a link: claims or begins a session */
  STWI_SF_WELCOME = 2, /* server's answer */
  STWI_SF_DATA = 3,    /* [3, lane, number, flags, payload]: a message, or its last part */
  STWI_SF_ACK = 4,     /* [4, lane, accepted] or [4, lane, accepted, processed] */
  STWI_SF_NACK = 5,    /* [5, lane, number, code, text]: never again; the number is consumed */
  STWI_SF_PING = 6,    /* [6, n, t] */
  STWI_SF_PONG = 7,    /* [7, n, t] */
  STWI_SF_GOAWAY = 8,  /* [8, {after_ms, spread_ms, loc?, code, resumable}] */
  STWI_SF_CLOSE = 9,   /* [9, code, text]: the last frame; the ACKs due went before it */
  STWI_SF_AUTH = 10,   /* [10, token] from the client, [10, ok, expires_ms] from the server */
  STWI_SF_GAP = 11,    /* [11, lane, from, to, reason]: these will never come */
  STWI_SF_PART = 12,  /* [12, lane, number, payload]: a piece of message `number` before its DATA */
  STWI_SF_REFUSE = 13 /* [13, code, text]: HELLO is refused; after cid_stale another may follow */
};
/* Types >= 64 are ignored by a receiver, others unknown to it are an error 4400. */
#define STWI_SF_IGNORED_FROM 64u

enum stwi_sframe_flags {
  STWI_SF_TEXT = 1,  /* the payload is UTF-8 text */
  STWI_SF_REPLAY = 2 /* written on an earlier link already */
};
enum stwi_sframe_caps {
  STWI_SF_CAP_OPTIMISTIC = 1, /* server: takes DATA behind a HELLO before its WELCOME */
  STWI_SF_CAP_PROCESSED = 2,  /* says in ACK what was processed; keep messages until then */
  STWI_SF_CAP_PARTS = 4       /* takes PART */
};
enum stwi_refuse_code {
  STWI_REFUSE_STALE = 1,   /* cid_stale: unknown, other incarnation, or its numbers went back */
  STWI_REFUSE_VERSION = 2, /* no common version */
  STWI_REFUSE_AUTH = 3,    /* credentials or token not accepted */
  STWI_REFUSE_BUSY = 4     /* try again later */
};
enum stwi_gap_code {
  STWI_GAP_REMOVED = 1,  /* taken back, expired, or dropped by the sender's policy */
  STWI_GAP_OVERFLOW = 2, /* the sender's ring was full */
  STWI_GAP_LOST = 3      /* the sender lost them */
};
enum stwi_resume_state { STWI_RESUME_NONE = 0, STWI_RESUME_PARTIAL = 1, STWI_RESUME_FULL = 2 };

struct stwi_text { /* borrowed; not terminated */
  const char *data;
  size_t size;
};

struct stwi_sf_hello {
  uint32_t versions; /* bit v: version v is spoken */
  uint8_t cid[STWI_CID_BYTES];
  bool has_token;
  uint8_t token[STWI_TOKEN_BYTES];
  bool has_incarnation;
  uint64_t incarnation;
  uint64_t received[STW_LANE_COUNT]; /* rx: accepted by this client, 0: nothing */
  uint64_t lowest[STW_LANE_COUNT];   /* lo: first number it may still send */
  uint64_t next[STW_LANE_COUNT];     /* nx: first number it has not given yet */
  uint64_t processed[STW_LANE_COUNT];
  uint32_t caps;
  uint64_t window_messages, window_bytes; /* what the server may have unacknowledged */
  uint64_t message_max;                   /* largest message it takes */
  uint64_t idle_ms;
  struct stwi_text auth; /* "" none */
};

struct stwi_sf_welcome {
  uint32_t version;
  uint8_t sid[16];
  uint8_t token[STWI_TOKEN_BYTES];
  uint64_t incarnation;
  enum stwi_resume_state resume;
  uint64_t received[STW_LANE_COUNT], lowest[STW_LANE_COUNT], next[STW_LANE_COUNT];
  uint64_t processed[STW_LANE_COUNT];
  uint32_t caps;
  uint64_t ring_ms, watermark_ms; /* ttl_ms, wm_ttl_ms */
  uint64_t window_messages, window_bytes, message_max, idle_ms;
  struct stwi_text location, server; /* "" none */
};

struct stwi_sframe {
  uint32_t type; /* enum stwi_sframe_type; decode also gives types >= STWI_SF_IGNORED_FROM */
  union {
    struct stwi_sf_hello hello;
    struct stwi_sf_welcome welcome;
    struct { /* DATA, PART (flags 0); number 0: not numbered, delivered at most once (openings) */
      stw_lane lane;
      uint64_t number;
      uint32_t flags;
      const uint8_t *payload; /* borrowed */
      size_t size;
    } data;
    struct {
      stw_lane lane;
      uint64_t accepted, processed; /* processed <= accepted */
      bool has_processed;
    } ack;
    struct {
      stw_lane lane;
      uint64_t number;
      uint32_t code;
      struct stwi_text text;
    } nack;
    struct {
      uint64_t n, t;
    } ping; /* and PONG */
    struct {
      uint64_t after_ms, spread_ms;
      uint32_t code;
      bool is_resumable;
      struct stwi_text location;
    } goaway;
    struct {
      uint32_t code;
      struct stwi_text text;
    } close; /* and REFUSE */
    struct {
      bool is_answer, is_ok;
      uint64_t expires_ms;
      struct stwi_text token;
    } auth;
    struct {
      stw_lane lane;
      uint64_t from, to; /* 1 <= from <= to */
      uint32_t reason;   /* enum stwi_gap_code; unknown ones count as LOST */
    } gap;
  } u;
};

/* Bytes that encode() may need for a frame besides its payload and texts. */
#define STWI_SFRAME_HEAD_MAX 512u

struct stwi_session_codec {
  /* Reads one whole frame; what it points to is borrowed from `data`.  False: malformed, *why is a
   * static sentence naming the field. Bounded: never more memory or steps than `size` allows. */
  bool (*decode)(const uint8_t *data, size_t size, struct stwi_sframe *frame, const char **why);
  /* Writes a frame; of DATA and PART everything but the payload, which comes last and is appended
   * by the caller.  Bytes written, or 0 where `max` is too small. */
  size_t (*encode)(const struct stwi_sframe *frame, uint8_t *out, size_t max);
};

#endif
