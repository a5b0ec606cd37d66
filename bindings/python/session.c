#include "module.h"

#include <stddef.h>
#include <string.h>

struct session {
  PyObject_HEAD stw_session *handle;
};

static stw_session *handle_of(PyObject *self) {
  return ((struct session *)self)->handle;
}

static int lane_of(PyObject *object, stw_lane *lane) {
  uint64_t number;
  if (core_u64(object, "a lane", &number) < 0)
    return -1;
  if (number < STW_LANE_COUNT) {
    *lane = (stw_lane)number;
    return 0;
  }
  PyErr_SetString(PyExc_ValueError, "a lane is 0 (data) or 1 (control)");
  return -1;
}

static int link_of(PyObject *object, uint32_t *link) {
  uint64_t number;
  if (core_u64(object, "a link", &number) < 0)
    return -1;
  *link = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
  return 0;
}

/* Raises the status's exception with the attribute close_code. */
static PyObject *raise_closing(struct core_state *state, stw_status status, uint32_t code) {
  core_raise(state, status, NULL);
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  PyObject *number = value ? PyLong_FromUnsignedLong(code) : NULL;
  if (number && PyObject_SetAttrString(value, "close_code", number) < 0)
    PyErr_Clear();
  Py_XDECREF(number);
  PyErr_Restore(type, value, trace);
  return NULL;
}

static PyObject *bytes_of(const void *data, size_t size) {
  return PyBytes_FromStringAndSize(size ? data : "", (Py_ssize_t)size);
}

static PyObject *text_of(const char *data, size_t size) {
  return PyUnicode_DecodeUTF8(size ? data : "", (Py_ssize_t)size, "replace");
}

/* ---- functions of the module ---- */

static PyObject *numbers_of(const uint64_t *numbers) {
  return Py_BuildValue("(KK)", (unsigned long long)numbers[STW_LANE_DATA],
                       (unsigned long long)numbers[STW_LANE_CONTROL]);
}

PyDoc_STRVAR(hello_doc, "hello_read($module, data, /)\n--\n\n"
                        "What the first message of a link says: (cid, has_token, incarnation or "
                        "None, auth, received, processed, lowest, next).");

static PyObject *hello_read(PyObject *module, PyObject *object) {
  struct core_payload data;
  if (core_payload_borrow(object, &data) < 0)
    return NULL;
  stw_hello hello = {.struct_size = sizeof hello};
  uint32_t code = 0;
  PyObject *result = NULL;
  const stw_status status = stw_hello_read(data.data, data.size, &hello, &code);
  if (status != STW_OK) {
    raise_closing(PyModule_GetState(module), status, code);
  } else {
    PyObject *incarnation =
        hello.has_incarnation ? PyLong_FromUnsignedLongLong(hello.incarnation) : Py_NewRef(Py_None);
    result = Py_BuildValue(
        "(NNNNNNNN)", bytes_of(hello.cid, sizeof hello.cid), PyBool_FromLong(hello.has_token),
        incarnation, bytes_of(hello.auth, hello.auth_size), numbers_of(hello.received),
        numbers_of(hello.processed), numbers_of(hello.lowest), numbers_of(hello.next));
  }
  core_payload_release(&data);
  return result;
}

PyDoc_STRVAR(refusal_doc, "refusal_write($module, refusal, text, /)\n--\n\n"
                          "The REFUSE message that answers a HELLO.");

static PyObject *refusal_write(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = PyModule_GetState(module);
  uint64_t refusal;
  const char *text;
  if (core_check_count("refusal_write", nargs, 2, 2) < 0 ||
      core_u64(args[0], "a refusal", &refusal) < 0 ||
      !(text = core_text(state, args[1], "a refusal's text")))
    return NULL;
  uint8_t out[STW_SESSION_REFUSAL_MAX];
  size_t size;
  const stw_refusal code = refusal > STW_REFUSAL_BUSY ? STW_REFUSAL_NONE : (stw_refusal)refusal;
  const stw_status status = stw_refusal_write(code, text, out, &size);
  return status == STW_OK ? bytes_of(out, size) : core_raise(state, status, NULL);
}

