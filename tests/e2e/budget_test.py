"""Hard budgets under a thousand requests at once: exactly what fits is served, and nothing is left held.

Method: every request costs the same (its answer has a fixed length) and is held at the same bound. A budget of
399 costs and one hold is what 400 requests need: the 400th still fits while it is held, the 401st does not.
"""

import asyncio
import collections
import datetime
import decimal
import json
import random
import re
import time

import pytest

from support import load, truth
from support.client import request
from support.cluster import Cluster, Database, metric
from support.timing import seconds, wait_until

REQUESTS, FITTING = 1000, 400
MODEL = "claude-haiku-4-5"
LATENCY_MS = 40


def message(max_tokens):
    return json.dumps(
        {"model": MODEL, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Say something long."}]}
    ).encode()


def ask_bytes(key, tag, max_tokens, output_tokens, *more):
    headers = [
        ("anthropic-version", "2023-06-01"),
        ("content-type", "application/json"),
        ("user-agent", tag),
        ("x-sim-output-tokens", str(output_tokens)),
        ("x-sim-event-tokens", "50"),
        *more,
    ]
    return request(body=message(max_tokens), headers=headers, key=key)


def steady_period():
    """A period that does not end while a test runs."""
    now = datetime.datetime.now(datetime.timezone.utc)
    soon = now + datetime.timedelta(minutes=15)
    if soon.day == now.day:
        return "day"
    return "month" if soon.month == now.month else "week" if soon.weekday() else "total"


def seconds_to_reset(period):
    now = datetime.datetime.now(datetime.timezone.utc)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        end = midnight + datetime.timedelta(days=1)
    elif period == "week":
        end = midnight + datetime.timedelta(days=7 - now.weekday())
    else:
        end = (midnight.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
    return (end - now).total_seconds()


def dollars(pico):
    return f"{pico // 10**12}.{pico % 10**12:012d}"


def cost_and_hold(cluster, max_tokens, output_tokens):
    """Of one request, as the ledger has it; made by a key without a budget."""
    key = cluster.admin().new_key(name="free", team="free")["key"]
    answer = load.run(load.Caller(cluster.ports[0]).ask(ask_bytes(key, "probe", max_tokens, output_tokens)), 30)
    assert answer.status == 200, answer.body
    cluster.wait_for_ledger()
    row = next(row for row in truth.ledger_rows(cluster.database) if row.tag == "probe")
    assert row.outcome == "complete"
    return row.cost_pico, row.details["hold_pico"]


def budgeted_key(cluster, limit, hard=True, period="total", team="spenders", **members):
    """A key of a team with a budget that every replica knows before the key is used."""
    admin = cluster.admin()
    admin.ok("POST", "teams", {"name": team})
    made = {"scope": "team", "id": team, "period": period, "limit": dollars(limit), "hard": hard, **members}
    budget = admin.ok("POST", "budgets", made)
    return admin.new_key(name="spender", team=team)["key"], budget


def spent_by(cluster, team="spenders"):
    return int(
        cluster.database.value(
            "SELECT COALESCE(SUM(s.spent_pico), 0) FROM claude_proxy.spend_daily s JOIN claude_proxy.teams t"
            " ON s.scope = 'team' AND s.scope_id = t.id WHERE t.name = %s",
            team,
        )
    )


CASES = {
    # name: database, replicas, tokens allowed, tokens answered, where in the range of fitting limits
    "one replica, SQLite": ("sqlite", 1, 4000, 3900, "smallest"),
    "one replica, SQLite, hold 20 times the cost": ("sqlite", 1, 4000, 200, "largest"),
    "one replica, PostgreSQL": ("postgres", 1, 4000, 3900, "largest"),
    "three replicas, PostgreSQL": ("postgres", 3, 4000, 3900, "smallest"),
    "three replicas, PgBouncer, hold 20 times the cost": ("pgbouncer", 3, 4000, 200, "smallest"),
}


@pytest.mark.parametrize("case", CASES)
def test_exactly_what_fits_is_served(case, simulator, tmp_path, request):
    """Goal: a hard budget for 400 of 1,000 parallel requests serves 400, refuses 600, and never overshoots.

    Method: limits at both ends of the range that fits 400; every request on a connection of its own, at once.
    """
    kind, replicas, max_tokens, output_tokens, end = CASES[case]
    if kind == "sqlite":
        database = Database.sqlite(tmp_path)
    else:
        pooler = request.getfixturevalue("pgbouncer") if kind == "pgbouncer" else None
        database = Database.postgres(request.getfixturevalue("postgres"), pooler)
    with Cluster(simulator.url, database, replicas) as cluster:
        cost, hold = cost_and_hold(cluster, max_tokens, output_tokens)
        limit = (FITTING - 1) * cost + hold + (cost - 1 if end == "largest" else 0)
        period = steady_period()
        key, _ = budgeted_key(cluster, limit, period=period)
        slow = ("x-sim-fault", f"slow-head={LATENCY_MS}")
        asked = [ask_bytes(key, f"r{number}", max_tokens, output_tokens, slow) for number in range(REQUESTS)]
        began = time.monotonic()
        answers = load.run(load.all_at_once(cluster.ports, asked), seconds(120))
        took = time.monotonic() - began

        served = [answer for answer in answers if answer.status == 200 and answer.whole]
        refused = [answer for answer in answers if answer.status == 429]
        reasons = sorted({answer.reason for answer in refused})
        print(
            f"\n{case}: cost {cost}, hold {hold} ({hold / cost:.1f} times), limit {limit}: {len(served)} served,"
            f" {len(refused)} refused {reasons} in {took:.1f} s"
        )
        assert reasons == ["budget_exhausted"]
        assert (len(served), len(refused)) == (FITTING, REQUESTS - FITTING)
        for answer in refused:
            assert answer.json()["error"]["type"] == "billing_error" and answer.header("x-should-retry") == "false"
            if period != "total":
                assert abs(int(answer.header("retry-after")) - seconds_to_reset(period)) < seconds(60) + took
        assert "it may cost up to $" in refused[0].json()["error"]["message"]

        cluster.wait_for_ledger()
        cluster.wait_for_no_holds()
        assert spent_by(cluster) == FITTING * cost <= limit
        why = database.query("SELECT reason, COUNT(*) FROM claude_proxy.refusals GROUP BY reason")
        assert [tuple(row) for row in why] == [("budget_exhausted", REQUESTS - FITTING)]

        compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(database))
        compared.check()
        print(f"{compared}; spent {FITTING * cost} of {limit}")
        assert len(compared.pairs) == FITTING + 1 and compared.exact == FITTING + 1
        assert truth.check_sums(database) == FITTING + 1


def test_what_a_killed_replica_held_is_free_within_the_lease(simulator, postgres):
    """Goal: kill -9 loses no money: the lease of the dead replica ends, and others spend what it had held.

    Method: a budget for ten requests, all ten held by a replica that is killed; the other one is asked at once.
    """
    lease = 3
    database = Database.postgres(postgres)
    with Cluster(simulator.url, database, 2, BUDGET_LEASE=f"{lease}s") as cluster:
        cost, hold = cost_and_hold(cluster, 4000, 3900)
        limit = 9 * cost + hold
        key, _ = budgeted_key(cluster, 10 * hold)
        doomed, survivor = cluster.ports
        stuck = ("x-sim-fault", "slow-head=60000")

        async def scenario():
            callers = [load.Caller(doomed) for _ in range(10)]
            waiting = [
                asyncio.ensure_future(caller.ask(ask_bytes(key, f"doomed{number}", 4000, 3900, stuck)))
                for number, caller in enumerate(callers)
            ]
            while metric(cluster.gateways[0], "budget_holds") < 10:
                await asyncio.sleep(0.02)
            held = metric(cluster.gateways[0], "budget_held_dollars") * 1e12
            assert abs(held - 10 * hold) < 1e3, (held, hold)
            cluster.kill(0)
            killed = time.monotonic()
            await asyncio.gather(*waiting)
            answers = await asyncio.gather(
                *(load.Caller(survivor).ask(ask_bytes(key, f"heir{number}", 4000, 3900)) for number in range(10))
            )
            return killed, answers

        killed, answers = load.run(scenario(), seconds(60))
        waits = sorted(answer.ended - killed for answer in answers)
        print(f"\nafter the kill, with a lease of {lease} s: first {waits[0]:.2f} s, last {waits[-1]:.2f} s")
        assert [answer.status for answer in answers] == [200] * 10
        assert waits[-1] < seconds(lease + 2)

        # The dead replica's folder is read by the next process there: its ten calls are in the ledger as lost.
        cluster.gateways[0].cleanup()
        cluster.start(0)
        wait_until(
            lambda: database.value("SELECT COUNT(*) FROM claude_proxy.attempts WHERE outcome = 'lost'") == 10,
            20,
            "ten lost rows",
        )
        cluster.wait_for_ledger()
        cluster.wait_for_no_holds()
        compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(database))
        compared.check()
        print(compared)
        assert spent_by(cluster) == 10 * cost <= limit
        truth.check_sums(database)


