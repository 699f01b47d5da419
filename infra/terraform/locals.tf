locals {
  tags = {
    application = var.name
    environment = var.environment
    managed-by  = "terraform"
  }

  # Every time that has to do with the end of a stream comes from the longest one.
  #
  # A release or scale-in first takes a task out of the target group. For deregistration_delay its streams go on, and no
  # new request comes. Only then ECS sends SIGTERM, with stop_timeout to live, of which Fargate gives 120 s at most:
  # too little for streams, so nothing but stragglers may be left by then.
  times = {
    idle_timeout         = var.longest_stream_seconds # silence that the load balancer bears: an answer that is no stream has it
    deregistration_delay = var.longest_stream_seconds
    # The load balancer closes an idle connection to a task first; else it sends a request into one being closed: 502.
    keep_alive_timeout = var.longest_stream_seconds + 60
    # A call upstream ends before the load balancer loses patience, with the wait for a budget before it.
    upstream_total_timeout = var.longest_stream_seconds - 60
    drain_delay            = 5
    drain_timeout          = min(120, var.longest_stream_seconds) - 15 # and 5 s for the last events, 5 s for the ledger
    stop_timeout           = min(120, var.longest_stream_seconds)
  }

  listen = { public = 8080, admin = 8081 }
}
