"""infra/terraform applied to a real moto_server, read back without Terraform, and destroyed.

Goal: every resource is there with the settings that matter, and gone afterwards. Method: the state's bucket is made by
infra/terraform/bootstrap, the stack is applied by infra/scripts/tf.sh with its state in that bucket, everything is read
by boto3. This shows that the requests are well-formed and what they ask for: accepted by moto, never deployed.
"""

import json
import os

import botocore.exceptions
import cloud
import pytest
import readers

EDGE = "us-east-1"
LONGEST = 900
ORIGIN_SECRETS = ["a" * 40, "b" * 40]
PROMPT_PATHS = {"/v1/messages", "/v1/jobs", "/v1/files", "/v1/skills", "/v1/chat/completions"}

# Differences that `plan` sees right after `apply`: what moto 5.2.1 takes and does not tell again.
NOT_TOLD_AGAIN = {
    "aws_appautoscaling_target": {f"tags_all.{tag}" for tag in ("application", "environment", "managed-by")},
    "aws_cloudfront_distribution": {
        "default_cache_behavior.forwarded_values",  # moto adds some where a policy decides
        "viewer_certificate.cloudfront_default_certificate",
    },
    "aws_ecs_service": {"availability_zone_rebalancing", "health_check_grace_period_seconds"},
    "aws_sqs_queue": {"redrive_policy"},  # white space: test_queues_redrive_and_are_encrypted reads it
    "aws_sqs_queue_policy": set(),  # waits for the queue's
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
}

# What stays after destroy, and why.
STAYS = {
    "aws_ecs_task_definition": "skip_destroy: services and rollbacks use revisions that Terraform has moved on from",
    "aws_default_security_group": "belongs to the VPC and goes with it",
}

SETTINGS = """
region               = "{region}"
environment          = "staging"
state_bucket         = "{bucket}"
domain_names         = ["api.example.com"]
edge_certificate_arn = "{edge}"
alb_certificate_arn  = "{alb}"
alarm_emails         = ["ops@example.com"]
nat_gateway_per_zone = false
deletion_protection  = false
admin_cidrs          = ["10.9.0.0/24"]

longest_stream_seconds = {longest}
"""


class Stack:
    """The tree, moto, and what Terraform says it made."""

    def __init__(self, terraform, moto):
        self.terraform, self.moto, self.client = terraform, moto, moto.client
        certificates = [
            moto.client("acm", region).request_certificate(DomainName="api.example.com")["CertificateArn"]
            for region in (EDGE, cloud.REGION)
        ]
        self.settings = os.path.join(terraform.folder, "settings.tfvars")
        with open(self.settings, "w", encoding="utf-8") as file:
            text = SETTINGS.format(
                region=cloud.REGION,
                bucket="state-of-a-test",
                longest=LONGEST,
                edge=certificates[0],
                alb=certificates[1],
            )
            file.write(text)
        for path, (_, text) in cloud.NOT_IN_MOTO.items():
            with open(os.path.join(terraform.tree, path), "w", encoding="utf-8") as file:
                file.write(text)
        terraform.environment.update(
            moto.environment(),
            SETTINGS=self.settings,
            TF_INIT_ARGS="-backend-config=use_path_style=true",
            TF_VAR_origin_secrets=json.dumps(ORIGIN_SECRETS),
            TF_DATA_DIR=os.path.join(terraform.folder, "data-stack"),
        )
        self.resources, self.outputs, self.bucket_policy = [], {}, None

    def word(self, *words, **more):
        return self.terraform.good("../scripts/tf.sh", "staging", *words, **more)

    def bootstrap(self):
        data = {"TF_DATA_DIR": os.path.join(self.terraform.folder, "data-bootstrap")}
        self.terraform.good("terraform", "-chdir=bootstrap", "init", "-input=false", "-no-color", **data)
        given = [f"-var=region={cloud.REGION}", "-var=state_bucket=state-of-a-test"]
        command = ["terraform", "-chdir=bootstrap", "apply", "-auto-approve", "-input=false", "-no-color", *given]
        self.terraform.good(*command, **data)
        # The policy refuses plain http, and that is what moto speaks.
        s3 = self.client("s3")
        self.bucket_policy = json.loads(s3.get_bucket_policy(Bucket="state-of-a-test")["Policy"])
        s3.delete_bucket_policy(Bucket="state-of-a-test")

    def apply(self):
        self.word("init", "-no-color")
        self.word("apply", "-auto-approve", "-input=false", "-no-color", seconds_max=cloud.APPLY_SECONDS_MAX)
        self.resources = cloud.resources_of(self.word("show", "-json"))
        self.outputs = {key: each["value"] for key, each in json.loads(self.word("output", "-json")).items()}

    def only(self, kind, **wanted):
        found = [
            values
            for _, its, values in self.resources
            if its == kind and all(values.get(key) == value for key, value in wanted.items())
        ]
        assert len(found) == 1, (kind, wanted, len(found))
        return found[0]


