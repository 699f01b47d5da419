#!/usr/bin/env bash
# What reviewers should not have to say:  tools/lint.sh [--all]
#
# Format of all C++ files, tidy, every header compiled alone, shellcheck, and clang-tidy on the sources that differ from
# the last commit (or from BASE; --all: every source, which takes minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh run test dev
failed=0
check() { # check NAME COMMAND...
    local name=$1
    shift
    if "$@"; then printf 'lint: %s ok\n' "$name"; else
        printf 'lint: %s FAILED\n' "$name" >&2
        failed=1
    fi
}

mapfile -t all < <(find src sim tests bench \( -path '*/node_modules' -o -path bench/work \) -prune -o \
    \( -name '*.cpp' -o -name '*.hpp' \) -print | sort)
check clang-format clang-format-19 --dry-run --Werror "${all[@]}"
check tidy tools/tidy
check headers tools/tidy --headers
check shellcheck shellcheck -x --exclude=SC2317 tools/*.sh infra/scripts/*.sh infra/slo/*.sh .ci/run

if [ "${1:-}" = --all ]; then
    mapfile -t sources < <(printf '%s\n' "${all[@]}" | grep -E '^(src|sim)/.*\.cpp$')
else
    base=${BASE:-HEAD}
    changed() { git diff --name-only --diff-filter=d "$base" && git ls-files --others --exclude-standard; }
    mapfile -t sources < <(changed | grep -E '^(src|sim)/.*\.cpp$' | sort -u)
fi
if [ ${#sources[@]} -eq 0 ]; then
    printf 'lint: clang-tidy has nothing to look at (no source differs from %s; --all takes every source)\n' "${base:-}"
else
    cmake --preset release >/dev/null
    printf 'lint: clang-tidy on %d sources\n' "${#sources[@]}"
    check clang-tidy xargs -a <(printf '%s\n' "${sources[@]}") -P "$(nproc)" -n 1 clang-tidy-19 -p build/release --quiet
fi
exit "$failed"
