"""Changes of keys and teams reach every replica at once, in both directions.

Method: two replicas on one PostgreSQL, clients that never pause on both, and changes made through the admin API of one
replica and through the command line, which knows none of them.
"""

import asyncio
import collections
import json
import time

import pytest

from support import load, truth
from support.client import request as request_bytes
from support.cluster import Cluster, Database
from support.timing import seconds

BODY = json.dumps(
    {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
).encode()
GRACE = 1.0  # seconds after the change was answered in which an old decision may still be met
CLIENTS = 2  # a key and replica


def ask_bytes(key, tag):
    return request_bytes(body=BODY, headers=[("anthropic-version", "2023-06-01"), ("user-agent", tag)], key=key)


@pytest.fixture
def cluster(request, simulator, postgres):
    """Two replicas; a test's parameter is their settings. At its end the ledger is compared with the truth."""
    settings = getattr(request, "param", {})
    with Cluster(simulator.url, Database.postgres(postgres), 2, **settings) as cluster:
        yield cluster
        cluster.wait_for_ledger()
        compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(cluster.database))
        compared.check()
        truth.check_sums(cluster.database)
        print(compared)


async def keep_asking(cluster, secrets, until, seen):
    """Every secret on every replica, without a pause; `seen` gets (secret, replica, began, status)."""
    number = 0

    async def one(secret, replica, port):
        nonlocal number
        caller = load.Caller(port)
        while not until.is_set():
            number += 1
            answer = await caller.ask(ask_bytes(secret, f"a{number}"), timeout=seconds(20))
            seen.append((secret, replica, answer.began, answer.status))
            await asyncio.sleep(0.005)
        caller.close()

    await asyncio.gather(
        *(one(secret, r, port) for secret in secrets for r, port in enumerate(cluster.ports) for _ in range(CLIENTS))
    )


def under_load(cluster, secrets, change):
    """Runs `change` in a thread while the secrets are in use; what the clients saw, when `change` had returned, and
    what it gave."""

    async def scenario():
        seen, until = [], asyncio.Event()
        clients = asyncio.ensure_future(keep_asking(cluster, secrets, until, seen))
        await asyncio.sleep(seconds(0.7))
        result = await asyncio.get_running_loop().run_in_executor(None, change)
        returned = time.monotonic()
        await asyncio.sleep(seconds(GRACE + 1.5))
        until.set()
        await clients
        return seen, returned, result

    return load.run(scenario(), seconds(60))


def last_accepted(seen, secret, replica):
    times = [began for who, where, began, status in seen if (who, where, status) == (secret, replica, 200)]
    return max(times) if times else None


def check_ended(what, seen, secret, returned):
    """Accepted before, refused as 401 after, on both replicas, within the grace."""
    for replica in range(2):
        mine = [(began, status) for who, where, began, status in seen if (who, where) == (secret, replica)]
        assert {status for _, status in mine} == {200, 401}, collections.Counter(status for _, status in mine)
        late = last_accepted(seen, secret, replica) - returned
        print(f"\n{what}: replica {replica} accepted its last request {late * 1000:+.0f} ms after the answer", end="")
        assert late <= seconds(GRACE)
        after = [status for began, status in mine if began > returned + seconds(GRACE)]
        assert len(after) > 30 and set(after) == {401}


def check_unharmed(seen, secret):
    statuses = collections.Counter(status for who, _, _, status in seen if who == secret)
    assert set(statuses) == {200}, statuses


@pytest.mark.parametrize("by", ["command line", "admin API of replica 0"])
def test_a_revoked_key_is_refused_everywhere_within_a_second(cluster, by):
    """Goal: no replica accepts a key later than one second after its revocation was answered."""
    admin = cluster.admin(0)
    doomed, other = admin.new_key(name="doomed"), admin.new_key(name="other")

    def revoke():
        if by == "command line":
            return cluster.cli("keys", "revoke", doomed["id"], "--json").json
        return admin.ok("POST", f"keys/{doomed['id']}/revoke")

    seen, returned, told = under_load(cluster, [doomed["key"], other["key"]], revoke)
    assert told["revoked_at"]
    check_ended(f"revoked by the {by}", seen, doomed["key"], returned)
    check_unharmed(seen, other["key"])
    print(f"; {len(seen)} requests")


