#include "io/hints.h"

#include "core/mem.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
  NOTICE_BYTES = 16384,
  READS_MAX = 32, /* a flood must not keep the loop */
  EACH_MS_MIN = 100,
  EACH_MS_MAX = 1600,
  FREE_PATIENCE_MS = 1000
};

struct stwi_hints {
  struct stwi_loop *loop;
  struct stwi_hints_hooks hooks;
  int netlink, wall; /* -1: not to be had */
  uv_poll_t network_poll, wall_poll;
  uv_timer_t timer; /* runs for a while after each call of the hook */
  uint64_t each_ms;
  bool has_news, has_come;
  unsigned open; /* handles of libuv */
};

/* ---- networks ---- */

static void tell(struct stwi_hints *hints);

static void on_timer(uv_timer_t *timer) {
  struct stwi_hints *hints = timer->data;
  if (hints->has_news) {
    hints->each_ms = hints->each_ms * 2 > EACH_MS_MAX ? EACH_MS_MAX : hints->each_ms * 2;
    tell(hints);
  } else {
    hints->each_ms = EACH_MS_MIN;
  }
}

static void tell(struct stwi_hints *hints) {
  const bool has_come = hints->has_come;
  hints->has_news = hints->has_come = false;
  uv_timer_start(&hints->timer, on_timer, hints->each_ms, 0);
  hints->hooks.network(hints->hooks.owner, has_come);
  stwi_loop_dirty(hints->loop);
}

/* A link notice without a change of flags is about something else: wireless scans, statistics. */
static bool is_link_change(const struct nlmsghdr *notice, bool *is_up) {
  if (notice->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
    return false;
  const struct ifinfomsg *link = NLMSG_DATA(notice);
  *is_up = (link->ifi_flags & IFF_UP) != 0;
  return link->ifi_change != 0;
}

static void take_notice(struct stwi_hints *hints, const struct nlmsghdr *notice) {
  bool is_up = false;
  switch (notice->nlmsg_type) {
  case RTM_NEWLINK:
    if (!is_link_change(notice, &is_up))
      return;
    hints->has_come |= is_up;
    break;
  case RTM_NEWADDR:
  case RTM_NEWROUTE:
    hints->has_come = true;
    break;
  case RTM_DELLINK:
  case RTM_DELADDR:
  case RTM_DELROUTE:
    break;
  default:
    return;
  }
  hints->has_news = true;
}

/* Only the kernel has port 0. */
static ssize_t read_notices(int fd, void *buffer, size_t size, bool *is_kernel) {
  struct sockaddr_nl from = {0};
  socklen_t from_size = sizeof from;
  const ssize_t got =
      recvfrom(fd, buffer, size, MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
  *is_kernel = from.nl_pid == 0;
  return got;
}

static void on_notices(uv_poll_t *poll, int status, int events) {
  struct stwi_hints *hints = poll->data;
  union {
    struct nlmsghdr first;
    char bytes[NOTICE_BYTES];
  } buffer;
  (void)status, (void)events;
  for (int i = 0; i < READS_MAX; i++) {
    bool is_kernel;
    const ssize_t got = read_notices(hints->netlink, &buffer, sizeof buffer, &is_kernel);
    if (got <= 0 && errno == ENOBUFS) { /* more came than fitted: anything may have changed */
      hints->has_news = hints->has_come = true;
      continue;
    }
    if (got <= 0)
      break;
    size_t left = (size_t)got;
    for (const struct nlmsghdr *notice = &buffer.first; is_kernel && NLMSG_OK(notice, left);
         notice = NLMSG_NEXT(notice, left))
      take_notice(hints, notice);
  }
  if (hints->has_news && !uv_is_active((uv_handle_t *)&hints->timer))
    tell(hints);
}

static int open_netlink(void) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                            RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
  if (fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof groups) == 0)
    return fd;
  close(fd);
  return -1;
}

/* ---- the wall clock ---- */

static bool arm_wall(int fd) {
  /* so far ahead that it never rings: it is only there to be cancelled */
  const struct itimerspec never = {.it_value.tv_sec = (time_t)1 << 40};
  return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

static void on_wall(uv_poll_t *poll, int status, int events) {
  struct stwi_hints *hints = poll->data;
  uint64_t rings;
  (void)status, (void)events;
  const ssize_t got = read(hints->wall, &rings, sizeof rings);
  if (got >= 0 || errno == ECANCELED) {
    if (!arm_wall(hints->wall))
      uv_poll_stop(poll);
    hints->hooks.clock(hints->hooks.owner);
    stwi_loop_dirty(hints->loop);
  }
}

static int open_wall(void) {
  const int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0 || arm_wall(fd))
    return fd;
  close(fd);
  return -1;
}

/* ---- life ---- */

static void watch(struct stwi_hints *hints, uv_poll_t *poll, int fd, uv_poll_cb on_event) {
  if (fd < 0 || uv_poll_init(stwi_loop_uv(hints->loop), poll, fd) != 0)
    return;
  poll->data = hints;
  hints->open++;
  uv_poll_start(poll, UV_READABLE, on_event);
}

struct stwi_hints *stwi_hints_new(struct stwi_loop *loop, const struct stwi_hints_hooks *hooks) {
  struct stwi_hints *hints = stwi_alloc(sizeof *hints);
  if (hints == NULL)
    return NULL;
  memset(hints, 0, sizeof *hints);
  hints->loop = loop;
  hints->hooks = *hooks;
  hints->each_ms = EACH_MS_MIN;
  hints->netlink = open_netlink();
  hints->wall = open_wall();
  uv_timer_init(stwi_loop_uv(loop), &hints->timer);
  hints->timer.data = hints;
  hints->open++;
  watch(hints, &hints->network_poll, hints->netlink, on_notices);
  watch(hints, &hints->wall_poll, hints->wall, on_wall);
  return hints;
}

static void on_closed(uv_handle_t *handle) {
  struct stwi_hints *hints = handle->data;
  hints->open--;
}

static bool is_closed(void *owner) {
  const struct stwi_hints *hints = owner;
  return hints->open == 0;
}

static void end(uv_handle_t *handle) {
  if (handle->data != NULL)
    uv_close(handle, on_closed);
}

void stwi_hints_free(struct stwi_hints *hints) {
  if (hints == NULL)
    return;
  end((uv_handle_t *)&hints->timer);
  end((uv_handle_t *)&hints->network_poll);
  end((uv_handle_t *)&hints->wall_poll);
  const bool is_done = stwi_loop_settle(hints->loop, is_closed, hints, FREE_PATIENCE_MS);
  if (hints->netlink >= 0)
    close(hints->netlink);
  if (hints->wall >= 0)
    close(hints->wall);
  if (is_done)
    stwi_free(hints);
}
