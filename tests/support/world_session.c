#include "world_inside.h"

#include "core/session_server.h"
#include "io/envelope.h"

#include <stdlib.h>
#include <string.h>

/* One session of a server, found by its cid. */
struct world_session {
  struct world_session *next;
  struct stwi_server role;
  uint8_t cid[STWI_CID_BYTES];
  struct world_link *at; /* its present link, NULL: none */
  uint32_t link;
};

bool world_session_is_offered(const struct world_server *server, const char *subprotocols) {
  const size_t size = strlen(STWI_SESSION_SUBPROTOCOL);
  return server->has_sessions && strncmp(subprotocols, STWI_SESSION_SUBPROTOCOL, size) == 0;
}

static void send_frame(struct world *world, struct world_link *link,
                       const struct stwi_sframe *frame) {
  const bool has_payload = frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART;
  const size_t size = has_payload ? frame->u.data.size : 0;
  uint8_t *bytes = malloc(STWI_SFRAME_HEAD_MAX + size);
  const size_t head = stwi_envelope.encode(frame, bytes, STWI_SFRAME_HEAD_MAX);
  if (head == 0)
    world_break(world, "the server's frame %u cannot be encoded", frame->type);
  if (size > 0)
    memcpy(bytes + head, frame->u.data.payload, size);
  world_server_send(world, link, STWI_OP_BINARY, bytes, head + size);
  free(bytes);
}

void world_session_frame(struct world *world, struct world_server *server,
                         const struct stwi_sframe *frame) {
  for (struct world_session *s = server->sessions; s != NULL; s = s->next)
    if (s->at != NULL && !s->at->is_dead)
      send_frame(world, s->at, frame);
}

/* Writes what is due and comes back when more will be. */
static void flush(struct world *world, struct world_session *session) {
  struct world_link *link = session->at;
  struct stwi_sframe frame;
  if (link == NULL || link->is_dead)
    return;
  while (stwi_server_take(&session->role, world->now, &frame)) {
    send_frame(world, link, &frame);
    if (frame.type == STWI_SF_CLOSE)
      world_server_end(world, link, (uint16_t)frame.u.close.code, "");
  }
  const stwi_time due = stwi_server_deadline(&session->role);
  if (due == STWI_NEVER || link->tick_at == due)
    return;
  link->tick_at = due;
  world_wire_put(world, (struct world_wire){.at = due < world->now ? world->now : due,
                                            .kind = WORLD_TICK,
                                            .link = link});
}

static struct world_session *of_link(const struct world_link *link) {
  for (struct world_session *s = link->server->sessions; s != NULL; s = s->next)
    if (s->at == link)
      return s;
  return NULL;
}

void world_session_tick(struct world *world, struct world_link *link) {
  struct world_session *session = of_link(link);
  link->tick_at = 0;
  if (session != NULL)
    flush(world, session);
}

void world_session_gone(struct world_link *link) {
  struct world_session *session = of_link(link);
  if (session == NULL)
    return;
  stwi_server_lost(&session->role, session->link);
  session->at = NULL;
}

static struct world_session *find(struct world_server *server, const uint8_t *cid) {
  for (struct world_session *s = server->sessions; s != NULL; s = s->next)
    if (memcmp(s->cid, cid, STWI_CID_BYTES) == 0)
      return s;
  struct world_session *session = calloc(1, sizeof *session);
  memcpy(session->cid, cid, STWI_CID_BYTES);
  stwi_server_init(&session->role, &server->session_options);
  session->next = server->sessions;
  server->sessions = session;
  return session;
}

static void refuse(struct world *world, struct world_link *link, uint32_t code, const char *text) {
  const struct stwi_sframe frame = {.type = STWI_SF_REFUSE,
                                    .u.close = {.code = code, .text = {text, strlen(text)}}};
  send_frame(world, link, &frame);
}

static void on_hello(struct world *world, struct world_link *link,
                     const struct stwi_sf_hello *hello) {
  struct world_server *server = link->server;
  server->hellos++;
  if (server->is_mute_to_hello)
    return;
  if (server->refuses != 0) {
    refuse(world, link, server->refuses,
           server->refusal_text == NULL ? "not now" : server->refusal_text);
    return;
  }
  struct world_session *session = find(server, hello->cid);
  stw_session_claim claim = {.incarnation = server->incarnation, .principal = ""};
  for (size_t i = 0; i < sizeof claim.random; i++)
    claim.random[i] = (uint8_t)stwi_random_below(&world->random, 256);
  struct world_link *before = session->at;
  stw_refusal refusal;
  const stw_status status =
      stwi_server_open(&session->role, hello, &claim, &session->link, &refusal);
  if (status != STW_OK) {
    world_break(world, "the core's HELLO is refused: %s", session->role.why);
    return;
  }
  if (refusal != STW_REFUSAL_NONE) {
    refuse(world, link, (uint32_t)refusal, session->role.why);
    return;
  }
  session->at = link;
  server->resumes += session->role.resume == STWI_RESUME_FULL;
  if (before != NULL && before != link)
    world_server_end(world, before, 4409, "another link of this session");
  flush(world, session);
}

