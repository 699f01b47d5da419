"""The database is away: what goes on, what is refused and how soon, and that nothing is missing afterwards.

Method: two replicas on a PostgreSQL that is stopped (connections break at once) or frozen (nothing answers any more)
while clients go on asking.
"""

import asyncio
import json
import statistics
import time

import pytest

from support import load, truth
from support.admin import cli
from support.client import request
from support.cluster import Cluster, Database
from support.gateway import Gateway
from support.timing import seconds, wait_until

LATENCY_MS = 20
LEASE = 60


def ask_bytes(key, tag, stream=False, max_tokens=50, *more):
    body = {"model": "claude-haiku-4-5", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        body["stream"] = True
    headers = [
        ("anthropic-version", "2023-06-01"),
        ("user-agent", tag),
        ("x-sim-output-tokens", "30"),
        ("x-sim-fault", f"slow-head={LATENCY_MS}"),
        *more,
    ]
    return request(body=json.dumps(body).encode(), headers=headers, key=key)


def compare(cluster, simulator):
    cluster.wait_for_ledger(30)
    rows = truth.ledger_rows(cluster.database)
    compared = truth.Comparison(truth.simulator_rows(simulator), rows)
    compared.check()
    assert truth.check_sums(cluster.database) == len(rows)
    print(compared)
    return compared


class Asking:
    """Clients of several keys that go on until they are told to stop; sync and stream in turn."""

    def __init__(self, cluster, keys):
        self.cluster, self.keys, self.replies, self.until = cluster, keys, [], asyncio.Event()

    async def one(self, key, port, name):
        caller, number = load.Caller(port), 0
        while not self.until.is_set():
            number += 1
            reply = await caller.ask(
                ask_bytes(key, f"{name}.{number}", stream=number % 2 == 0), timeout=seconds(30)
            )
            self.replies.append((key, number % 2 == 0, reply))
            await asyncio.sleep(0.02)
        caller.close()

    def start(self):
        self.tasks = [
            asyncio.ensure_future(self.one(key, port, f"k{k}p{p}c{c}"))
            for k, key in enumerate(self.keys)
            for p, port in enumerate(self.cluster.ports)
            for c in range(2)
        ]

    async def stop(self):
        self.until.set()
        await asyncio.gather(*self.tasks)

    def medians(self, begin, end):
        """Milliseconds of sync and stream answers begun in a span."""
        found = []
        for stream in (False, True):
            times = [
                reply.seconds for _, kind, reply in self.replies if kind == stream and begin <= reply.began <= end
            ]
            found.append(statistics.median(times) * 1000)
        return found


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_known_keys_and_their_budgets_go_on_without_the_database(how, simulator, postgres):
    """Goal: an outage is not felt by callers that are known, nor by budgets within their lease, and the ledger has all
    of it afterwards.

    Method: a free key and one under a hard budget ask before, during and after six seconds without the database.
    """
    database = Database.postgres(postgres)
    with Cluster(simulator.url, database, 2, BUDGET_LEASE=f"{LEASE}s") as cluster:
        admin = cluster.admin()
        admin.ok("POST", "teams", {"name": "budgeted"})
        admin.ok("POST", "budgets", {"scope": "team", "id": "budgeted", "period": "total", "limit": "1000"})
        keys = [admin.new_key(name="free", team="free")["key"], admin.new_key(name="bound", team="budgeted")["key"]]

        async def scenario():
            asking = Asking(cluster, keys)
            asking.start()
            begin = time.monotonic()
            await asyncio.sleep(seconds(2))
            loop = asyncio.get_running_loop()
            gone = time.monotonic()
            if how == "stopped":
                await loop.run_in_executor(None, postgres.stop)
            else:
                postgres.freeze()
            try:
                away = time.monotonic()
                await asyncio.sleep(seconds(6))
            finally:
                back = time.monotonic()
                if how == "stopped":
                    postgres.start()  # on this thread, with which the server ends
                else:
                    postgres.thaw()
            await asyncio.sleep(seconds(1.5))
            await asking.stop()
            return asking, begin, gone, away, back

        try:
            asking, begin, gone, away, back = load.run(scenario(), seconds(60))
        finally:
            if postgres.process is None:
                postgres.start()
        for key, _, reply in asking.replies:
            assert reply.status == 200 and reply.whole, (keys.index(key), reply.tag, reply.status, reply.body[:300])
        before, during = asking.medians(begin, gone), asking.medians(away, back)
        count = sum(away <= reply.began <= back for _, _, reply in asking.replies)
        print(
            f"\n{how}: {count} requests without the database, all served; medians before and during: sync"
            f" {before[0]:.1f} and {during[0]:.1f} ms, stream {before[1]:.1f} and {during[1]:.1f} ms"
        )
        assert count > 200
        for was, became in zip(before, during):
            assert became < was * 1.3 + 5, "slower while the database is away"
        cluster.wait_for_no_holds()
        recovering = time.monotonic()
        compared = compare(cluster, simulator)
        print(f"the ledger had caught up {time.monotonic() - recovering:.1f} s after the last request")
        assert compared.exact == len(asking.replies)
        if how == "stopped":
            for gateway in cluster.gateways:
                for word in ("ledger_recovered", "database_recovered", "budgets_recovered"):
                    gateway.wait_event(lambda event, word=word: event.get("event") == word, what=word)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_an_unknown_key_is_refused_soon_without_the_database(how, simulator, postgres):
    """Goal: strangers wait for the database no longer than 2.5 s, one alone and fifty together, and delay nobody."""
    database = Database.postgres(postgres)
    with Cluster(simulator.url, database, 1) as cluster:
        known = cluster.admin().new_key(name="known")["key"]
        unknown = cluster.admin().new_key(name="gone")
        port = cluster.ports[0]
        # Well-formed and of nobody: made for another installation.
        other = Database.postgres(postgres)
        cli(cluster.directory, "migrate", **other.settings)
        made = [
            cli(cluster.directory, "keys", "create", "--name", "x", "--team", "x", "--json", **other.settings).json
            for _ in range(3)
        ]
        strangers = [key["key"] for key in made]
        assert load.run(load.Caller(port).ask(ask_bytes(unknown["key"], "warm")), 30).status == 200

        async def scenario():
            alone = await load.Caller(port).ask(ask_bytes(strangers[0], "stranger"), timeout=seconds(10))
            together = asyncio.ensure_future(
                load.all_at_once([port], [ask_bytes(strangers[n % 3], f"s{n}") for n in range(50)])
            )
            await asyncio.sleep(0.1)
            beside = await load.Caller(port).ask(ask_bytes(known, "beside"))
            return alone, beside, await together

        if how == "stopped":
            postgres.stop()
        else:
            postgres.freeze()
        try:
            alone, beside, together = load.run(scenario(), seconds(30))
        finally:
            if how == "stopped":
                postgres.start()
            else:
                postgres.thaw()
        assert beside.status == 200 and beside.seconds < seconds(0.3)
        for answer in [alone, *together]:
            assert (answer.status, answer.reason) == (401, "credential_invalid")
            assert answer.seconds < seconds(2.5)
        print(
            f"\n{how}: a stranger alone was refused after {alone.seconds:.2f} s, fifty together after at most"
            f" {max(answer.seconds for answer in together):.2f} s; a known key beside them took"
            f" {beside.seconds * 1000:.0f} ms"
        )
        compare(cluster, simulator)


def test_a_hard_budget_spends_its_lease_and_then_says_why(simulator, postgres):
    """Goal: without the database a replica spends what it has leased of a hard budget, and not a cent more."""
    database = Database.postgres(postgres)
    with Cluster(simulator.url, database, 1, BUDGET_LEASE="4s", BUDGET_WAIT="1s") as cluster:
        admin = cluster.admin()
        admin.ok("POST", "teams", {"name": "budgeted"})
        admin.ok("POST", "budgets", {"scope": "team", "id": "budgeted", "period": "total", "limit": "10"})
        key = admin.new_key(name="bound", team="budgeted")["key"]
        port = cluster.ports[0]

        async def ask_until_refused():
            """Asks all the time, from before the database goes; a budget that nobody uses gives its lease back."""
            caller, answers = load.Caller(port), []
            going = None
            while not answers or answers[-1].status == 200:
                answers.append(await caller.ask(ask_bytes(key, f"n{len(answers)}"), timeout=10))
                if len(answers) == 20:
                    going = asyncio.get_running_loop().run_in_executor(None, postgres.stop)
                await asyncio.sleep(0.03)
            await going
            caller.close()
            return answers

        try:
            *served, refused = load.run(ask_until_refused(), seconds(40))
        finally:
            postgres.start()
        lost = cluster.gateways[0].wait_event(lambda event: event.get("event") == "budgets_unreachable")
        assert lost["what"]
        away = served[20].began
        served = served[20:]
        assert (refused.status, refused.reason) == (529, "budget_unavailable")
        assert refused.header("retry-after") and refused.header("x-should-retry") is None
        lasted = served[-1].ended - away
        said = refused.json()["error"]["message"]
        print(f"\n{len(served)} requests in {lasted:.1f} s without the database, then: {said}")
        assert len(served) > 5 and lasted < seconds(4)
        wait_until(
            lambda: load.run(load.Caller(port).ask(ask_bytes(key, "back")), 30).status == 200, 10, "the budget again"
        )
        cluster.wait_for_no_holds()
        compare(cluster, simulator)


def test_a_start_without_a_database_says_so(simulator, postgres):
    """Goal: `serve` without a reachable or migrated database ends with a sentence that says what to do."""
    database = Database.postgres(postgres)
    for url, words in (
        (database.url, "run `claude-proxy migrate`"),
        ("postgresql://gateway@127.0.0.1:1/nowhere", "DATABASE_URL: the database cannot be used"),
        (database.url + "_gone", "does not exist"),
    ):
        began = time.monotonic()
        with pytest.raises(AssertionError) as told:
            Gateway(simulator.url, DATABASE_URL=url)
        took = time.monotonic() - began
        line = next(json.loads(line) for line in str(told.value).splitlines() if "cannot_start" in line)
        print(f"\n{line['what']} ({took:.1f} s)", end="")
        assert line["level"] == "error" and words in line["what"], line
        assert took < seconds(15)
    print()
