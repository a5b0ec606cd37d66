/* Threads for what blocks: TLS handshakes.  A thread is made when one is wanted and none is idle,
 * and stays until the pool is freed.  Peers that do not answer must not keep others from being
 * dialled, so a handshake that stalls is not counted. */
#include "io/transport_xmpp.h"

#include "core/mem.h"
#include "io/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct stwi_xmpp_job {
  struct stwi_xmpp_job *next;
  struct stwi_xmpp_link *link; /* NULL: cancelled; the loop's */
  struct stwi_xmpp_socket *socket;
  struct stwi_xmpp_security security; /* in `text` */
  struct stwi_xmpp_failure failure;
  stwi_time since; /* it runs */
  bool is_good;
  char text[];
};

struct queue {
  struct stwi_xmpp_job *first, **end;
};

struct stwi_xmpp_pool {
  pthread_mutex_t lock;
  pthread_cond_t work;
  struct queue waiting, done; /* under the lock, as all below */
  struct stwi_xmpp_job *running[STWI_XMPP_THREADS_MAX];
  pthread_t threads[STWI_XMPP_THREADS_MAX];
  size_t thread_count, idle_count;
  bool is_over;
  uv_async_t *wake;
};

/* ---- queues ---- */

static void queue_init(struct queue *queue) {
  queue->first = NULL;
  queue->end = &queue->first;
}

static void queue_put(struct queue *queue, struct stwi_xmpp_job *job) {
  job->next = NULL;
  *queue->end = job;
  queue->end = &job->next;
}

static struct stwi_xmpp_job *queue_take(struct queue *queue) {
  struct stwi_xmpp_job *job = queue->first;
  if (job == NULL)
    return NULL;
  queue->first = job->next;
  if (queue->first == NULL)
    queue->end = &queue->first;
  return job;
}

static bool queue_remove(struct queue *queue, const struct stwi_xmpp_job *job) {
  struct stwi_xmpp_job **at = &queue->first;
  while (*at != NULL && *at != job)
    at = &(*at)->next;
  if (*at == NULL)
    return false;
  *at = job->next;
  if (*at == NULL)
    queue->end = at;
  return true;
}

static void job_free(struct stwi_xmpp_job *job) {
  if (job->socket != NULL)
    stwi_xmpp_socket_free(job->socket);
  stwi_free(job);
}

/* ---- threads ---- */

static struct stwi_xmpp_job *next_job(struct stwi_xmpp_pool *pool) {
  pool->idle_count++;
  while (pool->waiting.first == NULL && !pool->is_over)
    pthread_cond_wait(&pool->work, &pool->lock);
  pool->idle_count--;
  return pool->is_over ? NULL : queue_take(&pool->waiting);
}

static void *run(void *arg) {
  struct stwi_xmpp_pool *pool = arg;
  struct stwi_xmpp_job *job;
  pthread_mutex_lock(&pool->lock);
  while ((job = next_job(pool)) != NULL) {
    size_t place = 0;
    while (pool->running[place] != NULL)
      place++;
    pool->running[place] = job;
    job->since = stwi_clock_monotonic();
    pthread_mutex_unlock(&pool->lock);
    job->is_good = stwi_xmpp_socket_secure(job->socket, &job->security, &job->failure);
    pthread_mutex_lock(&pool->lock);
    pool->running[place] = NULL;
    queue_put(&pool->done, job);
    uv_async_send(pool->wake);
  }
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

/* All signals are the host's, and SIGPIPE nobody's. */
static bool start_thread(struct stwi_xmpp_pool *pool) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const bool is_started = pthread_create(&pool->threads[pool->thread_count], NULL, run, pool) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (is_started)
    pool->thread_count++;
  return is_started;
}

static size_t count(const struct queue *queue) {
  size_t jobs = 0;
  for (const struct stwi_xmpp_job *job = queue->first; job != NULL; job = job->next)
    jobs++;
  return jobs;
}

static size_t count_stalled(const struct stwi_xmpp_pool *pool) {
  const stwi_time now = stwi_clock_monotonic();
  size_t stalled = 0;
  for (size_t i = 0; i < STWI_XMPP_THREADS_MAX; i++) {
    const struct stwi_xmpp_job *job = pool->running[i];
    stalled += job != NULL && now - job->since >= STWI_XMPP_STALL_MS * STWI_MS;
  }
  return stalled;
}

static void start_wanted(struct stwi_xmpp_pool *pool) {
  const size_t computing = STWI_XMPP_THREADS + count_stalled(pool);
  const size_t limit = computing < STWI_XMPP_THREADS_MAX ? computing : STWI_XMPP_THREADS_MAX;
  size_t wanted = count(&pool->waiting);
  wanted = wanted > pool->idle_count ? wanted - pool->idle_count : 0;
  while (wanted-- > 0 && pool->thread_count < limit && start_thread(pool))
    continue;
}

