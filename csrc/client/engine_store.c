/* Changes of a turn out to the stores, what became true of them in. */
#include "client/engine_inside.h"

#include <stdio.h>
#include <string.h>

#include "client/port_store.h"

void stwi_engine_store_begin(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  engine->places[port->slot].store = stwi_port_store_use(port);
  const struct stwi_port_file *file = port->file;
  if (file->found == STW_STORE_OK)
    return;
  stw_event event = {.kind = STW_EVENT_STORE, .conn = port->handle, .at_ns = now};
  event.u.store.health = file->found;
  event.u.store.messages = file->found_messages;
  event.u.store.detail = file->found_detail;
  stwi_engine_put_event(engine, port, &event);
}

void stwi_engine_store_add(struct stwi_engine *engine, const struct stwi_effect *effect) {
  struct stwi_place *place = &engine->places[effect->conn];
  if (place->store.ops == NULL)
    return;
  if (!place->is_store_dirty) {
    place->is_store_dirty = true;
    place->next_dirty = engine->store_dirty;
    engine->store_dirty = effect->conn + 1;
  }
  if (!place->store.ops->add(place->store.self, &effect->u.store))
    place->has_store_failed = true;
}

static void publish_health(struct stwi_port *port, const struct stwi_store_news *news) {
  stwi_port_lock(port);
  port->file->health = news->health;
  snprintf(port->file->detail, sizeof port->file->detail, "%s", news->detail);
  pthread_mutex_unlock(&port->lock);
}

void stwi_engine_store_collect(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  const struct stwi_store store = engine->places[port->slot].store;
  if (store.ops == NULL)
    return;
  struct stwi_store_news news;
  memset(&news, 0, sizeof news);
  store.ops->collect(store.self, &news);
  if (news.has_changed)
    publish_health(port, &news);
  struct stwi_input input = {.kind = STWI_IN_STORED, .conn = port->slot};
  input.u.stored.serial = news.serial;
  memcpy(input.u.stored.upto, news.upto, sizeof news.upto);
  input.u.stored.health = news.health;
  input.u.stored.wants_all = news.wants_all;
  input.u.stored.detail = news.has_changed ? news.detail : NULL;
  stwi_engine_step(engine, &input, now);
  if (news.has_changed)
    stwi_engine_publish(engine, port, now);
}

/* A store that had no memory for a change says so itself, when asked. */
void stwi_engine_store_flush(struct stwi_engine *engine, stwi_time now) {
  while (engine->store_dirty != 0) {
    const uint32_t slot = engine->store_dirty - 1;
    struct stwi_place *place = &engine->places[slot];
    engine->store_dirty = place->next_dirty;
    place->is_store_dirty = false;
    if (place->store.ops == NULL)
      continue;
    place->store.ops->flush(place->store.self);
    if (place->has_store_failed && place->port != NULL) {
      place->has_store_failed = false;
      stwi_engine_store_collect(engine, place->port, now);
    }
  }
}

void stwi_engine_store_leave(struct stwi_engine *engine, struct stwi_port *port) {
  struct stwi_place *place = &engine->places[port->slot];
  if (place->store.ops == NULL)
    return;
  place->store.ops->flush(place->store.self);
  place->store.ops = NULL;
  stwi_port_store_leave(port);
}
