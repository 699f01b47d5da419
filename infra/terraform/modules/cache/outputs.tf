output "id" { value = aws_elasticache_replication_group.this.id }
output "url" { value = "redis://${aws_elasticache_replication_group.this.primary_endpoint_address}:6379" }
