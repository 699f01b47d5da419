# One value, the longest stream, decides every timeout.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["zone-a", "zone-b", "zone-c"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
}
mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  region               = "eu-west-1"
  environment          = "staging"
  state_bucket         = "state-of-a-test"
  domain_names         = ["api.example.com"]
  edge_certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/1"
  alb_certificate_arn  = "arn:aws:acm:eu-west-1:000000000000:certificate/1"
  origin_secrets       = ["0123456789abcdef0123456789abcdef"]
}

run "streams_end_while_the_target_drains" {
  command = plan
  variables { longest_stream_seconds = 3600 }
  assert {
    condition     = output.times.idle_timeout == 3600 && output.times.deregistration_delay == 3600
    error_message = "the load balancer bears the longest stream, and lets it end"
  }
  assert {
    condition     = output.times.upstream_total_timeout + 60 <= output.times.deregistration_delay
    error_message = "a call upstream and the wait for a budget before it end while the target drains"
  }
  assert {
    condition     = output.times.stop_timeout <= 120
    error_message = "Fargate kills after 120 s"
  }
  assert {
    condition     = output.times.drain_delay + output.times.drain_timeout + 5 <= output.times.stop_timeout
    error_message = "docs/operations.md: more patience than the two settings and five seconds"
  }
  assert {
    condition     = output.times.keep_alive_timeout > output.times.idle_timeout
    error_message = "the load balancer has to close idle connections first"
  }
}

run "short_streams_make_short_drains" {
  command = plan
  variables { longest_stream_seconds = 120 }
  assert {
    condition     = output.times.idle_timeout == 120 && output.times.deregistration_delay == 120 && output.times.stop_timeout == 120
    error_message = "all follow the one value"
  }
  assert {
    condition     = output.times.upstream_total_timeout == 60 && output.times.keep_alive_timeout == 180
    error_message = "all follow the one value"
  }
}

run "a_stream_longer_than_a_drain_is_refused" {
  command = plan
  variables { longest_stream_seconds = 3601 }
  expect_failures = [var.longest_stream_seconds]
}

run "pings_come_before_cloudfront_loses_patience" {
  command = plan
  variables { origin_read_timeout_seconds = 30 }
  expect_failures = [var.origin_read_timeout_seconds]
}

run "the_load_balancer_has_the_times" {
  command = plan
  module { source = "./modules/alb" }
  variables {
    name                 = "claude-proxy"
    vpc_id               = "vpc-1"
    subnet_ids           = ["subnet-1", "subnet-2"]
    security_group_id    = "sg-1"
    certificate_arn      = "arn:aws:acm:eu-west-1:000000000000:certificate/1"
    port                 = 8080
    idle_timeout         = 1234
    deregistration_delay = 2345
    access_logs_bucket   = null
    deletion_protection  = true
  }
  assert {
    condition     = aws_lb.this.idle_timeout == 1234
    error_message = "idle timeout"
  }
  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : tonumber(group.deregistration_delay) == 2345])
    error_message = "both target groups drain for as long"
  }
  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : group.health_check[0].path == "/ready"])
    error_message = "a task that was told to stop is not ready"
  }
  assert {
    condition     = aws_lb_listener.https.default_action[0].fixed_response[0].status_code == "403"
    error_message = "without the header: 403"
  }
  assert {
    condition     = one([for each in aws_lb_listener_rule.from_cloudfront.condition : one(each.http_header).http_header_name]) == "x-origin-verify"
    error_message = "the rule asks for the header"
  }
  assert {
    condition     = aws_lb_listener.https.protocol == "HTTPS" && startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13")
    error_message = "TLS 1.2 or 1.3 only"
  }
}

