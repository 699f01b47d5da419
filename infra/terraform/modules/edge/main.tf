# CloudFront: nothing is cached, everything is forwarded. The provider of this module is that of us-east-1.

locals {
  # Amazon's own policies; their ids are the same in every account.
  caching_disabled = "4135ea2d-6df8-44a3-9df3-5b5a84be39ad"
  all_viewer       = "216adef6-2c7f-47e4-b989-5492eafa07d3" # every header (authorization and host too), query, cookie

  # Also where caching is disabled CloudFront keeps errors for ten seconds, by path: one caller would get another's 404.
  kept_errors = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504]
}

resource "aws_cloudfront_distribution" "this" {
  enabled         = true
  comment         = var.name
  aliases         = var.domain_names
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = var.price_class
  web_acl_id      = aws_wafv2_web_acl.this.arn

  origin {
    origin_id           = "alb"
    domain_name         = var.origin_dns_name
    connection_attempts = 2
    connection_timeout  = 5

    custom_origin_config {
      http_port                = 80
      https_port               = 443
      origin_protocol_policy   = "https-only"
      origin_ssl_protocols     = ["TLSv1.2"]
      origin_read_timeout      = var.origin_read_timeout # between two packets: pings keep a stream below it
      origin_keepalive_timeout = 60                      # shorter than the load balancer's patience
    }

    custom_header {
      name  = "x-origin-verify"
      value = var.origin_secret
    }
  }

  default_cache_behavior {
    target_origin_id         = "alb"
    viewer_protocol_policy   = "https-only" # a redirect would already have sent the key in the clear
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
    cache_policy_id          = local.caching_disabled
    origin_request_policy_id = local.all_viewer
    compress                 = false # what is compressed is held back
  }

  dynamic "custom_error_response" {
    for_each = local.kept_errors
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = 0
    }
  }

  viewer_certificate {
    acm_certificate_arn      = var.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  restrictions {
    geo_restriction { restriction_type = "none" }
  }
}
