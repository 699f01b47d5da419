"""Secrets in Secrets Manager, as moto plays it, rotated under real gateways that are under load.

Goal: no request fails, the new credential is used within CLAUDE_PROXY_SECRETS_REFRESH and a second, the old one is not
used any more; and Secrets Manager may go away. Method: about 200 requests a second, sync and streams, and slow streams
against claude-sim, whose ledger tells which key each call had, and which refuses the old one in the end.
"""

import json
import os
import subprocess
import sys
import time

import cloud
import pytest
from conftest import skip_loudly

sys.path.insert(0, os.path.join(cloud.ROOT, "tests"))

from support import gateway as processes  # noqa: E402
from support import rotation  # noqa: E402
from support.admin import cli  # noqa: E402
from support.cluster import metric  # noqa: E402
from support.gateway import Gateway, Simulator  # noqa: E402
from support.rotation import NEW, OLD, Swap, Traffic  # noqa: E402
from support.servers import Postgres  # noqa: E402
from support.timing import seconds, wait_until  # noqa: E402

REFRESH = 2  # seconds
NAME = "claude-proxy-secrets"
ROTATE = os.path.join(cloud.ROOT, "infra/scripts/rotate_secret.sh")
OUTPUTS_ASKED = ("services", "task_families", "target_groups", "listener_rule_arn", "repository_url", "queue_url",
                 "dead_queue_url", "migrate_network", "times", "cluster_name")  # fmt: skip


class Manager:
    """moto with one secret. `stop` and `start`: it is away, and comes back with what `put` says then."""

    def __init__(self, folder):
        self.folder = folder
        self.moto = cloud.Moto(folder)
        self.client = self.moto.client("secretsmanager")
        self.client.create_secret(Name=NAME, SecretString=json.dumps({"ANTHROPIC_API_KEY": OLD}))

    def put(self, text):
        return self.client.put_secret_value(SecretId=NAME, SecretString=text)["VersionId"]

    def stop(self):
        self.moto.stop()

    def start(self, text):
        self.moto = cloud.Moto(self.folder, self.moto.port)
        self.client = self.moto.client("secretsmanager")
        self.client.create_secret(Name=NAME, SecretString=text)

    def rotate(self, name, value, *words):
        """By the script that people use."""
        outputs = os.path.join(str(self.folder), "outputs.json")
        said = {each: {key: "x" for key in ("api", "canary", "worker", "migrate", "stable", "deregistration_delay")}
                for each in OUTPUTS_ASKED}  # fmt: skip
        said.update(region=cloud.REGION, environment="staging", secret_name=NAME)
        with open(outputs, "w", encoding="utf-8") as file:
            json.dump({key: {"value": value} for key, value in said.items()}, file)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment.update(self.moto.environment(), OUTPUTS=outputs, CONFIRM="true")
        done = subprocess.run(
            [ROTATE, "--env", "staging", "--name", name, *words, "--live"],
            env=environment, input=value, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert not value or value not in done.stdout

    @property
    def settings(self):
        return {"SECRETS": f"aws-secretsmanager:{NAME}", "SECRETS_REFRESH": f"{REFRESH}s", **self.moto.environment(),
                "ANTHROPIC_API_KEY": None}  # fmt: skip


@pytest.fixture
def manager(tmp_path):
    why = cloud.why_no_moto()
    if why:
        skip_loudly(why)
    if not os.path.exists(processes.PROXY) or not os.path.exists(processes.SIM):
        skip_loudly("no gateway was built (make build, or CLAUDE_PROXY_BIN): no secret was rotated under one")
    manager = Manager(tmp_path)
    yield manager
    manager.stop()


@pytest.fixture
def simulator():
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", OLD, "--api-key", NEW)
    yield simulator
    simulator.stop()


def event(gateway, name, **fields):
    wanted = {"event": name, **fields}
    return gateway.wait_event(lambda line: all(line.get(key) == value for key, value in wanted.items()), 30, name)


def failed_reads(gateway):
    return metric(gateway, r'secrets_reads_total\{outcome="failed"\}')


def test_an_upstream_key_is_rotated_by_the_script_under_load_and_no_request_notices(manager, simulator):
    """Two replicas and a worker, each of which reads the secret for itself."""
    with (
        Gateway(simulator.url, THREADS=2, **manager.settings) as first,
        Gateway(simulator.url, THREADS=1, **manager.settings) as second,
        Gateway(simulator.url, words=("worker",), **manager.settings) as worker,
    ):
        with Traffic([first.port, second.port]) as traffic:
            moments = rotation.rotate_under(
                traffic, simulator, lambda: manager.rotate("ANTHROPIC_API_KEY", NEW), REFRESH + rotation.GRACE
            )
        traffic.check()
        swap = Swap(simulator, moments)
        print(f"\n{traffic.rate_seen():.0f} requests/s on two replicas, 0 of {len(traffic.replies)} and"
              f" {len(traffic.slow_replies)} slow streams failed; {swap}")  # fmt: skip
        swap.check(REFRESH + rotation.GRACE)
        version = manager.client.get_secret_value(SecretId=NAME)["VersionId"]
        for process in (first, second, worker):
            told = event(process, "secrets_read", changed="ANTHROPIC_API_KEY")
            assert told["version"] == version[:8]
            assert abs(metric(process, "secrets_version_timestamp_seconds") - moments[1]) < 60
            text = "\n".join(process.lines)
            assert OLD not in text and NEW not in text


def test_secrets_manager_may_go_away_and_come_back(manager, simulator):
    with Gateway(simulator.url, THREADS=2, **manager.settings) as gateway:
        with Traffic([gateway.port], slow=2) as traffic:
            manager.stop()
            event(gateway, "secrets_unreadable", trouble="away")
            wait_until(lambda: failed_reads(gateway) >= 2, 60, "two failed readings")
            assert metric(gateway, "secrets_age_seconds") > REFRESH
            with gateway.admin() as admin:
                assert admin.ask(b"GET /ready HTTP/1.1\r\nHost: admin\r\n\r\n").status == 200
            manager.start(json.dumps({"ANTHROPIC_API_KEY": NEW}))
            event(gateway, "secrets_readable_again")
            event(gateway, "secrets_read", changed="ANTHROPIC_API_KEY")
            time.sleep(seconds(rotation.GRACE))
            rotation.refuse_old_key(simulator)
            time.sleep(seconds(1))
        traffic.check()
        assert len([line for line in gateway.events if line.get("event") == "secrets_unreadable"]) == 1


def test_a_broken_secret_is_not_taken_up(manager, simulator):
    with Gateway(simulator.url, THREADS=2, **manager.settings) as gateway:
        with Traffic([gateway.port], slow=2) as traffic:
            for text in ('{"ANTHROPIC_API_KEY": "' + NEW, json.dumps({"ANTHROPIC_API_KEY": ""}), "[]"):
                before = failed_reads(gateway)
                manager.put(text)
                wait_until(lambda: failed_reads(gateway) >= before + 1, 60, "a failed reading")  # pylint: disable=W0640
            manager.client.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)
            event(gateway, "secrets_unreadable", trouble="refused")
            manager.client.create_secret(Name=NAME, SecretString=json.dumps({"ANTHROPIC_API_KEY": NEW}))
            event(gateway, "secrets_read", changed="ANTHROPIC_API_KEY")
        traffic.check()


