/* sigpipe.h: SIGPIPE in the thread that writes for OpenSSL.
 *
 * Its writes raise it, and the disposition of the host's process is not ours to change: the signal
 * is blocked in the thread while a transport lives there.
 */
#ifndef STWI_IO_SIGPIPE_H
#define STWI_IO_SIGPIPE_H

#include <stdbool.h>

/* In the calling thread.  True: it was not blocked before, so release is due. */
bool stwi_sigpipe_block(void);
/* Takes what is pending, then lets it through again. */
void stwi_sigpipe_release(void);

#endif
