variable "name" { type = string }
variable "account_id" { type = string }
variable "recovery_window_days" { type = number }
