#include <string.h>

#include "module.h"

typedef const stw_word *(*walker)(size_t index);

static const struct {
  const char *name;
  walker at;
} lists[] = {
    {"state", stw_state_at},
    {"phase", stw_phase_at},
    {"proof", stw_proof_at},
    {"message_state", stw_message_state_at},
    {"guarantee", stw_guarantee_at},
    {"cause_class", stw_class_at},
    {"event_kind", stw_event_kind_at},
    {"gap_reason", stw_gap_reason_at},
    {"lane", stw_lane_at},
    {"store_health", stw_store_health_at},
    {"edit", stw_edit_at},
};

PyObject *core_grow(PyObject *list, PyObject *row) {
  if (row && PyList_Append(list, row) < 0)
    Py_CLEAR(list);
  if (!row)
    Py_CLEAR(list);
  Py_XDECREF(row);
  return list;
}

PyObject *core_word_pairs(const stw_word *(*at)(size_t index)) {
  PyObject *list = PyList_New(0);
  const stw_word *word;
  for (size_t i = 0; list && (word = at(i)) != NULL; i++)
    list = core_grow(list, Py_BuildValue("(ss)", word->name, word->text));
  return list;
}

PyDoc_STRVAR(words_doc, "words($module, name, /)\n--\n\n"
                        "One of the ABI's lists: [(number, name, text), ...].");

static PyObject *words(PyObject *module, PyObject *name) {
  const char *wanted = core_text(PyModule_GetState(module), name, "name");
  if (!wanted)
    return NULL;
  walker at = NULL;
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
    if (strcmp(lists[i].name, wanted) == 0)
      at = lists[i].at;
  if (!at) {
    PyErr_Format(PyExc_ValueError, "no list is called %R", name);
    return NULL;
  }
  PyObject *list = PyList_New(0);
  const stw_word *word;
  for (size_t i = 0; list && (word = at(i)) != NULL; i++)
    list = core_grow(list, Py_BuildValue("(iss)", word->value, word->name, word->text));
  return list;
}

PyDoc_STRVAR(causes_doc, "causes($module, /)\n--\n\n"
                         "The causes: [(number, name, class number, text, remedy), ...].");

static PyObject *causes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  PyObject *list = PyList_New(0);
  const stw_cause_info *info;
  for (size_t i = 0; list && (info = stw_cause_at(i)) != NULL; i++)
    list = core_grow(list, Py_BuildValue("(isiss)", (int)info->cause, info->name, (int)info->cls,
                                         info->text, info->remedy));
  return list;
}

PyDoc_STRVAR(statuses_doc, "statuses($module, /)\n--\n\n"
                           "The statuses: [(number, name, is retryable, text, remedy), ...].");

static PyObject *statuses(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  PyObject *list = PyList_New(0);
  const stw_status_info *info;
  for (size_t i = 0; list && (info = stw_status_at(i)) != NULL; i++)
    list =
        core_grow(list, Py_BuildValue("(isNss)", (int)info->status, info->name,
                                      PyBool_FromLong(info->retryable), info->text, info->remedy));
  return list;
}

PyDoc_STRVAR(metrics_doc, "metrics($module, /)\n--\n\n"
                          "The metrics of a conn: [(name, is counter, unit, text), ...].");

static PyObject *metrics(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  PyObject *list = PyList_New(0);
  const stw_metric_info *info;
  for (size_t i = 0; list && (info = stw_metric_at(i)) != NULL; i++)
    list = core_grow(list, Py_BuildValue("(sNss)", info->name,
                                         PyBool_FromLong(info->type == STW_METRIC_COUNTER),
                                         info->unit, info->text));
  return list;
}

static const char *type_name(stw_option_type type) {
  switch (type) {
  case STW_OPTION_TEXT:
    return "text";
  case STW_OPTION_DURATION:
    return "duration";
  case STW_OPTION_BYTES:
    return "bytes";
  case STW_OPTION_COUNT:
    return "count";
  case STW_OPTION_BOOL:
    return "bool";
  case STW_OPTION_CHOICE:
    return "choice";
  case STW_OPTION_LIST:
    return "list";
  case STW_OPTION_MAP:
    return "map";
  }
  return "text";
}

PyDoc_STRVAR(options_doc,
             "options($module, /)\n--\n\n"
             "The options: [(name, type, unit, default, range, text, is secret, is face), ...].");

static PyObject *options(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  PyObject *list = PyList_New(0);
  const stw_option *option;
  for (size_t i = 0; list && (option = stw_option_at(i)) != NULL; i++)
    list = core_grow(list, Py_BuildValue("(ssssssNN)", option->name, type_name(option->type),
                                         option->unit, option->default_value, option->range,
                                         option->text, PyBool_FromLong(option->is_secret),
                                         PyBool_FromLong(option->is_face)));
  return list;
}

PyDoc_STRVAR(bind_ids_doc, "bind_ids($module, make_id, lanes, /)\n--\n\n"
                           "Names what makes a message's id, and the lanes by their numbers.");

static PyObject *bind_ids(PyObject *module, PyObject *args) {
  struct core_state *state = PyModule_GetState(module);
  PyObject *make_id, *lanes;
  if (!PyArg_ParseTuple(args, "OO!:bind_ids", &make_id, &PyTuple_Type, &lanes))
    return NULL;
  Py_XDECREF(state->make_id);
  state->make_id = Py_NewRef(make_id);
  Py_XDECREF(state->lanes);
  state->lanes = Py_NewRef(lanes);
  Py_RETURN_NONE;
}

PyMethodDef core_word_methods[] = {
    {"bind_ids", bind_ids, METH_VARARGS, bind_ids_doc},
    {"words", words, METH_O, words_doc},
    {"causes", causes, METH_NOARGS, causes_doc},
    {"statuses", statuses, METH_NOARGS, statuses_doc},
    {"metrics", metrics, METH_NOARGS, metrics_doc},
    {"options", options, METH_NOARGS, options_doc},
    {NULL, NULL, 0, NULL},
};
