#include "sim/store.h"

#include "core/chunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message apart from any chunk; key and body follow. */
struct record {
  struct stwi_msg msg;
  uint8_t bytes[];
};

struct change {
  enum stwi_store_op op;
  uint64_t serial;
  stw_lane lane;
  uint64_t number;
  stw_message_id id;
  struct record *record; /* owned until it is applied */
  struct stwi_session_saved session;
};

struct batch {
  struct change *items;
  size_t count, capacity;
  stwi_time due;
  bool is_everything; /* of a new file: what it does not hold is gone */
};

struct shelf { /* records in order; those before `first` are gone */
  struct record **items;
  size_t first, count, capacity;
};

struct table {
  struct shelf lanes[STW_LANE_COUNT], parked;
  uint64_t last[STW_LANE_COUNT];
  struct stwi_session_saved session;
};

struct batches {
  struct batch *items;
  size_t count, capacity;
};

struct stwi_model_store {
  struct stwi_random random;
  uint64_t stream;
  uint32_t lag;
  bool is_anew; /* the batch under way is the whole of a new file */
  bool is_open, is_unclean, may_lag, is_full, wants_all, is_begun_anew;
  stw_store_health health, told_health;
  struct table base;      /* what no power loss can take */
  struct batches recent;  /* committed, not synced */
  struct batch open;      /* of this turn */
  struct batches waiting; /* to be committed */
  uint64_t serial, safe, upto[STW_LANE_COUNT];
  char broken[160];
};

/* ---- small containers ---- */

static bool grow(void **items, size_t count, size_t *capacity, size_t size) {
  if (count < *capacity)
    return true;
  const size_t more = *capacity == 0 ? 16 : *capacity * 2;
  void *grown = realloc(*items, more * size);
  if (grown == NULL)
    return false;
  *items = grown;
  *capacity = more;
  return true;
}

static bool shelf_add(struct shelf *shelf, struct record *record) {
  void *items = shelf->items;
  if (shelf->first > 0 && shelf->first * 2 >= shelf->count) {
    shelf->count -= shelf->first;
    memmove(shelf->items, shelf->items + shelf->first, shelf->count * sizeof record);
    shelf->first = 0;
  }
  if (!grow(&items, shelf->count, &shelf->capacity, sizeof record))
    return false;
  shelf->items = items;
  shelf->items[shelf->count++] = record;
  return true;
}

static void shelf_remove(struct shelf *shelf, size_t at) {
  free(shelf->items[at]);
  if (at == shelf->first) {
    shelf->first++;
    return;
  }
  memmove(shelf->items + at, shelf->items + at + 1, (shelf->count - at - 1) * sizeof *shelf->items);
  shelf->count--;
}

static void shelf_clear(struct shelf *shelf) {
  while (shelf->first < shelf->count)
    shelf_remove(shelf, shelf->first);
  free(shelf->items);
  memset(shelf, 0, sizeof *shelf);
}

static void batch_clear(struct batch *batch) {
  for (size_t i = 0; i < batch->count; i++)
    free(batch->items[i].record);
  free(batch->items);
  memset(batch, 0, sizeof *batch);
}

static void batches_keep(struct batches *batches, size_t count) {
  while (batches->count > count)
    batch_clear(&batches->items[--batches->count]);
}

static struct batch batches_shift(struct batches *batches) {
  const struct batch first = batches->items[0];
  memmove(batches->items, batches->items + 1, --batches->count * sizeof first);
  return first;
}

static bool batches_add(struct batches *batches, struct batch batch) {
  void *items = batches->items;
  if (!grow(&items, batches->count, &batches->capacity, sizeof batch))
    return false;
  batches->items = items;
  batches->items[batches->count++] = batch;
  return true;
}

/* ---- making, breaking ---- */

struct stwi_model_store *stwi_model_new(uint64_t seed, uint32_t lag) {
  struct stwi_model_store *store = calloc(1, sizeof *store);
  if (store == NULL)
    return NULL;
  stwi_random_seed(&store->random, seed);
  store->stream = stwi_random_next(&store->random) & ~(uint64_t)1;
  store->lag = lag;
  for (unsigned i = 0; i < sizeof store->base.session.cid; i += sizeof(uint64_t)) {
    const uint64_t word = stwi_random_next(&store->random);
    memcpy(store->base.session.cid + i, &word, sizeof word);
  }
  return store;
}

