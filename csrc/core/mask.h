/* mask: the XOR masking of RFC 6455 section 5.3, in words instead of bytes. */
#ifndef STEADWIRE_CORE_MASK_H
#define STEADWIRE_CORE_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Writes `size` bytes of `in`, masked with `key`, to `out`; masking twice gives the input back.
 *
 * `out` and `in` are borrowed; they may be the same address, but must not overlap in any
 * other way.  Neither needs an alignment.  Any thread.
 */
void stwi_mask(uint8_t *out, const uint8_t *in, size_t size, const uint8_t key[4]);

/* Turns `key` so that it fits the payload byte `count` bytes further on: a payload can be masked in
 * pieces of any size.  Any thread. */
void stwi_mask_turn(uint8_t key[4], size_t count);

#endif
