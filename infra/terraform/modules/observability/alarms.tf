locals {
  alb   = { LoadBalancer = var.alb_arn_suffix }
  group = { LoadBalancer = var.alb_arn_suffix, TargetGroup = var.target_group_suffix }
  tasks = { for key, service in var.service_names : key => { ClusterName = var.cluster_name, ServiceName = service } }

  # One metric against one threshold. `missing`: what no data means.
  simple = {
    overhead-p95   = { says = "Our own share of a request: p95 above 500 ms", namespace = local.namespace, metric = "OverheadMs", stat = "p95", op = ">", threshold = 500, periods = 5, dimensions = {}, missing = "notBreaching" }
    bugs           = { says = "An exception ended a request: look for request_failed in the log", namespace = local.namespace, metric = "Bugs", stat = "Sum", op = ">", threshold = 0, periods = 1, dimensions = {}, missing = "notBreaching" }
    ledger-trouble = { says = "The database refused a row of the ledger", namespace = local.namespace, metric = "LedgerTrouble", stat = "Sum", op = ">", threshold = 0, periods = 1, dimensions = {}, missing = "notBreaching" }
    cannot-start   = { says = "A task does not start: look for cannot_start in the log", namespace = local.namespace, metric = "CannotStart", stat = "Sum", op = ">", threshold = 0, periods = 1, dimensions = {}, missing = "notBreaching" }
    no-healthy-api = { says = "No API task is ready", namespace = "AWS/ApplicationELB", metric = "HealthyHostCount", stat = "Minimum", op = "<", threshold = 1, periods = 2, dimensions = local.group, missing = "breaching" }
    alb-errors     = { says = "The load balancer itself answers 5xx: no target, or one that closed", namespace = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", stat = "Sum", op = ">", threshold = 10, periods = 2, dimensions = local.alb, missing = "notBreaching" }
    api-cpu        = { says = "API tasks are busy and the autoscaling does not help", namespace = "AWS/ECS", metric = "CPUUtilization", stat = "Average", op = ">", threshold = 85, periods = 15, dimensions = local.tasks["api"], missing = "notBreaching" }
    api-memory     = { says = "API tasks are short of memory", namespace = "AWS/ECS", metric = "MemoryUtilization", stat = "Maximum", op = ">", threshold = 85, periods = 5, dimensions = local.tasks["api"], missing = "notBreaching" }
    no-worker      = { says = "No worker runs", namespace = "ECS/ContainerInsights", metric = "RunningTaskCount", stat = "Minimum", op = "<", threshold = 1, periods = 3, dimensions = local.tasks["worker"], missing = "breaching" }
    dead-letters   = { says = "Messages in the dead-letter queue", namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", stat = "Maximum", op = ">", threshold = 0, periods = 1, dimensions = { QueueName = var.dead_queue_name }, missing = "notBreaching" }
    cache-cpu      = { says = "Valkey is busy", namespace = "AWS/ElastiCache", metric = "EngineCPUUtilization", stat = "Maximum", op = ">", threshold = 80, periods = 5, dimensions = { ReplicationGroupId = var.cache_id }, missing = "notBreaching" }
    cache-memory   = { says = "Valkey is nearly full", namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", stat = "Maximum", op = ">", threshold = 80, periods = 5, dimensions = { ReplicationGroupId = var.cache_id }, missing = "notBreaching" }
  }
}

resource "aws_cloudwatch_metric_alarm" "simple" {
  for_each            = local.simple
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.says
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.stat, "p") ? null : each.value.stat
  extended_statistic  = startswith(each.value.stat, "p") ? each.value.stat : null
  period              = 60
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.op == ">" ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# One failure of ten requests in a quiet night is no incident: a percentage counts from 20 requests on.
resource "aws_cloudwatch_metric_alarm" "own_failures" {
  alarm_name          = "${var.name}-own-failures"
  alarm_description   = "More than 1 % of requests fail for our own reasons"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  dynamic "metric_query" {
    for_each = { requests = "Requests", failures = "OwnFailures" }
    content {
      id = metric_query.key
      metric {
        namespace   = local.namespace
        metric_name = metric_query.value
        stat        = "Sum"
        period      = 300
      }
    }
  }
  metric_query {
    id          = "percent"
    label       = "Own failures, % of requests"
    expression  = "IF(requests >= 20, 100 * FILL(failures, 0) / requests, 0)"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "oldest_job" {
  alarm_name          = "${var.name}-oldest-job"
  alarm_description   = "Jobs wait although the autoscaling adds workers"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_seconds_max * 5
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  dynamic "metric_query" {
    for_each = { waiting = "ApproximateNumberOfMessagesVisible", age = "ApproximateAgeOfOldestMessage" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        stat        = "Maximum"
        period      = 60
        dimensions  = { QueueName = var.queue_name }
      }
    }
  }
  metric_query {
    id          = "oldest"
    label       = "Age of the oldest message while messages wait"
    expression  = "IF(waiting > 0, age, 0)"
    return_data = true
  }
}
