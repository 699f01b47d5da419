"""How each type of resource is looked up at Amazon (or moto), without Terraform: true when it is there."""

import botocore.exceptions

EDGE = "us-east-1"


class Readers:
    """`there(type, values)`; values are those of Terraform's state."""

    def __init__(self, client):
        self.client = client

    def there(self, kind, values):
        look = getattr(self, kind.removeprefix("aws_"))
        try:
            return bool(look(values))
        except botocore.exceptions.ClientError as problem:
            code = problem.response["Error"]["Code"]
            if any(word in code.lower() for word in ("notfound", "nosuch", "nonexist")) or "not exist" in str(problem):
                return False
            raise

    def knows(self, kind):
        return hasattr(self, kind.removeprefix("aws_"))

    # Network.

    def _ec2(self, what, key, filters=None, **named):
        listed = getattr(self.client("ec2"), f"describe_{what}")(**named, **({"Filters": filters} if filters else {}))
        return [each for each in listed[key] if each.get("State") not in ("deleted", "deleting")]

    def vpc(self, values):
        return self._ec2("vpcs", "Vpcs", VpcIds=[values["id"]])

    def subnet(self, values):
        return self._ec2("subnets", "Subnets", SubnetIds=[values["id"]])

    def security_group(self, values):
        return self._ec2("security_groups", "SecurityGroups", GroupIds=[values["id"]])

    default_security_group = security_group

    def vpc_security_group_ingress_rule(self, values):
        rules = self._ec2("security_group_rules", "SecurityGroupRules")
        return [each for each in rules if each["SecurityGroupRuleId"] == values["security_group_rule_id"]]

    vpc_security_group_egress_rule = vpc_security_group_ingress_rule

    def internet_gateway(self, values):
        return self._ec2("internet_gateways", "InternetGateways", InternetGatewayIds=[values["id"]])

    def nat_gateway(self, values):
        return self._ec2("nat_gateways", "NatGateways", NatGatewayIds=[values["id"]])

    def eip(self, values):
        return self._ec2("addresses", "Addresses", AllocationIds=[values["id"]])

    def route_table(self, values):
        return self._ec2("route_tables", "RouteTables", RouteTableIds=[values["id"]])

    def route(self, values):
        tables = self._ec2("route_tables", "RouteTables", RouteTableIds=[values["route_table_id"]])
        wanted = values["destination_cidr_block"]
        return [each for each in tables[0]["Routes"] if each.get("DestinationCidrBlock") == wanted]

    def route_table_association(self, values):
        tables = self._ec2("route_tables", "RouteTables")
        made = [each["RouteTableAssociationId"] for table in tables for each in table["Associations"]]
        return values["id"] in made

    def vpc_endpoint(self, values):
        return self._ec2("vpc_endpoints", "VpcEndpoints", VpcEndpointIds=[values["id"]])

    # Load balancer.

    def lb(self, values):
        return self.client("elbv2").describe_load_balancers(LoadBalancerArns=[values["arn"]])["LoadBalancers"]

    def lb_target_group(self, values):
        return self.client("elbv2").describe_target_groups(TargetGroupArns=[values["arn"]])["TargetGroups"]

    def lb_listener(self, values):
        return self.client("elbv2").describe_listeners(ListenerArns=[values["arn"]])["Listeners"]

    def lb_listener_rule(self, values):
        return self.client("elbv2").describe_rules(RuleArns=[values["arn"]])["Rules"]

    # Edge.

    def cloudfront_distribution(self, values):
        return self.client("cloudfront", EDGE).get_distribution(Id=values["id"])

    def wafv2_web_acl(self, values):
        listed = self.client("wafv2", EDGE).list_web_acls(Scope="CLOUDFRONT")["WebACLs"]
        return [each for each in listed if each["ARN"] == values["arn"]]

    def wafv2_web_acl_logging_configuration(self, values):
        return self.client("wafv2", EDGE).get_logging_configuration(ResourceArn=values["resource_arn"])

    # Services.

    def ecs_cluster(self, values):
        found = self.client("ecs").describe_clusters(clusters=[values["arn"]])["clusters"]
        return [each for each in found if each["status"] == "ACTIVE"]

    def ecs_cluster_capacity_providers(self, values):
        found = self.client("ecs").describe_clusters(clusters=[values["cluster_name"]])["clusters"]
        return [each for each in found if each["status"] == "ACTIVE" and each["capacityProviders"]]

    def ecs_service(self, values):
        found = self.client("ecs").describe_services(cluster=values["cluster"], services=[values["name"]])["services"]
        return [each for each in found if each["status"] == "ACTIVE"]

    def ecs_task_definition(self, values):
        found = self.client("ecs").describe_task_definition(taskDefinition=values["arn"])["taskDefinition"]
        return found["status"] == "ACTIVE"

    def appautoscaling_target(self, values):
        found = self.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")
        return [each for each in found["ScalableTargets"] if each["ResourceId"] == values["resource_id"]]

    def appautoscaling_policy(self, values):
        found = self.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="ecs")
        return [each for each in found["ScalingPolicies"] if each["PolicyName"] == values["name"]]

    # Queue, secret, registry.

    def sqs_queue(self, values):
        return self.client("sqs").get_queue_attributes(QueueUrl=values["url"], AttributeNames=["QueueArn"])

    def sqs_queue_policy(self, values):
        found = self.client("sqs").get_queue_attributes(QueueUrl=values["queue_url"], AttributeNames=["Policy"])
        return found.get("Attributes", {}).get("Policy")

    def secretsmanager_secret(self, values):
        return "DeletedDate" not in self.client("secretsmanager").describe_secret(SecretId=values["arn"])

    def kms_key(self, values):
        found = self.client("kms").describe_key(KeyId=values["key_id"])["KeyMetadata"]
        return found["KeyState"] == "Enabled"  # a key is never deleted at once, only scheduled to be

    def kms_alias(self, values):
        return [each for each in self.client("kms").list_aliases()["Aliases"] if each["AliasName"] == values["name"]]

    def ecr_repository(self, values):
        return self.client("ecr").describe_repositories(repositoryNames=[values["name"]])["repositories"]

    def ecr_lifecycle_policy(self, values):
        return self.client("ecr").get_lifecycle_policy(repositoryName=values["repository"])

    # Roles.

    def iam_role(self, values):
        return self.client("iam").get_role(RoleName=values["name"])

    def iam_role_policy(self, values):
        return self.client("iam").get_role_policy(RoleName=values["role"], PolicyName=values["name"])

    def iam_policy(self, values):
        return self.client("iam").get_policy(PolicyArn=values["arn"])

    # Watching.

    def cloudwatch_log_group(self, values):
        region = EDGE if values["name"].startswith("aws-waf-logs-") else None
        logs = self.client("logs", region) if region else self.client("logs")
        found = logs.describe_log_groups(logGroupNamePrefix=values["name"])["logGroups"]
        return [each for each in found if each["logGroupName"] == values["name"]]

    def cloudwatch_log_metric_filter(self, values):
        found = self.client("logs").describe_metric_filters(filterNamePrefix=values["name"])["metricFilters"]
        return [each for each in found if each["filterName"] == values["name"]]

    def cloudwatch_metric_alarm(self, values):
        return self.client("cloudwatch").describe_alarms(AlarmNames=[values["alarm_name"]])["MetricAlarms"]

    def cloudwatch_dashboard(self, values):
        found = self.client("cloudwatch").list_dashboards()["DashboardEntries"]
        return [each for each in found if each["DashboardName"] == values["dashboard_name"]]

    def cloudwatch_event_rule(self, values):
        return self.client("events").describe_rule(Name=values["name"])

    def cloudwatch_event_target(self, values):
        found = self.client("events").list_targets_by_rule(Rule=values["rule"])["Targets"]
        return [each for each in found if each["Arn"] == values["arn"]]

    def sns_topic_policy(self, values):
        found = self.client("sns").get_topic_attributes(TopicArn=values["arn"])["Attributes"]["Policy"]
        return "events.amazonaws.com" in found

    def sns_topic(self, values):
        return self.client("sns").get_topic_attributes(TopicArn=values["arn"])

    def sns_topic_subscription(self, values):
        found = self.client("sns").list_subscriptions()["Subscriptions"]
        wanted = (values["topic_arn"], values["endpoint"])
        return [each for each in found if (each["TopicArn"], each["Endpoint"]) == wanted]
