#include "io/tcp_state.h"

/* The C library's netinet/tcp.h stops short of tcpi_bytes_received. */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { STATE_ESTABLISHED = 1, STATE_CLOSE = 7 };

struct stwi_tcp_state stwi_tcp_state(int fd) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
    return (struct stwi_tcp_state){.is_reset = true};
  /* A FIN is counted as a byte. */
  return (struct stwi_tcp_state){.is_open = info.tcpi_state == STATE_ESTABLISHED,
                                 .is_reset = info.tcpi_state == STATE_CLOSE,
                                 .has_received = info.tcpi_bytes_received > 1,
                                 .is_unacked = info.tcpi_unacked > 0,
                                 .ack_ms = info.tcpi_last_ack_recv};
}

stw_cause stwi_tcp_cause(int error) {
  switch (error) {
  case ECONNREFUSED:
    return STW_CAUSE_TCP_REFUSED;
  case ETIMEDOUT:
    return STW_CAUSE_TCP_TIMEOUT;
  case EMFILE:
  case ENFILE:
  case ENOBUFS:
  case ENOMEM:
    return STW_CAUSE_OVERLOAD_LOCAL;
  case ENETUNREACH:
  case EHOSTUNREACH:
  case ENETDOWN:
  case EHOSTDOWN:
  case EADDRNOTAVAIL:
  case EAFNOSUPPORT:
  case EACCES:
  case EPERM:
  case EINVAL:
    return STW_CAUSE_NET_UNREACHABLE;
  default:
    return STW_CAUSE_TCP_RESET;
  }
}
