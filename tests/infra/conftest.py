"""The provider's mirror, moto, and the stack applied to it once. What is not at hand is told loudly at the end."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pytest  # noqa: E402

import cloud  # noqa: E402

NOT_AT_HAND = set()


def skip_loudly(why):
    NOT_AT_HAND.add(why)
    pytest.skip(why)


def pytest_terminal_summary(terminalreporter):
    for why in sorted(NOT_AT_HAND):
        terminalreporter.write_line(f"NOT CHECKED HERE: {why}", yellow=True, bold=True)


@pytest.fixture(scope="session")
def mirror():
    why = cloud.why_no_terraform()
    if why:
        skip_loudly(why)
    found = cloud.find_mirror()
    if not found:
        skip_loudly("no plugin mirror with hashicorp/aws 5.x (TF_PLUGIN_MIRROR): validate, test and apply did not run")
    return found


@pytest.fixture(scope="session")
def terraform(mirror, tmp_path_factory):
    """Initialised without a state."""
    made = cloud.Terraform(tmp_path_factory.mktemp("terraform"), mirror)
    made.good("terraform", "init", "-backend=false", "-input=false", "-no-color")
    return made


@pytest.fixture(scope="session")
def moto(mirror, tmp_path_factory):
    why = cloud.why_no_moto()
    if why:
        skip_loudly(why)
    server = cloud.Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()
