"""What Claude's tokens cost by the published prices, what claude-sim billed, and whether a ledger says the same.

The prices are written down here once more, from Anthropic's price page: a mistake in the gateway's own table would not
be seen if the test read that table.
"""

import collections
import json

from support.client import Client, request

# Dollars per million tokens are pico-dollars per token times a million.
MILLION = 1_000_000
PRICES = {  # input, cache write 5m, cache write 1h, cache read, output
    "claude-opus-4-8": [5 * MILLION, 6_250_000, 10 * MILLION, 500_000, 25 * MILLION],
    "claude-haiku-4-5-20251001": [1 * MILLION, 1_250_000, 2 * MILLION, 100_000, 5 * MILLION],
}
COUNTERS = ("input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens", "output_tokens")


def tokens_of(row):
    """A simulator's row in the order of COUNTERS."""
    usage = row["usage"]
    writes = usage["cache_creation"]
    return (
        usage["input_tokens"],
        writes["ephemeral_5m_input_tokens"],
        writes["ephemeral_1h_input_tokens"],
        usage["cache_read_input_tokens"],
        usage["output_tokens"],
    )


def price_of(model, tokens):
    return sum(count * each for count, each in zip(tokens, PRICES[model]))


def true_cost(row):
    tokens = tokens_of(row)
    return price_of(row["model"], tokens) if any(tokens) else 0


def control(simulator, method, target, body=None):
    with Client(simulator.port, timeout=60) as client:
        answer = client.ask(request(method, target, body, key=None))
    assert answer.status == 200, answer.body
    return answer.json()


def simulator_rows(simulator, page=20_000):
    """Every call of Messages that the simulator was asked, oldest first."""
    rows, since = [], 0
    while True:
        found = control(simulator, "GET", f"/sim/ledger?since={since}&limit={page}")["requests"]
        if not found:
            return [row for row in rows if row["path"].partition("?")[0] == "/v1/messages"]
        rows += found
        since = found[-1]["seq"]


class LedgerRow:
    """One row of `attempts`."""

    columns = ("attempt_id", "outcome", "status", "model", "cost_pico", "cost_low_pico", "cost_high_pico", *COUNTERS,
               "details", "replica", "team_id", "key_id", "started_at")  # fmt: skip

    def __init__(self, values):
        for name, value in zip(self.columns, values):
            setattr(self, name, value)
        self.details = json.loads(self.details)
        self.tokens = tuple(getattr(self, name) for name in COUNTERS)
        self.tag = self.details.get("user_agent")
        self.upstream_id = self.details.get("upstream_request_id")
        self.number = int(self.attempt_id.rpartition(".")[2])

    def __repr__(self):
        return (
            f"{self.attempt_id} {self.outcome} status {self.status} {self.model} tokens {self.tokens} cost"
            f" {self.cost_low_pico} <= {self.cost_pico} <= {self.cost_high_pico} {self.details}"
        )


def ledger_rows(database):
    """`database`: support.cluster.Database."""
    return [
        LedgerRow(values)
        for values in database.query(
            f"SELECT {', '.join(LedgerRow.columns)} FROM claude_proxy.attempts ORDER BY started_at, attempt_id"
        )
    ]


