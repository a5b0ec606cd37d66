#include "module.h"

struct core_state *core_state_of(PyObject *self) {
  return PyType_GetModuleState(Py_TYPE(self));
}

int core_check_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most) {
  if (given >= least && given <= most)
    return 0;
  PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd positional arguments but %zd were given",
               name, least, most, given);
  return -1;
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type) {
  *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
  return *type ? PyModule_AddType(module, *type) : -1;
}

static int add_imports(struct core_state *state) {
  PyObject *json = PyImport_ImportModule("json");
  if (!json)
    return -1;
  state->json_loads = PyObject_GetAttrString(json, "loads");
  Py_DECREF(json);
  state->errors = PyDict_New();
  state->extend = PyUnicode_InternFromString("extend");
  state->append = PyUnicode_InternFromString("append");
  return state->json_loads && state->errors && state->extend && state->append ? 0 : -1;
}

static int module_exec(PyObject *module) {
  struct core_state *state = PyModule_GetState(module);
  if (add_imports(state) < 0 || add_type(module, &core_engine_spec, &state->engine_type) < 0 ||
      add_type(module, &core_config_spec, &state->config_type) < 0 ||
      add_type(module, &core_conn_spec, &state->conn_type) < 0 ||
      add_type(module, &core_message_spec, &state->message_type) < 0 ||
      add_type(module, &core_outbox_spec, &state->outbox_type) < 0 ||
      add_type(module, &core_session_spec, &state->session_type) < 0 ||
      PyModule_AddFunctions(module, core_session_methods) < 0 ||
      PyModule_AddFunctions(module, core_explore_methods) < 0 ||
      PyModule_AddFunctions(module, core_fleet_methods) < 0 ||
      PyModule_AddFunctions(module, core_herd_methods) < 0 ||
      PyModule_AddFunctions(module, core_error_methods) < 0 ||
      PyModule_AddFunctions(module, core_word_methods) < 0)
    return -1;
  return PyModule_AddStringConstant(module, "version", stw_version());
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
  struct core_state *state = PyModule_GetState(module);
  Py_VISIT(state->engine_type);
  Py_VISIT(state->config_type);
  Py_VISIT(state->conn_type);
  Py_VISIT(state->message_type);
  Py_VISIT(state->outbox_type);
  Py_VISIT(state->make_id);
  Py_VISIT(state->lanes);
  Py_VISIT(state->session_type);
  Py_VISIT(state->errors);
  Py_VISIT(state->json_loads);
  return 0;
}

static int module_clear(PyObject *module) {
  struct core_state *state = PyModule_GetState(module);
  Py_CLEAR(state->engine_type);
  Py_CLEAR(state->config_type);
  Py_CLEAR(state->conn_type);
  Py_CLEAR(state->message_type);
  Py_CLEAR(state->outbox_type);
  Py_CLEAR(state->make_id);
  Py_CLEAR(state->lanes);
  Py_CLEAR(state->session_type);
  Py_CLEAR(state->errors);
  Py_CLEAR(state->json_loads);
  Py_CLEAR(state->extend);
  Py_CLEAR(state->append);
  return 0;
}

static void module_free(void *module) {
  (void)module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "steadwire._core",
    .m_doc = PyDoc_STR("The engine's ABI as Python objects; use the package steadwire instead."),
    .m_size = sizeof(struct core_state),
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) {
  return PyModuleDef_Init(&definition);
}
