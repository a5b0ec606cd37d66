#include "module.h"

struct config {
  PyObject_HEAD stw_config *handle;
};

const stw_config *core_config_handle(PyObject *config) {
  return ((struct config *)config)->handle;
}

static PyObject *config_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {NULL};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Config", names))
    return NULL;
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  struct config *config = (struct config *)alloc(type, 0);
  if (!config)
    return NULL;
  config->handle = stw_config_new();
  if (config->handle)
    return (PyObject *)config;
  Py_DECREF(config);
  return PyErr_NoMemory();
}

static void config_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  stw_config_free(((struct config *)self)->handle);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

/* Lends the texts of `count` arguments in texts[]. */
static int texts_of(struct core_state *state, PyObject *const *args, Py_ssize_t count,
                    const char **texts) {
  static const char *const what[] = {"an option's name", "an option's value", "an option's value"};
  for (Py_ssize_t i = 0; i < count; i++) {
    texts[i] = core_text(state, args[i], what[i]);
    if (!texts[i])
      return -1;
  }
  return 0;
}

PyDoc_STRVAR(set_doc, "set($self, name, value, /)\n--\n\nSets an option from text.");

static PyObject *config_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = core_state_of(self);
  const char *texts[2];
  if (core_check_count("set", nargs, 2, 2) < 0 || texts_of(state, args, 2, texts) < 0)
    return NULL;
  stw_status status = stw_config_set(((struct config *)self)->handle, texts[0], texts[1]);
  return core_none_or_raise(state, status);
}

PyDoc_STRVAR(add_doc, "add($self, name, value, /)\n--\n\nAppends to a list option.");

static PyObject *config_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = core_state_of(self);
  const char *texts[2];
  if (core_check_count("add", nargs, 2, 2) < 0 || texts_of(state, args, 2, texts) < 0)
    return NULL;
  stw_status status = stw_config_add(((struct config *)self)->handle, texts[0], texts[1]);
  return core_none_or_raise(state, status);
}

PyDoc_STRVAR(put_doc, "put($self, name, key, value, /)\n--\n\nSets one item of a map option.");

static PyObject *config_put(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = core_state_of(self);
  const char *texts[3];
  if (core_check_count("put", nargs, 3, 3) < 0 || texts_of(state, args, 3, texts) < 0)
    return NULL;
  stw_status status = stw_config_put(((struct config *)self)->handle, texts[0], texts[1], texts[2]);
  return core_none_or_raise(state, status);
}

PyDoc_STRVAR(get_doc, "get($self, name, /)\n--\n\n"
                      "The text of a scalar option; None if there is no such option.");

static PyObject *config_get(PyObject *self, PyObject *name) {
  const char *text = core_text(core_state_of(self), name, "an option's name");
  if (!text)
    return NULL;
  const char *value = stw_config_get(((struct config *)self)->handle, text);
  if (!value)
    Py_RETURN_NONE;
  return core_str(value);
}

static PyMethodDef methods[] = {
    {"set", (PyCFunction)(void (*)(void))config_set, METH_FASTCALL, set_doc},
    {"add", (PyCFunction)(void (*)(void))config_add, METH_FASTCALL, add_doc},
    {"put", (PyCFunction)(void (*)(void))config_put, METH_FASTCALL, put_doc},
    {"get", config_get, METH_O, get_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(config_doc, "Config()\n--\n\nThe options of a conn, all at their defaults at first.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)config_doc},
    {Py_tp_new, config_make},
    {Py_tp_dealloc, config_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_config_spec = {
    .name = "steadwire._core.Config",
    .basicsize = sizeof(struct config),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
