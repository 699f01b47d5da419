"""Durable jobs in the middle of every disaster: none is lost, none is done twice, every log is whole.

CHAOS_FULL=1: 20,000 jobs, 20 kill -9, three restarts of the database, two of the SQS server. CHAOS_JOBS,
CHAOS_JOBS_RATE (a second) and CHAOS_SEED choose other numbers.
"""

import asyncio
import collections
import concurrent.futures
import json
import os
import random
import time

import psycopg2
import pytest

from support import job_log, load, truth
from support.client import request
from support.cluster import Cluster, Database
from support.gateway import CREDENTIAL, Simulator
from support.servers import Sqs
from support.sqs_queue import Queue
from support.timing import seconds, wait_until
from support.upstream import Upstream, answer

FULL = os.environ.get("CHAOS_FULL") == "1"
JOBS = int(os.environ.get("CHAOS_JOBS", "20000" if FULL else "600"))
RATE = float(os.environ.get("CHAOS_JOBS_RATE", "120" if FULL else "40"))  # a second, at most
OPEN_MAX = 1_000  # jobs that have not ended: the disasters shall meet jobs at work, not a queue
SEED = int(os.environ.get("CHAOS_SEED", "1"))
KILLS, DATABASE_RESTARTS, QUEUE_RESTARTS = (20, 3, 2) if FULL else (4, 1, 1)
AWAY = 3 if FULL else 1.5  # seconds: the database, the queue
SUBMITTERS = 48
APIS, WORKERS = 2, 2  # replicas 0 and 1 take jobs, 2 and 3 carry them out
# Processes end with the thread that started them (PR_SET_PDEATHSIG), so that one must live as long as the test run.
STARTER = concurrent.futures.ThreadPoolExecutor(8)
MODELS = ("claude-haiku-4-5", "claude-opus-4-8")
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
# One each for whatever call upstream comes next, from time to time: an attempt that breaks, or has to wait.
FAULTS = ("cut-after-events=9", "status=529", "status=500", "overload-in-stream=content", "cut-before-head", "html=502",
          "clean-eof-after-events=8", "overload-in-stream=start", "status=429", "stall-after-events=7")  # fmt: skip
SETTINGS = {
    "JOBS_LEASE": "2s",
    "JOBS_HEARTBEAT_EVERY": "500ms",
    "JOBS_SWEEP_EVERY": "200ms",
    "JOBS_ANNOUNCE_AGAIN": "2s",
    "JOBS_BACKOFF_FIRST": "50ms",
    "JOBS_BACKOFF_MAX": "1s",
    "JOBS_ATTEMPTS_MAX": "30",  # what is shown here is that nothing is lost, not when to give up
    "JOBS_POLL_EVERY": "250ms",
    "QUEUE_HIDDEN_FOR": "5s",
    "BUDGET_LEASE": "8s",
    "BUDGET_WAIT": "10s",
    "UPSTREAM_IDLE_TIMEOUT": "3s",
    "WEBHOOK_ALLOW": "127.0.0.0/8",
    "WEBHOOK_ALLOW_HTTP": "yes",
    "WEBHOOK_RETRIES": ",".join(["200ms"] * 40),
    "WEBHOOK_BREAKER_OPEN": "100ms",
    "WEBHOOK_BREAKER_OPEN_MAX": "500ms",
}


class Kind:
    """One sort of job. `ends`: how it may. `cancel_after`: seconds from the submit."""

    def __init__(self, weight, controls="", ends=("succeeded",), cancel_after=None, webhook=False, **body):
        self.weight, self.controls, self.ends = weight, controls, ends
        self.cancel_after, self.webhook, self.body = cancel_after, webhook, body


PACED = "x-sim-event-tokens: 4\nx-sim-fault: event-interval="
KINDS = {
    "quick": Kind(26),
    "half a second": Kind(24, PACED + "10"),
    "two seconds": Kind(12, PACED + "40"),
    "thinking": Kind(6, thinking={"type": "adaptive"}),
    "tools": Kind(6, tools=TOOLS, tool_choice={"type": "any"}),
    "webhook": Kind(10, webhook=True),
    "refused": Kind(6, "x-sim-fault: status=400", ends=("failed",)),
    "refused, webhook": Kind(2, "x-sim-fault: status=400", ends=("failed",), webhook=True),
    "cancelled at once": Kind(3, PACED + "40", ends=("cancelled", "succeeded"), cancel_after=0),
    "cancelled later": Kind(5, PACED + "40", ends=("cancelled", "succeeded"), cancel_after=0.7, webhook=True),
}


