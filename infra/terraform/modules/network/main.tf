# The network: a new VPC with public subnets (load balancer, NAT) and private ones (tasks, cache), or one that is there.
# The security groups are made in either case; each names the only group or list that may come in.

locals {
  made  = var.existing == null
  zones = local.made ? slice(data.aws_availability_zones.all[0].names, 0, var.availability_zones) : []
  nats  = local.made ? (var.nat_gateway_per_zone ? local.zones : slice(local.zones, 0, 1)) : []

  vpc_id             = local.made ? aws_vpc.this[0].id : var.existing.vpc_id
  public_subnet_ids  = local.made ? [for zone in local.zones : aws_subnet.public[zone].id] : var.existing.public_subnet_ids
  private_subnet_ids = local.made ? [for zone in local.zones : aws_subnet.private[zone].id] : var.existing.private_subnet_ids

  # Where the load balancer's own addresses are.
  public_subnet_cidrs = local.made ? [for zone in local.zones : aws_subnet.public[zone].cidr_block] : [
    for id in var.existing.public_subnet_ids : data.aws_subnet.public[id].cidr_block
  ]
}

data "aws_subnet" "public" {
  for_each = local.made ? toset([]) : toset(var.existing.public_subnet_ids)
  id       = each.key
}

data "aws_availability_zones" "all" {
  count = local.made ? 1 : 0
  state = "available"
}

data "aws_region" "current" {}

resource "aws_vpc" "this" {
  count                = local.made ? 1 : 0
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# The group that things without one of their own would get: it allows nothing.
resource "aws_default_security_group" "none" {
  count  = local.made ? 1 : 0
  vpc_id = aws_vpc.this[0].id
}

resource "aws_internet_gateway" "this" {
  count  = local.made ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each          = toset(local.zones)
  vpc_id            = local.vpc_id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, index(local.zones, each.key))
  tags              = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each          = toset(local.zones)
  vpc_id            = local.vpc_id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, 8 + index(local.zones, each.key))
  tags              = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table" "public" {
  count  = local.made ? 1 : 0
  vpc_id = local.vpc_id
  tags   = { Name = "${var.name}-public" }
}

resource "aws_route" "out" {
  count                  = local.made ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each       = toset(local.zones)
  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_eip" "nat" {
  for_each = toset(local.nats)
  domain   = "vpc"
  tags     = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each      = toset(local.nats)
  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "${var.name}-${each.key}" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "private" {
  for_each = toset(local.zones)
  vpc_id   = local.vpc_id
  tags     = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route" "nat" {
  for_each               = toset(local.zones)
  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[var.nat_gateway_per_zone ? each.key : local.nats[0]].id
}

resource "aws_route_table_association" "private" {
  for_each       = toset(local.zones)
  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

# Layers of images come from S3: without this they would go through, and be paid at, the NAT gateways.
resource "aws_vpc_endpoint" "s3" {
  count             = local.made ? 1 : 0
  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${data.aws_region.current.name}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for zone in local.zones : aws_route_table.private[zone].id]
}
