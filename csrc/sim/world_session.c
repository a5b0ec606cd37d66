#include "sim/world_inside.h"

#include "core/session_server.h"
#include <stdlib.h>
#include <string.h>

/* One session of a server, found by its cid. */
struct stwi_world_session {
  struct stwi_world_session *next;
  struct stwi_server role;
  uint8_t cid[STWI_CID_BYTES];
  struct stwi_world_link *at; /* its present link, NULL: none */
  uint32_t link;
};

bool stwi_world_session_is_offered(const struct stwi_world_server *server,
                                   const char *subprotocols) {
  const size_t size = strlen(STWI_SESSION_SUBPROTOCOL);
  return server->has_sessions && strncmp(subprotocols, STWI_SESSION_SUBPROTOCOL, size) == 0;
}

static void send_frame(struct stwi_world *world, struct stwi_world_link *link,
                       const struct stwi_sframe *frame) {
  const bool has_payload = frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART;
  const size_t size = has_payload ? frame->u.data.size : 0;
  uint8_t *bytes = malloc(STWI_SFRAME_HEAD_MAX + size);
  if (!stwi_world_has(world, bytes != NULL))
    return;
  const size_t head = world->codec->encode(frame, bytes, STWI_SFRAME_HEAD_MAX);
  if (head == 0)
    stwi_world_break(world, STW_RULE_FRAMES, "the server's frame %u cannot be encoded",
                     frame->type);
  if (size > 0)
    memcpy(bytes + head, frame->u.data.payload, size);
  stwi_world_server_send(world, link, STWI_OP_BINARY, bytes, head + size);
  free(bytes);
}

static struct stwi_world_server *memory_of(const struct stwi_world_link *link) {
  struct stwi_world_server *server = link->server;
  return server->memory == NULL ? server : server->memory;
}

void stwi_world_session_frame(struct stwi_world *world, struct stwi_world_server *server,
                              const struct stwi_sframe *frame) {
  for (struct stwi_world_session *s = server->sessions; s != NULL; s = s->next)
    if (s->at != NULL && !s->at->is_dead)
      send_frame(world, s->at, frame);
}

/* Writes what is due and comes back when more will be. */
static void flush(struct stwi_world *world, struct stwi_world_session *session) {
  struct stwi_world_link *link = session->at;
  struct stwi_sframe frame;
  if (link == NULL || link->is_dead)
    return;
  for (;;) {
    memset(&frame, 0, sizeof frame); /* what its kind does not use is no text either */
    if (!stwi_server_take(&session->role, world->now, &frame))
      break;
    send_frame(world, link, &frame);
    if (frame.type == STWI_SF_CLOSE)
      stwi_world_server_end(world, link, (uint16_t)frame.u.close.code, "");
  }
  const stwi_time due = stwi_server_deadline(&session->role);
  if (due == STWI_NEVER || link->tick_at == due)
    return;
  link->tick_at = due;
  stwi_world_wire_put(world, (struct stwi_world_wire){.at = due < world->now ? world->now : due,
                                                      .kind = STWI_WORLD_TICK,
                                                      .link = link});
}

static struct stwi_world_session *of_link(const struct stwi_world_link *link) {
  for (struct stwi_world_session *s = memory_of(link)->sessions; s != NULL; s = s->next)
    if (s->at == link)
      return s;
  return NULL;
}

void stwi_world_session_tick(struct stwi_world *world, struct stwi_world_link *link) {
  struct stwi_world_session *session = of_link(link);
  link->tick_at = 0;
  if (session != NULL)
    flush(world, session);
}

void stwi_world_session_gone(struct stwi_world_link *link) {
  struct stwi_world_session *session = of_link(link);
  if (session == NULL)
    return;
  stwi_server_lost(&session->role, session->link);
  session->at = NULL;
}

static struct stwi_world_session *find(struct stwi_world *world, struct stwi_world_server *server,
                                       const uint8_t *cid) {
  for (struct stwi_world_session *s = server->sessions; s != NULL; s = s->next)
    if (memcmp(s->cid, cid, STWI_CID_BYTES) == 0)
      return s;
  struct stwi_world_session *session = calloc(1, sizeof *session);
  if (!stwi_world_has(world, session != NULL))
    return NULL;
  memcpy(session->cid, cid, STWI_CID_BYTES);
  stwi_server_init(&session->role, &server->session_options);
  session->next = server->sessions;
  server->sessions = session;
  return session;
}

static void refuse(struct stwi_world *world, struct stwi_world_link *link, uint32_t code,
                   const char *text) {
  const struct stwi_sframe frame = {.type = STWI_SF_REFUSE,
                                    .u.close = {.code = code, .text = {text, strlen(text)}}};
  send_frame(world, link, &frame);
}

