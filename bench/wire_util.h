/* wire_util: what the C programs of `./dev bench wire` share.
 *
 * A client program connects to wire_server on the port given as its first argument, then reads one
 * case a line from stdin, "CASE SIZE WINDOW SECONDS", and answers each with one JSON line on
 * stdout:
 *
 *   rtt      one message in flight; the round trips become p50_us and p99_us
 *   echo     WINDOW messages in flight against /echo
 *   send     messages to /sink as fast as they are taken; ends with the sink's own count
 *   receive  messages from /source for SECONDS
 *
 * A program lives through all rounds, so that its start is in no figure; each case has a new
 * connection.  A failure ends the program with a message on stderr: a benchmark has no second try.
 */
#ifndef STEADWIRE_BENCH_WIRE_UTIL_H
#define STEADWIRE_BENCH_WIRE_UTIL_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIRE_SIZE_MAX = 1 << 20, WIRE_WINDOW_MAX = 1 << 16, WIRE_SAMPLES_MAX = 1 << 20 };

typedef struct {
  char name[16];
  size_t size;     /* payload bytes of each message */
  unsigned window; /* messages in flight */
  uint64_t seconds_ns;
} wire_case;

typedef struct {
  uint64_t wall_ns;
  uint64_t cpu_ns;   /* user + system of all threads of the process */
  uint64_t end_ns;   /* when the case stops to start new messages */
  uint32_t *samples; /* round trips in ns; the first WIRE_SAMPLES_MAX are kept */
  size_t sample_count;
} wire_meter;

__attribute__((noreturn, format(printf, 1, 2))) static inline void wire_die(const char *format,
                                                                            ...) {
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
  exit(1);
}

static inline void *wire_alloc(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL)
    wire_die("out of memory: %zu bytes", bytes);
  return memory;
}

static inline uint64_t wire_clock(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t wire_now(void) {
  return wire_clock(CLOCK_MONOTONIC);
}

/* Reads the next case; false at the end of stdin. */
static inline bool wire_next_case(wire_case *wanted) {
  char line[128];
  double seconds = 0;
  if (fgets(line, sizeof line, stdin) == NULL)
    return false;
  if (sscanf(line, "%15s %zu %u %lf", wanted->name, &wanted->size, &wanted->window, &seconds) != 4)
    wire_die("expected CASE SIZE WINDOW SECONDS, got: %s", line);
  if (wanted->size > WIRE_SIZE_MAX || wanted->window == 0 || wanted->window > WIRE_WINDOW_MAX)
    wire_die("size or window out of range: %s", line);
  if (!(seconds > 0 && seconds < 3600))
    wire_die("seconds out of range: %s", line);
  wanted->seconds_ns = (uint64_t)(seconds * 1e9);
  return true;
}

static inline void wire_meter_start(wire_meter *meter, const wire_case *wanted) {
  if (meter->samples == NULL)
    meter->samples = wire_alloc(WIRE_SAMPLES_MAX * sizeof *meter->samples);
  meter->sample_count = 0;
  meter->cpu_ns = wire_clock(CLOCK_PROCESS_CPUTIME_ID);
  meter->wall_ns = wire_now();
  meter->end_ns = meter->wall_ns + wanted->seconds_ns;
}

static inline void wire_meter_sample(wire_meter *meter, uint64_t round_trip_ns) {
  if (meter->sample_count < WIRE_SAMPLES_MAX)
    meter->samples[meter->sample_count++] =
        round_trip_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)round_trip_ns;
}

static inline int wire_compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Stops the clocks and prints the JSON line of the case. */
static inline void wire_meter_stop(wire_meter *meter, const wire_case *wanted, uint64_t msgs) {
  double seconds = (double)(wire_now() - meter->wall_ns) / 1e9;
  double cpu_s = (double)(wire_clock(CLOCK_PROCESS_CPUTIME_ID) - meter->cpu_ns) / 1e9;
  printf("{\"case\": \"%s\", \"size\": %zu, \"window\": %u, \"msgs\": %" PRIu64
         ", \"seconds\": %.6f, \"cpu_s\": %.6f",
         wanted->name, wanted->size, wanted->window, msgs, seconds, cpu_s);
  if (meter->sample_count > 0) {
    qsort(meter->samples, meter->sample_count, sizeof *meter->samples, wire_compare);
    printf(", \"p50_us\": %.2f, \"p99_us\": %.2f", meter->samples[meter->sample_count / 2] / 1e3,
           meter->samples[meter->sample_count * 99 / 100] / 1e3);
  }
  puts("}");
  fflush(stdout);
}

#endif
