/* mailbox.h: where a host collects events: the boxes of its conns behind one lock and one eventfd.
 *
 * The engine threads append, one host thread drains.  The descriptor is readable exactly while a
 * box holds something.
 */
#ifndef STWI_CLIENT_MAILBOX_H
#define STWI_CLIENT_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "client/box.h"

struct stwi_port;

struct stwi_mailbox {
  pthread_mutex_t lock;
  _Atomic uint32_t refs;
  int fd;
  bool is_signalled; /* fd is readable, or will be at once */
  bool is_closed;
  _Atomic bool is_draining;
  struct stwi_port *ready_first, *ready_last; /* ports whose box holds something */
  struct stwi_port *members;                  /* every conn that uses it */
  struct stwi_box_chunk *lent; /* until the next drain; owned by the draining thread */
};

struct stwi_mailbox *stwi_mailbox_make(void); /* NULL: errno says ENOMEM or a descriptor limit */
void stwi_mailbox_hold(struct stwi_mailbox *mailbox);
void stwi_mailbox_drop(struct stwi_mailbox *mailbox);

/* False where the mailbox was freed meanwhile. */
bool stwi_mailbox_join(struct stwi_mailbox *mailbox, struct stwi_port *port);
/* No event of the port arrives any more; what waits is discarded. */
void stwi_mailbox_leave(struct stwi_mailbox *mailbox, struct stwi_port *port);

/* Engine: append one event (a MESSAGE copies its data).  With the lock held, so that a batch costs
 * one lock. */
void stwi_mailbox_put(struct stwi_mailbox *mailbox, struct stwi_port *port, const stw_event *event);
/* Engine: unlocks, then tells the host, if it does not know yet, that events wait: a host that
 * wakes up finds the lock free. */
void stwi_mailbox_unlock(struct stwi_mailbox *mailbox);

/* Host: see stw_mailbox_drain. */
size_t stwi_mailbox_take(struct stwi_mailbox *mailbox, const stw_event **events, size_t max);

#endif
