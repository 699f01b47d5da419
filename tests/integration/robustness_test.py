"""What must not bring the process down: wrong settings, garbage, no descriptors left, stray signals."""

import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from support import sse
from support.client import Client, Truncated, request
from support.gateway import DEFAULTS, PROXY, Gateway, Process
from support.timing import SCALE, seconds, setting, wait_until
from support.upstream import MESSAGE, Upstream

ASK_JSON = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[]}')
ASK = request(body=b'{"model":"claude-opus-4-8","max_tokens":16,"stream":true,"messages":[]}')

WRONG = {
    "CLAUDE_PROXY_NO_SUCH_THING": "1",
    "CLAUDE_PROXY_LISTEN": "nonsense",
    "CLAUDE_PROXY_ADMIN_LISTEN": "127.0.0.1:99999",
    "CLAUDE_PROXY_UPSTREAM_URL": "ftp://x",
    "CLAUDE_PROXY_UPSTREAM_CA_FILE": "/no/such/file.pem",
    "CLAUDE_PROXY_TLS_CERT_FILE": "/no/such/file.pem",
    "CLAUDE_PROXY_THREADS": "many",
    "CLAUDE_PROXY_PING_INTERVAL": "15",
    "CLAUDE_PROXY_DRAIN_DELAY": "-1s",
    "CLAUDE_PROXY_HEAD_TIMEOUT": "5 parsecs",
    "CLAUDE_PROXY_HEAD_BYTES_MAX": "64KB?",
    "CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX": "99999999999999999999",
    "CLAUDE_PROXY_CONNECTIONS_MAX": "-5",
    "CLAUDE_PROXY_ATTEMPTS_MAX": "9",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_stops_the_start_and_is_named(name):
    process = Process(
        [PROXY, "serve"], {**DEFAULTS, "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:9", name: WRONG[name]}
    )
    try:
        code = process.wait_exit()
        text = "\n".join(process.lines)
        assert code == 2, text
        assert name in text, text
        process.check_reports()
    finally:
        process.cleanup()


def test_all_wrong_settings_are_named_at_once_and_no_secret_is_shown():
    wrong = {"CLAUDE_PROXY_NO_SUCH_THING": "1", "CLAUDE_PROXY_THREADS": "many", "LOG_LEVEL": "loud"}
    process = Process([PROXY, "serve"], {**DEFAULTS, **wrong, "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:9"})
    try:
        assert process.wait_exit() == 2
        text = "\n".join(process.lines)
        assert all(name in text for name in wrong), text
        assert "sk-cp-" not in text and "sk-ant-" not in text
    finally:
        process.cleanup()


def test_an_env_file_is_read_and_the_real_environment_wins():
    with Upstream() as upstream:
        settings = {**DEFAULTS, "CLAUDE_PROXY_UPSTREAM_URL": upstream.url}
        del settings["CLAUDE_PROXY_API_KEYS"]
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, ".env"), "w", encoding="utf-8") as file:
                file.write(
                    "# comment\n\nexport CLAUDE_PROXY_API_KEYS='sk-cp-from-file'\n"
                    'LOG_FORMAT=text\nANTHROPIC_API_KEY="sk-ant-file"\n'
                )
            process = Process(["/bin/sh", "-c", f'cd "{directory}" && exec "{PROXY}" serve'], settings)
            try:
                port = int(
                    process.wait_event(lambda event: event.get("event") == "listening")["listen"].rsplit(":", 1)[1]
                )
                with Client(port) as client:
                    assert client.ask(request("GET", "/v1/models", key="sk-cp-from-file")).status == 200
                assert upstream.calls[0].header("x-api-key") == DEFAULTS["ANTHROPIC_API_KEY"]
                process.signal(signal.SIGTERM)
                assert process.wait_exit() == 0
            finally:
                process.cleanup()


def test_a_port_that_is_taken_is_said_plainly():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for name in ("CLAUDE_PROXY_LISTEN", "CLAUDE_PROXY_ADMIN_LISTEN"):
            for threads in ("1", "2"):
                process = Process(
                    [PROXY, "serve"],
                    {
                        **DEFAULTS,
                        name: address,
                        "CLAUDE_PROXY_THREADS": threads,
                        "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:9",
                    },
                )
                try:
                    assert process.wait_exit() not in (0, None)
                    assert address in "\n".join(process.lines)
                    process.check_reports()
                finally:
                    process.cleanup()


def test_help_names_every_command():
    help_text = subprocess.run(
        [PROXY, "--help"], capture_output=True, text=True, timeout=seconds(20), env={}, check=True
    ).stdout
    assert "serve" in help_text and "version" in help_text
    serve_help = subprocess.run(
        [PROXY, "serve", "--help"], capture_output=True, text=True, timeout=seconds(20), env={}, check=True
    ).stdout
    assert "CLAUDE_PROXY_PING_INTERVAL" in serve_help and "CLAUDE_PROXY_UPSTREAM_URL" in serve_help
    assert subprocess.run(
        [PROXY, "no-such-command"], capture_output=True, timeout=seconds(20), env={}, check=False
    ).returncode not in (0, -11, -6)


