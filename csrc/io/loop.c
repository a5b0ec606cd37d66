#include "io/loop.h"

#include "core/mem.h"
#include "io/clock.h"

#include <string.h>
#include <uv.h>

enum {
  TURNS_BEFORE_IO_MAX = 8,
  /* A resolver thread that hangs cannot be cancelled; the stop does not wait for it. */
  FREE_PATIENCE_MS = 300
};

struct stwi_loop {
  uv_loop_t uv;
  struct stwi_loop_hooks hooks;
  uv_async_t wake;
  uv_check_t check;
  uv_prepare_t prepare;
  uv_idle_t awake; /* active while the loop must not sleep */
  uv_timer_t timer;
  stwi_time now;      /* 0: not read since the loop last looked for events */
  stwi_time deadline; /* STWI_NEVER: the timer is off */
  bool is_dirty;
  bool is_settling;
};

static void turn(struct stwi_loop *loop) {
  loop->is_dirty = false;
  if (!loop->is_settling)
    loop->hooks.turn(loop->hooks.owner, stwi_loop_now(loop));
}

static void on_awake(uv_idle_t *handle) {
  uv_idle_stop(handle);
}

static void on_check(uv_check_t *handle) {
  turn(handle->data);
}

static void on_prepare(uv_prepare_t *handle) {
  struct stwi_loop *loop = handle->data;
  for (int i = 0; i < TURNS_BEFORE_IO_MAX && loop->is_dirty; i++) {
    loop->now = 0;
    turn(loop);
  }
  if (loop->is_dirty)
    uv_idle_start(&loop->awake, on_awake);
  loop->now = 0;
}

static void on_wake(uv_async_t *handle) {
  struct stwi_loop *loop = handle->data;
  loop->is_dirty = true;
}

/* libuv counts whole milliseconds of the same clock, by its own reading of it. */
static uint64_t wait_ms(struct stwi_loop *loop) {
  const uint64_t at_ms = loop->deadline / STWI_MS + (loop->deadline % STWI_MS != 0);
  const uint64_t now_ms = uv_now(&loop->uv);
  return at_ms > now_ms ? at_ms - now_ms : 0;
}

static void on_deadline(uv_timer_t *handle) {
  struct stwi_loop *loop = handle->data;
  loop->now = 0;
  if (stwi_loop_now(loop) < loop->deadline) {
    uv_timer_start(handle, on_deadline, 1, 0);
    return;
  }
  loop->deadline = STWI_NEVER;
  loop->is_dirty = true;
}

static int start_handles(struct stwi_loop *loop) {
  int failed = uv_async_init(&loop->uv, &loop->wake, on_wake);
  if (failed != 0)
    return failed;
  uv_check_init(&loop->uv, &loop->check);
  uv_prepare_init(&loop->uv, &loop->prepare);
  uv_idle_init(&loop->uv, &loop->awake);
  uv_timer_init(&loop->uv, &loop->timer);
  loop->wake.data = loop;
  loop->check.data = loop;
  loop->prepare.data = loop;
  loop->timer.data = loop;
  uv_check_start(&loop->check, on_check);
  uv_prepare_start(&loop->prepare, on_prepare);
  return 0;
}

struct stwi_loop *stwi_loop_new(const struct stwi_loop_hooks *hooks) {
  struct stwi_loop *loop = stwi_alloc(sizeof *loop);
  if (loop == NULL)
    return NULL;
  memset(loop, 0, sizeof *loop);
  loop->hooks = *hooks;
  loop->deadline = STWI_NEVER;
  if (uv_loop_init(&loop->uv) != 0) {
    stwi_free(loop);
    return NULL;
  }
  if (start_handles(loop) != 0) {
    uv_loop_close(&loop->uv);
    stwi_free(loop);
    return NULL;
  }
  return loop;
}

static void close_handle(uv_handle_t *handle, void *unused) {
  (void)unused;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static bool has_closed(void *owner) {
  struct stwi_loop *loop = owner;
  return !uv_loop_alive(&loop->uv);
}

void stwi_loop_free(struct stwi_loop *loop) {
  if (loop == NULL)
    return;
  uv_walk(&loop->uv, close_handle, NULL);
  loop->is_settling = true;
  const uint64_t until = uv_hrtime() + FREE_PATIENCE_MS * STWI_MS;
  while (!has_closed(loop) && uv_hrtime() < until) {
    if (uv_run(&loop->uv, UV_RUN_NOWAIT) != 0 && !has_closed(loop))
      uv_sleep(1);
  }
  /* A request that is still out belongs to a thread of libuv, which will touch the loop: leave it
   * the memory rather than wait for its resolver. */
  if (uv_loop_close(&loop->uv) == 0)
    stwi_free(loop);
}

void stwi_loop_run(struct stwi_loop *loop) {
  uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void stwi_loop_stop(struct stwi_loop *loop) {
  uv_stop(&loop->uv);
}

void stwi_loop_wake(struct stwi_loop *loop) {
  uv_async_send(&loop->wake);
}

void stwi_loop_dirty(struct stwi_loop *loop) {
  loop->is_dirty = true;
}

void stwi_loop_deadline(struct stwi_loop *loop, stwi_time at) {
  if (at == loop->deadline)
    return;
  loop->deadline = at;
  if (at == STWI_NEVER)
    uv_timer_stop(&loop->timer);
  else
    uv_timer_start(&loop->timer, on_deadline, wait_ms(loop), 0);
}

stwi_time stwi_loop_now(struct stwi_loop *loop) {
  if (loop->now == 0)
    loop->now = stwi_clock_monotonic();
  return loop->now;
}

void *stwi_loop_uv(struct stwi_loop *loop) {
  return &loop->uv;
}

static void on_patience(uv_timer_t *handle) {
  bool *is_over = handle->data;
  *is_over = true;
}

static void on_patience_closed(uv_handle_t *handle) {
  stwi_free(handle);
}

bool stwi_loop_settle(struct stwi_loop *loop, bool (*is_done)(void *owner), void *owner,
                      uint32_t patience_ms) {
  bool is_over = false;
  uv_timer_t *patience = stwi_alloc(sizeof *patience);
  if (patience == NULL)
    return is_done(owner);
  uv_timer_init(&loop->uv, patience);
  patience->data = &is_over;
  uv_timer_start(patience, on_patience, patience_ms, 0);
  loop->is_settling = true;
  while (!is_done(owner) && !is_over)
    uv_run(&loop->uv, UV_RUN_ONCE);
  uv_close((uv_handle_t *)patience, on_patience_closed);
  uv_run(&loop->uv, UV_RUN_NOWAIT);
  loop->is_settling = false;
  return is_done(owner);
}