void stwi_model_free(struct stwi_model_store *store) {
  if (store == NULL)
    return;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    shelf_clear(&store->base.lanes[lane]);
  shelf_clear(&store->base.parked);
  batches_keep(&store->recent, 0);
  batches_keep(&store->waiting, 0);
  batch_clear(&store->open);
  free(store->recent.items);
  free(store->waiting.items);
  free(store);
}

static void broke(struct stwi_model_store *store, const char *rule, uint64_t number) {
  if (store->broken[0] == '\0')
    snprintf(store->broken, sizeof store->broken, "%s (%llu)", rule, (unsigned long long)number);
}

static struct record *copy_msg(const struct stwi_msg *msg) {
  struct record *record = malloc(sizeof *record + msg->key_size + msg->size);
  if (record == NULL)
    return NULL;
  record->msg = *msg;
  record->msg.home = NULL;
  memcpy(record->bytes, stwi_msg_key(msg), msg->key_size);
  memcpy(record->bytes + msg->key_size, stwi_msg_body(msg), msg->size);
  return record;
}

/* ---- changes ---- */

static void check_change(struct stwi_model_store *store, const struct stwi_store_change *change) {
  if (!store->is_open)
    broke(store, "a change of a store that is not open", change->serial);
  if (change->serial != store->serial + 1)
    broke(store, "serials of changes have a hole", change->serial);
  if (change->lane >= STW_LANE_COUNT)
    broke(store, "no such lane", change->lane);
}

bool stwi_model_add(struct stwi_model_store *store, const struct stwi_store_change *change) {
  check_change(store, change);
  store->serial = change->serial;
  void *items = store->open.items;
  if (change->lane >= STW_LANE_COUNT ||
      !grow(&items, store->open.count, &store->open.capacity, sizeof *store->open.items))
    return false;
  store->open.items = items;
  struct change *kept = &store->open.items[store->open.count];
  *kept = (struct change){.op = change->op,
                          .serial = change->serial,
                          .lane = change->lane,
                          .number = change->number,
                          .id = change->id};
  if (change->session != NULL)
    kept->session = *change->session;
  if (change->msg != NULL && (kept->record = copy_msg(change->msg)) == NULL)
    return false;
  store->open.count++;
  return true;
}

void stwi_model_flush(struct stwi_model_store *store, stwi_time now, uint64_t delay_ns) {
  if (store->open.count == 0)
    return;
  struct batches *waiting = &store->waiting;
  store->open.due = now + delay_ns;
  store->open.is_everything = store->is_begun_anew;
  store->is_begun_anew = false;
  if (waiting->count > 0 && waiting->items[waiting->count - 1].due > store->open.due)
    store->open.due = waiting->items[waiting->count - 1].due;
  if (batches_add(waiting, store->open))
    memset(&store->open, 0, sizeof store->open);
}

