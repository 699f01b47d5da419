#!/usr/bin/env python3
"""Writes the dashboards beside it from the tables below: infra/grafana/dashboards.py

A panel is a title, a unit, and queries with their legends; `interval` stands for Grafana's $__rate_interval. Two panels
share a line. tests/slo runs every query against a real Prometheus, and checks that the files are what this writes.
"""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
API = 'job="claude-proxy-api"'
WORK = 'route!~"health|hello"'


def rate(metric, by="", where=""):
    selected = metric + (f"{{{where}}}" if where else "")
    return f"sum{f' by ({by}) ' if by else ''}(rate({selected}[interval]))"


def quantile(which, metric, where=""):
    return f"histogram_quantile({which}, {rate(metric + '_bucket', 'le', where)})"


def quantiles(metric, where=""):
    return [(quantile(which, metric, where), f"p{which * 100:g}") for which in (0.5, 0.95, 0.99)]


LEVELS = [
    ("Error budget left, 30 days", "percentunit", [("claude_proxy:budget_left:30d", "{{slo}}")]),
    ("Bad, of what counts, last hour", "percentunit", [("claude_proxy:bad_ratio:1h", "{{slo}}")]),
]
DASHBOARDS = {
    "api": ("API", [
        *LEVELS,
        ("Requests, by status", "reqps", [
            (rate("claude_proxy_requests_total", "status", f"{API}, {WORK}"), "{{status}}"),
        ]),
        ("Failures, by whose fault and reason", "reqps", [
            (rate("claude_proxy_requests_total", "whose, status, reason", 'whose!=""'),
             "{{whose}} {{status}} {{reason}}"),
        ]),
        ("Our own share of a request", "s", quantiles("claude_proxy_overhead_seconds", API)),
        ("First byte and first content", "s", [
            (quantile(0.5, "claude_proxy_time_to_first_byte_seconds", API), "first byte p50"),
            (quantile(0.95, "claude_proxy_time_to_first_byte_seconds", API), "first byte p95"),
            (quantile(0.95, "claude_proxy_time_to_first_content_seconds", API), "first content p95"),
        ]),
        ("How long requests take, p95 by route", "s", [
            ("histogram_quantile(0.95, " + rate("claude_proxy_request_duration_seconds_bucket", "le, route", API) + ")",
             "{{route}}"),
        ]),
        ("Streams, by their end", "reqps", [(rate("claude_proxy_streams_total", "end", API), "{{end}}")]),
        ("Processes that are ready; draining", "short", [
            ("claude_proxy:api_ready", "ready"), ("sum(claude_proxy_draining)", "draining"),
        ]),
        ("Connections", "short", [
            ("sum(claude_proxy_connections_open)", "open"),
            (rate("claude_proxy_connections_accepted_total"), "accepted/s"),
            (rate("claude_proxy_connections_refused_total"), "refused/s"),
        ]),
        ("Clients that left; pings into silence", "reqps", [
            (rate("claude_proxy_client_disconnects_total"), "left"), (rate("claude_proxy_pings_sent_total"), "pings"),
        ]),
        ("Bodies", "Bps", [
            (rate("claude_proxy_bytes_in_total"), "in"), (rate("claude_proxy_bytes_out_total"), "out"),
        ]),
        ("CPU", "percentunit", [(rate("process_cpu_seconds_total", "job, instance"), "{{instance}}")]),
        ("Memory", "bytes", [
            ("sum by (job, instance) (process_resident_memory_bytes)", "{{instance}}"),
            ("sum(claude_proxy_in_flight_body_bytes)", "bodies in flight"),
        ]),
        ("Descriptors, of the most", "percentunit", [("process_open_fds / process_max_fds", "{{instance}}")]),
        ("Lost by the log", "short", [
            (rate("claude_proxy_log_records_dropped_total"), "records"),
            (rate("claude_proxy_log_lines_lost_total"), "lines"),
        ]),
        ("Versions", "short", [("count by (version) (claude_proxy_build_info)", "{{version}}")]),
        ("Database and Redis are reached", "short", [
            ("min(claude_proxy_database_reachable)", "database"), ("min(claude_proxy_redis_reachable)", "Redis"),
        ]),
    ]),
    "workers": ("Workers", [
        ("Jobs, by status", "short", [("max by (status) (claude_proxy_jobs)", "{{status}}")]),
        ("Oldest queued job", "s", [("max(claude_proxy_jobs_oldest_queued_seconds)", "oldest")]),
        ("From submit to the first claim", "s", quantiles("claude_proxy_job_start_seconds")),
        ("Jobs that ended, by status", "reqps", [(rate("claude_proxy_jobs_ended_total", "status"), "{{status}}")]),
        ("Submits", "reqps", [
            (rate("claude_proxy_jobs_submitted_total"), "new"), (rate("claude_proxy_jobs_repeated_total"), "repeated"),
            (rate("claude_proxy_jobs_refused_total"), "refused"),
        ]),
        ("Attempts, by outcome", "reqps", [(rate("claude_proxy_job_attempts_total", "outcome"), "{{outcome}}")]),
        ("Running, by worker", "short", [("sum by (instance) (claude_proxy_jobs_running_here)", "{{instance}}")]),
        ("What waiting jobs wait for", "reqps", [(rate("claude_proxy_job_waits_total", "for"), "{{for}}")]),
        ("Claims", "reqps", [
            (rate("claude_proxy_jobs_claimed_total"), "claimed"),
            (rate("claude_proxy_job_claims_paused_total"), "put off"),
        ]),
        ("Swept", "reqps", [(rate("claude_proxy_jobs_swept_total", "what"), "{{what}}")]),
        ("Messages in the queue", "short", [("max by (state) (claude_proxy_queue_messages)", "{{state}}")]),
        ("Calls of the queue", "reqps", [
            (rate("claude_proxy_queue_sent_total"), "sent"), (rate("claude_proxy_queue_received_total"), "received"),
            (rate("claude_proxy_queue_failures_total"), "failed"),
        ]),
        ("Batches of the batch lane", "reqps", [(rate("claude_proxy_job_batches_total", "outcome"), "{{outcome}}")]),
        ("Requests in batches", "reqps", [(rate("claude_proxy_job_batch_requests_total", "result"), "{{result}}")]),
        ("Followers and their jobs", "short", [
            ("sum(claude_proxy_job_followers)", "followers"), ("sum(claude_proxy_job_followed)", "jobs"),
        ]),
        ("Events that wait for the database; kept for followers", "bytes", [
            ("sum(claude_proxy_jobs_log_bytes_waiting)", "waiting"), ("sum(claude_proxy_job_tail_bytes)", "kept"),
        ]),
        ("Reads of logs", "reqps", [
            (rate("claude_proxy_job_looks_total"), "changes elsewhere"),
            (rate("claude_proxy_job_replays_total"), "behind"),
        ]),
        ("Changes told through Redis", "reqps", [
            (rate("claude_proxy_job_news_said_total"), "said"), (rate("claude_proxy_job_news_heard_total"), "heard"),
        ]),
        ("Webhooks", "reqps", [
            (rate("claude_proxy_webhooks_delivered_total"), "delivered"),
            (rate("claude_proxy_webhook_failures_total"), "failed tries"),
            (rate("claude_proxy_webhooks_given_up_total"), "given up"),
        ]),
        ("Webhooks that wait", "short", [
            ("max(claude_proxy_webhooks_waiting)", "waiting"), ("sum(claude_proxy_webhooks_under_way)", "under way"),
            ("sum(claude_proxy_webhook_breakers_open)", "breakers open"),
        ]),
    ]),
    "money": ("Money", [
        ("Spent, a second, by model", "currencyUSD", [(rate("claude_proxy_cost_dollars_total", "model"), "{{model}}")]),
        ("Spent in the last 24 hours, batches not among it", "currencyUSD", [
            ("sum by (model) (increase(claude_proxy_cost_dollars_total[24h]))", "{{model}}"),
        ]),
        ("Tokens, by class", "short", [(rate("claude_proxy_tokens_total", "class"), "{{class}}")]),
        ("Tokens, by model", "short", [(rate("claude_proxy_tokens_total", "model"), "{{model}}")]),
        ("Input read from the cache", "percentunit", [(
            rate("claude_proxy_tokens_total", where='class="cache_read"') + " / "
            + rate("claude_proxy_tokens_total", where='class!="output"'), "share")]),
        ("Held and leased", "currencyUSD", [
            ("sum(claude_proxy_budget_held_dollars)", "held"), ("sum(claude_proxy_budget_leased_dollars)", "leased"),
        ]),
        ("Holds; requests that wait for a budget", "short", [
            ("sum(claude_proxy_budget_holds)", "holds"), ("sum(claude_proxy_budget_requests_waiting)", "waiting"),
        ]),
        ("Percentages of budgets that were passed", "short", [
            ("sum(increase(claude_proxy_budget_alerts_total[24h]))", "last 24 hours"),
        ]),
        ("Refused for limits and budgets", "reqps", [(
            rate("claude_proxy_requests_total", "reason",
                 'reason=~"budget_.+|.+_per_minute|concurrent_requests|jobs_full"'), "{{reason}}")]),
        ("Ledger rows", "reqps", [
            (rate("claude_proxy_ledger_rows_total"), "written"),
            (rate("claude_proxy_ledger_rows_adopted_total"), "adopted"),
            (rate("claude_proxy_ledger_write_failures_total"), "failed transactions"),
        ]),
        ("Oldest row that waits", "s", [("max(claude_proxy_ledger_lag_seconds)", "oldest")]),
        ("Journal", "bytes", [
            ("sum by (instance) (claude_proxy_journal_bytes)", "{{instance}}"),
            ("min(claude_proxy_journal_bytes_max)", "most"),
        ]),
        ("Open attempts", "short", [("sum(claude_proxy_open_attempts)", "open")]),
        ("Must stay 0", "short", [
            ("sum(claude_proxy_ledger_rows_rejected_total)", "rows refused"),
            ("sum(claude_proxy_metering_damaged_total)", "usage not read"),
            ("sum(claude_proxy_prices_unknown_total)", "without a price"),
        ]),
    ]),
    "upstream": ("Upstream", [
        ("Failures upstream, of all requests", "percentunit", [("claude_proxy:upstream_failed:ratio5m", "{{kind}}")]),
        ("The upstream's statuses", "reqps", [
            (rate("claude_proxy_requests_total", "status", f'reason="", {WORK}'), "{{status}}"),
        ]),
        ("Its timeouts and broken answers", "reqps", [
            (rate("claude_proxy_requests_total", "reason", 'reason=~"upstream_.+"'), "{{reason}}"),
        ]),
        ("Credentials refused (401)", "reqps", [
            (rate("claude_proxy_requests_total", where='reason="", status="401", whose="ours"'), "401"),
        ]),
        ("Until the upstream begins to answer", "s", quantiles("claude_proxy_upstream_head_seconds")),
        ("Calls, by one request", "short", [(
            rate("claude_proxy_upstream_attempts_total") + " / " + rate("claude_proxy_upstream_head_seconds_count"),
            "attempts")]),
        ("Calls under way; idle connections", "short", [
            ("sum(claude_proxy_upstream_calls_active)", "under way"),
            ("sum(claude_proxy_upstream_connections_idle)", "idle"),
        ]),
        ("Connections", "reqps", [
            (rate("claude_proxy_upstream_connects_total"), "new"),
            (rate("claude_proxy_upstream_reuses_total"), "reused"),
            (rate("claude_proxy_upstream_stale_total"), "found closed"),
            (rate("claude_proxy_upstream_connect_failures_total"), "failed"),
            (rate("claude_proxy_upstream_tls_resumptions_total"), "TLS resumed"),
        ]),
        ("`Not now` to workers", "reqps", [(rate("claude_proxy_upstream_refusals_total", "status"), "{{status}}")]),
        ("Streams that the upstream broke", "reqps", [
            (rate("claude_proxy_streams_total", "end", 'end=~"cut|error_event|timeout"'), "{{end}}"),
        ]),
    ]),
}  # fmt: skip


def panel(number, title, unit, queries):
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "claude-proxy"},
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0 if unit != "percentunit" else None}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "expr": query.replace("[interval]", "[$__rate_interval]"),
                "legendFormat": legend,
            }
            for i, (query, legend) in enumerate(queries)
        ],
    }


def dashboard(name):
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"claude-proxy-{name}",
        "title": f"claude-proxy: {title}",
        "tags": ["claude-proxy"],
        "schemaVersion": 38,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [panel(number, *each) for number, each in enumerate(panels)],
    }


def text_of(name):
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        with open(os.path.join(HERE, "dashboards", each + ".json"), "w", encoding="utf-8") as file:
            file.write(text_of(each))
