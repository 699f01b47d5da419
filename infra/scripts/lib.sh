# shellcheck shell=bash
# Read by the scripts beside it. Dry run by default: `act` prints a command, and runs it only with --live, for which
# CONFIRM=true has to be said too. Reading is always real: a dry run tells what it would do to what is there.
#
# What is where comes from `tf.sh ENV output -json`, or from the file that OUTPUTS names. The region is that of the
# environment; credentials and endpoints are those of the AWS CLI. Needs aws and jq.

script=$(basename "$0")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
live=false
environment=
container=claude-proxy # its name in every task definition
export container

say() { printf '%s: %s\n' "$script" "$*" >&2; }
give_up() {
    say "$*"
    exit 2
}

usage() { # the comment at the top of the script
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
}

need_live_confirmed() {
    if [ "$live" = true ] && [ "${CONFIRM:-}" != true ]; then
        give_up "--live changes $environment: say CONFIRM=true as well"
    fi
    [ "$live" = true ] || say "dry run: nothing is changed (--live and CONFIRM=true do it)"
}

read_outputs() {
    case $environment in staging | prod) ;; *) give_up "--env staging or --env prod" ;; esac
    local tool
    for tool in aws jq; do command -v "$tool" >/dev/null || give_up "$tool is not installed"; done
    if [ -n "${OUTPUTS:-}" ]; then
        outputs=$(cat "$OUTPUTS")
    else
        outputs=$("$here/tf.sh" "$environment" output -json)
    fi
    [ "$(output environment)" = "$environment" ] || give_up "these outputs are not of $environment"
    AWS_REGION=$(output region)
    AWS_DEFAULT_REGION=$AWS_REGION
    export AWS_REGION AWS_DEFAULT_REGION AWS_PAGER=
    cluster=$(output cluster_name)
    # All that any script asks for, now: a failure inside of an argument would not end a script later.
    local each
    for each in "services api" "services canary" "services worker" "task_families api" "task_families worker" \
        "task_families migrate" "target_groups stable" "target_groups canary" "times deregistration_delay" \
        listener_rule_arn repository_url secret_name queue_url dead_queue_url migrate_network; do
        # shellcheck disable=SC2086
        output $each >/dev/null
    done
}

