variable "name" { type = string }
variable "force_delete" { type = bool }