class Job:
    def __init__(self, number, name, key):
        self.number, self.name, self.key = number, name, key
        self.tag = f"j{number}"
        self.kind = KINDS[name]
        self.id = None
        self.submits = 0  # calls until it was known, and those that asked again
        self.followed = None  # what a follower who was cut again and again has read
        self.cuts = 0


def submit_bytes(chance, job, hooks):
    text = f"{chance.random()} " * chance.randint(1, 40)
    text += f"\nx-sim-output-tokens: {chance.randint(80, 240)}\n{job.kind.controls}"
    message = {
        "model": chance.choice(MODELS),
        "max_tokens": 400,
        "messages": [{"role": "user", "content": text}],
        **job.kind.body,
    }
    wish = {"request": message, "metadata": {"number": job.number}}
    if job.kind.webhook:
        wish["webhook"] = {"url": f"{hooks.url}/{job.tag}"}
    headers = [
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
        ("user-agent", job.tag),
        ("idempotency-key", job.tag),
    ]
    return request("POST", "/v1/jobs", json.dumps(wish).encode(), headers, key=job.key)


class Run:
    """Those who submit, follow and cancel, and the disasters beside them."""

    def __init__(self, cluster, keys, hooks, queue, simulator, postgres):
        self.cluster, self.keys, self.hooks, self.queue = cluster, keys, hooks, queue
        self.simulator, self.postgres = simulator, postgres
        self.chance = random.Random(SEED)
        self.jobs = []
        self.started = 0
        self.began = time.monotonic()
        self.happened = collections.Counter()
        self.answers = collections.Counter()
        self.over = False
        self.open = 0  # jobs that had not ended a moment ago
        self.tasks = []

    def port(self, at):
        return self.cluster.gateways[at].port

    # --- those who use the API

    async def submitter(self):
        callers = [load.Caller(lambda at=at: self.port(at)) for at in range(APIS)]
        names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
        while self.started < JOBS:
            number, self.started = self.started, self.started + 1
            await asyncio.sleep(max(0, number / RATE - (time.monotonic() - self.began)))
            while self.open > OPEN_MAX:
                await asyncio.sleep(0.05)
            job = Job(number, self.chance.choices(names, weights)[0], self.chance.choice(self.keys))
            self.jobs.append(job)
            data = submit_bytes(self.chance, job, self.hooks)
            job.id = await self.submit(callers, job, data)
            if self.chance.random() < 0.05:  # asks again although it knows
                assert await self.submit(callers, job, data) == job.id
            if job.kind.cancel_after is not None:
                self.tasks.append(asyncio.ensure_future(self.cancel(job)))
            if self.chance.random() < 0.25:
                self.tasks.append(asyncio.ensure_future(self.follow(job, random.Random(f"{SEED} {number}"))))
        for caller in callers:
            caller.close()

    async def submit(self, callers, job, data):
        """As often as it takes until somebody says that he has it: the key makes it one job."""
        while True:
            reply = await self.chance.choice(callers).ask(data, timeout=seconds(30))
            job.submits += 1
            self.answers[reply.status] += 1
            if reply.status in (200, 202) and reply.whole:
                return reply.json()["id"]
            assert reply.status in (0, 200, 202, 503, 529), (reply.status, reply.head, reply.body)
            await asyncio.sleep(0.05)

    async def cancel(self, job):
        await asyncio.sleep(job.kind.cancel_after)
        data = request("POST", f"/v1/jobs/{job.id}/cancel", b"", key=job.key)
        while True:
            reply = await load.Caller(self.port(self.chance.randrange(APIS))).ask(data, timeout=seconds(30))
            if reply.status in (200, 202, 409) and reply.whole:
                return
            assert reply.status in (0, 200, 202, 503, 529), (reply.status, reply.body)
            await asyncio.sleep(0.05)

    async def follow(self, job, chance):
        """Reads the log, hangs up anywhere, comes back to any replica for what is behind the last whole event."""
        log = b""
        while b"\nevent: job\n" not in log:
            caller = load.Caller(self.port(chance.randrange(APIS)))
            data = request(
                "GET", f"/v1/jobs/{job.id}/events", headers=[("last-event-id", str(job_log.last_id(log)))], key=job.key
            )
            reply = await caller.ask(data, leave_after=chance.randrange(100, 6_000), timeout=seconds(60))
            caller.close()
            if reply.status == 200:
                log += job_log.whole_events(reply.body)
                job.cuts += 1
            else:
                assert reply.status in (0, 503, 529), (reply.status, reply.body)
                await asyncio.sleep(0.1)
        job.followed = log

    # --- disasters

    async def reach(self, part):
        while self.started < part * JOBS:
            await asyncio.sleep(0.01)

    async def do(self, call, *arguments):
        return await asyncio.get_running_loop().run_in_executor(STARTER, call, *arguments)

    async def kill(self, chance, part):
        await self.reach(part)
        replica = chance.randrange(APIS + WORKERS)
        ended = self.cluster.kill(replica)
        await asyncio.sleep(chance.uniform(0, 1))
        while True:
            try:
                await self.do(self.cluster.start, replica)
                break
            except AssertionError:  # the database is away: it says so, and is started again
                self.happened["starts refused"] += 1
                await asyncio.sleep(0.3)
        ended.cleanup()
        self.happened["killed API" if replica < APIS else "killed worker"] += 1

    async def kills(self):
        chance = random.Random(f"{SEED} kills")
        for number in range(KILLS):
            await self.kill(chance, (number + chance.uniform(0.3, 0.7)) / KILLS)
        worker = APIS  # one ends in order, and hands back what it has
        await self.do(self.cluster.gateways[worker].stop)
        await self.do(self.cluster.start, worker)

    async def database_restarts(self):
        for number in range(DATABASE_RESTARTS):
            await self.reach((number + 0.55) / DATABASE_RESTARTS)
            await self.do(self.postgres.stop, "kill" if number % 2 else "soon")
            await asyncio.sleep(AWAY)
            await self.do(self.postgres.start)
            self.happened["restarts of the database"] += 1

    async def queue_restarts(self):
        """It keeps nothing: all messages and the queue itself are gone, and an administrator makes the queue anew."""
        for number in range(QUEUE_RESTARTS):
            await self.reach((number + 0.75) / QUEUE_RESTARTS)
            await self.do(self.queue.server.stop, "kill")
            await asyncio.sleep(AWAY)
            await self.do(self.queue.server.start)
            await asyncio.sleep(0.3)
            while (await self.do(lambda: self.cluster.cli("migrate", "--with-queue"))).code != 0:
                await asyncio.sleep(0.3)
            self.happened["restarts of the queue"] += 1

    async def messages_go_astray(self):
        """Messages of known jobs again, in any state, and of none; all that there are thrown away once."""
        chance = random.Random(f"{SEED} messages")
        purged = False
        while not self.over:
            known = [job.id for job in self.jobs[-200:] if job.id] or ["job_nobody"]
            for _ in range(5):
                sent = await self.do(self.queue.send, chance.choice([*known[-20:], chance.choice(known), "rubbish"]))
                self.happened["messages added"] += bool(sent)
            if not purged and self.started > 0.4 * JOBS:
                purged = await self.do(self.queue.purge)
                self.happened["purges"] += bool(purged)
            await asyncio.sleep(0.1)

    async def thief(self):
        """Waits for messages as the workers do, and gets some of those that were meant for them."""
        while not self.over:
            self.happened["messages stolen"] += len(await self.do(self.queue.take, 3, 1))
            await asyncio.sleep(0.1)

    async def count_open(self):
        while not self.over:
            try:
                self.open = await self.do(unfinished, self.cluster.database)
            except psycopg2.Error:  # it is away
                self.open = 0
            await asyncio.sleep(0.2)

    async def upstream_trouble(self):
        chance = random.Random(f"{SEED} upstream")
        while not self.over:
            fault = {"fault": chance.choice(FAULTS), "count": 1, "match": {"path": "/v1/messages*"}}
            await self.do(truth.control, self.simulator, "POST", "/sim/faults", json.dumps(fault).encode())
            self.happened["faults upstream"] += 1
            await asyncio.sleep(chance.uniform(0.1, 0.5))

    async def all(self):
        disasters = [self.kills(), self.database_restarts(), self.queue_restarts()]
        beside = (self.count_open, self.messages_go_astray, self.thief, self.upstream_trouble)
        beside = [asyncio.ensure_future(one()) for one in beside]
        await asyncio.gather(*(self.submitter() for _ in range(SUBMITTERS)), *disasters)
        self.over = True
        self.submitted_in = time.monotonic() - self.began
        await asyncio.gather(*self.tasks, *beside)
        await self.do(wait_until, lambda: not unfinished(self.cluster.database), 90, "the end of all jobs")
        self.took = time.monotonic() - self.began

    def __str__(self):
        return (
            f"{len(self.jobs)} jobs submitted in {self.submitted_in:.0f} s by {sum(job.submits for job in self.jobs)}"
            f" calls {dict(self.answers)}, ended after {self.took:.0f} s; {dict(self.happened)}"
        )


