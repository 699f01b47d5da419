"""infra/scripts, run live against a real moto_server; then moto is asked what it holds.

moto runs nothing: it says that every deployment is complete and that the migration ended well, and what goes wrong is
played by the stand-in for the gateway's address. The smoke test itself meets a real gateway.
"""

import http.server
import json
import os
import subprocess
import sys
import threading

import cloud
import pytest
from conftest import skip_loudly

sys.path.insert(0, os.path.join(cloud.ROOT, "tests"))

SCRIPTS = os.path.join(cloud.ROOT, "infra/scripts")
FAMILIES = {"api": "claude-proxy-api", "worker": "claude-proxy-worker", "migrate": "claude-proxy-migrate"}
SERVICES = {"api": "claude-proxy-api", "canary": "claude-proxy-canary", "worker": "claude-proxy-worker"}


class Address:
    """Answers as a gateway does; `ready` says how."""

    def __init__(self):
        self.ready = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status = {"/health": 200, "/ready": outer.ready}.get(self.path, 401)
                body = b'{"error": {"details": {"reason": "credential_missing"}}}'
                self.send_response(status)
                self.send_header("x-claude-proxy-request-id", "req_test")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Installation:
    """What the scripts change, made by hand in moto, and the outputs that they read."""

    def __init__(self, moto, folder):
        self.moto, self.client = moto, moto.client
        self.address = Address()
        self.outputs = os.path.join(str(folder), "outputs.json")
        ecs, elb, ec2, sqs = (self.client(each) for each in ("ecs", "elbv2", "ec2", "sqs"))
        ecs.create_cluster(clusterName="claude-proxy")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})  # or moto's run_task breaks
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for i, zone in enumerate([f"{cloud.REGION}a", f"{cloud.REGION}b"])
        ]
        group = ec2.create_security_group(GroupName="tasks", Description="tasks", VpcId=vpc)["GroupId"]
        balancer = elb.create_load_balancer(Name="claude-proxy", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        self.groups = {
            each: elb.create_target_group(Name=each, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip")[
                "TargetGroups"
            ][0]["TargetGroupArn"]
            for each in ("stable", "canary")
        }
        forward = {"Type": "forward", "TargetGroupArn": self.groups["stable"]}
        listener = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[forward])
        rule = elb.create_rule(
            ListenerArn=listener["Listeners"][0]["ListenerArn"],
            Priority=10,
            Conditions=[{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x", "Values": ["y"]}}],
            Actions=[forward],
        )
        self.rule = rule["Rules"][0]["RuleArn"]
        self.repository = self.client("ecr").create_repository(repositoryName="claude-proxy")["repository"]
        for tag in ("one", "two", "three"):
            self.push(tag)
        network = {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}}
        container = {"name": "claude-proxy", "image": self.image("one")}
        container["memoryReservation"] = 256  # moto's run_task counts it, also where a task has its own
        for which, family in FAMILIES.items():
            ecs.register_task_definition(
                family=family,
                requiresCompatibilities=["FARGATE"],
                networkMode="awsvpc",
                cpu="256",
                memory="512",
                executionRoleArn=f"arn:aws:iam::{cloud.ACCOUNT}:role/execution",
                taskRoleArn=f"arn:aws:iam::{cloud.ACCOUNT}:role/{which}",
                containerDefinitions=[{**container, "command": [which]}],
            )
        for which, service in SERVICES.items():
            ecs.create_service(
                cluster="claude-proxy",
                serviceName=service,
                taskDefinition=FAMILIES["api" if which == "canary" else which],
                desiredCount=0 if which == "canary" else 1,
                launchType="FARGATE",
                networkConfiguration=network,
            )
        dead = sqs.create_queue(QueueName="claude-proxy-jobs-dead")["QueueUrl"]
        jobs = sqs.create_queue(QueueName="claude-proxy-jobs")["QueueUrl"]
        self.client("secretsmanager").create_secret(Name="claude-proxy-secrets")
        said = {
            "region": cloud.REGION,
            "environment": "staging",
            "cluster_name": "claude-proxy",
            "services": SERVICES,
            "task_families": FAMILIES,
            "target_groups": self.groups,
            "listener_rule_arn": self.rule,
            "migrate_network": {"subnets": subnets, "security_groups": [group]},
            "repository_url": self.repository["repositoryUri"],
            "secret_name": "claude-proxy-secrets",
            "queue_url": jobs,
            "dead_queue_url": dead,
            "times": {"deregistration_delay": 60},
            "url": self.address.url,
        }
        self.queues = {"jobs": jobs, "dead": dead}
        with open(self.outputs, "w", encoding="utf-8") as file:
            json.dump({key: {"value": value} for key, value in said.items()}, file)

    def push(self, tag):
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {"digest": f"sha256:{tag}"}})
        self.client("ecr").put_image(repositoryName="claude-proxy", imageManifest=manifest, imageTag=tag)

    def image(self, tag):
        return f"{self.repository['repositoryUri']}:{tag}"

    def run(self, script, *given, live=True, confirm=True, stdin="", **more):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment.update(self.moto.environment(), OUTPUTS=self.outputs, WAIT_STEP_SECONDS="0", SMOKE_TRIES="1")
        environment.update(more)
        if live and confirm:
            environment["CONFIRM"] = "true"
        return subprocess.run(
            [os.path.join(SCRIPTS, script), *given, *(["--live"] if live else [])],
            env=environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def deploy(self, tag, strategy="rolling", **more):
        given = ["--env", "staging", "--image", tag, "--strategy", strategy, "--url", self.address.url]
        return self.run("deploy_release.sh", *given, **more)

    def running(self):
        """The tag of each service, and how many tasks are wanted."""
        ecs = self.client("ecs")
        found = ecs.describe_services(cluster="claude-proxy", services=list(SERVICES.values()))["services"]
        by_name = {each["serviceName"]: each for each in found}
        told = {}
        for which, name in SERVICES.items():
            definition = ecs.describe_task_definition(taskDefinition=by_name[name]["taskDefinition"])["taskDefinition"]
            told[which] = (definition["containerDefinitions"][0]["image"].split(":")[-1], by_name[name]["desiredCount"])
        return told

    def weights(self):
        rule = self.client("elbv2").describe_rules(RuleArns=[self.rule])["Rules"][0]
        told = {each["TargetGroupArn"]: each["Weight"] for each in rule["Actions"][0]["ForwardConfig"]["TargetGroups"]}
        return told[self.groups["stable"]], told[self.groups["canary"]]

    def everything(self):
        """All that a script could change."""
        ecs = self.client("ecs")
        secrets = self.client("secretsmanager").list_secret_version_ids(SecretId="claude-proxy-secrets")
        rule = self.client("elbv2").describe_rules(RuleArns=[self.rule])["Rules"][0]
        definitions = sorted(ecs.list_task_definitions()["taskDefinitionArns"])
        tasks = sorted(ecs.list_tasks(cluster="claude-proxy")["taskArns"])
        return (definitions, tasks, self.running(), rule["Actions"], secrets.get("Versions"), self.depth("dead"))

    def depth(self, which):
        name = "ApproximateNumberOfMessages"
        found = self.client("sqs").get_queue_attributes(QueueUrl=self.queues[which], AttributeNames=[name])
        return int(found["Attributes"][name])

    def secret(self):
        found = self.client("secretsmanager").get_secret_value(
            SecretId="claude-proxy-secrets", VersionStage="AWSCURRENT"
        )
        return json.loads(found["SecretString"])


@pytest.fixture(scope="module")
def releases_moto(tmp_path_factory):
    why = cloud.why_no_moto()
    if why:
        skip_loudly(why)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_ECS_SERVICE_RUNNING", "9")  # so that deployments are complete
        server = cloud.Moto(tmp_path_factory.mktemp("releases"))
    yield server
    server.stop()


@pytest.fixture
def installation(releases_moto, tmp_path):
    releases_moto.reset()
    return Installation(releases_moto, tmp_path)


def good(done):
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_nothing_is_changed_without_live_and_confirm(installation):
    before = installation.everything()
    said = good(installation.deploy("two", live=False))
    assert "dry run" in said and "would: register claude-proxy-api" in said and "update-service" in said
    assert "run-task" in said and "smoke_test.sh" in said
    good(installation.deploy("two", "canary", live=False))
    good(installation.run("queue_redrive.sh", "--env", "staging", live=False))
    good(installation.run("rotate_secret.sh", "--env", "staging", "--name", "SOME_KEY", live=False, stdin="new"))
    good(installation.run("rollback_release.sh", "--env", "staging", "--canary", live=False))
    refused = installation.deploy("two", confirm=False)
    assert refused.returncode == 2 and "CONFIRM=true" in refused.stdout
    assert installation.everything() == before


def test_a_rolling_release_changes_api_and_workers(installation):
    good(installation.deploy("two"))
    assert installation.running() == {"api": ("two", 1), "canary": ("one", 0), "worker": ("two", 1)}
    ecs = installation.client("ecs")
    definition = ecs.describe_task_definition(taskDefinition="claude-proxy-api")["taskDefinition"]
    assert definition["revision"] == 2 and definition["taskRoleArn"].endswith(":role/api")
    assert definition["containerDefinitions"][0]["command"] == ["api"] and definition["cpu"] == "256"
    tasks = ecs.list_tasks(cluster="claude-proxy", startedBy="release")["taskArns"]
    stopped = ecs.list_tasks(cluster="claude-proxy", startedBy="release", desiredStatus="STOPPED")["taskArns"]
    found = ecs.describe_tasks(cluster="claude-proxy", tasks=(tasks or stopped))["tasks"]
    assert [each["taskDefinitionArn"].split("/")[-1] for each in found] == ["claude-proxy-migrate:2"]


def test_a_failing_smoke_test_rolls_back(installation):
    good(installation.deploy("two"))
    installation.address.ready = 503
    done = installation.deploy("three")
    assert done.returncode == 1 and "the release three was rolled back" in done.stdout, done.stdout
    assert installation.running() == {"api": ("two", 1), "canary": ("one", 0), "worker": ("two", 1)}


def test_an_image_that_is_not_there_changes_nothing(installation):
    before = installation.everything()
    done = installation.deploy("seven")
    assert done.returncode == 2 and "is not in the registry" in done.stdout, done.stdout
    assert installation.everything() == before


def test_a_canary_is_promoted(installation):
    good(installation.deploy("two", "canary"))
    assert installation.running() == {"api": ("one", 1), "canary": ("two", 1), "worker": ("one", 1)}
    assert installation.weights() == (90, 10)
    good(installation.run("promote_canary.sh", "--env", "staging", "--url", installation.address.url))
    assert installation.running() == {"api": ("two", 1), "canary": ("two", 0), "worker": ("two", 1)}
    assert installation.weights() == (100, 0)


def test_a_bad_canary_goes_by_itself_or_by_hand(installation):
    installation.address.ready = 503
    done = installation.deploy("two", "canary")
    assert done.returncode == 1, done.stdout
    assert installation.weights() == (100, 0) and installation.running()["canary"][1] == 0
    installation.address.ready = 200
    good(installation.deploy("three", "canary"))
    assert installation.weights() == (90, 10)
    good(installation.run("rollback_release.sh", "--env", "staging", "--canary"))
    assert installation.weights() == (100, 0) and installation.running()["canary"][1] == 0
    assert installation.running()["api"] == ("one", 1)


def test_a_release_is_rolled_back_to_the_image_before(installation):
    good(installation.deploy("two"))
    good(installation.deploy("three"))
    good(installation.run("rollback_release.sh", "--env", "staging"))
    assert installation.running()["api"] == ("two", 1) and installation.running()["worker"] == ("two", 1)
    arns = installation.client("ecs").list_task_definitions(familyPrefix="claude-proxy-api", status="ACTIVE")
    assert [arn.split(":")[-1] for arn in arns["taskDefinitionArns"]] == ["1", "2"], "the revision that was left"
    good(installation.run("rollback_release.sh", "--env", "staging", "--image", "one"))
    assert installation.running()["api"] == ("one", 1)
    done = installation.run("rollback_release.sh", "--env", "staging")
    assert done.returncode != 0 and "no earlier revision" in done.stdout
    assert installation.running()["api"] == ("one", 1)


def test_a_secret_is_rotated_and_taken_back_and_never_shown(installation):
    for value in ("first-value", 'second "value"\\'):
        said = good(installation.run("rotate_secret.sh", "--env", "staging", "--name", "SOME_KEY", stdin=value))
        assert value not in said
        assert installation.secret() == {"SOME_KEY": value}
    good(installation.run("rotate_secret.sh", "--env", "staging", "--name", "OTHER_KEY", stdin="other\n"))
    assert installation.secret() == {"SOME_KEY": 'second "value"\\', "OTHER_KEY": "other"}
    good(installation.run("rotate_secret.sh", "--env", "staging", "--previous"))
    assert installation.secret() == {"SOME_KEY": 'second "value"\\'}
    good(installation.run("rotate_secret.sh", "--env", "staging", "--name", "OTHER_KEY", stdin="again"))
    good(installation.run("rotate_secret.sh", "--env", "staging", "--name", "OTHER_KEY", "--remove"))
    assert installation.secret() == {"SOME_KEY": 'second "value"\\'}
    done = installation.run("rotate_secret.sh", "--env", "staging", "--name", "SOME_KEY", stdin="")
    assert done.returncode == 2 and installation.secret() == {"SOME_KEY": 'second "value"\\'}


def test_dead_messages_go_back(installation):
    sqs = installation.client("sqs")
    sent = {f"job_{i}" for i in range(23)}
    for each in sent:
        sqs.send_message(QueueUrl=installation.queues["dead"], MessageBody=each)
    said = good(installation.run("queue_redrive.sh", "--env", "staging", "--max", "12"))
    assert "12 messages moved" in said and installation.depth("jobs") == 12
    good(installation.run("queue_redrive.sh", "--env", "staging"))
    assert installation.depth("dead") == 0 and installation.depth("jobs") == 23
    found = set()
    while taken := sqs.receive_message(QueueUrl=installation.queues["jobs"], MaxNumberOfMessages=10).get("Messages"):
        found |= {each["Body"] for each in taken}
    assert found == sent


def test_another_environment_is_refused(installation):
    done = installation.run("queue_redrive.sh", "--env", "prod")
    assert done.returncode == 2 and "not of prod" in done.stdout


def test_the_smoke_test_knows_a_real_gateway():
    from support import gateway  # pylint: disable=import-outside-toplevel

    if not os.path.exists(gateway.PROXY) or not os.path.exists(gateway.SIM):
        skip_loudly("no gateway was built (make build, or CLAUDE_PROXY_BIN): the smoke test met no real one")
    script = os.path.join(SCRIPTS, "smoke_test.sh")

    def smoke(url, **more):
        environment = {**os.environ, "SMOKE_TRIES": "1", **more}
        return subprocess.run(
            [script, "--url", url],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    simulator = gateway.Simulator("--listen", "127.0.0.1:0", "--api-key", gateway.CREDENTIAL)
    running = gateway.Gateway(simulator.url)
    url = f"http://127.0.0.1:{running.port}"
    try:
        said = good(smoke(url, SMOKE_KEY=gateway.KEY))
        assert said.count("ok: ") == 4 and gateway.KEY not in said
        wrong = smoke(url, SMOKE_KEY="sk-cp-unknown")
        assert wrong.returncode == 1 and "answered 401 instead of 200" in wrong.stdout
        stranger = smoke(simulator.url)
        assert stranger.returncode == 1, "the simulator is no gateway"
    finally:
        running.stop()
        simulator.stop()
    gone = smoke(url)
    assert gone.returncode == 1 and "FAILED" in gone.stdout
