/* host: an engine on a fake server, a mailbox, and the events that came, for tests of the ABI.
 *
 * Waiting is draining until what is waited for has come; a guard of 20 s ends a test that waits in
 * vain, it is never waited for.  Events are kept as copies, so they outlive the next drain.
 */
#ifndef STEADWIRE_TESTS_HOST_H
#define STEADWIRE_TESTS_HOST_H

#include "fake_transport.h"

enum { HOST_GUARD_MS = 20000, HOST_TEXT = 96 };

struct host_event {
  stw_event event;      /* pointers in it are not valid */
  char text[HOST_TEXT]; /* begin of a message, or the detail */
};

struct host {
  struct fake_server server;
  stw_engine engine;
  stw_mailbox mailbox;
  struct host_event *events; /* all that came */
  size_t count, capacity;
  size_t read; /* host_wait has looked at those before it */
};

void host_init(struct host *host);
void host_fini(struct host *host); /* frees whatever is left */

/* Opens ws://fake:PORT with options name, value, ..., NULL (may be NULL). */
stw_conn host_open(struct host *host, uint16_t port, const char *const *options);
stw_status host_try_open(struct host *host, uint16_t port, const char *const *options,
                         stw_conn *conn);

/* Drains once; how many came. */
size_t host_drain(struct host *host);
/* Lends the next event of `kind` of `conn` (id 0: any); NULL after HOST_GUARD_MS. */
const struct host_event *host_wait(struct host *host, stw_conn conn, stw_event_kind kind);
/* Waits for a STATE event that enters `state`. */
void host_wait_state(struct host *host, stw_conn conn, stw_state state);
/* Waits until everything up to `number` has proof `proof`. */
void host_wait_proof(struct host *host, stw_conn conn, stw_proof proof, uint64_t number);
/* How many events of `kind` have come in all. */
size_t host_count(const struct host *host, stw_event_kind kind);
stw_status host_send(stw_conn conn, const char *text, stw_message_id *id);
stw_conn_view host_look(stw_conn conn);
/* stw_outbox_list, again while a starved engine thread has not answered: E_TIMEOUT says so. */
stw_status host_list(stw_conn conn, uint64_t after, stw_outbox_entry *entries, size_t max,
                     size_t *count);

/* The status is `status`, and the last error has `word` in it. */
void host_expect(stw_status got, stw_status status, const char *word, const char *where);
#define EXPECT(call, status, word) host_expect((call), (status), (word), #call)

/* Entries of a folder of /proc/self. */
size_t host_entries(const char *folder);

#endif