run "the_tasks_have_the_times" {
  command = plan
  module { source = "./modules/ecs" }
  variables {
    name   = "claude-proxy"
    image  = "registry.example/claude-proxy:1"
    api    = { cpu = 512, memory = 2048, tasks_min = 1, tasks_max = 3, cpu_percent = 60, streams_per_task = 1000, in_flight_body_mib = 512 }
    worker = { cpu = 512, memory = 2048, tasks_min = 1, tasks_max = 3, jobs_concurrency = 64, backlog_percent = 75, oldest_seconds_max = 60 }
    times = {
      keep_alive_timeout = 1860, upstream_total_timeout = 1740, drain_delay = 5, drain_timeout = 105, stop_timeout = 120
    }
    settings           = {}
    ping_interval      = 15
    ports              = { public = 8080, admin = 8081 }
    trusted_proxies    = { cidrs = ["10.40.0.0/20", "10.40.16.0/20"], hops = 2 }
    subnet_ids         = ["subnet-1", "subnet-2"]
    security_group_ids = { api = "sg-1", worker = "sg-2" }
    target_group_arns = {
      stable = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/stable/1"
      canary = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:targetgroup/canary/1"
    }
    alb_arn_suffix = "app/claude-proxy/1"
    role_arns = {
      execution = "arn:aws:iam::000000000000:role/execution"
      api       = "arn:aws:iam::000000000000:role/api"
      worker    = "arn:aws:iam::000000000000:role/worker"
      migrate   = "arn:aws:iam::000000000000:role/migrate"
    }
    secret_name        = "claude-proxy-secrets"
    queue_url          = "https://sqs.eu-west-1.amazonaws.com/000000000000/claude-proxy-jobs"
    queue_name         = "claude-proxy-jobs"
    queue_hidden_for   = 60
    queue_receives_max = 10
    redis_url          = "rediss://cache:6379"
    log_group_name     = "/ecs/claude-proxy"
  }
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.this : jsondecode(task.container_definitions)[0].stopTimeout == 120
    ])
    error_message = "stop timeout"
  }
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.this : contains(jsondecode(task.container_definitions)[0].environment, { name = "CLAUDE_PROXY_DRAIN_TIMEOUT", value = "105s" })
    ])
    error_message = "the drain of the process fits into it"
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].environment, { name = "CLAUDE_PROXY_KEEP_ALIVE_TIMEOUT", value = "1860s" })
    error_message = "keep-alive"
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].environment, { name = "CLAUDE_PROXY_UPSTREAM_TOTAL_TIMEOUT", value = "1740s" })
    error_message = "a call upstream"
  }
  assert {
    condition = toset([
      for each in jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].environment : each.value if startswith(each.name, "CLAUDE_PROXY_TRUSTED_")
    ]) == toset(["10.40.0.0/20,10.40.16.0/20", "2"])
    error_message = "the client is who the load balancer and CloudFront say"
  }
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.this : contains(jsondecode(task.container_definitions)[0].environment, { name = "CLAUDE_PROXY_SECRETS", value = "aws-secretsmanager:claude-proxy-secrets" })
    ])
    error_message = "secrets come from Secrets Manager"
  }
  assert {
    condition = alltrue(flatten([
      for task in aws_ecs_task_definition.this : [
        for each in jsondecode(task.container_definitions)[0].environment : !can(regex("KEY$|SECRET$|PEPPER$|^DATABASE_", each.name))
      ]
    ]))
    error_message = "and never from the task definition"
  }
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.this : jsondecode(task.container_definitions)[0].readonlyRootFilesystem && jsondecode(task.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    ])
    error_message = "the root file system is read-only, capabilities are dropped"
  }
  assert {
    condition = alltrue([
      for task in aws_ecs_task_definition.this : jsondecode(task.container_definitions)[0].user == "10001:10001"
    ])
    error_message = "nobody is root, whatever the image says"
  }
  assert {
    condition = {
      for key, task in aws_ecs_task_definition.this : key => try(jsondecode(task.container_definitions)[0].healthCheck.command, [])
    } == { api = ["CMD", "claude-proxy", "probe"], worker = ["CMD", "claude-proxy", "probe"], migrate = [] }
    error_message = "what runs on is asked whether it is alive; a migration ends by itself"
  }
  assert {
    condition = {
      for key, task in aws_ecs_task_definition.this : key => jsondecode(task.container_definitions)[0].command
    } == { api = ["serve"], worker = ["worker"], migrate = ["migrate", "--with-queue"] }
    error_message = "one image, three words"
  }
  assert {
    condition = alltrue([
      for service in [aws_ecs_service.api["api"], aws_ecs_service.worker] :
      service.deployment_circuit_breaker[0].rollback && service.deployment_minimum_healthy_percent == 100
    ])
    error_message = "new tasks come before old ones go, and a deployment that fails is taken back"
  }
  assert {
    condition     = aws_ecs_service.api["canary"].desired_count == 0 && aws_ecs_service.api["api"].desired_count == 1
    error_message = "no canary until a release wants one"
  }
  assert {
    condition     = aws_appautoscaling_policy.worker_backlog.target_tracking_scaling_policy_configuration[0].target_value == 48
    error_message = "75 % of what a worker runs at once"
  }
  assert {
    condition     = length(one(aws_appautoscaling_policy.api_streams.target_tracking_scaling_policy_configuration[0].customized_metric_specification).metrics) == 3
    error_message = "open streams of a task are computed"
  }
}
