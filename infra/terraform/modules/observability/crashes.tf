# A task that crashes. Each new task of Fargate has another address, so no metric shows that one comes again and again,
# and while others answer nothing else rings. ECS tells of each end: 134 is abort, 139 a segmentation fault, 137 a kill
# for memory. A task that ECS itself stops, and kills after stopTimeout, ends with 137 too; its stopCode is another.

locals {
  crash_codes = [134, 137, 139]
}

resource "aws_cloudwatch_event_rule" "task_crashed" {
  name        = "${var.name}-task-crashed"
  description = "A task crashed, or was killed for its memory"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail = {
      clusterArn = ["arn:aws:ecs:${var.region}:${var.account_id}:cluster/${var.cluster_name}"]
      lastStatus = ["STOPPED"]
      stopCode   = ["EssentialContainerExited"]
      containers = { exitCode = local.crash_codes }
    }
  })
}

resource "aws_cloudwatch_event_target" "task_crashed" {
  rule = aws_cloudwatch_event_rule.task_crashed.name
  arn  = aws_sns_topic.alarms.arn
  input_transformer {
    input_paths = {
      code   = "$.detail.containers[0].exitCode"
      group  = "$.detail.group"
      reason = "$.detail.containers[0].reason"
      task   = "$.detail.taskArn"
    }
    input_template = "\"${var.name}-task-crashed: a task of <group> ended with <code> <reason>: <task>\""
  }
}

# Who may write to the topic: a policy of one's own takes the place of the one that every topic has.
data "aws_iam_policy_document" "alarms" {
  statement {
    sid       = "Alarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:aws:cloudwatch:${var.region}:${var.account_id}:alarm:*"]
    }
  }
  statement {
    sid       = "Crashes"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.task_crashed.arn]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}
