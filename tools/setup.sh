#!/usr/bin/env bash
# Installs what is missing on Debian 12, and nothing that is there. Repeating it costs a second.
#
#   tools/setup.sh [run] [test] [dev] [bench] [conformance] [infra]      default: run test dev
#
#   run    what building needs            test   the test runners and their node packages
#   dev    sanitizers, fuzzers, linters   bench  nginx and the load tools
#   conformance  what other clients than Node's need
#   infra  what checks infra/; terraform and moto are used where they are, and not installed
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
give_up() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

packages_of() {
    case $1 in
        run) echo clang-19 mold ccache ninja-build cmake make git ca-certificates curl libboost1.81-dev \
            libboost-json1.81-dev libfmt-dev libssl-dev libsimdjson-dev prometheus-cpp-dev libyaml-cpp-dev \
            libcli11-dev libsqlite3-dev libpq-dev libcurl4-openssl-dev libjansson-dev \
            libhiredis-dev pkg-config ;;
        test) echo libgtest-dev libgmock-dev python3 python3-pytest openssl postgresql-15 pgbouncer redis-server \
            python3-psycopg2 python3-yaml jq haproxy prometheus prometheus-alertmanager ;;
        dev) echo libclang-rt-19-dev llvm-19 lld-19 clang-tidy-19 clang-format-19 shellcheck ;;
        conformance) echo python3-venv ;;
        infra) echo shellcheck jq curl awscli python3 python3-pytest python3-boto3 buildah mmdebstrap ccache git \
            postgresql-15 ;;
        bench) echo nginx-light wrk strace python3 ;;
        *) give_up "unknown word '$1'; known are: run test dev bench conformance infra" ;;
    esac
}

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(run test dev)
wanted=()
for group in "${groups[@]}"; do
    list=$(packages_of "$group")
    read -ra more <<<"$list"
    wanted+=("${more[@]}")
    # A node that came from elsewhere is as good as Debian's.
    if [ "$group" = test ] && ! command -v node >/dev/null; then wanted+=(nodejs); fi
    if [ "$group" = test ] && ! command -v npm >/dev/null; then wanted+=(npm); fi
done

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done

install_missing() {
    local log=build/setup.log become=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            become=(sudo)
        else
            give_up "these packages are missing and only root can install them:" "    ${missing[*]}" \
                "run this as root once:  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
        fi
    fi
    command -v apt-get >/dev/null ||
        give_up "this needs Debian 12 (no apt-get here). Install the equivalents of: ${missing[*]}"
    mkdir -p build
    say "installing ${#missing[@]} packages: ${missing[*]}"
    say "(a few minutes on a fresh machine; the details go to $log)"
    # Some of these are servers, which tests start themselves: by this runlevel none begins to serve now.
    local apt=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q)
    apt+=(-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
    if ! { "${become[@]}" "${apt[@]}" update &&
        "${become[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        local system=unknown
        # shellcheck source=/dev/null
        [ ! -r /etc/os-release ] || system=$(. /etc/os-release && echo "${PRETTY_NAME:-unknown}")
        give_up "apt-get failed (all of it is in $log)." \
            "This system is '$system'; the packages are those of Debian 12 (bookworm) and need its network repository."
    fi
}

if [ ${#missing[@]} -gt 0 ]; then install_missing; fi

install_with_npm() { # install_with_npm WHAT COMMAND...
    local what=$1
    shift
    mkdir -p build
    say "$what"
    if ! "$@" --no-audit --no-fund --loglevel=error >build/npm.log 2>&1 </dev/null; then
        tail -n 20 build/npm.log >&2
        give_up "npm failed (all of it is in build/npm.log). It needs the network."
    fi
}

# The official SDKs drive the tests, and servers on Node stand in for Amazon's queue. They need Node
# 20; Debian 12 has 18, so a newer one is put into build/node/.
install_node_packages() {
    local folder node=22.23.3 machine version lock
    version=$(node --version)
    version=${version#v}
    if [ "${version%%.*}" -lt 20 ] && [ ! -x build/node/bin/node ]; then
        case $(uname -m) in aarch64) machine=arm64 ;; *) machine=x64 ;; esac
        install_with_npm "node $node into build/node (the SDKs need 20 or newer, here is $version)" \
            npm install --prefix build/node --no-save "node-linux-$machine@$node"
        ln -sfn "node_modules/node-linux-$machine/bin" build/node/bin
    fi
    for folder in tests/sdk tests/support/sqs; do
        lock=$folder/package-lock.json
        if [ -e "$lock" ] && [ ! "$folder/node_modules/.package-lock.json" -nt "$lock" ]; then
            install_with_npm "npm ci in $folder" npm ci --prefix $folder
        fi
    done
}
case " ${groups[*]} " in *" test "*) install_node_packages ;; esac
say "ready (${groups[*]})"
