#!/usr/bin/env bash
# What can be shown of infra/ on this machine:  tools/infra_test.sh [arguments of pytest]
#
# Needs nothing but what `tools/setup.sh infra` installs. Terraform, a plugin mirror with hashicorp/aws 5.x
# (TF_PLUGIN_MIRROR, or found) and moto are used where they are at hand; what did not run for want of them is skipped
# and told at the end. PYTHON names the Python that has moto. At most INFRA_SECONDS_MAX (1500).
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh infra

python=${PYTHON:-}
if [ -z "$python" ]; then
    python=/usr/bin/python3
    for each in python3 /usr/bin/python3; do
        if "$each" -c 'import boto3, moto, pytest' >/dev/null 2>&1; then
            python=$each
            break
        fi
    done
fi
exec "$python" tools/run_infra.py "$@"