def unfinished(database):
    return database.value("SELECT count(*) FROM claude_proxy.jobs WHERE finished_at IS NULL")


async def read_everything(run):
    """{job id: (log, result)} as the API tells them now, from any replica."""
    found, left, chance = {}, list(run.jobs), random.Random(SEED)

    async def reader():
        callers = [load.Caller(port) for port in run.cluster.ports[:APIS]]
        while left:
            job = left.pop()
            replies = []
            for what in ("events", "result"):
                data = request("GET", f"/v1/jobs/{job.id}/{what}", key=job.key)
                replies.append(await chance.choice(callers).ask(data, timeout=seconds(30)))
                assert replies[-1].whole, (job.id, what, replies[-1].head)
            assert replies[0].status == 200, replies[0].body
            found[job.id] = (replies[0].body, replies[1])
        for caller in callers:
            caller.close()

    await asyncio.gather(*(reader() for _ in range(16)))
    return found


def check_jobs(run, told):
    """0 lost, 0 with two results, every log whole and equal to its result."""
    query = run.cluster.database.query
    rows = {row[0]: row[1:] for row in query(
        "SELECT id, status, attempt, events, idempotency_key FROM claude_proxy.jobs"
    )}  # fmt: skip
    assert {job.id: job.tag for job in run.jobs} == {id: row[3] for id, row in rows.items()}, "lost, or made twice"
    results = collections.Counter(id for id, in query("SELECT job_id FROM claude_proxy.job_results"))
    attempts = collections.defaultdict(list)
    for id, number, outcome, ended in query(
        "SELECT job_id, attempt, outcome, ended_at FROM claude_proxy.job_attempts ORDER BY job_id, attempt"
    ):
        attempts[id].append((number, outcome, ended))
    pieces = collections.defaultdict(list)
    for id, *piece in query(
        "SELECT job_id, first_id, last_id, attempt, size, bytes FROM claude_proxy.job_events ORDER BY job_id, first_id"
    ):
        pieces[id].append(piece)
    ends, restarted = collections.Counter(), 0
    for job in run.jobs:
        status, attempt, count, _ = rows[job.id]
        ends[status] += 1
        log, result = told[job.id]
        assert status in job.kind.ends, (job.name, job.id, status, attempts[job.id], result.body)
        events = job_log.check(log, status)
        assert count == len(events), (job.id, count, len(events))
        # What stands in the database is what the API tells, each piece behind the other and by nobody who was fenced.
        stored = pieces[job.id]
        assert "".join(piece[4] for piece in stored).encode() == log, job.id
        assert [piece[0] for piece in stored] == [1, *(piece[1] + 1 for piece in stored[:-1])], job.id
        assert all(piece[3] == len(piece[4].encode()) for piece in stored), job.id
        writers = [piece[2] for piece in stored]
        assert writers == sorted(writers) and writers[-1] <= attempt, (job.id, writers, attempt)
        # Exactly one end, by the last attempt.
        history = attempts[job.id]
        assert [number for number, _, _ in history] == list(range(1, attempt + 1)), (job.id, history)
        assert all(ended and outcome for _, outcome, ended in history), (job.id, history)
        assert [outcome for _, outcome, _ in history].count("succeeded") == results[job.id] == (status == "succeeded")
        if status == "succeeded":
            assert history[-1][1] == "succeeded", (job.id, history)
            assert result.status == 200, (job.id, result.status, result.body)
            assert job_log.assembled(events) == result.json(), (job.id, log, result.body)
        elif status == "failed":
            assert result.status == 400 and result.json()["type"] == "error", (job.id, result.body)
        restarted += any(name == "restart" for _, name, _ in events)
        if job.followed is not None:
            assert job.followed == log, f"a follower of {job.id} has read something else"
    followed = [job for job in run.jobs if job.followed is not None]
    outcomes = collections.Counter(outcome for history in attempts.values() for _, outcome, _ in history)
    print(
        f"{len(rows)} jobs {dict(ends)}; {sum(len(each) for each in attempts.values())} attempts {dict(outcomes)};"
        f" {restarted} logs with a restart; {sum(len(log) for log, _ in told.values())} bytes of logs;"
        f" {len(followed)} followers on {sum(job.cuts for job in followed)} connections read the same bytes"
    )
    return outcomes


