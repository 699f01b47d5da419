#!/usr/bin/env bash
# The canary's image becomes everybody's: API and workers first, then the canary's share and task go. They go as well
# when that fails: an image that is not good enough for everybody is not for some.
#
#   promote_canary.sh --env staging|prod [--url URL] [--live]
#
# --url: of the smoke test, else the first of the domain names.
# Dry run by default; --live needs CONFIRM=true.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
url=
while [ $# -gt 0 ]; do
    case $1 in
        --env) environment=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --live) live=true; shift ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
need_live_confirmed
read_outputs
[ -n "$url" ] || url=$(output url)
canary=$(output services canary)
[ "$(service_field "$canary" .desiredCount)" -gt 0 ] || give_up "there is no canary"
definition=$(service_field "$canary" .taskDefinition)
image=$(aws ecs describe-task-definition --task-definition "$definition" --output json |
    jq -er --arg name "$container" '.taskDefinition.containerDefinitions[] | select(.name == $name).image')
given=(--env "$environment" --image "${image##*:}" --strategy rolling --url "$url")
[ "$live" = false ] || given+=(--live)
promoted=true
"$here/deploy_release.sh" "${given[@]}" || promoted=false
end_canary
retire "$definition"
[ "$promoted" = true ] || { say "the canary was ended: ${image##*:} did not become everybody's"; exit 1; }
finish "${image##*:} is everybody's"
