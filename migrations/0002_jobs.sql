-- Durable jobs (src/jobs/job.hpp). Times are milliseconds since 1970 UTC, lists and objects are JSON.

-- rank orders queued jobs: created_at minus the priority's worth of ageing, so that it never has to be updated.
-- attempt counts claims and fences writes; attempts_used counts those that count towards attempts_max.
-- holds: JSON list of {"budget","period","amount"}: money set aside while it is queued.
-- run_after: 0 for a job that may run now, so that claims never walk over those that wait; claims and sweepers set it
-- back when its time has come. events: exact unless it is running; then its log says.
CREATE TABLE claude_proxy.jobs (
  id TEXT PRIMARY KEY,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  subject TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL,
  lane TEXT NOT NULL,
  model TEXT NOT NULL,
  metadata TEXT NOT NULL DEFAULT '{}',
  priority BIGINT NOT NULL DEFAULT 0,
  rank BIGINT NOT NULL,
  attempt BIGINT NOT NULL DEFAULT 0,
  attempts_used BIGINT NOT NULL DEFAULT 0,
  attempts_max BIGINT NOT NULL,
  cancel_asked BIGINT NOT NULL DEFAULT 0,
  worker TEXT NOT NULL DEFAULT '',
  lease_until BIGINT NOT NULL DEFAULT 0,
  run_after BIGINT NOT NULL DEFAULT 0,
  announced_at BIGINT NOT NULL DEFAULT 0,
  idempotency_key TEXT,
  digest TEXT NOT NULL DEFAULT '',
  webhook_url TEXT NOT NULL DEFAULT '',
  holds TEXT NOT NULL DEFAULT '[]',
  events BIGINT NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '',
  usage TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT,
  expires_at BIGINT NOT NULL,
  delete_at BIGINT
);
CREATE UNIQUE INDEX jobs_once ON claude_proxy.jobs (team_id, key_id, subject, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_waiting ON claude_proxy.jobs (lane, team_id, rank) WHERE status = 'queued' AND run_after = 0;
CREATE INDEX jobs_delayed ON claude_proxy.jobs (run_after) WHERE status = 'queued' AND run_after > 0;
CREATE INDEX jobs_unannounced ON claude_proxy.jobs (announced_at)
  WHERE status = 'queued' AND run_after = 0 AND lane = 'realtime';
CREATE INDEX jobs_expiring ON claude_proxy.jobs (expires_at) WHERE status = 'queued';
CREATE INDEX jobs_running ON claude_proxy.jobs (lease_until) WHERE status = 'running';
CREATE INDEX jobs_running_by_team ON claude_proxy.jobs (lane, team_id) WHERE status = 'running';
CREATE INDEX jobs_dead ON claude_proxy.jobs (created_at) WHERE status = 'dead';
CREATE INDEX jobs_by_team ON claude_proxy.jobs (team_id, created_at);
CREATE INDEX jobs_by_time ON claude_proxy.jobs (created_at);
CREATE INDEX jobs_by_end ON claude_proxy.jobs (delete_at) WHERE delete_at IS NOT NULL;

-- What is big, or written once, stands apart from the row that is updated.
CREATE TABLE claude_proxy.job_requests (
  job_id TEXT PRIMARY KEY,
  request TEXT NOT NULL,
  headers TEXT NOT NULL
);
CREATE TABLE claude_proxy.job_results (
  job_id TEXT PRIMARY KEY,
  result TEXT NOT NULL
);
-- The log: pieces of whole events, each with its `id:` line, from first_id to last_id. size: of bytes.
CREATE TABLE claude_proxy.job_events (
  job_id TEXT NOT NULL,
  first_id BIGINT NOT NULL,
  last_id BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  size BIGINT NOT NULL,
  bytes TEXT NOT NULL,
  PRIMARY KEY (job_id, first_id)
);
CREATE TABLE claude_proxy.job_attempts (
  job_id TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  worker TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT,
  outcome TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  request_id TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (job_id, attempt)
);

-- Deliveries of webhooks: one row a job that wants one and has ended, made in the transaction that ends it
-- (jobs/webhook_deliveries.hpp). state: waiting, delivered, given_up. endpoint: scheme, host and port of the URL.
-- tries counts requests that were made; a claim that ran out is another replica's to take. replayed_at: 0 for never.
CREATE TABLE claude_proxy.webhook_deliveries (
  id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL,
  team_id TEXT NOT NULL,
  url TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  event TEXT NOT NULL,
  body TEXT NOT NULL,
  state TEXT NOT NULL,
  tries BIGINT NOT NULL DEFAULT 0,
  next_at BIGINT NOT NULL,
  claimed_by TEXT NOT NULL DEFAULT '',
  claimed_until BIGINT NOT NULL DEFAULT 0,
  last_status BIGINT NOT NULL DEFAULT 0,
  last_error TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  replayed_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX webhook_deliveries_due ON claude_proxy.webhook_deliveries (next_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_job ON claude_proxy.webhook_deliveries (job_id);
CREATE INDEX webhook_deliveries_by_time ON claude_proxy.webhook_deliveries (created_at, id);
-- The secret that signs a team's webhooks is made from the pepper and a number; no row: number 1. The number before it
-- still signs until previous_until.
CREATE TABLE claude_proxy.webhook_secrets (
  team_id TEXT PRIMARY KEY,
  version BIGINT NOT NULL,
  previous_until BIGINT NOT NULL
);

-- Which team made a resource that lives upstream (batch, file, skill): others do not see it.
CREATE TABLE claude_proxy.resources (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  deleted_at BIGINT
);
CREATE INDEX resources_by_team ON claude_proxy.resources (team_id, kind, created_at);

-- Message Batches upstream, of callers (origin 'caller') and of the batch lane (origin 'lane').
-- id: of callers', the request that made it. state: creating (may or may not exist upstream), open, settled, failed.
-- holds: as in jobs. bound_pico: what it costs at most. digest: of the custom ids. upstream_status: as it was last seen.
CREATE TABLE claude_proxy.batches (
  id TEXT PRIMARY KEY,
  upstream_id TEXT,
  origin TEXT NOT NULL,
  state TEXT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  subject TEXT NOT NULL DEFAULT '',
  tags TEXT NOT NULL DEFAULT '[]',
  requests BIGINT NOT NULL,
  holds TEXT NOT NULL DEFAULT '[]',
  details TEXT NOT NULL DEFAULT '{}',
  bound_pico BIGINT NOT NULL DEFAULT 0,
  digest TEXT NOT NULL DEFAULT '',
  user_agent TEXT NOT NULL DEFAULT '',
  upstream_status TEXT NOT NULL DEFAULT '',
  owner TEXT NOT NULL DEFAULT '',
  owned_until BIGINT NOT NULL DEFAULT 0,
  next_look_at BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE UNIQUE INDEX batches_by_upstream ON claude_proxy.batches (upstream_id);
CREATE INDEX batches_due ON claude_proxy.batches (next_look_at) WHERE state IN ('creating', 'open');
CREATE INDEX batches_holding ON claude_proxy.batches (id) WHERE holds <> '[]';
-- Requests in a batch of the lane, with what their accounts need, whatever becomes of the job: it may be cancelled and
-- removed. custom_id upstream is the job's id and its attempt. holds: as in jobs, until the result is in the ledger.
CREATE TABLE claude_proxy.batch_jobs (
  batch_id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  team_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  tags TEXT NOT NULL,
  model TEXT NOT NULL,
  holds TEXT NOT NULL DEFAULT '[]',
  bound_pico BIGINT NOT NULL,
  PRIMARY KEY (batch_id, job_id)
);
CREATE INDEX batch_jobs_holding ON claude_proxy.batch_jobs (batch_id) WHERE holds <> '[]';
CREATE INDEX batch_jobs_by_job ON claude_proxy.batch_jobs (job_id);

-- only: postgres
-- A job's row is written a few times in its life: room for the next version beside the last one.
ALTER TABLE claude_proxy.jobs SET (fillfactor = 80);
ALTER TABLE claude_proxy.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.job_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.job_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.job_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.job_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.webhook_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.resources ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE claude_proxy.batch_jobs ENABLE ROW LEVEL SECURITY;
-- all