def test_a_database_password_is_rotated_by_the_script_under_load_and_no_row_is_lost(manager, simulator):
    """The role's password first, then the secret; in between every session is ended."""
    try:
        server = Postgres()
    except AssertionError as missing:
        skip_loudly(f"{missing}: no database password was rotated")
    with server as postgres:
        postgres.create_role("rotating", "first-password")
        postgres.sql("CREATE DATABASE rotated OWNER rotating")

        def url(password):
            return f"postgresql://rotating:{password}@127.0.0.1:{postgres.port}/rotated"

        def end_sessions():
            postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'")

        manager.put(json.dumps({"ANTHROPIC_API_KEY": OLD, "DATABASE_URL": url("first-password")}))
        names = {name if name.startswith(("AWS_", "ANTHROPIC")) else f"CLAUDE_PROXY_{name}": value
                 for name, value in manager.settings.items()}  # fmt: skip
        assert cli(manager.folder, "migrate", **names).code == 0, "the migration reads the secret, too"
        with Gateway(simulator.url, THREADS=2, **manager.settings) as gateway:
            with Traffic([gateway.port], slow=2) as traffic:
                postgres.sql("ALTER ROLE rotating PASSWORD 'second-password'")
                end_sessions()
                event(gateway, "ledger_waiting")
                manager.rotate("DATABASE_URL", url("second-password"))
                event(gateway, "secrets_read", changed="DATABASE_URL")
                event(gateway, "ledger_recovered")
                end_sessions()
                time.sleep(seconds(2))
            traffic.check()
            asked = len(traffic.replies) + len(traffic.slow_replies)
            wait_until(
                lambda: postgres.sql("SELECT count(*) FROM claude_proxy.attempts WHERE outcome = 'complete'", "rotated")
                == f"{asked}\n", 30, "a row of every request",
            )  # fmt: skip
            print(f"\n{traffic.rate_seen():.0f} requests/s, 0 of {asked} failed, {asked} rows in the ledger")
