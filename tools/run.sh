#!/usr/bin/env bash
# From a clone to a working gateway: installs what is missing, builds, starts, says how to talk to it. Ctrl-C ends it.
#
# With ANTHROPIC_API_KEY (in the environment or .env) it talks to Claude, with CLAUDE_PROXY_UPSTREAM_URL to what that
# names, and with neither to claude-sim, which it starts. Without CLAUDE_PROXY_API_KEYS it makes a client key and keeps
# it in var/ (VAR_DIR) for the next run. Every other setting is passed on (.env.example lists them).
#
#   tools/run.sh [--built]     --built: nothing is installed or built
set -euo pipefail
cd "$(dirname "$0")/.."
var=${VAR_DIR:-var}

say() { printf 'run: %s\n' "$*"; }
give_up() {
    printf 'run: %s\n' "$@" >&2
    exit 1
}

# The value of a setting where the gateway would find it: environment, .env, the YAML file of CLAUDE_PROXY_CONFIG.
setting() {
    local name=$1 value=${!1:-} lower
    if [ -z "$value" ] && [ -r .env ]; then
        value=$(value_in .env "^[[:space:]]*(export[[:space:]]+)?${name}[[:space:]]*=")
    fi
    if [ -z "$value" ] && [ "$name" != CLAUDE_PROXY_CONFIG ]; then
        lower=${name#CLAUDE_PROXY_}
        local file
        file=$(setting CLAUDE_PROXY_CONFIG)
        if [ -r "$file" ]; then value=$(value_in "$file" "^${lower,,}[[:space:]]*:"); fi
    fi
    printf '%s' "$value"
}
value_in() { # value_in FILE REGEX: what follows the last match, without quotes
    { grep -E "$2" "$1" || true; } | tail -n 1 |
        sed -E "s/$2[[:space:]]*//; s/[[:space:]]+#.*$//; s/[[:space:]]+$//; s/^\"(.*)\"$/\1/; s/^'(.*)'$/\1/"
}

host_of() {
    local host=${1%:*}
    host=${host#[} host=${host%]}
    case $host in 0.0.0.0) host=127.0.0.1 ;; ::) host=::1 ;; esac
    printf '%s' "$host"
}
in_use() { (exec 3<>"/dev/tcp/$(host_of "$1")/${1##*:}") 2>/dev/null; }
free_port() { # an address on the same host with a port that nobody listens on
    local address
    for _ in $(seq 100); do
        address=${1%:*}:$((10000 + RANDOM % 20000)) # below the range that the system hands out
        if ! in_use "$address"; then
            printf '%s' "$address"
            return
        fi
    done
    give_up "found no free port on ${1%:*}"
}
address_of() { # address_of NAME DEFAULT: what to listen on; port 0 is chosen here, so that it can be told
    local address
    address=$(setting "$1")
    address=${address:-$2}
    case $address in *:0) free_port "$address" ;; *) printf '%s' "$address" ;; esac
}

listen=$(address_of CLAUDE_PROXY_LISTEN 127.0.0.1:8080)
admin=$(address_of CLAUDE_PROXY_ADMIN_LISTEN 127.0.0.1:8081)
for pair in "CLAUDE_PROXY_LISTEN $listen" "CLAUDE_PROXY_ADMIN_LISTEN $admin"; do
    read -r name address <<<"$pair"
    if in_use "$address"; then
        give_up "something listens on $address already." \
            "Stop it, or choose another address:  $name=127.0.0.1:0 make run   (port 0: any free one)"
    fi
done

if [ "${1:-}" != --built ]; then
    tools/setup.sh run
    tools/build.sh release claude-proxy claude-sim
fi

