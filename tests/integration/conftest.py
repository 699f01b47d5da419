"""Fixtures that several files share, and the gateway's log in the report of every failed test."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pytest  # noqa: E402

from support import gateway as processes  # noqa: E402
from support.gateway import Gateway  # noqa: E402
from support.upstream import Upstream  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for process in processes.running:
            report.sections.append((f"log of pid {process.pid}", process.tail()))


@pytest.fixture(scope="module")
def shared_upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def shared_gateway(request, shared_upstream):
    """One gateway for a file; its `GATEWAY_SETTINGS` dict, when it has one, is applied."""
    gateway = Gateway(shared_upstream.url, **getattr(request.module, "GATEWAY_SETTINGS", {}))
    yield gateway
    gateway.stop()


@pytest.fixture
def upstream(shared_upstream):
    """The file's upstream, forgetful of what earlier tests did."""
    shared_upstream.reset()
    yield shared_upstream
    shared_upstream.reset()


@pytest.fixture
def gateway(shared_gateway):
    assert shared_gateway.process.poll() is None, f"the gateway died\n{shared_gateway.tail()}"
    return shared_gateway
