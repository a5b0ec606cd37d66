#include "client/nearest.h"

#include <stdint.h>
#include <string.h>

enum { WORD_MIN = 4 };

/* A name as it is compared. */
struct word {
  char text[STWI_NEAREST_MAX + 1];
  size_t size;
};

static char fold(char c) {
  if (c == '-')
    return '_';
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static struct word make_word(const char *text, size_t size) {
  struct word word = {.size = size < STWI_NEAREST_MAX ? size : STWI_NEAREST_MAX};
  for (size_t i = 0; i < word.size; i++)
    word.text[i] = fold(text[i]);
  return word;
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Optimal string alignment: rows[k] is the k-th last row of the edit matrix. */
static size_t count_edits(const struct word *a, const struct word *b) {
  size_t rows[3][STWI_NEAREST_MAX + 1];
  size_t *row = rows[0], *above = rows[1], *second = rows[2];
  for (size_t j = 0; j <= b->size; j++)
    row[j] = j;
  for (size_t i = 1; i <= a->size; i++) {
    size_t *reused = second;
    second = above;
    above = row;
    row = reused;
    row[0] = i;
    for (size_t j = 1; j <= b->size; j++) {
      const char x = a->text[i - 1], y = b->text[j - 1];
      row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
      if (i > 1 && j > 1 && x == b->text[j - 2] && y == a->text[i - 2])
        row[j] = least(row[j], second[j - 2] + 1);
    }
  }
  return row[b->size];
}

struct stwi_nearest stwi_nearest_to(const char *wanted) {
  return (struct stwi_nearest){.wanted = wanted, .name = "", .distance = SIZE_MAX};
}

void stwi_nearest_offer(struct stwi_nearest *nearest, const char *name, size_t size) {
  const struct word wanted = make_word(nearest->wanted, strlen(nearest->wanted));
  const struct word offered = make_word(name, size);
  size_t distance = count_edits(&wanted, &offered);
  if (wanted.size >= WORD_MIN && strstr(offered.text, wanted.text) != NULL)
    distance /= 2;
  if (distance < nearest->distance) {
    nearest->name = name;
    nearest->size = size;
    nearest->distance = distance;
  }
}
