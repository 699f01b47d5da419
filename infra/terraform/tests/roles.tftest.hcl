# Least privilege, a role each; and encryption at rest.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name              = "claude-proxy"
  region            = "eu-west-1"
  account_id        = "000000000000"
  repository_arn    = "arn:aws:ecr:eu-west-1:000000000000:repository/claude-proxy"
  log_group_arn     = "arn:aws:logs:eu-west-1:000000000000:log-group:/ecs/claude-proxy"
  secret_arn        = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:claude-proxy-secrets-abcdef"
  key_arn           = "arn:aws:kms:eu-west-1:000000000000:key/1"
  queue_arn         = "arn:aws:sqs:eu-west-1:000000000000:claude-proxy-jobs"
  dead_queue_arn    = "arn:aws:sqs:eu-west-1:000000000000:claude-proxy-jobs-dead"
  listener_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:000000000000:listener-rule/app/claude-proxy/1/2/3"
}

run "a_role_each" {
  command = plan
  module { source = "./modules/iam" }
  assert {
    condition     = toset(keys(aws_iam_role.task)) == toset(["api", "worker", "migrate"])
    error_message = "API, worker, migration"
  }
  assert {
    condition = alltrue([
      for document in data.aws_iam_policy_document.task :
      [for statement in document.statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")] == [toset([var.secret_arn])]
    ])
    error_message = "exactly one secret"
  }
  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.task : [
        for statement in document.statement : alltrue([for each in concat(tolist(statement.actions), tolist(statement.resources)) : !strcontains(each, "*")])
      ]
    ]))
    error_message = "a task's role has no wildcard"
  }
  assert {
    condition = toset(flatten([
      for statement in data.aws_iam_policy_document.task["api"].statement : tolist(statement.actions) if contains(statement.resources, var.queue_arn)
    ])) == toset(["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"])
    error_message = "the API announces, and takes nothing"
  }
  assert {
    condition = toset(flatten([
      for statement in data.aws_iam_policy_document.task["migrate"].statement : tolist(statement.actions) if contains(statement.resources, var.queue_arn)
    ])) == toset(["sqs:GetQueueUrl", "sqs:GetQueueAttributes"])
    error_message = "the migration looks"
  }
  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.task : [
        for statement in document.statement : one(statement.condition).variable == "kms:ViaService" if contains(statement.actions, "kms:Decrypt")
      ]
    ]))
    error_message = "the key is used through Secrets Manager"
  }
  assert {
    condition     = toset([for each in data.aws_iam_policy_document.ecs_tasks.statement[0].condition : each.variable]) == toset(["aws:SourceAccount", "aws:SourceArn"])
    error_message = "nobody else's ECS may take the roles"
  }
}

run "who_releases_reads_no_secret" {
  command = plan
  module { source = "./modules/iam" }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.deploy.statement : alltrue([for action in statement.actions : !startswith(action, "secretsmanager:") && !startswith(action, "kms:")])
    ])
    error_message = "no secret"
  }
  assert {
    condition = toset(flatten([
      for statement in data.aws_iam_policy_document.deploy.statement : tolist(statement.actions)
      if statement.sid == "OurRolesOnly" ? false : contains(statement.resources, "*") # its resources are not known yet
      ])) == toset([
      "ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:DescribeTasks", "ecs:ListTasks",
      "elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetHealth",
    ])
    error_message = "everything is allowed on everything only where Amazon knows no resources"
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.deploy.statement : one(statement.condition).variable == "ecs:cluster"
      && toset(one(statement.condition).values) == toset(["arn:aws:ecs:eu-west-1:000000000000:cluster/claude-proxy"])
      if length(setintersection(statement.actions, ["ecs:RunTask", "ecs:DescribeTasks", "ecs:ListTasks"])) > 0
    ])
    error_message = "tasks of our cluster only"
  }
}

run "the_secret_has_a_key_of_its_own_and_no_value" {
  command = plan
  module { source = "./modules/secrets" }
  variables { recovery_window_days = 30 }
  assert {
    condition     = aws_secretsmanager_secret.this.name == "claude-proxy-secrets" && aws_secretsmanager_secret.this.recovery_window_in_days == 30
    error_message = "the name that tasks ask for"
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key is rotated"
  }
}

run "queues_are_encrypted_and_lose_nothing" {
  command = plan
  module { source = "./modules/sqs" }
  variables { receives_max = 10 }
  assert {
    condition     = aws_sqs_queue.jobs.sqs_managed_sse_enabled && aws_sqs_queue.dead.sqs_managed_sse_enabled
    error_message = "encrypted"
  }
  assert {
    condition     = aws_sqs_queue.dead.name == "claude-proxy-jobs-dead" && aws_sqs_queue.dead.message_retention_seconds == 1209600
    error_message = "as migrate --with-queue makes it"
  }
  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.tls_only : [for each in document.statement : each.effect == "Deny" && one(each.condition).variable == "aws:SecureTransport"]
    ]))
    error_message = "not over plain http"
  }
}

run "the_queue_of_dead_letters_belongs_to_the_queue" {
  command = apply
  module { source = "./modules/sqs" }
  variables { receives_max = 10 }
  assert {
    condition     = jsondecode(aws_sqs_queue.jobs.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 10 }
    error_message = "redrive"
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead.redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = [aws_sqs_queue.jobs.arn] }
    error_message = "nobody else's dead letters"
  }
}

run "images_are_what_they_were" {
  command = plan
  module { source = "./modules/ecr" }
  variables { force_delete = false }
  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "tags are immutable, images are scanned"
  }
}

run "the_cache_is_encrypted_and_fails_over" {
  command = plan
  module { source = "./modules/cache" }
  variables {
    node_type         = "cache.t4g.small"
    nodes             = 2
    subnet_ids        = ["subnet-1", "subnet-2"]
    security_group_id = "sg-1"
  }
  assert {
    condition     = tobool(aws_elasticache_replication_group.this.at_rest_encryption_enabled) && aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "encrypted, and not to be had otherwise"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled && aws_elasticache_replication_group.this.engine == "valkey"
    error_message = "two nodes fail over"
  }
}
