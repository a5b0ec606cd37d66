/* helper.c: what the Lua tests need of the system and Lua does not have. */
#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int helper_fork(lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

/* wait(pid) -> exit status, or 128 + signal */
static int helper_wait(lua_State *L) {
  int status = 0;
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  if (waitpid(pid, &status, 0) != pid)
    return luaL_error(L, "waitpid failed");
  lua_pushinteger(L, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  return 1;
}

static int helper_exit(lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
}

static int helper_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int helper_kill(lua_State *L) {
  lua_pushboolean(L, !kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)));
  return 1;
}

static void ignore(int number) {
  (void)number;
}

/* alarm(seconds): SIGALRM then, which interrupts a system call and does nothing else */
static int helper_alarm(lua_State *L) {
  struct sigaction action = {.sa_handler = ignore};
  sigaction(SIGALRM, &action, NULL);
  long us = (long)(luaL_checknumber(L, 1) * 1e6);
  struct itimerval timer = {.it_value = {us / 1000000, us % 1000000}};
  setitimer(ITIMER_REAL, &timer, NULL);
  return 0;
}

static lua_State *watched;

static void give_up(lua_State *L, lua_Debug *unused) {
  (void)unused;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "the test took too long");
}

static void on_watchdog(int number) {
  (void)number;
  lua_sethook(watched, give_up, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* watchdog(seconds): an error in what runs then; 0 for none.  Ends a system call, too. */
static int helper_watchdog(lua_State *L) {
  static timer_t timer;
  if (!watched) {
    struct sigaction action = {.sa_handler = on_watchdog};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    sigaction(SIGUSR2, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer))
      return luaL_error(L, "timer_create failed");
  }
  watched = L;
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)luaL_checkinteger(L, 1)}};
  timer_settime(timer, 0, &when, NULL);
  return 0;
}

/* entries(folder) -> how many files are in it */
static int helper_entries(lua_State *L) {
  DIR *folder = opendir(luaL_checkstring(L, 1));
  if (!folder)
    return luaL_error(L, "no such folder");
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder));)
    count += entry->d_name[0] != '.';
  closedir(folder);
  lua_pushinteger(L, count);
  return 1;
}

int luaopen_steadwire_helper(lua_State *L);

int luaopen_steadwire_helper(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"fork", helper_fork},         {"wait", helper_wait},       {"exit", helper_exit},
      {"pid", helper_pid},           {"kill", helper_kill},       {"alarm", helper_alarm},
      {"watchdog", helper_watchdog}, {"entries", helper_entries}, {NULL, NULL},
  };
  lua_newtable(L);
  for (const luaL_Reg *row = functions; row->name; row++) {
    lua_pushcfunction(L, row->func);
    lua_setfield(L, -2, row->name);
  }
  return 1;
}