@pytest.fixture(scope="module")
def stack(mirror, moto, tmp_path_factory):
    made = Stack(cloud.Terraform(tmp_path_factory.mktemp("stack"), mirror), moto)
    made.bootstrap()
    made.apply()
    return made


@pytest.fixture(scope="module")
def reader(stack):
    return readers.Readers(stack.client)


def attributes_of(client, word, **which):
    listed = getattr(client, f"describe_{word}_attributes")(**which)["Attributes"]
    return {each["Key"]: each["Value"] for each in listed}


def task_of(stack, which):
    ecs = stack.client("ecs")
    found = ecs.describe_task_definition(taskDefinition=stack.outputs["task_families"][which])["taskDefinition"]
    container = found["containerDefinitions"][0]
    return found, container, {each["name"]: each["value"] for each in container["environment"]}


def policy_of(stack, role):
    found = stack.client("iam").get_role_policy(RoleName=f"claude-proxy-{role}", PolicyName="task")
    return found["PolicyDocument"]["Statement"]


def listed(value):
    return value if isinstance(value, list) else [value]


def test_every_resource_is_there(stack, reader):
    kinds = {kind for _, kind, _ in stack.resources}
    assert len(stack.resources) > 90 and len(kinds) > 35, (len(stack.resources), len(kinds))
    assert not [kind for kind in kinds if not reader.knows(kind)], "a type without a reader (tests/infra/readers.py)"
    missing = [address for address, kind, values in stack.resources if not reader.there(kind, values)]
    assert not missing
    print(f"\naccepted by moto: {len(stack.resources)} resources of {len(kinds)} types, each read back")
    for why, _ in cloud.NOT_IN_MOTO.values():
        print(f"not applied, moto cannot carry it (the mock provider's tests see it): {why}")


def test_the_state_is_in_the_bucket_and_not_locked(stack):
    s3 = stack.client("s3")
    names = [each["Key"] for each in s3.list_objects_v2(Bucket="state-of-a-test")["Contents"]]
    assert names == ["claude-proxy/staging.tfstate"], "the state, and no lock that was left"
    assert s3.get_bucket_versioning(Bucket="state-of-a-test")["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket="state-of-a-test")["PublicAccessBlockConfiguration"].values())
    rule = s3.get_bucket_encryption(Bucket="state-of-a-test")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    statement = listed(stack.bucket_policy["Statement"])[0]
    assert statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_locked_state_is_respected(stack):
    s3 = stack.client("s3")
    lock = {"ID": "11111111-2222-3333-4444-555555555555", "Operation": "apply", "Who": "somebody else", "Info": ""}
    s3.put_object(Bucket="state-of-a-test", Key="claude-proxy/staging.tfstate.tflock", Body=json.dumps(lock).encode())
    try:
        command = ["../scripts/tf.sh", "staging", "plan", "-input=false", "-no-color", "-lock-timeout=0s"]
        done = stack.terraform.run(*command)
    finally:
        s3.delete_object(Bucket="state-of-a-test", Key="claude-proxy/staging.tfstate.tflock")
    assert done.returncode != 0 and "Error acquiring the state lock" in done.stdout, done.stdout[-2000:]
    assert "somebody else" in done.stdout


def test_the_longest_stream_is_everywhere(stack):
    elb = stack.client("elbv2")
    balancer = attributes_of(elb, "load_balancer", LoadBalancerArn=stack.only("aws_lb")["arn"])
    assert balancer["idle_timeout.timeout_seconds"] == str(LONGEST)
    assert balancer["routing.http.drop_invalid_header_fields.enabled"] == "true"
    for arn in stack.outputs["target_groups"].values():
        group = attributes_of(elb, "target_group", TargetGroupArn=arn)
        assert group["deregistration_delay.timeout_seconds"] == str(LONGEST)
        assert elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]["HealthCheckPath"] == "/ready"
    for which in ("api", "worker", "migrate"):
        _, container, settings = task_of(stack, which)
        assert container["stopTimeout"] == 120
        assert settings["CLAUDE_PROXY_DRAIN_DELAY"] == "5s" and settings["CLAUDE_PROXY_DRAIN_TIMEOUT"] == "105s"
    _, _, settings = task_of(stack, "api")
    assert settings["CLAUDE_PROXY_KEEP_ALIVE_TIMEOUT"] == f"{LONGEST + 60}s"
    assert settings["CLAUDE_PROXY_UPSTREAM_TOTAL_TIMEOUT"] == f"{LONGEST - 60}s"


