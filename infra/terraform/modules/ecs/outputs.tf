output "cluster_name" { value = aws_ecs_cluster.this.name }
output "service_names" {
  value = merge({ for key, service in aws_ecs_service.api : key => service.name }, { worker = aws_ecs_service.worker.name })
}
output "task_families" { value = { for key, task in aws_ecs_task_definition.this : key => task.family } }
