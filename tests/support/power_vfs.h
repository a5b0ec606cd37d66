/* power_vfs: a disk that can lose its power, for the tests of the outbox file.
 *
 * A SQLite VFS over the system's own.  It remembers what each 512-byte sector was at the last sync.
 * When the power goes, which happens inside a chosen write or sync, every call fails from then on;
 * power_vfs_restore then decides for each unsynced sector whether its new bytes, its old ones, or
 * the first of one and the rest of the other are on the disk, and switches the power on again.
 * Everything is drawn from the seed.
 */
#ifndef STEADWIRE_TESTS_POWER_VFS_H
#define STEADWIRE_TESTS_POWER_VFS_H

#include <stdbool.h>
#include <stdint.h>

/* Becomes the default VFS. */
void power_vfs_install(void);
void power_vfs_seed(uint64_t seed);

/* The power goes in the `count`th write or sync from now (1: the next); 0: it stays. */
void power_vfs_lose_after(unsigned count);
bool power_vfs_is_off(void);
/* For what does not go through SQLite, as a rename: counts as a write, and says whether the power
 * is off, or goes in it. */
bool power_vfs_goes(void);
/* After all handles are closed. */
void power_vfs_restore(void);
/* Writes and syncs so far. */
unsigned power_vfs_steps(void);

/* Syncs answer that all is well and do nothing. */
void power_vfs_lie(bool on);
/* The `count`th sync from now fails, and as on Linux its pages count as clean afterwards although
 * they are not on the disk. 0: none. */
void power_vfs_fail_sync_after(unsigned count);
unsigned power_vfs_failed_syncs(void);
/* A full disk: files do not grow, but for 64 KiB once the file `reserve` is gone; `why` is the
 * errno: ENOSPC, EDQUOT (the user's quota) or EFBIG (the limit of a file's size).  NULL: not full.
 */
void power_vfs_fill(const char *reserve, int why);
/* Every sync takes as long as it takes until the function returns; NULL: none. */
void power_vfs_on_sync(void (*during)(void *owner), void *owner);

#endif