def test_a_soft_budget_refuses_nobody_and_alerts_once_a_threshold(simulator, postgres):
    """Goal: a soft budget only tells: once for each threshold, over all replicas.

    Method: three replicas spend three times the budget; the alerts of all logs are counted.
    """
    database = Database.postgres(postgres)
    with Cluster(simulator.url, database, 3, BUDGET_LEASE="3s") as cluster:
        cost, _ = cost_and_hold(cluster, 400, 300)
        key, budget = budgeted_key(cluster, 100 * cost, hard=False, alerts=[50, 80, 100])
        for batch in range(3):
            asked = [ask_bytes(key, f"soft{batch}.{number}", 400, 300) for number in range(100)]
            answers = load.run(load.all_at_once(cluster.ports, asked), seconds(60))
            assert [answer.status for answer in answers] == [200] * 100
        cluster.wait_for_ledger()

        def alerts():
            return [
                int(event["percent"])
                for gateway in cluster.gateways
                for event in gateway.events
                if event.get("event") == "budget_alert" and event["budget"] == budget["id"]
            ]

        wait_until(lambda: len(alerts()) >= 3, 10, "three alerts")
        time.sleep(seconds(2.5))  # two more looks of every replica: nobody alerts again
        print(f"\n300 requests served on a soft budget for 100; alerts {sorted(alerts())} over three replicas")
        assert sorted(alerts()) == [50, 80, 100]
        cluster.wait_for_no_holds()
        compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(database))
        compared.check()
        print(compared)
        assert compared.exact == 301 and spent_by(cluster) == 300 * cost


