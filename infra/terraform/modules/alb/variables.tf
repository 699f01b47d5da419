variable "name" { type = string }
variable "vpc_id" { type = string }
variable "subnet_ids" { type = list(string) }
variable "security_group_id" { type = string }
variable "certificate_arn" { type = string }
variable "origin_secrets" {
  type      = list(string)
  sensitive = true
}
variable "port" { type = number }
variable "idle_timeout" { type = number }
variable "deregistration_delay" { type = number }
variable "access_logs_bucket" { type = string }
variable "deletion_protection" { type = bool }
