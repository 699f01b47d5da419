#!/usr/bin/env python3
"""Counts the gateway's system calls per request and per streamed event, without a benchmark's noise.

The rule of the design: two reads and two writes a request, one and one an event. Whatever goes over it is CPU that no
other change wins back. Each figure is the difference between a long and a short run of the same shape, divided by the
difference in requests or events, so that starting, connecting and stopping cancel out.

  bench/strace_check.py --max-per-request 4.2 --max-per-event 2.2     exit code 1 when a bound is passed

Needs strace. The bounds are for reads and writes; waiting (epoll), locks and clocks are printed beside them.
"""
import argparse
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from build_tools import build_tools
from contender import HERE, Contender, Mock, NotRunnable, load_contenders
from measure import Settings, run_once
from workloads import LONG_STREAM, SHORT_STREAM, Workload

REPOSITORY = HERE.parent
READS = {"read", "readv", "pread64", "recv", "recvfrom", "recvmsg", "recvmmsg"}
WRITES = {"write", "writev", "pwrite64", "send", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice"}
SUMMARY_SECONDS_MAX = 10


def requests(body: str, total: int, connections: int) -> Workload:
    return Workload("traced requests", "req", body, connections, seconds=60, total=total)


def streams(body: str, total: int) -> Workload:
    # Paced so slowly that the traced gateway keeps up: when behind it reads several events at once and looks better.
    return Workload("traced streams", "sse", body, total, seconds=60, total=total, ramp_ms=500)


@dataclasses.dataclass(frozen=True)
class Counted:
    what: str
    short: Workload
    long: Workload
    units: int  # that the long run has more


EVENTS_MORE = int(LONG_STREAM.split("-n")[1]) - int(SHORT_STREAM.split("-n")[1])
REQUEST = Counted("request (1 KB)", requests("w1", 500, 8), requests("w1", 2500, 8), 2000)
LARGE_REQUEST = Counted("request (200 KB)", requests("w2", 100, 4), requests("w2", 500, 4), 400)
EVENT = Counted("event", streams(SHORT_STREAM, 20), streams(LONG_STREAM, 20), 20 * EVENTS_MORE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-per-request", type=float, default=4.2, help="reads and writes of a 1 KB request")
    parser.add_argument("--max-per-event", type=float, default=2.2, help="reads and writes of an event")
    parser.add_argument("--work", type=pathlib.Path, default=REPOSITORY / "build/bench")
    parser.add_argument("--gateway", type=pathlib.Path, default=REPOSITORY / "build/release/claude-proxy")
    parser.add_argument("--contender", default="claude-proxy-1t", help="a row of contenders.json (nginx-1w to compare)")
    arguments = parser.parse_args()
    work, gateway = arguments.work.resolve(), arguments.gateway.resolve()

    contender = load_contenders([HERE / "contenders.json"], work, gateway)[arguments.contender]
    missing = contender.missing() or ("" if shutil.which("strace") else "strace: apt-get install -y strace")
    if missing:
        raise NotRunnable(missing)
    build_tools(work)

    passed = True
    for counted, maximum in [
        (REQUEST, arguments.max_per_request),
        (EVENT, arguments.max_per_event),
        (LARGE_REQUEST, None),
    ]:
        passed &= check(counted, maximum, contender, Settings(work))
    return 0 if passed else 1


def check(counted: Counted, maximum: float | None, contender: Contender, settings: Settings) -> bool:
    short, long = (system_calls(contender, settings, workload) for workload in (counted.short, counted.long))
    each = {name: (count - short.get(name, 0)) / counted.units for name, count in long.items()}
    reads = sum(count for name, count in each.items() if name in READS)
    writes = sum(count for name, count in each.items() if name in WRITES)
    passed = maximum is None or reads + writes <= maximum
    bound = "" if maximum is None else f", at most {maximum:g}: {'ok' if passed else 'FAIL'}"
    print(f"per {counted.what}: {reads:.2f} reads + {writes:.2f} writes = {reads + writes:.2f}{bound}")
    for name, count in sorted(each.items(), key=lambda item: -item[1]):
        if count >= 0.005:
            print(f"  {name:16} {count:6.2f}")
    return passed


def system_calls(contender: Contender, settings: Settings, workload: Workload) -> dict[str, int]:
    """Calls by name over the whole life of a gateway that answered this load."""
    mock = Mock(settings.work, settings.load_cpu)
    with tempfile.NamedTemporaryFile(mode="r") as summary:
        try:
            contender.start(mock, prefix=("strace", "-f", "-c", "-U", "name,calls", "-o", summary.name))
            result = run_once(settings, contender, mock, workload)
            if result["errors"]:
                raise SystemExit(f"the load had errors: {result['error_kinds']} {result.get('complaint', '')}")
            # strace prints its summary when what it traces has ended.
            for pid in contender.processes()[1:]:
                os.kill(pid, signal.SIGKILL)
            contender.process.wait(SUMMARY_SECONDS_MAX)
        finally:
            contender.stop()
            mock.stop()
        return parse_summary(summary.read())


def parse_summary(text: str) -> dict[str, int]:
    calls = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit() and words[0] != "total":
            calls[words[0]] = int(words[1])
    if not calls:
        raise SystemExit(f"strace gave no summary:\n{text}")
    return calls


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotRunnable as reason:
        print(f"MISSING {reason}", file=sys.stderr)
        sys.exit(2)
    except subprocess.TimeoutExpired:
        sys.exit("strace did not end with the gateway")
