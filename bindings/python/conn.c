#include <string.h>

#include "module.h"

static void let_go(struct core_conn *self) {
  self->lent_next = self->lent_count = 0;
  if (self->has_conn)
    (void)stw_conn_free(self->conn);
  if (self->has_mailbox)
    (void)stw_mailbox_free(self->mailbox);
  self->has_conn = self->has_mailbox = false;
}

static stw_status open_conn(struct core_conn *self, PyObject *config) {
  stw_status status = stw_mailbox_new(&self->mailbox);
  if (status != STW_OK)
    return status;
  self->has_mailbox = true;
  const stw_config *settings = core_config_handle(config);
  const char *processed = stw_config_get(settings, "processed");
  self->is_manual = processed && strcmp(processed, "manual") == 0;
  stw_engine engine = core_engine_handle(self->engine);
  stw_mailbox mailbox = self->mailbox;
  stw_conn *conn = &self->conn;
  Py_BEGIN_ALLOW_THREADS status = stw_conn_open(engine, mailbox, settings, conn);
  Py_END_ALLOW_THREADS self->has_conn = status == STW_OK;
  return status;
}

static PyObject *conn_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"engine", "config", NULL};
  struct core_state *state = PyType_GetModuleState(type);
  PyObject *engine, *config;
  if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!:Conn", names, state->engine_type,
                                             &engine, state->config_type, &config))
    return NULL;
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  struct core_conn *self = (struct core_conn *)alloc(type, 0);
  if (!self)
    return NULL;
  self->engine = Py_NewRef(engine);
  stw_status status = open_conn(self, config);
  if (status == STW_OK)
    return (PyObject *)self;
  core_raise(state, status, NULL);
  Py_DECREF(self);
  return NULL;
}

static void conn_dealloc(PyObject *object) {
  struct core_conn *self = (struct core_conn *)object;
  PyTypeObject *type = Py_TYPE(object);
  let_go(self);
  Py_CLEAR(self->engine);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(object);
  Py_DECREF(type);
}

PyDoc_STRVAR(free_doc, "free($self, /)\n--\n\n"
                       "Cuts the conn if it is open and gives up its descriptor; twice is fine.");

