# The cluster and its services on Fargate: API, its canary (no tasks until a release wants some), workers; and the
# one-shot migration. One image; the word after `claude-proxy` makes the difference.

locals {
  writable = "/var/lib/claude-proxy" # the only writable folder; lives and dies with its task
  user     = "10001:10001"           # of the image, which gives it that folder

  # Alive, not ready: a task that drains must not be ended for it. ECS does not look at the image's own health check.
  health_check = {
    command     = ["CMD", "claude-proxy", "probe"]
    interval    = 15
    timeout     = 5
    retries     = 3
    startPeriod = 30
  }

  common = {
    AWS_REGION                      = var.region
    CLAUDE_PROXY_SECRETS            = "aws-secretsmanager:${var.secret_name}"
    CLAUDE_PROXY_ADMIN_LISTEN       = "0.0.0.0:${var.ports.admin}"
    CLAUDE_PROXY_JOURNAL_DIR        = "${local.writable}/journal"
    CLAUDE_PROXY_DRAIN_DELAY        = "${var.times.drain_delay}s"
    CLAUDE_PROXY_DRAIN_TIMEOUT      = "${var.times.drain_timeout}s"
    CLAUDE_PROXY_QUEUE_HIDDEN_FOR   = "${var.queue_hidden_for}s"
    CLAUDE_PROXY_QUEUE_RECEIVES_MAX = tostring(var.queue_receives_max)
    LOG_FORMAT                      = "json"
    LOG_LEVEL                       = "info"
    QUEUE_URL                       = var.queue_url
    REDIS_URL                       = var.redis_url
  }

  tasks = {
    api = {
      command = ["serve"]
      probed  = true
      cpu     = var.api.cpu
      memory  = var.api.memory
      ports   = [var.ports.public, var.ports.admin]
      settings = {
        CLAUDE_PROXY_LISTEN                 = "0.0.0.0:${var.ports.public}"
        CLAUDE_PROXY_KEEP_ALIVE_TIMEOUT     = "${var.times.keep_alive_timeout}s"
        CLAUDE_PROXY_PING_INTERVAL          = "${var.ping_interval}s"
        CLAUDE_PROXY_UPSTREAM_TOTAL_TIMEOUT = "${var.times.upstream_total_timeout}s"
        CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX    = "${var.api.in_flight_body_mib}MiB"
        CLAUDE_PROXY_TRUSTED_PROXIES        = join(",", var.trusted_proxies.cidrs)
        CLAUDE_PROXY_TRUSTED_HOPS           = tostring(var.trusted_proxies.hops)
      }
    }
    worker = {
      command  = ["worker"]
      probed   = true
      cpu      = var.worker.cpu
      memory   = var.worker.memory
      ports    = [var.ports.admin]
      settings = { CLAUDE_PROXY_JOBS_CONCURRENCY = tostring(var.worker.jobs_concurrency) }
    }
    migrate = {
      command  = ["migrate", "--with-queue"]
      probed   = false # it ends by itself
      cpu      = 256
      memory   = 512
      ports    = []
      settings = {}
    }
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  setting {
    name  = "containerInsights" # the autoscaling needs its count of running tasks
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE"]
  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }
}

resource "aws_ecs_task_definition" "this" {
  for_each                 = local.tasks
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = var.role_arns["execution"]
  task_role_arn            = var.role_arns[each.key]
  skip_destroy             = true # a release is rolled back to earlier revisions

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  # The image declares this folder as a volume of its own user, else a user who is not root could not write.
  volume { name = "state" }

  container_definitions = jsonencode([merge({
    name                   = "claude-proxy"
    image                  = var.image
    essential              = true
    entryPoint             = ["claude-proxy"]
    command                = each.value.command
    user                   = local.user
    readonlyRootFilesystem = true
    stopTimeout            = var.times.stop_timeout
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    mountPoints            = [{ sourceVolume = "state", containerPath = local.writable, readOnly = false }]
    portMappings           = [for port in each.value.ports : { containerPort = port, hostPort = port, protocol = "tcp" }]
    environment = [
      for key, value in merge(local.common, each.value.settings, var.settings) : { name = key, value = value }
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group_name
        awslogs-region        = var.region
        awslogs-stream-prefix = each.key
        mode                  = "non-blocking" # a log that is away must not stop the service
        max-buffer-size       = "25m"
      }
    }
  }, { for name, value in { healthCheck = local.health_check } : name => value if each.value.probed })])
}

resource "aws_ecs_service" "api" {
  for_each                           = { api = "stable", canary = "canary" }
  name                               = "${var.name}-${each.key}"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this["api"].arn
  desired_count                      = each.key == "api" ? var.api.tasks_min : 0
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  health_check_grace_period_seconds  = 60
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_ids["api"]]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = var.target_group_arns[each.value]
    container_name   = "claude-proxy"
    container_port   = var.ports.public
  }

  # Releases bring revisions, the autoscaling counts.
  lifecycle { ignore_changes = [task_definition, desired_count] }
}

resource "aws_ecs_service" "worker" {
  name                               = "${var.name}-worker"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this["worker"].arn
  desired_count                      = var.worker.tasks_min
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_ids["worker"]]
    assign_public_ip = false
  }

  lifecycle { ignore_changes = [task_definition, desired_count] }
}
