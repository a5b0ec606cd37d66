/* Lent events of the mailbox become Python values, a run of messages at a time.
 *
 * Values are handed over inside one call: an exception between two bytecodes of the caller (a
 * signal, a cancellation) cannot lose any. What does not fit stays lent and comes first next time.
 */
#include "module.h"

struct drain {
  struct core_conn *self;
  struct core_state *state;
  PyObject *messages; /* borrowed: what has extend() for runs of messages, append() for events */
  PyObject *events;   /* borrowed: what has append() */
  size_t messages_left;
  size_t bytes_left;
  size_t bytes;
  bool is_raw;     /* str and bytes in place of Message */
  bool is_ordered; /* events go among the messages too */
};

static PyObject *call_one(PyObject *object, PyObject *method, PyObject *argument) {
  return PyObject_CallMethodObjArgs(object, method, argument, NULL);
}

static int hand_over(PyObject *object, PyObject *method, PyObject *argument) {
  PyObject *none = call_one(object, method, argument);
  Py_XDECREF(none);
  return none ? 0 : -1;
}

/* How many messages in a row are lent and wanted; at least one if the first lent is a message. */
static size_t run_length(const struct drain *drain, size_t *bytes) {
  const struct core_conn *self = drain->self;
  size_t length = 0;
  *bytes = 0;
  for (size_t i = self->lent_next; i < self->lent_count && length < drain->messages_left; i++) {
    const stw_event *event = self->lent[i];
    if (event->kind != STW_EVENT_MESSAGE)
      break;
    if (length && *bytes + event->u.message.size > drain->bytes_left)
      break;
    *bytes += event->u.message.size;
    length++;
  }
  return length;
}

static PyObject *message_of(const struct drain *drain, const stw_event *event) {
  PyObject *raw = core_message_raw(event);
  if (drain->is_raw || !raw)
    return raw;
  PyObject *conn = drain->self->is_manual ? (PyObject *)drain->self : NULL;
  return core_message_new(drain->state, raw, event, conn);
}

static void note_given(struct core_conn *self, const stw_event *event) {
  uint64_t number = event->u.message.id.number;
  if (number && event->u.message.lane < STW_LANE_COUNT)
    self->given[event->u.message.lane] = number;
}

static int give_run(struct drain *drain, size_t length, size_t bytes) {
  struct core_conn *self = drain->self;
  PyObject *run = PyList_New((Py_ssize_t)length);
  if (!run)
    return -1;
  for (size_t i = 0; i < length; i++) {
    PyObject *item = message_of(drain, self->lent[self->lent_next + i]);
    if (!item || PyList_SetItem(run, (Py_ssize_t)i, item) < 0) {
      Py_DECREF(run);
      return -1;
    }
  }
  int answer = hand_over(drain->messages, drain->state->extend, run);
  Py_DECREF(run);
  if (answer < 0)
    return -1;
  for (size_t i = 0; i < length; i++)
    note_given(self, self->lent[self->lent_next + i]);
  self->lent_next += length;
  drain->messages_left -= length;
  drain->bytes_left -= bytes < drain->bytes_left ? bytes : drain->bytes_left;
  drain->bytes += bytes;
  return 0;
}

static int give_event(struct drain *drain) {
  struct core_conn *self = drain->self;
  PyObject *event = core_event_tuple(self->lent[self->lent_next]);
  if (!event)
    return -1;
  int answer = hand_over(drain->events, drain->state->append, event);
  if (answer == 0 && drain->is_ordered)
    answer = hand_over(drain->messages, drain->state->append, event);
  Py_DECREF(event);
  if (answer == 0)
    self->lent_next++;
  return answer;
}

static int give_lent(struct drain *drain) {
  struct core_conn *self = drain->self;
  while (self->lent_next < self->lent_count) {
    if (self->lent[self->lent_next]->kind != STW_EVENT_MESSAGE) {
      if (give_event(drain) < 0)
        return -1;
      continue;
    }
    if (!drain->messages_left || !drain->bytes_left)
      return 0;
    size_t bytes = 0;
    size_t length = run_length(drain, &bytes);
    if (give_run(drain, length, bytes) < 0)
      return -1;
  }
  return 0;
}

/* 0 when the mailbox is empty or enough was given. */
static int run_drain(struct drain *drain) {
  struct core_conn *self = drain->self;
  int fd =
      stw_mailbox_fd(self->mailbox); /* refuses in a forked child, where lent events are stale */
  if (fd < 0) {
    core_raise(drain->state, (stw_status)fd, NULL);
    return -1;
  }
  while (true) {
    if (give_lent(drain) < 0)
      return -1;
    if (self->lent_next < self->lent_count || !drain->messages_left || !drain->bytes_left)
      return 0;
    size_t count = 0;
    stw_status status = stw_mailbox_drain(self->mailbox, self->lent, CORE_LENT_MAX, &count);
    self->lent_next = 0;
    self->lent_count = status == STW_OK ? count : 0;
    if (status != STW_OK) {
      core_raise(drain->state, status, NULL);
      return -1;
    }
    if (!count)
      return 0;
  }
}

static int read_arguments(PyObject *const *args, struct drain *drain) {
  drain->messages = args[0];
  drain->events = args[1];
  drain->messages_left = PyLong_AsSize_t(args[2]);
  drain->bytes_left = PyLong_AsSize_t(args[3]);
  if (PyErr_Occurred())
    return -1;
  int is_raw = PyObject_IsTrue(args[4]);
  int is_ordered = PyObject_IsTrue(args[5]);
  if (is_raw < 0 || is_ordered < 0)
    return -1;
  drain->is_raw = is_raw;
  drain->is_ordered = is_ordered;
  return 0;
}

PyObject *core_conn_drain(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  struct drain drain = {.self = self, .state = core_state_of(object)};
  if (core_check_count("drain", nargs, 6, 6) < 0 || read_arguments(args, &drain) < 0)
    return NULL;
  if (self->is_draining)
    return core_raise(drain.state, STW_E_BUSY, "this mailbox is being drained");
  self->is_draining = true;
  int answer = run_drain(&drain);
  self->is_draining = false;
  return answer < 0 ? NULL : PyLong_FromSize_t(drain.bytes);
}

/* The longest stretch without a look at the interpreter's signals. */
#define WAIT_SLICE_MS 100

static int wait_once(struct core_conn *self, struct core_state *state, int64_t slice_ms) {
  stw_mailbox mailbox = self->mailbox;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_mailbox_wait(mailbox, slice_ms);
  Py_END_ALLOW_THREADS if (status == STW_OK) return 1;
  if (status == STW_E_TIMEOUT || status == STW_E_INTERRUPTED)
    return PyErr_CheckSignals() < 0 ? -1 : 0;
  core_raise(state, status, NULL);
  return -1;
}

PyObject *core_conn_wait(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  if (core_check_count("wait", nargs, 1, 1) < 0)
    return NULL;
  double left_ms = PyFloat_AsDouble(args[0]) * 1000.0;
  if (PyErr_Occurred())
    return NULL;
  if (self->lent_next < self->lent_count)
    Py_RETURN_TRUE;
  struct core_state *state = core_state_of(object);
  do {
    int64_t slice_ms =
        left_ms < WAIT_SLICE_MS ? (left_ms > 0.0 ? (int64_t)left_ms : 0) : WAIT_SLICE_MS;
    int answer = wait_once(self, state, slice_ms);
    if (answer < 0)
      return NULL;
    if (answer)
      Py_RETURN_TRUE;
    left_ms -= WAIT_SLICE_MS;
  } while (left_ms > 0.0);
  Py_RETURN_FALSE;
}
