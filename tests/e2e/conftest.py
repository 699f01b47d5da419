"""Servers and simulators that several files share, and the processes' logs in the report of every failed test."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pytest  # noqa: E402

from support import gateway as processes  # noqa: E402
from support.gateway import CREDENTIAL, Simulator  # noqa: E402
from support.servers import PgBouncer, Postgres, Redis, Sqs  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for process in processes.running:
            report.sections.append((f"log of pid {process.pid}", process.tail()))


@pytest.fixture(scope="session")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres):
    with PgBouncer(postgres, pool_size=12) as server:
        yield server


@pytest.fixture(scope="session")
def redis():
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def sqs():
    with Sqs() as server:
        yield server


@pytest.fixture
def simulator():
    """One for each test: its ledger is that test's."""
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL)
    yield simulator
    simulator.stop()
