# API: on CPU and on open streams. Workers: on jobs per task and on the oldest message. Several target trackings take
# tasks away only when all agree.

locals {
  scaled = {
    api    = { service = aws_ecs_service.api["api"].name, min = var.api.tasks_min, max = var.api.tasks_max }
    worker = { service = aws_ecs_service.worker.name, min = var.worker.tasks_min, max = var.worker.tasks_max }
  }
  jobs_per_task = floor(var.worker.jobs_concurrency * var.worker.backlog_percent / 100)
}

resource "aws_appautoscaling_target" "this" {
  for_each           = local.scaled
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${each.value.service}"
  min_capacity       = each.value.min
  max_capacity       = each.value.max
}

resource "aws_appautoscaling_policy" "api_cpu" {
  name               = "${var.name}-api-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this["api"].service_namespace
  scalable_dimension = aws_appautoscaling_target.this["api"].scalable_dimension
  resource_id        = aws_appautoscaling_target.this["api"].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.api.cpu_percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    predefined_metric_specification { predefined_metric_type = "ECSServiceAverageCPUUtilization" }
  }
}

# CloudFront speaks HTTP/1.1 to its origin: each running request has one connection to the load balancer and one from
# there to a task, and both are counted. Connections that idle are counted too, so there are never too few tasks.
resource "aws_appautoscaling_policy" "api_streams" {
  name               = "${var.name}-api-streams"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this["api"].service_namespace
  scalable_dimension = aws_appautoscaling_target.this["api"].scalable_dimension
  resource_id        = aws_appautoscaling_target.this["api"].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.api.streams_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    customized_metric_specification {
      metrics {
        id          = "connections"
        return_data = false
        metric_stat {
          stat = "Sum"
          metric {
            namespace   = "AWS/ApplicationELB"
            metric_name = "ActiveConnectionCount"
            dimensions {
              name  = "LoadBalancer"
              value = var.alb_arn_suffix
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.this.name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.api["api"].name
            }
          }
        }
      }
      metrics {
        id          = "per_task"
        label       = "Open streams of one API task"
        expression  = "FILL(connections, 0) / 2 / tasks"
        return_data = true
      }
    }
  }
}

# A worker keeps the message of a job hidden until the job has ended: hidden ones are running, visible ones wait.
resource "aws_appautoscaling_policy" "worker_backlog" {
  name               = "${var.name}-worker-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this["worker"].service_namespace
  scalable_dimension = aws_appautoscaling_target.this["worker"].scalable_dimension
  resource_id        = aws_appautoscaling_target.this["worker"].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = local.jobs_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 900 # what a stopped worker cannot finish begins anew elsewhere, and is paid twice

    customized_metric_specification {
      dynamic "metrics" {
        for_each = { waiting = "ApproximateNumberOfMessagesVisible", running = "ApproximateNumberOfMessagesNotVisible" }
        content {
          id          = metrics.key
          return_data = false
          metric_stat {
            stat = "Average"
            metric {
              namespace   = "AWS/SQS"
              metric_name = metrics.value
              dimensions {
                name  = "QueueName"
                value = var.queue_name
              }
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.this.name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.worker.name
            }
          }
        }
      }
      metrics {
        id          = "per_task"
        label       = "Jobs of one worker task, waiting and running"
        expression  = "(waiting + running) / tasks"
        return_data = true
      }
    }
  }
}

resource "aws_appautoscaling_policy" "worker_oldest" {
  name               = "${var.name}-worker-oldest"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this["worker"].service_namespace
  scalable_dimension = aws_appautoscaling_target.this["worker"].scalable_dimension
  resource_id        = aws_appautoscaling_target.this["worker"].resource_id

  step_scaling_policy_configuration {
    adjustment_type          = "PercentChangeInCapacity"
    min_adjustment_magnitude = 1
    metric_aggregation_type  = "Maximum"
    cooldown                 = 120

    step_adjustment {
      metric_interval_lower_bound = 0
      metric_interval_upper_bound = var.worker.oldest_seconds_max * 4
      scaling_adjustment          = 50
    }
    step_adjustment {
      metric_interval_lower_bound = var.worker.oldest_seconds_max * 4
      scaling_adjustment          = 100
    }
  }
}

# The age counts messages of running jobs too, so it says something only while others wait.
resource "aws_cloudwatch_metric_alarm" "worker_oldest" {
  alarm_name          = "${var.name}-scale-workers"
  alarm_description   = "Jobs wait too long: more workers"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.worker.oldest_seconds_max
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.worker_oldest.arn]

  dynamic "metric_query" {
    for_each = { waiting = "ApproximateNumberOfMessagesVisible", age = "ApproximateAgeOfOldestMessage" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value
        stat        = "Maximum"
        period      = 60
        dimensions  = { QueueName = var.queue_name }
      }
    }
  }
  metric_query {
    id          = "oldest"
    label       = "Age of the oldest message while messages wait"
    expression  = "IF(waiting > 0, age, 0)"
    return_data = true
  }
}
