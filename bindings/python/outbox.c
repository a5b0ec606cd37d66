/* An outbox, of a live conn or of a file: one type, since the ABI's calls are the same.
 *
 * Ids are (stream, number) pairs; rows are tuples in the order of stw_outbox_entry.  Every call
 * leaves the GIL alone while it waits for the engine thread or the disk. */
#include "module.h"

#define PAGE_MAX 256u

struct outbox {
  PyObject_HEAD PyObject *conn; /* keeps a live one's handle; NULL for a file */
  stw_outbox handle;
  bool is_open; /* a file that is ours to close */
};

PyObject *core_outbox_of(PyObject *object) {
  struct core_state *state = core_state_of(object);
  struct outbox *self = PyObject_New(struct outbox, state->outbox_type);
  if (!self)
    return NULL;
  self->conn = Py_NewRef(object);
  self->handle = stw_outbox_of(((struct core_conn *)object)->conn);
  self->is_open = false;
  return (PyObject *)self;
}

static PyObject *outbox_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"path", "edit", NULL};
  struct core_state *state = PyType_GetModuleState(type);
  PyObject *text;
  int edit = 0;
  if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:Outbox", names, &text, &edit))
    return NULL;
  const char *path = core_text(state, text, "path");
  struct outbox *self = path ? PyObject_New(struct outbox, type) : NULL;
  if (!self)
    return NULL;
  self->conn = NULL;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_outbox_open(path, edit, &self->handle);
  Py_END_ALLOW_THREADS self->is_open = status == STW_OK;
  if (status == STW_OK)
    return (PyObject *)self;
  core_raise(state, status, NULL);
  Py_DECREF(self);
  return NULL;
}

static void outbox_dealloc(PyObject *object) {
  struct outbox *self = (struct outbox *)object;
  PyTypeObject *type = Py_TYPE(object);
  if (self->is_open)
    (void)stw_outbox_close(self->handle);
  Py_CLEAR(self->conn);
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(object);
  Py_DECREF(type);
}

static int read_id(PyObject *object, stw_message_id *id) {
  PyObject *stream = PySequence_GetItem(object, 0);
  PyObject *number = stream ? PySequence_GetItem(object, 1) : NULL;
  int answer = number && core_u64(stream, "an id's stream", &id->stream) == 0 &&
                       core_u64(number, "an id's number", &id->number) == 0
                   ? 0
                   : -1;
  Py_XDECREF(stream);
  Py_XDECREF(number);
  return answer;
}

static PyObject *entry_tuple(const stw_outbox_entry *entry) {
  return Py_BuildValue("(KKiiiNIKKKNiKiI)", (unsigned long long)entry->id.stream,
                       (unsigned long long)entry->id.number, (int)entry->state, (int)entry->proof,
                       (int)entry->guarantee, PyBool_FromLong(entry->is_text), entry->attempts,
                       (unsigned long long)entry->size, (unsigned long long)entry->age_ns,
                       (unsigned long long)entry->ttl_left_ns, core_str(entry->key),
                       (int)entry->lane, (unsigned long long)entry->number, (int)entry->cause,
                       entry->position);
}

/* Reads (states, lanes, key or None, older_than_ns); `key` is borrowed until released. */
static int read_filter(PyObject *const *args, stw_outbox_filter *filter, struct core_payload *key) {
  uint64_t states, lanes;
  *filter = (stw_outbox_filter){.struct_size = sizeof *filter};
  if (core_u64(args[0], "states", &states) < 0 || core_u64(args[1], "lanes", &lanes) < 0 ||
      core_u64(args[3], "older_than_ns", &filter->older_than_ns) < 0)
    return -1;
  filter->states = (uint32_t)states;
  filter->lanes = (uint32_t)lanes;
  if (args[2] == Py_None)
    return 0;
  if (core_payload_borrow(args[2], key) < 0)
    return -1;
  filter->key = key->size ? key->data : "";
  filter->key_size = key->size;
  return 0;
}

PyDoc_STRVAR(list_doc, "list($self, states, lanes, key, older_than_ns, cursor, most, /)\n--\n\n"
                       "A page of at most 256 rows and the cursor of the next page, 0 at the end.");

