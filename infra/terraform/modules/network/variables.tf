variable "name" { type = string }
variable "existing" {
  type = object({
    vpc_id             = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
}
variable "vpc_cidr" { type = string }
variable "availability_zones" { type = number }
variable "nat_gateway_per_zone" { type = bool }
variable "ports" { type = object({ public = number, admin = number }) }
variable "admin_cidrs" { type = list(string) }
variable "database_ports" { type = list(number) }
