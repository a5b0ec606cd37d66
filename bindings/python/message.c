#include "module.h"

struct message {
  PyObject_HEAD PyObject *raw; /* str or bytes, so no reference cycle can go through a message */
  struct core_state *state;    /* lives as long as the type */
  PyObject *conn;              /* for ack(); NULL if it has nobody to tell */
  uint64_t at_ns;
  stw_message_id id; /* number 0: the peer does not number its messages */
  uint32_t link;
  stw_lane lane;
  bool is_replayed;
};

PyObject *core_message_raw(const stw_event *event) {
  const char *data = event->u.message.size ? event->u.message.data : "";
  Py_ssize_t size = (Py_ssize_t)event->u.message.size;
  /* The engine has checked the UTF-8; the error handler keeps a lapse there from losing data. */
  if (event->u.message.is_text)
    return PyUnicode_DecodeUTF8(data, size, "surrogateescape");
  return PyBytes_FromStringAndSize(data, size);
}

PyObject *core_message_new(struct core_state *state, PyObject *raw, const stw_event *event,
                           PyObject *conn) {
  struct message *message = raw ? PyObject_New(struct message, state->message_type) : NULL;
  if (!message) {
    Py_XDECREF(raw);
    return NULL;
  }
  message->raw = raw;
  message->state = state;
  message->conn = Py_XNewRef(conn);
  message->link = event->link;
  message->at_ns = event->at_ns;
  message->id = event->u.message.id;
  message->lane = event->u.message.lane < STW_LANE_COUNT ? event->u.message.lane : STW_LANE_DATA;
  message->is_replayed = event->u.message.is_replayed;
  return (PyObject *)message;
}

/* The state for `type` or the first of its bases that is ours: a class of Python has none. */
static struct core_state *state_of_base(PyTypeObject *type) {
  while (type) {
    struct core_state *state = PyType_GetModuleState(type);
    if (state)
      return state;
    PyErr_Clear();
    type = PyType_GetSlot(type, Py_tp_base);
  }
  PyErr_SetString(PyExc_TypeError, "no kind of Message");
  return NULL;
}

static void take_after(struct message *message, const struct message *like) {
  message->conn = Py_XNewRef(like->conn);
  message->id = like->id;
  message->lane = like->lane;
  message->is_replayed = like->is_replayed;
}

static PyObject *message_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"raw", "link", "at_ns", "like", NULL};
  PyObject *raw, *like = Py_None;
  unsigned int link = 0;
  unsigned long long at_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|IKO:Message", names, &raw, &link, &at_ns,
                                   &like))
    return NULL;
  if (!PyUnicode_CheckExact(raw) && !PyBytes_CheckExact(raw)) {
    PyErr_SetString(PyExc_TypeError, "raw must be a str or bytes");
    return NULL;
  }
  struct core_state *state = state_of_base(type);
  if (!state)
    return NULL;
  if (like != Py_None && !PyObject_TypeCheck(like, state->message_type)) {
    PyErr_SetString(PyExc_TypeError, "like must be a Message");
    return NULL;
  }
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  struct message *message = (struct message *)alloc(type, 0);
  if (!message)
    return NULL;
  message->raw = Py_NewRef(raw);
  message->state = state;
  if (like != Py_None)
    take_after(message, (struct message *)like);
  message->link = link;
  message->at_ns = at_ns;
  return (PyObject *)message;
}

static void message_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_CLEAR(((struct message *)self)->raw);
  Py_CLEAR(((struct message *)self)->conn);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

static PyObject *message_get_raw(PyObject *self, void *Py_UNUSED(closure)) {
  return Py_NewRef(((struct message *)self)->raw);
}

static PyObject *message_is_text(PyObject *self, void *Py_UNUSED(closure)) {
  return PyBool_FromLong(PyUnicode_Check(((struct message *)self)->raw));
}

static PyObject *message_link(PyObject *self, void *Py_UNUSED(closure)) {
  return PyLong_FromUnsignedLong(((struct message *)self)->link);
}

static PyObject *message_received_at(PyObject *self, void *Py_UNUSED(closure)) {
  return PyFloat_FromDouble((double)((struct message *)self)->at_ns / 1e9);
}

static PyObject *message_at_ns(PyObject *self, void *Py_UNUSED(closure)) {
  return PyLong_FromUnsignedLongLong(((struct message *)self)->at_ns);
}

static PyObject *message_id(PyObject *self, void *Py_UNUSED(closure)) {
  const struct message *message = (struct message *)self;
  if (!message->id.number)
    Py_RETURN_NONE;
  unsigned long long stream = message->id.stream, number = message->id.number;
  if (!message->state->make_id)
    return Py_BuildValue("(KK)", stream, number);
  return PyObject_CallFunction(message->state->make_id, "KK", stream, number);
}