static PyObject *rows_of(const stw_outbox_entry *entries, size_t count) {
  PyObject *list = PyList_New((Py_ssize_t)count);
  for (size_t i = 0; list && i < count; i++) {
    PyObject *entry = entry_tuple(&entries[i]);
    if (!entry || PyList_SetItem(list, (Py_ssize_t)i, entry) < 0)
      Py_CLEAR(list);
  }
  return list;
}

static PyObject *outbox_list(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct outbox *self = (struct outbox *)object;
  stw_outbox_filter filter;
  struct core_payload key = {0};
  uint64_t cursor, most;
  if (core_check_count("list", nargs, 6, 6) < 0 || core_u64(args[4], "cursor", &cursor) < 0 ||
      core_u64(args[5], "most", &most) < 0 || read_filter(args, &filter, &key) < 0)
    return NULL;
  most = most < 1 ? 1 : most > PAGE_MAX ? PAGE_MAX : most;
  stw_outbox_entry *entries = PyMem_Calloc((size_t)most, sizeof *entries);
  size_t count = 0;
  stw_status status = STW_E_MEMORY;
  if (entries) {
    Py_BEGIN_ALLOW_THREADS status =
        stw_outbox_list(self->handle, &filter, &cursor, entries, (size_t)most, &count);
    Py_END_ALLOW_THREADS
  }
  PyObject *answer = NULL;
  if (status == STW_OK) {
    PyObject *rows = rows_of(entries, count);
    answer = rows ? Py_BuildValue("(NK)", rows, (unsigned long long)cursor) : NULL;
  } else {
    core_raise(core_state_of(object), status, NULL);
  }
  PyMem_Free(entries);
  core_payload_release(&key);
  return answer;
}

PyDoc_STRVAR(get_doc, "get($self, id, /)\n--\n\nThe row of one message.");

static PyObject *outbox_get(PyObject *object, PyObject *argument) {
  stw_message_id id;
  if (read_id(argument, &id) < 0)
    return NULL;
  stw_outbox_entry entry;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_outbox_get(((struct outbox *)object)->handle, id, &entry);
  Py_END_ALLOW_THREADS if (status != STW_OK) return core_raise(core_state_of(object), status, NULL);
  return entry_tuple(&entry);
}

/* The body as bytes with room for `most`; *size is the whole size.  NULL with an exception. */
static PyObject *body_once(PyObject *object, stw_message_id id, uint64_t most, size_t *size) {
  PyObject *body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)most);
  if (!body)
    return NULL;
  char *room = PyBytes_AsString(body);
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status =
      stw_outbox_body(((struct outbox *)object)->handle, id, room, (size_t)most, size);
  Py_END_ALLOW_THREADS if (status == STW_OK) return body;
  Py_DECREF(body);
  return core_raise(core_state_of(object), status, NULL);
}

PyDoc_STRVAR(body_doc, "body($self, id, most, /)\n--\n\n"
                       "The body of a message; quickest if `most` is its size.");