def check_webhooks(run):
    """Of every job that wanted one, at least once, and to no one twice under different names."""
    wanted = {job.tag: job for job in run.jobs if job.kind.webhook}
    open_ones = "SELECT count(*) FROM claude_proxy.webhook_deliveries WHERE state <> 'delivered'"
    wait_until(lambda: run.cluster.database.value(open_ones) == 0, 30, "the delivery of all webhooks")
    calls = collections.defaultdict(list)
    for call in run.hooks.calls:
        calls[call.target.decode().strip("/")].append((call.header("webhook-id"), json.loads(call.body)["data"]["id"]))
    assert set(calls) == set(wanted), set(calls) ^ set(wanted)
    for tag, heard in calls.items():
        assert len(set(heard)) == 1 and heard[0][1] == wanted[tag].id, (tag, heard)
    print(f"{len(wanted)} webhooks, delivered by {len(run.hooks.calls)} calls")


def check_money(run, simulator):
    """The ledger equals the truth; nothing is held for anybody any more."""
    cluster = run.cluster
    cluster.wait_for_no_holds()
    cluster.gateways[0].stop()
    cluster.start(0)  # adopts what the last dead process has left
    cluster.wait_for_ledger(30)
    folder = cluster.journals[0]
    wait_until(lambda: len(os.listdir(folder)) == APIS + WORKERS, 35, "no journals of the dead")
    rows = truth.ledger_rows(cluster.database)
    compared = truth.Comparison(truth.simulator_rows(simulator), rows)
    print(compared)
    compared.check()
    assert truth.check_sums(cluster.database) == len(rows)
    billed = sum(truth.true_cost(billed) for billed, _ in compared.pairs)
    low, high = sum(row.cost_low_pico for row in rows), sum(row.cost_high_pico for row in rows)
    print(f"billed ${billed / 1e12:.6f}; by the ledger from ${low / 1e12:.6f} to ${high / 1e12:.6f}")
    assert low <= billed <= high
    held = cluster.database.query(
        "SELECT budget_id, granted_pico, consumed_pico FROM claude_proxy.budget_leases"
        " WHERE replica = 'jobs' AND granted_pico <> consumed_pico"
    )
    assert not held, f"money is still held for queued jobs, of which there are none: {held}"


