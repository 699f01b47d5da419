#!/usr/bin/env bash
# Does a gateway answer as one?  Asks for nothing that costs money.
#
#   smoke_test.sh --url https://api.example.com
#
# With a client key in SMOKE_KEY also the models that it may use. SMOKE_TRIES (5) with SMOKE_PAUSE_SECONDS (3) between.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
url=
while [ $# -gt 0 ]; do
    case $1 in
        --url) url=${2%/}; shift 2 ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
[ -n "$url" ] || give_up "--url is needed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ask() { # ask PATH [HEADER-FILE]: prints the status; head and body go to files
    curl -sS --max-time 15 -o "$work/body" -D "$work/head" -w '%{http_code}' ${2:+-H "@$2"} "$url$1" 2>"$work/why" ||
        true
}
failed=0
expect() { # expect WHAT STATUS PATH [HEADER-FILE]
    local tries=${SMOKE_TRIES:-5} status=
    while :; do
        status=$(ask "$3" "${4:-}")
        if [ "$status" = "$2" ]; then
            say "ok: $1"
            return
        fi
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || break
        sleep "${SMOKE_PAUSE_SECONDS:-3}"
    done
    say "FAILED: $1: $3 answered ${status:-nothing} instead of $2 $(head -c 200 "$work/why")"
    failed=1
}

expect "it lives" 200 /health
expect "it is ready" 200 /ready
expect "who has no key is refused" 401 /v1/models
if [ "$failed" = 0 ]; then
    if ! grep -qi '^x-claude-proxy-request-id:' "$work/head" || ! grep -q credential_missing "$work/body"; then
        say "FAILED: the refusal is not the gateway's"
        failed=1
    fi
fi
if [ -n "${SMOKE_KEY:-}" ]; then
    (umask 077 && printf 'x-api-key: %s\nanthropic-version: 2023-06-01\n' "$SMOKE_KEY" >"$work/key")
    expect "a key's models are listed" 200 /v1/models "$work/key"
fi
exit "$failed"
