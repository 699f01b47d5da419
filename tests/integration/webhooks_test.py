"""Webhooks by the real binary: over TLS, never to an address that is not allowed, and in administrators' hands."""

import contextlib
import json
import socket
import time

import pytest

from support import certs
from support.admin import Admin, cli
from support.gateway import Gateway
from support.timing import setting
from support.upstream import Upstream, answer
from support.webhooks import BODY, add_delivery, signatures, wait_state, wait_tries

RETRIES = ",".join([setting(50)] * 8)


def say(status, headers=(), body=b""):
    return lambda call, peer: peer.send(answer(status, headers, body))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certs.Authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def sender(shared_upstream, authority):
    """A gateway that may reach this machine by http and https."""
    settings = {
        "WEBHOOK_ALLOW": "127.0.0.0/8,::1/128",
        "WEBHOOK_ALLOW_HTTP": "yes",
        "WEBHOOK_CA_FILE": authority.file,
        "WEBHOOK_RETRIES": RETRIES,
        "WEBHOOK_TIMEOUT": setting(1000),
        "WEBHOOK_BREAKER_OPEN": setting(50),
        "WEBHOOK_BREAKER_OPEN_MAX": setting(100),
    }
    with Gateway(shared_upstream.url, **settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def strict(shared_upstream):
    """A gateway that may reach public addresses only. http is allowed, so that nothing but the address is wrong."""
    with Gateway(shared_upstream.url, WEBHOOK_ALLOW_HTTP="yes", WEBHOOK_RETRIES=RETRIES) as gateway:
        yield gateway


@pytest.fixture
def receiver():
    with Upstream(say(204)) as listening:
        yield listening


def test_a_delivery_arrives_signed_over_tls(sender, authority):
    admin = Admin(sender)
    with Upstream(say(200), tls=certs.server_context(*authority.server("hooks"))) as receiver:
        made = add_delivery(sender, receiver.url + "/hook?token=abc")
        told = wait_state(admin, made, "delivered")
    (call,) = receiver.calls
    assert (call.method, call.target, call.body) == (b"POST", b"/hook?token=abc", BODY.encode())
    assert call.header("webhook-id") == made
    assert abs(int(call.header("webhook-timestamp")) - time.time()) < 60
    secret = admin.ok("GET", "teams/default/webhook-secret")["secret"]
    assert call.header("webhook-signature") == signatures(call, secret)
    assert call.header("content-type") == "application/json" and call.header("expect") is None
    assert (told["tries"], told["last_status"], told["last_error"], told["next_at"]) == (1, 200, None, None)
    assert told["url"] == receiver.url + "/hook?...", "a token of the receiver is not shown"


def test_a_certificate_that_nobody_trusts_or_of_another_name_gets_nothing(sender, authority, tmp_path):
    admin = Admin(sender)
    stranger = certs.Authority(tmp_path, "stranger")
    for pair in (stranger.server(), authority.server("elsewhere", "DNS:elsewhere.example")):
        with Upstream(say(200), tls=certs.server_context(*pair)) as receiver:
            told = wait_tries(admin, add_delivery(sender, receiver.url + "/"), 1)
        assert not receiver.calls
        assert told["last_status"] is None and "ertificate" in told["last_error"], told


def test_failures_are_tried_again_under_the_same_id_with_a_fresh_timestamp(sender, receiver):
    statuses = iter([500, 502, 404, 200])
    receiver.handler = lambda call, peer: peer.send(answer(next(statuses)))
    made = add_delivery(sender, receiver.url + "/")
    assert wait_state(Admin(sender), made, "delivered")["tries"] == 4
    secret = Admin(sender).ok("GET", "teams/default/webhook-secret")["secret"]
    for call in receiver.calls:
        assert call.header("webhook-id") == made and call.body == BODY.encode()
        assert call.header("webhook-signature") == signatures(call, secret)


def test_a_redirect_is_not_followed(sender, receiver):
    with Upstream(say(200)) as inside:
        receiver.handler = say(307, [("location", inside.url + "/secret")])
        told = wait_state(Admin(sender), add_delivery(sender, receiver.url + "/"), "given_up")
    assert told["last_error"] == "status 307: redirects are not followed"
    assert len(receiver.calls) == told["tries"] == 9
    assert not inside.connections


SPELLINGS = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]"]


