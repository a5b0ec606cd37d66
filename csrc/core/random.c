#include "core/pace.h"

/* splitmix64 spreads a seed over the whole state, so that near seeds give unlike streams. */
static uint64_t splitmix(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t value, unsigned bits) {
  return (value << bits) | (value >> (64 - bits));
}

uint64_t stwi_random_stream(uint64_t master, uint64_t client, uint64_t stream) {
  uint64_t state = master;
  state = splitmix(&state) + client;
  state = splitmix(&state) + stream;
  return splitmix(&state);
}

void stwi_random_seed(struct stwi_random *random, uint64_t seed) {
  for (unsigned i = 0; i < 4; i++)
    random->state[i] = splitmix(&seed);
}

/* xoshiro256++ (Blackman and Vigna, 2019). */
uint64_t stwi_random_next(struct stwi_random *random) {
  uint64_t *s = random->state;
  const uint64_t result = rotate(s[0] + s[3], 23) + s[0];
  const uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate(s[3], 45);
  return result;
}

/* Draws under the next power of two until one fits: exact, fewer than two draws on average. */
uint64_t stwi_random_below(struct stwi_random *random, uint64_t bound) {
  if (bound <= 1)
    return 0;
  const uint64_t mask = UINT64_MAX >> __builtin_clzll(bound - 1);
  uint64_t value;
  do
    value = stwi_random_next(random) & mask;
  while (value >= bound);
  return value;
}
