/* The context of libwebsockets: made and taken down without harm to the rest of the process. */
#include "io/transport_ws.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
  /* libwebsockets sizes tables by the limit of descriptors: 16 bytes for each. */
  FD_LIMIT_MAX = 65536,
  FDS_OF_LWS = 3,
  HEADER_BYTES_MAX = 4096, /* of an answer; stays allocated with the connection */
  FREE_PATIENCE_MS = 2000,
  VERSION_THAT_CLOSES_ONCE = 4002000,
  WSI_INTS_MAX = 1024 /* more than a `struct lws` has */
};

/* ---- one at a time ---- */

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
  pthread_mutex_lock(&guard);
}

static void after_fork(void) {
  pthread_mutex_unlock(&guard);
}

static void watch_forks(void) {
  pthread_atfork(before_fork, after_fork, after_fork);
}

/* For what changes the process in passing: no other engine, and no child of fork, sees it half
 * done. */
static void enter(void) {
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&guard);
}

static void leave(void) {
  pthread_mutex_unlock(&guard);
}

/* ---- the pipe ---- */

/* There is no other poll handle on the loop before the first dial. */
static void look_for_pipe(uv_handle_t *handle, void *arg) {
  struct stwi_ws *ws = arg;
  if (handle->type == UV_POLL)
    ws->pipe = handle->data;
}

/* Where a `struct lws` has its descriptor: the accessor of libwebsockets reads it out of a block in
 * which every int is its own index. */
static size_t place_of_fd(void) {
  int block[WSI_INTS_MAX];
  for (int i = 0; i < WSI_INTS_MAX; i++)
    block[i] = i;
  return (size_t)lws_get_socket_fd((struct lws *)block) * sizeof *block;
}

/* libwebsockets 4.1 closes the pipe's descriptor at once, and the same number again when the loop
 * has let go of it; by then it is anybody's.  So it is told in between that there is none. */
static void forget_pipe(struct stwi_ws *ws) {
  const int none = LWS_SOCK_INVALID;
  if (ws->pipe == NULL || LWS_LIBRARY_VERSION_NUMBER >= VERSION_THAT_CLOSES_ONCE)
    return;
  memcpy((char *)ws->pipe + place_of_fd(), &none, sizeof none);
  assert(lws_get_socket_fd(ws->pipe) == none);
  ws->pipe = NULL;
}

/* ---- making it ---- */

static void log_nothing(int level, const char *line) {
  (void)level;
  (void)line;
}

/* With a foreign loop a context that could not be made whole is given back half destroyed: so there
 * must be enough. */
static bool has_descriptors(void) {
  int fds[FDS_OF_LWS], count = 0;
  while (count < FDS_OF_LWS && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    count++;
  for (int i = 0; i < count; i++)
    close(fds[i]);
  return count == FDS_OF_LWS;
}

/* libwebsockets sizes its tables by the soft limit at this moment (a smaller
 * fd_limit_per_thread would make it search them from end to end for every event), and ignores
 * SIGPIPE for the whole process: both are put back at once.  Two engines that start together must
 * not take what the other one has set for the host's. */
static struct lws_context *create(struct stwi_ws *ws,
                                  const struct lws_context_creation_info *info) {
  struct sigaction pipe;
  struct rlimit before;
  enter();
  lws_set_log_level(0, log_nothing);
  sigaction(SIGPIPE, NULL, &pipe);
  getrlimit(RLIMIT_NOFILE, &before);
  const bool is_over = before.rlim_cur > FD_LIMIT_MAX;
  if (is_over)
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){FD_LIMIT_MAX, before.rlim_max});
  ws->fd_limit = is_over ? FD_LIMIT_MAX : (int)before.rlim_cur;
  struct lws_context *context = lws_create_context(info);
  if (is_over)
    setrlimit(RLIMIT_NOFILE, &before);
  sigaction(SIGPIPE, &pipe, NULL);
  leave();
  return context;
}

const char *stwi_ws_context_new(struct stwi_ws *ws) {
  void *loops[] = {stwi_loop_uv(ws->loop)};
  const struct lws_context_creation_info info = {
      .port = CONTEXT_PORT_NO_LISTEN,
      /* No DO_SSL_GLOBAL_INIT: OpenSSL needs none, and each one moves an index under the feet of
       * handshakes in other contexts of the process. */
      .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
      .foreign_loops = loops,
      .gid = -1,
      .uid = -1,
      .user = ws,
      .pcontext = &ws->context,
      .pt_serv_buf_size = STWI_WS_BUFFER_BYTES + LWS_PRE,
      .max_http_header_data = HEADER_BYTES_MAX,
      .timeout_secs = STWI_WS_NO_DEADLINE_S,
  };
  if (!has_descriptors())
    return STWI_WS_NO_DESCRIPTORS;
  ws->context = create(ws, &info);
  if (ws->context == NULL)
    return "libwebsockets could not start on the libuv loop: install its package "
           "libwebsockets-evlib-uv";
  uv_walk(stwi_loop_uv(ws->loop), look_for_pipe, ws);
  return ws->pipe != NULL ? NULL : STWI_WS_NO_DESCRIPTORS;
}

/* ---- taking it down ---- */

struct search {
  const struct lws_context *context;
  bool is_found;
};

static void look_for_context(uv_handle_t *handle, void *arg) {
  struct search *search = arg;
  search->is_found |= handle->data == search->context;
}

/* libwebsockets closes its connections, then the handles that lie inside the context. */
static bool is_quiet(void *owner) {
  struct stwi_ws *ws = owner;
  struct search search = {.context = ws->context};
  for (uint32_t i = 0; i < ws->lane_capacity; i++) {
    if (ws->lanes[i] != NULL)
      return false;
  }
  if (search.context != NULL)
    uv_walk(stwi_loop_uv(ws->loop), look_for_context, &search);
  return ws->handle_count == 0 && !search.is_found;
}

void stwi_ws_context_free(struct stwi_ws *ws) {
  lws_context_destroy(ws->context);
  forget_pipe(ws);
  /* On a foreign loop the first call only closes, and nothing calls again for us. */
  if (!stwi_loop_settle(ws->loop, is_quiet, ws, FREE_PATIENCE_MS) || ws->context == NULL)
    return;
  enter();
  lws_context_destroy(ws->context);
  leave();
}
