output "queue_url" { value = aws_sqs_queue.jobs.url }
output "queue_arn" { value = aws_sqs_queue.jobs.arn }
output "queue_name" { value = aws_sqs_queue.jobs.name }
output "dead_queue_url" { value = aws_sqs_queue.dead.url }
output "dead_queue_arn" { value = aws_sqs_queue.dead.arn }
output "dead_queue_name" { value = aws_sqs_queue.dead.name }
output "hidden_for_seconds" { value = local.hidden_for }
