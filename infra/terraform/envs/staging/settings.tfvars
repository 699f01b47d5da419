# Everything of this installation that is not a secret. What says REPLACE has to be filled in before the first plan.

region       = "REPLACE-region" # such as eu-west-1
environment  = "staging"
name         = "claude-proxy"   # one account an environment; in a shared account give each a name of its own
state_bucket = "REPLACE-bucket" # as made by infra/terraform/bootstrap

domain_names         = ["REPLACE.example.com"]
edge_certificate_arn = "arn:aws:acm:us-east-1:REPLACE-account:certificate/REPLACE-id"
alb_certificate_arn  = "arn:aws:acm:REPLACE-region:REPLACE-account:certificate/REPLACE-id"
alarm_emails         = ["REPLACE@example.com"]

# A network that is there, instead of a new one:
# existing_network = {
#   vpc_id             = "vpc-..."
#   public_subnet_ids  = ["subnet-...", "subnet-..."]
#   private_subnet_ids = ["subnet-...", "subnet-..."]
# }
vpc_cidr             = "10.40.0.0/16"
nat_gateway_per_zone = false

longest_stream_seconds = 600 # the longest answer; also how long a release takes to let go of a task
waf_mode               = "count"
image_tag              = "bootstrap" # no tag of the registry: releases bring the image, and rollbacks pass over this one
log_retention_days     = 14
deletion_protection    = false

api    = { cpu = 512, memory = 2048, tasks_min = 1, tasks_max = 3 }
worker = { cpu = 512, memory = 2048, tasks_min = 1, tasks_max = 3 }
cache  = { nodes = 1 }
