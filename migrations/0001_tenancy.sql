-- Teams, keys, limits, budgets, prices, the ledger and the audit log.
-- Times are milliseconds since 1970 UTC, money is pico-dollars, lists and objects are JSON.

-- Small facts of the installation: `generation` (counts every change of who may do what), `key_pepper`.
CREATE TABLE claude_proxy.state (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
INSERT INTO claude_proxy.state (name, value) VALUES ('generation', '1');

CREATE TABLE claude_proxy.teams (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  models TEXT NOT NULL DEFAULT '[]',
  tags TEXT NOT NULL DEFAULT '[]',
  metadata TEXT NOT NULL DEFAULT '{}',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  archived_at BIGINT
);

CREATE TABLE claude_proxy.keys (
  id TEXT PRIMARY KEY,
  team_id TEXT NOT NULL REFERENCES claude_proxy.teams (id),
  name TEXT NOT NULL,
  owner TEXT NOT NULL DEFAULT '',
  role TEXT NOT NULL DEFAULT 'client',
  scopes TEXT NOT NULL DEFAULT '[]',
  models TEXT NOT NULL DEFAULT '[]',
  ip_ranges TEXT NOT NULL DEFAULT '[]',
  tags TEXT NOT NULL DEFAULT '[]',
  metadata TEXT NOT NULL DEFAULT '{}',
  expires_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  revoked_at BIGINT
);
CREATE INDEX keys_by_team ON claude_proxy.keys (team_id);

-- HMAC-SHA-256 of each secret under the pepper, in hex. During a rotation a key has two.
CREATE TABLE claude_proxy.key_secrets (
  digest TEXT PRIMARY KEY,
  key_id TEXT NOT NULL REFERENCES claude_proxy.keys (id),
  hint TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT
);
CREATE INDEX key_secrets_by_key ON claude_proxy.key_secrets (key_id);

-- scope: root, team or key; scope_id is empty for root. model_class: a model pattern, empty for all models.
-- 0: no limit of that kind.
CREATE TABLE claude_proxy.limits (
  scope TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  model_class TEXT NOT NULL DEFAULT '',
  requests_per_minute BIGINT NOT NULL DEFAULT 0,
  input_tokens_per_minute BIGINT NOT NULL DEFAULT 0,
  output_tokens_per_minute BIGINT NOT NULL DEFAULT 0,
  concurrent_requests BIGINT NOT NULL DEFAULT 0,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (scope, scope_id, model_class)
);

-- period: day, week (from Monday), month or total, in UTC. hard: 1 refuses, 0 only alerts. alerts: JSON list of percents.
CREATE TABLE claude_proxy.budgets (
  id TEXT PRIMARY KEY,
  scope TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  period TEXT NOT NULL,
  limit_pico BIGINT NOT NULL,
  hard BIGINT NOT NULL DEFAULT 1,
  alerts TEXT NOT NULL DEFAULT '[80,95]',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE (scope, scope_id, period)
);

-- What was spent, by day: every ledger row counts in three scopes. Any budget's period is a sum of days.
CREATE TABLE claude_proxy.spend_daily (
  scope TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  day BIGINT NOT NULL,
  spent_pico BIGINT NOT NULL,
  PRIMARY KEY (scope, scope_id, day)
);

-- A replica may still spend granted - consumed of a budget in one period; its ledger rows raise consumed when they
-- arrive, in their own transaction, together with spend_daily. wanted_until: it could use more than it was given.
CREATE TABLE claude_proxy.budget_leases (
  budget_id TEXT NOT NULL,
  period_start BIGINT NOT NULL,
  replica TEXT NOT NULL,
  granted_pico BIGINT NOT NULL,
  consumed_pico BIGINT NOT NULL,
  wanted_until BIGINT NOT NULL DEFAULT 0,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (budget_id, period_start, replica)
);

CREATE TABLE claude_proxy.budget_alerts (
  budget_id TEXT NOT NULL,
  period_start BIGINT NOT NULL,
  percent BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (budget_id, period_start, percent)
);

CREATE TABLE claude_proxy.price_tables (
  id TEXT PRIMARY KEY,
  yaml TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- The ledger: one row an attempt upstream, append-only. attempt_id is the request id, a dot and the attempt's number.
-- outcome: complete, estimated (the end was not seen), failed (nothing billed), lost (the process died).
-- tags: JSON list. details: JSON object of what is not summed up.
CREATE TABLE claude_proxy.attempts (
  attempt_id TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  finished_at BIGINT NOT NULL,
  replica TEXT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  tags TEXT NOT NULL,
  status BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  input_tokens BIGINT NOT NULL,
  cache_write_5m_tokens BIGINT NOT NULL,
  cache_write_1h_tokens BIGINT NOT NULL,
  cache_read_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  web_searches BIGINT NOT NULL,
  cost_pico BIGINT NOT NULL,
  cost_low_pico BIGINT NOT NULL,
  cost_high_pico BIGINT NOT NULL,
  price_table TEXT NOT NULL,
  details TEXT NOT NULL,
  PRIMARY KEY (attempt_id, started_at)
)
-- only: postgres
PARTITION BY RANGE (started_at)
-- all
;
-- only: postgres
CREATE TABLE claude_proxy.attempts_default PARTITION OF claude_proxy.attempts DEFAULT;
-- all
CREATE INDEX attempts_by_time ON claude_proxy.attempts (started_at);
CREATE INDEX attempts_by_key ON claude_proxy.attempts (key_id, started_at);

-- Requests that were refused after their caller was known, for admin/v1/requests/{id}.
CREATE TABLE claude_proxy.refusals (
  request_id TEXT PRIMARY KEY,
  at BIGINT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  status BIGINT NOT NULL,
  reason TEXT NOT NULL,
  details TEXT NOT NULL
);
CREATE INDEX refusals_by_time ON claude_proxy.refusals (at);

-- Sums of the ledger by hour, written in the transaction of its rows: they always add up.
CREATE TABLE claude_proxy.usage_hourly (
  hour BIGINT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  tags TEXT NOT NULL,
  outcome TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  cache_write_5m_tokens BIGINT NOT NULL,
  cache_write_1h_tokens BIGINT NOT NULL,
  cache_read_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  web_searches BIGINT NOT NULL,
  cost_pico BIGINT NOT NULL,
  cost_low_pico BIGINT NOT NULL,
  cost_high_pico BIGINT NOT NULL,
  PRIMARY KEY (hour, team_id, key_id, model, tags, outcome)
);

CREATE TABLE claude_proxy.audit (
  seq BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  details TEXT NOT NULL,
  previous_hash TEXT NOT NULL,
  hash TEXT NOT NULL
);

-- only: postgres
ALTER TABLE claude_proxy.state ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.key_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.spend_daily ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.budget_leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.budget_alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.price_tables ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.attempts_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.refusals ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.usage_hourly ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.audit ENABLE ROW LEVEL SECURITY;
-- all