static PyObject *message_lane(PyObject *self, void *Py_UNUSED(closure)) {
  const struct message *message = (struct message *)self;
  if (!message->state->lanes)
    return PyLong_FromLong(message->lane);
  return PySequence_GetItem(message->state->lanes, message->lane);
}

static PyObject *message_replayed(PyObject *self, void *Py_UNUSED(closure)) {
  return PyBool_FromLong(((struct message *)self)->is_replayed);
}

static PyObject *message_number(PyObject *self, void *Py_UNUSED(closure)) {
  return PyLong_FromUnsignedLongLong(((struct message *)self)->id.number);
}

void core_message_place(PyObject *message, stw_lane *lane, uint64_t *number) {
  *lane = ((struct message *)message)->lane;
  *number = ((struct message *)message)->id.number;
}

PyDoc_STRVAR(
    ack_doc,
    "ack($self, /)\n--\n\n"
    "Says that this message and all before it on its lane have taken effect, so that the\n"
    "server need not keep them. For conns with processed=\"manual\"; a server that does not\n"
    "number its messages is told nothing.");

static PyObject *message_ack(PyObject *self, PyObject *Py_UNUSED(none)) {
  const struct message *message = (struct message *)self;
  if (!message->conn)
    return core_raise(message->state, STW_E_STATE,
                      "ack() is for messages of a conn with processed=\"manual\"; otherwise asking "
                      "for the next message says it");
  if (!message->id.number)
    Py_RETURN_NONE;
  const struct core_conn *conn = (struct core_conn *)message->conn;
  if (!conn->has_conn)
    return core_raise(message->state, STW_E_CLOSED,
                      "the conn is closed: the server will send this message again");
  return core_none_or_raise(message->state,
                            stw_conn_processed(conn->conn, message->lane, message->id.number));
}

static PyObject *message_repr(PyObject *self) {
  const struct message *message = (struct message *)self;
  Py_ssize_t size = PyObject_Size(message->raw);
  if (size < 0)
    return NULL;
  const char *unit = PyUnicode_Check(message->raw) ? "characters of text" : "bytes";
  return PyUnicode_FromFormat("<Message: %zd %s, link %u>", size, unit, (unsigned)message->link);
}

PyDoc_STRVAR(json_doc, "json($self, /)\n--\n\nThe message decoded as JSON.");

static PyObject *message_json(PyObject *self, PyTypeObject *cls, PyObject *const *Py_UNUSED(args),
                              Py_ssize_t nargs, PyObject *kwnames) {
  if (nargs || (kwnames && PyTuple_Size(kwnames))) {
    PyErr_SetString(PyExc_TypeError, "json() takes no arguments");
    return NULL;
  }
  struct core_state *state = PyType_GetModuleState(cls);
  if (!state)
    return NULL;
  return PyObject_CallFunctionObjArgs(state->json_loads, ((struct message *)self)->raw, NULL);
}

static PyMethodDef methods[] = {
    {"json", (PyCFunction)(void (*)(void))message_json, METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     json_doc},
    {"ack", message_ack, METH_NOARGS, ack_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"data", message_get_raw, NULL, "The message: str if it was text, bytes if it was binary.",
     NULL},
    {"raw", message_get_raw, NULL, "The message as it arrived, whatever the codec.", NULL},
    {"is_text", message_is_text, NULL, "Whether it arrived as text.", NULL},
    {"link", message_link, NULL, "Generation of the link on which it arrived.", NULL},
    {"received_at", message_received_at, NULL, "When it arrived, on the clock of time.monotonic().",
     NULL},
    {"id", message_id, NULL, "Its MessageId; None if the server does not number its messages.",
     NULL},
    {"number", message_number, NULL, "Its place in its lane, for inbound_from; 0 without one.",
     NULL},
    {"lane", message_lane, NULL, "The lane on which it came.", NULL},
    {"replayed", message_replayed, NULL,
     "Whether the server had sent it on an earlier link already.", NULL},
    {"at_ns", message_at_ns, NULL, "When it arrived, on the clock of time.monotonic_ns().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(message_doc, "Message(raw, link=0, at_ns=0, like=None)\n--\n\n"
                          "A message that arrived; with `like`, at the place of that one.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)message_doc},
    {Py_tp_new, message_make},
    {Py_tp_dealloc, message_dealloc},
    {Py_tp_repr, message_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

PyType_Spec core_message_spec = {
    .name = "steadwire._core.Message",
    .basicsize = sizeof(struct message),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
