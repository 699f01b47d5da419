#!/usr/bin/env bash
# Tells Prometheus which tasks there are: writes targets/api.yaml and targets/worker.yaml. Run it every minute, in the
# folder of prometheus.yaml:
#
#   targets.sh [NAME-OF-THE-INSTALLATION]
#
# The canary's tasks are tasks of the API. A list that could not be read leaves the old file, and the exit code is 1;
# one that is empty is written: no canary is the rule. Needs aws and jq.
set -euo pipefail
name=${1:-claude-proxy}

tasks_of() { # tasks_of SERVICE: addresses, as a JSON list. `input` fails where there is no word from aws.
    local listed arns
    listed=$(aws ecs list-tasks --cluster "$name" --service-name "$name-$1" --output json |
        jq -rn 'input | .taskArns | join(" ")') || return
    [ -n "$listed" ] || { echo '[]'; return; }
    read -ra arns <<<"$listed"
    # One that has just been asked for has no address yet.
    aws ecs describe-tasks --cluster "$name" --tasks "${arns[@]}" --output json |
        jq -cn '[input | .tasks[].containers[0].networkInterfaces[0].privateIpv4Address // empty | . + ":8081"]'
}

write() { # write FILE SERVICE...
    local file=$1 each all='[]' some
    shift
    for each in "$@"; do
        some=$(tasks_of "$each") || { echo "targets.sh: the tasks of $each were not read: $file stays" >&2; return 1; }
        all=$(jq -nc --argjson all "$all" --argjson some "$some" '$all + $some') || return
    done
    # JSON is YAML.
    jq -n --argjson all "$all" '[{targets: $all}]' >"$file.new" && mv "$file.new" "$file.yaml"
}

mkdir -p targets
failed=0
write targets/api api canary || failed=1
write targets/worker worker || failed=1
exit "$failed"