def test_during_a_rotation_both_secrets_work_and_then_only_the_new_one(cluster):
    """Goal: a rotation under load fails no request until the overlap is over; then the old secret fails everywhere."""
    admin = cluster.admin(0)
    made = admin.new_key(name="rotated")
    old = made["key"]
    rotated = admin.ok("POST", f"keys/{made['id']}/rotate", {"overlap": "2s"})
    began = time.monotonic()
    new = rotated["key"]
    assert new != old and rotated["id"] == made["id"]

    async def scenario():
        seen, until = [], asyncio.Event()
        clients = asyncio.ensure_future(keep_asking(cluster, [old, new], until, seen))
        await asyncio.sleep(seconds(2 + GRACE + 1))
        until.set()
        await clients
        return seen

    seen = load.run(scenario(), seconds(60))
    check_unharmed(seen, new)
    for replica in range(2):
        mine = [(at - began, status) for who, where, at, status in seen if (who, where) == (old, replica)]
        first_refused = min(at for at, status in mine if status == 401)
        last = max(at for at, status in mine if status == 200)
        print(f"\nreplica {replica}: the old secret ended {first_refused:.2f} s after the rotation (overlap 2)", end="")
        assert 1.8 <= first_refused and last <= 2 + GRACE
        assert {status for at, status in mine if at < 1.8} == {200}
        assert {status for at, status in mine if at > 2 + GRACE} == {401}
    print()


def test_a_key_made_by_the_command_line_works_at_once_on_both_replicas(cluster):
    """Goal: nobody waits for a poll: the first request with a new key succeeds on every replica."""
    waits = []
    for number in range(10):
        made = cluster.cli("keys", "create", "--name", f"fresh{number}", "--team", "fresh", "--json").json
        for port in cluster.ports:
            answer = load.run(load.Caller(port).ask(ask_bytes(made["key"], f"fresh{number}")), 30)
            assert answer.status == 200, answer.body
            waits.append(answer.seconds)
    print(f"\nfirst requests of new keys took {min(waits) * 1000:.0f} to {max(waits) * 1000:.0f} ms")
    assert max(waits) < seconds(1)


@pytest.mark.parametrize("cluster", [{"DIRECTORY_POLL": "60s"}], indirect=True, ids=["asked only when needed"])
def test_requests_that_wait_for_the_database_stay_themselves(cluster, postgres, simulator):
    """Goal: nobody is taken for somebody else, however many wait for the directory at the same time.

    Method: keys of six teams that the replica has not seen, while the database is frozen, beside a key that it knows.
    """
    known = cluster.admin().new_key(name="known", team="known")
    load.run(load.Caller(cluster.ports[0]).ask(ask_bytes(known["key"], "warm")), 30)
    keys = [cluster.cli("keys", "create", "--name", f"n{n}", "--team", f"new{n}", "--json").json for n in range(6)]
    asked = [(keys[n % 6], f"new{n}") for n in range(60)]

    async def scenario():
        postgres.freeze()
        try:
            waiting = asyncio.ensure_future(
                load.all_at_once([cluster.ports[0]], [ask_bytes(key["key"], tag) for key, tag in asked])
            )
            await asyncio.sleep(0.3)
            assert not waiting.done()
            passing = await load.Caller(cluster.ports[0]).ask(ask_bytes(known["key"], "passing"))
        finally:
            postgres.thaw()
        return passing, await waiting

    passing, answers = load.run(scenario(), seconds(60))
    assert passing.status == 200 and passing.seconds < seconds(0.25)
    assert {answer.status for answer in answers} == {200}
    assert min(answer.seconds for answer in answers) > 0.2, "all of them waited"
    cluster.wait_for_ledger()
    rows = {row.tag: row for row in truth.ledger_rows(cluster.database)}
    for key, tag in asked:
        assert rows[tag].key_id == key["id"], (tag, rows[tag])
    print(f"\n{len(asked)} waited {min(answer.seconds for answer in answers):.2f} s and were served as themselves")


def test_the_keys_of_an_archived_team_are_refused(cluster):
    """Goal: archiving a team ends its keys everywhere within a second, and those of others not at all."""
    admin = cluster.admin(1)
    member, other = admin.new_key(name="member", team="ending"), admin.new_key(name="other", team="staying")
    seen, returned, _ = under_load(
        cluster, [member["key"], other["key"]], lambda: cluster.cli("teams", "archive", "ending", "--json").json
    )
    check_ended("archived", seen, member["key"], returned)
    check_unharmed(seen, other["key"])
    print()
    answer = load.run(load.Caller(cluster.ports[0]).ask(ask_bytes(member["key"], "late")), 30)
    assert (answer.status, answer.reason) == (401, "credential_expired")
