/* profile.h: what a link speaks.  Private to core/.
 *
 * One constant table for each profile; a link has one from its commit on, plain until then.  What
 * differs between profiles is asked here and nowhere else.  All of it is about the conn's active
 * link, in the step under way.
 */
#ifndef STWI_CORE_PROFILE_H
#define STWI_CORE_PROFILE_H

#include "core/conn.h"

struct stwi_profile_ops {
  /* May numbered messages be written now; may opening messages? */
  bool (*carries)(const struct stwi_conn *conn);
  bool (*takes_opening)(const struct stwi_conn *conn);
  /* The next message of the lane that may be written, NULL if there is none. */
  struct stwi_msg *(*next)(struct stwi_conn *conn, stw_lane lane);
  /* Puts what comes next of a message of which `at` bytes were written; the bytes put, or -1
   * without room. */
  int64_t (*put_message)(struct stwi_conn *conn, struct stwi_writer *w, const struct stwi_msg *msg,
                         uint32_t at);
  bool (*put_opening)(struct stwi_conn *conn, struct stwi_writer *w,
                      const struct stwi_opening_item *item);
  /* What the protocol itself has to say: bytes it needs at most; puts it. */
  size_t (*control_room)(const struct stwi_conn *conn);
  void (*put_control)(struct stwi_conn *conn, struct stwi_writer *w);
  /* What must be said before a close.  True: a write is under way. */
  bool (*flush)(struct stwi_conn *conn);
  /* When control is due, or NEVER. */
  stwi_time (*deadline)(const struct stwi_conn *conn);
  /* A message came; `bytes` is the input that `item` may lie in. */
  void (*message)(struct stwi_conn *conn, struct stwi_link *link, const struct stwi_item *item,
                  const uint8_t *bytes, size_t size);
  void (*up)(struct stwi_conn *conn);   /* the link is up now */
  void (*lost)(struct stwi_conn *conn); /* the link is gone: what it left unproven */
  /* The proof with which a message settles where the peer answers. */
  stw_proof settles_at;
  uint32_t head_bytes;   /* in front of each frame of a message, besides the WebSocket header */
  bool has_interleaving; /* messages of one lane may come inside one of the other */
  bool has_own_traffic;  /* the peer speaks without being asked: bytes are no answer to a PING */
};

extern const struct stwi_profile_ops stwi_profile_plain;
extern const struct stwi_profile_ops stwi_profile_session;

#endif