static PyObject *conn_free(PyObject *object, PyObject *Py_UNUSED(none)) {
  struct core_conn *self = (struct core_conn *)object;
  if (self->is_draining)
    return core_raise(core_state_of(object), STW_E_BUSY, "this mailbox is being drained");
  let_go(self);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(fd_doc, "fd($self, /)\n--\n\nThe descriptor to poll for reading.");

static PyObject *conn_fd(PyObject *object, PyObject *Py_UNUSED(none)) {
  int fd = stw_mailbox_fd(((struct core_conn *)object)->mailbox);
  return fd < 0 ? core_raise(core_state_of(object), (stw_status)fd, NULL) : PyLong_FromLong(fd);
}

PyDoc_STRVAR(close_doc, "close($self, timeout_ms, /)\n--\n\n"
                        "Refuses new messages and closes when all is proven or the time is over.");

static PyObject *conn_close(PyObject *object, PyObject *timeout) {
  uint64_t timeout_ms;
  if (core_u64(timeout, "timeout_ms", &timeout_ms) < 0)
    return NULL;
  stw_status status = stw_conn_close(((struct core_conn *)object)->conn, timeout_ms);
  return core_none_or_raise(core_state_of(object), status);
}

PyDoc_STRVAR(reopen_doc, "reopen($self, /)\n--\n\nOpens a closed or failed conn again.");

static PyObject *conn_reopen(PyObject *object, PyObject *Py_UNUSED(none)) {
  stw_status status = stw_conn_reopen(((struct core_conn *)object)->conn);
  return core_none_or_raise(core_state_of(object), status);
}

PyDoc_STRVAR(kick_doc, "kick($self, /)\n--\n\nEnds a wait between attempts now.");

static PyObject *conn_kick(PyObject *object, PyObject *Py_UNUSED(none)) {
  stw_status status = stw_conn_kick(((struct core_conn *)object)->conn);
  return core_none_or_raise(core_state_of(object), status);
}

PyDoc_STRVAR(ready_doc, "ready($self, /)\n--\n\nSays that the server has accepted the opening.");

static PyObject *conn_ready(PyObject *object, PyObject *Py_UNUSED(none)) {
  stw_status status = stw_conn_ready(((struct core_conn *)object)->conn);
  return core_none_or_raise(core_state_of(object), status);
}

PyDoc_STRVAR(look_doc,
             "look($self, /)\n--\n\n"
             "(state, is closing, cause, attempt, link, since ns, next attempt ns, rtt ns,\n"
             "outbox messages, outbox bytes, stream, number, close code, http status, detail,\n"
             "subprotocol, endpoint, control number, parked, has session, has store)");

static PyObject *conn_look(PyObject *object, PyObject *Py_UNUSED(none)) {
  stw_conn_view view = {.struct_size = sizeof view};
  stw_status status = stw_conn_look(((struct core_conn *)object)->conn, &view);
  if (status != STW_OK)
    return core_raise(core_state_of(object), status, NULL);
  return Py_BuildValue(
      "(iNiIIKKKKKKKiiNNNKKNN)", (int)view.state, PyBool_FromLong(view.is_closing), (int)view.cause,
      view.attempt, view.link, (unsigned long long)view.since_ns,
      (unsigned long long)view.next_attempt_ns, (unsigned long long)view.rtt_ns,
      (unsigned long long)view.outbox_messages, (unsigned long long)view.outbox_bytes,
      (unsigned long long)view.stream.stream, (unsigned long long)view.stream.number,
      (int)view.close_code, (int)view.http_status, core_str(view.detail),
      core_str(view.subprotocol), core_str(view.endpoint), (unsigned long long)view.control.number,
      (unsigned long long)view.outbox_parked, PyBool_FromLong(view.has_session),
      PyBool_FromLong(view.has_store));
}

PyDoc_STRVAR(processed_doc,
             "processed($self, message, /)\n--\n\n"
             "Says that a message and all before it on its lane have taken effect; None stands\n"
             "for everything that drain() has handed over.");

static PyObject *conn_processed(PyObject *object, PyObject *message) {
  struct core_conn *self = (struct core_conn *)object;
  struct core_state *state = core_state_of(object);
  stw_lane lane = STW_LANE_DATA;
  uint64_t number = 0;
  if (message != Py_None) {
    if (!PyObject_TypeCheck(message, state->message_type)) {
      PyErr_SetString(PyExc_TypeError, "processed() takes a Message or None");
      return NULL;
    }
    core_message_place(message, &lane, &number);
    return core_none_or_raise(state,
                              number ? stw_conn_processed(self->conn, lane, number) : STW_OK);
  }
  stw_status status = STW_OK;
  for (int i = 0; i < STW_LANE_COUNT && status == STW_OK; i++)
    if (self->given[i])
      status = stw_conn_processed(self->conn, (stw_lane)i, self->given[i]);
  return core_none_or_raise(state, status);
}

PyDoc_STRVAR(outbox_doc, "outbox($self, /)\n--\n\nThe outbox of the conn.");

static PyObject *conn_outbox(PyObject *object, PyObject *Py_UNUSED(none)) {
  return core_outbox_of(object);
}

PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\nThe metrics, in the order of metrics().");

static PyObject *conn_stats(PyObject *object, PyObject *Py_UNUSED(none)) {
  uint64_t values[STW_METRIC_COUNT];
  stw_status status = stw_conn_stats(((struct core_conn *)object)->conn, values, STW_METRIC_COUNT);
  if (status != STW_OK)
    return core_raise(core_state_of(object), status, NULL);
  PyObject *list = PyList_New(STW_METRIC_COUNT);
  for (Py_ssize_t i = 0; list && i < STW_METRIC_COUNT; i++) {
    PyObject *value = PyLong_FromUnsignedLongLong(values[i]);
    if (!value || PyList_SetItem(list, i, value) < 0)
      Py_CLEAR(list);
  }
  return list;
}

static PyObject *conn_stream(PyObject *object, void *Py_UNUSED(closure)) {
  return PyLong_FromUnsignedLongLong(((struct core_conn *)object)->stream);
}

static PyObject *conn_has_lent(PyObject *object, void *Py_UNUSED(closure)) {
  const struct core_conn *self = (struct core_conn *)object;
  return PyBool_FromLong(self->lent_next < self->lent_count);
}

PyDoc_STRVAR(
    drain_doc,
    "drain($self, messages, events, most, most_bytes, raw, ordered, /)\n--\n\n"
    "Moves events of the mailbox into Python: messages.extend(run of Message),\n"
    "events.append(tuple). Stops after `most` messages or `most_bytes` of them; the rest\n"
    "stays lent and comes first next time. With `raw`, str and bytes in place of Message;\n"
    "with `ordered`, events are appended to `messages` too. Returns the messages' bytes.");
PyDoc_STRVAR(wait_doc, "wait($self, seconds, /)\n--\n\n"
                       "Waits without the GIL until events are there; False when time is over.");
PyDoc_STRVAR(send_doc,
             "send($self, message, guarantee, ttl_ms, key, lane, /)\n--\n\n"
             "Queues a str as text or a bytes-like object as binary; the message's number.");
PyDoc_STRVAR(send_many_doc,
             "send_many($self, messages, guarantee, ttl_ms, key, lane, /)\n--\n\n"
             "Queues a list; (number of the first, count). A refusal has both as `taken`.");
PyDoc_STRVAR(opening_doc, "opening($self, key, message, /)\n--\n\n"
                          "Sets the opening message `key`, or with None removes it.");
PyDoc_STRVAR(supply_doc,
             "supply($self, url, token, headers, valid_ms, /)\n--\n\n"
             "Credentials; None for what stays as it is. headers are [name, value, ...].");
#define FAST(method) ((PyCFunction)(void (*)(void))(method))

static PyMethodDef methods[] = {
    {"free", conn_free, METH_NOARGS, free_doc},
    {"fd", conn_fd, METH_NOARGS, fd_doc},
    {"drain", FAST(core_conn_drain), METH_FASTCALL, drain_doc},
    {"wait", FAST(core_conn_wait), METH_FASTCALL, wait_doc},
    {"send", FAST(core_conn_send), METH_FASTCALL, send_doc},
    {"send_many", FAST(core_conn_send_many), METH_FASTCALL, send_many_doc},
    {"close", conn_close, METH_O, close_doc},
    {"reopen", conn_reopen, METH_NOARGS, reopen_doc},
    {"kick", conn_kick, METH_NOARGS, kick_doc},
    {"opening", FAST(core_conn_opening), METH_FASTCALL, opening_doc},
    {"ready", conn_ready, METH_NOARGS, ready_doc},
    {"supply", FAST(core_conn_supply), METH_FASTCALL, supply_doc},
    {"look", conn_look, METH_NOARGS, look_doc},
    {"stats", conn_stats, METH_NOARGS, stats_doc},
    {"processed", conn_processed, METH_O, processed_doc},
    {"outbox", conn_outbox, METH_NOARGS, outbox_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"stream", conn_stream, NULL, "Stream of the ids of the data lane; 0 before the first message.",
     NULL},
    {"has_lent", conn_has_lent, NULL,
     "Whether events are taken from the mailbox but not handed over.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(conn_doc,
             "Conn(engine, config)\n--\n\nA conn with a mailbox of its own; dials at once.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)conn_doc}, {Py_tp_new, conn_make}, {Py_tp_dealloc, conn_dealloc},
    {Py_tp_methods, methods},      {Py_tp_getset, getset}, {0, NULL},
};

PyType_Spec core_conn_spec = {
    .name = "steadwire._core.Conn",
    .basicsize = sizeof(struct core_conn),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
