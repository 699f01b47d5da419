#!/usr/bin/env bash
# Back to the image before: the newest one, other than today's, that API and workers both had and the registry still
# has. Then a smoke test. The revisions that were left are deregistered: no later rollback goes to them.
#
#   rollback_release.sh --env staging|prod [--image TAG] [--url URL] [--live]
#   rollback_release.sh --env staging|prod --canary [--live]      only ends the canary
#
# --image: to this one. --url: of the smoke test, else the first of the domain names. The database stays: migrations
# only add. Dry run by default; --live needs CONFIRM=true.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
tag='' url='' canary=false
while [ $# -gt 0 ]; do
    case $1 in
        --env) environment=$2; shift 2 ;;
        --image) tag=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --canary) canary=true; shift ;;
        --live) live=true; shift ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
need_live_confirmed
read_outputs
if [ "$canary" = true ]; then
    name=$(output services canary)
    definition=$(service_field "$name" .taskDefinition)
    tasks=$(service_field "$name" .desiredCount)
    end_canary
    # Without a task it is that of a canary before, or Terraform's.
    [ "$tasks" = 0 ] || retire "$definition"
    finish "no canary"
    exit
fi

[ -n "$url" ] || url=$(output url)
warn_of_canary

declare -A images=() revisions=() now=() to=()
image_of() { # image_of DEFINITION: into `image`; each is asked for once
    if [ -z "${images[$1]:-}" ]; then
        images[$1]=$(aws ecs describe-task-definition --task-definition "$1" --output json |
            jq -er --arg name "$container" '.taskDefinition.containerDefinitions[] | select(.name == $name).image') ||
            give_up "$1 cannot be read"
    fi
    image=${images[$1]}
}
find_revision() { # find_revision WHICH IMAGE: into to[WHICH] the newest that is not newer than today's
    local arn
    to[$1]=
    for arn in ${revisions[$1]}; do
        [ "${arn##*:}" -le "${now[$1]##*:}" ] || continue
        image_of "$arn"
        if [ "$image" = "$2" ]; then
            to[$1]=$arn
            return 0
        fi
    done
    return 1
}

for which in api worker; do
    now[$which]=$(service_field "$(output services "$which")" .taskDefinition)
    revisions[$which]=$(aws ecs list-task-definitions --family-prefix "$(output task_families "$which")" \
        --status ACTIVE --sort DESC --max-items "${REVISIONS_MAX:-100}" --output json |
        jq -r '.taskDefinitionArns | sort_by(split(":")[-1] | tonumber) | reverse[]')
done
repository=$(output repository_url)
image_of "${now[api]}"
today=$image
if [ -n "$tag" ]; then
    in_registry "$tag" || give_up "$repository:$tag is not in the registry"
    for which in api worker; do
        find_revision "$which" "$repository:$tag" || give_up "$which has no earlier revision with $tag"
    done
else
    image_of "${now[worker]}"
    [ "$image" = "$today" ] || give_up "API has $today, workers have $image: say which --image both shall have"
    seen=" $today "
    for arn in ${revisions[api]}; do
        [ "${arn##*:}" -lt "${now[api]##*:}" ] || continue
        image_of "$arn"
        [[ $seen != *" $image "* ]] || continue
        seen+="$image "
        wanted=$image
        # What Terraform registers has an image that there is not.
        if [[ $wanted != "$repository":* ]] || ! in_registry "${wanted##*:}"; then
            say "passed over: $wanted is not in the registry"
        elif ! find_revision worker "$wanted"; then
            say "passed over: workers never had $wanted"
        else
            to[api]=$arn
            break
        fi
    done
    [ -n "${to[api]:-}" ] || give_up "no earlier revision has an image that API and workers both had"
fi
image_of "${to[api]}"
say "to $image: api ${to[api]##*:}, worker ${to[worker]##*:}"
for which in api worker; do point_service "$(output services "$which")" "${to[$which]}"; done
unsteady=
for which in api worker; do wait_for_service "$(output services "$which")" "${to[$which]}" || unsteady+=" $which"; done
[ -z "$unsteady" ] || give_up "the rollback did not settle:$unsteady; look at the events of these services"
for which in api worker; do
    [ "${now[$which]}" = "${to[$which]}" ] || retire "${now[$which]}"
done
smoke "$url" || { say "${image##*:} runs, but the smoke test fails"; exit 1; }
finish "api ${to[api]##*:}, worker ${to[worker]##*:}"
