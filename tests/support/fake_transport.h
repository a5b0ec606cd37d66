/* fake_transport: a transport in memory with a WebSocket server behind it, for tests of client/.
 *
 * The server speaks through core/frame in the server's role, on the engine thread; a test steers it
 * and reads what it has seen from any thread.  Nothing here waits for time: what the test asks for
 * happens in the engine's next turn.  Conns are told apart by the port of their url; port 0 means
 * all of them.  Its own memory does not come from malloc, calloc or realloc, so that a test may let
 * those fail.
 */
#ifndef STEADWIRE_TESTS_FAKE_TRANSPORT_H
#define STEADWIRE_TESTS_FAKE_TRANSPORT_H

#include <steadwire/steadwire.h>

#include <pthread.h>

struct fake_action;
struct fake_message {
  uint16_t port;
  bool is_text;
  size_t size;
  uint8_t *data;
};

struct fake_manner {
  bool refuses;      /* a dial ends with tcp_refused */
  bool hangs;        /* a dial is never answered */
  bool is_silent;    /* neither echoes nor PONGs */
  bool is_mute;      /* echoes, no PONGs */
  bool holds_writes; /* the socket takes nothing: no WRITABLE */
};

struct fake_server {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct fake_manner manner;
  uint32_t dials, live, paused, resumed;
  struct fake_message *messages; /* that came */
  size_t count, capacity;
  struct fake_action *action_first, *action_last;
  void *async; /* of the engine that runs; NULL: none */
};

void fake_server_init(struct fake_server *server);
void fake_server_fini(struct fake_server *server);

/* An engine on this server, named as stw_engine_new does. */
stw_status fake_engine_new(struct fake_server *server, stw_engine *engine);

void fake_server_be(struct fake_server *server, struct fake_manner manner);
void fake_server_send(struct fake_server *server, uint16_t port, const void *data, size_t size);
void fake_server_close(struct fake_server *server, uint16_t port, uint16_t code);
void fake_server_drop(struct fake_server *server, uint16_t port, stw_cause cause);

/* Waits until at least `count` messages have come; false after 20 s. */
bool fake_server_has(struct fake_server *server, size_t count);
/* Waits until exactly `live` links are up; false after 20 s. */
bool fake_server_is_live(struct fake_server *server, uint32_t live);
/* Copies up to `room` bytes of message `index`; its size, or SIZE_MAX if it has not come. */
size_t fake_server_read(struct fake_server *server, size_t index, void *data, size_t room);

#endif