def test_a_budget_is_free_again_when_its_requests_fail(simulator, tmp_path):
    """Goal: no hold leaks where nothing is billed: refusals upstream, cuts, clients that leave, clients in the queue.

    Method: a budget for two requests at a time; a hundred of each kind of trouble; at the end both places are free.
    """
    database = Database.sqlite(tmp_path)
    with Cluster(simulator.url, database, 1) as cluster:
        cost, hold = cost_and_hold(cluster, 4000, 3900)
        key, _ = budgeted_key(cluster, 2 * hold)
        troubles = {"status=529": 529, "status=400": 400, "cut-before-head": 502, "html=502": 502}
        port = cluster.ports[0]

        async def scenario():
            for trouble, status in troubles.items():
                fault = ("x-sim-fault", f"{trouble},slow-head=5")
                asked = [ask_bytes(key, f"{trouble}{number}", 4000, 3900, fault) for number in range(25)]
                answers = await load.all_at_once([port], asked)
                statuses = sorted({answer.status for answer in answers})
                # A sync answer that was cut may have been billed: such a request keeps money, so some wait in vain.
                assert statuses in ([status], [429, status]), (trouble, statuses)
            # Two hold the budget, twenty wait in the queue, and all of them leave.
            slow = ("x-sim-fault", "slow-head=30000")
            callers = [load.Caller(port) for _ in range(22)]
            tasks = [
                asyncio.ensure_future(caller.ask(ask_bytes(key, f"leaver{number}", 4000, 3900, slow)))
                for number, caller in enumerate(callers)
            ]
            await asyncio.sleep(0.5)
            waiting = metric(cluster.gateways[0], "budget_requests_waiting")
            for caller in callers:
                caller.close()
            await asyncio.gather(*tasks)
            return waiting

        waiting = load.run(scenario(), seconds(60))
        cluster.wait_for_no_holds()
        cluster.wait_for_ledger()
        assert metric(cluster.gateways[0], "budget_requests_waiting") == 0
        compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(database))
        compared.check()
        print(f"\n{waiting:.0f} waited when everybody left; {compared}; spent {spent_by(cluster)}, a hold is {hold}")
        truth.check_sums(database)


