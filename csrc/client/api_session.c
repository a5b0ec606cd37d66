#include <steadwire/session.h>

#include <string.h>

#include "client/error.h"
#include "core/mem.h"
#include "core/session_server.h"
#include "core/utf8.h"
#include "io/envelope.h"

enum { HEAD_MAX = STWI_SFRAME_HEAD_MAX + 512 }; /* all of a frame but its payload */
enum { OUT_KEPT = 256 * 1024 }; /* a larger buffer is given back with the next frame */

_Static_assert(STW_SESSION_REFUSAL_MAX >= STWI_SFRAME_HEAD_MAX + STW_SESSION_CLOSE_TEXT_MAX,
               "a refusal fits");

struct stw_session {
  struct stwi_server server;
  uint8_t *out; /* the frame lent by the last take */
  size_t out_size;
};

/* Hands the core's sentence on. */
static stw_status tell(const stw_session *session, stw_status status) {
  return status == STW_OK ? STW_OK : stwi_error(status, "%s", session->server.why);
}

static stw_status check_lane(stw_lane lane) {
  if ((unsigned)lane < STW_LANE_COUNT)
    return STW_OK;
  return stwi_error(STW_E_ARGUMENT, "there is no lane %d", (int)lane);
}

static stw_status malformed(const char *what, const char *why) {
  return stwi_error(STW_E_PROTOCOL, "%s: %s", what, why);
}

/* ---- HELLO ---- */

static stw_status decode_hello(const void *data, size_t size, struct stwi_sframe *frame) {
  const char *why = NULL;
  if (data == NULL || size == 0)
    return malformed("the first message of a link", "it is empty");
  if (!stwi_envelope.decode(data, size, frame, &why))
    return malformed("the first message of a link", why);
  if (frame->type != STWI_SF_HELLO)
    return malformed("the first message of a link", "it is no HELLO");
  if (!stwi_server_hello_is_sound(&frame->u.hello, &why))
    return malformed("the first message of a link", why);
  return STW_OK;
}

stw_status stw_hello_read(const void *data, size_t size, stw_hello *hello, uint32_t *close_code) {
  if (hello == NULL || close_code == NULL || hello->struct_size != sizeof *hello)
    return stwi_error(STW_E_ARGUMENT, "stw_hello_read needs places, and struct_size set");
  struct stwi_sframe frame;
  *close_code = STWI_CLOSE_PROTOCOL;
  const stw_status status = decode_hello(data, size, &frame);
  if (status != STW_OK)
    return status;
  const struct stwi_sf_hello *read = &frame.u.hello;
  *close_code = 0;
  hello->has_token = read->has_token;
  hello->has_incarnation = read->has_incarnation;
  hello->incarnation = read->incarnation;
  hello->auth = read->auth.size == 0 ? "" : read->auth.data;
  hello->auth_size = read->auth.size;
  memcpy(hello->cid, read->cid, sizeof hello->cid);
  memcpy(hello->received, read->received, sizeof hello->received);
  memcpy(hello->processed, read->processed, sizeof hello->processed);
  memcpy(hello->lowest, read->lowest, sizeof hello->lowest);
  memcpy(hello->next, read->next, sizeof hello->next);
  return STW_OK;
}

stw_status stw_refusal_write(stw_refusal refusal, const char *text, void *out, size_t *size) {
  const char *given = text == NULL ? "" : text;
  if (out == NULL || size == NULL || refusal < STW_REFUSAL_STALE || refusal > STW_REFUSAL_BUSY)
    return stwi_error(STW_E_ARGUMENT, "stw_refusal_write needs a refusal and places");
  const size_t length = strnlen(given, STW_SESSION_CLOSE_TEXT_MAX);
  const struct stwi_text cut = {given, stwi_utf8_prefix((const uint8_t *)given, length)};
  const struct stwi_sframe frame = {.type = STWI_SF_REFUSE,
                                    .u.close = {.code = (uint32_t)refusal, .text = cut}};
  *size = stwi_envelope.encode(&frame, out, STW_SESSION_REFUSAL_MAX);
  return *size > 0 ? STW_OK : stwi_error(STW_E_ARGUMENT, "the refusal cannot be written");
}

