# What infra/scripts and people read: `infra/scripts/tf.sh ENV output -json`.

output "region" { value = var.region }
output "environment" { value = var.environment }
output "url" {
  description = "What the smoke test of a release asks, unless it is told another."
  value       = "https://${var.domain_names[0]}"
}
output "cluster_name" { value = module.ecs.cluster_name }
output "services" {
  description = "ECS services: api, canary, worker."
  value       = module.ecs.service_names
}
output "task_families" {
  description = "Task definition families: api, worker, migrate."
  value       = module.ecs.task_families
}
output "migrate_network" {
  description = "Where the one-shot task runs."
  value       = { subnets = module.network.private_subnet_ids, security_groups = [module.network.worker_security_group_id] }
}
output "listener_rule_arn" {
  description = "The rule whose weights a canary changes."
  value       = module.alb.listener_rule_arn
}
output "target_groups" {
  description = "Target groups: stable, canary."
  value       = module.alb.target_group_arns
}
output "repository_url" { value = module.ecr.repository_url }
output "secret_name" { value = module.secrets.secret_name }
output "queue_url" { value = module.sqs.queue_url }
output "queue_arn" { value = module.sqs.queue_arn }
output "dead_queue_url" { value = module.sqs.dead_queue_url }
output "dead_queue_arn" { value = module.sqs.dead_queue_arn }
output "log_group_name" { value = module.observability.log_group_name }
output "alarm_topic_arn" { value = module.observability.alarm_topic_arn }
output "alb_dns_name" {
  description = "The origin. It answers 403 to everybody but CloudFront."
  value       = module.alb.dns_name
}
output "distribution_id" { value = module.edge.distribution_id }
output "distribution_domain_name" {
  description = "Where the domain names' DNS records have to point."
  value       = module.edge.distribution_domain_name
}
output "web_acl_arn" { value = module.edge.web_acl_arn }
output "times" {
  description = "What the longest stream makes of every timeout, in seconds."
  value       = local.times
}
output "deploy_policy_arn" {
  description = "What whoever releases may do."
  value       = module.iam.deploy_policy_arn
}
