#include "module.h"

PyDoc_STRVAR(policies_doc, "herd_policies($module, /)\n--\n\n"
                           "How the clients of a herd can try again: [(name, text), ...].");

static PyObject *policies(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  return core_word_pairs(stw_herd_policy_at);
}

/* None for never. */
static PyObject *time_of(uint64_t time_ns) {
  return time_ns == STW_HERD_NEVER ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(time_ns);
}

/* [(attempts, reconnected), ...], one for each second. */
static PyObject *seconds_of(const stw_herd *herd) {
  size_t count;
  const stw_herd_second *seconds = stw_herd_seconds(herd, &count);
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *row = Py_BuildValue("(KK)", (unsigned long long)seconds[i].attempts,
                                  (unsigned long long)seconds[i].reconnected);
    if (!row || PyList_SetItem(list, (Py_ssize_t)i, row) < 0)
      Py_CLEAR(list);
  }
  return list;
}

static PyObject *report_of(struct core_state *state, const stw_herd *herd) {
  stw_herd_report report = {.struct_size = sizeof report};
  const stw_status status = stw_herd_look(herd, &report);
  if (status != STW_OK)
    return core_raise(state, status, "a herd that cannot be looked at");
  return Py_BuildValue("(dddNNNKKKKKKN)", report.peak_over_capacity, report.attempts_per_client,
                       report.reconnected_percent, time_of(report.t50_ns), time_of(report.t99_ns),
                       time_of(report.t100_ns), (unsigned long long)report.optimum_ns,
                       (unsigned long long)report.stop_ns, (unsigned long long)report.attempts,
                       (unsigned long long)report.refused, (unsigned long long)report.abandoned,
                       (unsigned long long)report.digest, seconds_of(herd));
}

PyDoc_STRVAR(run_doc,
             "herd_run($module, policy, clients, capacity, down_ns, is_naive, has_no_retry_after,\n"
             "         retry_window_ns, seed, /)\n--\n\n"
             "Lives a herd, without the GIL: (peak_over_capacity, attempts_per_client,\n"
             "reconnected_percent, t50_ns, t99_ns, t100_ns, optimum_ns, stop_ns, attempts,\n"
             "refused, abandoned, digest, seconds).");

static PyObject *run(PyObject *module, PyObject *args) {
  struct core_state *state = PyModule_GetState(module);
  stw_herd_options options = {.struct_size = sizeof options};
  PyObject *clients, *capacity, *down, *window, *seed;
  int is_naive, has_no_retry_after;
  if (!PyArg_ParseTuple(args, "IOOOppOO:herd_run", &options.policy, &clients, &capacity, &down,
                        &is_naive, &has_no_retry_after, &window, &seed))
    return NULL;
  if (core_u64(clients, "clients", &options.clients) < 0 ||
      core_u64(capacity, "capacity", &options.capacity) < 0 ||
      core_u64(down, "down", &options.down_ns) < 0 ||
      core_u64(window, "retry_window", &options.retry_window_ns) < 0 ||
      core_u64(seed, "seed", &options.seed) < 0)
    return NULL;
  options.is_naive = is_naive;
  options.has_no_retry_after = has_no_retry_after;
  stw_herd *herd;
  const char *why;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_herd_run(&options, &herd, &why);
  Py_END_ALLOW_THREADS if (status != STW_OK) return core_raise(state, status, why);
  PyObject *report = report_of(state, herd);
  stw_herd_free(herd);
  return report;
}

PyMethodDef core_herd_methods[] = {
    {"herd_policies", policies, METH_NOARGS, policies_doc},
    {"herd_run", run, METH_VARARGS, run_doc},
    {NULL, NULL, 0, NULL},
};
