"""`claude-proxy probe`: what health checks ask where there is no other program to ask with."""

import os
import signal
import socket

import pytest

from support.admin import cli
from support.gateway import Gateway
from support.timing import seconds, setting
from support.upstream import Upstream, answer_kind


def probe(folder, port, *words, host="127.0.0.1", **settings):
    return cli(folder, "probe", *words, CLAUDE_PROXY_ADMIN_LISTEN=f"{host}:{port}", **settings)


@pytest.fixture(scope="module")
def upstream():
    with Upstream(answer_kind) as running:
        yield running


def test_a_process_that_answers_is_alive_and_one_that_drains_is_not_ready(upstream, tmp_path):
    with Gateway(upstream.url, DRAIN_DELAY=setting(60_000)) as gateway:
        for words in ([], ["--ready"]):
            told = probe(tmp_path, gateway.admin_port, *words)
            assert told.code == 0 and told.out.startswith("200 {"), told.err
        gateway.signal(signal.SIGTERM)
        gateway.wait_event(lambda event: event.get("event") == "draining", what="draining line")
        assert probe(tmp_path, gateway.admin_port).code == 0
        told = probe(tmp_path, gateway.admin_port, "--ready")
        assert told.code == 1 and told.out == '503 {"status":"draining"}\n'
        gateway.signal(signal.SIGTERM)  # cuts the delay short
        assert gateway.wait_exit() == 0
        gone = probe(tmp_path, gateway.admin_port)
        assert gone.code == 1 and f"127.0.0.1:{gateway.admin_port}/health" in gone.err


@pytest.mark.parametrize("listener, asked", [("0.0.0.0", "0.0.0.0"), ("[::]", "[::]")])
def test_a_listener_on_all_addresses_is_asked_on_this_machine(upstream, tmp_path, listener, asked):
    with Gateway(upstream.url, ADMIN_LISTEN=f"{listener}:0") as gateway:
        assert probe(tmp_path, gateway.admin_port, host=asked).code == 0


def test_it_needs_nothing_but_the_address(upstream, tmp_path):
    """No credential, no database, no secret: what is away or wrong elsewhere ends no process that is well."""
    with Gateway(upstream.url) as gateway:
        away = {
            "DATABASE_URL": "mysql://nobody@127.0.0.1:9/none",
            "CLAUDE_PROXY_SECRETS": "aws-secretsmanager:away",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        }
        assert probe(tmp_path, gateway.admin_port, **away).code == 0
    assert os.listdir(tmp_path) == []


def test_a_process_that_accepts_and_says_nothing_is_not_alive(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(seconds(30))
        told = probe(tmp_path, mute.getsockname()[1])
        assert told.code == 1 and "/health" in told.err


def test_an_address_without_a_port_cannot_be_asked(tmp_path):
    told = probe(tmp_path, 0)
    assert told.code == 2 and "CLAUDE_PROXY_ADMIN_LISTEN" in told.err
