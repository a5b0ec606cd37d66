#include <string.h>

#include "module.h"

const char *core_text(struct core_state *state, PyObject *object, const char *what) {
  if (!PyUnicode_Check(object)) {
    PyErr_Format(PyExc_TypeError, "%s must be a str, not %R", what, (PyObject *)Py_TYPE(object));
    return NULL;
  }
  Py_ssize_t size = 0;
  const char *text = PyUnicode_AsUTF8AndSize(object, &size);
  if (!text)
    return NULL;
  if (strlen(text) == (size_t)size)
    return text;
  char sentence[96];
  PyOS_snprintf(sentence, sizeof sentence, "%s contains a NUL character; remove it", what);
  core_raise(state, STW_E_URL, sentence);
  return NULL;
}

int core_optional_text(struct core_state *state, PyObject *object, const char *what,
                       const char **text) {
  *text = NULL;
  if (object == Py_None)
    return 0;
  *text = core_text(state, object, what);
  return *text ? 0 : -1;
}

int core_u64(PyObject *object, const char *what, uint64_t *value) {
  *value = PyLong_AsUnsignedLongLong(object);
  if (*value != UINT64_MAX || !PyErr_Occurred())
    return 0;
  if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s must be from 0 to 2**64 - 1", what);
  }
  return -1;
}

PyObject *core_str(const char *text) {
  if (!text)
    text = "";
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

int core_payload_borrow(PyObject *object, struct core_payload *payload) {
  payload->is_text = PyUnicode_Check(object);
  payload->has_view = false;
  if (payload->is_text || PyBytes_Check(object)) {
    Py_ssize_t size = 0;
    char *bytes = NULL;
    if (payload->is_text)
      payload->data = PyUnicode_AsUTF8AndSize(object, &size);
    else
      payload->data = PyBytes_AsStringAndSize(object, &bytes, &size) < 0 ? NULL : bytes;
    payload->size = (size_t)size;
    return payload->data ? 0 : -1;
  }
  if (!PyObject_CheckBuffer(object)) {
    PyErr_Format(PyExc_TypeError,
                 "a message is a str (text) or bytes-like (binary), not %R; connect with "
                 "codec=\"json\" to send other objects",
                 (PyObject *)Py_TYPE(object));
    return -1;
  }
  if (PyObject_GetBuffer(object, &payload->view, PyBUF_SIMPLE) < 0)
    return -1;
  payload->has_view = true;
  payload->data = payload->view.buf;
  payload->size = (size_t)payload->view.len;
  return 0;
}

void core_payload_release(struct core_payload *payload) {
  if (payload->has_view)
    PyBuffer_Release(&payload->view);
  payload->has_view = false;
}

static PyObject *phases_of(const stw_event *event) {
  PyObject *phases = PyTuple_New(STW_PHASE_COUNT);
  for (int i = 0; phases && i < STW_PHASE_COUNT; i++) {
    PyObject *ns = PyLong_FromUnsignedLongLong(event->u.state.phase_ns[i]);
    if (!ns || PyTuple_SetItem(phases, i, ns) < 0)
      Py_CLEAR(phases);
  }
  return phases;
}

static PyObject *bool_of(bool value) {
  return PyBool_FromLong(value);
}

static PyObject *state_fields(const stw_event *event) {
  return Py_BuildValue("(iIKiiiIKiiNNN)", (int)event->kind, event->link,
                       (unsigned long long)event->at_ns, (int)event->u.state.from,
                       (int)event->u.state.to, (int)event->u.state.cause, event->u.state.attempt,
                       (unsigned long long)event->u.state.delay_ns, (int)event->u.state.close_code,
                       (int)event->u.state.http_status, bool_of(event->u.state.resumed),
                       phases_of(event), core_str(event->u.state.detail));
}

static PyObject *retry_fields(const stw_event *event) {
  return Py_BuildValue("(iIKiIKiiN)", (int)event->kind, event->link,
                       (unsigned long long)event->at_ns, (int)event->u.retry.cause,
                       event->u.retry.attempt, (unsigned long long)event->u.retry.delay_ns,
                       (int)event->u.retry.close_code, (int)event->u.retry.http_status,
                       core_str(event->u.retry.detail));
}

static PyObject *ended_fields(const stw_event *event) {
  return Py_BuildValue(
      "(iIKKKiiN)", (int)event->kind, event->link, (unsigned long long)event->at_ns,
      (unsigned long long)event->u.ended.id.stream, (unsigned long long)event->u.ended.id.number,
      (int)event->u.ended.state, (int)event->u.ended.cause, core_str(event->u.ended.detail));
}

PyObject *core_event_tuple(const stw_event *event) {
  int kind = (int)event->kind;
  unsigned long long at = event->at_ns;
  switch (event->kind) {
  case STW_EVENT_STATE:
    return state_fields(event);
  case STW_EVENT_RETRY:
    return retry_fields(event);
  case STW_EVENT_MESSAGE_ENDED:
    return ended_fields(event);
  case STW_EVENT_PROOF:
    return Py_BuildValue("(iIKiiKKK)", kind, event->link, at, (int)event->u.proof.proof,
                         (int)event->u.proof.lane, (unsigned long long)event->u.proof.upto,
                         (unsigned long long)event->u.proof.after,
                         (unsigned long long)event->u.proof.settled);
  case STW_EVENT_REPLAY:
    return Py_BuildValue("(iIKKK)", kind, event->link, at,
                         (unsigned long long)event->u.replay.messages,
                         (unsigned long long)event->u.replay.bytes);
  case STW_EVENT_GAP:
    return Py_BuildValue("(iIKiNKiKK)", kind, event->link, at, (int)event->u.gap.reason,
                         bool_of(event->u.gap.known), (unsigned long long)event->u.gap.messages,
                         (int)event->u.gap.lane, (unsigned long long)event->u.gap.from,
                         (unsigned long long)event->u.gap.to);
  case STW_EVENT_STALE:
    return Py_BuildValue("(iIKK)", kind, event->link, at,
                         (unsigned long long)event->u.stale.silence_ns);
  case STW_EVENT_CREDENTIALS_NEEDED:
    return Py_BuildValue("(iIKIiK)", kind, event->link, at, event->u.credentials.attempt,
                         (int)event->u.credentials.why,
                         (unsigned long long)event->u.credentials.deadline_ns);
  case STW_EVENT_CLOSED:
    return Py_BuildValue("(iIKiKN)", kind, event->link, at, (int)event->u.closed.cause,
                         (unsigned long long)event->u.closed.undelivered,
                         core_str(event->u.closed.detail));
  case STW_EVENT_STORE:
    return Py_BuildValue("(iIKiKN)", kind, event->link, at, (int)event->u.store.health,
                         (unsigned long long)event->u.store.messages,
                         core_str(event->u.store.detail));
  case STW_EVENT_SESSION_STALE:
    return Py_BuildValue("(iIKKN)", kind, event->link, at,
                         (unsigned long long)event->u.session_stale.messages,
                         core_str(event->u.session_stale.detail));
  case STW_EVENT_DOWNGRADED:
  case STW_EVENT_MESSAGE:
  case STW_EVENT_PAUSED:
  case STW_EVENT_RESUMED:
  case STW_EVENT_OUTBOX_ROOM:
  case STW_EVENT_NO_PONG:
  case STW_EVENT_COUNT:
    break;
  }
  return Py_BuildValue("(iIK)", kind, event->link, at);
}
