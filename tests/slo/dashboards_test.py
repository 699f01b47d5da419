"""Every panel shows something, every metric of a rule is told, and outages are seen: a real Prometheus with our rules
on a real gateway and a real worker, which share PostgreSQL, Redis and a queue, with traffic of every kind.
"""

import glob
import importlib.util
import json
import os
import re
import threading

import pytest

import levels
from support.admin import Admin
from support.client import request
from support.gateway import CREDENTIAL, Simulator
from support.jobs import Jobs
from support.prometheus import Prometheus
from support.servers import Postgres, Redis, Sqs
from support.timing import wait_until
from support.workers import Stack, body

FOLDER = os.path.join(levels.ROOT, "infra/grafana")
RATE_INTERVAL = "15s"  # scrapes are a second apart
# Metrics that this installation does not tell, and why.
NOT_HERE = {"claude_proxy_listener_certificate_ends_at_seconds": "only with TLS: tests/integration/tls_test.py"}


def panels():
    found = []
    for path in sorted(glob.glob(os.path.join(FOLDER, "dashboards/*.json"))):
        with open(path, encoding="utf-8") as file:
            made = json.load(file)
        for panel in made["panels"]:
            for target in panel["targets"]:
                found.append((f"{made['title']}, {panel['title']}, {target['legendFormat']}", target["expr"]))
    return found


def now(query):
    return query.replace("$__rate_interval", RATE_INTERVAL)


class Traffic:
    """Rounds of requests in the background: whatever a panel shows, each round has some of it."""

    def __init__(self, front, worker):
        self.front, self.worker = front, worker
        self.jobs = Jobs(front)
        admin = Admin(front)
        self.poor = admin.ok("POST", "keys", {"name": "poor", "team": "poor", "budgets": ["0.000001/day"]})["key"]
        admin.ok("POST", "budgets", {"scope": "root", "period": "month", "limit": "100000", "hard": True})
        self.rounds, self.failure = 0, None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, content, key=None, stream=False):
        content = {**content, "stream": True} if stream else content
        with self.front.client(timeout=30) as client:
            headers = [("anthropic-version", "2023-06-01")]
            asked = {"key": key} if key else {}
            return client.ask(request("POST", "/v1/messages", json.dumps(content).encode(), headers, **asked))

    def round(self):
        assert self.ask(body("one")).status == 200
        assert self.ask(body("two"), stream=True).status == 200
        cached = body("cached")
        cached["system"] = [{"type": "text", "text": "w " * 20_000, "cache_control": {"type": "ephemeral"}}]
        for _ in range(2):
            assert self.ask(cached).status == 200
        for status in (401, 429, 500, 529):
            assert self.ask(body(fault=f"status={status}")).status == status
        for fault in ("cut-after-events=6", "overload-in-stream=content"):
            broken = self.ask(body("broken", fault=fault, output_tokens=60, event_tokens=2), stream=True)
            assert b"event: error" in broken.body
        assert self.ask(body(), key="wrong").status == 401
        assert self.ask(body(), key=self.poor).status == 429
        self.jobs.succeeded(self.jobs.new(body("a job")))

    def _run(self):
        try:
            while not self._end.is_set():
                self.round()
                self.rounds += 1
                self._end.wait(0.2)
        except BaseException as problem:  # told by whoever waits
            self.failure = problem

    def stop(self):
        self._end.set()
        self._thread.join()
        assert self.failure is None, self.failure


class Installation:
    def __init__(self, stack):
        self.front, self.worker = stack.start("serve"), stack.start("worker")
        self.prometheus = Prometheus(
            api=[f"127.0.0.1:{self.front.admin_port}"], worker=[f"127.0.0.1:{self.worker.admin_port}"]
        )


@pytest.fixture(scope="module")
def servers():
    with Postgres() as postgres, Redis() as redis, Sqs() as sqs:
        yield postgres, redis, sqs


@pytest.fixture(scope="module")
def installed(servers):
    simulator = Simulator("--listen", "127.0.0.1:0", "--api-key", CREDENTIAL)
    stack = Stack(simulator, *servers)
    try:
        made = Installation(stack)
        with made.prometheus:
            yield made
    finally:
        stack.close()
        simulator.stop()


def test_dashboards_are_what_their_table_writes():
    found = importlib.util.spec_from_file_location("dashboards", os.path.join(FOLDER, "dashboards.py"))
    table = importlib.util.module_from_spec(found)
    found.loader.exec_module(table)
    assert sorted(table.DASHBOARDS) == ["api", "money", "upstream", "workers"]
    for name in table.DASHBOARDS:
        assert levels.text_of(f"infra/grafana/dashboards/{name}.json") == table.text_of(name), name


