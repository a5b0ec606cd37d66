/* After a change of the machine's network: what became of each link's path. */
#include "io/transport_ws.h"

#include "core/mem.h"
#include "io/path.h"

struct seen {
  uint32_t conn, link;
  stw_network what;
};

static size_t count_links(const struct stwi_ws *ws) {
  size_t count = 0;
  for (size_t conn = 0; conn < ws->conn_capacity; conn++)
    for (const struct stwi_ws_link *link = ws->conns[conn]; link != NULL; link = link->next)
      count++;
  return count;
}

static stw_network look_at(const struct stwi_ws_link *link,
                           const struct stwi_interfaces *interfaces) {
  const struct stwi_ws_lane *lane = link->up != NULL ? link->up : link->lanes;
  if (lane == NULL)
    return STW_NETWORK_UP;
  const int fd = lane->wsi != NULL ? lws_get_socket_fd(lane->wsi) : lane->fd;
  const struct sockaddr *peer =
      link->attempt == NULL ? NULL : &link->attempt->addresses.items[lane->address].at.any;
  return fd < 0 ? STW_NETWORK_UP : stwi_path_of(fd, peer, interfaces);
}

/* All are looked at before any is told of: what the core does then may end other links. */
void stwi_ws_look(struct stwi_ws *ws) {
  const size_t count = count_links(ws);
  struct seen *all = count == 0 ? NULL : stwi_alloc(count * sizeof *all);
  if (all == NULL)
    return;
  struct stwi_interfaces interfaces = stwi_interfaces_read();
  size_t at = 0;
  for (size_t conn = 0; conn < ws->conn_capacity; conn++)
    for (const struct stwi_ws_link *link = ws->conns[conn]; link != NULL; link = link->next)
      if (!link->is_over && !link->is_cut)
        all[at++] = (struct seen){link->conn, link->link, look_at(link, &interfaces)};
  stwi_interfaces_free(&interfaces);
  for (size_t i = 0; i < at; i++) {
    struct stwi_ws_link *link = stwi_ws_link_of(ws, all[i].conn, all[i].link);
    struct stwi_input input = {.kind = STWI_IN_PATH, .u.network.what = all[i].what};
    if (link != NULL && !link->is_over && !link->is_cut)
      stwi_ws_put(link, &input);
  }
  stwi_free(all);
}
