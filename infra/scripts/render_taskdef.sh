#!/usr/bin/env bash
# Prints the newest task definition of a family with another image, ready to be registered. Changes nothing.
#
#   render_taskdef.sh --family claude-proxy-api --image REPOSITORY:TAG
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
family='' image=''
while [ $# -gt 0 ]; do
    case $1 in
        --family) family=$2; shift 2 ;;
        --image) image=$2; shift 2 ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
[[ -n $family && -n $image ]] || give_up "--family and --image are needed"
case $image in *:latest) give_up "latest is no release" ;; *:*) ;; *) give_up "$image has no tag" ;; esac
# What describing adds and registering does not take is left out, and so is what is empty.
aws ecs describe-task-definition --task-definition "$family" --output json |
    jq -e --arg image "$image" --arg name "$container" '.taskDefinition
        | {family, taskRoleArn, executionRoleArn, networkMode, containerDefinitions, volumes, placementConstraints,
           requiresCompatibilities, cpu, memory, runtimePlatform, ephemeralStorage}
        | with_entries(select(.value != null))
        | if any(.containerDefinitions[]; .name == $name) then . else error("no container " + $name) end
        | .containerDefinitions |= map(if .name == $name then .image = $image else . end)'
