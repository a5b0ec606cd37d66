/* port_inside.h: what the files of a port share.
 *
 * port.c        life, news for the engine
 * port_admit.c  admission
 * port_store.c  the outbox's file
 */
#ifndef STWI_CLIENT_PORT_INSIDE_H
#define STWI_CLIENT_PORT_INSIDE_H

#include "client/port.h"

/* Bytes of the first chunk of messages. */
#define STWI_PORT_CHUNK_MIN 512u

/* Unlocks; the engine looks at a port at most once for all news. */
void stwi_port_unlock_and_tell(struct stwi_port *port);
/* What admission answers, before all else: E_CLOSED, or how the file is.  Port locked. */
stw_status stwi_port_check_taking(struct stwi_port *port);

#endif
