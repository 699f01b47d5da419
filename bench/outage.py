"""What a stopped database costs: CPU per request and added latency of the governed gateway before and during an outage.

The same gateway and the same connections all the time. tools/with_servers stops and starts its PostgreSQL on request.
"""
import dataclasses
import os
import pathlib
import socket
import time

import tables
from bars import median
from contender import Contender, Mock, NotRunnable
from measure import Settings, run_load
from workloads import WORKLOADS

NAME = "claude-proxy-governed"
CONTROL = "TEST_SERVERS_CONTROL"
# At a fixed rate, so that a load generator that the database no longer disturbs does not change what is measured.
PACED = dataclasses.replace(WORKLOADS["w1"], rate=8000, saturates=False, warmup=0.5)
ALONE = dataclasses.replace(WORKLOADS["latency"], seconds=4)
CHANGE_MAX = 0.10
# Rows that wait for the database lie in segment files; when it keeps up there are a few of them.
SEGMENTS_AT_REST = 4
CATCH_UP_SECONDS_MAX = 60
OUTAGE_SEEN_SECONDS = 1.0  # the ledger's writer and the directory have met the outage


def tell_servers(command: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(60)
        control.connect(os.environ[CONTROL])
        control.sendall(command.encode() + b"\n")
        answer = control.makefile().readline().strip()
    if answer != "ok":
        raise NotRunnable(f"{command}: {answer}")


def wait_until_caught_up(gateway: Contender) -> None:
    """Until the rows of the outage are in the database: writing them is not what a stopped database costs."""
    end = time.monotonic() + CATCH_UP_SECONDS_MAX
    journal = pathlib.Path(gateway.rundir) / "var" / "journal"
    while len(list(journal.glob("rep_*/*.segment.*"))) > SEGMENTS_AT_REST:
        if time.monotonic() > end:
            raise NotRunnable(f"the ledger did not catch up within {CATCH_UP_SECONDS_MAX} s after the outage")
        time.sleep(0.2)
    time.sleep(OUTAGE_SEEN_SECONDS)


def measure(settings: Settings, direct: Contender, gateway: Contender, mock: Mock, when: str) -> dict:
    paced = run_load(settings, gateway, mock, PACED)
    base, ours = (run_load(settings, each, mock, ALONE) for each in (direct, gateway))
    for what, run in (("paced", paced), ("direct", base), ("alone", ours)):
        print("  " + tables.progress(f"{when} {what}", "w1", run), flush=True)
    found = {"errors": sum(run["errors"] for run in (paced, base, ours))}
    if not found["errors"]:
        found["cpu"] = paced["cpu_us_per_request"]
        found["p50"] = paced["load"]["latency_us"]["p50"]
        found["added"] = ours["load"]["latency_us"]["p50"] - base["load"]["latency_us"]["p50"]
    return found


def run_outage(settings: Settings, contenders: dict[str, Contender], rounds: int) -> int:
    """Exit code 1 when a figure changes by more than the bar, or a request fails."""
    if not os.environ.get(CONTROL):
        raise NotRunnable("servers that can be stopped: tools/with_servers bench/run.py --database-stopped")
    direct, gateway = contenders["direct"], contenders[NAME]
    mock = Mock(settings.work, settings.load_cpu)
    seen: list[tuple[dict, dict]] = []
    try:
        direct.start(mock)
        gateway.start(mock)
        run_load(settings, gateway, mock, WORKLOADS["warmup"], tries=1)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            wait_until_caught_up(gateway)
            before = measure(settings, direct, gateway, mock, "before")
            tell_servers("stop postgres")
            try:
                time.sleep(OUTAGE_SEEN_SECONDS)
                during = measure(settings, direct, gateway, mock, "stopped")
            finally:
                tell_servers("start postgres")
            seen.append((before, during))
    finally:
        gateway.stop()
        mock.stop()
    return report(seen)


def report(seen: list[tuple[dict, dict]]) -> int:
    errors = sum(run["errors"] for pair in seen for run in pair)
    lines, missed = [], errors > 0
    for name, figure, change_max in (
        (f"CPU a request at {PACED.rate:,} a second, us", "cpu", CHANGE_MAX),
        ("latency added at concurrency 1, p50, us", "added", CHANGE_MAX),
        (f"latency at {PACED.rate:,} a second, p50, us", "p50", None),
    ):
        pairs = [(before[figure], during[figure]) for before, during in seen if figure in before and figure in during]
        if not pairs:
            missed = True
            continue
        ratios = [during / before for before, during in pairs]
        change = median(ratios)
        # What gets cheaper while the database is away has not been disturbed by it.
        is_good = change_max is None or change <= 1 + change_max
        missed = missed or not is_good
        lines.append(
            [
                name,
                tables.number(median(before for before, _ in pairs)),
                tables.number(median(during for _, during in pairs)),
                f"{change:.2f}",
                f"{min(ratios):.2f}-{max(ratios):.2f}",
                "-" if change_max is None else "ok" if is_good else "FAIL",
            ]
        )
    print("\n" + tables.markdown(["", "before", "stopped", "ratio", "rounds", f"<= {1 + CHANGE_MAX:g}"], lines))
    if errors:
        print(f"\n{errors} errors: such a run proves nothing")
    return 1 if missed else 0
