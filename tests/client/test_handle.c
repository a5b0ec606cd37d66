/* Handles name objects; nothing that a host does with an old name can reach freed memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "client/handle.h"
#include "core/pace.h"
#include "seed.h"

struct object {
  _Atomic int frees;
};

static void free_object(void *arg) {
  struct object *object = arg;
  atomic_fetch_add(&object->frees, 1);
}

static void a_new_handle_is_held_and_dropped(void **state) {
  (void)state;
  struct object object = {0};
  uint64_t id = stwi_handle_new(STWI_HANDLE_CONN, &object, free_object);
  assert_int_not_equal(id, 0);
  void *found = NULL;
  assert_int_equal(stwi_handle_hold(id, STWI_HANDLE_CONN, &found), STW_OK);
  assert_ptr_equal(found, &object);
  assert_true(stwi_handle_retire(id));
  assert_int_equal(object.frees, 0); /* still held */
  stwi_handle_drop(id);
  assert_int_equal(object.frees, 1);
}

static void a_retired_handle_is_refused_with_a_sentence(void **state) {
  (void)state;
  struct object object = {0};
  uint64_t id = stwi_handle_new(STWI_HANDLE_CONN, &object, free_object);
  assert_true(stwi_handle_retire(id));
  assert_false(stwi_handle_retire(id));
  void *found;
  assert_int_equal(stwi_handle_hold(id, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  assert_non_null(strstr(stw_last_error(), "stale"));
  assert_int_equal(object.frees, 1);
}

static void another_type_is_refused(void **state) {
  (void)state;
  struct object object = {0};
  uint64_t id = stwi_handle_new(STWI_HANDLE_MAILBOX, &object, free_object);
  void *found;
  assert_int_equal(stwi_handle_hold(id, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  stwi_handle_retire(id);
}

static void a_handle_whose_type_was_changed_is_refused(void **state) {
  (void)state;
  struct object object = {0};
  uint64_t id = stwi_handle_new(STWI_HANDLE_MAILBOX, &object, free_object);
  void *found;
  const uint64_t forged = (id & UINT64_MAX >> 8) | (uint64_t)STWI_HANDLE_CONN << 56;
  assert_int_equal(stwi_handle_hold(forged, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  assert_int_equal(object.frees, 0);
  assert_true(stwi_handle_retire(id));
  assert_int_equal(object.frees, 1);
}

static void made_up_handles_are_refused(void **state) {
  (void)state;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed(__func__));
  void *found;
  assert_int_equal(stwi_handle_hold(0, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  assert_int_equal(stwi_handle_hold(UINT64_MAX, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  for (int i = 0; i < 1000000; i++) {
    uint64_t id = stwi_random_next(&random);
    if (i % 2 == 0)
      id = (id & 0xffffff000003ffu) | (uint64_t)STWI_HANDLE_CONN << 56;
    assert_int_equal(stwi_handle_hold(id, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  }
}

static void a_slot_is_used_again_under_another_generation(void **state) {
  (void)state;
  struct object object = {0};
  uint64_t first = stwi_handle_new(STWI_HANDLE_CONN, &object, free_object);
  stwi_handle_retire(first);
  uint64_t second = stwi_handle_new(STWI_HANDLE_CONN, &object, free_object);
  assert_int_equal((uint32_t)first, (uint32_t)second);
  assert_int_not_equal(first, second);
  void *found;
  assert_int_equal(stwi_handle_hold(first, STWI_HANDLE_CONN, &found), STW_E_HANDLE);
  assert_int_equal(stwi_handle_hold(second, STWI_HANDLE_CONN, &found), STW_OK);
  stwi_handle_drop(second);
  stwi_handle_retire(second);
}

struct race {
  _Atomic uint64_t id;
  _Atomic bool is_over;
};

static void *hold_and_drop(void *arg) {
  struct race *race = arg;
  void *found;
  while (!atomic_load(&race->is_over)) {
    uint64_t id = atomic_load(&race->id);
    if (stwi_handle_hold(id, STWI_HANDLE_CONN, &found) != STW_OK)
      continue;
    struct object *object = found;
    assert_int_equal(atomic_load(&object->frees), 0); /* never freed while held */
    stwi_handle_drop(id);
  }
  return NULL;
}

static void holding_races_retiring_without_use_after_free(void **state) {
  (void)state;
  struct race race = {0};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    pthread_create(&threads[i], NULL, hold_and_drop, &race);
  struct object *objects = calloc(20000, sizeof *objects);
  for (int i = 0; i < 20000; i++) {
    uint64_t id = stwi_handle_new(STWI_HANDLE_CONN, &objects[i], free_object);
    atomic_store(&race.id, id);
    assert_true(stwi_handle_retire(id));
  }
  atomic_store(&race.is_over, true);
  for (int i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < 20000; i++)
    assert_int_equal(objects[i].frees, 1);
  free(objects);
}

static void a_child_of_fork_is_refused(void **state) {
  (void)state;
  struct object object = {0};
  uint64_t id = stwi_handle_new(STWI_HANDLE_CONN, &object, free_object);
  pid_t child = fork();
  if (child == 0) {
    void *found;
    bool is_right = stwi_handle_hold(id, STWI_HANDLE_CONN, &found) == STW_E_FORKED;
    uint64_t own = stwi_handle_new(STWI_HANDLE_CONN, &object, free_object);
    is_right = is_right && stwi_handle_hold(own, STWI_HANDLE_CONN, &found) == STW_OK;
    _exit(is_right ? 0 : 1);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  void *found;
  assert_int_equal(stwi_handle_hold(id, STWI_HANDLE_CONN, &found), STW_OK);
  stwi_handle_drop(id);
  stwi_handle_retire(id);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_new_handle_is_held_and_dropped),
      cmocka_unit_test(a_retired_handle_is_refused_with_a_sentence),
      cmocka_unit_test(another_type_is_refused),
      cmocka_unit_test(a_handle_whose_type_was_changed_is_refused),
      cmocka_unit_test(made_up_handles_are_refused),
      cmocka_unit_test(a_slot_is_used_again_under_another_generation),
      cmocka_unit_test(holding_races_retiring_without_use_after_free),
      cmocka_unit_test(a_child_of_fork_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
