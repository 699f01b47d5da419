# What differs between installations is set in envs/<env>/settings.tfvars; a value that still has REPLACE in it ends
# the plan. Secrets are not here: they are values of the secret that modules/secrets makes, and TF_VAR_origin_secrets.

variable "region" {
  description = "Region of everything but the edge."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's name, such as eu-west-1. Set it in envs/<env>/settings.tfvars."
  }
}

variable "environment" {
  description = "staging or prod; a tag, and part of the state's key."
  type        = string
  validation {
    condition     = contains(["staging", "prod"], var.environment)
    error_message = "environment must be staging or prod."
  }
}

variable "name" {
  description = "Prefix of all names. Two installations in one account and region need two."
  type        = string
  default     = "claude-proxy"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 22 lower-case letters, digits and hyphens: a load balancer's name has 32."
  }
}

variable "state_bucket" {
  description = "Bucket of the state, made by bootstrap/. Read by infra/scripts/tf.sh."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be a bucket's name. Set it in envs/<env>/settings.tfvars."
  }
}

# Time: one value decides (locals.tf).

variable "longest_stream_seconds" {
  description = "The longest answer. Sets the idle timeout, the deregistration delay and every drain."
  type        = number
  default     = 1800
  validation {
    condition     = var.longest_stream_seconds == floor(var.longest_stream_seconds) && var.longest_stream_seconds >= 120 && var.longest_stream_seconds <= 3600
    error_message = "longest_stream_seconds must be 120 to 3600: a target group drains for an hour at most."
  }
}

variable "ping_interval_seconds" {
  description = "Silence in a stream after which the gateway sends a ping."
  type        = number
  default     = 15
  validation {
    condition     = var.ping_interval_seconds >= 1 && var.ping_interval_seconds <= 30
    error_message = "ping_interval_seconds must be 1 to 30."
  }
}

variable "origin_read_timeout_seconds" {
  description = "Silence of the origin that CloudFront bears. More than 60 needs a quota of your account."
  type        = number
  default     = 60
  validation {
    condition     = var.origin_read_timeout_seconds <= 180 && var.origin_read_timeout_seconds >= 2 * var.ping_interval_seconds + 10
    error_message = "origin_read_timeout_seconds must leave room for two pings and 10 s, and be 180 at most."
  }
}

# Names and certificates.

variable "domain_names" {
  description = "Names under which clients call; the certificates below are for them."
  type        = list(string)
  validation {
    condition     = length(var.domain_names) > 0 && alltrue([for name in var.domain_names : can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", name))])
    error_message = "domain_names must be host names. Set them in envs/<env>/settings.tfvars."
  }
}

variable "edge_certificate_arn" {
  description = "ACM certificate of the domain names in us-east-1, for CloudFront."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:acm:us-east-1:[0-9]{12}:certificate/[0-9a-f-]+$", var.edge_certificate_arn))
    error_message = "edge_certificate_arn must be the ARN of an ACM certificate in us-east-1."
  }
}

variable "alb_certificate_arn" {
  description = "ACM certificate of the domain names in the region, for the load balancer: the Host header is forwarded."
  type        = string
  validation {
    condition     = can(regex("^arn:aws:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]+$", var.alb_certificate_arn))
    error_message = "alb_certificate_arn must be the ARN of an ACM certificate."
  }
}

variable "origin_secrets" {
  description = "What CloudFront says in x-origin-verify: the first is sent, all are accepted (two while rotating)."
  type        = list(string)
  sensitive   = true
  validation {
    condition     = length(var.origin_secrets) >= 1 && length(var.origin_secrets) <= 2 && alltrue([for each in var.origin_secrets : can(regex("^[A-Za-z0-9]{32,128}$", each))])
    error_message = "origin_secrets must be one or two texts of 32 to 128 letters and digits: TF_VAR_origin_secrets."
  }
}

# Network.

variable "existing_network" {
  description = "A VPC that is there; null makes one. Private subnets need a way out to the Internet."
  type = object({
    vpc_id             = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
  default = null
  validation {
    condition = var.existing_network == null ? true : (
      can(regex("^vpc-[0-9a-f]+$", var.existing_network.vpc_id)) &&
      length(var.existing_network.public_subnet_ids) >= 2 && length(var.existing_network.private_subnet_ids) >= 2
    )
    error_message = "existing_network must have a vpc_id and two subnets or more of each kind."
  }
}

variable "vpc_cidr" {
  description = "Addresses of a new VPC."
  type        = string
  default     = "10.40.0.0/16"
  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 15)) && tonumber(split("/", var.vpc_cidr)[1]) <= 20
    error_message = "vpc_cidr must be a range of /20 or larger."
  }
}

variable "availability_zones" {
  description = "How many zones a new VPC spans."
  type        = number
  default     = 2
  validation {
    condition     = contains([2, 3], var.availability_zones)
    error_message = "availability_zones must be 2 or 3."
  }
}

variable "nat_gateway_per_zone" {
  description = "One NAT gateway a zone; else one for all, which is cheaper and fails with its zone."
  type        = bool
  default     = true
}

variable "admin_cidrs" {
  description = "Addresses inside of the network that may reach the admin listener (metrics, admin API). Empty: none."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for each in var.admin_cidrs : can(cidrhost(each, 0)) && !endswith(each, "/0")])
    error_message = "admin_cidrs must be address ranges, and never everything: metrics ask for no credential."
  }
}