def test_refusals_are_true_whatever_requests_cost(simulator, postgres):
    """Goal: with budgets on everybody, a team and a key, requests of all sizes, failures and clients that leave, no
    budget overshoots, and whoever was refused would not fit into what is left at the very end.

    Method: 900 requests, 150 at a time, on three replicas; every refusal says what the request could have cost.
    """
    database = Database.postgres(postgres)
    chance = random.Random(7)
    with Cluster(simulator.url, database, 3, BUDGET_LEASE="5s", BUDGET_WAIT="30s") as cluster:
        admin = cluster.admin()
        budgets = {"root": "2.9", "team": "1.7", "key": "0.8"}
        for team in ("one", "two"):
            admin.ok("POST", "teams", {"name": team})
        admin.ok("POST", "budgets", {"scope": "root", "period": "total", "limit": budgets["root"]})
        admin.ok("POST", "budgets", {"scope": "team", "id": "one", "period": "total", "limit": budgets["team"]})
        keys = [admin.new_key(name="a", team="one", budgets=[budgets["key"]]), admin.new_key(name="b", team="one")]
        keys += [admin.new_key(name="c", team="two")]
        troubles = ["", "", "", "", "status=529", "cut-before-head", "slow-head=40", "slow-head=5"]

        async def client(numbers, answers):
            callers = [load.Caller(port) for port in cluster.ports]
            for number in numbers:
                max_tokens = chance.choice((100, 1000, 4000, 8000))
                trouble = chance.choice(troubles)
                more = [("x-sim-fault", trouble)] if trouble else []
                output, key = chance.randint(1, max_tokens), chance.choice(keys)["key"]
                data = ask_bytes(key, f"m{number}", max_tokens, output, *more)
                leaving = 2000 if chance.random() < 0.1 else None
                answers.append(await chance.choice(callers).ask(data, f"m{number}", leave_after=leaving))
            for caller in callers:
                caller.close()

        async def scenario():
            numbers, answers = iter(range(900)), []
            await asyncio.gather(*(client(numbers, answers) for _ in range(150)))
            return answers

        began = time.monotonic()
        answers = load.run(scenario(), seconds(120))
        took = time.monotonic() - began
        cluster.wait_for_no_holds()
        cluster.wait_for_ledger()
        spent = {scope: 0 for scope in budgets}
        for row in truth.ledger_rows(database):
            spent["root"] += row.cost_pico
            spent["team"] += row.cost_pico if row.key_id in (keys[0]["id"], keys[1]["id"]) else 0
            spent["key"] += row.cost_pico if row.key_id == keys[0]["id"] else 0
        left = {scope: int(decimal.Decimal(limit) * 10**12) - spent[scope] for scope, limit in budgets.items()}
        refused = [answer for answer in answers if answer.status == 429]
        by_scope = collections.Counter()
        for answer in refused:
            assert answer.reason == "budget_exhausted", answer.body
            said = answer.json()["error"]["message"]
            scope, asked = re.search(r"The total budget of (\w+) .*it may cost up to \$([0-9.]+)", said).groups()
            assert int(decimal.Decimal(asked) * 10**12) > left[scope], (answer.body, left)
            by_scope[scope] += 1
        dollars_left = {scope: amount / 1e12 for scope, amount in left.items()}
        print(f"\n{len(answers)} in {took:.1f} s: {len(refused)} refused by {dict(by_scope)}; left {dollars_left}")
        assert all(amount >= 0 for amount in left.values()) and len(by_scope) == 3 and len(refused) < 800
        compared = truth.Comparison(truth.simulator_rows(simulator), truth.ledger_rows(database))
        compared.check()
        print(compared)

        # More money is noticed at once, everywhere.
        admin.ok("POST", "budgets", {"scope": "root", "period": "total", "limit": "900"})
        raised = time.monotonic()
        for port in cluster.ports:
            wait_until(
                lambda port=port: load.run(
                    load.Caller(port).ask(ask_bytes(keys[2]["key"], "raised", 8000, 10)), 30
                ).status
                == 200,
                2,
                "a request under the higher budget",
            )
        print(f"a higher budget was obeyed by all replicas {time.monotonic() - raised:.2f} s after it was set")