/* ---- operations ---- */

struct stwi_xmpp_pool *stwi_xmpp_pool_new(uv_async_t *wake) {
  struct stwi_xmpp_pool *pool = stwi_alloc(sizeof *pool);
  if (pool == NULL)
    return NULL;
  memset(pool, 0, sizeof *pool);
  queue_init(&pool->waiting);
  queue_init(&pool->done);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pool->wake = wake;
  return pool;
}

static char *keep(char **at, const char *text) {
  const size_t size = strlen(text) + 1;
  char *kept = memcpy(*at, text, size);
  *at += size;
  return kept;
}

static struct stwi_xmpp_job *job_new(struct stwi_xmpp_link *link, struct stwi_xmpp_socket *socket,
                                     const struct stwi_xmpp_security *security) {
  const size_t size = strlen(security->name) + strlen(security->ca_file) +
                      strlen(security->client_cert) + strlen(security->client_key) + 4;
  struct stwi_xmpp_job *job = stwi_alloc(sizeof *job + size);
  if (job == NULL)
    return NULL;
  memset(job, 0, sizeof *job);
  char *at = job->text;
  job->link = link;
  job->socket = socket;
  job->security = *security;
  job->security.name = keep(&at, security->name);
  job->security.ca_file = keep(&at, security->ca_file);
  job->security.client_cert = keep(&at, security->client_cert);
  job->security.client_key = keep(&at, security->client_key);
  return job;
}

struct stwi_xmpp_job *stwi_xmpp_pool_add(struct stwi_xmpp_pool *pool, struct stwi_xmpp_link *link,
                                         struct stwi_xmpp_socket *socket,
                                         const struct stwi_xmpp_security *security) {
  struct stwi_xmpp_job *job = job_new(link, socket, security);
  if (job == NULL)
    return NULL;
  pthread_mutex_lock(&pool->lock);
  queue_put(&pool->waiting, job);
  start_wanted(pool);
  if (pool->thread_count == 0) {
    queue_remove(&pool->waiting, job);
    stwi_free(job);
    job = NULL;
  }
  pthread_cond_signal(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  return job;
}

/* With `abort` the FIN that this sends is followed by RST when the socket is closed. */
static void stop_socket(const struct stwi_xmpp_job *job, bool abort) {
  const int fd = stwi_xmpp_socket_fd(job->socket);
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (abort)
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  shutdown(fd, SHUT_RDWR);
}

void stwi_xmpp_pool_cancel(struct stwi_xmpp_pool *pool, struct stwi_xmpp_job *job, bool abort) {
  pthread_mutex_lock(&pool->lock);
  job->link = NULL;
  const bool is_waiting = queue_remove(&pool->waiting, job);
  pthread_mutex_unlock(&pool->lock);
  stop_socket(job, abort);
  if (is_waiting)
    job_free(job);
}

static struct stwi_xmpp_job *take_done(struct stwi_xmpp_pool *pool, bool *is_short) {
  pthread_mutex_lock(&pool->lock);
  struct stwi_xmpp_job *job = queue_take(&pool->done);
  start_wanted(pool);
  *is_short = pool->waiting.first != NULL;
  pthread_mutex_unlock(&pool->lock);
  return job;
}

bool stwi_xmpp_pool_collect(struct stwi_xmpp_pool *pool) {
  struct stwi_xmpp_job *job;
  bool is_short;
  while ((job = take_done(pool, &is_short)) != NULL) {
    struct stwi_xmpp_socket *socket = job->socket;
    if (job->link != NULL) {
      job->socket = NULL;
      job->link->job = NULL;
      stwi_xmpp_secured(job->link, socket, job->is_good ? NULL : &job->failure);
    }
    job_free(job);
  }
  return is_short;
}

static void free_queue(struct queue *queue) {
  struct stwi_xmpp_job *job;
  while ((job = queue_take(queue)) != NULL)
    job_free(job);
}

void stwi_xmpp_pool_free(struct stwi_xmpp_pool *pool) {
  if (pool == NULL)
    return;
  pthread_mutex_lock(&pool->lock);
  pool->is_over = true;
  for (size_t i = 0; i < STWI_XMPP_THREADS_MAX; i++) {
    if (pool->running[i] != NULL)
      stop_socket(pool->running[i], false);
  }
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (size_t i = 0; i < pool->thread_count; i++)
    pthread_join(pool->threads[i], NULL);
  free_queue(&pool->waiting);
  free_queue(&pool->done);
  pthread_cond_destroy(&pool->work);
  pthread_mutex_destroy(&pool->lock);
  stwi_free(pool);
}
