# Who hands what to whom. Each module says in its first lines what it makes and why.

data "aws_caller_identity" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
}

module "network" {
  source               = "./modules/network"
  name                 = var.name
  existing             = var.existing_network
  vpc_cidr             = var.vpc_cidr
  availability_zones   = var.availability_zones
  nat_gateway_per_zone = var.nat_gateway_per_zone
  ports                = local.listen
  admin_cidrs          = var.admin_cidrs
  database_ports       = var.database_ports
}

module "secrets" {
  source               = "./modules/secrets"
  name                 = var.name
  account_id           = local.account_id
  recovery_window_days = var.deletion_protection ? 30 : 0
}

module "sqs" {
  source       = "./modules/sqs"
  name         = var.name
  receives_max = var.queue_receives_max
}

module "ecr" {
  source       = "./modules/ecr"
  name         = var.name
  force_delete = !var.deletion_protection
}

module "cache" {
  source            = "./modules/cache"
  name              = var.name
  node_type         = var.cache.node_type
  nodes             = var.cache.nodes
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = module.network.cache_security_group_id
}

module "iam" {
  source            = "./modules/iam"
  name              = var.name
  region            = var.region
  account_id        = local.account_id
  repository_arn    = module.ecr.repository_arn
  log_group_arn     = module.observability.log_group_arn
  secret_arn        = module.secrets.secret_arn
  key_arn           = module.secrets.key_arn
  queue_arn         = module.sqs.queue_arn
  dead_queue_arn    = module.sqs.dead_queue_arn
  listener_rule_arn = module.alb.listener_rule_arn
}

module "alb" {
  source               = "./modules/alb"
  name                 = var.name
  vpc_id               = module.network.vpc_id
  subnet_ids           = module.network.public_subnet_ids
  security_group_id    = module.network.alb_security_group_id
  certificate_arn      = var.alb_certificate_arn
  origin_secrets       = var.origin_secrets
  port                 = local.listen.public
  idle_timeout         = local.times.idle_timeout
  deregistration_delay = local.times.deregistration_delay
  access_logs_bucket   = var.alb_access_logs_bucket
  deletion_protection  = var.deletion_protection
}

module "edge" {
  source                 = "./modules/edge"
  providers              = { aws = aws.us_east_1 }
  name                   = var.name
  domain_names           = var.domain_names
  certificate_arn        = var.edge_certificate_arn
  origin_dns_name        = module.alb.dns_name
  origin_secret          = var.origin_secrets[0]
  origin_read_timeout    = var.origin_read_timeout_seconds
  price_class            = var.price_class
  waf_mode               = var.waf_mode
  requests_per_5_minutes = var.waf_requests_per_5_minutes
  uninspected_paths      = var.waf_uninspected_paths
  log_retention_days     = var.log_retention_days
}

module "ecs" {
  source             = "./modules/ecs"
  name               = var.name
  region             = var.region
  image              = "${module.ecr.repository_url}:${var.image_tag}"
  api                = var.api
  worker             = var.worker
  settings           = var.settings
  times              = local.times
  ping_interval      = var.ping_interval_seconds
  ports              = local.listen
  trusted_proxies    = { cidrs = module.network.public_subnet_cidrs, hops = 2 } # CloudFront, then the load balancer
  subnet_ids         = module.network.private_subnet_ids
  security_group_ids = { api = module.network.api_security_group_id, worker = module.network.worker_security_group_id }
  target_group_arns  = module.alb.target_group_arns
  alb_arn_suffix     = module.alb.arn_suffix
  role_arns          = module.iam.role_arns
  secret_name        = module.secrets.secret_name
  queue_url          = module.sqs.queue_url
  queue_name         = module.sqs.queue_name
  queue_hidden_for   = module.sqs.hidden_for_seconds
  queue_receives_max = var.queue_receives_max
  redis_url          = module.cache.url
  log_group_name     = module.observability.log_group_name

  depends_on = [module.alb] # a service is refused while its target group has no listener
}

module "observability" {
  source              = "./modules/observability"
  name                = var.name
  region              = var.region
  account_id          = local.account_id
  log_retention_days  = var.log_retention_days
  alarm_emails        = var.alarm_emails
  alb_arn_suffix      = module.alb.arn_suffix
  target_group_suffix = module.alb.target_group_suffixes["stable"]
  cluster_name        = var.name
  service_names       = { api = "${var.name}-api", worker = "${var.name}-worker" }
  queue_name          = module.sqs.queue_name
  dead_queue_name     = module.sqs.dead_queue_name
  cache_id            = module.cache.id
  oldest_seconds_max  = var.worker.oldest_seconds_max
}
