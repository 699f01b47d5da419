variable "name" { type = string }
variable "receives_max" { type = number }