static void on_item(struct world *world, struct world_link *link, struct world_session *session,
                    const stw_session_item *item) {
  struct world_server *server = link->server;
  switch (item->kind) {
  case STW_SESSION_MESSAGE:
    if (item->u.message.number == 0) {
      link->openings++;
      link->openings_before += link->messages == 0;
      if (server->opening_reply != NULL)
        stwi_server_send(&session->role, STW_LANE_DATA, server->opening_reply,
                         strlen(server->opening_reply), true, &(uint64_t){0});
      return;
    }
    server->replays += item->u.message.is_replayed;
    if (item->lane == STW_LANE_DATA)
      world_check_received(world, link, item->u.message.data, item->u.message.size);
    if (server->has_echo)
      stwi_server_send(&session->role, item->lane, item->u.message.data, item->u.message.size,
                       item->u.message.is_text, &(uint64_t){0});
    if (server->session_options.says_processed)
      stwi_server_processed(&session->role, item->lane, item->u.message.number, world->now);
    return;
  case STW_SESSION_GAP:
    server->gaps += item->u.gap.to - item->u.gap.from + 1;
    return;
  case STW_SESSION_AUTH:
    server->auths++;
    stwi_server_auth(&session->role, !server->refuses_auth, 0);
    return;
  default:
    return;
  }
}

void world_session_read(struct world *world, struct world_link *link, const uint8_t *data,
                        size_t size) {
  struct stwi_sframe frame;
  const char *why;
  if (!stwi_envelope.decode(data, size, &frame, &why)) {
    world_break(world, "the core wrote a malformed frame on link %u: %s", link->gen, why);
    return;
  }
  struct world_session *session = of_link(link);
  if (session == NULL) {
    if (frame.type == STWI_SF_HELLO)
      on_hello(world, link, &frame.u.hello);
    else if (!link->is_optimistic)
      world_break(world, "frame %u on link %u before a HELLO was taken", frame.type, link->gen);
    return;
  }
  stw_session_item item;
  memset(&item, 0, sizeof item);
  if (stwi_server_check_link(&session->role, session->link, &item) != STW_OK)
    return;
  if (stwi_server_receive(&session->role, &frame, world->now, &item) != STW_OK) {
    world_break(world, "the core broke steadwire.v1 on link %u: %s", link->gen, session->role.why);
    return;
  }
  on_item(world, link, session, &item);
  flush(world, session);
}

uint64_t world_session_say(struct world *world, struct world_server *server, stw_lane lane,
                           const char *text) {
  uint64_t number = 0;
  for (struct world_session *s = server->sessions; s != NULL; s = s->next) {
    stwi_server_send(&s->role, lane, text, strlen(text), true, &number);
    flush(world, s);
  }
  return number;
}

void world_session_accept(struct world *world, struct world_server *server) {
  for (struct world_session *s = server->sessions; s != NULL; s = s->next) {
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
      const uint64_t received = s->role.lanes[lane].received;
      stwi_server_accept(&s->role, (stw_lane)lane, received, world->now);
      stwi_server_processed(&s->role, (stw_lane)lane, received, world->now);
    }
    flush(world, s);
  }
}

void world_session_goaway(struct world *world, struct world_server *server, uint64_t after_ms,
                          uint64_t spread_ms) {
  for (struct world_session *s = server->sessions; s != NULL; s = s->next) {
    if (s->at == NULL)
      continue;
    stwi_server_goaway(&s->role, after_ms, spread_ms, "", 1001);
    flush(world, s);
  }
}

void world_session_close(struct world *world, struct world_server *server, uint32_t code) {
  for (struct world_session *s = server->sessions; s != NULL; s = s->next) {
    if (s->at == NULL)
      continue;
    stwi_server_close(&s->role, code, "bye");
    flush(world, s);
  }
}

void world_session_forget(struct world_server *server) {
  while (server->sessions != NULL) {
    struct world_session *session = server->sessions;
    server->sessions = session->next;
    stwi_server_fini(&session->role);
    free(session);
  }
  server->incarnation++;
}

const struct stwi_server *world_session_role(const struct world_server *server) {
  return server->sessions == NULL ? NULL : &server->sessions->role;
}
