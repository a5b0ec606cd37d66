/* port_store.h: the file behind a conn's outbox, from the threads that are not its writer.
 *
 * The thread that opens a conn opens its file; the engine thread hands changes over while the conn
 * lives; whoever frees the conn or the engine closes the file, with patience, so that the engine
 * thread never waits for a disk.
 */
#ifndef STWI_CLIENT_PORT_STORE_H
#define STWI_CLIENT_PORT_STORE_H

#include "client/port.h"

/* How long closing a file may wait for the disk. */
#define STWI_CLOSE_PATIENCE_MS 5000u

/* Opens a file; as stwi_store_sqlite_open, which is one. */
typedef stw_status (*stwi_store_opener)(const struct stwi_store_options *options,
                                        struct stwi_store *store, struct stwi_restored *restored,
                                        uint64_t *stream, stw_store_health *health, char *detail);

void stwi_port_store_init(struct stwi_port *port);
void stwi_port_store_fini(struct stwi_port *port);

/* Opens the file of `config`, if it names one, and takes numbers and stream from it.  Before any
 * other thread knows the port.  E_LOCKED, E_FORMAT, E_STORE, E_MEMORY: the sentence is set. */
stw_status stwi_port_store_open(struct stwi_port *port, const struct stwi_conn_config *config,
                                stwi_store_opener open_store);

/* Engine: its copy of the file, which is promised to it from the opening on; its end of that.
 * Leaving is for whoever knows that the conn never comes to the engine, too. */
struct stwi_store stwi_port_store_use(struct stwi_port *port);
void stwi_port_store_leave(struct stwi_port *port);
/* Engine: the core has begun with what was restored, chunks included; without a file nothing of it
 * is of use any more. */
void stwi_port_store_begun(struct stwi_port *port);

/* Waits, at most `patience_ms`, until the engine has let go of it, then closes the file.  Any
 * thread but the engine's; idempotent. */
void stwi_port_store_close(struct stwi_port *port, uint32_t patience_ms);

/* Port locked: does the file keep what is sent?  OK, E_STORE, E_FULL; the sentence is set and
 * OUTBOX_ROOM will tell when it does. */
stw_status stwi_port_store_check(struct stwi_port *port);
bool stwi_port_store_is_ill(const struct stwi_port *port);

#endif
