#include "module.h"

struct message {
  PyObject_HEAD PyObject *raw; /* str or bytes, so no reference cycle can go through a message */
  uint64_t at_ns;
  uint32_t link;
};

PyObject *core_message_raw(const stw_event *event) {
  const char *data = event->u.message.size ? event->u.message.data : "";
  Py_ssize_t size = (Py_ssize_t)event->u.message.size;
  /* The engine has checked the UTF-8; the error handler keeps a lapse there from losing data. */
  if (event->u.message.is_text)
    return PyUnicode_DecodeUTF8(data, size, "surrogateescape");
  return PyBytes_FromStringAndSize(data, size);
}

PyObject *core_message_new(PyTypeObject *type, PyObject *raw, uint32_t link, uint64_t at_ns) {
  struct message *message = raw ? PyObject_New(struct message, type) : NULL;
  if (!message) {
    Py_XDECREF(raw);
    return NULL;
  }
  message->raw = raw;
  message->link = link;
  message->at_ns = at_ns;
  return (PyObject *)message;
}

static PyObject *message_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"raw", "link", "at_ns", NULL};
  PyObject *raw;
  unsigned int link = 0;
  unsigned long long at_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|IK:Message", names, &raw, &link, &at_ns))
    return NULL;
  if (!PyUnicode_CheckExact(raw) && !PyBytes_CheckExact(raw)) {
    PyErr_SetString(PyExc_TypeError, "raw must be a str or bytes");
    return NULL;
  }
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  struct message *message = (struct message *)alloc(type, 0);
  if (!message)
    return NULL;
  message->raw = Py_NewRef(raw);
  message->link = link;
  message->at_ns = at_ns;
  return (PyObject *)message;
}

static void message_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  Py_CLEAR(((struct message *)self)->raw);
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
    {"at_ns", message_at_ns, NULL, "When it arrived, on the clock of time.monotonic_ns().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(message_doc, "Message(raw, link=0, at_ns=0)\n--\n\nA message that arrived.");

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
