"""infra/scripts when something goes wrong at Amazon: played by aws_stand_in.py, because moto always says that all is
well. What the scripts do when all is well is in scripts_test.py, against moto.
"""

import json
import os
import subprocess

import aws_stand_in
import cloud
import pytest

SCRIPTS = os.path.join(cloud.ROOT, "infra/scripts")
KINDS = ("api", "canary", "worker")


def arn(family, number):
    return f"arn:aws:ecs:eu-west-1:123456789012:task-definition/claude-proxy-{family}:{number}"


class Installation:
    """`one` runs everywhere; `two` and `three` are in the registry."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.path, self.outputs = (os.path.join(self.folder, name) for name in ("state.json", "outputs.json"))
        self.smoke_ends_with = 0
        state = {"definitions": {}, "services": {}, "weights": [100, 0], "groups": ["stable", "canary"]}
        state.update(pushed=["one", "two", "three"], fails=[], broken={}, migration_ends_with=0, calls=[])
        for family in ("api", "worker", "migrate"):
            image = f"{aws_stand_in.IMAGE}:one"
            its = {"family": f"claude-proxy-{family}", "image": image, "active": True}
            state["definitions"][arn(family, 1)] = its
        for kind in KINDS:
            runs = arn("api" if kind == "canary" else kind, 1)
            state["services"][f"claude-proxy-{kind}"] = {
                "definition": runs,
                "before": None,
                "desired": int(kind != "canary"),
            }
        self.write(state)
        said = {
            "region": "eu-west-1",
            "environment": "staging",
            "cluster_name": "claude-proxy",
            "services": {kind: f"claude-proxy-{kind}" for kind in KINDS},
            "task_families": {each: f"claude-proxy-{each}" for each in ("api", "worker", "migrate")},
            "target_groups": {each: each for each in state["groups"]},
            "listener_rule_arn": "rule",
            "migrate_network": {"subnets": ["subnet"], "security_groups": ["group"]},
            "repository_url": aws_stand_in.IMAGE,
            "secret_name": "claude-proxy-secrets",
            "queue_url": "jobs",
            "dead_queue_url": "dead",
            "times": {"deregistration_delay": 60},
            "url": "https://api.example.com",
        }
        with open(self.outputs, "w", encoding="utf-8") as file:
            json.dump({key: {"value": value} for key, value in said.items()}, file)
        os.symlink(os.path.abspath(aws_stand_in.__file__), self.word("aws"))
        self.write_curl()

    def word(self, name):
        os.makedirs(os.path.join(self.folder, "bin"), exist_ok=True)
        return os.path.join(self.folder, "bin", name)

    def write_curl(self, ready=200):
        """The gateway as the smoke test sees it; asked.txt has every address that it asked for."""
        text = f"""#!/usr/bin/env bash
while [ $# -gt 0 ]; do
    case $1 in -o) body=$2; shift ;; -D) head=$2; shift ;; http*) url=$1 ;; esac
    shift
done
echo "$url" >>"{self.folder}/asked.txt"
echo credential_missing >"$body"
echo 'x-claude-proxy-request-id: req' >"$head"
case $url in */health) printf 200 ;; */ready) printf {ready} ;; *) printf 401 ;; esac
"""
        with open(self.word("curl"), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.word("curl"), 0o755)

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            return json.load(file)

    def write(self, state):
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(state, file)

    def set(self, **changes):
        self.write({**self.read(), **changes})

    def run(self, script, *given, live=True, **more):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment["PATH"] = os.path.join(self.folder, "bin") + os.pathsep + environment["PATH"]
        environment.update(AWS_STAND_IN=self.path, OUTPUTS=self.outputs, SMOKE_TRIES="1")
        environment.update(WAIT_STEP_SECONDS="0.1", WAIT_SECONDS_MAX="2", CONFIRM="true", **more)
        done = subprocess.run(
            [os.path.join(SCRIPTS, script), "--env", "staging", *given, *(["--live"] if live else [])],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        print(done.stdout)
        return done

    def deploy(self, tag, strategy="rolling", **more):
        given = ("--image", tag, "--strategy", strategy, "--url", "https://given.example.com")
        return self.run("deploy_release.sh", *given, **more)

    def running(self):
        state = self.read()
        return {kind: aws_stand_in.tag_of(state, state["services"][f"claude-proxy-{kind}"]["definition"])
                for kind in KINDS}  # fmt: skip

    def calls(self, part):
        return [each for each in self.read()["calls"] if part in each]


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path)


@pytest.mark.parametrize(
    ("ending", "says"), [("rolled_back", "ECS went back by itself"), ("FAILED", "failed"), ("IN_PROGRESS", "in time")]
)
def test_a_deployment_that_does_not_come_is_a_failed_release(installation, ending, says):
    installation.set(broken={"two": ending})
    done = installation.deploy("two")
    assert done.returncode == 1 and says in done.stdout and "was rolled back" in done.stdout
    assert "done:" not in done.stdout
    assert installation.running() == {"api": "one", "canary": "one", "worker": "one"}


def test_a_canary_that_ecs_took_back_is_a_failed_one(installation):
    installation.set(broken={"two": "rolled_back"})
    done = installation.deploy("two", "canary")
    assert done.returncode == 1 and "was rolled back" in done.stdout
    assert installation.read()["weights"] == [100, 0]
    assert installation.read()["services"]["claude-proxy-canary"]["desired"] == 0


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
@pytest.mark.parametrize(
    "call",
    [
        "register-task-definition",
        "describe-task-definition --task-definition claude-proxy-migrate",
        "describe-task-definition --task-definition claude-proxy-api",
    ],
)
def test_a_registration_that_fails_ends_the_release(installation, strategy, call):
    installation.set(fails=[call])
    done = installation.deploy("two", strategy)
    assert done.returncode == 2 and "done:" not in done.stdout
    assert not installation.calls("update-service") and not installation.calls("modify-rule")
    assert bool(installation.calls("run-task")) == call.endswith("claude-proxy-api")
