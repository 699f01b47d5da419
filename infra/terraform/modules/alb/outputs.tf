output "dns_name" { value = aws_lb.this.dns_name }
output "arn_suffix" { value = aws_lb.this.arn_suffix }
output "listener_rule_arn" { value = aws_lb_listener_rule.from_cloudfront.arn }
output "target_group_arns" { value = { for key, group in aws_lb_target_group.this : key => group.arn } }
output "target_group_suffixes" { value = { for key, group in aws_lb_target_group.this : key => group.arn_suffix } }
