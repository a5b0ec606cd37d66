#include "sim/herd_server.h"

#define PS_PER_NS 1000u
#define PS_PER_S (STWI_S * PS_PER_NS)
#define QUEUE_MAX (2 * PS_PER_S)

/* Far past every end; more work than this is not told apart. */
#define FREE_MAX (UINT64_MAX / 2)

enum { REFUSALS_PER_HANDSHAKE = 50, APPOINTMENT_PERCENT = 90 };

void stwi_herd_server_init(struct stwi_herd_server *server, uint64_t capacity, stwi_time up_at,
                           bool is_naive, bool has_appointments) {
  *server = (struct stwi_herd_server){
      .up_at = up_at,
      .is_naive = is_naive,
      .has_appointments = has_appointments,
      .handshake_ps = PS_PER_S / capacity,
  };
}

static uint64_t later(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* Everybody who comes has a turn of this clock, also those who are served at once: it is the share
 * of the newcomers in what the server can do.  Rounded up, so that nobody comes early. */
static uint64_t appointment_ms(struct stwi_herd_server *server, uint64_t now_ps) {
  const uint64_t turn_ps = server->handshake_ps * 100 / APPOINTMENT_PERCENT;
  server->turn_ps = later(server->turn_ps, now_ps) + turn_ps;
  if (!server->has_appointments)
    return 0;
  return (later(server->turn_ps, server->free_ps) - now_ps + PS_PER_S - 1) / PS_PER_S * 1000;
}

struct stwi_herd_reply stwi_herd_arrive(struct stwi_herd_server *server, stwi_time now) {
  if (now < server->up_at)
    return (struct stwi_herd_reply){.answer = STWI_HERD_DOWN, .at = now};
  const uint64_t now_ps = now * PS_PER_NS;
  const uint64_t start_ps = later(server->free_ps, now_ps);
  const uint64_t retry_after_ms = appointment_ms(server, now_ps);
  if (!server->is_naive && start_ps - now_ps > QUEUE_MAX) {
    server->free_ps = start_ps + server->handshake_ps / REFUSALS_PER_HANDSHAKE;
    return (struct stwi_herd_reply){
        .answer = STWI_HERD_REFUSED,
        .retry_after_ms = retry_after_ms,
        .at = now,
    };
  }
  server->free_ps = start_ps < FREE_MAX ? start_ps + server->handshake_ps : FREE_MAX;
  return (struct stwi_herd_reply){
      .answer = STWI_HERD_SERVED,
      .at = (server->free_ps + PS_PER_NS - 1) / PS_PER_NS,
  };
}