mkdir -p "$var"
simulator=0 gateway=0
# The children are in sessions of their own, so that Ctrl-C reaches only this script, which ends them in order; and they
# get SIGTERM from the kernel when it is killed.
launch=(setsid setpriv --pdeathsig TERM --)
end_of() { # the exit status of a child, also when signals interrupt the wait for it
    local status=0 interrupted
    while kill -0 "$1" 2>/dev/null; do wait "$1" || status=$?; done
    interrupted=$status status=0
    wait "$1" || status=$? # bash remembers it, or says 127
    if [ "$status" -eq 127 ]; then status=$interrupted; fi
    return "$status"
}
end_simulator() {
    if [ "$simulator" -ne 0 ]; then
        kill -TERM "$simulator" 2>/dev/null || true
        end_of "$simulator" || true
    fi
}
trap end_simulator EXIT

if [ -n "$(setting ANTHROPIC_API_KEY)" ] || [ -n "$(setting CLAUDE_PROXY_UPSTREAM_URL)" ]; then
    upstream=$(setting CLAUDE_PROXY_UPSTREAM_URL)
    upstream="Claude at ${upstream:-https://api.anthropic.com}"
else
    log=$var/claude-sim.log
    : >"$log" # there before anybody reads it
    "${launch[@]}" build/release/claude-sim --listen 127.0.0.1:0 >"$log" 2>&1 </dev/null &
    simulator=$!
    for _ in $(seq 200); do
        url=$(sed -n 's/^claude-sim listening on //p' "$log")
        if [ -n "$url" ] || ! kill -0 "$simulator" 2>/dev/null; then break; fi
        sleep 0.05
    done
    [ -n "$url" ] || give_up "claude-sim did not start; its log is $log" "$(tail -n 5 "$log")"
    export CLAUDE_PROXY_UPSTREAM_URL=$url ANTHROPIC_API_KEY=sk-ant-simulated
    upstream="the SIMULATOR claude-sim at $url (set ANTHROPIC_API_KEY to talk to Claude)"
fi

keys=$(setting CLAUDE_PROXY_API_KEYS)
if [ -z "$keys" ]; then
    if [ ! -s "$var/client-key" ]; then
        (umask 077 && printf 'sk-cp-%s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$var/client-key")
    fi
    keys=$(cat "$var/client-key")
    export CLAUDE_PROXY_API_KEYS=$keys
fi
key=${keys%%,*}
export CLAUDE_PROXY_LISTEN=$listen CLAUDE_PROXY_ADMIN_LISTEN=$admin
# Nobody balances load here, so nobody has to be told before a stop.
if [ -z "$(setting CLAUDE_PROXY_DRAIN_DELAY)" ]; then export CLAUDE_PROXY_DRAIN_DELAY=0ms; fi

"${launch[@]}" build/release/claude-proxy serve --with-worker </dev/null &
gateway=$!
stopping=no
stop_gateway() {
    stopping=yes
    kill -TERM "$gateway" 2>/dev/null || true
}
trap stop_gateway INT TERM HUP

scheme=http verify=()
if [ -n "$(setting CLAUDE_PROXY_TLS_CERT_FILE)" ]; then scheme=https verify=(-k); fi
host=$(host_of "$listen")
case $host in *:*) host="[$host]" ;; esac
base=$scheme://$host:${listen##*:}
ready=no
for _ in $(seq 200); do
    if curl -fs --noproxy '*' --max-time 1 -o "$var/ready" "${verify[@]}" "$base/ready"; then
        ready=yes
        break
    fi
    kill -0 "$gateway" 2>/dev/null || break
    sleep 0.05
done
rm -f "$var/ready"
if [ "$ready" = yes ]; then
    body='{"model": "claude-opus-4-8", "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello."}]}'
    curl="curl ${verify[*]:+${verify[*]} }$base/v1/messages -H 'x-api-key: $key' -H 'anthropic-version: 2023-06-01'"
    cat <<TEXT

claude-proxy is ready at $base and talks to $upstream.

  key    $key
  try    $curl -H 'content-type: application/json' -d '$body'
  SDKs   ANTHROPIC_BASE_URL=$base ANTHROPIC_API_KEY=$key
  see    http://$admin/metrics

Ctrl-C ends it.

TEXT
elif [ "$stopping" = no ]; then
    say "the gateway is not ready; its log is above" >&2
    stop_gateway
fi
status=0
end_of "$gateway" || status=$?
[ "$ready" = yes ] || exit 1
exit "$status"