static PyObject *outbox_body(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  stw_message_id id;
  uint64_t most;
  if (core_check_count("body", nargs, 2, 2) < 0 || read_id(args[0], &id) < 0 ||
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

PyDoc_STRVAR(edit_doc, "edit($self, id, edit, /)\n--\n\nOne of the edits, by its number.");

static PyObject *outbox_edit(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  stw_message_id id;
  if (core_check_count("edit", nargs, 2, 2) < 0 || read_id(args[0], &id) < 0)
    return NULL;
  long edit = PyLong_AsLong(args[1]);
  if (edit == -1 && PyErr_Occurred())
    return NULL;
  stw_outbox handle = ((struct outbox *)object)->handle;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = edit == STW_EDIT_CANCEL
                                      ? stw_outbox_cancel(handle, id)
                                      : stw_outbox_edit(handle, id, (stw_edit)edit);
  Py_END_ALLOW_THREADS return core_none_or_raise(core_state_of(object), status);
}

PyDoc_STRVAR(export_doc, "export($self, states, lanes, key, older_than_ns, path, /)\n--\n\n"
                         "Writes a new file; how many messages it holds.");

static PyObject *outbox_export(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = core_state_of(object);
  stw_outbox_filter filter;
  struct core_payload key = {0};
  if (core_check_count("export", nargs, 5, 5) < 0)
    return NULL;
  const char *path = core_text(state, args[4], "path");
  if (!path || read_filter(args, &filter, &key) < 0)
    return NULL;
  uint64_t count = 0;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status =
      stw_outbox_export(((struct outbox *)object)->handle, &filter, path, &count);
  Py_END_ALLOW_THREADS core_payload_release(&key);
  return status == STW_OK ? PyLong_FromUnsignedLongLong(count) : core_raise(state, status, NULL);
}

PyDoc_STRVAR(import_doc, "import_($self, path, /)\n--\n\n"
                         "Adds the messages of an export; how many were added.");

static PyObject *outbox_import(PyObject *object, PyObject *argument) {
  struct core_state *state = core_state_of(object);
  const char *path = core_text(state, argument, "path");
  if (!path)
    return NULL;
  uint64_t count = 0;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status =
      stw_outbox_import(((struct outbox *)object)->handle, path, &count);
  Py_END_ALLOW_THREADS return status == STW_OK ? PyLong_FromUnsignedLongLong(count)
                                               : core_raise(state, status, NULL);
}

PyDoc_STRVAR(check_doc,
             "check($self, /)\n--\n\n"
             "(queued by lane, their bytes by lane, last number by lane, held, dead, unknown,\n"
             "file bytes, version, was clean, is sound, detail)");

static PyObject *outbox_check(PyObject *object, PyObject *Py_UNUSED(none)) {
  stw_outbox_report report = {.struct_size = sizeof report};
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_outbox_check(((struct outbox *)object)->handle, &report);
  Py_END_ALLOW_THREADS if (status != STW_OK) return core_raise(core_state_of(object), status, NULL);
  return Py_BuildValue("((KK)(KK)(KK)KKKKINNN)", (unsigned long long)report.queued[STW_LANE_DATA],
                       (unsigned long long)report.queued[STW_LANE_CONTROL],
                       (unsigned long long)report.queued_bytes[STW_LANE_DATA],
                       (unsigned long long)report.queued_bytes[STW_LANE_CONTROL],
                       (unsigned long long)report.last_number[STW_LANE_DATA],
                       (unsigned long long)report.last_number[STW_LANE_CONTROL],
                       (unsigned long long)report.held, (unsigned long long)report.dead,
                       (unsigned long long)report.unknown, (unsigned long long)report.file_bytes,
                       report.version, PyBool_FromLong(report.was_clean),
                       PyBool_FromLong(report.is_sound), core_str(report.detail));
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nCloses a file; twice is fine.");

static PyObject *outbox_close(PyObject *object, PyObject *Py_UNUSED(none)) {
  struct outbox *self = (struct outbox *)object;
  if (!self->is_open)
    Py_RETURN_NONE;
  self->is_open = false;
  stw_status status;
  Py_BEGIN_ALLOW_THREADS status = stw_outbox_close(self->handle);
  Py_END_ALLOW_THREADS return core_none_or_raise(core_state_of(object), status);
}

#define FAST(method) ((PyCFunction)(void (*)(void))(method))

static PyMethodDef methods[] = {
    {"list", FAST(outbox_list), METH_FASTCALL, list_doc},
    {"get", outbox_get, METH_O, get_doc},
    {"body", FAST(outbox_body), METH_FASTCALL, body_doc},
    {"edit", FAST(outbox_edit), METH_FASTCALL, edit_doc},
    {"export", FAST(outbox_export), METH_FASTCALL, export_doc},
    {"import_", outbox_import, METH_O, import_doc},
    {"check", outbox_check, METH_NOARGS, check_doc},
    {"close", outbox_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(outbox_doc, "Outbox(path, edit=False)\n--\n\nAn outbox file.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)outbox_doc},
    {Py_tp_new, outbox_make},
    {Py_tp_dealloc, outbox_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_outbox_spec = {
    .name = "steadwire._core.Outbox",
    .basicsize = sizeof(struct outbox),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
