#include "client/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

enum { SENTENCE_BYTES = 512 };

static _Thread_local char sentence[SENTENCE_BYTES];

/* Marks a cut, and cuts between characters: hosts decode the sentence as UTF-8. */
static void mark_cut(void) {
  static const char mark[] = "...";
  const size_t room = sizeof sentence - sizeof mark;
  const size_t kept = stwi_utf8_prefix((const uint8_t *)sentence, room);
  memcpy(sentence + kept, mark, sizeof mark);
}

stw_status stwi_error(stw_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int size = vsnprintf(sentence, sizeof sentence, format, args);
  va_end(args);
  if (size >= (int)sizeof sentence)
    mark_cut();
  return status;
}

const char *stw_last_error(void) {
  return sentence;
}