def test_the_load_balancer_answers_cloudfront_only(stack):
    ec2, elb = stack.client("ec2"), stack.client("elbv2")
    lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    name = "com.amazonaws.global.cloudfront.origin-facing"
    cloudfront = next(each for each in lists if each["PrefixListName"] == name)
    balancer = elb.describe_load_balancers(LoadBalancerArns=[stack.only("aws_lb")["arn"]])["LoadBalancers"][0]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": balancer["SecurityGroups"]}])
    inward = [each for each in rules["SecurityGroupRules"] if not each["IsEgress"]]
    assert [(each.get("PrefixListId"), each["FromPort"], each["ToPort"]) for each in inward] == [
        (cloudfront["PrefixListId"], 443, 443)
    ]
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert [(each["Port"], each["Protocol"]) for each in listeners] == [(443, "HTTPS")]
    assert listeners[0]["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "403"
    rules = elb.describe_rules(ListenerArn=listeners[0]["ListenerArn"])["Rules"]
    rule = next(each for each in rules if not each["IsDefault"])
    assert rule["RuleArn"] == stack.outputs["listener_rule_arn"]
    asked = rule["Conditions"][0]["HttpHeaderConfig"]
    assert asked["HttpHeaderName"] == "x-origin-verify" and sorted(asked["Values"]) == ORIGIN_SECRETS
    groups = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
    weights = {each["TargetGroupArn"]: each["Weight"] for each in groups}
    assert weights == {stack.outputs["target_groups"]["stable"]: 100, stack.outputs["target_groups"]["canary"]: 0}


def test_nothing_else_is_open(stack):
    rules = stack.client("ec2").describe_security_group_rules()["SecurityGroupRules"]
    made = {values["id"]: values["name"] for _, kind, values in stack.resources if kind == "aws_security_group"}
    inward = [each for each in rules if not each["IsEgress"] and each["GroupId"] in made]
    from_addresses = [each for each in inward if each.get("CidrIpv4")]
    by_address = [(made[each["GroupId"]], each["CidrIpv4"], each["FromPort"]) for each in from_addresses]
    admin = [(f"claude-proxy-{task}", "10.9.0.0/24", 8081) for task in ("api", "worker")]
    assert sorted(by_address) == sorted(admin)
    for which in ("api", "worker"):
        service = stack.client("ecs").describe_services(
            cluster=stack.outputs["cluster_name"], services=[stack.outputs["services"][which]]
        )["services"][0]
        network = service["networkConfiguration"]["awsvpcConfiguration"]
        assert network["assignPublicIp"] == "DISABLED"
        subnets = [(address, values["id"]) for address, kind, values in stack.resources if kind == "aws_subnet"]
        private = {its for address, its in subnets if ".private[" in address}
        assert set(network["subnets"]) == private


def test_cloudfront_caches_nothing_and_forwards_everything(stack):
    edge = stack.client("cloudfront", EDGE)
    config = edge.get_distribution_config(Id=stack.outputs["distribution_id"])["DistributionConfig"]
    behaviour = config["DefaultCacheBehavior"]
    assert behaviour["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-5b5a84be39ad"
    assert behaviour["OriginRequestPolicyId"] == "216adef6-2c7f-47e4-b989-5492eafa07d3"
    assert behaviour["ViewerProtocolPolicy"] == "https-only" and not behaviour["Compress"]
    origin = config["Origins"]["Items"][0]
    assert origin["CustomOriginConfig"]["OriginReadTimeout"] == 60
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert origin["DomainName"] == stack.outputs["alb_dns_name"]
    assert origin["CustomHeaders"]["Items"] == [{"HeaderName": "x-origin-verify", "HeaderValue": ORIGIN_SECRETS[0]}]
    assert config["WebACLId"] == stack.outputs["web_acl_arn"]
    _, _, settings = task_of(stack, "api")
    assert settings["CLAUDE_PROXY_PING_INTERVAL"] == "15s"


def test_the_web_acl_does_not_read_prompts(stack):
    waf = stack.client("wafv2", EDGE)
    acl = stack.only("aws_wafv2_web_acl")
    rules = waf.get_web_acl(Name=acl["name"], Scope="CLOUDFRONT", Id=acl["id"])["WebACL"]["Rules"]
    by_name = {rule["Name"]: rule for rule in rules}
    assert set(by_name) == {"rate", "reputation", "common", "known_bad"}
    for name in ("common", "known_bad"):
        scope = by_name[name]["Statement"]["ManagedRuleGroupStatement"]["ScopeDownStatement"]
        paths = scope["NotStatement"]["Statement"]["OrStatement"]["Statements"]
        assert {each["ByteMatchStatement"]["PositionalConstraint"] for each in paths} == {"STARTS_WITH"}
        assert len(paths) == len(PROMPT_PATHS)
        assert by_name[name]["OverrideAction"] == {"Count": {}}
    assert by_name["rate"]["Action"] == {"Count": {}}
    assert by_name["rate"]["Statement"]["RateBasedStatement"]["Limit"] == 20000
    logging = waf.get_logging_configuration(ResourceArn=acl["arn"])["LoggingConfiguration"]
    redacted = {each["SingleHeader"]["Name"] for each in logging["RedactedFields"]}
    assert redacted == {"authorization", "cookie", "x-api-key"}


def test_queues_redrive_and_are_encrypted(stack):
    sqs = stack.client("sqs")
    names = ["RedrivePolicy", "SqsManagedSseEnabled", "VisibilityTimeout", "MessageRetentionPeriod", "Policy"]
    jobs = sqs.get_queue_attributes(QueueUrl=stack.outputs["queue_url"], AttributeNames=names)["Attributes"]
    dead = sqs.get_queue_attributes(QueueUrl=stack.outputs["dead_queue_url"], AttributeNames=names)["Attributes"]
    assert json.loads(jobs["RedrivePolicy"]) == {
        "deadLetterTargetArn": stack.outputs["dead_queue_arn"],
        "maxReceiveCount": 10,
    }
    assert jobs["SqsManagedSseEnabled"] == dead["SqsManagedSseEnabled"] == "true"
    assert jobs["VisibilityTimeout"] == "60" and dead["MessageRetentionPeriod"] == "1209600"
    for each in (jobs, dead):
        statement = listed(json.loads(each["Policy"])["Statement"])[0]
        assert statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_secret_has_a_key_and_no_value(stack):
    secrets = stack.client("secretsmanager")
    found = secrets.describe_secret(SecretId="claude-proxy-secrets")
    key = stack.client("kms").describe_key(KeyId=found["KmsKeyId"])["KeyMetadata"]
    assert key["KeyManager"] == "CUSTOMER"
    assert stack.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        secrets.get_secret_value(SecretId="claude-proxy-secrets")
    for which in ("api", "worker", "migrate"):
        _, _, settings = task_of(stack, which)
        assert settings["CLAUDE_PROXY_SECRETS"] == "aws-secretsmanager:claude-proxy-secrets"


def test_roles_may_do_what_their_code_does(stack):
    secret = stack.client("secretsmanager").describe_secret(SecretId="claude-proxy-secrets")["ARN"]
    queue_words = {}
    for role in ("api", "worker", "migrate"):
        statements = policy_of(stack, role)
        readable = [each for each in statements if "secretsmanager:GetSecretValue" in listed(each["Action"])]
        assert [listed(each["Resource"]) for each in readable] == [[secret]]
        assert not [each for each in statements if "*" in "".join(listed(each["Action"]) + listed(each["Resource"]))]
        queue_words[role] = {
            word
            for each in statements
            if listed(each["Resource"]) == [stack.outputs["queue_arn"]]
            for word in listed(each["Action"])
        }
        found, _, _ = task_of(stack, role)
        assert found["taskRoleArn"].endswith(f":role/claude-proxy-{role}")
        assert found["executionRoleArn"].endswith(":role/claude-proxy-execution")
    look = {"sqs:GetQueueUrl", "sqs:GetQueueAttributes"}
    assert queue_words["migrate"] == look
    assert queue_words["api"] == look | {"sqs:SendMessage"}
    assert queue_words["worker"] == queue_words["api"] | {
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
    }


def test_three_words_of_one_image_run(stack):
    ecs = stack.client("ecs")
    images = set()
    for which, words in {"api": ["serve"], "worker": ["worker"], "migrate": ["migrate", "--with-queue"]}.items():
        _, container, settings = task_of(stack, which)
        assert container["entryPoint"] == ["claude-proxy"] and container["command"] == words
        assert container["readonlyRootFilesystem"] is True and container["user"] == "10001:10001"
        assert ("healthCheck" in container) == (which != "migrate")
        assert container["logConfiguration"]["options"]["awslogs-group"] == "/ecs/claude-proxy"
        assert settings["QUEUE_URL"] == stack.outputs["queue_url"]
        assert settings["REDIS_URL"].startswith("rediss://")
        if which == "api":
            assert settings["CLAUDE_PROXY_TRUSTED_HOPS"] == "2"
            public = [each for address, _, each in stack.resources if "aws_subnet.public[" in address]
            proxies = settings["CLAUDE_PROXY_TRUSTED_PROXIES"].split(",")
            assert sorted(proxies) == sorted(each["cidr_block"] for each in public) and len(public) == 2
        images.add(container["image"])
    assert images == {stack.outputs["repository_url"] + ":bootstrap"}
    services = ecs.describe_services(
        cluster=stack.outputs["cluster_name"], services=list(stack.outputs["services"].values())
    )["services"]
    wanted = {each["serviceName"]: each["desiredCount"] for each in services}
    assert wanted == {"claude-proxy-api": 2, "claude-proxy-canary": 0, "claude-proxy-worker": 1}


def test_services_scale(stack):
    scaling = stack.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    limits = {each["ResourceId"]: (each["MinCapacity"], each["MaxCapacity"]) for each in targets}
    assert limits == {
        "service/claude-proxy/claude-proxy-api": (2, 10),
        "service/claude-proxy/claude-proxy-worker": (1, 10),
    }
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    by_name = {each["PolicyName"]: each for each in policies}
    cpu = by_name["claude-proxy-api-cpu"]["TargetTrackingScalingPolicyConfiguration"]
    assert cpu["PredefinedMetricSpecification"]["PredefinedMetricType"] == "ECSServiceAverageCPUUtilization"
    for name, metrics in {
        "claude-proxy-api-streams": {"ActiveConnectionCount", "RunningTaskCount"},
        "claude-proxy-worker-backlog": {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
            "RunningTaskCount",
        },
    }.items():
        its = by_name[name]["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]["Metrics"]
        assert {each["MetricStat"]["Metric"]["MetricName"] for each in its if "MetricStat" in each} == metrics
    alarm = stack.client("cloudwatch").describe_alarms(AlarmNames=["claude-proxy-scale-workers"])["MetricAlarms"][0]
    assert alarm["AlarmActions"] == [by_name["claude-proxy-worker-oldest"]["PolicyARN"]]


def test_alarms_tell_somebody(stack):
    # Target tracking makes alarms of its own, here as at Amazon.
    alarms = stack.client("cloudwatch").describe_alarms(AlarmNamePrefix="claude-proxy-")["MetricAlarms"]
    told = {each["AlarmName"] for each in alarms if stack.outputs["alarm_topic_arn"] in each["AlarmActions"]}
    assert len(told) == len(alarms) - 1, "all but the one that scales"
    assert {"claude-proxy-own-failures", "claude-proxy-dead-letters", "claude-proxy-overhead-p95"} <= told
    rule = stack.client("events").describe_rule(Name="claude-proxy-task-crashed")
    pattern = json.loads(rule["EventPattern"])["detail"]
    assert pattern["containers"] == {"exitCode": [134, 137, 139]}
    assert pattern["stopCode"] == ["EssentialContainerExited"]
    (target,) = stack.client("events").list_targets_by_rule(Rule="claude-proxy-task-crashed")["Targets"]
    assert target["Arn"] == stack.outputs["alarm_topic_arn"] and rule["State"] == "ENABLED"
    group = stack.client("logs").describe_log_groups(logGroupNamePrefix="/ecs/claude-proxy")["logGroups"][0]
    assert group["logGroupName"] == "/ecs/claude-proxy" and group["retentionInDays"] == 30
    body = stack.client("cloudwatch").get_dashboard(DashboardName="claude-proxy")["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == 8


def test_the_registry_keeps_what_a_tag_means(stack):
    repository = stack.client("ecr").describe_repositories(repositoryNames=["claude-proxy"])["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}


def without_terraform(stack):
    """A PATH on which terraform refuses: with OUTPUTS nobody needs the state."""
    folder = os.path.join(stack.terraform.folder, "bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "terraform")
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexit 9\n")
    os.chmod(path, 0o755)
    return folder + os.pathsep + os.environ["PATH"]


def differences(before, after, unknown, path=""):
    """Where two values of a plan differ: paths of leaves, indices left out."""
    if unknown is True:
        return set()
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [(key, before.get(key), after.get(key)) for key in before.keys() | after.keys()]
        known = unknown if isinstance(unknown, dict) else {}
        return set().union(*(differences(a, b, known.get(key), f"{path}.{key}") for key, a, b in pairs))
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        known = unknown if isinstance(unknown, list) and len(unknown) == len(after) else [None] * len(after)
        return set().union(*(differences(a, b, each, path) for a, b, each in zip(before, after, known)))
    return set() if before == after else {path.lstrip(".")}


def test_plan_sees_only_what_moto_does_not_tell_again(stack):
    path = os.path.join(stack.terraform.folder, "again.tfplan")
    stack.word("plan", f"-out={path}", "-input=false", "-no-color", seconds_max=600)
    changes = json.loads(stack.word("show", "-json", path))["resource_changes"]
    seen = {}
    for each in changes:
        if each["change"]["actions"] in (["no-op"], ["read"]):
            continue
        assert each["change"]["actions"] == ["update"], each["address"]
        found = differences(each["change"]["before"], each["change"]["after"], each["change"].get("after_unknown"))
        seen.setdefault(each["type"], set()).update(found)
    print("\nmoto does not tell again:", {kind: sorted(fields) for kind, fields in sorted(seen.items())})
    assert seen == NOT_TOLD_AGAIN


def test_the_scripts_read_what_terraform_tells(stack):
    """Dry runs, on the outputs of this stack and what moto holds of it: by tf.sh itself, then by a file."""
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": {"digest": "sha256:1"}})
    stack.client("ecr").put_image(repositoryName="claude-proxy", imageManifest=manifest, imageTag="1.0.0")
    before = stack.client("ecs").list_task_definitions()["taskDefinitionArns"]
    release = ["deploy_release.sh", "--image", "1.0.0", "--strategy"]

    def said(script, *given, code=0, **more):
        done = stack.terraform.run(f"../scripts/{script}", "--env", "staging", *given, **more)
        assert done.returncode == code and "no output" not in done.stdout, done.stdout
        return done.stdout

    told = said(*release, "rolling")
    assert "would be done: rolling of 1.0.0" in told and "smoke_test.sh --url https://api.example.com" in told
    path = os.path.join(stack.terraform.folder, "outputs.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(stack.word("output", "-json"))
    read = {"OUTPUTS": path, "PATH": without_terraform(stack)}
    told = said(*release, "canary", **read)
    assert all(arn in told for arn in stack.outputs["target_groups"].values())
    assert stack.outputs["listener_rule_arn"] in told and stack.outputs["services"]["canary"] in told
    assert "would be done" in said("rollback_release.sh", "--canary", **read)
    assert "no earlier revision has an image" in said("rollback_release.sh", code=2, **read)
    assert "there is no canary" in said("promote_canary.sh", code=2, **read)
    assert stack.outputs["queue_url"] in said("queue_redrive.sh", **read)
    told = said("rotate_secret.sh", "--name", "SOME_KEY", "--remove", **read)
    assert f"'{stack.outputs['secret_name']}'" in told and "would be done: SOME_KEY" in told
    assert stack.client("ecs").list_task_definitions()["taskDefinitionArns"] == before


def test_all_of_it_is_gone_after_destroy(stack, reader):
    """The last test: it takes everything away."""
    made = list(stack.resources)
    stack.word("destroy", "-auto-approve", "-input=false", "-no-color", seconds_max=cloud.APPLY_SECONDS_MAX)
    left = [address for address, kind, values in made if kind not in STAYS and reader.there(kind, values)]
    assert not left
    kept = [kind for _, kind, values in made if kind == "aws_ecs_task_definition" and reader.there(kind, values)]
    assert len(kept) == 3, STAYS["aws_ecs_task_definition"]
    kept = stack.client("s3").get_object(Bucket="state-of-a-test", Key="claude-proxy/staging.tfstate")["Body"]
    assert json.loads(kept.read())["resources"] == []
