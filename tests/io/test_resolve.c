#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/loop.h"
#include "io/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* ---- in the place of the C library's, for libuv's threads ---- */

static const char *const *answers; /* addresses, in the resolver's order */
static int status;                 /* instead of an answer, unless 0 */
static _Atomic bool is_held;
static _Atomic int calls;

static struct addrinfo *make_info(const char *text, struct addrinfo *next) {
  struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in6));
  struct sockaddr_in *v4 = (struct sockaddr_in *)(info + 1);
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(info + 1);
  info->ai_addr = (struct sockaddr *)(info + 1);
  info->ai_next = next;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    info->ai_family = v4->sin_family = AF_INET;
    info->ai_addrlen = sizeof *v4;
  } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    info->ai_family = v6->sin6_family = AF_INET6;
    info->ai_addrlen = sizeof *v6;
  } else {
    info->ai_family = AF_UNIX; /* something we cannot use */
    info->ai_addrlen = sizeof(struct sockaddr);
  }
  return info;
}

/* libuv must find it, although we build with hidden visibility. */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict host,
                                                       const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict result) {
  (void)host, (void)service, (void)hints;
  calls++;
  while (is_held)
    sched_yield();
  *result = NULL;
  if (status != 0)
    return status;
  size_t count = 0;
  while (answers[count] != NULL)
    count++;
  while (count-- > 0)
    *result = make_info(answers[count], *result);
  return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *list) {
  while (list != NULL) {
    struct addrinfo *next = list->ai_next;
    free(list);
    list = next;
  }
}

/* ---- fixture ---- */

struct asked {
  struct stwi_loop *loop;
  struct stwi_resolver *resolver;
  size_t done_count;
  struct stwi_addresses addresses;
  bool has_addresses;
  stw_cause cause;
  char detail[400];
  struct stwi_lookup *to_cancel;
};

static void turn(void *owner, stwi_time now) {
  (void)owner, (void)now;
}

static void open_resolver(struct asked *asked) {
  memset(asked, 0, sizeof *asked);
  is_held = false;
  status = 0;
  calls = 0;
  asked->loop = stwi_loop_new(&(struct stwi_loop_hooks){NULL, turn});
  asked->resolver = stwi_resolver_new(stwi_loop_uv(asked->loop));
}

static void close_resolver(struct asked *asked) {
  is_held = false;
  stwi_resolver_free(asked->resolver);
  stwi_loop_free(asked->loop);
}

static void on_done(void *owner, const struct stwi_resolved *resolved) {
  struct asked *asked = owner;
  asked->done_count++;
  asked->has_addresses = resolved->addresses != NULL;
  if (asked->has_addresses)
    asked->addresses = *resolved->addresses;
  asked->cause = resolved->cause;
  snprintf(asked->detail, sizeof asked->detail, "%s", resolved->detail);
  if (asked->to_cancel != NULL)
    stwi_resolve_cancel(asked->to_cancel);
  asked->to_cancel = NULL;
}

static bool has_answer(void *owner) {
  const struct asked *asked = owner;
  return asked->done_count > 0;
}

static void ask(struct asked *asked) {
  assert_non_null(stwi_resolve(asked->resolver, "name.test", 80, on_done, asked));
  assert_int_equal(asked->done_count, 0); /* never from within */
  assert_true(stwi_loop_settle(asked->loop, has_answer, asked, 10000));
}

static void address_is(const struct asked *asked, size_t index, const char *text) {
  char found[INET6_ADDRSTRLEN];
  assert_true(index < asked->addresses.count);
  stwi_address_format(&asked->addresses.items[index], found);
  assert_string_equal(found, text);
}

/* ---- tests ---- */

