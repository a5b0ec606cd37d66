#include "module.h"

PyDoc_STRVAR(rules_doc, "explore_rules($module, /)\n--\n\n"
                        "The promises that are checked: [(name, where it is made, text), ...].");

static PyObject *rules(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  PyObject *list = PyList_New(0);
  const stw_explore_rule_info *rule;
  for (size_t i = 0; list && (rule = stw_explore_rule_at(i)) != NULL; i++)
    list = core_grow(list, Py_BuildValue("(sss)", rule->name, rule->where, rule->text));
  return list;
}

PyDoc_STRVAR(faults_doc, "explore_faults($module, /)\n--\n\n"
                         "What goes wrong: [(name, text), ...].");

static PyObject *faults(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  return core_word_pairs(stw_explore_fault_at);
}

PyDoc_STRVAR(profiles_doc, "explore_profiles($module, /)\n--\n\n"
                           "What kind of conns a life can have: [(name, text), ...].");

static PyObject *profiles(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  return core_word_pairs(stw_explore_profile_at);
}

PyDoc_STRVAR(plants_doc, "explore_plants($module, /)\n--\n\n"
                         "Mistakes that can be planted: [(name, text), ...].");

static PyObject *plants(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  return core_word_pairs(stw_explore_plant_at);
}

static PyObject *numbers(const uint64_t *values, size_t count) {
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < count; i++)
    list = core_grow(list, PyLong_FromUnsignedLongLong(values[i]));
  return list;
}

/* None where nothing broke. */
static PyObject *broken_of(const stw_explore_report *report) {
  if (!report->is_broken)
    return Py_NewRef(Py_None);
  return Py_BuildValue("(KsKs)", (unsigned long long)report->broken_seed,
                       stw_explore_rule_at(report->broken_rule)->name,
                       (unsigned long long)report->broken_ns, report->broken);
}

static PyObject *results_of(struct core_state *state, const stw_explore *explore) {
  stw_explore_report report = {.struct_size = sizeof report};
  const stw_status status = stw_explore_look(explore, &report);
  if (status != STW_OK)
    return core_raise(state, status, "an exploration that cannot be looked at");
  const uint64_t sums[] = {report.lives,   report.conns, report.links,      report.messages,
                           report.inbound, report.steps, report.virtual_ns, report.digest};
  size_t size;
  const char *trace = stw_explore_trace(explore, &size);
  return Py_BuildValue("(NNNNs#)", numbers(sums, sizeof sums / sizeof *sums),
                       numbers(report.faults, STW_EXPLORE_FAULT_COUNT),
                       numbers(report.checks, STW_RULE_COUNT), broken_of(&report), trace,
                       (Py_ssize_t)size);
}

PyDoc_STRVAR(run_doc, "explore_run($module, seed, seeds, profile, plant, has_trace, /)\n--\n\n"
                      "Lives `seeds` lives from `seed` on, up to the first that breaks a rule, "
                      "without the GIL:\n"
                      "([lives, conns, links, messages, inbound, steps, virtual_ns, digest],\n"
                      "faults, checks, (seed, rule, at_ns, text) or None, trace).");

static PyObject *run(PyObject *module, PyObject *args) {
  struct core_state *state = PyModule_GetState(module);
  stw_explore_options options = {.struct_size = sizeof options};
  PyObject *seed, *seeds;
  int has_trace;
  if (!PyArg_ParseTuple(args, "OOIIp:explore_run", &seed, &seeds, &options.profile, &options.plant,
                        &has_trace) ||
      core_u64(seed, "seed", &options.seed) < 0 || core_u64(seeds, "seeds", &options.seeds) < 0)
    return NULL;
  options.has_trace = has_trace;
  stw_explore *explore;
  const char *why;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_explore_run(&options, &explore, &why);
  Py_END_ALLOW_THREADS if (status != STW_OK) return core_raise(state, status, why);
  PyObject *results = results_of(state, explore);
  stw_explore_free(explore);
  return results;
}

PyMethodDef core_explore_methods[] = {
    {"explore_rules", rules, METH_NOARGS, rules_doc},
    {"explore_faults", faults, METH_NOARGS, faults_doc},
    {"explore_profiles", profiles, METH_NOARGS, profiles_doc},
    {"explore_plants", plants, METH_NOARGS, plants_doc},
    {"explore_run", run, METH_VARARGS, run_doc},
    {NULL, NULL, 0, NULL},
};
