"""Disasters in the middle of everything, and a ledger that equals the truth to the pico-dollar afterwards.

CHAOS_FULL=1: 100,000 requests and a database that is away for 20 s. CHAOS_REQUESTS, CHAOS_RATE (a second) and
CHAOS_SEED choose other numbers.
"""

import asyncio
import collections
import concurrent.futures
import json
import os
import random
import threading
import time

import psycopg2

from support import load, truth
from support.client import request
from support.cluster import Cluster, Database
from support.timing import seconds, wait_until

FULL = os.environ.get("CHAOS_FULL") == "1"
REQUESTS = int(os.environ.get("CHAOS_REQUESTS", "100000" if FULL else "5000"))
RATE = float(os.environ.get("CHAOS_RATE", "1500" if FULL else "330"))  # a second, at most
SEED = int(os.environ.get("CHAOS_SEED", "1"))
DATABASE_AWAY = 20 if FULL else 5  # seconds
LEASE = 25 if FULL else 8
CLIENTS = 64
# Processes end with the thread that started them (PR_SET_PDEATHSIG), so that one must live as long as the test run.
STARTER = concurrent.futures.ThreadPoolExecutor(2)
MODELS = ("claude-haiku-4-5", "claude-opus-4-8")
LONG = [{"type": "text", "text": "You know the weather. " * 500, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
SHORT = [{"type": "text", "text": "You know the tides. " * 500, "cache_control": {"type": "ephemeral"}}]
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


class Kind:
    """One way to ask. `leave`: the client goes after so many body bytes (0: without waiting for a byte)."""

    def __init__(self, weight, stream, fault=None, leave=None, expect=(200,), **body):
        self.weight, self.stream, self.fault, self.leave, self.expect, self.body = (
            weight, stream, fault, leave, expect, body,
        )  # fmt: skip


KINDS = {
    "sync": Kind(25, False),
    "stream": Kind(20, True),
    "slow sync": Kind(5, False, "slow-head=60"),
    "slow stream": Kind(6, True, "event-interval=4"),
    "cached, 1 h": Kind(3, True, system=LONG),
    "cached, 5 min": Kind(3, False, system=SHORT),
    "tools": Kind(3, True, tools=TOOLS, tool_choice={"type": "any"}),
    "thinking": Kind(2, True, thinking={"type": "adaptive"}),
    "client leaves a stream": Kind(6, True, "event-interval=4", leave=700),
    "client leaves while it waits": Kind(3, False, "slow-head=120", leave=0),
    "overloaded": Kind(4, False, "status=529", expect=(529,)),
    "failing": Kind(2, True, "status=500", expect=(500,)),
    "refused": Kind(2, False, "status=400", expect=(400,)),
    "edge error": Kind(2, True, "html=502", expect=(502,)),
    "overloaded before the start": Kind(3, True, "overload-in-stream=first", expect=(529,)),
    "overloaded after the start": Kind(2, True, "overload-in-stream=start", expect=(529,)),
    "overloaded in the content": Kind(2, True, "overload-in-stream=content"),
    "cut before the head": Kind(2, True, "cut-before-head", expect=(502,)),
    "cut before the head, sync": Kind(1, False, "cut-before-head,rst", expect=(502,)),
    "stream cut in the preamble": Kind(1, True, "cut-after-events=1", expect=(502,)),
    "stream cut in the content": Kind(2, True, "cut-after-events=9"),
    "stream that ends early": Kind(1, True, "clean-eof-after-events=8"),
    "sync cut": Kind(1, False, "cut-at-byte=120", expect=(502,)),
    "garbage in the stream": Kind(1, True, "garbage-json"),
    "unknown events": Kind(1, True, "unknown-events,split=50"),
}


def request_bytes(chance, kind, key, tag):
    body = {
        "model": chance.choice(MODELS),
        "max_tokens": 400,
        "messages": [{"role": "user", "content": f"{chance.random()} " * chance.randint(1, 40)}],
        **kind.body,
    }
    if kind.stream:
        body["stream"] = True
    headers = [
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
        ("user-agent", tag),
        ("x-sim-output-tokens", str(chance.randint(20, 300))),
    ]
    if kind.fault:
        headers.append(("x-sim-fault", kind.fault))
    return request(body=json.dumps(body).encode(), headers=headers, key=key)


class Run:
    """The clients, and what they saw. `ends`: (part of the work, kill or stop) of the replicas in turn; `away_from`:
    the part of the work at which the database goes."""

    def __init__(self, cluster, keys, requests, ends, away_from=None):
        self.cluster, self.keys, self.requests, self.ends, self.away_from = cluster, keys, requests, ends, away_from
        self.replicas = len(cluster.gateways)
        self.chance = random.Random(SEED)
        self.names = list(KINDS)
        self.weights = [kind.weight for kind in KINDS.values()]
        self.started = 0
        self.seen = []  # (name of the kind, replica, reply)
        self.gone = []  # (replica, from, to): when it was away
        self.starts_refused = []
        self.began = time.monotonic()

    async def client(self):
        callers = [load.Caller(lambda at=at: self.cluster.gateways[at].port) for at in range(self.replicas)]
        while self.started < self.requests:
            number, self.started = self.started, self.started + 1
            late = number / RATE - (time.monotonic() - self.began)
            if late > 0:
                await asyncio.sleep(late)
            name = self.chance.choices(self.names, self.weights)[0]
            kind, replica = KINDS[name], self.chance.randrange(self.replicas)
            data = request_bytes(self.chance, kind, self.chance.choice(self.keys), f"c{number}")
            asking = callers[replica].ask(data, f"c{number}", leave_after=kind.leave or None, timeout=seconds(60))
            if kind.leave == 0:
                reply = load.Reply(f"c{number}")
                task = asyncio.ensure_future(callers[replica].ask(data, reply=reply))
                asking.close()
                await asyncio.sleep(0.04)
                reply.left = True
                callers[replica].close()
                await task
            else:
                reply = await asking
            self.seen.append((name, replica, reply))
            if reply.status == 0 and not reply.left:
                await asyncio.sleep(0.02)
        for caller in callers:
            caller.close()

    async def reach(self, part):
        while self.started < part * self.requests:
            await asyncio.sleep(0.01)

    async def end_and_restart(self, replica, how):
        loop = asyncio.get_running_loop()
        away = time.monotonic()
        if how == "kill":
            ended = self.cluster.kill(replica)
        else:
            ended = self.cluster.gateways[replica]
            await loop.run_in_executor(STARTER, ended.stop)
        while True:
            try:
                await loop.run_in_executor(STARTER, self.cluster.start, replica)
                break
            except AssertionError as problem:  # the database is away: it says so, and is started again
                self.starts_refused.append(str(problem))
                await asyncio.sleep(0.5)
        if how == "kill":
            ended.cleanup()
        self.gone.append((replica, away, time.monotonic()))

    async def database_goes(self, postgres):
        await self.reach(self.away_from)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(STARTER, postgres.stop)
        await asyncio.sleep(DATABASE_AWAY)
        await loop.run_in_executor(STARTER, postgres.start)

    async def end_replicas(self):
        for number, (part, how) in enumerate(self.ends):
            await self.reach(part)
            await self.end_and_restart(number % self.replicas, how)

    async def all(self, postgres=None):
        disasters = asyncio.gather(self.end_replicas(), *([self.database_goes(postgres)] if postgres else []))
        try:
            await asyncio.gather(*(self.client() for _ in range(CLIENTS)))
            await disasters
        finally:
            disasters.cancel()

    def was_away(self, replica, at):
        """Whether the replica was killed about that time: an answer may have been read just before its row was done."""
        return any(who == replica and begin - 0.2 <= at <= end + 0.2 for who, begin, end in self.gone)

    def __str__(self):
        took = max(reply.ended for _, _, reply in self.seen) - self.began
        away = ", ".join(f"{end - begin:.1f}" for _, begin, end in self.gone)
        ways = ", ".join(how for _, how in self.ends)
        ended = f"; replicas ended ({ways}), away for {away} s" if self.ends else ""
        return f"{len(self.seen)} requests in {took:.0f} s ({len(self.seen) / took:.0f} a second){ended}"


def check_clients(run, rows):
    """What the clients saw beside what was asked, and beside the ledger."""
    by_tag = collections.defaultdict(list)
    for row in rows:
        by_tag[row.tag].append(row)
    statuses = collections.Counter()
    whole = lost_though_whole = 0
    for name, replica, reply in run.seen:
        kind = KINDS[name]
        statuses[reply.status] += 1
        killed = run.was_away(replica, reply.ended) or run.was_away(replica, reply.began)
        refused_by_us = reply.status in (503, 529) and reply.whole and b"budget_unavailable" in reply.body
        if not (reply.left or killed or refused_by_us):
            assert reply.status in kind.expect, (name, reply.status, reply.body[:300])
            assert reply.whole, (name, reply.tag, reply.head, reply.body[-200:])
        saw_the_end = reply.whole and reply.status == 200 and (not kind.stream or reply.finished_stream)
        if saw_the_end:
            whole += 1
            last = max(by_tag[reply.tag], key=lambda row: row.number, default=None)
            assert last is not None, f"{name}: {reply.tag} was served and is not in the ledger"
            if last.outcome == "lost" and killed:
                lost_though_whole += 1
            else:
                assert last.outcome == "complete", (name, last)
    return statuses, whole, lost_though_whole


def leases(database):
    """(replica, what it may still spend) of the leases that have not ended."""
    return database.query(
        "SELECT replica, granted_pico - consumed_pico FROM claude_proxy.budget_leases"
        " WHERE granted_pico > consumed_pico AND expires_at > EXTRACT(EPOCH FROM clock_timestamp()) * 1000"
    )


def make_keys(cluster):
    """Of a team with a hard budget that is never used up, twice, and of one without; all under a budget of the root."""
    admin = cluster.admin()
    admin.ok("POST", "teams", {"name": "budgeted"})
    admin.ok("POST", "budgets", {"scope": "team", "id": "budgeted", "period": "total", "limit": "100000"})
    admin.ok("POST", "budgets", {"scope": "root", "period": "month", "limit": "900000"})
    return [admin.new_key(name=team, team=team)["key"] for team in ("budgeted", "budgeted", "free")]


def settle_and_compare(run, cluster, simulator):
    """When the clients are gone: what the last dead process left is adopted, nothing is held, all is in the ledger."""
    cluster.wait_for_no_holds()
    cluster.gateways[0].stop()
    cluster.start(0)
    cluster.wait_for_ledger(30)
    for folder in set(cluster.journals):
        alive = sum(folder == journal for journal in cluster.journals)
        wait_until(lambda folder=folder: len(os.listdir(folder)) == alive, 35, f"no journals of the dead in {folder}")
    rows = truth.ledger_rows(cluster.database)
    compared = truth.Comparison(truth.simulator_rows(simulator), rows)
    compared.check()
    statuses, whole, lost = check_clients(run, rows)
    print(f"{compared}\nclients saw {dict(statuses)}, {whole} whole answers, {lost} of them a moment before a kill")
    assert truth.check_sums(cluster.database) == len(rows)
    billed = sum(truth.true_cost(billed) for billed, _ in compared.pairs)
    low, high = sum(row.cost_low_pico for row in rows), sum(row.cost_high_pico for row in rows)
    print(
        f"billed in truth ${billed / 1e12:.6f}; the ledger is sure of ${low / 1e12:.6f} and of no more than"
        f" ${high / 1e12:.6f}"
    )
    assert low <= billed <= high
    assert whole > 0.4 * run.requests and lost <= 2 * len(run.ends)
    return compared


def test_the_ledger_equals_the_truth_after_any_disaster(simulator, postgres, pgbouncer):
    """Goal: whatever is killed, cut or away, each call upstream is in the ledger once, at its true price.

    Method: two replicas behind PgBouncer on one journal folder; clients of every temper; faults upstream; five kill -9
    with a restart; the database away in between. At the end every call that the simulator saw is found in the ledger.
    """
    database = Database.postgres(postgres, pgbouncer)
    settings = {"BUDGET_LEASE": f"{LEASE}s", "BUDGET_WAIT": "10s", "PREAMBLE_HOLD": "2s"}
    # What a client leaves behind is cancelled by one replica and read to its end by the other.
    each = [{"LEAVE_DRAIN": "0ms", "THREADS": "2"}, {"LEAVE_DRAIN": "2s"}]
    kills = [(part, "kill") for part in (0.08, 0.25, 0.5, 0.8, 0.93)]  # the third while the database is away
    with Cluster(simulator.url, database, 2, share_journal=True, each=each, **settings) as cluster:
        run = Run(cluster, make_keys(cluster), REQUESTS, kills, away_from=0.45)
        try:
            load.run(run.all(postgres), seconds(REQUESTS / RATE + 240))
        finally:
            if postgres.process is None:
                postgres.start()
        print(f"\n{run}; database away for {DATABASE_AWAY} s, {len(run.starts_refused)} starts without it refused")
        assert len(run.gone) == len(kills)
        for told in run.starts_refused:
            assert "cannot_start" in told and "the database cannot be used" in told, told
        quiet = time.monotonic()
        wait_until(lambda: not leases(database), LEASE + 5, "the end of all leases")
        print(f"all leases were given back or had ended {time.monotonic() - quiet:.1f} s after the last request")
        compared = settle_and_compare(run, cluster, simulator)
        assert set(compared.outcomes) == {"complete", "estimated", "failed", "lost"}


def test_the_same_on_one_machine_with_sqlite(simulator, tmp_path):
    """Goal: the same for the embedded default: one process on SQLite, killed, and stopped in order, under load."""
    requests = REQUESTS // 4
    ends = [(0.15, "kill"), (0.35, "stop"), (0.6, "kill"), (0.85, "stop")]
    with Cluster(simulator.url, Database.sqlite(tmp_path), 1, THREADS="2", PREAMBLE_HOLD="2s") as cluster:
        run = Run(cluster, make_keys(cluster), requests, ends)
        load.run(run.all(), seconds(requests / RATE + 120))
        print(f"\n{run}")
        assert len(run.gone) == len(ends)
        settle_and_compare(run, cluster, simulator)
        assert cluster.database.value("PRAGMA integrity_check") == "ok"


def test_rows_are_written_once_although_connections_are_cut_all_the_time(simulator, postgres):
    """Goal: a commit of which nobody knows whether it was done adds nothing twice: rows, sums, spending, leases.

    Method: every session of the gateways is ended by the server some 25 times a second while clients ask.
    """
    requests = REQUESTS // 4
    database = Database.postgres(postgres)
    name = database.url.rpartition("/")[2]
    with Cluster(simulator.url, database, 2, PREAMBLE_HOLD="2s", BUDGET_LEASE="5s") as cluster:
        run = Run(cluster, make_keys(cluster), requests, [])
        over = threading.Event()
        cuts = []

        def cut():
            with psycopg2.connect(postgres.url()) as connection, connection.cursor() as cursor:
                connection.autocommit = True
                while not over.wait(0.04):
                    cursor.execute(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                        " WHERE datname = %s AND random() < 0.7",
                        (name,),
                    )
                    cuts.append(cursor.fetchone()[0])

        cutter = threading.Thread(target=cut)
        cutter.start()
        try:
            load.run(run.all(), seconds(requests / RATE + 120))
        finally:
            over.set()
            cutter.join()
        print(f"\n{run}; {sum(cuts)} sessions cut in {len(cuts)} rounds")
        assert sum(cuts) > 100
        settle_and_compare(run, cluster, simulator)
        wait_until(lambda: not leases(database), 10, "the end of all leases")
