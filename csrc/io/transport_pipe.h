/* transport_pipe.h: a transport in memory, for tests: the test is the peer, and the network.
 *
 * No socket, thread or clock: an input comes only from within a call of the test (stwi_pipe_*) or
 * of the core (WRITABLE from write), so that a test decides what happens and when, and the same
 * calls give the same inputs.  What the core asks for is kept until the test looks at it.
 * DOWN for a cut comes at the next stwi_pipe_run.  Owner only.
 *
 * The faults: refuse (any cause), silence (nothing is answered, written bytes vanish), a link that
 * breaks after n bytes in either direction, delay (WRITABLE held back until told), and half
 * deliveries (bytes in pieces of n).
 */
#ifndef STWI_IO_TRANSPORT_PIPE_H
#define STWI_IO_TRANSPORT_PIPE_H

#include "io/transport.h"

struct stwi_pipe;

/* The transport owns it; `transport->self` is it.  ops NULL without memory. */
struct stwi_transport stwi_transport_pipe_new(struct stwi_sink sink);

/* A link the core knows, as seen by the test. */
struct stwi_pipe_end {
  uint32_t conn, link;
  bool is_ready, is_paused;
  bool is_cut, is_abort; /* by the core; DOWN follows in stwi_pipe_run */
  char host[256], path[1024];
  uint16_t port;
  bool is_tls;
};

/* Copies link number `index`, oldest first; false past the end.  A link is there from its dial to
 * its DOWN. */
bool stwi_pipe_link(const struct stwi_pipe *pipe, size_t index, struct stwi_pipe_end *end);
/* How often the core has dialled so far. */
size_t stwi_pipe_dials(const struct stwi_pipe *pipe);

/* The peer's side.  All answer false for a link that is not there (any more) or not in the state
 * that it takes. */

/* The attempt enters this phase and goes no further by itself. */
bool stwi_pipe_phase(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, stw_phase phase);
/* Phases up to the upgrade, then READY. */
bool stwi_pipe_accept(struct stwi_pipe *pipe, uint32_t conn, uint32_t link,
                      const char *subprotocol);
/* DOWN: the attempt or the established link ends with this.  `detail` is borrowed. */
bool stwi_pipe_end(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, stw_cause cause,
                   uint16_t http_status, uint64_t retry_after_ms, const char *detail);
/* Bytes from the peer: BYTES at once, in pieces of the link's chunk size; kept while the link is
 * paused, and from then on also until stwi_pipe_run.  False also without memory. */
bool stwi_pipe_send(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, const void *data,
                    size_t size);
/* Lends what the core has written and the peer has not taken; *size 0 for none. */
const uint8_t *stwi_pipe_written(const struct stwi_pipe *pipe, uint32_t conn, uint32_t link,
                                 size_t *size);
/* The peer has read the first `size` bytes of it. */
void stwi_pipe_take(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, size_t size);

/* The network's side. */

/* BYTES come in pieces of at most `size` (0: whole). */
bool stwi_pipe_chunk(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, size_t size);
/* Silence, as behind a dead NAT entry: what either end sends vanishes; writes still seem to work.
 */
bool stwi_pipe_silence(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, bool to_peer,
                       bool to_core);
/* WRITABLE is held back, as by a full socket, until it is let go again. */
bool stwi_pipe_hold(struct stwi_pipe *pipe, uint32_t conn, uint32_t link, bool on);
/* Breaks the link with abnormal_rst once so many more bytes have gone to the peer (to the core):
 * those before arrive, the rest is lost.  SIZE_MAX: never. */
bool stwi_pipe_break_after(struct stwi_pipe *pipe, uint32_t conn, uint32_t link,
                           size_t bytes_to_peer, size_t bytes_to_core);

/* Puts what is due: DOWN of cut and broken links, bytes of links that are no longer paused. */
void stwi_pipe_run(struct stwi_pipe *pipe);

#endif
