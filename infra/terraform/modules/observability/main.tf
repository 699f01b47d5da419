# The log, what is counted in it, alarms, and one page to look at. Finer numbers are at /metrics of each task.

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_sns_topic" "alarms" {
  name = "${var.name}-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = toset(var.alarm_emails)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  namespace = "ClaudeProxy/${var.name}"

  # Reasons that are our own fault, as docs/operations.md lists them; tests compare.
  own_reasons = [
    "budget_unavailable", "ledger_full", "directory_stale", "database_unavailable", "resources_unavailable",
    "database_refused", "jobs_unavailable", "too_many_followers", "too_many_connections", "in_flight_bytes_exhausted",
    "shutting_down", "internal",
  ]

  # Pattern in the JSON log, and what a matching line counts.
  counted = {
    Requests      = { pattern = "{ $.event = \"request\" }", value = "1" }
    OwnFailures   = { pattern = "{ $.event = \"request\" && (${join(" || ", [for each in local.own_reasons : "$.reason = \"${each}\""])}) }", value = "1" }
    OverheadMs    = { pattern = "{ $.event = \"request\" && $.overhead_ms = * }", value = "$.overhead_ms" }
    Bugs          = { pattern = "{ $.event = \"request_failed\" || $.event = \"admin_failed\" }", value = "1" }
    LedgerTrouble = { pattern = "{ $.event = \"ledger_trouble\" }", value = "1" }
    CannotStart   = { pattern = "{ $.event = \"cannot_start\" }", value = "1" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each       = local.counted
  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.namespace
    name      = each.key
    value     = each.value.value
  }
}
