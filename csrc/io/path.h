/* path.h: does a socket's path still lead where it led?  Any thread; a few system calls.
 *
 * The kernel is asked as it would be for a new connection: a UDP socket connected to the same peer
 * sends nothing, and its name is the address that packets would leave from now.
 */
#ifndef STWI_IO_PATH_H
#define STWI_IO_PATH_H

#include <steadwire/conn.h>
#include <sys/socket.h>

/* The machine's interfaces as of now, for any number of questions. */
struct stwi_interfaces {
  struct ifaddrs *first; /* NULL: they could not be read; carriers are then not looked at */
};
struct stwi_interfaces stwi_interfaces_read(void);
void stwi_interfaces_free(struct stwi_interfaces *interfaces);

/* UP: it leads where it led when `fd` was bound or connected; CHANGED: packets would leave from
 * another address now; DOWN: there is no route, or its interface has no carrier.  `peer` may be
 * NULL for a connected socket.  What cannot be found out (no descriptors) is UP: heartbeats are
 * there for it. */
stw_network stwi_path_of(int fd, const struct sockaddr *peer,
                         const struct stwi_interfaces *interfaces);

/* A number for the network that a connected socket leaves by: of its interface and of the prefix of
 * its local address (24 bits of IPv4, 64 of IPv6), so that it is the same for every link by the
 * same network.  Two homes with the same private prefix look alike.  0: not known. */
uint64_t stwi_path_network(int fd, const struct stwi_interfaces *interfaces);

#endif