output() { # output NAME [KEY]
    local found
    if [ $# -eq 2 ]; then
        found=$(jq -er --arg name "$1" --arg key "$2" '.[$name].value[$key]' <<<"$outputs") || give_up "no output $1.$2"
    else
        found=$(jq -er --arg name "$1" '.[$name].value // error("none") | if type == "string" then . else tojson end' \
            <<<"$outputs" 2>/dev/null) || give_up "no output $1"
    fi
    printf '%s\n' "$found"
}

act() {
    printf '%s  %s\n' "$([ "$live" = true ] && echo run || echo would)" "${*@Q}" >&2
    if [ "$live" = true ]; then "$@"; fi
}

# The CLI's first version does not heed AWS_ENDPOINT_URL for this service.
sqs() {
    local where=${AWS_ENDPOINT_URL_SQS:-${AWS_ENDPOINT_URL:-}}
    aws sqs "$@" ${where:+--endpoint-url "$where"} --output json
}

in_registry() { # in_registry TAG; what cannot be asked is no answer
    local repository why
    repository=$(output repository_url)
    why=$(aws ecr describe-images --repository-name "${repository##*/}" --image-ids "imageTag=$1" --output json \
        2>&1 >/dev/null) && return 0
    [[ $why == *ImageNotFound* ]] || give_up "the registry cannot be asked for $1: $why"
    return 1
}

service_field() { # service_field SERVICE JQ
    aws ecs describe-services --cluster "$cluster" --services "$1" --output json | jq -er ".services[0] | $2"
}

# Registers the family's newest definition with another image: its ARN is in `definition` (a dry run: the family), and
# in `registered` for `retire`. Not to be called in a subshell.
registered=()
register() { # register FAMILY IMAGE
    local file
    file=$(mktemp)
    "$here/render_taskdef.sh" --family "$1" --image "$2" >"$file" || give_up "$1 could not be rendered with $2"
    definition=$1
    if [ "$live" = true ]; then
        say "run: register $1 with $2"
        definition=$(aws ecs register-task-definition --cli-input-json "file://$file" --output json |
            jq -ern 'input | .taskDefinition.taskDefinitionArn') || give_up "$1 was not registered with $2"
        registered+=("$definition")
    else
        say "would: register $1 with $2"
    fi
    rm -f "$file"
}

finish() { if [ "$live" = true ]; then say "done: $*"; else say "would be done: $*"; fi; }

# Until the deployment of this definition is complete. Old tasks first let their streams end, so it takes as long as the
# longest. When ECS' circuit breaker goes back by itself, the deployment that then completes is that of the old one.
wait_for_service() { # wait_for_service SERVICE DEFINITION
    [ "$live" = true ] || return 0
    local until running state longest
    longest=$(output times deregistration_delay)
    until=$((SECONDS + ${WAIT_SECONDS_MAX:-$((longest + 900))}))
    while :; do
        # A look that fails is no verdict: there is another until the time is over.
        running='' state='not seen'
        read -r running state < <(service_field "$1" \
            '[.deployments[] | select(.status == "PRIMARY")][0] | .taskDefinition + " " + .rolloutState') || true
        if [ -n "$running" ] && [ "$running" != "$2" ]; then
            say "$1 runs $running instead of $2: ECS went back by itself, or somebody else released"
            return 1
        fi
        case $state in
            COMPLETED) return 0 ;;
            FAILED) say "$1: the deployment failed"; return 1 ;;
        esac
        if [ "$SECONDS" -ge "$until" ]; then
            say "$1 is not stable in time ($state)"
            return 1
        fi
        sleep "${WAIT_STEP_SECONDS:-10}"
    done
}

set_weights() { # set_weights STABLE CANARY, parts of 100
    local actions
    actions=$(jq -nc --arg stable "$(output target_groups stable)" --arg canary "$(output target_groups canary)" \
        --argjson a "$1" --argjson b "$2" '[{Type: "forward", ForwardConfig: {TargetGroups: [
            {TargetGroupArn: $stable, Weight: $a}, {TargetGroupArn: $canary, Weight: $b}]}}]')
    act aws elbv2 modify-rule --rule-arn "$(output listener_rule_arn)" --actions "$actions" --output json >/dev/null
}

end_canary() {
    set_weights 100 0
    act aws ecs update-service --cluster "$cluster" --service "$(output services canary)" --desired-count 0 \
        --output json >/dev/null
}

canary_share() { # parts of 100
    aws elbv2 describe-rules --rule-arns "$(output listener_rule_arn)" --output json |
        jq --arg canary "$(output target_groups canary)" '[.Rules[0].Actions[].ForwardConfig.TargetGroups[]?
            | select(.TargetGroupArn == $canary).Weight] | add // 0'
}

warn_of_canary() {
    local share
    share=$(canary_share) || share=unknown
    [ "$share" = 0 ] ||
        say "WARNING: a canary has a share of the requests ($share %): rollback_release.sh --canary ends it"
}

# The next release does not begin with these revisions, and no rollback goes to them.
retire() { # retire DEFINITION...
    local each
    for each in "$@"; do
        act aws ecs deregister-task-definition --task-definition "$each" --output json >/dev/null ||
            say "WARNING: $each was not deregistered: a rollback could go to it"
    done
}

point_service() { # point_service SERVICE DEFINITION [ARGUMENT...]
    local service=$1 definition=$2
    shift 2
    act aws ecs update-service --cluster "$cluster" --service "$service" --task-definition "$definition" "$@" \
        --output json >/dev/null
}

smoke() { # smoke URL
    if [ "$live" != true ]; then
        say "would: smoke_test.sh --url $1"
    else
        "$here/smoke_test.sh" --url "$1"
    fi
}
