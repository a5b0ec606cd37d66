#include "module.h"

static PyObject *class_of(struct core_state *state, stw_status status) {
  PyObject *number = PyLong_FromLong(status);
  if (!number)
    return NULL;
  PyObject *found = PyDict_GetItemWithError(state->errors, number); /* borrowed */
  Py_DECREF(number);
  return found || PyErr_Occurred() ? found : PyExc_RuntimeError;
}

PyObject *core_raise(struct core_state *state, stw_status status, const char *text) {
  const char *sentence = text ? text : stw_last_error();
  if (!*sentence)
    sentence = stw_status_find(status)->text;
  PyObject *message = core_str(sentence);
  if (!message)
    return NULL;
  PyObject *cls = class_of(state, status);
  if (cls)
    PyErr_SetObject(cls, message);
  Py_DECREF(message);
  return NULL;
}

PyObject *core_none_or_raise(struct core_state *state, stw_status status) {
  if (status != STW_OK)
    return core_raise(state, status, NULL);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(bind_errors_doc, "bind_errors($module, classes, /)\n--\n\n"
                              "Names the exception class of each status number, {status: class}.");

static PyObject *bind_errors(PyObject *module, PyObject *classes) {
  struct core_state *state = PyModule_GetState(module);
  if (!PyDict_Check(classes)) {
    PyErr_SetString(PyExc_TypeError, "classes must be a dict");
    return NULL;
  }
  PyObject *copy = PyDict_Copy(classes);
  if (!copy)
    return NULL;
  Py_DECREF(state->errors);
  state->errors = copy;
  Py_RETURN_NONE;
}

PyMethodDef core_error_methods[] = {
    {"bind_errors", bind_errors, METH_O, bind_errors_doc},
    {NULL, NULL, 0, NULL},
};