@pytest.mark.parametrize("host", [*SPELLINGS, "[::ffff:127.0.0.1]"])
def test_no_spelling_of_this_machine_is_reached(strict, receiver, host):
    told = wait_tries(Admin(strict), add_delivery(strict, f"http://{host}:{receiver.port}/"), 1)
    assert told["last_status"] is None
    assert told["last_error"].startswith("the address may not be reached: "), told
    assert not receiver.connections


def test_private_addresses_of_other_machines_are_not_tried(strict):
    admin = Admin(strict)
    for host, what in [
        ("10.0.0.1", "private"),
        ("192.168.1.1", "private"),
        ("172.16.5.5", "private"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "shared address space"),
        ("[fd00::1]", "private"),
        ("[64:ff9b::10.0.0.1]", "private"),
    ]:
        told = wait_tries(admin, add_delivery(strict, f"http://{host}/"), 1)
        assert told["last_error"] == f"the address may not be reached: {what}", host


def test_a_proxy_of_the_environment_is_not_used(shared_upstream, receiver, monkeypatch):
    with Upstream(say(200)) as proxy:
        settings = {"WEBHOOK_ALLOW": "127.0.0.1", "WEBHOOK_ALLOW_HTTP": "yes"}
        # Gateway gives settings of ours a prefix: these have to pass as they are.
        monkeypatch.setattr("support.gateway.UNPREFIXED", {"http_proxy", "ALL_PROXY"})
        with Gateway(shared_upstream.url, http_proxy=proxy.url, ALL_PROXY=proxy.url, **settings) as gateway:
            wait_state(Admin(gateway), add_delivery(gateway, receiver.url + "/"), "delivered")
        assert len(receiver.calls) == 1 and not proxy.connections


def test_http_is_refused_unless_it_is_allowed(shared_upstream, receiver):
    with Gateway(shared_upstream.url, WEBHOOK_ALLOW="127.0.0.1", WEBHOOK_RETRIES=RETRIES) as gateway:
        told = wait_tries(Admin(gateway), add_delivery(gateway, receiver.url + "/"), 1)
    assert told["last_status"] is None and "rotocol" in told["last_error"], told
    assert not receiver.connections


def test_a_receiver_that_does_not_answer_is_left_after_the_timeout(sender, receiver):
    receiver.handler = lambda call, peer: peer.wait_gone()
    told = wait_tries(Admin(sender), add_delivery(sender, receiver.url + "/"), 1)
    assert told["last_status"] is None and told["last_error"].startswith("no answer within "), told


def test_a_receiver_that_says_nothing_at_all_is_left_after_the_timeout(sender):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        told = wait_tries(Admin(sender), add_delivery(sender, url), 1)
    assert told["last_error"].startswith("no answer within "), told


def test_nothing_is_waited_for_behind_the_head_of_an_answer(sender, receiver):
    """Endless bodies, bodies that stall, and bodies cut short: the status has been told."""

    def endless(call, peer):
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                peer.send(b"x" * 65536)
        peer.closed = True

    def stalled(call, peer):
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx")
        peer.wait_gone()

    def cut(call, peer):
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx").cut()

    for handler in (endless, stalled, cut):
        receiver.handler = handler
        told = wait_state(Admin(sender), add_delivery(sender, receiver.url + "/"), "delivered")
        assert (told["tries"], told["last_status"]) == (1, 200), handler.__name__


