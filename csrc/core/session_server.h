/* session_server.h: the server's role of steadwire.v1 on the structs of session_frame.h.
 *
 * What include/steadwire/session.h promises, less the bytes: client/api_session adds the codec.
 * Where a call refuses, `why` holds the sentence.  Time is an argument, randomness comes with the
 * claim; memory only through core/mem, and without memory a call refuses and nothing is lost.
 */
#ifndef STWI_CORE_SESSION_SERVER_H
#define STWI_CORE_SESSION_SERVER_H

#include "core/ack_due.h"
#include "core/parts.h"
#include "core/session_frame.h"
#include "core/session_ring.h"
#include "core/unaccepted.h"

#include <steadwire/session.h>

/* WebSocket close codes of a link that broke the rules (docs/protocol.md). */
enum { STWI_CLOSE_PROTOCOL = 4400, STWI_CLOSE_REPLACED = 4409 };
enum { STWI_CLOSE_TEXT = 1007, STWI_CLOSE_TOO_BIG = 1009, STWI_CLOSE_MEMORY = 1013 };

struct stwi_server_lane {
  /* inbound */
  uint64_t received, accepted, processed;
  uint64_t arrived; /* up to here the present link has brought it, or its WELCOME has told it */
  uint64_t duplicates;
  struct stwi_ack_due ack;
  struct stwi_unaccepted unaccepted;
  struct stwi_parts parts; /* of the next message */
  bool are_parts_lent;     /* handed over with the last item: free now */
  /* outbound */
  struct stwi_ring ring;
  uint64_t next;                       /* number of the next message */
  uint64_t cursor;                     /* number the link expects next */
  uint64_t client_had;                 /* `received` of the link's HELLO */
  uint64_t client_accepted;            /* on this link */
  uint64_t client_processed;           /* on any */
  uint64_t client_said;                /* to be processed, on this link */
  uint64_t forgotten, overflowed_upto; /* numbers up to these left the ring: done with; full */
  uint64_t inflight_messages, inflight_bytes;    /* written and unaccepted, on this link */
  uint64_t gone_messages, gone_bytes, gone_upto; /* of these, what left the ring; up to a number */
  size_t offset;                 /* bytes of the message at the cursor gone out as parts */
  bool is_replay;                /* of the message at the cursor, once begun */
  struct stwi_ring_entry orphan; /* it was dropped while going out; data NULL: was not */
  uint64_t replayed, overflowed;
};

struct stwi_server {
  stw_session_options options; /* complete: no zeros that mean defaults */
  struct stwi_ack_policy ack_policy;
  char name[65];
  /* identity */
  uint8_t cid[STWI_CID_BYTES], sid[16];
  uint8_t token[STWI_TOKEN_BYTES], old_token[STWI_TOKEN_BYTES];
  bool has_old_token;
  bool is_confirmed;      /* the client has shown that it holds a token of ours */
  bool offers_optimistic; /* some WELCOME of this session did */
  bool is_known;
  char principal[STW_SESSION_PRINCIPAL_MAX + 1];
  uint64_t incarnation;
  struct stwi_server_lane lanes[STW_LANE_COUNT];
  /* the link */
  uint32_t link;
  bool is_open, is_broken, has_peer_closed, has_closed;
  bool is_optimistic; /* the client may have sent frames before it had read the WELCOME */
  enum stwi_resume_state resume;
  uint32_t client_caps;
  uint64_t client_window_messages, client_window_bytes, client_message_max;
  bool is_welcome_due, is_pong_due, is_auth_due, is_goaway_due, is_close_due;
  uint64_t ping_n, ping_t;
  bool auth_is_ok;
  uint64_t auth_expires_ms;
  uint64_t goaway_after_ms, goaway_spread_ms;
  uint32_t goaway_code, close_code;
  char goaway_location[256], close_text[STW_SESSION_CLOSE_TEXT_MAX + 1], location[256];
  char why[256]; /* the sentence of the last refusal */
};

/* `options` NULL: defaults.  E_ARGUMENT. */
stw_status stwi_server_init(struct stwi_server *server, const stw_session_options *options);
void stwi_server_fini(struct stwi_server *server);

/* As stw_session_open; `hello` is the decoded frame. */
stw_status stwi_server_open(struct stwi_server *server, const struct stwi_sf_hello *hello,
                            const stw_session_claim *claim, uint32_t *link, stw_refusal *refusal);
void stwi_server_lost(struct stwi_server *server, uint32_t link);

/* Checks the numbers of a HELLO.  False: *why is a static sentence. */
bool stwi_server_hello_is_sound(const struct stwi_sf_hello *hello, const char **why);

/* Whether frames of this link are taken; E_STATE sets item->close_code. */
stw_status stwi_server_check_link(struct stwi_server *server, uint32_t link,
                                  stw_session_item *item);
/* The link carried bytes that are no frame: `why` (copied) says how. E_PROTOCOL. */
stw_status stwi_server_break(struct stwi_server *server, uint32_t close_code, const char *why,
                             stw_session_item *item);
/* Takes one frame of the present link, which stwi_server_check_link let through.  As
 * stw_session_receive. */
stw_status stwi_server_receive(struct stwi_server *server, const struct stwi_sframe *frame,
                               uint64_t now, stw_session_item *item);

/* Gives the next frame to write; what it points to is lent until the next call.  False: none. */
bool stwi_server_take(struct stwi_server *server, uint64_t now, struct stwi_sframe *frame);
/* The largest payload that the next frame can have. */
size_t stwi_server_next_size(const struct stwi_server *server);
uint64_t stwi_server_deadline(const struct stwi_server *server);

stw_status stwi_server_accept(struct stwi_server *server, stw_lane lane, uint64_t upto,
                              uint64_t now);
stw_status stwi_server_processed(struct stwi_server *server, stw_lane lane, uint64_t upto,
                                 uint64_t now);
stw_status stwi_server_send(struct stwi_server *server, stw_lane lane, const void *data,
                            size_t size, bool is_text, uint64_t *number);
stw_status stwi_server_goaway(struct stwi_server *server, uint64_t after_ms, uint64_t spread_ms,
                              const char *location, uint32_t code);
stw_status stwi_server_close(struct stwi_server *server, uint32_t code, const char *text);
stw_status stwi_server_auth(struct stwi_server *server, bool is_ok, uint64_t expires_ms);
void stwi_server_look(const struct stwi_server *server, stw_session_view *view);

/* session_server_state.c: `out` has STW_SESSION_STATE_MAX bytes. */
stw_status stwi_server_save(const struct stwi_server *server, uint8_t *out, size_t *size);
stw_status stwi_server_load(struct stwi_server *server, const uint8_t *data, size_t size);
stw_status stwi_server_restore(struct stwi_server *server, stw_lane lane, uint64_t number,
                               const void *data, size_t size, bool is_text);

#endif