@pytest.fixture
def simulator():
    """It tells of limits, and workers begin no more than these leave: here they leave room for all."""
    limits = ("--rpm", "1000000", "--itpm", "1000000000", "--otpm", "1000000000")
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, *limits)
    yield simulator
    simulator.stop()


@pytest.fixture
def hooks():
    with Upstream(lambda call, peer: peer.send(answer(204))) as receiver:
        yield receiver


@pytest.fixture
def queue():
    with Sqs() as server:
        yield Queue(server)


def make_keys(cluster):
    """Of a team with a hard budget that is never used up, twice, and of one without; all under a budget of the root."""
    admin = cluster.admin()
    admin.ok("POST", "teams", {"name": "budgeted"})
    admin.ok("POST", "budgets", {"scope": "team", "id": "budgeted", "period": "total", "limit": "100000"})
    admin.ok("POST", "budgets", {"scope": "root", "period": "month", "limit": "900000"})
    return [admin.new_key(name=team, team=team)["key"] for team in ("budgeted", "budgeted", "free")]


def test_no_job_is_lost_and_none_is_done_twice_whatever_happens(simulator, postgres, redis, queue, hooks):
    """Goal: after any disaster every job that was taken has ended once, its log is whole, its money accounted for.

    Method: two replicas that take jobs and two workers behind PostgreSQL, Redis and an SQS server; kill -9 of any of
    them, restarts of database and queue, messages added, stolen and purged, faults upstream. Those who submit ask until
    they are told that the job is there.
    """
    database = Database.postgres(postgres)
    settings = {**SETTINGS, **queue.settings, "REDIS_URL": redis.url}
    each = [{}] * APIS + [{"words": ("worker",), "LISTEN": None}] * WORKERS
    with Cluster(
        simulator.url, database, APIS + WORKERS, share_journal=True, each=each, with_queue=True, **settings
    ) as cluster:
        run = Run(cluster, make_keys(cluster), hooks, queue, simulator, postgres)
        try:
            load.run(run.all(), seconds(240 + JOBS / 20))  # on whatever machine
        finally:
            for server in (postgres, queue.server):
                if server.process is None:
                    server.start()
            print(f"\n{dict(run.happened)}, {unfinished(database)} unfinished")
        print(run)
        told = load.run(read_everything(run), seconds(60 + JOBS / 100))
        outcomes = check_jobs(run, told)
        check_webhooks(run)
        check_money(run, simulator)
        assert run.happened["killed API"] + run.happened["killed worker"] == KILLS
        assert run.happened["restarts of the database"] == DATABASE_RESTARTS
        assert run.happened["restarts of the queue"] == QUEUE_RESTARTS
        assert run.happened["purges"] == 1 and run.happened["messages stolen"] > 0
        assert outcomes["lost"] > 0, "nothing was in the hands of those who were killed"
