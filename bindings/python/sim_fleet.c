#include <stdlib.h>

#include "module.h"

static PyObject *names(const char *(*at)(size_t index)) {
  PyObject *list = PyList_New(0);
  const char *name;
  for (size_t i = 0; list && (name = at(i)) != NULL; i++)
    list = core_grow(list, PyUnicode_FromString(name));
  return list;
}

static PyObject *buckets(void) {
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < STW_FLEET_BUCKETS; i++)
    list = core_grow(list, PyLong_FromUnsignedLongLong(stw_fleet_bucket_us(i)));
  return list;
}

PyDoc_STRVAR(lists_doc,
             "fleet_lists($module, /)\n--\n\n"
             "What a fleet knows: (policies, profiles, counts, histograms, least time of "
             "each bucket in us).");

static PyObject *lists(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
  return Py_BuildValue("(NNNNN)", names(stw_fleet_policy_at), names(stw_fleet_profile_at),
                       core_word_pairs(stw_fleet_count_at), core_word_pairs(stw_fleet_histogram_at),
                       buckets());
}

/* [(at_us, rtt_us, address, is_up), ...] -> memory of the caller's; NULL with an exception. */
static stw_fleet_step *steps_of(PyObject *list, size_t *count) {
  const Py_ssize_t size = PyList_Check(list) ? PyList_Size(list) : 0;
  if (size == 0) {
    PyErr_SetString(PyExc_ValueError, "steps must be a list with at least one step");
    return NULL;
  }
  stw_fleet_step *steps = calloc((size_t)size, sizeof *steps);
  if (!steps) {
    PyErr_NoMemory();
    return NULL;
  }
  for (Py_ssize_t i = 0; i < size; i++) {
    unsigned long long at, rtt;
    unsigned int address;
    int is_up;
    if (!PyArg_ParseTuple(PyList_GetItem(list, i), "KKIp;a step", &at, &rtt, &address, &is_up)) {
      free(steps);
      return NULL;
    }
    steps[i] = (stw_fleet_step){at, rtt, address, is_up};
  }
  *count = (size_t)size;
  return steps;
}

static PyObject *results_of(const stw_fleet *fleet) {
  const uint64_t *values = stw_fleet_values(fleet);
  PyObject *list = PyList_New(0);
  for (size_t i = 0; list && i < STW_FLEET_VALUES; i++)
    list = core_grow(list, PyLong_FromUnsignedLongLong(values[i]));
  size_t size;
  const char *log = stw_fleet_log(fleet, &size);
  return Py_BuildValue("(Ny#)", list, log, (Py_ssize_t)size);
}

static PyObject *simulate(struct core_state *state, const stw_fleet_params *params, uint64_t first,
                          uint64_t count) {
  stw_fleet *fleet = NULL;
  stw_status status = stw_fleet_new(params, &fleet);
  if (status != STW_OK)
    return core_raise(state, status, "a fleet needs a known policy and profile, and time");
  Py_BEGIN_ALLOW_THREADS status = stw_fleet_run(fleet, first, count);
  Py_END_ALLOW_THREADS const char *why = stw_fleet_why(fleet);
  const char *text = why[0] == '\0' ? "the simulation stopped" : why;
  PyObject *results = status == STW_OK ? results_of(fleet) : core_raise(state, status, text);
  stw_fleet_free(fleet);
  return results;
}

PyDoc_STRVAR(run_doc,
             "fleet_run($module, policy, profile, seed, seconds, interval_ms,\n"
             "          idle_interval_ms, first, count, has_no_hints, has_no_drain, has_no_hedge, "
             "has_log, is_event_level, steps, /)\n--\n\n"
             "Simulates clients first .. first + count - 1 without the GIL: (values, log).");

static PyObject *run(PyObject *module, PyObject *args) {
  stw_fleet_params params = {.struct_size = sizeof params};
  unsigned long long seed, seconds, interval, idle_interval, first, count;
  int no_hints, no_drain, no_hedge, log, event_level;
  PyObject *steps;
  if (!PyArg_ParseTuple(args, "ssKKKKKKpppppO:fleet_run", &params.policy, &params.profile, &seed,
                        &seconds, &interval, &idle_interval, &first, &count, &no_hints, &no_drain,
                        &no_hedge, &log, &event_level, &steps))
    return NULL;
  params.seed = seed;
  params.seconds = seconds;
  params.interval_ms = interval;
  params.idle_interval_ms = idle_interval;
  params.has_no_hints = no_hints;
  params.has_no_drain = no_drain;
  params.has_no_hedge = no_hedge;
  params.has_log = log;
  params.is_event_level = event_level;
  stw_fleet_step *memory = NULL;
  if (!Py_IsNone(steps) && !(memory = steps_of(steps, &params.step_count)))
    return NULL;
  params.steps = memory;
  PyObject *results = simulate(PyModule_GetState(module), &params, first, count);
  free(memory);
  return results;
}

PyMethodDef core_fleet_methods[] = {
    {"fleet_lists", lists, METH_NOARGS, lists_doc},
    {"fleet_run", run, METH_VARARGS, run_doc},
    {NULL, NULL, 0, NULL},
};
