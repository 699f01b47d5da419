# CloudFront's addresses, kept by Amazon. It weighs 55 rules of the 60 that a group may have by default.
data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

resource "aws_security_group" "alb" {
  name        = "${var.name}-alb"
  description = "The load balancer: from CloudFront only"
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-alb" }
}

resource "aws_vpc_security_group_ingress_rule" "alb_from_cloudfront" {
  security_group_id = aws_security_group.alb.id
  description       = "CloudFront"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "alb_to_api" {
  security_group_id            = aws_security_group.alb.id
  description                  = "API tasks"
  referenced_security_group_id = aws_security_group.task["api"].id
  ip_protocol                  = "tcp"
  from_port                    = var.ports.public
  to_port                      = var.ports.public
}

resource "aws_security_group" "task" {
  for_each    = { api = "from the load balancer", worker = "nobody calls it" }
  name        = "${var.name}-${each.key}"
  description = "Tasks of ${each.key}: ${each.value}"
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "api_from_alb" {
  security_group_id            = aws_security_group.task["api"].id
  description                  = "The load balancer"
  referenced_security_group_id = aws_security_group.alb.id
  ip_protocol                  = "tcp"
  from_port                    = var.ports.public
  to_port                      = var.ports.public
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each          = { for pair in setproduct(keys(aws_security_group.task), var.admin_cidrs) : join(" ", pair) => pair }
  security_group_id = aws_security_group.task[each.value[0]].id
  description       = "Admin listener"
  cidr_ipv4         = each.value[1]
  ip_protocol       = "tcp"
  from_port         = var.ports.admin
  to_port           = var.ports.admin
}

# Claude, Amazon's services and webhooks are https anywhere; databases are where you have them.
resource "aws_vpc_security_group_egress_rule" "task_out" {
  for_each = {
    for pair in setproduct(keys(aws_security_group.task), concat([443], var.database_ports)) :
    "${pair[0]} ${pair[1]}" => { group = pair[0], port = tonumber(pair[1]) }
  }
  security_group_id = aws_security_group.task[each.value.group].id
  description       = each.value.port == 443 ? "Claude, Amazon, webhooks" : "PostgreSQL"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "task_to_cache" {
  for_each                     = aws_security_group.task
  security_group_id            = each.value.id
  description                  = "Valkey"
  referenced_security_group_id = aws_security_group.cache.id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_security_group" "cache" {
  name        = "${var.name}-cache"
  description = "Valkey: from tasks only"
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-cache" }
}

resource "aws_vpc_security_group_ingress_rule" "cache_from_task" {
  for_each                     = aws_security_group.task
  security_group_id            = aws_security_group.cache.id
  description                  = "Tasks of ${each.key}"
  referenced_security_group_id = each.value.id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}
