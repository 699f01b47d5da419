variable "name" { type = string }
variable "domain_names" { type = list(string) }
variable "certificate_arn" { type = string }
variable "origin_dns_name" { type = string }
variable "origin_secret" {
  type      = string
  sensitive = true
}
variable "origin_read_timeout" { type = number }
variable "price_class" { type = string }
variable "waf_mode" { type = string }
variable "requests_per_5_minutes" { type = number }
variable "uninspected_paths" { type = list(string) }
variable "log_retention_days" { type = number }
