/* Dials, cuts, writes, pauses and restarts at random moments, at servers that do random wrong
 * things: every link ends with one DOWN, and nothing is left behind.  The interleaving of the
 * threads is the machine's; the seed replays what the test does. */
#include "io_xmpp.h"

#include "core/pace.h"
#include "seed.h"

#include <dirent.h>

enum { DIALS = 240, AT_ONCE = 12, SERVERS = 4, FATES = 8 };

static struct stwi_random dice;
static struct tls_peer peers[SERVERS];
static pthread_mutex_t fate_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stwi_random fates;

static struct {
  uint32_t dialled, ended;
  bool is_live[DIALS + 1], is_ready[DIALS + 1], is_writing[DIALS + 1];
} all;

static uint64_t roll(uint64_t sides) {
  return stwi_random_below(&dice, sides);
}

static uint64_t fate(void) {
  pthread_mutex_lock(&fate_lock);
  const uint64_t drawn = stwi_random_below(&fates, FATES);
  pthread_mutex_unlock(&fate_lock);
  return drawn;
}

static void stream_for_a_while(struct tls_peer *peer, SSL *ssl) {
  char buffer[4096];
  if (!xmpp_greet_tls(peer, ssl))
    return;
  for (uint64_t reads = fate() * 4; reads > 0 && SSL_read(ssl, buffer, sizeof buffer) > 0; reads--)
    SSL_write(ssl, "<presence/>", 11);
}

static void serve_a_fate(struct peer *peer, int fd) {
  switch (fate()) {
  case 0:
    return;
  case 1: {
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return;
  }
  case 2:
    xmpp_greet(peer, fd, XMPP_STARTTLS);
    return;
  case 3:
    xmpp_starttls(peer, fd);
    return;
  case 4:
    xmpp_greet(peer, fd, XMPP_FEATURES);
    return;
  default:
    serve_starttls(peer, fd);
  }
}

static void dial_another(struct world *world) {
  const struct stwi_dial_xmpp *const ways[] = {&xmpp_by_starttls, &xmpp_by_starttls, &xmpp_direct,
                                               &xmpp_in_the_clear};
  const struct stwi_dial dial = xmpp_dial(peers[roll(SERVERS)].peer.port, ways[roll(4)], root_file);
  const uint32_t link = ++all.dialled;
  all.is_live[link] = true;
  world->transport.ops->dial(world->transport.self, link % 5, link, &dial);
}

static void act_on(struct world *world, uint32_t link) {
  const struct stwi_transport *to = &world->transport;
  const uint32_t conn = link % 5;
  uint8_t text[STWI_WRITE_HEADROOM + 8] = {0};
  switch (roll(8)) {
  case 0:
  case 1:
    to->ops->cut(to->self, conn, link, roll(2) != 0);
    break;
  case 2:
    to->ops->pause(to->self, conn, link, true);
    to->ops->pause(to->self, conn, link, false);
    break;
  case 3:
    to->ops->restart(to->self, conn, link);
    break;
  default:
    if (all.is_ready[link] && !all.is_writing[link]) {
      all.is_writing[link] = true;
      to->ops->write(to->self, conn, link, text + STWI_WRITE_HEADROOM, 8);
    }
  }
}

static void put(void *owner, const struct stwi_input *input) {
  struct world *world = owner;
  const uint32_t link = input->link;
  assert_true(all.is_live[link]);
  if (input->kind == STWI_IN_DOWN) {
    all.is_live[link] = false;
    all.ended++;
    assert_non_null(input->u.down.detail);
  } else if (input->kind == STWI_IN_READY) {
    all.is_ready[link] = true;
  } else if (input->kind == STWI_IN_WRITABLE) {
    assert_true(all.is_writing[link]);
    all.is_writing[link] = false;
  }
  if (roll(3) == 0 && all.is_live[link])
    act_on(world, link); /* from within */
}

static void turn(void *owner, stwi_time now) {
  struct world *world = owner;
  (void)now;
  while (all.dialled < DIALS && all.dialled - all.ended < AT_ONCE)
    dial_another(world);
  if (all.ended == DIALS)
    stwi_loop_stop(world->loop);
}

static void on_tick(uv_timer_t *timer) {
  struct world *world = timer->data;
  for (uint32_t link = 1; link <= all.dialled; link++) {
    if (all.is_live[link] && roll(10) == 0)
      act_on(world, link);
  }
  stwi_loop_dirty(world->loop);
}

static size_t count_fds(void) {
  size_t count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder) != NULL)
    count++;
  closedir(folder);
  return count;
}

static void run_all(struct world *world) {
  const struct stwi_loop_hooks hooks = {world, turn};
  const char *why = NULL;
  uv_timer_t tick, guard;
  memset(world, 0, sizeof *world);
  world->loop = stwi_loop_new(&hooks);
  world->transport = stwi_transport_xmpp_new(world->loop, (struct stwi_sink){world, put}, &why);
  assert_null(why);
  uv_timer_init(stwi_loop_uv(world->loop), &tick);
  uv_timer_init(stwi_loop_uv(world->loop), &guard);
  tick.data = guard.data = world;
  uv_timer_start(&tick, on_tick, 1, 2);
  uv_timer_start(&guard, world_guard, 3 * WORLD_GUARD_S * 1000, 0);
  stwi_loop_dirty(world->loop);
  stwi_loop_run(world->loop);
  uv_close((uv_handle_t *)&tick, NULL);
  uv_close((uv_handle_t *)&guard, NULL);
  uv_run(stwi_loop_uv(world->loop), UV_RUN_NOWAIT);
  assert_false(world->is_stuck);
  world->transport.ops->free(world->transport.self);
  stwi_loop_free(world->loop);
}

static void every_link_ends_once_and_leaves_nothing(void **state) {
  struct world world;
  const uint64_t seed = test_seed("every_link_ends_once_and_leaves_nothing");
  struct cert cert = good_cert();
  (void)state;
  stwi_random_seed(&dice, seed);
  stwi_random_seed(&fates, seed + 1);
  memset(&all, 0, sizeof all);
  for (int i = 0; i < SERVERS; i++) {
    peers[i] = (struct tls_peer){.cert = cert, .serve = stream_for_a_while};
    peers[i].peer.accept_count = 100000;
    peer_start(&peers[i].peer, i < 3 ? serve_a_fate : serve_tls);
  }
  world_open_with(&world, stwi_transport_xmpp_new); /* what libraries keep is there from now on */
  world_close(&world);
  const size_t before = count_fds();
  run_all(&world);
  assert_int_equal(all.ended, DIALS);
  for (int i = 0; i < SERVERS; i++)
    peer_stop(&peers[i].peer);
  assert_int_equal(count_fds(), before - SERVERS);
  cert_free(&cert);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_link_ends_once_and_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, make_roots, free_roots);
}
