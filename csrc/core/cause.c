#include "core/cause.h"

#define REPEATED_WITHIN (60 * STWI_S)

static const struct stwi_cause_row rows[] = {
#define ROW(name, slug, cls, pace, permanence, text, remedy)                                       \
  {{STW_CAUSE_##name, slug, STW_CLASS_##cls, text, remedy},                                        \
   STWI_PACE_##pace,                                                                               \
   STWI_PERMANENT_##permanence},
    STW_CAUSE_LIST(ROW)
#undef ROW
};

const struct stwi_cause_row *stwi_cause_row(stw_cause cause) {
  return &rows[(unsigned)cause < STW_CAUSE_COUNT ? cause : STW_CAUSE_CLOSE_OTHER];
}

/* 1005 is how an empty close frame is read, 0 how some callers say it: nothing was wrong.
 * 1006 and 1015 never stand in a frame.  3000, 3003 are registered with IANA.  4400 to 4499 is
 * the custom of graphql-ws and others: 4000 plus the HTTP status; only those whose meaning is
 * settled are read so, the rest is private to the server. */
stw_cause stwi_cause_of_close(uint16_t code) {
  switch (code) {
  case 0:
  case 1000:
  case 1005:
    return STW_CAUSE_CLOSE_NORMAL;
  case 1001:
    return STW_CAUSE_GOING_AWAY;
  case 1002:
  case 1010:
  case 4400:
    return STW_CAUSE_PEER_PROTOCOL;
  case 1003:
  case 1007:
    return STW_CAUSE_BAD_PAYLOAD;
  case 1008:
  case 3003:
  case 4403:
    return STW_CAUSE_POLICY;
  case 1009:
  case 4413:
    return STW_CAUSE_TOO_BIG;
  case 1011:
  case 1014:
    return STW_CAUSE_SERVER_ERROR;
  case 1012:
    return STW_CAUSE_RESTART;
  case 1013:
  case 4429:
    return STW_CAUSE_TRY_LATER;
  case 3000:
  case 4401:
    return STW_CAUSE_AUTH_FAILED;
  case 4409:
    return STW_CAUSE_REPLACED;
  default:
    return STW_CAUSE_CLOSE_OTHER;
  }
}

stw_cause stwi_cause_of_http(uint16_t status) {
  switch (status) {
  case 401:
    return STW_CAUSE_HTTP_401;
  case 403:
    return STW_CAUSE_HTTP_403;
  case 407:
    return STW_CAUSE_PROXY_AUTH;
  case 408: /* the server, too, waited in vain: nothing that would be so for ever */
    return STW_CAUSE_UPGRADE_TIMEOUT;
  case 429:
    return STW_CAUSE_HTTP_429;
  default:
    break;
  }
  if (status >= 300 && status < 400)
    return STW_CAUSE_HTTP_REDIRECT;
  if (status >= 400 && status < 500)
    return STW_CAUSE_HTTP_4XX;
  if (status >= 500 && status < 600)
    return STW_CAUSE_HTTP_5XX;
  return STW_CAUSE_UPGRADE_INVALID;
}

stw_cause stwi_cause_of_phase_timeout(stw_phase phase) {
  switch (phase) {
  case STW_PHASE_TOKEN:
    return STW_CAUSE_TOKEN_FAILED;
  case STW_PHASE_DNS:
    return STW_CAUSE_DNS_TIMEOUT;
  case STW_PHASE_TCP:
    return STW_CAUSE_TCP_TIMEOUT;
  case STW_PHASE_TLS:
    return STW_CAUSE_TLS_TIMEOUT;
  case STW_PHASE_UPGRADE:
  case STW_PHASE_AUTH:
    return STW_CAUSE_UPGRADE_TIMEOUT;
  case STW_PHASE_RESUME:
    return STW_CAUSE_SESSION_ERROR;
  case STW_PHASE_OPENING:
    return STW_CAUSE_READY_TIMEOUT;
  case STW_PHASE_UP:
    return STW_CAUSE_HEARTBEAT_TIMEOUT;
  case STW_PHASE_CLOSING:
  case STW_PHASE_DEAD:
  case STW_PHASE_COUNT:
    break;
  }
  return STW_CAUSE_ABNORMAL_FIN;
}

/* 1011 is not among them: a server in trouble says it about every message. */
bool stwi_cause_blames_message(stw_cause cause) {
  return cause == STW_CAUSE_TOO_BIG || cause == STW_CAUSE_BAD_PAYLOAD ||
         cause == STW_CAUSE_PEER_PROTOCOL;
}

stwi_time stwi_cause_pace(stw_cause cause, struct stwi_pace *pace, const struct stwi_hint *hint,
                          bool ever_online, stwi_time now, struct stwi_random *random) {
  const struct stwi_cause_row *row = stwi_cause_row(cause);
  const enum stwi_pace_kind kind = row->pace == STWI_PACE_NOW ? STWI_PACE_WINDOW : row->pace;
  const stwi_time at = stwi_pace_next(pace, kind, hint, now, random);
  if (hint != NULL && hint->is_given)
    return at;
  if (!ever_online || row->permanence != STWI_PERMANENT_FIRST)
    return at;
  const uint64_t half = pace->cap_ns / 2;
  return now + half + stwi_random_below(random, half + 1);
}

bool stwi_repeat_hit(struct stwi_repeat *repeat, stw_cause cause, stwi_time now) {
  if (stwi_cause_row(cause)->permanence != STWI_PERMANENT_REPEATED)
    return false;
  if (repeat->cause != cause)
    *repeat = (struct stwi_repeat){.cause = cause};
  const stwi_time before_last = repeat->at[0];
  repeat->at[0] = repeat->at[1];
  repeat->at[1] = now == 0 ? 1 : now; /* 0 means never */
  return before_last != 0 && now - before_last <= REPEATED_WITHIN;
}
