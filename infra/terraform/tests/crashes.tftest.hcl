# A crash is told to whom the alarms are told, and a task that ECS stops is no crash.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:000000000000:claude-proxy-alarms" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-west-1:000000000000:rule/claude-proxy-task-crashed" }
  }
}

variables {
  name                = "claude-proxy"
  region              = "eu-west-1"
  account_id          = "000000000000"
  log_retention_days  = 30
  alarm_emails        = ["ops@example.com"]
  alb_arn_suffix      = "app/claude-proxy/1"
  target_group_suffix = "targetgroup/claude-proxy/1"
  cluster_name        = "claude-proxy"
  service_names       = { api = "claude-proxy-api", worker = "claude-proxy-worker" }
  queue_name          = "claude-proxy-jobs"
  dead_queue_name     = "claude-proxy-jobs-dead"
  cache_id            = "claude-proxy"
  oldest_seconds_max  = 60
}

run "a_crash_rings" {
  command = apply
  module { source = "./modules/observability" }
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.task_crashed.event_pattern).detail == {
      clusterArn = ["arn:aws:ecs:eu-west-1:000000000000:cluster/claude-proxy"]
      lastStatus = ["STOPPED"]
      stopCode   = ["EssentialContainerExited"]
      containers = { exitCode = [134, 137, 139] }
    }
    error_message = "abort, kill for memory, segmentation fault, by themselves, in our cluster"
  }
  assert {
    condition     = aws_cloudwatch_event_target.task_crashed.arn == aws_sns_topic.alarms.arn && aws_sns_topic_policy.alarms.arn == aws_sns_topic.alarms.arn
    error_message = "to the topic of the alarms"
  }
  assert {
    condition = {
      for each in data.aws_iam_policy_document.alarms.statement : one(one(each.principals).identifiers) => one(one(each.condition).values)
      } == {
      "cloudwatch.amazonaws.com" = "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:*"
      "events.amazonaws.com"     = aws_cloudwatch_event_rule.task_crashed.arn
    }
    error_message = "our alarms and this rule may write to the topic, and nobody else's"
  }
}
