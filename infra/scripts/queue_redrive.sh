#!/usr/bin/env bash
# Moves messages of the dead-letter queue back. A message says "look at this job": jobs that are dead themselves come
# back by `claude-proxy jobs redrive`. Look for the reason first.
#
#   queue_redrive.sh --env staging|prod [--max 1000] [--live]
#
# A message is removed only after it was sent; a failure in between doubles it, which does no harm. Dry run by default;
# --live needs CONFIRM=true.
set -euo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
max=1000
while [ $# -gt 0 ]; do
    case $1 in
        --env) environment=$2; shift 2 ;;
        --max) max=$2; shift 2 ;;
        --live) live=true; shift ;;
        --help) usage ;;
        *) give_up "unknown argument $1" ;;
    esac
done
[[ $max =~ ^[0-9]+$ ]] || give_up "--max is a number"
need_live_confirmed
read_outputs
to=$(output queue_url)
from=$(output dead_queue_url)
waiting=$(sqs get-queue-attributes --queue-url "$from" --attribute-names ApproximateNumberOfMessages |
    jq -er .Attributes.ApproximateNumberOfMessages)
say "about $waiting messages in the dead-letter queue"
if [ "$live" = false ]; then
    say "would: move up to $max of them to $to"
    exit
fi
moved=0
while [ "$moved" -lt "$max" ]; do
    left=$((max - moved))
    taken=$(sqs receive-message --queue-url "$from" --max-number-of-messages $((left < 10 ? left : 10)) \
        --wait-time-seconds 1 --visibility-timeout 60)
    # The command says nothing at all when there is nothing.
    if [ -z "$taken" ] || [ "$(jq '.Messages // [] | length' <<<"$taken")" -eq 0 ]; then break; fi
    entries=$(jq -c '[.Messages | to_entries[] | {Id: (.key | tostring), MessageBody: .value.Body}]' <<<"$taken")
    sent=$(sqs send-message-batch --queue-url "$to" --entries "$entries")
    gone=$(jq -c --argjson sent "$sent" '[.Messages | to_entries[] | (.key | tostring) as $id |
        select(any($sent.Successful[]?; .Id == $id)) | {Id: $id, ReceiptHandle: .value.ReceiptHandle}]' <<<"$taken")
    count=$(jq length <<<"$gone")
    [ "$count" -gt 0 ] || give_up "nothing was taken by $to: $sent"
    sqs delete-message-batch --queue-url "$from" --entries "$gone" >/dev/null
    moved=$((moved + count))
done
say "done: $moved messages moved"