static void numeric_hosts_need_no_question(void **state) {
  (void)state;
  struct stwi_address address, other;
  char text[INET6_ADDRSTRLEN];
  assert_true(stwi_address_parse(&address, "192.0.2.7", 8080));
  assert_int_equal(address.at.v4.sin_family, AF_INET);
  assert_int_equal(ntohs(address.at.v4.sin_port), 8080);
  assert_int_equal(stwi_address_size(&address), sizeof(struct sockaddr_in));
  stwi_address_format(&address, text);
  assert_string_equal(text, "192.0.2.7");
  assert_true(stwi_address_parse(&other, "192.0.2.7", 8081));
  assert_false(stwi_address_equal(&address, &other));
  assert_true(stwi_address_parse(&other, "192.0.2.7", 8080));
  assert_true(stwi_address_equal(&address, &other));
  assert_true(stwi_address_parse(&other, "2001:db8::1", 8080));
  assert_int_equal(stwi_address_size(&other), sizeof(struct sockaddr_in6));
  assert_int_equal(ntohs(other.at.v6.sin6_port), 8080);
  assert_false(stwi_address_equal(&address, &other));
  stwi_address_format(&other, text);
  assert_string_equal(text, "2001:db8::1");
  static const char *const names[] = {"localhost", "",       "1.2.3",     "1.2.3.4.5",
                                      "[::1]",     "::1%lo", "256.1.1.1", "0x7f.1"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    assert_false(stwi_address_parse(&address, names[i], 1));
}

static void families_alternate_and_repeats_go(void **state) {
  (void)state;
  static const char *const list[] = {"2001:db8::1", "2001:db8::2", "?",
                                     "2001:db8::1", "192.0.2.1",   "2001:db8::3",
                                     "192.0.2.2",   "192.0.2.1",   NULL};
  struct asked asked;
  open_resolver(&asked);
  answers = list;
  ask(&asked);
  assert_int_equal(asked.addresses.count, 5);
  address_is(&asked, 0, "2001:db8::1");
  address_is(&asked, 1, "192.0.2.1");
  address_is(&asked, 2, "2001:db8::2");
  address_is(&asked, 3, "192.0.2.2");
  address_is(&asked, 4, "2001:db8::3");
  assert_int_equal(ntohs(asked.addresses.items[0].at.v6.sin6_port), 80);
  assert_int_equal(ntohs(asked.addresses.items[1].at.v4.sin_port), 80);
  close_resolver(&asked);
}

static void long_answers_are_bounded(void **state) {
  (void)state;
  static char texts[100][24];
  static const char *list[101];
  struct asked asked;
  open_resolver(&asked);
  for (int i = 0; i < 100; i++) {
    snprintf(texts[i], sizeof texts[i], "192.0.2.%d", i);
    list[i] = texts[i];
  }
  answers = list;
  ask(&asked);
  assert_int_equal(asked.addresses.count, STWI_ADDRESSES_MAX);
  address_is(&asked, 7, "192.0.2.7");
  close_resolver(&asked);
}

static void failures_give_their_cause(void **state) {
  (void)state;
  static const struct {
    int status;
    stw_cause cause;
  } cases[] = {{EAI_NONAME, STW_CAUSE_DNS_NXDOMAIN},   {EAI_NODATA, STW_CAUSE_DNS_NXDOMAIN},
               {EAI_AGAIN, STW_CAUSE_DNS_SERVFAIL},    {EAI_FAIL, STW_CAUSE_DNS_SERVFAIL},
               {EAI_MEMORY, STW_CAUSE_OVERLOAD_LOCAL}, {EAI_SERVICE, STW_CAUSE_DNS_SERVFAIL}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct asked asked;
    open_resolver(&asked);
    status = cases[i].status;
    ask(&asked);
    assert_false(asked.has_addresses);
    assert_int_equal(asked.cause, cases[i].cause);
    assert_non_null(strstr(asked.detail, "name.test"));
    close_resolver(&asked);
  }
}

static void answer_without_a_usable_address_is_no_name(void **state) {
  (void)state;
  static const char *const list[] = {"?", NULL};
  struct asked asked;
  open_resolver(&asked);
  answers = list;
  ask(&asked);
  assert_false(asked.has_addresses);
  assert_int_equal(asked.cause, STW_CAUSE_DNS_NXDOMAIN);
  close_resolver(&asked);
}

static bool has_10_answers(void *owner) {
  const struct asked *asked = owner;
  return asked->done_count == 10;
}

static void same_name_is_asked_once(void **state) {
  (void)state;
  static const char *const list[] = {"192.0.2.1", NULL};
  struct asked asked;
  open_resolver(&asked);
  answers = list;
  is_held = true;
  for (int i = 0; i < 10; i++)
    assert_non_null(stwi_resolve(asked.resolver, "name.test", 80, on_done, &asked));
  is_held = false;
  assert_true(stwi_loop_settle(asked.loop, has_10_answers, &asked, 10000));
  assert_int_equal(calls, 1);
  asked.done_count = 0;
  ask(&asked); /* an answer is not kept */
  assert_int_equal(calls, 2);
  close_resolver(&asked);
}

static void cancelled_question_is_not_answered(void **state) {
  (void)state;
  static const char *const list[] = {"192.0.2.1", NULL};
  struct asked asked, other;
  open_resolver(&asked);
  memset(&other, 0, sizeof other);
  answers = list;
  is_held = true;
  struct stwi_lookup *first = stwi_resolve(asked.resolver, "name.test", 80, on_done, &asked);
  assert_non_null(stwi_resolve(asked.resolver, "name.test", 80, on_done, &other));
  stwi_resolve_cancel(first);
  is_held = false;
  assert_true(stwi_loop_settle(asked.loop, has_answer, &other, 10000));
  assert_int_equal(asked.done_count, 0);
  close_resolver(&asked);
}

/* A resolver that hangs costs one thread of the pool for a name, however often it is tried. */
static void running_question_is_joined_after_a_cancel(void **state) {
  (void)state;
  static const char *const list[] = {"192.0.2.1", NULL};
  struct asked asked;
  open_resolver(&asked);
  answers = list;
  is_held = true;
  struct stwi_lookup *lookup = stwi_resolve(asked.resolver, "name.test", 80, on_done, &asked);
  while (calls == 0)
    sched_yield();
  for (int i = 0; i < 10; i++) {
    stwi_resolve_cancel(lookup);
    lookup = stwi_resolve(asked.resolver, "name.test", 80, on_done, &asked);
  }
  is_held = false;
  assert_true(stwi_loop_settle(asked.loop, has_answer, &asked, 10000));
  assert_int_equal(calls, 1);
  assert_int_equal(asked.done_count, 1);
  close_resolver(&asked);
}

static void cancel_of_another_from_inside_an_answer(void **state) {
  (void)state;
  static const char *const list[] = {"192.0.2.1", NULL};
  struct asked asked, other;
  open_resolver(&asked);
  memset(&other, 0, sizeof other);
  answers = list;
  is_held = true;
  /* Whichever comes first cancels the other one. */
  other.to_cancel = stwi_resolve(asked.resolver, "name.test", 80, on_done, &asked);
  asked.to_cancel = stwi_resolve(asked.resolver, "name.test", 80, on_done, &other);
  is_held = false;
  while (asked.done_count + other.done_count == 0)
    uv_run(stwi_loop_uv(asked.loop), UV_RUN_ONCE);
  assert_int_equal(asked.done_count + other.done_count, 1);
  close_resolver(&asked);
}

static void freed_with_questions_out(void **state) {
  (void)state;
  static const char *const list[] = {"192.0.2.1", NULL};
  struct asked asked;
  open_resolver(&asked);
  answers = list;
  is_held = true;
  char name[16];
  for (int i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "name%d.test", i % 10);
    assert_non_null(stwi_resolve(asked.resolver, name, 80, on_done, &asked));
  }
  close_resolver(&asked);
  assert_int_equal(asked.done_count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numeric_hosts_need_no_question),
      cmocka_unit_test(families_alternate_and_repeats_go),
      cmocka_unit_test(long_answers_are_bounded),
      cmocka_unit_test(failures_give_their_cause),
      cmocka_unit_test(answer_without_a_usable_address_is_no_name),
      cmocka_unit_test(same_name_is_asked_once),
      cmocka_unit_test(cancelled_question_is_not_answered),
      cmocka_unit_test(running_question_is_joined_after_a_cancel),
      cmocka_unit_test(cancel_of_another_from_inside_an_answer),
      cmocka_unit_test(freed_with_questions_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
