#include "module.h"

static int message_id(struct core_conn *self, PyObject *number, stw_message_id *id) {
  if (core_u64(number, "a message's number", &id->number) < 0)
    return -1;
  if (!self->stream) {
    stw_conn_view view = {.struct_size = sizeof view};
    stw_status status = stw_conn_look(self->conn, &view);
    if (status != STW_OK) {
      core_raise(core_state_of((PyObject *)self), status, NULL);
      return -1;
    }
    self->stream = view.stream.stream;
  }
  id->stream = self->stream;
  return 0;
}

static PyObject *entry_tuple(const stw_outbox_entry *entry) {
  return Py_BuildValue("(KKiiiNIKKKN)", (unsigned long long)entry->id.stream,
                       (unsigned long long)entry->id.number, (int)entry->state, (int)entry->proof,
                       (int)entry->guarantee, PyBool_FromLong(entry->is_text), entry->attempts,
                       (unsigned long long)entry->size, (unsigned long long)entry->age_ns,
                       (unsigned long long)entry->ttl_left_ns, core_str(entry->key));
}

#define PAGE_MAX 256u

PyObject *core_conn_outbox_list(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  uint64_t after = 0, most = 0;
  if (core_check_count("outbox_list", nargs, 2, 2) < 0 || core_u64(args[0], "after", &after) < 0 ||
      core_u64(args[1], "most", &most) < 0)
    return NULL;
  if (most > PAGE_MAX)
    most = PAGE_MAX;
  stw_outbox_entry *entries = PyMem_Calloc(most ? (size_t)most : 1, sizeof *entries);
  if (!entries)
    return PyErr_NoMemory();
  size_t count = 0;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status =
      stw_outbox_list(stw_outbox_of(self->conn), NULL, &after, entries, (size_t)most, &count);
  Py_END_ALLOW_THREADS PyObject *list = NULL;
  if (status != STW_OK)
    core_raise(core_state_of(object), status, NULL);
  else
    list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *entry = entry_tuple(&entries[i]);
    if (!entry || PyList_SetItem(list, (Py_ssize_t)i, entry) < 0)
      Py_CLEAR(list);
  }
  PyMem_Free(entries);
  return list;
}

/* The body as bytes with room for `most`; *size is the whole size.  NULL with an exception. */
static PyObject *body_once(PyObject *object, stw_message_id id, uint64_t most, size_t *size) {
  struct core_conn *self = (struct core_conn *)object;
  PyObject *body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)most);
  if (!body)
    return NULL;
  char *room = PyBytes_AsString(body);
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status =
      stw_outbox_body(stw_outbox_of(self->conn), id, room, (size_t)most, size);
  Py_END_ALLOW_THREADS if (status == STW_OK) return body;
  Py_DECREF(body);
  return core_raise(core_state_of(object), status, NULL);
}

PyObject *core_conn_outbox_body(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  stw_message_id id;
  uint64_t most;
  if (core_check_count("outbox_body", nargs, 2, 2) < 0 ||
      message_id((struct core_conn *)object, args[0], &id) < 0 ||
      core_u64(args[1], "most", &most) < 0)
    return NULL;
  if (most > PY_SSIZE_T_MAX / 2)
    return PyErr_NoMemory();
  size_t size = 0;
  PyObject *body = body_once(object, id, most, &size);
  if (body && size > most) {
    Py_DECREF(body);
    most = size; /* bodies never change */
    body = body_once(object, id, most, &size);
  }
  if (!body || size == most)
    return body;
  PyObject *cut = PyBytes_FromStringAndSize(PyBytes_AsString(body), (Py_ssize_t)size);
  Py_DECREF(body);
  return cut;
}

PyObject *core_conn_outbox_cancel(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  stw_message_id id;
  if (core_check_count("outbox_cancel", nargs, 1, 1) < 0 || message_id(self, args[0], &id) < 0)
    return NULL;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_outbox_cancel(stw_outbox_of(self->conn), id);
  Py_END_ALLOW_THREADS return core_none_or_raise(core_state_of(object), status);
}
