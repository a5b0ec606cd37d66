#include "module.h"

/* Reads (guarantee, ttl_ms, key or None, lane) from four arguments; *key_view is borrowed until
 * released. */
static int read_options(PyObject *const *args, stw_send_options *options,
                        struct core_payload *key) {
  long guarantee = PyLong_AsLong(args[0]);
  if (PyErr_Occurred() || core_u64(args[1], "ttl_ms", &options->ttl_ms) < 0)
    return -1;
  if (guarantee < 0 || guarantee >= STW_GUARANTEE_COUNT) {
    PyErr_SetString(PyExc_ValueError, "no such guarantee");
    return -1;
  }
  long lane = PyLong_AsLong(args[3]);
  if (lane < 0 || lane >= STW_LANE_COUNT) {
    if (!PyErr_Occurred())
      PyErr_SetString(PyExc_ValueError, "no such lane");
    return -1;
  }
  options->lane = (stw_lane)lane;
  options->struct_size = sizeof *options;
  options->guarantee = (stw_guarantee)guarantee;
  if (args[2] == Py_None)
    return 0;
  if (core_payload_borrow(args[2], key) < 0)
    return -1;
  options->key = key->data;
  options->key_size = key->size;
  return 0;
}

PyObject *core_conn_send(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  if (core_check_count("send", nargs, 5, 5) < 0)
    return NULL;
  stw_send_options options = {0};
  struct core_payload key = {0};
  struct core_payload payload;
  if (core_payload_borrow(args[0], &payload) < 0)
    return NULL;
  if (read_options(args + 1, &options, &key) < 0) {
    core_payload_release(&payload);
    return NULL;
  }
  options.is_text = payload.is_text;
  stw_message_id id = {0};
  stw_status status = stw_conn_send(self->conn, payload.data, payload.size, &options, &id);
  core_payload_release(&payload);
  core_payload_release(&key);
  if (status != STW_OK)
    return core_raise(core_state_of(object), status, NULL);
  self->stream = id.stream & ~(uint64_t)1;
  return PyLong_FromUnsignedLongLong(id.number);
}

/* A stretch of messages of one type, borrowed from a list. */
#define BATCH_MAX 128

struct batch {
  size_t count;
  bool is_text;
  stw_payload payloads[BATCH_MAX];
  struct core_payload borrowed[BATCH_MAX];
};

static void release_batch(struct batch *batch) {
  for (size_t i = 0; i < batch->count; i++)
    core_payload_release(&batch->borrowed[i]);
  batch->count = 0;
}

/* Borrows as many items from `start` as are of one type. */
static int borrow_batch(PyObject *list, Py_ssize_t start, Py_ssize_t size, struct batch *batch) {
  batch->count = 0;
  for (Py_ssize_t i = start; i < size && batch->count < BATCH_MAX; i++) {
    PyObject *item = PyList_GetItem(list, i); /* borrowed; the list is ours alone */
    struct core_payload *one = &batch->borrowed[batch->count];
    if (!item || core_payload_borrow(item, one) < 0)
      return -1;
    if (batch->count && one->is_text != batch->is_text) {
      core_payload_release(one);
      return 0;
    }
    batch->is_text = one->is_text;
    batch->payloads[batch->count].data = one->data;
    batch->payloads[batch->count].size = one->size;
    batch->count++;
  }
  return 0;
}

struct sending {
  struct core_conn *self;
  stw_send_options options;
  uint64_t first; /* number of the first message taken, 0 if none */
  size_t taken;
};

static stw_status send_batch(struct sending *sending, const struct batch *batch) {
  size_t taken = 0;
  stw_message_id id = {0};
  sending->options.is_text = batch->is_text;
  stw_status status = stw_conn_send_many(sending->self->conn, batch->payloads, batch->count,
                                         &sending->options, &taken, &id);
  if (taken && !sending->taken) {
    sending->first = id.number;
    sending->self->stream = id.stream & ~(uint64_t)1;
  }
  sending->taken += taken;
  return status;
}

/* Sends a list of ours; *status is the refusal of the first message that was not taken. */
static int send_list(struct sending *sending, PyObject *list, stw_status *status) {
  struct batch batch;
  Py_ssize_t size = PyList_Size(list);
  Py_ssize_t start = 0;
  *status = STW_OK;
  while (start < size && *status == STW_OK) {
    int answer = borrow_batch(list, start, size, &batch);
    start += (Py_ssize_t)batch.count;
    if (batch.count)
      *status = send_batch(sending, &batch);
    release_batch(&batch);
    if (answer < 0)
      return -1;
  }
  return 0;
}

