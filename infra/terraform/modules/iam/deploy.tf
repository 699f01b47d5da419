# What infra/scripts need, but for Terraform's outputs: those come from the state, or from a file that OUTPUTS names.
# Attach it to whoever releases. No action here reads the secret, and yet it is a matter of trust: who may register a
# task definition with our roles and run it can run a program of their own that reads it.
data "aws_iam_policy_document" "deploy" {
  statement {
    sid       = "TaskDefinitions"
    actions   = ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions"]
    resources = ["*"] # describing, listing and deregistering know no resources
  }
  statement {
    sid       = "Services"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = ["${local.ecs_resource}:service/${var.name}/${var.name}-*"]
  }
  statement {
    sid       = "OneShot"
    actions   = ["ecs:RunTask"]
    resources = ["${local.ecs_resource}:task-definition/${var.name}-migrate:*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = ["${local.ecs_resource}:cluster/${var.name}"]
    }
  }
  statement {
    sid       = "SeeTasks"
    actions   = ["ecs:DescribeTasks", "ecs:ListTasks"]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = ["${local.ecs_resource}:cluster/${var.name}"]
    }
  }
  statement {
    sid       = "OurRolesOnly"
    actions   = ["iam:PassRole"]
    resources = concat([aws_iam_role.execution.arn], [for role in aws_iam_role.task : role.arn])
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
  statement {
    sid       = "CanaryWeights"
    actions   = ["elasticloadbalancing:ModifyRule"]
    resources = [var.listener_rule_arn]
  }
  statement {
    sid       = "SeeTargets"
    actions   = ["elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetHealth"]
    resources = ["*"] # describing knows no resources
  }
  statement {
    sid       = "SeeImages"
    actions   = ["ecr:DescribeImages"]
    resources = [var.repository_arn]
  }
}

resource "aws_iam_policy" "deploy" {
  name        = "${var.name}-deploy"
  description = "Releases of ${var.name}"
  policy      = data.aws_iam_policy_document.deploy.json
}