PyMethodDef core_session_methods[] = {
    {"hello_read", hello_read, METH_O, hello_doc},
    {"refusal_write", (PyCFunction)(void (*)(void))refusal_write, METH_FASTCALL, refusal_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- making one ---- */

static const struct {
  const char *name;
  size_t offset;
  bool is_flag;
} option_fields[] = {
#define NUMBER(name)                                                                               \
  { #name, offsetof(stw_session_options, name), false }
#define FLAG(name)                                                                                 \
  { #name, offsetof(stw_session_options, name), true }
    NUMBER(ring_messages), NUMBER(ring_bytes),   NUMBER(window_messages), NUMBER(window_bytes),
    NUMBER(message_max),   NUMBER(part_bytes),   NUMBER(idle_ms),         NUMBER(ring_ms),
    NUMBER(watermark_ms),  NUMBER(ack_messages), NUMBER(ack_bytes),       NUMBER(ack_ms),
    FLAG(accepts_later),   FLAG(says_processed), FLAG(refuses_when_full), FLAG(takes_optimistic),
#undef NUMBER
#undef FLAG
};

static int set_option(stw_session_options *options, const char *name, PyObject *value) {
  if (strcmp(name, "server") == 0) {
    options->server = PyUnicode_AsUTF8AndSize(value, NULL);
    return options->server ? 0 : -1;
  }
  for (size_t i = 0; i < sizeof option_fields / sizeof *option_fields; i++) {
    if (strcmp(name, option_fields[i].name) != 0)
      continue;
    void *place = (char *)options + option_fields[i].offset;
    if (!option_fields[i].is_flag)
      return core_u64(value, name, place);
    const int is_true = PyObject_IsTrue(value);
    *(bool *)place = is_true > 0;
    return is_true < 0 ? -1 : 0;
  }
  PyErr_Format(PyExc_TypeError, "Session() has no option '%s'", name);
  return -1;
}

static int set_options(stw_session_options *options, PyObject *kwargs) {
  PyObject *name, *value; /* borrowed */
  Py_ssize_t at = 0;
  while (kwargs && PyDict_Next(kwargs, &at, &name, &value)) {
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text || set_option(options, text, value) < 0)
      return -1;
  }
  return 0;
}

static PyObject *session_make(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  stw_session_options options = {.struct_size = sizeof options};
  if (PyTuple_Size(args) > 0) {
    PyErr_SetString(PyExc_TypeError, "Session() takes options by name only");
    return NULL;
  }
  if (set_options(&options, kwargs) < 0)
    return NULL;
  allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  struct session *session = (struct session *)alloc(type, 0);
  if (!session)
    return NULL;
  session->handle = stw_session_new(&options);
  if (session->handle)
    return (PyObject *)session;
  PyErr_SetString(PyExc_ValueError, stw_last_error());
  Py_DECREF(session);
  return NULL;
}

static void session_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  stw_session_free(handle_of(self));
  freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
  release(self);
  Py_DECREF(type);
}

/* ---- the store's side ---- */

PyDoc_STRVAR(save_doc, "save($self, /)\n--\n\nThe small state to keep, as bytes.");

static PyObject *session_save(PyObject *self, PyObject *Py_UNUSED(unused)) {
  uint8_t out[STW_SESSION_STATE_MAX];
  size_t size;
  const stw_status status = stw_session_save(handle_of(self), out, &size);
  return status == STW_OK ? bytes_of(out, size) : core_raise(core_state_of(self), status, NULL);
}

PyDoc_STRVAR(load_doc, "load($self, state, /)\n--\n\nFills a session that was never opened.");

static PyObject *session_load(PyObject *self, PyObject *object) {
  struct core_payload data;
  if (core_payload_borrow(object, &data) < 0)
    return NULL;
  const stw_status status = stw_session_load(handle_of(self), data.data, data.size);
  core_payload_release(&data);
  return core_none_or_raise(core_state_of(self), status);
}

PyDoc_STRVAR(restore_doc, "restore($self, lane, number, data, /)\n--\n\n"
                          "Adds a kept message after load(), ascending in its lane.");

static PyObject *session_restore(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  stw_lane lane;
  uint64_t number;
  struct core_payload data;
  if (core_check_count("restore", nargs, 3, 3) < 0 || lane_of(args[0], &lane) < 0 ||
      core_u64(args[1], "a message's number", &number) < 0 ||
      core_payload_borrow(args[2], &data) < 0)
    return NULL;
  const stw_status status =
      stw_session_restore(handle_of(self), lane, number, data.data, data.size, data.is_text);
  core_payload_release(&data);
  return core_none_or_raise(core_state_of(self), status);
}

/* ---- links ---- */

PyDoc_STRVAR(open_doc, "open($self, hello, principal, incarnation, random, may_lack_token, "
                       "location, now, /)\n--\n\n"
                       "Judges a HELLO: (link, 0, '') or (0, refusal, why).");

static int read_claim(struct core_state *state, PyObject *const *args, stw_session_claim *claim,
                      const struct core_payload *random) {
  const int may_lack_token = PyObject_IsTrue(args[4]);
  if (random->size != STW_SESSION_RANDOM_BYTES) {
    PyErr_SetString(PyExc_ValueError, "random must be 48 bytes");
    return -1;
  }
  memcpy(claim->random, random->data, random->size);
  claim->may_lack_token = may_lack_token > 0;
  if (may_lack_token < 0 || core_u64(args[2], "an incarnation", &claim->incarnation) < 0 ||
      !(claim->principal = core_text(state, args[1], "a principal")) ||
      !(claim->location = core_text(state, args[5], "a location")))
    return -1;
  return 0;
}

static PyObject *open_with(PyObject *self, const stw_session_claim *claim, uint64_t now) {
  uint32_t link = 0;
  stw_refusal refusal = STW_REFUSAL_NONE;
  const stw_status status = stw_session_open(handle_of(self), claim, now, &link, &refusal);
  if (status == STW_E_PROTOCOL)
    return raise_closing(core_state_of(self), status, 4400);
  if (status != STW_OK)
    return core_raise(core_state_of(self), status, NULL);
  const char *why = refusal == STW_REFUSAL_NONE ? "" : stw_last_error();
  return Py_BuildValue("(IiN)", (unsigned)link, (int)refusal, core_str(why));
}

static PyObject *session_open(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  uint64_t now;
  struct core_payload hello, random;
  if (core_check_count("open", nargs, 7, 7) < 0 || core_u64(args[6], "now", &now) < 0 ||
      core_payload_borrow(args[0], &hello) < 0)
    return NULL;
  PyObject *result = NULL;
  if (core_payload_borrow(args[3], &random) == 0) {
    stw_session_claim claim = {
        .struct_size = sizeof claim, .hello = hello.data, .hello_size = hello.size};
    if (read_claim(core_state_of(self), args, &claim, &random) == 0)
      result = open_with(self, &claim, now);
    core_payload_release(&random);
  }
  core_payload_release(&hello);
  return result;
}

PyDoc_STRVAR(lost_doc, "lost($self, link, /)\n--\n\nThe link is gone.");

static PyObject *session_lost(PyObject *self, PyObject *object) {
  uint32_t link;
  if (link_of(object, &link) < 0)
    return NULL;
  stw_session_lost(handle_of(self), link);
  Py_RETURN_NONE;
}

static PyObject *message_of(const stw_session_item *item) {
  const void *data = item->u.message.data;
  const size_t size = item->u.message.size;
  PyObject *body = item->u.message.is_text ? text_of(data, size) : bytes_of(data, size);
  return Py_BuildValue("(iiKNN)", (int)item->kind, (int)item->lane,
                       (unsigned long long)item->u.message.number, body,
                       PyBool_FromLong(item->u.message.is_replayed));
}

static PyObject *item_of(const stw_session_item *item) {
  const int kind = (int)item->kind, lane = (int)item->lane;
  switch (item->kind) {
  case STW_SESSION_MESSAGE:
    return message_of(item);
  case STW_SESSION_GAP:
    return Py_BuildValue("(iiKKi)", kind, lane, (unsigned long long)item->u.gap.from,
                         (unsigned long long)item->u.gap.to, (int)item->u.gap.reason);
  case STW_SESSION_PROOF:
    return Py_BuildValue("(iiKKK)", kind, lane, (unsigned long long)item->u.proof.accepted,
                         (unsigned long long)item->u.proof.processed,
                         (unsigned long long)item->u.proof.kept_from);
  case STW_SESSION_REJECTED:
    return Py_BuildValue("(iiKIN)", kind, lane, (unsigned long long)item->u.rejected.number,
                         (unsigned)item->u.rejected.code,
                         text_of(item->u.rejected.text, item->u.rejected.text_size));
  case STW_SESSION_AUTH:
    return Py_BuildValue("(iN)", kind, text_of(item->u.text.data, item->u.text.size));
  case STW_SESSION_CLOSED:
    return Py_BuildValue("(iIN)", kind, (unsigned)item->u.text.code,
                         text_of(item->u.text.data, item->u.text.size));
  case STW_SESSION_NOTHING:
    break;
  }
  Py_RETURN_NONE;
}

PyDoc_STRVAR(receive_doc, "receive($self, link, data, now, /)\n--\n\n"
                          "Takes one message of the link: None or a tuple that begins with its "
                          "kind. Refusals have the attribute close_code.");

static PyObject *session_receive(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  uint32_t link;
  uint64_t now;
  struct core_payload data;
  if (core_check_count("receive", nargs, 3, 3) < 0 || link_of(args[0], &link) < 0 ||
      core_u64(args[2], "now", &now) < 0 || core_payload_borrow(args[1], &data) < 0)
    return NULL;
  stw_session_item item;
  const stw_status status =
      stw_session_receive(handle_of(self), link, data.data, data.size, now, &item);
  PyObject *result = status == STW_OK ? item_of(&item)
                                      : raise_closing(core_state_of(self), status, item.close_code);
  core_payload_release(&data);
  return result;
}

PyDoc_STRVAR(take_doc, "take($self, link, now, /)\n--\n\n"
                       "The next message to write on the link; None: nothing for now.");

static PyObject *session_take(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  uint32_t link;
  uint64_t now;
  if (core_check_count("take", nargs, 2, 2) < 0 || link_of(args[0], &link) < 0 ||
      core_u64(args[1], "now", &now) < 0)
    return NULL;
  const void *data = NULL;
  size_t size = 0;
  const stw_status status = stw_session_take(handle_of(self), link, now, &data, &size);
  if (status != STW_OK)
    return core_raise(core_state_of(self), status, NULL);
  if (size == 0)
    Py_RETURN_NONE;
  return bytes_of(data, size);
}

PyDoc_STRVAR(deadline_doc, "deadline($self, /)\n--\n\n"
                           "When take() has something without a further call; None: never.");

static PyObject *session_deadline(PyObject *self, PyObject *Py_UNUSED(unused)) {
  const uint64_t at = stw_session_deadline(handle_of(self));
  if (at == STW_SESSION_NEVER)
    Py_RETURN_NONE;
  return PyLong_FromUnsignedLongLong(at);
}

/* ---- what the host says ---- */

typedef stw_status cursor_call(stw_session *, stw_lane, uint64_t, uint64_t);

static PyObject *move_cursor(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             const char *name, cursor_call *call) {
  stw_lane lane;
  uint64_t upto, now;
  if (core_check_count(name, nargs, 3, 3) < 0 || lane_of(args[0], &lane) < 0 ||
      core_u64(args[1], "upto", &upto) < 0 || core_u64(args[2], "now", &now) < 0)
    return NULL;
  return core_none_or_raise(core_state_of(self), call(handle_of(self), lane, upto, now));
}

PyDoc_STRVAR(accept_doc, "accept($self, lane, upto, now, /)\n--\n\n"
                         "Everything up to `upto` is committed and may be acknowledged.");

static PyObject *session_accept(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  return move_cursor(self, args, nargs, "accept", stw_session_accept);
}

PyDoc_STRVAR(processed_doc, "processed($self, lane, upto, now, /)\n--\n\n"
                            "Everything up to `upto` was worked through.");

static PyObject *session_processed(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  return move_cursor(self, args, nargs, "processed", stw_session_processed);
}

PyDoc_STRVAR(send_doc, "send($self, lane, data, /)\n--\n\n"
                       "Keeps a message for the client and gives its number.");

static PyObject *session_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  stw_lane lane;
  struct core_payload data;
  if (core_check_count("send", nargs, 2, 2) < 0 || lane_of(args[0], &lane) < 0 ||
      core_payload_borrow(args[1], &data) < 0)
    return NULL;
  uint64_t number = 0;
  const stw_status status =
      stw_session_send(handle_of(self), lane, data.data, data.size, data.is_text, &number);
  core_payload_release(&data);
  if (status != STW_OK)
    return core_raise(core_state_of(self), status, NULL);
  return PyLong_FromUnsignedLongLong(number);
}

PyDoc_STRVAR(goaway_doc, "goaway($self, after_ms, spread_ms, location, code, /)\n--\n\n"
                         "Asks the client to move.");

static PyObject *session_goaway(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = core_state_of(self);
  uint64_t after, spread, code;
  const char *location;
  if (core_check_count("goaway", nargs, 4, 4) < 0 || core_u64(args[0], "after_ms", &after) < 0 ||
      core_u64(args[1], "spread_ms", &spread) < 0 ||
      !(location = core_text(state, args[2], "a location")) ||
      core_u64(args[3], "a code", &code) < 0)
    return NULL;
  return core_none_or_raise(
      state, stw_session_goaway(handle_of(self), after, spread, location, (uint32_t)code));
}

PyDoc_STRVAR(close_doc, "close($self, code, text, /)\n--\n\n"
                        "Ends the link, not the session: CLOSE is its last frame.");

static PyObject *session_close(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  struct core_state *state = core_state_of(self);
  uint64_t code;
  const char *text;
  if (core_check_count("close", nargs, 2, 2) < 0 || core_u64(args[0], "a code", &code) < 0 ||
      !(text = core_text(state, args[1], "a close text")))
    return NULL;
  return core_none_or_raise(state, stw_session_close(handle_of(self), (uint32_t)code, text));
}

PyDoc_STRVAR(auth_doc, "auth($self, is_ok, expires_ms, /)\n--\n\nAnswers new credentials.");

static PyObject *session_auth(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  uint64_t expires;
  if (core_check_count("auth", nargs, 2, 2) < 0 || core_u64(args[1], "expires_ms", &expires) < 0)
    return NULL;
  const int is_ok = PyObject_IsTrue(args[0]);
  if (is_ok < 0)
    return NULL;
  return core_none_or_raise(core_state_of(self),
                            stw_session_auth(handle_of(self), is_ok > 0, expires));
}

PyDoc_STRVAR(look_doc, "look($self, /)\n--\n\n"
                       "(cid, is_known, is_open, was_resumed, link, data lane, control lane); a "
                       "lane is a dict.");

static PyObject *lane_view(const stw_session_lane_view *view) {
#define FIELD(name) #name, (unsigned long long)view->name
  return Py_BuildValue("{sKsKsKsKsKsKsKsKsKsKsKsKsK}", FIELD(received), FIELD(accepted),
                       FIELD(processed), FIELD(duplicates), FIELD(next), FIELD(kept_from),
                       FIELD(written), FIELD(client_accepted), FIELD(client_processed), FIELD(kept),
                       FIELD(kept_bytes), FIELD(replayed), FIELD(overflowed));
#undef FIELD
}

static PyObject *session_look(PyObject *self, PyObject *Py_UNUSED(unused)) {
  stw_session_view view = {.struct_size = sizeof view};
  stw_session_look(handle_of(self), &view);
  return Py_BuildValue(
      "(NNNNINN)", bytes_of(view.cid, sizeof view.cid), PyBool_FromLong(view.is_known),
      PyBool_FromLong(view.is_open), PyBool_FromLong(view.was_resumed), (unsigned)view.link,
      lane_view(&view.lanes[STW_LANE_DATA]), lane_view(&view.lanes[STW_LANE_CONTROL]));
}

#define FAST(name, doc)                                                                            \
  { #name, (PyCFunction)(void (*)(void))session_##name, METH_FASTCALL, doc }

static PyMethodDef methods[] = {
    {"save", session_save, METH_NOARGS, save_doc},
    {"load", session_load, METH_O, load_doc},
    FAST(restore, restore_doc),
    FAST(open, open_doc),
    {"lost", session_lost, METH_O, lost_doc},
    FAST(receive, receive_doc),
    FAST(take, take_doc),
    {"deadline", session_deadline, METH_NOARGS, deadline_doc},
    FAST(accept, accept_doc),
    FAST(processed, processed_doc),
    FAST(send, send_doc),
    FAST(goaway, goaway_doc),
    FAST(close, close_doc),
    FAST(auth, auth_doc),
    {"look", session_look, METH_NOARGS, look_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(session_doc, "Session(**options)\n--\n\n"
                          "The server's side of one client session of steadwire.v1; the options "
                          "are those of stw_session_options. Times are nanoseconds.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)session_doc},
    {Py_tp_new, session_make},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_session_spec = {
    .name = "steadwire._core.Session",
    .basicsize = sizeof(struct session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