def mutated(generator):
    """Garbage of several kinds: noise, broken pieces of real requests, half requests, floods of one character."""
    kind = generator.randrange(6)
    data = bytearray(
        generator.choice(
            (ASK, ASK_JSON, request(headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\n\r\n")
        )
    )
    if kind == 0:
        return generator.randbytes(generator.randrange(1, 2000))
    if kind == 1:
        return bytes(data[: generator.randrange(1, len(data))])
    if kind == 2:
        return generator.choice((b"\n", b"\r", b"\r\n", b"\0", b" ", b"A", b":")) * generator.randrange(1, 100_000)
    if kind == 3:
        at = generator.randrange(len(data))
        return bytes(data[:at] + data[at + generator.randrange(1, 30) :])
    for _ in range(generator.randrange(1, 8)):
        data[generator.randrange(len(data))] = generator.randrange(256)
    return bytes(data * generator.randrange(1, 3))


def test_two_thousand_connections_of_garbage_are_survived(gateway, upstream):
    seed = random.randrange(1 << 32)
    print("seed", seed)  # shown when the test fails
    generator = random.Random(seed)
    for _ in range(2000):
        with gateway.client(timeout=10) as client:
            try:
                client.send(mutated(generator))
                if generator.randrange(4) == 0:
                    client.reset()
                elif generator.randrange(2) == 0:
                    client.socket.shutdown(socket.SHUT_WR)
                    client.rest()
            except OSError:
                pass
    upstream.reset()
    assert gateway.ask(ASK_JSON).body == MESSAGE
    assert gateway.ask(ASK).body == sse.short_stream()
    wait_until(
        lambda: b"\nclaude_proxy_connections_open 0" in gateway.metrics().body, 20, "no connection is left behind"
    )
    wait_until(
        lambda: b"\nclaude_proxy_in_flight_body_bytes 0" in gateway.metrics().body,
        20,
        "no place in the budget is left behind",
    )


def test_running_out_of_descriptors_is_survived(shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, files_max=64, CONNECTIONS_MAX=1000) as gateway:
        assert gateway.ask(ASK_JSON).body == MESSAGE
        hoard = []
        try:
            for _ in range(150):
                hoard.append(gateway.client())
            served = refused = 0
            for client in hoard[:30]:
                client.socket.settimeout(seconds(1))
                try:
                    response = client.ask(ASK_JSON)
                    served, refused = served + (response.status == 200), refused + (response.status >= 500)
                except (OSError, Truncated):
                    refused += 1
            assert served + refused == 30
        finally:
            for client in hoard:
                client.close()
        assert gateway.process.poll() is None

        def well():
            with gateway.client() as client:
                return client.ask(ASK_JSON).status == 200

        wait_until(well, 20, "requests are served once descriptors are free")
        cpu = cpu_seconds(gateway.pid)
        time.sleep(seconds(0.3))
        assert cpu_seconds(gateway.pid) - cpu < seconds(0.2), "accepting must not spin"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_hang_up_and_broken_pipe_signals_do_not_kill(gateway, upstream):
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP):
        gateway.signal(number)
        assert gateway.ask(ASK_JSON).body == MESSAGE
    assert gateway.process.poll() is None


def test_an_idle_gateway_costs_nothing(shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, THREADS=2) as gateway:
        assert gateway.ask(ASK_JSON).status == 200
        clients = [gateway.client() for _ in range(50)]
        for client in clients:
            assert client.ask(request("GET", "/health", key=None)).status == 200
        before = cpu_seconds(gateway.pid)
        time.sleep(seconds(1))
        assert cpu_seconds(gateway.pid) - before <= seconds(0.05)
        for client in clients:
            client.close()


def test_many_clients_at_once_are_all_served_rightly(shared_upstream):
    """Different answers to each, so that a mix-up between connections cannot hide."""
    shared_upstream.reset()

    def echo(call, peer):
        if call.target.endswith(b"stream"):
            peer.stream(sse.preamble(), sse.text_delta(call.header("x-n")), sse.block_stop() + sse.ending()).end()
        else:
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(call.body) + call.body)

    shared_upstream.handler = echo
    failures = []

    def worker(number):
        generator = random.Random(number)
        try:
            with gateway.client(timeout=60) as client:
                for turn in range(40):
                    text = f"{number}-{turn}-" + "x" * generator.randrange(5000)
                    body = ('{"model":"m","x":"' + text + '"}').encode()
                    if generator.randrange(2):
                        response = client.ask(
                            request(target="/v1/messages?stream", body=body, headers=[("x-n", text[:50])])
                        )
                        assert response.body == sse.short_stream(text[:50])
                    else:
                        response = client.ask(request(body=body))
                        assert response.body == body
        except BaseException as failure:
            failures.append(repr(failure)[:500])

    with Gateway(shared_upstream.url, THREADS=2) as gateway:
        workers = [threading.Thread(target=worker, args=(number,)) for number in range(24)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        assert failures == []
        lines = wait_until(
            lambda: (done := [event for event in gateway.events if event.get("route") == "messages"])
            and len(done) == 24 * 40
            and done,
            10,
            "a log line for each request",
        )
        assert len({line["request_id"] for line in lines}) == 24 * 40


def test_threads_can_be_many(shared_upstream):
    shared_upstream.reset()
    with Gateway(shared_upstream.url, THREADS=8, DRAIN_TIMEOUT=setting(1000)) as gateway:
        for _ in range(int(40 / SCALE) or 1):
            assert gateway.ask(ASK_JSON).body == MESSAGE
