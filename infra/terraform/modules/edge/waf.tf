# The web ACL. What reads bodies does not see the paths that carry prompts: a prompt may be about SQL injection, and is
# longer than what is inspected. A path that is written otherwise (%6d) is inspected: the mistake is on the safe side.
#
# Not here: Amazon's list of hosting providers (AWSManagedRulesAnonymousIpList): agents run there.

locals {
  blocks = var.waf_mode == "block"

  managed = {
    reputation = { priority = 10, group = "AWSManagedRulesAmazonIpReputationList", reads_bodies = false }
    common     = { priority = 20, group = "AWSManagedRulesCommonRuleSet", reads_bodies = true }
    known_bad  = { priority = 30, group = "AWSManagedRulesKnownBadInputsRuleSet", reads_bodies = true }
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = var.name
  description = "In front of ${var.name}, ${var.waf_mode} mode"
  scope       = "CLOUDFRONT"

  default_action {
    allow {}
  }

  # The SDKs understand this: they wait and try again.
  custom_response_body {
    key          = "too-many"
    content_type = "APPLICATION_JSON"
    content = jsonencode({
      type  = "error"
      error = { type = "rate_limit_error", message = "Too many requests from this address." }
    })
  }

  rule {
    name     = "rate"
    priority = 0

    action {
      dynamic "count" {
        for_each = local.blocks ? [] : [1]
        content {}
      }
      dynamic "block" {
        for_each = local.blocks ? [1] : []
        content {
          custom_response {
            response_code            = 429
            custom_response_body_key = "too-many"
            response_header {
              name  = "retry-after"
              value = "60"
            }
          }
        }
      }
    }

    statement {
      rate_based_statement {
        limit                 = var.requests_per_5_minutes
        evaluation_window_sec = 300
        aggregate_key_type    = "IP"
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-rate"
      sampled_requests_enabled   = false # a sample shows headers, and with them keys
    }
  }

  dynamic "rule" {
    for_each = local.managed
    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        dynamic "count" {
          for_each = local.blocks ? [] : [1]
          content {}
        }
        dynamic "none" {
          for_each = local.blocks ? [1] : []
          content {}
        }
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.value.group

          dynamic "scope_down_statement" {
            for_each = rule.value.reads_bodies ? [1] : []
            content {
              not_statement {
                statement {
                  or_statement {
                    dynamic "statement" {
                      for_each = var.uninspected_paths
                      content {
                        byte_match_statement {
                          search_string         = statement.value
                          positional_constraint = "STARTS_WITH"
                          field_to_match {
                            uri_path {}
                          }
                          text_transformation {
                            priority = 0
                            type     = "NONE"
                          }
                        }
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${replace(rule.key, "_", "-")}"
        sampled_requests_enabled   = false
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = false
  }
}

# WAF writes only to groups with this prefix.
resource "aws_cloudwatch_log_group" "waf" {
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = var.log_retention_days
}

# What was counted or blocked, without the callers' keys.
resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.waf.arn]

  dynamic "redacted_fields" {
    for_each = ["authorization", "cookie", "x-api-key"]
    content {
      single_header { name = redacted_fields.value }
    }
  }

  logging_filter {
    default_behavior = "DROP"
    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"
      condition {
        action_condition { action = "BLOCK" }
      }
      condition {
        action_condition { action = "COUNT" }
      }
      condition {
        action_condition { action = "EXCLUDED_AS_COUNT" }
      }
    }
  }
}