static size_t place_of(const struct shelf *shelf, uint64_t number) {
  size_t low = shelf->first, high = shelf->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (shelf->items[middle]->msg.number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void remove_number(struct stwi_model_store *store, struct shelf *shelf, uint64_t number) {
  const size_t at = place_of(shelf, number);
  if (at < shelf->count && shelf->items[at]->msg.number == number)
    shelf_remove(shelf, at);
  else
    broke(store, "what is removed or parked was not there", number);
}

static void settle(struct shelf *shelf, uint64_t upto) {
  while (shelf->first < shelf->count && shelf->items[shelf->first]->msg.number <= upto)
    shelf_remove(shelf, shelf->first);
}

static void put(struct stwi_model_store *store, struct change *change) {
  struct shelf *shelf = &store->base.lanes[change->lane];
  uint64_t *last = &store->base.last[change->lane];
  const uint64_t number = change->record->msg.number;
  if (number > *last) {
    *last = number;
    if (shelf_add(shelf, change->record))
      change->record = NULL;
    return;
  }
  const size_t at = place_of(shelf, number);
  if (at < shelf->count && shelf->items[at]->msg.number == number) {
    struct record *old = shelf->items[at];
    shelf->items[at] = change->record;
    change->record = old;
  } else {
    broke(store, "a number is put again after it was given", number);
  }
}

static bool is_same(stw_message_id a, stw_message_id b) {
  return a.stream == b.stream && a.number == b.number;
}

static bool forget(struct shelf *parked, stw_message_id id) {
  for (size_t at = parked->first; at < parked->count; at++) {
    if (is_same(parked->items[at]->msg.id, id)) {
      shelf_remove(parked, at);
      return true;
    }
  }
  return false;
}

/* A new file is told of what was parked before: it never had a place in it. */
static void park(struct stwi_model_store *store, struct change *change) {
  if (change->number > 0 && !store->is_anew)
    remove_number(store, &store->base.lanes[change->lane], change->number);
  forget(&store->base.parked, change->record->msg.id);
  if (shelf_add(&store->base.parked, change->record))
    change->record = NULL;
}

static void apply(struct stwi_model_store *store, struct change *change) {
  struct table *base = &store->base;
  struct stwi_session_saved *session = &base->session;
  switch (change->op) {
  case STWI_STORE_PUT:
    put(store, change);
    break;
  case STWI_STORE_SETTLED:
    settle(&base->lanes[change->lane], change->number);
    break;
  case STWI_STORE_REMOVE:
    remove_number(store, &base->lanes[change->lane], change->number);
    break;
  case STWI_STORE_PARK:
    park(store, change);
    break;
  case STWI_STORE_FORGET:
    if (!forget(&base->parked, change->id))
      broke(store, "what is forgotten was not parked", change->id.number);
    break;
  case STWI_STORE_SESSION:
    *session = change->session;
    break;
  case STWI_STORE_INBOUND:
    session->processed[change->lane] = change->number;
    break;
  }
}

/* A new file knows the numbers that were given, and nothing else. */
static void begin_anew(struct table *base, uint64_t last[STW_LANE_COUNT]) {
  memcpy(last, base->last, sizeof base->last);
  memset(base->last, 0, sizeof base->last);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    shelf_clear(&base->lanes[lane]);
  shelf_clear(&base->parked);
  memset(&base->session, 0, sizeof base->session);
}

static void apply_batch(struct stwi_model_store *store, struct batch *batch) {
  uint64_t last[STW_LANE_COUNT] = {0};
  store->is_anew = batch->is_everything;
  if (store->is_anew)
    begin_anew(&store->base, last);
  for (size_t i = 0; i < batch->count; i++)
    apply(store, &batch->items[i]);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (store->base.last[lane] < last[lane])
      store->base.last[lane] = last[lane];
  }
}

static void sync_oldest(struct stwi_model_store *store, size_t keep) {
  while (store->recent.count > keep) {
    struct batch batch = batches_shift(&store->recent);
    apply_batch(store, &batch);
    store->safe = batch.items[batch.count - 1].serial;
    batch_clear(&batch);
  }
}

/* ---- committing ---- */

void stwi_model_full(struct stwi_model_store *store, bool is_full) {
  store->is_full = is_full;
  store->health = is_full ? STW_STORE_FULL : STW_STORE_OK;
}

void stwi_model_fail_sync(struct stwi_model_store *store) {
  store->wants_all = true;
}

stwi_time stwi_model_due(const struct stwi_model_store *store) {
  if (store->health != store->told_health || store->wants_all)
    return 0;
  return store->is_full || store->waiting.count == 0 ? STWI_NEVER : store->waiting.items[0].due;
}

static void note_committed(struct stwi_model_store *store, const struct batch *batch) {
  for (size_t i = 0; i < batch->count; i++) {
    const struct change *change = &batch->items[i];
    if (change->op != STWI_STORE_PUT)
      continue;
    const uint64_t number = change->record->msg.number;
    if (number > store->upto[change->lane])
      store->upto[change->lane] = number;
  }
}

/* What is added from now on is everything. */
static void void_changes(struct stwi_model_store *store) {
  batch_clear(&store->open);
  batches_keep(&store->waiting, 0);
  store->is_begun_anew = true;
}

bool stwi_model_commit(struct stwi_model_store *store, stwi_time now, struct stwi_input *input) {
  if (stwi_model_due(store) > now)
    return false;
  memset(input, 0, sizeof *input);
  input->kind = STWI_IN_STORED;
  while (!store->is_full && store->waiting.count > 0 && store->waiting.items[0].due <= now) {
    struct batch batch = batches_shift(&store->waiting);
    input->u.stored.serial = batch.items[batch.count - 1].serial;
    note_committed(store, &batch);
    if (!batches_add(&store->recent, batch))
      batch_clear(&batch);
  }
  sync_oldest(store, store->lag);
  memcpy(input->u.stored.upto, store->upto, sizeof store->upto);
  input->u.stored.health = store->health;
  input->u.stored.detail = store->health != store->told_health ? "the model's disk" : NULL;
  input->u.stored.wants_all = store->wants_all;
  store->told_health = store->health;
  if (store->wants_all)
    void_changes(store);
  store->wants_all = false;
  return true;
}

/* ---- lives ---- */

static void end_life(struct stwi_model_store *store) {
  batch_clear(&store->open);
  batches_keep(&store->waiting, 0);
  sync_oldest(store, 0);
  store->is_open = store->is_full = store->wants_all = store->is_begun_anew = false;
  store->health = store->told_health = STW_STORE_OK;
}

void stwi_model_close(struct stwi_model_store *store) {
  struct stwi_input input;
  store->is_full = false;
  stwi_model_flush(store, 0, 0);
  stwi_model_commit(store, STWI_NEVER - 1, &input);
  end_life(store);
  store->is_unclean = store->may_lag = false;
}

void stwi_model_crash(struct stwi_model_store *store, bool is_power_lost) {
  if (is_power_lost && store->lag > 0) {
    const uint64_t lost = stwi_random_below(&store->random, store->recent.count + 1);
    batches_keep(&store->recent, store->recent.count - lost);
  }
  end_life(store);
  store->is_unclean = true;
  store->may_lag = store->lag > 0 && is_power_lost;
}

/* Nobody can say whether the at_most_once ones of an unclean file were written. */
static bool park_unknown(struct stwi_model_store *store, struct shelf *shelf) {
  for (size_t at = shelf->first; at < shelf->count;) {
    struct record *record = shelf->items[at];
    if (record->msg.guarantee != STW_AT_MOST_ONCE) {
      at++;
      continue;
    }
    if (!shelf_add(&store->base.parked, record))
      return false;
    record->msg.state = STW_MESSAGE_UNKNOWN;
    shelf->items[at] = NULL;
    shelf_remove(shelf, at);
    at = at < shelf->first ? shelf->first : at;
  }
  return true;
}

static bool give(const struct shelf *shelf, struct stwi_chunk ***tail) {
  for (size_t i = shelf->first; i < shelf->count; i++) {
    const struct record *record = shelf->items[i];
    const struct stwi_msg *kept = &record->msg;
    struct stwi_chunk *chunk =
        stwi_chunk_new((uint32_t)stwi_msg_footprint(kept->key_size, kept->size));
    if (chunk == NULL)
      return false;
    struct stwi_msg *msg = stwi_chunk_append(chunk, record->bytes, kept->key_size,
                                             record->bytes + kept->key_size, kept->size);
    *msg = *kept;
    msg->home = chunk;
    msg->is_end_due = msg->is_refused = msg->is_move = false;
    if (kept->state == STW_MESSAGE_INFLIGHT)
      msg->state = STW_MESSAGE_QUEUED;
    **tail = chunk;
    *tail = &chunk->next;
  }
  return true;
}

bool stwi_model_open(struct stwi_model_store *store, struct stwi_restored *restored,
                     uint64_t *stream) {
  memset(restored, 0, sizeof *restored);
  struct stwi_chunk **chunks = &restored->chunks, **parked = &restored->parked;
  bool is_whole = true;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct shelf *shelf = &store->base.lanes[lane];
    is_whole &= !store->is_unclean || park_unknown(store, shelf);
    is_whole &= give(shelf, &chunks);
    restored->last_number[lane] = store->base.last[lane];
    store->upto[lane] = store->base.last[lane];
  }
  is_whole &= give(&store->base.parked, &parked);
  restored->has_store = true;
  restored->is_unclean = store->is_unclean;
  restored->may_lag = store->may_lag;
  restored->session = store->base.session;
  *stream = store->stream;
  store->serial = store->safe = 0;
  store->is_open = true;
  if (!is_whole) {
    stwi_chunk_free_list(restored->chunks);
    stwi_chunk_free_list(restored->parked);
  }
  return is_whole;
}

/* ---- a look ---- */

uint64_t stwi_model_standing(const struct stwi_model_store *store, stw_lane lane) {
  return store->base.lanes[lane].count - store->base.lanes[lane].first;
}

uint64_t stwi_model_parked(const struct stwi_model_store *store) {
  return store->base.parked.count - store->base.parked.first;
}

uint64_t stwi_model_last(const struct stwi_model_store *store, stw_lane lane) {
  return store->base.last[lane];
}

uint64_t stwi_model_safe(const struct stwi_model_store *store) {
  return store->safe;
}

const char *stwi_model_broken(const struct stwi_model_store *store) {
  return store->broken;
}