/* ---- the object ---- */

stw_session *stw_session_new(const stw_session_options *options) {
  stw_session *session = stwi_alloc(sizeof *session);
  if (session == NULL) {
    stwi_error(STW_E_MEMORY, "no memory for a session");
    return NULL;
  }
  session->out = NULL;
  session->out_size = 0;
  if (tell(session, stwi_server_init(&session->server, options)) == STW_OK)
    return session;
  stw_session_free(session);
  return NULL;
}

void stw_session_free(stw_session *session) {
  if (session == NULL)
    return;
  stwi_server_fini(&session->server);
  stwi_free(session->out);
  explicit_bzero(session, sizeof *session);
  stwi_free(session);
}

stw_status stw_session_save(const stw_session *session, void *out, size_t *size) {
  if (session == NULL || out == NULL || size == NULL)
    return stwi_error(STW_E_ARGUMENT, "stw_session_save needs a session and places");
  if (stwi_server_save(&session->server, out, size) == STW_OK)
    return STW_OK;
  return stwi_error(STW_E_STATE, "the session was never opened: there is nothing to save");
}

stw_status stw_session_load(stw_session *session, const void *data, size_t size) {
  if (session == NULL || data == NULL)
    return stwi_error(STW_E_ARGUMENT, "stw_session_load needs a session and its state");
  return tell(session, stwi_server_load(&session->server, data, size));
}

static stw_status check_message(const stw_session *session, stw_lane lane, const void *data,
                                size_t size) {
  if (session == NULL || (data == NULL && size > 0))
    return stwi_error(STW_E_ARGUMENT, "a message needs a session and its bytes");
  return check_lane(lane);
}

stw_status stw_session_restore(stw_session *session, stw_lane lane, uint64_t number,
                               const void *data, size_t size, bool is_text) {
  const stw_status status = check_message(session, lane, data, size);
  if (status != STW_OK)
    return status;
  return tell(session, stwi_server_restore(&session->server, lane, number, data, size, is_text));
}

/* ---- links ---- */

stw_status stw_session_open(stw_session *session, const stw_session_claim *claim, uint64_t now,
                            uint32_t *link, stw_refusal *refusal) {
  (void)now;
  if (session == NULL || claim == NULL || link == NULL || refusal == NULL ||
      claim->struct_size != sizeof *claim)
    return stwi_error(STW_E_ARGUMENT, "stw_session_open needs places, and struct_size set");
  struct stwi_sframe frame;
  const stw_status status = decode_hello(claim->hello, claim->hello_size, &frame);
  if (status != STW_OK)
    return status;
  session->server.why[0] = '\0';
  const stw_status opened =
      stwi_server_open(&session->server, &frame.u.hello, claim, link, refusal);
  if (opened == STW_OK && *refusal != STW_REFUSAL_NONE)
    stwi_error(STW_OK, "%s", session->server.why);
  return tell(session, opened);
}

void stw_session_lost(stw_session *session, uint32_t link) {
  if (session != NULL)
    stwi_server_lost(&session->server, link);
}

stw_status stw_session_receive(stw_session *session, uint32_t link, const void *data, size_t size,
                               uint64_t now, stw_session_item *item) {
  if (session == NULL || item == NULL || (data == NULL && size > 0))
    return stwi_error(STW_E_ARGUMENT, "stw_session_receive needs a session, bytes and a place");
  struct stwi_server *server = &session->server;
  stw_status status = stwi_server_check_link(server, link, item);
  if (status != STW_OK)
    return tell(session, status);
  struct stwi_sframe frame;
  const char *why = "it is empty";
  if (size > 0 && stwi_envelope.decode(data, size, &frame, &why))
    status = stwi_server_receive(server, &frame, now, item);
  else
    status = stwi_server_break(server, STWI_CLOSE_PROTOCOL, why, item);
  return tell(session, status);
}

/* Room for `size` bytes of a frame. */
static bool has_room(stw_session *session, size_t size) {
  if (size <= session->out_size && (size > OUT_KEPT || session->out_size <= OUT_KEPT))
    return true;
  uint8_t *out = stwi_realloc(session->out, size);
  if (out == NULL)
    return size <= session->out_size;
  session->out = out;
  session->out_size = size;
  return true;
}

