variable "name" { type = string }
variable "region" { type = string }
variable "image" { type = string }
variable "api" {
  type = object({
    cpu         = number, memory = number, tasks_min = number, tasks_max = number,
    cpu_percent = number, streams_per_task = number, in_flight_body_mib = number
  })
}
variable "worker" {
  type = object({
    cpu              = number, memory = number, tasks_min = number, tasks_max = number,
    jobs_concurrency = number, backlog_percent = number, oldest_seconds_max = number
  })
}
variable "settings" { type = map(string) }
variable "times" {
  type = object({
    keep_alive_timeout = number, upstream_total_timeout = number,
    drain_delay        = number, drain_timeout = number, stop_timeout = number
  })
}
variable "ping_interval" { type = number }
variable "ports" { type = object({ public = number, admin = number }) }
variable "trusted_proxies" { type = object({ cidrs = list(string), hops = number }) }
variable "subnet_ids" { type = list(string) }
variable "security_group_ids" { type = map(string) }
variable "target_group_arns" { type = map(string) }
variable "alb_arn_suffix" { type = string }
variable "role_arns" { type = map(string) }
variable "secret_name" { type = string }
variable "queue_url" { type = string }
variable "queue_name" { type = string }
variable "queue_hidden_for" { type = number }
variable "queue_receives_max" { type = number }
variable "redis_url" { type = string }
variable "log_group_name" { type = string }
