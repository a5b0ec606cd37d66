#!/bin/sh
# Runs the Lua tests: tests/lua/run.sh <lua-interpreter> [test file...]
#
# LUA_PATH and LUA_CPATH must lead to the face and to steadwire/core.so. STW_PYTHON (python3) has
# the package `websockets`, for the servers. Everything runs twice: as usual, and with a collector
# that never rests. The last line is `N passed, N failed, N skipped`.
set -eu
lua=${1:?usage: tests/lua/run.sh LUA [TEST...]}
shift
here=$(cd -P -- "$(dirname -- "$0")" && pwd)
scratch=$(mktemp -d)

# Servers of a test that died: their process ids are noted one a line.
finish() {
  if [ -f "$scratch/pids" ]; then
    while read -r pid; do
      kill -9 "$pid" 2>/dev/null || :
    done <"$scratch/pids"
  fi
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

case $("$lua" -e 'print(jit and "jit" or _VERSION)') in
  jit) package=luajit ;;
  'Lua 5.1') package=lua5.1 ;;
  'Lua 5.2') package=lua5.2 ;;
  'Lua 5.3') package=lua5.3 ;;
  *) package=lua5.4 ;;
esac
pkg-config --cflags "$package" | xargs "${CC:-cc}" -std=c11 -D_GNU_SOURCE -Wall -Wextra -fPIC \
  -shared "$here/helper.c" -o "$scratch/steadwire_helper.so"

[ $# -gt 0 ] || set -- "$here"/test_*.lua
export LUA_PATH="$here/?.lua;$LUA_PATH" LUA_CPATH="$scratch/?.so;$LUA_CPATH"
export STW_LUA="$lua" STW_SCRATCH="$scratch" STW_SUPPORT="$here/../support"
for collector in usual restless; do
  echo "== $lua, collector $collector"
  STW_COLLECTOR=$collector "$lua" "$here/main.lua" "$@" || [ $? -eq 3 ] ||
    echo '0 passed, 1 failed, 0 skipped'
done | tee "$scratch/output"
awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5 }
  END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }' "$scratch/output"
