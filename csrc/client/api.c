#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/config.h"
#include "client/engine.h"
#include "client/error.h"
#include "client/handle.h"
#include "client/mailbox.h"
#include "io/clock.h"
#include <steadwire/steadwire.h>

const char *stw_version(void) {
  return STW_VERSION;
}

static stw_status hold_engine(stw_engine handle, struct stwi_engine **engine) {
  return stwi_handle_hold(handle.id, STWI_HANDLE_ENGINE, (void **)engine);
}
static stw_status hold_mailbox(stw_mailbox handle, struct stwi_mailbox **mailbox) {
  return stwi_handle_hold(handle.id, STWI_HANDLE_MAILBOX, (void **)mailbox);
}

/* ---- engine ---- */

static void free_engine(void *engine) {
  stwi_engine_stop(engine);
  stwi_engine_drop(engine);
}

stw_status stw_engine_new(stw_engine *handle) {
  if (handle == NULL) {
    return stwi_error(STW_E_ARGUMENT, "stw_engine_new needs a place for the handle, not NULL");
  }
  struct stwi_engine *engine;
  stw_status status = stwi_engine_start(&engine, NULL, NULL);
  if (status != STW_OK)
    return status;
  handle->id = stwi_handle_new(STWI_HANDLE_ENGINE, engine, free_engine);
  if (handle->id != 0)
    return STW_OK;
  free_engine(engine);
  return stwi_error(STW_E_MEMORY, "no memory for another handle");
}

stw_status stw_engine_free(stw_engine handle) {
  struct stwi_engine *engine;
  stw_status status = hold_engine(handle, &engine);
  if (status != STW_OK)
    return status;
  if (stwi_handle_retire(handle.id)) {
    stwi_engine_stop(engine);
  } else {
    status = stwi_error(STW_E_HANDLE, "another thread is freeing this engine");
  }
  stwi_handle_drop(handle.id);
  return status;
}

static stw_status command_input(struct stwi_engine *engine, struct stwi_port *port,
                                const struct stwi_input *input) {
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_INPUT, port, 0);
  if (command == NULL)
    return stwi_error(STW_E_MEMORY, "no memory for a command");
  command->input = *input;
  if (stwi_engine_command(engine, command))
    return STW_OK;
  return stwi_error(STW_E_CLOSED, "the engine was stopped; make a new one");
}

stw_status stw_engine_network(stw_engine handle, stw_network what) {
  struct stwi_engine *engine;
  if (what > STW_NETWORK_CHANGED) {
    return stwi_error(STW_E_ARGUMENT,
                      "no such network hint: %d; use STW_NETWORK_UP, _DOWN or _CHANGED", (int)what);
  }
  stw_status status = hold_engine(handle, &engine);
  if (status != STW_OK)
    return status;
  struct stwi_input input = {.kind = STWI_IN_NETWORK};
  input.u.network.what = what;
  status = command_input(engine, NULL, &input);
  stwi_handle_drop(handle.id);
  return status;
}

/* ---- mailbox ---- */

static void free_mailbox(void *mailbox) {
  stwi_mailbox_drop(mailbox);
}

stw_status stw_mailbox_new(stw_mailbox *handle) {
  if (handle == NULL) {
    return stwi_error(STW_E_ARGUMENT, "stw_mailbox_new needs a place for the handle, not NULL");
  }
  struct stwi_mailbox *mailbox = stwi_mailbox_make();
  if (mailbox == NULL) {
    return stwi_error(STW_E_SYSTEM, "no descriptor for a mailbox; raise ulimit -n");
  }
  handle->id = stwi_handle_new(STWI_HANDLE_MAILBOX, mailbox, free_mailbox);
  if (handle->id != 0)
    return STW_OK;
  stwi_mailbox_drop(mailbox);
  return stwi_error(STW_E_MEMORY, "no memory for another handle");
}

static bool first_member(struct stwi_mailbox *mailbox, stw_conn *conn) {
  pthread_mutex_lock(&mailbox->lock);
  mailbox->is_closed = true;
  bool is_there = mailbox->members != NULL;
  if (is_there)
    *conn = mailbox->members->handle;
  pthread_mutex_unlock(&mailbox->lock);
  return is_there;
}

stw_status stw_mailbox_free(stw_mailbox handle) {
  struct stwi_mailbox *mailbox;
  stw_conn conn;
  stw_status status = hold_mailbox(handle, &mailbox);
  if (status != STW_OK)
    return status;
  while (first_member(mailbox, &conn))
    stw_conn_free(conn);
  stwi_handle_retire(handle.id);
  stwi_handle_drop(handle.id);
  return STW_OK;
}

int stw_mailbox_fd(stw_mailbox handle) {
  struct stwi_mailbox *mailbox;
  stw_status status = hold_mailbox(handle, &mailbox);
  if (status != STW_OK)
    return status;
  int fd = mailbox->fd;
  stwi_handle_drop(handle.id);
  return fd;
}

stw_status stw_mailbox_drain(stw_mailbox handle, const stw_event **events, size_t max,
                             size_t *count) {
  if (events == NULL || count == NULL || max == 0) {
    return stwi_error(STW_E_ARGUMENT, "stw_mailbox_drain needs room for at least one event");
  }
  *count = 0;
  struct stwi_mailbox *mailbox;
  stw_status status = hold_mailbox(handle, &mailbox);
  if (status != STW_OK)
    return status;
  if (atomic_exchange(&mailbox->is_draining, true)) {
    status = stwi_error(STW_E_BUSY, "another thread is draining this mailbox; use one thread, or a "
                                    "mailbox for each");
  } else {
    *count = stwi_mailbox_take(mailbox, events, max);
    atomic_store(&mailbox->is_draining, false);
  }
  stwi_handle_drop(handle.id);
  return status;
}

static int wait_ms(stwi_time deadline, bool is_bounded) {
  if (!is_bounded)
    return -1;
  stwi_time now = stwi_clock_monotonic();
  uint64_t left = now >= deadline ? 0 : (deadline - now + STWI_MS - 1) / STWI_MS;
  return left > 1000000 ? 1000000 : (int)left;
}

static stw_status wait_fd(int fd, int64_t timeout_ms) {
  bool is_bounded = timeout_ms >= 0 && (uint64_t)timeout_ms < STWI_NEVER / STWI_MS / 2;
  stwi_time deadline = stwi_clock_monotonic() + (uint64_t)(is_bounded ? timeout_ms : 0) * STWI_MS;
  for (;;) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int left = wait_ms(deadline, is_bounded);
    int got = poll(&wanted, 1, left);
    if (got > 0)
      return STW_OK;
    if (got < 0 && errno == EINTR) {
      return stwi_error(STW_E_INTERRUPTED,
                        "a signal arrived while waiting for the mailbox; handle it, "
                        "then call again");
    }
    if (got < 0)
      return stwi_error(STW_E_SYSTEM, "poll: %s", strerror(errno));
    if (left == 0) {
      return stwi_error(STW_E_TIMEOUT, "no event came to the mailbox within %lld ms; call again",
                        (long long)timeout_ms);
    }
  }
}

stw_status stw_mailbox_wait(stw_mailbox handle, int64_t timeout_ms) {
  struct stwi_mailbox *mailbox;
  stw_status status = hold_mailbox(handle, &mailbox);
  if (status != STW_OK)
    return status;
  status = wait_fd(mailbox->fd, timeout_ms);
  stwi_handle_drop(handle.id);
  return status;
}
