/* A fleet whose engine breaks a promise stops, and says which one. */

#include <steadwire/sim_fleet.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sim/fleet_wire.h"

uint32_t __wrap_stwi_fleet_dial(struct stwi_fleet_wire *wire, stwi_time now, uint32_t gen);
uint32_t __real_stwi_fleet_dial(struct stwi_fleet_wire *wire, stwi_time now, uint32_t gen);

static bool is_full;

uint32_t __wrap_stwi_fleet_dial(struct stwi_fleet_wire *wire, stwi_time now, uint32_t gen) {
  return is_full ? STWI_FLEET_LINKS_MAX : __real_stwi_fleet_dial(wire, now, gen);
}

static void a_broken_promise_is_told_with_its_client(void **unused) {
  (void)unused;
  const stw_fleet_params params = {.struct_size = sizeof params,
                                   .policy = "steadwire",
                                   .profile = "bot",
                                   .seed = 7,
                                   .seconds = 60};
  stw_fleet *fleet;
  assert_int_equal(stw_fleet_new(&params, &fleet), STW_OK);
  assert_int_equal(stw_fleet_run(fleet, 0, 2), STW_OK);
  assert_string_equal(stw_fleet_why(fleet), "");
  is_full = true;
  assert_int_equal(stw_fleet_run(fleet, 2, 1), STW_E_STATE);
  assert_string_equal(stw_fleet_why(fleet),
                      "client 2 of seed 7: more links at once than the core may have");
  is_full = false;
  assert_int_equal(stw_fleet_run(fleet, 3, 1), STW_OK);
  assert_string_equal(stw_fleet_why(fleet), "");
  stw_fleet_free(fleet);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_broken_promise_is_told_with_its_client),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