def test_grafana_is_told_of_the_source_that_the_dashboards_ask():
    source = levels.text_of("infra/grafana/provisioning/datasources/prometheus.yaml")
    provider = levels.text_of("infra/grafana/provisioning/dashboards/claude-proxy.yaml")
    assert re.search(r"^    uid: claude-proxy\b", source, re.M)
    assert re.search(r"^      path: /var/lib/grafana/dashboards/claude-proxy\b", provider, re.M)


def test_every_panel_shows_something(installed):
    asked = panels()
    assert len(asked) > 80
    traffic = Traffic(installed.front, installed.worker)
    empty = asked

    def all_show():
        nonlocal empty
        assert traffic.failure is None, traffic.failure
        empty = [(where, query) for where, query in empty if not installed.prometheus.series(now(query))]
        return not empty and traffic.rounds >= 3

    try:
        wait_until(all_show, 90, "every panel")
    except AssertionError as problem:
        raise AssertionError(f"{problem}\nnothing is shown by:\n" + "\n".join(map(str, empty))) from None
    finally:
        traffic.stop()
    assert installed.prometheus.unhealthy_rules() == []
    check_what_levels_say(installed.prometheus, traffic)


def check_what_levels_say(prometheus, traffic):
    """What Prometheus makes of the traffic that was: each kind of failure is with whom it belongs to."""

    def at_least(query):
        """What the last round did is in the next scrape."""
        wait_until(lambda: (prometheus.value(query) or 0) >= traffic.rounds, 20, f"{traffic.rounds} of {query}")

    for whose, status, reason in [
        ("ours", "401", ""),
        ("upstream", "429", ""),
        ("upstream", "500", ""),
        ("upstream", "529", ""),
        ("upstream", "200", "upstream_cut"),
        ("upstream", "200", "upstream_error_event"),
        ("client", "401", "credential_invalid"),
        ("client", "429", "budget_exhausted"),
    ]:
        selected = f'{{job="claude-proxy-api", whose="{whose}", status="{status}", reason="{reason}"}}'
        at_least(f"sum(claude_proxy_requests_total{selected})")
    at_least('sum(claude_proxy_jobs_ended_total{status="succeeded"})')
    at_least("sum(claude_proxy_job_start_seconds_count)")
    at_least('sum(claude_proxy_job_start_seconds_bucket{le="60"})')
    assert 0 < prometheus.value("sum(claude_proxy_job_start_seconds_sum)") < 60 * traffic.rounds
    assert prometheus.value("sum(claude_proxy_cost_dollars_total)") > 0
    assert prometheus.value("claude_proxy:api_ready") == 1
    assert prometheus.value('claude_proxy:budget_left:30d{slo="error_rate"}') < 0, "the upstream failed, and we as well"
    assert prometheus.value('claude_proxy:budget_left:30d{slo="job_start"}') == 1


def test_every_metric_of_rules_and_dashboards_is_told_by_a_gateway_or_a_worker(installed):
    told = set()
    for process in (installed.front, installed.worker):
        told |= set(re.findall(r"^# TYPE (\w+) ", process.metrics().body.decode(), re.M))
    used = set()
    for query in [*(rule["expr"] for rule in levels.rules()), *(query for _, query in panels())]:
        used |= {name for name in re.findall(r"\b(?:claude_proxy|process)_[a-z0-9_]+\b(?!:)", query)}
    missing = {name for name in used if name not in told and levels.SUFFIX.sub("", name) not in told}
    assert missing == set(NOT_HERE)


def test_a_database_and_a_redis_that_are_away_are_seen(installed, servers):
    prometheus = installed.prometheus
    postgres, redis, _ = servers
    wait_until(lambda: prometheus.alert_state("DatabaseAway") == "inactive", 20, "a quiet start")
    redis.stop()
    wait_until(lambda: prometheus.alert_state("RedisAway") == "pending", 20, "Redis away")
    assert prometheus.alert_state("DatabaseAway") == "inactive"
    redis.start()
    wait_until(lambda: prometheus.alert_state("RedisAway") == "inactive", 20, "Redis back")
    postgres.stop()
    wait_until(lambda: prometheus.alert_state("DatabaseAway") == "pending", 20, "the database away")
    postgres.start()
    wait_until(lambda: prometheus.alert_state("DatabaseAway") == "inactive", 20, "the database back")


def test_nobody_there_is_seen(installed):
    prometheus = installed.prometheus
    assert prometheus.alert_state("Watchdog") == "firing"
    installed.front.stop()
    wait_until(lambda: prometheus.alert_state("ApiDown") == "pending", 20, "the API is down")
    assert prometheus.value("claude_proxy:api_ready") == 0