static stw_status encode(stw_session *session, const struct stwi_sframe *frame, size_t *size) {
  const bool has_payload = frame->type == STWI_SF_DATA || frame->type == STWI_SF_PART;
  const size_t payload = has_payload ? frame->u.data.size : 0;
  const size_t head = stwi_envelope.encode(frame, session->out, session->out_size - payload);
  if (head == 0)
    return stwi_error(STW_E_STATE, "a frame of type %u cannot be written", frame->type);
  if (payload > 0)
    memcpy(session->out + head, frame->u.data.payload, payload);
  *size = head + payload;
  return STW_OK;
}

stw_status stw_session_take(stw_session *session, uint32_t link, uint64_t now, const void **data,
                            size_t *size) {
  if (session == NULL || data == NULL || size == NULL)
    return stwi_error(STW_E_ARGUMENT, "stw_session_take needs a session and places");
  *size = 0;
  struct stwi_server *server = &session->server;
  if (link != server->link) {
    return stwi_error(STW_E_STATE, "link %u is not the newest: link %u has taken over", link,
                      server->link);
  }
  const size_t largest = stwi_server_next_size(server) + HEAD_MAX;
  if (!has_room(session, largest))
    return stwi_error(STW_E_MEMORY, "no memory for a frame of %zu bytes", largest);
  struct stwi_sframe frame;
  if (!stwi_server_take(server, now, &frame))
    return STW_OK;
  *data = session->out;
  return encode(session, &frame, size);
}

uint64_t stw_session_deadline(const stw_session *session) {
  return session == NULL ? STW_SESSION_NEVER : stwi_server_deadline(&session->server);
}

/* ---- what the host says ---- */

static stw_status check_cursor(const stw_session *session, stw_lane lane) {
  if (session == NULL)
    return stwi_error(STW_E_ARGUMENT, "the session is NULL");
  return check_lane(lane);
}

stw_status stw_session_accept(stw_session *session, stw_lane lane, uint64_t upto, uint64_t now) {
  const stw_status status = check_cursor(session, lane);
  if (status != STW_OK)
    return status;
  return tell(session, stwi_server_accept(&session->server, lane, upto, now));
}

stw_status stw_session_processed(stw_session *session, stw_lane lane, uint64_t upto, uint64_t now) {
  const stw_status status = check_cursor(session, lane);
  if (status != STW_OK)
    return status;
  return tell(session, stwi_server_processed(&session->server, lane, upto, now));
}

stw_status stw_session_send(stw_session *session, stw_lane lane, const void *data, size_t size,
                            bool is_text, uint64_t *number) {
  if (number == NULL)
    return stwi_error(STW_E_ARGUMENT, "stw_session_send needs a place for the number");
  const stw_status status = check_message(session, lane, data, size);
  if (status != STW_OK)
    return status;
  return tell(session, stwi_server_send(&session->server, lane, data, size, is_text, number));
}

stw_status stw_session_goaway(stw_session *session, uint64_t after_ms, uint64_t spread_ms,
                              const char *location, uint32_t code) {
  if (session == NULL)
    return stwi_error(STW_E_ARGUMENT, "the session is NULL");
  return tell(session, stwi_server_goaway(&session->server, after_ms, spread_ms, location, code));
}

stw_status stw_session_close(stw_session *session, uint32_t code, const char *text) {
  if (session == NULL)
    return stwi_error(STW_E_ARGUMENT, "the session is NULL");
  return tell(session, stwi_server_close(&session->server, code, text));
}

stw_status stw_session_auth(stw_session *session, bool is_ok, uint64_t expires_ms) {
  if (session == NULL)
    return stwi_error(STW_E_ARGUMENT, "the session is NULL");
  return tell(session, stwi_server_auth(&session->server, is_ok, expires_ms));
}

void stw_session_look(const stw_session *session, stw_session_view *view) {
  if (session != NULL && view != NULL && view->struct_size == sizeof *view)
    stwi_server_look(&session->server, view);
}
