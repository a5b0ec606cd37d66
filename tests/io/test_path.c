/* What became of a socket's path, in a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/path.h"
#include "netns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool has_namespace;
static int fd = -1;
static struct sockaddr_in peer;

/* One cable, both ends here; the peer is somewhere behind it. */
static int set_up(void **unused) {
  (void)unused;
  if (!has_namespace)
    return 0;
  if (!netns_ip("link add near type veth peer name far") || !netns_ip("link set near up") ||
      !netns_ip("link set far up") || !netns_ip("addr add 10.9.0.1/24 dev near") ||
      !netns_ip("route add 10.8.0.0/24 dev near"))
    return -1;
  peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9)};
  inet_pton(AF_INET, "10.8.0.5", &peer.sin_addr);
  fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return connect(fd, (const struct sockaddr *)&peer, sizeof peer);
}

static int tear_down(void **unused) {
  (void)unused;
  if (!has_namespace)
    return 0;
  close(fd);
  return netns_ip("link del near") ? 0 : -1;
}

static stw_network look(void) {
  struct stwi_interfaces interfaces = stwi_interfaces_read();
  const stw_network what = stwi_path_of(fd, NULL, &interfaces);
  assert_int_equal(stwi_path_of(fd, (const struct sockaddr *)&peer, &interfaces), what);
  stwi_interfaces_free(&interfaces);
  return what;
}

#define NEED_NAMESPACE()                                                                           \
  if (!has_namespace)                                                                              \
  skip()

static void nothing_has_changed(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_int_equal(look(), STW_NETWORK_UP);
  assert_true(netns_ip("addr add 10.9.0.2/24 dev near")); /* a second one is none of ours */
  assert_true(netns_ip("route add 10.7.0.0/24 dev near"));
  assert_int_equal(look(), STW_NETWORK_UP);
}

static void another_address_is_another_path(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("addr add 10.9.1.2/24 dev near"));
  assert_true(netns_ip("addr del 10.9.0.1/24 dev near"));
  netns_ip("route add 10.8.0.0/24 dev near");
  assert_int_equal(look(), STW_NETWORK_CHANGED);
}

static void another_route_is_another_path(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("addr add 10.9.1.2/24 dev far"));
  assert_true(netns_ip("route replace 10.8.0.0/24 dev far"));
  assert_int_equal(look(), STW_NETWORK_CHANGED);
}

static void no_route_is_no_path(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("route del 10.8.0.0/24"));
  assert_int_equal(look(), STW_NETWORK_DOWN);
}

static void an_interface_that_is_down_is_no_path(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("link set near down"));
  assert_int_equal(look(), STW_NETWORK_DOWN);
}

static void a_pulled_cable_is_no_path_although_the_route_stays(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("link set far down"));
  assert_int_equal(look(), STW_NETWORK_DOWN);
  assert_true(netns_ip("link set far up"));
  assert_int_equal(look(), STW_NETWORK_UP);
}

static uint64_t network(void) {
  struct stwi_interfaces interfaces = stwi_interfaces_read();
  const uint64_t number = stwi_path_network(fd, &interfaces);
  stwi_interfaces_free(&interfaces);
  return number;
}

static void move_to(const char *address, const char *interface) {
  char command[64];
  close(fd);
  assert_true(netns_ip("addr flush dev near") && netns_ip("addr flush dev far"));
  snprintf(command, sizeof command, "addr add %s/24 dev %s", address, interface);
  assert_true(netns_ip(command));
  snprintf(command, sizeof command, "route replace 10.8.0.0/24 dev %s", interface);
  assert_true(netns_ip(command));
  fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&peer, sizeof peer), 0);
}

static void a_network_is_its_interface_and_its_prefix(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  const uint64_t home = network();
  assert_true(home != 0);
  move_to("10.9.0.77", "near"); /* another lease of the same network */
  assert_true(network() == home);
  move_to("10.9.1.1", "near");
  assert_true(network() != home);
  move_to("10.9.0.1", "far");
  assert_true(network() != home);
}

static void what_is_no_connection_is_left_alone(void **unused) {
  (void)unused;
  const struct stwi_interfaces none = {NULL};
  const int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int unix_one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(stwi_path_of(other, NULL, &none), STW_NETWORK_UP);
  assert_int_equal(stwi_path_of(unix_one, NULL, &none), STW_NETWORK_UP);
  assert_int_equal(stwi_path_of(-1, NULL, &none), STW_NETWORK_UP);
  assert_int_equal(stwi_path_network(unix_one, &none), 0);
  assert_int_equal(stwi_path_network(-1, &none), 0);
  close(other);
  close(unix_one);
}

int main(void) {
  has_namespace = netns_enter();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(nothing_has_changed),
      TEST(another_address_is_another_path),
      TEST(another_route_is_another_path),
      TEST(no_route_is_no_path),
      TEST(an_interface_that_is_down_is_no_path),
      TEST(a_pulled_cable_is_no_path_although_the_route_stays),
      TEST(a_network_is_its_interface_and_its_prefix),
      cmocka_unit_test(what_is_no_connection_is_left_alone),
  };
  return netns_answer(cmocka_run_group_tests(tests, NULL, NULL), has_namespace);
}
