# One secret under a key of its own. Its value is put there by people and infra/scripts, never by Terraform: what
# Terraform knows stands in its state.

resource "aws_kms_key" "this" {
  description             = "${var.name}: the secret"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# The account's own policies decide; modules/iam lets each task role decrypt, and only through Secrets Manager.
data "aws_iam_policy_document" "key" {
  statement {
    sid       = "AccountDecides"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${var.account_id}:root"]
    }
  }
}

resource "aws_secretsmanager_secret" "this" {
  name                    = "${var.name}-secrets"
  description             = "Upstream keys, database URLs, key pepper, JWT secret, admin key: a JSON object of settings"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.recovery_window_days
}
