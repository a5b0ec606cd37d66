/* module.h: the extension module `steadwire._core`, a thin skin over the ABI.
 *
 * The module turns handles into objects, statuses into exceptions and lent events into Python
 * values; everything else is Python.  It is built against the limited API of Python 3.11.  All
 * state lives in the module's state, so that interpreters do not share anything.  Functions here
 * need the GIL and follow Python's convention: NULL or -1 with an exception set.
 */
#ifndef STEADWIRE_PYTHON_MODULE_H
#define STEADWIRE_PYTHON_MODULE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <steadwire/steadwire.h>

struct core_state {
  PyTypeObject *engine_type;
  PyTypeObject *config_type;
  PyTypeObject *conn_type;
  PyTypeObject *message_type;
  PyTypeObject *outbox_type;
  PyTypeObject *session_type;
  PyObject *errors;     /* dict: status number -> exception class */
  PyObject *json_loads; /* json.loads */
  PyObject *make_id;    /* makes the id of a message from its stream and number; None: a tuple */
  PyObject *lanes;      /* tuple of the lanes by number; None: their numbers */
  PyObject *extend;     /* the strings "extend" and "append" */
  PyObject *append;
};

/* Lends the state of the module that `type` belongs to; only for types that cannot be subclassed.
 */
struct core_state *core_state_of(PyObject *self);

/* The bound methods of a fast call check their count of arguments with this. */
int core_check_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most);

/* errors.c: raises the class bound to `status` with the sentence of stw_last_error(), or `text`
 * where that is not NULL.  Always returns NULL.  Call it before any other stw_ function. */
PyObject *core_raise(struct core_state *state, stw_status status, const char *text);
/* None for STW_OK, otherwise as core_raise. */
PyObject *core_none_or_raise(struct core_state *state, stw_status status);
extern PyMethodDef core_error_methods[];

/* convert.c */
/* Lends the UTF-8 of a str without NUL; NULL with UrlError or TypeError. */
const char *core_text(struct core_state *state, PyObject *object, const char *what);
/* As core_text, but None gives NULL in *text. */
int core_optional_text(struct core_state *state, PyObject *object, const char *what,
                       const char **text);
/* A non-negative int that fits. */
int core_u64(PyObject *object, const char *what, uint64_t *value);
/* str from text that may not be UTF-8 (a server can have sent it). */
PyObject *core_str(const char *text);
/* tuple (kind, link, at_ns, fields of the kind in the order of event.h); never a MESSAGE. */
PyObject *core_event_tuple(const stw_event *event);

/* A payload borrowed from a str (as UTF-8) or from any contiguous buffer. */
struct core_payload {
  const void *data;
  size_t size;
  bool is_text;
  bool has_view;
  Py_buffer view;
};
/* Borrows until core_payload_release; TypeError names codec="json" for other types. */
int core_payload_borrow(PyObject *object, struct core_payload *payload);
void core_payload_release(struct core_payload *payload);

/* words.c: the ABI's lists as Python lists. */
/* Appends `row` to `list` and takes both: the list comes back, or NULL. */
PyObject *core_grow(PyObject *list, PyObject *row);
/* [(name, text), ...]; NULL with an exception. */
PyObject *core_word_pairs(const stw_word *(*at)(size_t index));
extern PyMethodDef core_word_methods[];

/* message.c: a message that arrived. */
extern PyType_Spec core_message_spec;
/* `raw` is taken, also on failure.  `conn` (may be NULL) is what ack() of the message tells. */
PyObject *core_message_new(struct core_state *state, PyObject *raw, const stw_event *event,
                           PyObject *conn);
/* str or bytes of a MESSAGE event. */
PyObject *core_message_raw(const stw_event *event);

/* session.c: the server's side of steadwire.v1; one thread at a time, under the GIL. */
extern PyType_Spec core_session_spec;
extern PyMethodDef core_session_methods[];

/* sim_explore.c: lives among faults, in virtual time. */
extern PyMethodDef core_explore_methods[];

/* sim_fleet.c: fleets in virtual time. */
extern PyMethodDef core_fleet_methods[];

/* sim_herd.c: herds in virtual time. */
extern PyMethodDef core_herd_methods[];

/* engine.c, config.c */
extern PyType_Spec core_engine_spec;
extern PyType_Spec core_config_spec;
stw_engine core_engine_handle(PyObject *engine);
const stw_config *core_config_handle(PyObject *config); /* lent while `config` lives */

/* conn.c: a conn with a mailbox of its own, so that a host that is slow on one conn holds up only
 * that one, and closing needs no other conn's events.  drain.c and send.c hold parts of its
 * methods.
 */
#define CORE_LENT_MAX 256u

struct core_conn {
  PyObject_HEAD PyObject *engine; /* keeps the thread alive */
  stw_mailbox mailbox;
  stw_conn conn;
  bool has_mailbox, has_conn;
  bool is_draining;               /* an allocation can run foreign code that drains again */
  bool is_manual;                 /* the host says by ack() what is processed */
  uint64_t stream;                /* of the ids of the data lane; 0: not asked for yet */
  uint64_t given[STW_LANE_COUNT]; /* highest inbound number handed to Python */
  size_t lent_next, lent_count;
  const stw_event *lent[CORE_LENT_MAX]; /* events taken from the mailbox, not yet handed over */
};
extern PyType_Spec core_conn_spec;

PyObject *core_conn_drain(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *core_conn_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *core_conn_send(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *core_conn_send_many(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *core_conn_opening(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
PyObject *core_conn_supply(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

/* The lane and number of a Message. */
void core_message_place(PyObject *message, stw_lane *lane, uint64_t *number);

/* outbox.c: the outbox of a conn, or a file. */
extern PyType_Spec core_outbox_spec;
PyObject *core_outbox_of(PyObject *conn);

#endif
