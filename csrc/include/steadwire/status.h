/* status.h: what every call answers.
 *
 * One list; names, texts, Python exceptions and Lua codes are derived from it.  0 is success,
 * negatives are refusals.  A refusal changes nothing: what was asked for was not done.
 * `stw_last_error()` has the sentence for a person: what happened, where, and what to do.
 */
#ifndef STEADWIRE_STATUS_H
#define STEADWIRE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define STW_API __attribute__((visibility("default")))
#else
#define STW_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, value, slug, retryable, meaning, what to do) */
#define STW_STATUS_LIST(X)                                                                         \
  X(OK, 0, "ok", false, "done", "nothing")                                                         \
  X(E_ARGUMENT, -1, "argument", false, "an argument no call can take",                             \
    "pass a value the header allows")                                                              \
  X(E_OPTION, -2, "option", false, "no option has this name", "use the name the error suggests")   \
  X(E_VALUE, -3, "value", false, "an option's value is malformed or out of its range",             \
    "use a value from the range the error names")                                                  \
  X(E_URL, -4, "url", false, "a URL, header or subprotocol that must not go on the wire",          \
    "remove the character or use the scheme the error names")                                      \
  X(E_HANDLE, -5, "handle", false, "a handle that is stale, foreign or of another type",           \
    "use a handle from stw_*_new or stw_conn_open that was not freed")                             \
  X(E_STATE, -6, "state", false, "not possible in the present state",                              \
    "see the call's header comment for the states that allow it")                                  \
  X(E_CLOSED, -7, "closed", false, "the conn is closing, closed or failed; nothing was taken",     \
    "open a new conn")                                                                             \
  X(E_FULL, -8, "full", true, "the outbox is at its bound; the message was not taken",             \
    "wait for the event outbox_room, or choose another outbox_overflow")                           \
  X(E_TOO_BIG, -9, "too_big", false, "the message is over max_message; it was not taken",          \
    "split the message or raise max_message")                                                      \
  X(E_GUARANTEE, -10, "guarantee", false, "the profile cannot give this guarantee",                \
    "use at_least_once, or profile = session")                                                     \
  X(E_TIMEOUT, -11, "timeout", true, "the time given to the call is over", "call again")           \
  X(E_FORKED, -12, "forked", false, "the handle was made before fork() and belongs to the parent", \
    "make a new engine and a new conn in the child")                                               \
  X(E_MEMORY, -13, "memory", true, "no memory", "free memory, then call again")                    \
  X(E_SYSTEM, -14, "system", true, "the operating system refused a resource",                      \
    "raise the limit the error names")                                                             \
  X(E_NOT_FOUND, -15, "not_found", false, "no such message in the outbox",                         \
    "list the outbox; the message has ended or never was there")                                   \
  X(E_INTERRUPTED, -16, "interrupted", true, "a signal arrived while waiting",                     \
    "handle the signal, then call again")                                                          \
  X(E_BUSY, -17, "busy", true, "another thread is draining this mailbox",                          \
    "drain a mailbox from one thread at a time")                                                   \
  X(E_STORE, -18, "store", true, "the outbox file cannot be read or written",                      \
    "see the error for the path and the reason; check the disk and the permissions")               \
  X(E_LOCKED, -19, "locked", true, "another process uses this outbox file",                        \
    "end the process that the error names, or use another file; a folder gives each its own")      \
  X(E_FORMAT, -20, "format", false, "no outbox file or export, or one of a newer version",         \
    "check the path; a newer file needs the steadwire that wrote it")                              \
  X(E_PROTOCOL, -21, "protocol", false, "the peer broke the session protocol",                     \
    "close the link with the code the call gives; report it to the peer's authors")

typedef enum stw_status {
#define STW_X(name, value, slug, retryable, text, remedy) STW_##name = (value),
  STW_STATUS_LIST(STW_X)
#undef STW_X
} stw_status;

typedef struct stw_status_info {
  stw_status status;
  const char *name; /* stable identifier, e.g. "full" */
  bool retryable;   /* the same call may succeed later without a change by the caller */
  const char *text;
  const char *remedy;
} stw_status_info;

/* Lends the row of the status list at `index`, NULL past its end.  Any thread; never freed. */
STW_API const stw_status_info *stw_status_at(size_t index);

/* Lends the row of `status`; a number that is no status gives the row of E_ARGUMENT. */
STW_API const stw_status_info *stw_status_find(stw_status status);

/* Lends the sentence about the last refusal on the calling thread ("" if there was none): what
 * happened, where, what to do.  Valid until the next stw_ call on this thread.  Never holds a
 * payload, a header's value or a URL's query. */
STW_API const char *stw_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
