"""Checks of one client as lines of text: `ok NAME` or `FAIL NAME: why`, and `done` at the end."""

import asyncio
import inspect
import json
import os
import time
import traceback
import urllib.request

GATEWAY = os.environ["CONFORMANCE_GATEWAY_URL"]
SIM = os.environ["CONFORMANCE_SIM_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
MODEL = "claude-opus-5"
SETTLE_SECONDS = 10

checks = []


def check(function):
    checks.append(function)
    return function


class Ledger:
    """What the simulator was asked since `begin`."""

    def __init__(self):
        self.seen = 0

    def control(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(SIM + path, data, method=method), timeout=10) as answer:
            return json.load(answer)

    def begin(self):
        self.control("DELETE", "/sim/faults")
        rows = self.control("GET", "/sim/ledger")["requests"]
        self.seen = rows[-1]["seq"] if rows else self.seen

    def asked(self):
        rows = self.control("GET", f"/sim/ledger?since={self.seen}")["requests"]
        return [row for row in rows if row["method"] != "BATCH"]

    def only(self):
        rows = self.asked()
        assert len(rows) == 1, f"one upstream request, not {len(rows)}: {[row['path'] for row in rows]}"
        return rows[0]

    def arm(self, fault, count=1):
        self.control("POST", "/sim/faults", {"fault": fault, "count": count})

    def eventually(self, what, look):
        """Polls for a fact of another process that nobody announces."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline, f"not within {SETTLE_SECONDS} s: {what}"
            time.sleep(0.01)
        return found


ledger = Ledger()


def same_usage(usage, row):
    billed = row["usage"]
    shown = usage if isinstance(usage, dict) else usage.model_dump()
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert (shown.get(name) or 0) == billed[name], f"{name}: {shown.get(name)} shown, {billed[name]} billed"


def run_all():
    for function in checks:
        name = function.__name__.replace("_", " ")
        try:
            ledger.begin()
            result = function()
            if inspect.iscoroutine(result):
                asyncio.run(asyncio.wait_for(result, 60))
            print(f"ok {name}", flush=True)
        except BaseException as error:  # an error of any kind is the check's, and the others still run
            where = traceback.extract_tb(error.__traceback__)
            place = next(
                (f"line {frame.lineno}" for frame in reversed(where) if "site-packages" not in frame.filename), ""
            )
            print(f"FAIL {name}: {type(error).__name__}: {' '.join(str(error).split())[:600]} ({place})", flush=True)
    print("done", flush=True)
