"""infra/slo/targets.sh: what Prometheus looks at is never emptied by a call that failed. `aws` is a stand-in."""

import json
import os
import subprocess

import cloud
import pytest

STAND_IN = """#!/usr/bin/env bash
asked="$*"
if [ -n "$FAILS" ] && [[ $asked == *"$FAILS"* ]]; then echo 'Unable to locate credentials' >&2; exit 253; fi
if [ -n "$SILENT" ] && [[ $asked == *"$SILENT"* ]]; then exit 0; fi
case $asked in
    *list-tasks*claude-proxy-api*) echo '{"taskArns": ["arn:a1", "arn:a2"]}' ;;
    *list-tasks*claude-proxy-canary*) echo "{\\"taskArns\\": [$CANARY]}" ;;
    *list-tasks*claude-proxy-worker*) echo '{"taskArns": ["arn:w1"]}' ;;
    *describe-tasks*)
        for arn in "$@"; do
            case $arn in arn:*) echo "\\"at-${arn#arn:}\\"" ;; esac
        done | jq -s '{tasks: ([.[] | {containers: [{networkInterfaces: [{privateIpv4Address: .}]}]}]
            + [{containers: [{}]}])}' ;;
esac
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "aws").write_text(STAND_IN, encoding="utf-8")
    (tmp_path / "aws").chmod(0o755)

    def run(code=0, fails="", silent="", canary='"arn:c1"'):
        path = str(tmp_path) + os.pathsep + os.environ["PATH"]
        environment = {**os.environ, "PATH": path, "FAILS": fails, "SILENT": silent, "CANARY": canary}
        script = os.path.join(cloud.ROOT, "infra/slo/targets.sh")
        done = subprocess.run([script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        found = {}
        for each in ("api", "worker"):
            (group,) = json.loads((tmp_path / "targets" / f"{each}.yaml").read_text(encoding="utf-8"))
            found[each] = group["targets"]
        return found

    return run


ALL = {"api": ["at-a1:8081", "at-a2:8081", "at-c1:8081"], "worker": ["at-w1:8081"]}


def test_tasks_of_api_canary_and_workers_are_targets(write):
    assert write() == ALL
    assert write(canary="") == {**ALL, "api": ["at-a1:8081", "at-a2:8081"]}, "no canary is the rule"


@pytest.mark.parametrize("call", ["list-tasks", "describe-tasks", "claude-proxy-canary", "claude-proxy-worker"])
@pytest.mark.parametrize("how", ["fails", "silent"])
def test_a_list_that_was_not_read_leaves_the_old_one(write, call, how):
    assert write() == ALL
    assert write(code=1, **{how: call}) == ALL


def test_api_and_workers_do_not_wait_for_each_other(write):
    write(canary="")
    assert write(code=1, fails="claude-proxy-worker") == ALL
