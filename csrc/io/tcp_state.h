/* tcp_state.h: what the kernel knows of a TCP connection, whoever has read its errors before. */
#ifndef STWI_IO_TCP_STATE_H
#define STWI_IO_TCP_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <steadwire/event.h>

/* TCP_RTO_MAX_MS of Linux 6.15, which the headers in use need not know; an older kernel refuses it.
 */
#define STWI_TCP_RTO_MAX_MS 44

struct stwi_tcp_state {
  bool is_open;      /* established, no FIN from either end */
  bool is_reset;     /* by a RST or a timeout; a FIN leaves another state */
  bool has_received; /* more than one byte, ever */
  bool is_unacked;   /* something that was sent is not acknowledged */
  uint32_t ack_ms;   /* since the last acknowledgement that came */
};

/* Any thread.  A descriptor that is no TCP socket counts as reset. */
struct stwi_tcp_state stwi_tcp_state(int fd);

/* What errno of socket() or connect() means. */
stw_cause stwi_tcp_cause(int error);

#endif
