#!/usr/bin/env bash
# Configures and builds one preset:  tools/build.sh release|dev|tsan|ci|fuzz [target ...]
#
# As many jobs as there are cores, but no more than the memory carries: one translation unit takes up to 1 GiB here.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:?"usage: tools/build.sh PRESET [target ...]"}
shift

# Another checkout, or another folder of the same one, uses the same cached objects.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
if [ -z "${HOME:-}" ] || [ ! -w "${HOME:-/}" ]; then export CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache}; fi

gib_available=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
jobs=${JOBS:-$(nproc)}
if [ "$gib_available" -lt "$jobs" ]; then jobs=$((gib_available > 0 ? gib_available : 1)); fi

began=$SECONDS
mkdir -p build
log=build/configure-$preset.log
if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
targets=()
[ $# -eq 0 ] || targets=(--target "$@")
cmake --build --preset "$preset" --parallel "$jobs" "${targets[@]}"
printf 'build: %s is ready after %d s (%d jobs)\n' "$preset" $((SECONDS - began)) "$jobs"
