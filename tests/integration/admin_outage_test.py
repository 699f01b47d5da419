"""The admin API on PostgreSQL, and what it says when the database does not answer or is gone."""

import signal
import threading
import time

import pytest

from support.admin import ADMIN_KEY, Admin, cli
from support.client import Client, request
from support.gateway import Gateway
from support.servers import PgBouncer, Postgres
from support.timing import seconds

WAIT = 12  # seconds within which an answer must have come, whatever the database does


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def database(postgres, tmp_path_factory):
    url = postgres.create_database("admin")
    assert cli(tmp_path_factory.mktemp("migrate"), "migrate", DATABASE_URL=url).code == 0
    return url


@pytest.fixture
def gateway(shared_upstream, database):
    with Gateway(shared_upstream.url, DATABASE_URL=database) as gateway:
        yield gateway


@pytest.fixture
def admin(gateway):
    return Admin(gateway)


def soon(ask, timeout=WAIT):
    """The answer, which must not take longer than a database may."""
    began = time.monotonic()
    answer = ask()
    assert time.monotonic() - began < seconds(timeout)
    return answer


def until(answers):
    deadline = time.monotonic() + seconds(20)
    while not answers():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(admin, name):
    """A team and a key from their making to their end."""
    team = admin.ok("POST", "teams", {"name": name, "metadata": {"größe": [1]}})
    made = admin.new_key(name="näme", team=name, budgets=["50/month"], requests_per_minute=3)
    viewer = admin.new_key(name="v", role="viewer")
    assert admin.with_key(viewer["key"]).get("teams").status == 200
    rotated = admin.ok("POST", f"keys/{viewer['id']}/rotate", {"overlap": "0s"})
    assert admin.with_key(viewer["key"]).get("teams").status == 401
    assert admin.with_key(rotated["key"]).get("teams").status == 200
    admin.ok("POST", f"keys/{viewer['id']}/revoke")
    assert admin.with_key(rotated["key"]).get("teams").status == 401
    assert admin.post("teams", {"name": name}).status == 409
    assert admin.ok("GET", f"keys/{made['id']}")["name"] == "näme"
    assert admin.ok("GET", f"teams/{name}") == team
    assert admin.ok("DELETE", f"budgets/{made['budgets'][0]['id']}")["limit"] == "50"
    assert admin.ok("GET", "usage?group_by=team,day")["rows"] == []
    assert admin.get("requests/req_cp_unknown").status == 404
    assert admin.ok("DELETE", f"teams/{name}")["archived_at"]
    assert admin.get("audit/verify").json["whole"]


def test_everything_works_on_postgresql(admin):
    lives(admin, "direct")


def test_everything_works_behind_a_transaction_pooler(shared_upstream, postgres, database):
    with PgBouncer(postgres) as pooler:
        with Gateway(shared_upstream.url, DATABASE_URL=pooler.url("admin", "gateway")) as gateway:
            lives(Admin(gateway), "pooled")


def test_tampering_is_found_on_postgresql(admin, postgres):
    admin.ok("POST", "teams", {"name": "tampered"})
    last = admin.get("audit/verify").json["entries"]
    table = "claude_proxy.audit"
    postgres.sql(f"UPDATE {table} SET actor = actor || 'x' WHERE seq = {last}", "admin")
    assert admin.get("audit/verify").json["broken_at"] == last
    postgres.sql(f"UPDATE {table} SET actor = left(actor, -1) WHERE seq = {last}", "admin")
    assert admin.get("audit/verify").json["whole"]


def test_a_database_that_is_gone_gives_503_and_is_used_again_when_it_is_back(gateway, admin, postgres):
    viewer = admin.with_key(admin.new_key(name="v", role="viewer")["key"])
    postgres.stop("kill")
    for who in (admin, viewer):
        answer = soon(lambda who=who: who.get("teams"))
        assert (answer.status, answer.reason) == (503, "database_unavailable")
        assert answer.response.header("retry-after") == "1"
    assert soon(lambda: admin.post("teams", {"name": "lost"})).status == 503
    assert admin.with_key("sk-cp-nobody").get("teams").status == 401, "keys are known without the database"
    with gateway.admin() as client:
        assert client.ask(request("GET", "/health", key=None)).status == 200
    postgres.start()
    until(lambda: admin.get("teams").status == 200)
    assert admin.get("teams/lost").status == 404


def test_a_database_that_says_nothing_gives_503_and_what_was_given_up_is_not_done_later(gateway, admin, postgres):
    admin.ok("POST", "teams", {"name": "before"})
    postgres.freeze()
    answers = {}

    def create(name):
        answers[name] = soon(lambda: admin.post("teams", {"name": name}))

    # More than there are threads for the database: some wait in the queue, and are given up there.
    threads = [threading.Thread(target=create, args=(f"frozen-{number}",)) for number in range(6)]
    try:
        for thread in threads:
            thread.start()
        with gateway.admin() as client:
            assert client.ask(request("GET", "/health", key=None)).status == 200
        for thread in threads:
            thread.join(seconds(30))
    finally:
        postgres.thaw()
    assert {name: (answer.status, answer.reason) for name, answer in answers.items()} == {
        f"frozen-{number}": (503, "database_unavailable") for number in range(6)
    }
    until(lambda: admin.get("teams").status == 200)
    made = [team["name"] for team in admin.ok("GET", "teams")["data"] if team["name"].startswith("frozen")]
    assert len(made) <= 2, "only what had begun may have been done"


def test_a_client_that_leaves_while_the_database_is_silent_harms_nobody(gateway, admin, postgres):
    postgres.freeze()
    try:
        for method, body in (("GET", None), ("POST", b'{"name":"left"}')):
            client = Client(gateway.admin_port)
            client.send(request(method, "/admin/v1/teams", body, key=ADMIN_KEY))
            client.reset()
        assert admin.with_key(None).get("teams").status == 401
    finally:
        postgres.thaw()
    until(lambda: admin.get("teams").status == 200)


def test_the_process_ends_in_order_while_the_database_is_silent(shared_upstream, database, postgres):
    gateway = Gateway(shared_upstream.url, DATABASE_URL=database)
    client = Client(gateway.admin_port)
    postgres.freeze()
    try:
        client.send(request("GET", "/admin/v1/teams", key=ADMIN_KEY))
        gateway.wait_event(lambda event: event.get("event") == "listening")
        gateway.signal(signal.SIGTERM)
        # Nobody can hurry a server that does not answer: statements under way end by their own limits of 10 s each.
        assert gateway.wait_exit(timeout=40) == 0, gateway.tail()
    finally:
        postgres.thaw()
        client.close()
        gateway.stop()
