#!/usr/bin/env bash
# Terraform for one environment:  infra/scripts/tf.sh staging|prod init|plan|apply|destroy|output|... [arguments]
#
# Region, name and state bucket come from infra/terraform/envs/ENV/settings.tfvars, everything else too. What CloudFront
# and the load balancer have to agree on is a secret and comes from the environment:
#
#   export TF_VAR_origin_secrets='["'"$(openssl rand -hex 32)"'"]'
#
# SETTINGS names another file of settings; TF_INIT_ARGS gives more arguments to `terraform init`.
set -euo pipefail
give_up() {
    printf 'tf.sh: %s\n' "$@" >&2
    exit 2
}
case ${1:-} in
    staging | prod) environment=$1 ;;
    *) give_up "say an environment and a word of terraform:  tf.sh staging|prod plan" ;;
esac
word=${2:-}
[ -n "$word" ] || give_up "say a word of terraform: init, plan, apply, destroy, output"
shift 2
root=$(cd "$(dirname "$0")/../terraform" && pwd)
settings=$(realpath "${SETTINGS:-$root/envs/$environment/settings.tfvars}")
[ -r "$settings" ] || give_up "$settings cannot be read"
command -v terraform >/dev/null || give_up "terraform is not installed (1.10 or newer)"

if left=$(sed 's/#.*//' "$settings" | grep -n REPLACE); then
    give_up "$settings still has placeholders:" "$left"
fi

setting() { # setting NAME: the text of a setting
    sed -n "s/^$1[[:space:]]*=[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$settings" | head -n 1
}
[ "$(setting environment)" = "$environment" ] || give_up "$settings is not of $environment"
bucket=$(setting state_bucket)
region=$(setting region)
name=$(setting name)

export TF_DATA_DIR=${TF_DATA_DIR:-$root/envs/$environment/.terraform} TF_IN_AUTOMATION=1
start() {
    local more=()
    read -ra more <<<"${TF_INIT_ARGS:-}"
    terraform -chdir="$root" init -input=false -reconfigure "-backend-config=bucket=$bucket" \
        "-backend-config=key=${name:-claude-proxy}/$environment.tfstate" "-backend-config=region=$region" "${more[@]}"
}
if [ "$word" = init ]; then
    start
    exit
fi
[ -d "$TF_DATA_DIR/providers" ] || start >&2
case $word in
    plan | apply | destroy | import | refresh | console)
        exec terraform -chdir="$root" "$word" "-var-file=$settings" "$@" ;;
    *) exec terraform -chdir="$root" "$word" "$@" ;;
esac
