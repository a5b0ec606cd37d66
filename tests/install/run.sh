#!/bin/sh
# Installs a build into a folder of its own and uses it from there as a stranger would: through
# find_package from C and C++, and through pkg-config.
#
# usage: run.sh BUILD_FOLDER
set -eu
here=$(cd -P -- "$(dirname -- "$0")" && pwd)
build=$(cd -P -- "$1" && pwd)
stage=$build/install_check
rm -rf "$stage"

cmake --install "$build" --prefix "$stage/prefix" >/dev/null
cmake -G Ninja -S "$here" -B "$stage/consumer" -D CMAKE_PREFIX_PATH="$stage/prefix"
cmake --build "$stage/consumer"
"$stage/consumer/consumer_c"
"$stage/consumer/consumer_cpp"

PKG_CONFIG_PATH=$(dirname "$(find "$stage/prefix" -name steadwire.pc)")
export PKG_CONFIG_PATH
query() {
  pkg-config --define-variable=prefix="$stage/prefix" "$@" steadwire
}
flags=$(query --cflags --libs)
set -- $flags
cc -o "$stage/consumer_pc" "$here/consumer.c" "$@"
LD_LIBRARY_PATH=$(query --variable=libdir) "$stage/consumer_pc"