class Comparison:
    """Every call that the simulator saw beside the ledger's row of the same attempt.

    Requests carry a user agent of their own: it is on both sides even where the gateway died before it learned
    anything. Attempts of one request are told apart by the upstream's request id, else by their order.
    """

    def __init__(self, truth, ledger):
        self.pairs = []  # (simulator's row, ledger's row)
        self.unseen = []  # ledger rows of calls that never arrived
        self.problems = []
        self.exact = 0
        self.outcomes = collections.Counter(row.outcome for row in ledger)
        counted = collections.Counter(row.attempt_id for row in ledger)
        self.problems += [f"{name} is {count} times in the ledger" for name, count in counted.items() if count > 1]
        by_tag = collections.defaultdict(lambda: ([], []))
        for row in truth:
            by_tag[row["headers"]["user-agent"]][0].append(row)
        for row in ledger:
            by_tag[row.tag][1].append(row)
        for tag, (billed, told) in by_tag.items():
            self._match(tag, billed, sorted(told, key=lambda row: (row.started_at, row.number)))
        for billed, told in self.pairs:
            self._judge(billed, told)
        for row in self.unseen:
            if row.cost_low_pico != 0 or row.outcome == "complete":
                self.problems.append(f"nobody was asked, but the ledger says {row}")

    def _match(self, tag, billed, told):
        known = {row["request_id"]: row for row in billed}
        left = []
        for row in told:
            found = known.pop(row.upstream_id, None) if row.upstream_id else None
            if found:
                self.pairs.append((found, row))
            elif row.upstream_id:
                self.problems.append(f"the upstream never answered as {row.upstream_id}: {row}")
            else:
                left.append(row)
        for row in known.values():
            if left:
                self.pairs.append((row, left.pop(0)))
            else:
                self.problems.append(f"the ledger misses a call of {tag}: {row}")
        self.unseen += left

    def _judge(self, billed, told):
        truth = true_cost(billed)
        if told.outcome == "complete":
            if told.tokens != tokens_of(billed) or told.cost_pico != truth:
                self.problems.append(f"{told} but billed were {tokens_of(billed)}, {truth}: {billed}")
            self.exact += 1
        elif told.outcome == "failed":
            if truth != 0 or told.cost_pico != 0:
                self.problems.append(f"{told} but billed were {truth}: {billed}")
        elif not told.cost_low_pico <= truth <= told.cost_high_pico:
            self.problems.append(f"{told} does not hold the truth {truth}: {billed}")
        if not told.cost_low_pico <= told.cost_pico <= told.cost_high_pico:
            self.problems.append(f"{told} is not between its own bounds")
        if told.outcome in ("complete", "failed") and not told.cost_low_pico == told.cost_pico == told.cost_high_pico:
            self.problems.append(f"{told} is certain, but its bounds are not one")

    def check(self):
        listed = "\n".join(self.problems[:10])
        assert not self.problems, f"{len(self.problems)} differences between ledger and truth:\n{listed}"

    def __str__(self):
        return (
            f"{len(self.pairs)} calls upstream, each with its ledger row: {dict(self.outcomes)}, {self.exact} of them"
            f" compared to the token and the pico-dollar; {len(self.unseen)} rows of calls that never arrived"
        )


def check_sums(database):
    """usage_hourly and spend_daily beside the rows that they were made of."""
    hour, day = 3_600_000, 86_400_000
    attempts = database.query(
        "SELECT team_id, key_id, model, tags, outcome, started_at, cost_pico, cost_low_pico, cost_high_pico,"
        f" web_searches, {', '.join(COUNTERS)} FROM claude_proxy.attempts"
    )
    usage, spent = collections.Counter(), collections.Counter()
    for team, key, model, tags, outcome, at, *numbers in attempts:
        names = ("cost_pico", "cost_low_pico", "cost_high_pico", "web_searches", *COUNTERS)
        group = (at - at % hour, team, key, model, tags, outcome)
        usage[group, "attempts"] += 1
        for name, number in zip(names, numbers):
            usage[group, name] += number
        for scope in (("root", ""), ("team", team), ("key", key)):
            spent[(*scope, at - at % day)] += numbers[0]
    told = collections.Counter()
    names = ("attempts", "cost_pico", "cost_low_pico", "cost_high_pico", "web_searches", *COUNTERS)
    for row in database.query(
        f"SELECT hour, team_id, key_id, model, tags, outcome, {', '.join(names)} FROM claude_proxy.usage_hourly"
    ):
        for name, number in zip(names, row[6:]):
            told[tuple(row[:6]), name] += number
    assert +usage == +told, f"usage differs: {list((+usage - told).items())[:5]} {list((told - usage).items())[:5]}"
    told = collections.Counter(
        {tuple(row[:3]): row[3] for row in database.query("SELECT * FROM claude_proxy.spend_daily")}
    )
    assert +spent == +told, f"spend_daily differs: {(+spent - told)} {(told - spent)}"
    return len(attempts)
