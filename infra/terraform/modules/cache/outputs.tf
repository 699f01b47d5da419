output "id" { value = aws_elasticache_replication_group.this.id }
output "url" { value = "rediss://${aws_elasticache_replication_group.this.primary_endpoint_address}:6379" }
