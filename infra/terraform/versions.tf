terraform {
  required_version = ">= 1.10" # S3 state is locked by a file beside it (use_lockfile) from here on

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.90"
    }
  }

  # Bucket, key and region come from envs/<env>/settings.tfvars, by infra/scripts/tf.sh.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags { tags = local.tags }
}

# CloudFront takes its web ACL and its certificate from here only, and puts its metrics here.
provider "aws" {
  alias  = "us_east_1"
  region = "us-east-1"
  default_tags { tags = local.tags }
}
