#!/usr/bin/env bash
# A release: migration as a one-shot task, then the services, then a smoke test; what fails is rolled back, and its
# revisions are deregistered.
#
#   deploy_release.sh --env staging|prod --image TAG --strategy rolling|canary [--url URL] [--percent 10] [--live]
#
# --url: of the smoke test, else the first of the domain names.
#
# rolling: API and workers. canary: one task of the API gets a share of the requests; promote_canary.sh ends it well,
# rollback_release.sh --canary badly. The smoke test meets a canary by its share only: look at its numbers too.
#
# Dry run by default; --live needs CONFIRM=true.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
tag='' strategy=rolling url='' percent=10
while [ $# -gt 0 ]; do
    case $1 in
        --env) environment=$2; shift 2 ;;
        --image) tag=$2; shift 2 ;;
        --strategy) strategy=$2; shift 2 ;;
        --url) url=$2; shift 2 ;;
        --percent) percent=$2; shift 2 ;;
        --live) live=true; shift ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
[ -n "$tag" ] || give_up "--image is needed"
case $strategy in rolling | canary) ;; *) give_up "--strategy rolling or canary" ;; esac
[[ $percent =~ ^[1-9][0-9]?$ && $percent -le 50 ]] || give_up "--percent is 1 to 50"
need_live_confirmed
read_outputs
[ -n "$url" ] || url=$(output url)

repository=$(output repository_url)
image=$repository:$tag
in_registry "$tag" || give_up "$image is not in the registry"

[ "$strategy" = canary ] || warn_of_canary
released=false
trap '[ "$released" = true ] || retire "${registered[@]}"' EXIT
say "1. migrations, which only add: the release before goes on with the new schema"
register "$(output task_families migrate)" "$image"
network=$(output migrate_network |
    jq -c '{awsvpcConfiguration: {subnets, securityGroups: .security_groups, assignPublicIp: "DISABLED"}}')
started=$(act aws ecs run-task --cluster "$cluster" --task-definition "$definition" --launch-type FARGATE \
    --network-configuration "$network" --started-by "release" --output json)
if [ "$live" = true ]; then
    task=$(jq -er '.tasks[0].taskArn' <<<"$started") || give_up "the migration was not started: $started"
    aws ecs wait tasks-stopped --cluster "$cluster" --tasks "$task" || give_up "the migration does not end: $task"
    code=$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --output json |
        jq -r --arg name "$container" '[.tasks[0].containers[] | select(.name == $name or .name == null)][0].exitCode')
    [ "$code" = 0 ] || give_up "the migration ended with $code: nothing else was changed; its log tells why"
fi

failed() {
    say "rolling back"
    if [ "$strategy" = canary ]; then
        end_canary
    else
        local which unsteady=""
        for which in "${!before[@]}"; do
            point_service "$(output services "$which")" "${before[$which]}" || unsteady+=" $which"
        done
        for which in "${!before[@]}"; do
            wait_for_service "$(output services "$which")" "${before[$which]}" || unsteady+=" $which"
        done
        [ -z "$unsteady" ] || give_up "the rollback did not settle:$unsteady; look at the events of these services"
    fi
    say "the release $tag was rolled back"
    [ "$strategy" = canary ] || warn_of_canary
    exit 1
}

declare -A before=() to=()
register "$(output task_families api)" "$image"
to[api]=$definition
if [ "$strategy" = canary ]; then
    say "2. one task of the canary, with $percent % of the requests"
    canary=$(output services canary)
    point_service "$canary" "${to[api]}" --desired-count 1 || failed
    wait_for_service "$canary" "${to[api]}" || failed
    set_weights $((100 - percent)) "$percent" || failed
else
    say "2. API and workers"
    register "$(output task_families worker)" "$image"
    to[worker]=$definition
    for which in api worker; do before[$which]=$(service_field "$(output services "$which")" .taskDefinition); done
    for which in api worker; do point_service "$(output services "$which")" "${to[$which]}" || failed; done
    for which in api worker; do wait_for_service "$(output services "$which")" "${to[$which]}" || failed; done
fi
say "3. smoke test"
smoke "$url" || failed
released=true
finish "$strategy of $tag"
