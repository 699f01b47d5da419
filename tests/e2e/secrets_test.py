"""Secrets are rotated under load, and no request notices.

Method: about 200 requests a second, sync and streams, and slow streams; a secret in `.env` changes, SIGHUP tells the
gateway. The path from there on is that of AWS Secrets Manager, which tests/infra/secrets_test.py shows with moto.
"""

import os
import signal
import socket
import tempfile
import time

import pytest

from support import rotation, truth
from support.admin import Admin, cli
from support.cluster import Database, metric
from support.gateway import Gateway, Simulator
from support.rotation import NEW, OLD, Swap, Traffic
from support.servers import Redis
from support.timing import seconds, wait_until


@pytest.fixture
def two_key_simulator():
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", OLD, "--api-key", NEW)
    yield simulator
    simulator.stop()


def tell(gateway, count):
    """SIGHUP, and the log says that the secrets were read, for the time `count`."""
    gateway.signal(signal.SIGHUP)

    def read():
        events = [event for event in list(gateway.events) if event.get("event") == "secrets_read"]
        return events[count - 1] if len(events) >= count else None

    return wait_until(read, 10, "secrets_read")


def test_the_upstream_key_is_rotated_under_load_and_no_request_notices(two_key_simulator):
    """The new key is used within a second; the old one, which upstream then refuses, never again."""
    simulator = two_key_simulator
    files = {".env": f"ANTHROPIC_API_KEY={OLD}\n"}
    with Gateway(simulator.url, files=files, ANTHROPIC_API_KEY=None, THREADS=2) as gateway:
        with Traffic([gateway.port]) as traffic:

            def rotate():
                gateway.write(".env", f"ANTHROPIC_API_KEY={NEW}\n")
                assert tell(gateway, 1)["changed"] == "ANTHROPIC_API_KEY"

            moments = rotation.rotate_under(traffic, simulator, rotate, rotation.GRACE)
        traffic.check()
        swap = Swap(simulator, moments)
        print(f"{traffic.rate_seen():.0f} requests/s, 0 of {len(traffic.replies)} and {len(traffic.slow_replies)} slow"
              f" streams failed; {swap}")  # fmt: skip
        swap.check(rotation.GRACE)
        assert traffic.rate_seen() > 100
        text = "\n".join(gateway.lines)
        assert OLD not in text and NEW not in text


def test_the_database_password_is_rotated_under_load_and_no_row_is_lost(simulator, postgres):
    """Between the change of the role's password and that of the secret every session is ended: what cannot connect
    waits in the journal, and requests go on. Afterwards sessions are made with the new password."""
    role = f"rotating_{os.getpid()}"
    postgres.create_role(role, "first-password")
    name = f"rotation_{os.getpid()}"
    postgres.sql(f'CREATE DATABASE "{name}" OWNER {role}')

    def url(password):
        return f"postgresql://{role}:{password}@127.0.0.1:{postgres.port}/{name}"

    def end_sessions():
        postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")

    def sessions():
        return int(postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'"))

    database = Database(url("first-password"), postgres.url(name))
    with tempfile.TemporaryDirectory() as directory:
        assert cli(directory, "migrate", DATABASE_URL=database.url).code == 0
    files = {".env": f"DATABASE_URL={url('first-password')}\n"}
    with Gateway(simulator.url, files=files, THREADS=2, words=("serve", "--with-worker")) as gateway:
        with Traffic([gateway.port], slow=2) as traffic:
            postgres.sql(f"ALTER ROLE {role} PASSWORD 'second-password'")
            end_sessions()
            gateway.wait_event(lambda event: event.get("event") == "ledger_waiting", what="ledger_waiting")
            assert sessions() == 0, "the old password is not good any more"
            gateway.write(".env", f"DATABASE_URL={url('second-password')}\n")
            assert tell(gateway, 1)["changed"] == "DATABASE_URL"
            gateway.wait_event(lambda event: event.get("event") == "ledger_recovered", what="ledger_recovered")
            time.sleep(seconds(1))
            end_sessions()  # once more: all that connect now know the new one
            time.sleep(seconds(2))
            assert sessions() > 0
        traffic.check()
        assert Admin(gateway).get("teams").status == 200
        wait_until(lambda: metric(gateway, "ledger_lag_seconds") == 0, 20, "an empty journal")
        wait_until(lambda: metric(gateway, "open_attempts") == 0, 20, "no open attempt")
        wait_until(
            lambda: len(truth.ledger_rows(database)) == len(traffic.replies) + len(traffic.slow_replies), 20, "all rows"
        )
        print(f"{traffic.rate_seen():.0f} requests/s, 0 of {len(traffic.replies)} failed")
        text = "\n".join(gateway.lines)
        assert "first-password" not in text and "second-password" not in text
    compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(database))
    compared.check()
    truth.check_sums(database)
    print(compared)


def test_the_password_of_redis_is_rotated_and_limits_are_shared_again(simulator):
    """A server of its own: between the two changes it refuses everybody, and requests go on."""
    with Redis() as redis:

        def say(*lines):
            """Commands on a connection of their own; what each was answered."""
            with socket.create_connection(("127.0.0.1", redis.port), seconds(10)) as connection:
                answers = connection.makefile("rb")
                connection.sendall("".join(line + "\r\n" for line in lines).encode())
                return [answers.readline().strip().decode() for _ in lines]

        def url(password):
            return f"redis://:{password}@127.0.0.1:{redis.port}"

        assert say("CONFIG SET requirepass first-password") == ["+OK"]
        files = {".env": f"REDIS_URL={url('first-password')}\n"}
        with Gateway(simulator.url, files=files, THREADS=2) as gateway:
            gateway.wait_event(lambda event: event.get("event") == "redis_available", what="redis_available")
            with Traffic([gateway.port], slow=2) as traffic:
                said = say("AUTH first-password", "CONFIG SET requirepass second-password", "CLIENT KILL TYPE normal",
                           "CLIENT KILL TYPE pubsub")  # fmt: skip
                assert said[:2] == ["+OK", "+OK"] and not any(answer.startswith("-") for answer in said)
                gateway.wait_event(lambda event: event.get("event") == "redis_unavailable", what="redis_unavailable")
                gateway.write(".env", f"REDIS_URL={url('second-password')}\n")
                assert tell(gateway, 1)["changed"] == "REDIS_URL"
                for name in ("redis_available", "job_news_available"):
                    wait_until(lambda: last_of(gateway, name.split("_")[0]) == name, 20, name)  # pylint: disable=W0640
            traffic.check()
            text = "\n".join(gateway.lines)
            assert "first-password" not in text and "second-password" not in text


def last_of(gateway, subject):
    """The newest of what the log says about Redis: `redis_...` or `job_news_...`."""
    names = [event.get("event", "") for event in list(gateway.events)]
    found = [name for name in names if name.startswith(subject) and name.endswith("available")]
    return found[-1] if found else None
