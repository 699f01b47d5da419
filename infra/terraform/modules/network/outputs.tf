output "vpc_id" { value = local.vpc_id }
output "public_subnet_ids" { value = local.public_subnet_ids }
output "public_subnet_cidrs" { value = local.public_subnet_cidrs }
output "private_subnet_ids" { value = local.private_subnet_ids }
output "alb_security_group_id" { value = aws_security_group.alb.id }
output "api_security_group_id" { value = aws_security_group.task["api"].id }
output "worker_security_group_id" { value = aws_security_group.task["worker"].id }
output "cache_security_group_id" { value = aws_security_group.cache.id }
