locals {
  # Title, and rows of metrics as CloudWatch writes them; two graphs a line.
  graphs = [
    { title = "Requests and own failures", stat = "Sum", metrics = [[local.namespace, "Requests"], [local.namespace, "OwnFailures"]] },
    { title = "Our own share of a request (ms)", stat = "p95", metrics = [[local.namespace, "OverheadMs"], [local.namespace, "OverheadMs", { stat = "p50" }]] },
    { title = "Answers at the load balancer", stat = "Sum", metrics = [for code in ["Target_2XX", "Target_4XX", "Target_5XX", "ELB_5XX"] : ["AWS/ApplicationELB", "HTTPCode_${code}_Count", "LoadBalancer", var.alb_arn_suffix]] },
    { title = "Connections", stat = "Sum", metrics = [["AWS/ApplicationELB", "ActiveConnectionCount", "LoadBalancer", var.alb_arn_suffix]] },
    { title = "Tasks", stat = "Average", metrics = [for service in values(var.service_names) : ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", var.cluster_name, "ServiceName", service]] },
    { title = "CPU (%)", stat = "Average", metrics = [for service in values(var.service_names) : ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster_name, "ServiceName", service]] },
    { title = "Jobs waiting and running", stat = "Maximum", metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.queue_name], ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", var.queue_name]] },
    { title = "Dead letters", stat = "Maximum", metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_queue_name]] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      for index, graph in local.graphs : {
        type   = "metric"
        x      = 12 * (index % 2)
        y      = 6 * floor(index / 2)
        width  = 12
        height = 6
        properties = {
          title   = graph.title
          region  = var.region
          view    = "timeSeries"
          period  = 60
          stat    = graph.stat
          metrics = graph.metrics
        }
      }
    ]
  })
}
