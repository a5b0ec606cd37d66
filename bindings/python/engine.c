#include "module.h"

struct engine {
  PyObject_HEAD stw_engine handle;
  bool is_running;
};

stw_engine core_engine_handle(PyObject *engine) {
  return ((struct engine *)engine)->handle;
}

static PyObject *engine_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {NULL};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Engine", names))
    return NULL;
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  struct engine *engine = (struct engine *)alloc(type, 0);
  if (!engine)
    return NULL;
  stw_status status = stw_engine_new(&engine->handle);
  engine->is_running = status == STW_OK;
  if (status == STW_OK)
    return (PyObject *)engine;
  core_raise(core_state_of((PyObject *)engine), status, NULL);
  Py_DECREF(engine);
  return NULL;
}

static stw_status stop(struct engine *engine) {
  if (!engine->is_running)
    return STW_OK;
  engine->is_running = false;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_engine_free(engine->handle);
  Py_END_ALLOW_THREADS return status;
}

static void engine_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  (void)stop((struct engine *)self);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

PyDoc_STRVAR(stop_doc,
             "stop($self, /)\n--\n\n"
             "Stops the thread and waits for it, at most 2 s; a second stop does nothing.");

static PyObject *engine_stop(PyObject *self, PyObject *Py_UNUSED(none)) {
  stw_status status = stop((struct engine *)self);
  return core_none_or_raise(core_state_of(self), status);
}

PyDoc_STRVAR(network_doc,
             "network($self, what, /)\n--\n\n"
             "Tells what the host knows of the network: \"up\", \"down\" or \"changed\".");

static PyObject *engine_network(PyObject *self, PyObject *what) {
  struct core_state *state = core_state_of(self);
  const char *word = core_text(state, what, "what");
  if (!word)
    return NULL;
  stw_network network;
  if (PyUnicode_CompareWithASCIIString(what, "up") == 0)
    network = STW_NETWORK_UP;
  else if (PyUnicode_CompareWithASCIIString(what, "down") == 0)
    network = STW_NETWORK_DOWN;
  else if (PyUnicode_CompareWithASCIIString(what, "changed") == 0)
    network = STW_NETWORK_CHANGED;
  else
    return core_raise(state, STW_E_ARGUMENT, "the network is \"up\", \"down\" or \"changed\"");
  return core_none_or_raise(state, stw_engine_network(((struct engine *)self)->handle, network));
}

static PyMethodDef methods[] = {
    {"stop", engine_stop, METH_NOARGS, stop_doc},
    {"network", engine_network, METH_O, network_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(engine_doc, "Engine()\n--\n\nOne thread that serves many conns.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)engine_doc},
    {Py_tp_new, engine_make},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_engine_spec = {
    .name = "steadwire._core.Engine",
    .basicsize = sizeof(struct engine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
