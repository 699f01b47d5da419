#!/usr/bin/env bash
# Changes one setting in the secret. The new value comes on standard input and is shown nowhere; the version before
# stays as AWSPREVIOUS.
#
#   printf %s "$NEW" | rotate_secret.sh --env staging|prod --name ANTHROPIC_API_KEY [--live]
#   rotate_secret.sh --env staging|prod --name NAME --remove [--live]
#   rotate_secret.sh --env staging|prod --previous [--live]      back to the version before
#
# The gateway takes it up within CLAUDE_PROXY_SECRETS_REFRESH (a minute); what needs a restart instead is in
# docs/SECURITY_ROTATION.md. Dry run by default; --live needs CONFIRM=true.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
name='' previous=false remove=false
while [ $# -gt 0 ]; do
    case $1 in
        --env) environment=$2; shift 2 ;;
        --name) name=$2; shift 2 ;;
        --previous) previous=true; shift ;;
        --remove) remove=true; shift ;;
        --live) live=true; shift ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
if [ "$previous" = false ]; then
    [[ $name =~ ^[A-Z][A-Z0-9_]+$ ]] || give_up "--name is a setting of .env.example"
fi
need_live_confirmed
read_outputs
secret=$(output secret_name)
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ "$previous" = true ]; then
    versions=$(aws secretsmanager list-secret-version-ids --secret-id "$secret" --output json)
    now=$(jq -er '[.Versions[] | select(.VersionStages | index("AWSCURRENT"))][0].VersionId' <<<"$versions")
    old=$(jq -er '[.Versions[] | select(.VersionStages | index("AWSPREVIOUS"))][0].VersionId' <<<"$versions") ||
        give_up "there is no version before"
    act aws secretsmanager update-secret-version-stage --secret-id "$secret" --version-stage AWSCURRENT \
        --move-to-version-id "$old" --remove-from-version-id "$now" --output json >/dev/null
    finish "the version before is current"
    exit
fi

if [ "$remove" = true ]; then
    echo gone >"$work/value"
else
    cat >"$work/value"
    [ -s "$work/value" ] || give_up "the new value has to come on standard input"
fi
if ! aws secretsmanager get-secret-value --secret-id "$secret" --version-stage AWSCURRENT --output json \
    >"$work/answer" 2>"$work/why"; then
    grep -q ResourceNotFound "$work/why" || give_up "the secret cannot be read: $(cat "$work/why")"
    echo '{"SecretString": "{}"}' >"$work/answer" # it has no value yet
fi
# Through files: what stands on a command line is seen by everybody on the machine.
jq -e --rawfile value "$work/value" --arg name "$name" --argjson remove "$remove" \
    '.SecretString | fromjson | if $remove then del(.[$name]) else .[$name] = ($value | sub("\n$"; "")) end' \
    "$work/answer" >"$work/new"
say "settings in the secret: $(jq -r 'keys | join(", ")' "$work/new")"
act aws secretsmanager put-secret-value --secret-id "$secret" --secret-string "file://$work/new" \
    --output json >/dev/null
finish "$name"
