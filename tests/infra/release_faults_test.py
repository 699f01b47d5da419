"""infra/scripts when something goes wrong at Amazon: played by aws_stand_in.py, because moto always says that all is
well. What the scripts do when all is well is in scripts_test.py, against moto.
"""

import json
import os
import subprocess
import sys

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
                "ending": "COMPLETED",
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
        self.write_word("aws", f'exec {sys.executable} -I -S "{os.path.abspath(aws_stand_in.__file__)}" "$@"\n')
        self.write_curl()

    def write_word(self, name, text):
        os.makedirs(os.path.join(self.folder, "bin"), exist_ok=True)
        path = os.path.join(self.folder, "bin", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/usr/bin/env bash\n" + text)
        os.chmod(path, 0o755)

    def write_curl(self, ready=200):
        """The gateway as the smoke test sees it; asked.txt has every address that it asked for."""
        text = f"""
while [ $# -gt 0 ]; do
    case $1 in -o) body=$2; shift ;; -D) head=$2; shift ;; http*) url=$1 ;; esac
    shift
done
echo "$url" >>"{self.folder}/asked.txt"
echo credential_missing >"$body"
echo 'x-claude-proxy-request-id: req' >"$head"
case $url in */health) printf 200 ;; */ready) printf {ready} ;; *) printf 401 ;; esac
"""
        self.write_word("curl", text)

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

    def active(self):
        """Tags of revisions that a rollback could go to."""
        found = self.read()["definitions"].values()
        served = [each for each in found if each["active"] and not each["family"].endswith("migrate")]
        return {each["image"].split(":")[-1] for each in served}

    def register(self, family, tag):
        """As Terraform does when settings change."""
        state = self.read()
        number = 1 + sum(each["family"] == f"claude-proxy-{family}" for each in state["definitions"].values())
        its = {"family": f"claude-proxy-{family}", "image": f"{aws_stand_in.IMAGE}:{tag}", "active": True}
        state["definitions"][arn(family, number)] = its
        self.write(state)

    def asked(self):
        with open(os.path.join(self.folder, "asked.txt"), encoding="utf-8") as file:
            return [line.strip().rsplit("/", 1)[0].removesuffix("/v1") for line in file]

    def calls(self, part):
        return [each for each in self.read()["calls"] if part in each]


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path)


def good(done):
    assert done.returncode == 0, done.stdout
    return done.stdout


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


@pytest.mark.parametrize("name", ["queue_url", "secret_name", "migrate_network", "target_groups", "url"])
@pytest.mark.parametrize("script", ["deploy_release.sh", "rollback_release.sh"])
def test_an_output_that_is_not_there_ends_a_script_before_anything(installation, script, name):
    with open(installation.outputs, encoding="utf-8") as file:
        said = json.load(file)
    del said[name]
    with open(installation.outputs, "w", encoding="utf-8") as file:
        json.dump(said, file)
    given = ("--image", "two", "--strategy", "rolling") if script == "deploy_release.sh" else ()
    done = installation.run(script, *given)
    assert done.returncode == 2 and f"no output {name}" in done.stdout
    assert not installation.read()["calls"]


def test_half_a_registration_leaves_nothing_behind(installation):
    installation.set(fails=["describe-task-definition --task-definition claude-proxy-worker"])
    done = installation.deploy("two")
    assert done.returncode == 2 and "claude-proxy-worker could not be rendered" in done.stdout
    assert not installation.calls("update-service") and installation.active() == {"one"}


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


def test_a_promotion_that_fails_ends_the_canary(installation):
    good(installation.deploy("two", "canary"))
    assert installation.read()["weights"] == [90, 10]
    installation.set(broken={"two": "rolled_back"})
    done = installation.run("promote_canary.sh", "--url", "https://given.example.com")
    assert done.returncode == 1 and "the canary was ended" in done.stdout and "done:" not in done.stdout
    assert installation.read()["weights"] == [100, 0]
    assert installation.read()["services"]["claude-proxy-canary"]["desired"] == 0
    assert installation.running()["api"] == installation.running()["worker"] == "one"
    assert installation.active() == {"one"}, "nothing goes back to the bad image"


def test_a_canary_is_not_forgotten(installation):
    good(installation.deploy("two", "canary"))
    assert "WARNING: a canary has a share of the requests (10 %)" in good(installation.deploy("three", live=False))
    assert "WARNING: a canary" in installation.run("rollback_release.sh", live=False).stdout
    good(installation.run("rollback_release.sh", "--canary"))
    assert installation.active() == {"one"}
    assert "WARNING" not in good(installation.deploy("three", live=False))


def test_ending_a_canary_that_is_none_takes_no_revision_away(installation):
    good(installation.run("rollback_release.sh", "--canary"))
    assert not installation.calls("deregister")


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
def test_a_failed_release_leaves_no_revision_behind(installation, strategy):
    installation.write_curl(ready=503)
    done = installation.deploy("two", strategy)
    assert done.returncode == 1 and installation.active() == {"one"}


