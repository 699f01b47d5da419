# Nothing is cached, everything is forwarded, and no rule that reads bodies sees a prompt.

mock_provider "aws" {}

variables {
  name                   = "claude-proxy"
  domain_names           = ["api.example.com"]
  certificate_arn        = "arn:aws:acm:us-east-1:000000000000:certificate/1"
  origin_dns_name        = "alb.example"
  origin_secret          = "0123456789abcdef0123456789abcdef"
  origin_read_timeout    = 60
  price_class            = "PriceClass_100"
  waf_mode               = "count"
  requests_per_5_minutes = 20000
  uninspected_paths      = ["/v1/messages", "/v1/jobs", "/v1/files"]
  log_retention_days     = 30
}

run "cloudfront_only_carries" {
  command = plan
  module { source = "./modules/edge" }
  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].cache_policy_id == "4135ea2d-6df8-44a3-9df3-5b5a84be39ad"
    error_message = "Amazon's policy CachingDisabled"
  }
  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].origin_request_policy_id == "216adef6-2c7f-47e4-b989-5492eafa07d3"
    error_message = "Amazon's policy AllViewer"
  }
  assert {
    condition     = length(aws_cloudfront_distribution.this.ordered_cache_behavior) == 0 && !aws_cloudfront_distribution.this.default_cache_behavior[0].compress
    error_message = "one behaviour for all, and no compression"
  }
  assert {
    condition     = length(aws_cloudfront_distribution.this.default_cache_behavior[0].allowed_methods) == 7
    error_message = "every method"
  }
  assert {
    condition = toset([
      for each in aws_cloudfront_distribution.this.custom_error_response : each.error_code if each.error_caching_min_ttl == 0
    ]) == toset([400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504])
    error_message = "errors are not kept either"
  }
  assert {
    condition     = one(aws_cloudfront_distribution.this.origin).custom_origin_config[0].origin_protocol_policy == "https-only" && one(aws_cloudfront_distribution.this.origin).custom_origin_config[0].origin_read_timeout == 60
    error_message = "https to the origin, with its patience"
  }
  assert {
    condition     = one(one(aws_cloudfront_distribution.this.origin).custom_header).name == "x-origin-verify"
    error_message = "the header that opens the load balancer"
  }
  assert {
    condition     = aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021" && aws_cloudfront_distribution.this.default_cache_behavior[0].viewer_protocol_policy == "https-only"
    error_message = "TLS for callers"
  }
}

run "rules_that_read_bodies_do_not_see_prompts" {
  command = plan
  module { source = "./modules/edge" }
  assert {
    condition = toset([
      for rule in aws_wafv2_web_acl.this.rule : rule.name
      if length(rule.statement[0].managed_rule_group_statement) > 0 && length(try(rule.statement[0].managed_rule_group_statement[0].scope_down_statement, [])) > 0
    ]) == toset(["common", "known_bad"])
    error_message = "the groups that read bodies are scoped down"
  }
  assert {
    condition = alltrue([
      for rule in aws_wafv2_web_acl.this.rule : toset([
        for statement in rule.statement[0].managed_rule_group_statement[0].scope_down_statement[0].not_statement[0].statement[0].or_statement[0].statement :
        statement.byte_match_statement[0].search_string if statement.byte_match_statement[0].positional_constraint == "STARTS_WITH" && length(statement.byte_match_statement[0].field_to_match[0].uri_path) == 1
      ]) == toset(["/v1/messages", "/v1/jobs", "/v1/files"])
      if contains(["common", "known_bad"], rule.name)
    ])
    error_message = "by the beginning of the path, and nothing else"
  }
  assert {
    condition = toset([
      for rule in aws_wafv2_web_acl.this.rule : rule.statement[0].managed_rule_group_statement[0].name
      if length(rule.statement[0].managed_rule_group_statement) > 0
    ]) == toset(["AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"])
    error_message = "a new managed group needs a thought about bodies"
  }
}

run "count_mode_blocks_nothing" {
  command = plan
  module { source = "./modules/edge" }
  assert {
    condition = alltrue([
      for rule in aws_wafv2_web_acl.this.rule :
      rule.name == "rate" ? length(rule.action[0].count) == 1 && length(rule.action[0].block) == 0 : length(rule.override_action[0].count) == 1 && length(rule.override_action[0].none) == 0
    ])
    error_message = "every rule counts"
  }
  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this.rule : rule.statement[0].rate_based_statement[0].limit if rule.name == "rate"]) == 20000
    error_message = "the rate"
  }
}

run "block_mode_acts" {
  command = plan
  module { source = "./modules/edge" }
  variables { waf_mode = "block" }
  assert {
    condition = alltrue([
      for rule in aws_wafv2_web_acl.this.rule :
      rule.name == "rate" ? length(rule.action[0].block) == 1 && length(rule.action[0].count) == 0 : length(rule.override_action[0].none) == 1 && length(rule.override_action[0].count) == 0
    ])
    error_message = "every rule acts"
  }
  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this.rule : rule.action[0].block[0].custom_response[0].response_code if rule.name == "rate"]) == 429
    error_message = "an answer that SDKs understand"
  }
}

run "no_key_reaches_a_log" {
  command = plan
  module { source = "./modules/edge" }
  assert {
    condition = toset([
      for field in aws_wafv2_web_acl_logging_configuration.this.redacted_fields : field.single_header[0].name
    ]) == toset(["authorization", "cookie", "x-api-key"])
    error_message = "redacted"
  }
  assert {
    condition     = alltrue([for rule in aws_wafv2_web_acl.this.rule : !rule.visibility_config[0].sampled_requests_enabled])
    error_message = "samples show headers"
  }
}
