#!/usr/bin/env bash
# Back to the image before: for API and workers each the newest earlier revision with another image than today's.
#
#   rollback_release.sh --env staging|prod [--image TAG] [--canary] [--live]
#
# --image: to this one. --canary: only ends the canary. The database stays: migrations only add. Dry run by default;
# --live needs CONFIRM=true.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
tag='' canary=false
while [ $# -gt 0 ]; do
    case $1 in
        --env) environment=$2; shift 2 ;;
        --image) tag=$2; shift 2 ;;
        --canary) canary=true; shift ;;
        --live) live=true; shift ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
need_live_confirmed
read_outputs
if [ "$canary" = true ]; then
    end_canary
    say "done: no canary"
    exit
fi

image_of() {
    aws ecs describe-task-definition --task-definition "$1" --output json |
        jq -er --arg name "$container" '.taskDefinition.containerDefinitions[] | select(.name == $name).image'
}
earlier() { # earlier FAMILY CURRENT: the revision to go back to
    local now number arn image
    now=$(image_of "$2")
    number=${2##*:}
    for arn in $(aws ecs list-task-definitions --family-prefix "$1" --sort DESC --max-items "${REVISIONS_MAX:-100}" \
        --output json | jq -r '.taskDefinitionArns | sort_by(split(":")[-1] | tonumber) | reverse[]'); do
        [ "${arn##*:}" -lt "$number" ] || continue
        image=$(image_of "$arn")
        if [ -n "$tag" ]; then
            [ "${image##*:}" = "$tag" ] || continue
        elif [ "$image" = "$now" ]; then
            continue
        fi
        printf '%s\n' "$arn"
        return
    done
    give_up "$1 has no earlier revision with ${tag:-another image}"
}

declare -A to=()
for which in api worker; do # both are found before either is changed
    now=$(service_field "$(output services "$which")" .taskDefinition)
    to[$which]=$(earlier "$(output task_families "$which")" "$now")
done
for which in api worker; do point_service "$(output services "$which")" "${to[$which]}"; done
for which in api worker; do wait_for_service "$(output services "$which")" "${to[$which]}"; done
say "done: api ${to[api]##*:}, worker ${to[worker]##*:}"