def test_a_rollback_passes_over_a_release_that_failed(installation):
    installation.write_curl(ready=503)
    assert installation.deploy("two").returncode == 1
    installation.write_curl()
    good(installation.deploy("three"))
    good(installation.run("rollback_release.sh"))
    assert installation.running() == {"api": "one", "canary": "one", "worker": "one"}


def test_a_rollback_does_not_go_to_what_was_rolled_back(installation):
    good(installation.deploy("two", "canary"))
    good(installation.run("promote_canary.sh"))
    good(installation.run("rollback_release.sh"))
    assert installation.active() == {"one"}
    good(installation.deploy("three"))
    good(installation.run("rollback_release.sh"))
    assert installation.running()["api"] == installation.running()["worker"] == "one"


def test_a_rollback_passes_over_images_that_are_not_there_or_not_of_both(installation):
    """Terraform registers both families with its own tag; a canary of an earlier day is of the API only."""
    good(installation.deploy("two"))
    for tag, families in (("bootstrap", ("api", "worker")), ("three", ("api",))):
        for family in families:
            installation.register(family, tag)
    state = installation.read()
    installation.set(pushed=[*state["pushed"], "four"])
    good(installation.deploy("four"))
    said = good(installation.run("rollback_release.sh"))
    assert "claude-proxy:bootstrap is not in the registry" in said and "workers never had" in said
    assert installation.running()["api"] == installation.running()["worker"] == "two"


def test_a_rollback_is_not_decided_by_a_call_that_failed(installation):
    good(installation.deploy("two"))
    before = installation.running()
    for call in ("describe-images", "list-task-definitions", "describe-task-definition"):
        installation.set(fails=[call])
        done = installation.run("rollback_release.sh")
        assert done.returncode != 0 and "done:" not in done.stdout, call
        assert installation.running() == before


def test_a_rollback_asks_which_when_services_have_different_images(installation):
    good(installation.deploy("two"))
    services = installation.read()["services"]
    services["claude-proxy-worker"]["definition"] = arn("worker", 1)
    installation.set(services=services)
    done = installation.run("rollback_release.sh")
    assert done.returncode == 2 and "say which --image" in done.stdout
    good(installation.run("rollback_release.sh", "--image", "one"))
    assert installation.running()["api"] == installation.running()["worker"] == "one"


@pytest.mark.parametrize("ending", ["rolled_back", "FAILED", "IN_PROGRESS"])
def test_a_rollback_that_does_not_settle_says_so(installation, ending):
    good(installation.deploy("two"))
    installation.set(broken={"one": ending})
    done = installation.run("rollback_release.sh")
    assert done.returncode == 2 and "did not settle" in done.stdout and "done:" not in done.stdout


def test_a_rollback_ends_with_a_smoke_test(installation):
    good(installation.deploy("two"))
    installation.write_curl(ready=503)
    done = installation.run("rollback_release.sh", "--url", "https://given.example.com")
    assert done.returncode == 1 and "the smoke test fails" in done.stdout
    assert installation.running()["api"] == "one"


def test_the_address_of_the_smoke_test_is_terraforms_unless_it_is_given(installation):
    good(installation.run("deploy_release.sh", "--image", "two", "--strategy", "rolling"))
    good(installation.run("rollback_release.sh"))
    good(installation.run("deploy_release.sh", "--image", "two", "--strategy", "canary"))
    good(installation.run("promote_canary.sh"))
    assert set(installation.asked()) == {"https://api.example.com"}
    good(installation.deploy("three"))
    assert set(installation.asked()) == {"https://api.example.com", "https://given.example.com"}


def test_a_migration_that_fails_ends_the_release(installation):
    installation.set(migration_ends_with=3)
    done = installation.deploy("two")
    assert done.returncode == 2 and "the migration ended with 3" in done.stdout
    assert not installation.calls("update-service") and installation.active() == {"one"}


def test_a_dry_run_is_not_done(installation):
    for script, *given in (
        ("deploy_release.sh", "--image", "two", "--strategy", "rolling"),
        ("deploy_release.sh", "--image", "two", "--strategy", "canary"),
        ("rollback_release.sh", "--canary"),
    ):
        said = good(installation.run(script, *given, live=False))
        assert "would be done: " in said and ": done:" not in said
    good(installation.deploy("two", "canary"))
    said = good(installation.run("promote_canary.sh", live=False))
    assert said.count("would be done: ") == 2 and ": done:" not in said
    good(installation.run("promote_canary.sh"))
    said = good(installation.run("rollback_release.sh", live=False))
    assert "would be done: " in said and ": done:" not in said
    assert installation.running()["api"] == "two"