def test_an_endless_head_is_no_answer(sender, receiver):
    def endless(call, peer):
        peer.send(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            while True:
                peer.send(b"x-more: " + b"x" * 1000 + b"\r\n")
        peer.closed = True

    receiver.handler = endless
    told = wait_tries(Admin(sender), add_delivery(sender, receiver.url + "/"), 1)
    assert told["last_status"] is None, told


def test_what_a_receiver_answers_is_told_to_nobody(sender, receiver):
    receiver.handler = say(500, [("x-secret", "alpha")], b"a secret of the receiver")
    told = wait_tries(Admin(sender), add_delivery(sender, receiver.url + "/"), 1)
    assert told["last_error"] == "status 500"
    assert "secret of the receiver" not in "\n".join(sender.lines)


def test_a_rotated_secret_signs_beside_the_one_before_until_the_overlap_is_over(sender, receiver):
    admin = Admin(sender)
    team = admin.ok("POST", "teams", {"name": "rotating"})["id"]
    first = admin.ok("GET", "teams/rotating/webhook-secret")
    assert (first["version"], first["previous_secret"]) == (1, None)
    second = admin.ok("POST", f"teams/{team}/webhook-secret", {"rotate": True, "overlap": "1h"})
    assert second["version"] == 2 and second["previous_secret"] == first["secret"] != second["secret"]
    wait_state(admin, add_delivery(sender, receiver.url + "/", team=team), "delivered")
    third = admin.ok("POST", "teams/rotating/webhook-secret", {"rotate": True, "overlap": "0s"})
    assert third["version"] == 3 and third["previous_secret"] is None
    wait_state(admin, add_delivery(sender, receiver.url + "/", team=team), "delivered")
    one, two = receiver.calls
    assert one.header("webhook-signature") == signatures(one, second["secret"], first["secret"])
    assert two.header("webhook-signature") == signatures(two, third["secret"])
    assert admin.ok("GET", "teams/rotating/webhook-secret") == third
    actions = [entry["action"] for entry in admin.ok("GET", "audit?limit=1000")["data"] if entry["target"] == team]
    assert actions == ["team.create", *["team.webhook_secret." + word for word in ("show", "rotate", "rotate", "show")]]


def test_secrets_are_for_administrators_only_and_replays_for_operators(sender):
    admin = Admin(sender)
    keys = {role: admin.new_key(name=role, role=role)["key"] for role in ("viewer", "operator")}
    for key in keys.values():
        for method, body in (("GET", None), ("POST", {}), ("POST", {"rotate": True})):
            refused = admin.with_key(key).send(method, "teams/default/webhook-secret", body)
            assert (refused.status, refused.reason) == (403, "permission_denied")
    assert admin.with_key(keys["viewer"]).get("webhooks").status == 200
    assert admin.with_key(keys["viewer"]).post("webhooks/replay", {"job": "job_x"}).status == 403
    assert admin.with_key(keys["operator"]).post("webhooks/replay", {"job": "job_x"}).json == {"replayed": 0}
    assert admin.get("teams/nobody/webhook-secret").status == 404
    for body in ({"overlap": "1h"}, {"rotate": True, "overlap": "31d"}, {"rotate": 1}, {"other": True}):
        assert admin.post("teams/default/webhook-secret", body).status == 400, body


def test_the_log_of_deliveries_is_listed_and_replayed(sender, receiver):
    admin = Admin(sender)
    team = admin.ok("POST", "teams", {"name": "replaying"})["id"]
    receiver.handler = say(410)
    made = [add_delivery(sender, receiver.url + "/", team=team, job=f"job_{n}") for n in range(5)]
    for each in made:
        wait_state(admin, each, "given_up")
    seen, after = [], {}
    while True:
        page = admin.get("webhooks", team="replaying", limit=2, **after).json
        seen += [entry["id"] for entry in page["data"]]
        if not page["has_more"]:
            break
        after = {"after_id": page["last_id"]}
    assert sorted(seen) == sorted(made)
    assert [entry["id"] for entry in admin.get("webhooks", job="job_3", team=team).json["data"]] == [made[3]]
    assert admin.get("webhooks", team="replaying", state="waiting").json["data"] == []

    receiver.handler = say(200)
    assert admin.post("webhooks/replay", {"id": made[0]}).json == {"replayed": 1}
    again = wait_state(admin, made[0], "delivered")
    assert again["tries"] == 1 and again["replayed_at"] is not None
    assert admin.post("webhooks/replay", {"team": "replaying", "state": "given_up"}).json == {"replayed": 4}
    for each in made:
        wait_state(admin, each, "delivered")
    for body in ({}, {"team": "replaying"}, {"state": "given_up"}, {"job": "job_1", "state": "lost"}):
        assert admin.post("webhooks/replay", body).status == 400, body
    assert admin.post("webhooks/replay", {"id": "evt_none"}).status == 404
    assert admin.post("webhooks/replay", {"team": "nobody", "state": "given_up"}).status == 404
    assert admin.get("webhooks/evt_none").status == 404
    entries = [e for e in admin.ok("GET", "audit?limit=1000")["data"] if e["action"] == "webhook.replay"]
    assert entries[-1]["details"] == {"job": "", "team": team, "state": "given_up", "count": 4}


def test_the_command_line_shows_secrets_and_deliveries_and_replays(sender, receiver):
    admin = Admin(sender)

    def run(*words):
        return cli(sender.directory, *words)

    receiver.handler = say(410)
    made = add_delivery(sender, receiver.url + "/", job="job_cli")
    wait_state(admin, made, "given_up")
    (listed,) = run("jobs", "webhooks", "list", "--job", "job_cli", "--state", "given_up", "--json").json["data"]
    assert listed == admin.ok("GET", f"webhooks/{made}") == run("jobs", "webhooks", "show", made, "--json").json
    table = run("jobs", "webhooks", "list", "--job", "job_cli").out
    assert made in table and "given_up" in table and "410" in table
    receiver.handler = say(200)
    assert run("jobs", "webhooks", "replay", made, "--json").json == {"replayed": 1}
    wait_state(admin, made, "delivered")
    assert run("jobs", "webhooks", "replay", "--job", "job_cli", "--json").json == {"replayed": 1}
    receiver.wait_calls(3)
    assert run("jobs", "webhooks", "replay").code == 2
    assert run("jobs", "webhooks", "replay", "evt_none").code == 1

    run("teams", "create", "of-the-cli")
    first = run("teams", "webhook-secret", "of-the-cli", "--json").json
    second = run("teams", "webhook-secret", "of-the-cli", "--rotate", "--overlap", "1h", "--json").json
    assert first == {"secret": first["secret"], "version": 1, "previous_secret": None, "previous_until": None}
    assert (second["version"], second["previous_secret"]) == (2, first["secret"])
    assert second["secret"] in run("teams", "webhook-secret", "of-the-cli").out


def test_metrics_and_the_log_tell_what_happens(shared_upstream, receiver):
    statuses = iter([500, 200])
    receiver.handler = lambda call, peer: peer.send(answer(next(statuses)))
    settings = {"WEBHOOK_ALLOW": "127.0.0.1", "WEBHOOK_ALLOW_HTTP": "yes", "WEBHOOK_RETRIES": RETRIES}
    with Gateway(shared_upstream.url, WEBHOOK_BREAKER_FAILURES=1, WEBHOOK_BREAKER_OPEN="10ms", **settings) as gateway:
        made = add_delivery(gateway, receiver.url + "/hook?token=abc")
        wait_state(Admin(gateway), made, "delivered")
        text = gateway.metrics().body.decode()
        for line in ("webhooks_delivered_total 1", "webhook_failures_total 1", "webhooks_given_up_total 0"):
            assert f"\nclaude_proxy_{line}\n" in text, line
        failed = gateway.wait_event(lambda event: event.get("event") == "webhook_failed")
        assert (failed["id"], failed["status"], failed["error"]) == (made, "500", "status 500")
        for name in ("webhook_breaker_opened", "webhook_breaker_closed", "webhook_delivered"):
            event = gateway.wait_event(lambda event, name=name: event.get("event") == name)
            assert event["endpoint"] == f"http://127.0.0.1:{receiver.port}"
        assert "token=abc" not in "\n".join(gateway.lines)
        assert failed["job_id"] == "job_1" and json.loads(BODY)["data"]["id"] == "job_1"


def test_an_allowed_range_that_is_none_is_told_at_the_start(shared_upstream):
    with pytest.raises(AssertionError, match="CLAUDE_PROXY_WEBHOOK_ALLOW: localhost is no address range"):
        Gateway(shared_upstream.url, WEBHOOK_ALLOW="10.0.0.0/8,localhost")
