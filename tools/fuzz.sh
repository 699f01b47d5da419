#!/usr/bin/env bash
# Builds every fuzz target and runs each for FUZZ_SECONDS (60), from the seeds in tests/fuzz/corpus/ and what earlier
# runs found (build/fuzz-corpus/). tools/fuzz.sh [target ...] runs only those; findings stay in build/fuzz-findings/.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh run dev
seconds=${FUZZ_SECONDS:-60}
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in tests/fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi
tools/build.sh fuzz "${targets[@]}"

symbolizer=external_symbolizer_path=/usr/lib/llvm-19/bin/llvm-symbolizer
export ASAN_OPTIONS=$symbolizer UBSAN_OPTIONS=$symbolizer:print_stacktrace=1
failed=0
for target in "${targets[@]}"; do
    seeds=tests/fuzz/corpus/${target%_fuzz}
    if [ ! -d "$seeds" ]; then
        printf 'fuzz: %s has no seeds: %s is missing\n' "$target" "$seeds" >&2
        failed=$((failed + 1))
        continue
    fi
    found=build/fuzz-corpus/$target findings=build/fuzz-findings/$target log=build/fuzz-$target.log
    mkdir -p "$found" "$findings"
    if build/fuzz/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$findings/" "$found" "$seeds" >"$log" 2>&1; then
        runs=$(awk '/^stat::number_of_executed_units:/ { print $2 }' "$log")
        printf 'fuzz: %-22s %11s runs in %s s, nothing found\n' "$target" "$runs" "$seconds"
    else
        failed=$((failed + 1))
        tail -n 40 "$log" >&2
        printf 'fuzz: %s FAILED; the input is in %s\n' "$target" "$findings" >&2
    fi
done
printf '%d passed, %d failed\n' $((${#targets[@]} - failed)) "$failed"
[ "$failed" -eq 0 ]