static void on_hello(struct stwi_world *world, struct stwi_world_link *link,
                     const struct stwi_sf_hello *hello) {
  struct stwi_world_server *server = link->server;
  server->hellos++;
  if (server->is_mute_to_hello)
    return;
  if (server->refuses != 0) {
    refuse(world, link, server->refuses,
           server->refusal_text == NULL ? "not now" : server->refusal_text);
    return;
  }
  struct stwi_world_server *memory = memory_of(link);
  struct stwi_world_session *session = find(world, memory, hello->cid);
  if (session == NULL)
    return;
  stw_session_claim claim = {.incarnation = memory->incarnation, .principal = ""};
  for (size_t i = 0; i < sizeof claim.random; i++)
    claim.random[i] = (uint8_t)stwi_random_below(&world->random, 256);
  struct stwi_world_link *before = session->at;
  stw_refusal refusal;
  const stw_status status =
      stwi_server_open(&session->role, hello, &claim, &session->link, &refusal);
  if (status != STW_OK) {
    stwi_world_break(world, STW_RULE_FRAMES, "the core's HELLO is refused: %s", session->role.why);
    return;
  }
  if (refusal != STW_REFUSAL_NONE) {
    refuse(world, link, (uint32_t)refusal, session->role.why);
    return;
  }
  session->at = link;
  server->resumes += session->role.resume == STWI_RESUME_FULL;
  if (before != NULL && before != link)
    stwi_world_server_end(world, before, 4409, "another link of this session");
  flush(world, session);
}

static void on_item(struct stwi_world *world, struct stwi_world_link *link,
                    struct stwi_world_session *session, const stw_session_item *item) {
  struct stwi_world_server *server = link->server;
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
    stwi_world_check_received(world, link, item->lane, item->u.message.data, item->u.message.size);
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

void stwi_world_session_read(struct stwi_world *world, struct stwi_world_link *link,
                             const uint8_t *data, size_t size) {
  struct stwi_sframe frame;
  const char *why;
  if (!world->codec->decode(data, size, &frame, &why)) {
    stwi_world_break(world, STW_RULE_FRAMES, "the core wrote a malformed frame on link %u: %s",
                     link->gen, why);
    return;
  }
  struct stwi_world_session *session = of_link(link);
  if (session == NULL) {
    if (frame.type == STWI_SF_HELLO)
      on_hello(world, link, &frame.u.hello);
    else if (!link->is_optimistic)
      stwi_world_break(world, STW_RULE_FRAMES, "frame %u on link %u before a HELLO was taken",
                       frame.type, link->gen);
    return;
  }
  stw_session_item item;
  memset(&item, 0, sizeof item);
  if (stwi_server_check_link(&session->role, session->link, &item) != STW_OK)
    return;
  if (stwi_server_receive(&session->role, &frame, world->now, &item) != STW_OK) {
    stwi_world_break(world, STW_RULE_FRAMES, "the core broke steadwire.v1 on link %u: %s",
                     link->gen, session->role.why);
    return;
  }
  on_item(world, link, session, &item);
  flush(world, session);
}

uint64_t stwi_world_session_say(struct stwi_world *world, struct stwi_world_server *server,
                                stw_lane lane, const char *text) {
  uint64_t number = 0;
  for (struct stwi_world_session *s = server->sessions; s != NULL; s = s->next) {
    stwi_server_send(&s->role, lane, text, strlen(text), true, &number);
    flush(world, s);
  }
  return number;
}

void stwi_world_session_accept(struct stwi_world *world, struct stwi_world_server *server) {
  for (struct stwi_world_session *s = server->sessions; s != NULL; s = s->next) {
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
      const uint64_t received = s->role.lanes[lane].received;
      stwi_server_accept(&s->role, (stw_lane)lane, received, world->now);
      stwi_server_processed(&s->role, (stw_lane)lane, received, world->now);
    }
    flush(world, s);
  }
}

void stwi_world_session_goaway(struct stwi_world *world, struct stwi_world_server *server,
                               uint64_t after_ms, uint64_t spread_ms) {
  for (struct stwi_world_session *s = server->sessions; s != NULL; s = s->next) {
    if (s->at == NULL || s->at->is_dead)
      continue;
    stwi_server_goaway(&s->role, after_ms, spread_ms, "", 1001);
    flush(world, s);
  }
}

void stwi_world_session_close(struct stwi_world *world, struct stwi_world_server *server,
                              uint32_t code) {
  for (struct stwi_world_session *s = server->sessions; s != NULL; s = s->next) {
    if (s->at == NULL)
      continue;
    stwi_server_close(&s->role, code, "bye");
    flush(world, s);
  }
}

void stwi_world_session_forget(struct stwi_world_server *server) {
  while (server->sessions != NULL) {
    struct stwi_world_session *session = server->sessions;
    server->sessions = session->next;
    stwi_server_fini(&session->role);
    free(session);
  }
  server->incarnation++;
}

const struct stwi_server *stwi_world_session_role(const struct stwi_world_server *server) {
  return server->sessions == NULL ? NULL : &server->sessions->role;
}
