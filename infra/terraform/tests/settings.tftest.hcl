# What cannot be meant is refused, and says where to correct it.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["zone-a", "zone-b", "zone-c"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_subnet" {
    defaults = { cidr_block = "10.41.0.0/24" }
  }
}
mock_provider "aws" {
  alias = "us_east_1"
}

variables {
  region               = "eu-west-1"
  environment          = "staging"
  state_bucket         = "state-of-a-test"
  domain_names         = ["api.example.com"]
  edge_certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/1"
  alb_certificate_arn  = "arn:aws:acm:eu-west-1:000000000000:certificate/1"
  origin_secrets       = ["0123456789abcdef0123456789abcdef"]
}

run "placeholders_are_refused" {
  command = plan
  variables {
    region               = "REPLACE-region"
    state_bucket         = "REPLACE-bucket"
    domain_names         = ["REPLACE.example.com"]
    edge_certificate_arn = "arn:aws:acm:us-east-1:REPLACE-account:certificate/REPLACE-id"
    alb_certificate_arn  = "arn:aws:acm:REPLACE-region:REPLACE-account:certificate/REPLACE-id"
    alarm_emails         = ["REPLACE@example.com"]
  }
  expect_failures = [
    var.region, var.state_bucket, var.domain_names, var.edge_certificate_arn, var.alb_certificate_arn, var.alarm_emails,
  ]
}

run "a_certificate_of_another_region_is_refused" {
  command = plan
  variables { edge_certificate_arn = "arn:aws:acm:eu-west-1:000000000000:certificate/1" }
  expect_failures = [var.edge_certificate_arn]
}

run "secrets_may_not_stand_in_settings" {
  command = plan
  variables { settings = { DATABASE_URL = "postgresql://user@host/db" } }
  expect_failures = [var.settings]
}

run "weak_origin_secrets_are_refused" {
  command = plan
  variables { origin_secrets = ["short"] }
  expect_failures = [var.origin_secrets]
}

run "the_admin_listener_is_never_open_to_all" {
  command = plan
  variables { admin_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.admin_cidrs]
}

run "prompts_cannot_be_put_before_the_rules" {
  command = plan
  variables { waf_uninspected_paths = ["/v1/files", "/v1/messages"] }
  expect_failures = [var.waf_uninspected_paths]
}

run "tags_that_move_are_refused" {
  command = plan
  variables { image_tag = "latest" }
  expect_failures = [var.image_tag]
}

run "only_cloudfront_comes_in" {
  command = plan
  module { source = "./modules/network" }
  variables {
    name                 = "claude-proxy"
    existing             = { vpc_id = "vpc-1", public_subnet_ids = ["subnet-1", "subnet-2"], private_subnet_ids = ["subnet-3", "subnet-4"] }
    vpc_cidr             = "10.40.0.0/16"
    availability_zones   = 2
    nat_gateway_per_zone = true
    ports                = { public = 8080, admin = 8081 }
    admin_cidrs          = ["10.0.0.0/24"]
    database_ports       = [5432]
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.alb_from_cloudfront.cidr_ipv4 == null && data.aws_ec2_managed_prefix_list.cloudfront.name == "com.amazonaws.global.cloudfront.origin-facing"
    error_message = "the load balancer: CloudFront's addresses"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.api_from_alb.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.api_from_alb.from_port == 8080
    error_message = "the API: the load balancer"
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.admin : rule.cidr_ipv4 == "10.0.0.0/24" && rule.from_port == 8081])
    error_message = "the admin listener: who is named"
  }
  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_nat_gateway.this) == 0 && output.vpc_id == "vpc-1"
    error_message = "a network that is there is left alone"
  }
  assert {
    condition     = toset(keys(data.aws_subnet.public)) == toset(["subnet-1", "subnet-2"]) && tolist(output.public_subnet_cidrs) == tolist(["10.41.0.0/24", "10.41.0.0/24"])
    error_message = "the load balancer's addresses are those of its subnets"
  }
}

run "a_made_network_knows_the_load_balancers_addresses" {
  command = plan
  module { source = "./modules/network" }
  variables {
    name                 = "claude-proxy"
    existing             = null
    vpc_cidr             = "10.40.0.0/16"
    availability_zones   = 2
    nat_gateway_per_zone = true
    ports                = { public = 8080, admin = 8081 }
    admin_cidrs          = []
    database_ports       = [5432]
  }
  assert {
    condition     = tolist(output.public_subnet_cidrs) == tolist(["10.40.0.0/20", "10.40.16.0/20"])
    error_message = "the public subnets, and not those of the tasks"
  }
}