variable "database_ports" {
  description = "Ports of PostgreSQL that tasks may call: 5432 direct, 6543 Supabase's transaction pooler."
  type        = list(number)
  default     = [5432, 6543]
}

# The services.

variable "image_tag" {
  description = "Tag in the task definitions that Terraform registers. Best one that the registry does not have: releases bring the image, and rollbacks pass over it."
  type        = string
  default     = "bootstrap"
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag must be the tag of one build: never latest, tags are immutable."
  }
}

variable "api" {
  description = "Size and number of API tasks."
  type = object({
    cpu                = optional(number, 1024)
    memory             = optional(number, 4096)
    tasks_min          = optional(number, 2)
    tasks_max          = optional(number, 10)
    cpu_percent        = optional(number, 60)
    streams_per_task   = optional(number, 1000)
    in_flight_body_mib = optional(number, 1024)
  })
  default = {}
  validation {
    condition     = var.api.tasks_min >= 1 && var.api.tasks_max >= var.api.tasks_min && var.api.in_flight_body_mib <= var.api.memory / 2
    error_message = "api: 1 <= tasks_min <= tasks_max, and bodies in flight may take half of the memory."
  }
}

variable "worker" {
  description = "Size and number of worker tasks."
  type = object({
    cpu                = optional(number, 512)
    memory             = optional(number, 2048)
    tasks_min          = optional(number, 1)
    tasks_max          = optional(number, 10)
    jobs_concurrency   = optional(number, 64)
    backlog_percent    = optional(number, 75)
    oldest_seconds_max = optional(number, 60)
  })
  default = {}
  validation {
    condition     = var.worker.tasks_min >= 1 && var.worker.tasks_max >= var.worker.tasks_min
    error_message = "worker: 1 <= tasks_min <= tasks_max."
  }
  validation {
    condition     = var.worker.backlog_percent >= 10 && var.worker.backlog_percent <= 100
    error_message = "worker: backlog_percent must be 10 to 100."
  }
}

variable "settings" {
  description = "More settings of .env.example for all tasks. No secrets: everybody who may see the task reads them."
  type        = map(string)
  default     = {}
  validation {
    condition     = length([for key in keys(var.settings) : key if can(regex("(KEY|KEYS|PEPPER|SECRET|TOKEN|PASSWORD|PASSWD)$|^DATABASE_", key))]) == 0
    error_message = "settings may not hold keys, peppers, tokens, secrets or database URLs: they belong in the secret."
  }
}

variable "queue_receives_max" {
  description = "Receives of a message after which it goes to the dead-letter queue."
  type        = number
  default     = 10
  validation {
    condition     = var.queue_receives_max >= 3 && var.queue_receives_max <= 1000
    error_message = "queue_receives_max must be 3 to 1000."
  }
}

variable "cache" {
  description = "Valkey: limits shared by replicas, wake-ups. Two nodes or more fail over."
  type = object({
    node_type = optional(string, "cache.t4g.small")
    nodes     = optional(number, 2)
  })
  default = {}
  validation {
    condition     = var.cache.nodes >= 1 && var.cache.nodes <= 6 && startswith(var.cache.node_type, "cache.")
    error_message = "cache: 1 to 6 nodes of a type that begins with cache."
  }
}

# The edge.

variable "waf_mode" {
  description = "count: rules only count. block: they act. Begin with count, look, then block."
  type        = string
  default     = "count"
  validation {
    condition     = contains(["count", "block"], var.waf_mode)
    error_message = "waf_mode must be count or block."
  }
}

variable "waf_requests_per_5_minutes" {
  description = "Requests of one address in five minutes; whole offices may share one."
  type        = number
  default     = 20000
  validation {
    condition     = var.waf_requests_per_5_minutes >= 10 && var.waf_requests_per_5_minutes <= 2000000000
    error_message = "waf_requests_per_5_minutes must be 10 to 2000000000."
  }
}

variable "waf_uninspected_paths" {
  description = "Paths whose bodies no rule may read: prompts look like attacks and exceed the inspection size."
  type        = list(string)
  default     = ["/v1/messages", "/v1/jobs", "/v1/files", "/v1/skills", "/v1/chat/completions"]
  validation {
    condition     = contains(var.waf_uninspected_paths, "/v1/messages") && contains(var.waf_uninspected_paths, "/v1/jobs")
    error_message = "waf_uninspected_paths must have /v1/messages and /v1/jobs."
  }
}

variable "price_class" {
  description = "Where CloudFront answers."
  type        = string
  default     = "PriceClass_100"
  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "price_class must be PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}

# Watching and keeping.

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch knows: 7, 14, 30, 60, 90, 180, 365."
  }
}

variable "alarm_emails" {
  description = "Who hears of alarms. Each address has to confirm."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for each in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[a-z]+$", each)) && !strcontains(each, "REPLACE")])
    error_message = "alarm_emails must be addresses. Set them in envs/<env>/settings.tfvars."
  }
}

variable "alb_access_logs_bucket" {
  description = "Bucket for the load balancer's access logs; null: none."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "The load balancer cannot be destroyed, the registry must be empty, the secret is kept for 30 days."
  type        = bool
  default     = true
}
