/* nearest.h: which known name was probably meant.
 *
 * Offer all names one by one; the one with the fewest edits (insert, delete, replace, swap two
 * neighbours) stays, the first of several.  Letter case and the choice between "-" and "_" count
 * for nothing; a name that contains the wanted word counts as half as far.  Bounded: only the
 * first STWI_NEAREST_MAX bytes of a name are compared.  Any thread.
 */
#ifndef STWI_CLIENT_NEAREST_H
#define STWI_CLIENT_NEAREST_H

#include <stddef.h>

#define STWI_NEAREST_MAX 48u

struct stwi_nearest {
  const char *wanted; /* borrowed */
  const char *name;   /* borrowed: the best so far, "" before the first offer; not terminated */
  size_t size;        /* of name */
  size_t distance;
};

/* Begins a search. */
struct stwi_nearest stwi_nearest_to(const char *wanted);

/* Offers `size` bytes of `name`; borrows them for as long as the search is used. */
void stwi_nearest_offer(struct stwi_nearest *nearest, const char *name, size_t size);

#endif
