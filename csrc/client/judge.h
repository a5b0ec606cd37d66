/* judge.h: may an option have this value?
 *
 * Each value is judged alone, when it is set; what options say about one another is judged when a
 * conn is opened (build.c).  A refusal leaves its sentence in stw_last_error(): which option, which
 * value (never that of a secret), what is wrong, what is allowed.  Any thread.
 */
#ifndef STWI_CLIENT_JUDGE_H
#define STWI_CLIENT_JUDGE_H

#include "client/option.h"

/* Judges the text of a scalar, or one item of a LIST.  E_VALUE, E_URL, E_MEMORY. */
stw_status stwi_judge(enum stwi_option_id id, const char *text);

/* Judges one item of a MAP.  As stwi_judge. */
stw_status stwi_judge_item(enum stwi_option_id id, const char *key, const char *text);

/* A caller's text as it may stand in a sentence: ASCII, shortened. */
struct stwi_shown {
  char text[48];
};
struct stwi_shown stwi_show(const char *text);

#endif
