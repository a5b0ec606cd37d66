/* error.h: the sentence behind stw_last_error().  One buffer per thread. */
#ifndef STWI_CLIENT_ERROR_H
#define STWI_CLIENT_ERROR_H

#include <steadwire/status.h>

/* Sets the sentence and gives `status` back, so that a refusal is one line. */
stw_status stwi_error(stw_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
