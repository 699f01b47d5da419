output "role_arns" {
  value = merge({ execution = aws_iam_role.execution.arn }, { for key, role in aws_iam_role.task : key => role.arn })
}
output "deploy_policy_arn" { value = aws_iam_policy.deploy.arn }

# For tests: what the documents say, by role.
output "policies" {
  value = merge(
    { execution = data.aws_iam_policy_document.execution.json, deploy = data.aws_iam_policy_document.deploy.json },
    { for key, document in data.aws_iam_policy_document.task : key => document.json },
  )
}
