/* transport.h: the few operations a link needs; what comes back are inputs for the core.
 *
 * A link is named by (conn slot, generation), never by a pointer.  For every dial exactly one
 * STWI_IN_DOWN comes back, last.  Between: STWI_IN_PHASE in order (DNS only where a name is
 * resolved, TLS only with TLS), STWI_IN_READY, STWI_IN_BYTES or of an XMPP stream STWI_IN_ELEMENT
 * (borrowed for the call), and one STWI_IN_WRITABLE per write.  All on the engine thread. `put` may
 * be called from within dial, write, pause, cut; it may call all of them but free, also for the
 * link it is about.  DOWN of a link that was cut has the cause requested.
 */
#ifndef STWI_IO_TRANSPORT_H
#define STWI_IO_TRANSPORT_H

#include "core/effect.h"
#include "core/input.h"
#include "io/loop.h"

struct stwi_sink {
  void *owner;
  void (*put)(void *owner, const struct stwi_input *input);
};

struct stwi_transport_ops {
  /* Starts an attempt; a refusal comes back as DOWN too (queued, not from within, unless memory is
   * lacking for that). */
  void (*dial)(void *transport, uint32_t conn, uint32_t link, const struct stwi_dial *dial);
  /* Writes all of it (the transport keeps what the socket does not take); WRITABLE says when done.
   * `data` has STWI_WRITE_HEADROOM writable bytes before it. */
  void (*write)(void *transport, uint32_t conn, uint32_t link, uint8_t *data, size_t size);
  void (*pause)(void *transport, uint32_t conn, uint32_t link, bool on);
  /* Ends it at once: RST (SO_LINGER 0) where `abort`, else FIN.  DOWN follows, also for attempts.
   */
  void (*cut)(void *transport, uint32_t conn, uint32_t link, bool abort);
  /* Begins the XMPP stream anew: what was read and not yet put is dropped.  NULL where links carry
   * no XMPP. */
  void (*restart)(void *transport, uint32_t conn, uint32_t link);
  /* What has the peer's kernel acknowledged?  Puts STWI_IN_LOOKED.  NULL where there is none. */
  void (*ask_kernel)(void *transport, uint32_t conn, uint32_t link);
  /* The machine's network has changed: puts a STWI_IN_PATH for each link with a socket.  NULL where
   * links have none. */
  void (*look)(void *transport);
  /* Cuts everything and frees; no input comes after it returns. */
  void (*free)(void *transport);
};

struct stwi_transport {
  const struct stwi_transport_ops *ops;
  void *self;
};

/* transport_ws: libwebsockets in the upgrade role.  To be made, used and freed on the thread that
 * runs `loop`; freed while the loop does not run.  Blocks SIGPIPE in that thread, for OpenSSL; the
 * process's disposition stays.  Silences libwebsockets' log, which is one per process.
 * On failure ops is NULL and *why a static sentence (it names the missing package where the libuv
 * plugin is not installed). */
struct stwi_transport stwi_transport_ws_new(struct stwi_loop *loop, struct stwi_sink sink,
                                            const char **why);

/* transport_xmpp: XMPP over TCP, dialled with libstrophe; dials have `xmpp`, and UPGRADE is the
 * phase of the stream's header.  Threads and failure as for transport_ws_new. */
struct stwi_transport stwi_transport_xmpp_new(struct stwi_loop *loop, struct stwi_sink sink,
                                              const char **why);

#endif
