#include "sim/net.h"

#include <stdlib.h>
#include <string.h>

#define PACKET_NS (2 * STWI_US)
#define BYTE_NS 8u /* 1 Gbit/s */
#define BREAK_WITHIN (50 * STWI_MS)
#define MILLION 1000000u

enum item_kind { SYN, OPEN, BYTES, WRITABLE, DOWN, RESET, TIMER };

struct item {
  stwi_time at;
  uint64_t order;
  enum item_kind kind;
  uint32_t link;
  enum stwi_net_end end; /* that is told */
  stw_cause cause;
  uint64_t token; /* TIMER; BYTES: size */
  uint8_t *data;  /* BYTES: owned */
};

struct end {
  bool is_told;  /* that there is a link */
  bool is_deaf;  /* is told nothing more but DOWN */
  bool is_over;  /* ... nor that */
  bool swallows; /* what is sent to it is lost */
  uint64_t latency_ns;
  stwi_time last_at; /* when the last packet in order reaches it */
  stwi_time busy_until;
};

struct link {
  uint32_t place;
  uint32_t live_at; /* index in `live` + 1; 0: not there */
  struct end ends[2];
};

struct stwi_net {
  struct stwi_random random;
  struct item *items; /* a heap */
  size_t item_count, item_capacity;
  uint64_t order;
  struct link *links; /* by id - 1 */
  uint32_t link_count, link_capacity;
  uint32_t *live; /* ids of links that are open at both ends */
  uint32_t live_count, live_capacity;
  enum stwi_net_door *doors;
  uint64_t latency_least, latency_most;
  struct stwi_net_harm harm;
  struct stwi_net_counts counts;
  uint8_t *lent;
};

struct stwi_net *stwi_net_new(uint64_t seed, uint32_t places) {
  struct stwi_net *net = calloc(1, sizeof *net);
  if (net == NULL)
    return NULL;
  stwi_random_seed(&net->random, seed);
  net->latency_least = net->latency_most = STWI_MS;
  net->doors = calloc(places, sizeof *net->doors);
  if (net->doors == NULL) {
    free(net);
    return NULL;
  }
  return net;
}

void stwi_net_free(struct stwi_net *net) {
  if (net == NULL)
    return;
  for (size_t i = 0; i < net->item_count; i++)
    free(net->items[i].data);
  free(net->items);
  free(net->links);
  free(net->live);
  free(net->doors);
  free(net->lent);
  free(net);
}

void stwi_net_latency(struct stwi_net *net, uint64_t least_ns, uint64_t most_ns) {
  net->latency_least = least_ns;
  net->latency_most = most_ns;
}

void stwi_net_harm(struct stwi_net *net, struct stwi_net_harm harm) {
  net->harm = harm;
}

void stwi_net_door(struct stwi_net *net, uint32_t place, enum stwi_net_door door) {
  net->doors[place] = door;
}

struct stwi_net_counts stwi_net_counts(const struct stwi_net *net) {
  return net->counts;
}

struct stwi_random *stwi_net_random(struct stwi_net *net) {
  return &net->random;
}

/* ---- the heap of what is to come ---- */

static bool grow(void **items, uint32_t count, uint32_t *capacity, size_t size) {
  if (count < *capacity)
    return true;
  const uint32_t more = *capacity == 0 ? 64 : *capacity * 2;
  void *grown = realloc(*items, more * size);
  if (grown == NULL)
    return false;
  *items = grown;
  *capacity = more;
  return true;
}