/* Python finds out from the fields of the exception how many were taken before it. */
static PyObject *refuse(struct sending *sending, struct core_state *state, stw_status status,
                        const char *text) {
  core_raise(state, status, text);
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  PyObject *taken =
      Py_BuildValue("(Kn)", (unsigned long long)sending->first, (Py_ssize_t)sending->taken);
  if (!taken || PyObject_SetAttrString(value, "taken", taken) < 0)
    PyErr_Clear();
  Py_XDECREF(taken);
  PyErr_Restore(type, value, trace);
  return NULL;
}

/* Every item is looked at before the first is taken, so that a wrong type refuses the whole list.
 */
static int check_items(PyObject *list) {
  Py_ssize_t size = PyList_Size(list);
  for (Py_ssize_t i = 0; i < size; i++) {
    PyObject *item = PyList_GetItem(list, i);
    if (!item)
      return -1;
    if (PyBytes_Check(item))
      continue;
    struct core_payload payload;
    if (core_payload_borrow(item, &payload) < 0)
      return -1;
    core_payload_release(&payload);
  }
  return 0;
}

PyObject *core_conn_send_many(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  if (core_check_count("send_many", nargs, 5, 5) < 0)
    return NULL;
  struct sending sending = {.self = (struct core_conn *)object};
  struct core_payload key = {0};
  if (read_options(args + 1, &sending.options, &key) < 0)
    return NULL;
  stw_status status = STW_OK;
  PyObject *list = PySequence_List(args[0]);
  int answer = !list || check_items(list) < 0 ? -1 : send_list(&sending, list, &status);
  char text[512];
  if (status != STW_OK)
    PyOS_snprintf(text, sizeof text, "%s", stw_last_error());
  Py_XDECREF(list);
  core_payload_release(&key);
  if (answer < 0)
    return NULL;
  if (status != STW_OK)
    return refuse(&sending, core_state_of(object), status, text);
  return Py_BuildValue("(Kn)", (unsigned long long)sending.first, (Py_ssize_t)sending.taken);
}

PyObject *core_conn_opening(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  struct core_state *state = core_state_of(object);
  if (core_check_count("opening", nargs, 2, 2) < 0)
    return NULL;
  const char *key = core_text(state, args[0], "the key of an opening message");
  if (!key)
    return NULL;
  if (args[1] == Py_None)
    return core_none_or_raise(state, stw_conn_opening(self->conn, key, NULL, 0, false));
  struct core_payload payload;
  if (core_payload_borrow(args[1], &payload) < 0)
    return NULL;
  const void *data = payload.size ? payload.data : ""; /* NULL would remove it */
  stw_status status = stw_conn_opening(self->conn, key, data, payload.size, payload.is_text);
  core_payload_release(&payload);
  return core_none_or_raise(state, status);
}

/* Lends the texts of `list` as a NULL-terminated array, to be freed with PyMem_Free. */
static const char **header_texts(struct core_state *state, PyObject *list) {
  Py_ssize_t size = PyList_Check(list) ? PyList_Size(list) : -1;
  if (size < 0 || size % 2) {
    PyErr_SetString(PyExc_TypeError, "headers must be a list of names and values");
    return NULL;
  }
  const char **texts = PyMem_Calloc((size_t)size + 1, sizeof *texts);
  if (!texts) {
    PyErr_NoMemory();
    return NULL;
  }
  for (Py_ssize_t i = 0; i < size; i++) {
    texts[i] = core_text(state, PyList_GetItem(list, i), "a header");
    if (texts[i])
      continue;
    PyMem_Free(texts);
    return NULL;
  }
  return texts;
}

PyObject *core_conn_supply(PyObject *object, PyObject *const *args, Py_ssize_t nargs) {
  struct core_conn *self = (struct core_conn *)object;
  struct core_state *state = core_state_of(object);
  stw_credentials credentials = {.struct_size = sizeof credentials};
  if (core_check_count("supply", nargs, 4, 4) < 0 ||
      core_optional_text(state, args[0], "url", &credentials.url) < 0 ||
      core_optional_text(state, args[1], "token", &credentials.token) < 0 ||
      core_u64(args[3], "valid_ms", &credentials.valid_ms) < 0)
    return NULL;
  const char **headers = args[2] == Py_None ? NULL : header_texts(state, args[2]);
  if (!headers && args[2] != Py_None)
    return NULL;
  credentials.headers = headers;
  stw_status status = stw_conn_supply(self->conn, &credentials);
  PyMem_Free(headers);
  return core_none_or_raise(state, status);
}
