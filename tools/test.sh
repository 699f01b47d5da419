#!/usr/bin/env bash
# Installs what is missing, builds, runs the suites, and ends with one line: N passed, N failed.
#
#   tools/test.sh                 everything, against the release build
#   tools/test.sh dev|tsan        unit and integration tests under AddressSanitizer and UBSan, or ThreadSanitizer
#   tools/test.sh PRESET SUITE..  only these suites
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
[ $# -eq 0 ] || shift
groups=(run test)
[ "$preset" = release ] || groups+=(dev)
tools/setup.sh "${groups[@]}"
tools/build.sh "$preset"
exec /usr/bin/python3 tools/run_suites.py "$preset" "$@"