static bool is_before(const struct item *a, const struct item *b) {
  return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static bool push(struct stwi_net *net, struct item item) {
  if (net->item_count == net->item_capacity) {
    const size_t more = net->item_capacity == 0 ? 256 : net->item_capacity * 2;
    struct item *grown = realloc(net->items, more * sizeof *grown);
    if (grown == NULL)
      return false;
    net->items = grown;
    net->item_capacity = more;
  }
  item.order = net->order++;
  size_t at = net->item_count++;
  while (at > 0 && is_before(&item, &net->items[(at - 1) / 2])) {
    net->items[at] = net->items[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  net->items[at] = item;
  return true;
}

static struct item pop(struct stwi_net *net) {
  const struct item first = net->items[0];
  const struct item last = net->items[--net->item_count];
  size_t at = 0;
  for (size_t child = 1; child < net->item_count; child = 2 * at + 1) {
    if (child + 1 < net->item_count && is_before(&net->items[child + 1], &net->items[child]))
      child++;
    if (!is_before(&net->items[child], &last))
      break;
    net->items[at] = net->items[child];
    at = child;
  }
  if (net->item_count > 0)
    net->items[at] = last;
  return first;
}

stwi_time stwi_net_due(const struct stwi_net *net) {
  return net->item_count == 0 ? STWI_NEVER : net->items[0].at;
}

bool stwi_net_timer(struct stwi_net *net, stwi_time at, uint64_t token) {
  return push(net, (struct item){.at = at, .kind = TIMER, .token = token});
}

/* ---- links ---- */

static uint64_t roll(struct stwi_net *net, uint64_t below) {
  return stwi_random_below(&net->random, below);
}

static struct link *link_of(struct stwi_net *net, uint32_t link) {
  return link >= 1 && link <= net->link_count ? &net->links[link - 1] : NULL;
}

static enum stwi_net_end other(enum stwi_net_end end) {
  return end == STWI_NET_CALLER ? STWI_NET_CALLEE : STWI_NET_CALLER;
}

static void make_live(struct stwi_net *net, uint32_t link) {
  void *items = net->live;
  if (!grow(&items, net->live_count, &net->live_capacity, sizeof *net->live))
    return;
  net->live = items;
  net->live[net->live_count++] = link;
  net->links[link - 1].live_at = net->live_count;
}

static void make_dead(struct stwi_net *net, struct link *link) {
  if (link->live_at == 0)
    return;
  const uint32_t moved = net->live[--net->live_count];
  net->live[link->live_at - 1] = moved;
  net->links[moved - 1].live_at = link->live_at;
  link->live_at = 0;
}

uint32_t stwi_net_any(struct stwi_net *net) {
  return net->live_count == 0 ? 0 : net->live[roll(net, net->live_count)];
}

/* Puts an item in its order behind all that is under way to this end. */
static bool push_behind(struct stwi_net *net, stwi_time now, struct link *link, struct item item) {
  struct end *end = &link->ends[item.end];
  const stwi_time at = now + end->latency_ns;
  end->last_at = at > end->last_at ? at : end->last_at;
  item.at = end->last_at;
  return push(net, item);
}

uint32_t stwi_net_dial(struct stwi_net *net, stwi_time now, uint32_t place) {
  void *items = net->links;
  if (!grow(&items, net->link_count, &net->link_capacity, sizeof *net->links))
    return 0;
  net->links = items;
  struct link *link = &net->links[net->link_count];
  memset(link, 0, sizeof *link);
  link->place = place;
  link->ends[STWI_NET_CALLER].is_told = true;
  for (unsigned i = 0; i < 2; i++)
    link->ends[i].latency_ns =
        net->latency_least + roll(net, net->latency_most - net->latency_least + 1);
  const struct item syn = {.kind = SYN, .link = net->link_count + 1, .end = STWI_NET_CALLEE};
  if (!push_behind(net, now, link, syn))
    return 0;
  net->counts.links++;
  return ++net->link_count;
}

static bool push_bytes(struct stwi_net *net, stwi_time now, struct link *link, struct item item,
                       const void *data, bool is_late) {
  item.data = malloc(item.token > 0 ? item.token : 1);
  if (item.data == NULL)
    return false;
  memcpy(item.data, data, item.token);
  bool is_pushed;
  if (is_late) {
    const uint64_t latency = link->ends[item.end].latency_ns;
    item.at = now + latency + roll(net, 2 * latency + 1);
    is_pushed = push(net, item);
  } else {
    is_pushed = push_behind(net, now, link, item);
  }
  if (!is_pushed)
    free(item.data);
  return is_pushed;
}

static bool carry(struct stwi_net *net, stwi_time now, struct link *link, struct item item,
                  const void *data, bool may_be_harmed) {
  const struct stwi_net_harm *harm = &net->harm;
  const uint64_t draw = may_be_harmed ? roll(net, MILLION) : MILLION;
  bool is_late = false;
  if (draw < harm->dropped) {
    net->counts.dropped++;
    return push(
        net, (struct item){.at = now + roll(net, BREAK_WITHIN), .kind = RESET, .link = item.link});
  }
  if (draw - harm->dropped < harm->swapped) {
    net->counts.swapped++;
    is_late = true;
  } else if (draw < MILLION && draw - harm->dropped - harm->swapped < harm->doubled) {
    net->counts.doubled++;
    if (!push_bytes(net, now, link, item, data, true))
      return false;
  }
  return push_bytes(net, now, link, item, data, is_late);
}

bool stwi_net_send(struct stwi_net *net, stwi_time now, uint32_t id, enum stwi_net_end from,
                   const void *data, size_t size, bool may_be_harmed) {
  struct link *link = link_of(net, id);
  if (link == NULL || link->ends[from].is_deaf)
    return false;
  struct end *own = &link->ends[from];
  own->busy_until = (own->busy_until > now ? own->busy_until : now) + PACKET_NS + size * BYTE_NS;
  net->counts.packets++;
  net->counts.bytes += size;
  const struct item item = {.kind = BYTES, .link = id, .end = other(from), .token = size};
  if (link->ends[other(from)].swallows)
    net->counts.swallowed++;
  else if (!carry(net, own->busy_until, link, item, data, may_be_harmed))
    return false;
  return push(net, (struct item){.at = own->busy_until, .kind = WRITABLE, .link = id, .end = from});
}

static void end_now(struct stwi_net *net, stwi_time at, uint32_t id, enum stwi_net_end end,
                    stw_cause cause) {
  struct link *link = link_of(net, id);
  make_dead(net, link);
  if (link->ends[end].is_deaf)
    return;
  link->ends[end].is_deaf = true;
  push(net, (struct item){.at = at, .kind = DOWN, .link = id, .end = end, .cause = cause});
}

void stwi_net_close(struct stwi_net *net, stwi_time now, uint32_t id, enum stwi_net_end end,
                    bool abort) {
  struct link *link = link_of(net, id);
  if (link == NULL || link->ends[end].is_deaf)
    return;
  end_now(net, now, id, end, STW_CAUSE_REQUESTED);
  struct end *far = &link->ends[other(end)];
  if (far->swallows || far->is_deaf)
    return;
  if (abort)
    end_now(net, now + far->latency_ns, id, other(end), STW_CAUSE_ABNORMAL_RST);
  else
    push_behind(net, now, link,
                (struct item){
                    .kind = DOWN, .link = id, .end = other(end), .cause = STW_CAUSE_ABNORMAL_FIN});
}

void stwi_net_reset(struct stwi_net *net, stwi_time now, uint32_t id) {
  if (link_of(net, id) == NULL)
    return;
  net->counts.resets++;
  end_now(net, now, id, STWI_NET_CALLER, STW_CAUSE_ABNORMAL_RST);
  end_now(net, now, id, STWI_NET_CALLEE, STW_CAUSE_ABNORMAL_RST);
}

void stwi_net_swallow(struct stwi_net *net, uint32_t id, bool to_caller, bool to_callee) {
  struct link *link = link_of(net, id);
  if (link == NULL)
    return;
  link->ends[STWI_NET_CALLER].swallows |= to_caller;
  link->ends[STWI_NET_CALLEE].swallows |= to_callee;
}

void stwi_net_died(struct stwi_net *net, stwi_time now, uint32_t id, enum stwi_net_end end) {
  struct link *link = link_of(net, id);
  if (link == NULL || link->ends[end].is_over)
    return;
  make_dead(net, link);
  link->ends[end].is_deaf = link->ends[end].is_over = true;
  if (!link->ends[other(end)].swallows)
    end_now(net, now + link->ends[other(end)].latency_ns, id, other(end), STW_CAUSE_ABNORMAL_RST);
}

/* ---- telling ---- */

static void fill(struct stwi_net_event *event, enum stwi_net_event_kind kind,
                 const struct item *item, uint32_t place) {
  memset(event, 0, sizeof *event);
  event->kind = kind;
  event->at = item->at;
  event->link = item->link;
  event->end = item->end;
  event->place = place;
  event->cause = item->cause;
}

static bool take_syn(struct stwi_net *net, const struct item *item, struct link *link,
                     struct stwi_net_event *event) {
  const struct item down = {
      .kind = DOWN, .link = item->link, .end = STWI_NET_CALLER, .cause = STW_CAUSE_TCP_REFUSED};
  const struct item open = {.kind = OPEN, .link = item->link, .end = STWI_NET_CALLER};
  const enum stwi_net_door door = net->doors[link->place];
  if (link->ends[STWI_NET_CALLEE].swallows || door == STWI_NET_DOOR_SILENT)
    return false;
  if (door == STWI_NET_DOOR_REFUSED || !push_behind(net, item->at, link, open)) {
    link->ends[STWI_NET_CALLEE].is_deaf = link->ends[STWI_NET_CALLEE].is_over = true;
    push_behind(net, item->at, link, down);
    return false;
  }
  link->ends[STWI_NET_CALLEE].is_told = true;
  fill(event, STWI_NET_CALL, item, link->place);
  return true;
}

static bool take_down(struct stwi_net *net, const struct item *item, struct link *link,
                      struct stwi_net_event *event) {
  struct end *end = &link->ends[item->end];
  if (end->is_over)
    return false;
  make_dead(net, link);
  end->is_deaf = end->is_over = true;
  fill(event, STWI_NET_DOWN, item, link->place);
  return end->is_told;
}

/* False: nobody is to be told. */
static bool take_link_item(struct stwi_net *net, struct item *item, struct stwi_net_event *event) {
  struct link *link = link_of(net, item->link);
  if (item->kind == DOWN)
    return take_down(net, item, link, event);
  if (item->kind == RESET) {
    if (link->live_at != 0)
      stwi_net_reset(net, item->at, item->link);
    return false;
  }
  if (link->ends[item->end].is_deaf)
    return false;
  switch (item->kind) {
  case SYN:
    return take_syn(net, item, link, event);
  case OPEN:
    if (!link->ends[STWI_NET_CALLEE].is_deaf)
      make_live(net, item->link);
    fill(event, STWI_NET_OPEN, item, link->place);
    return true;
  case WRITABLE:
    fill(event, STWI_NET_WRITABLE, item, link->place);
    return item->at >= link->ends[item->end].busy_until;
  default:
    fill(event, STWI_NET_BYTES, item, link->place);
    event->data = item->data;
    event->size = item->token;
    net->lent = item->data;
    item->data = NULL;
    return true;
  }
}

bool stwi_net_next(struct stwi_net *net, struct stwi_net_event *event) {
  free(net->lent);
  net->lent = NULL;
  while (net->item_count > 0) {
    struct item item = pop(net);
    bool is_told = true;
    if (item.kind == TIMER) {
      fill(event, STWI_NET_TIMER, &item, 0);
      event->token = item.token;
    } else {
      is_told = take_link_item(net, &item, event);
    }
    free(item.data);
    if (is_told)
      return true;
  }
  return false;
}
