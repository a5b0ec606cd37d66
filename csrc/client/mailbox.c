#include "client/mailbox.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/engine.h"
#include "client/port.h"

struct stwi_mailbox *stwi_mailbox_make(void) {
  struct stwi_mailbox *mailbox = calloc(1, sizeof *mailbox);
  if (mailbox == NULL)
    return NULL;
  mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (mailbox->fd < 0) {
    free(mailbox);
    return NULL;
  }
  pthread_mutex_init(&mailbox->lock, NULL);
  atomic_init(&mailbox->refs, 1);
  return mailbox;
}

void stwi_mailbox_hold(struct stwi_mailbox *mailbox) {
  atomic_fetch_add(&mailbox->refs, 1);
}

void stwi_mailbox_drop(struct stwi_mailbox *mailbox) {
  if (atomic_fetch_sub(&mailbox->refs, 1) != 1)
    return;
  stwi_box_release(mailbox->lent);
  close(mailbox->fd);
  pthread_mutex_destroy(&mailbox->lock);
  free(mailbox);
}

bool stwi_mailbox_join(struct stwi_mailbox *mailbox, struct stwi_port *port) {
  pthread_mutex_lock(&mailbox->lock);
  bool is_open = !mailbox->is_closed;
  if (is_open) {
    port->next_member = mailbox->members;
    mailbox->members = port;
    port->is_member = true;
  }
  pthread_mutex_unlock(&mailbox->lock);
  return is_open;
}

static void unlink_ready(struct stwi_mailbox *mailbox, struct stwi_port *port) {
  if (!port->is_ready)
    return;
  struct stwi_port **place = &mailbox->ready_first;
  struct stwi_port *before = NULL;
  while (*place != port) {
    before = *place;
    place = &before->next_ready;
  }
  *place = port->next_ready;
  if (mailbox->ready_last == port)
    mailbox->ready_last = before;
  port->is_ready = false;
}

static void unlink_member(struct stwi_mailbox *mailbox, struct stwi_port *port) {
  struct stwi_port **place = &mailbox->members;
  while (*place != NULL && *place != port)
    place = &(*place)->next_member;
  if (*place == port)
    *place = port->next_member;
  port->is_member = false;
}

static void clear_fd(struct stwi_mailbox *mailbox) {
  uint64_t value;
  if (!mailbox->is_signalled)
    return;
  mailbox->is_signalled = read(mailbox->fd, &value, sizeof value) != sizeof value;
}

/* What was drained may still be read until the next drain, so the box's memory goes to `lent`. */
void stwi_mailbox_leave(struct stwi_mailbox *mailbox, struct stwi_port *port) {
  pthread_mutex_lock(&mailbox->lock);
  if (port->is_member) {
    unlink_ready(mailbox, port);
    unlink_member(mailbox, port);
    stwi_box_surrender(&port->box, &mailbox->lent);
    port->ends_waiting = 0;
    if (mailbox->ready_first == NULL)
      clear_fd(mailbox);
  }
  pthread_mutex_unlock(&mailbox->lock);
}

static void append_ready(struct stwi_mailbox *mailbox, struct stwi_port *port) {
  if (port->is_ready)
    return;
  port->is_ready = true;
  port->next_ready = NULL;
  if (mailbox->ready_last != NULL) {
    mailbox->ready_last->next_ready = port;
  } else {
    mailbox->ready_first = port;
  }
  mailbox->ready_last = port;
}

void stwi_mailbox_unlock(struct stwi_mailbox *mailbox) {
  bool is_news = mailbox->ready_first != NULL && !mailbox->is_signalled;
  if (is_news)
    mailbox->is_signalled = true;
  pthread_mutex_unlock(&mailbox->lock);
  uint64_t one = 1;
  if (!is_news || write(mailbox->fd, &one, sizeof one) == sizeof one)
    return;
  pthread_mutex_lock(&mailbox->lock); /* the host has closed the descriptor */
  mailbox->is_signalled = false;
  pthread_mutex_unlock(&mailbox->lock);
}

void stwi_mailbox_put(struct stwi_mailbox *mailbox, struct stwi_port *port,
                      const stw_event *event) {
  if (!port->is_member)
    return;
  if (event->kind == STW_EVENT_MESSAGE) {
    stwi_box_message(&port->box, event);
  } else {
    stwi_box_event(&port->box, event);
    if (event->kind == STW_EVENT_MESSAGE_ENDED)
      port->ends_waiting = port->box.ended;
  }
  append_ready(mailbox, port);
}

/* What the engine waits for: room for messages, or for ended messages. */
static void tell_engine(struct stwi_port *port) {
  if (port->box_was_full && stwi_box_has_room(&port->box)) {
    port->box_was_full = false;
    stwi_port_tell_room(port);
  }
  if (port->ends_waiting == port->box.ended)
    return;
  port->ends_waiting = port->box.ended;
  stwi_port_tell_drained(port);
}

/* Ports take turns, so one with much to say does not starve the others. */
static size_t take_from(struct stwi_mailbox *mailbox, const stw_event **events, size_t max) {
  size_t count = 0;
  size_t share = max > 64 ? max / 2 : max;
  while (mailbox->ready_first != NULL && count < max) {
    struct stwi_port *port = mailbox->ready_first;
    unlink_ready(mailbox, port);
    size_t most = mailbox->ready_first == NULL ? max - count : share;
    if (most > max - count)
      most = max - count;
    size_t got = stwi_box_drain(&port->box, events + count, most, &mailbox->lent);
    count += got;
    bool is_empty = stwi_box_is_empty(&port->box);
    if (!is_empty)
      append_ready(mailbox, port);
    tell_engine(port);
    if (got == 0 && !is_empty)
      break; /* no memory for its gap event: the next drain tries again */
  }
  return count;
}

size_t stwi_mailbox_take(struct stwi_mailbox *mailbox, const stw_event **events, size_t max) {
  pthread_mutex_lock(&mailbox->lock);
  stwi_box_release(mailbox->lent);
  mailbox->lent = NULL;
  size_t count = take_from(mailbox, events, max);
  if (mailbox->ready_first == NULL)
    clear_fd(mailbox);
  pthread_mutex_unlock(&mailbox->lock);
  return count;
}
