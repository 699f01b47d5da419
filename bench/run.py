#!/usr/bin/env python3
"""Benchmark of the gateway, side by side with nginx, on loopback. bench/README.md tells how to read the figures.

  bench/run.py --report                                        the bars; what `make bench` runs
  bench/run.py --only direct,nginx-1w --workloads w1,w3c500    a free run: tables of everything measured
  tools/with_servers bench/run.py --database-stopped           what a database that is away costs
  bench/run.py --list                                          workloads and contenders
"""
import argparse
import dataclasses
import json
import os
import pathlib
import signal
import sys

import machine
import tables
from bars import BAD
from build_tools import build_tools
from contender import HERE, Contender, Mock, NotRunnable, load_contenders
from measure import Settings, run_load
from outage import NAME as GOVERNED
from outage import run_outage
from report import NEEDED, Report
from workloads import WORKLOADS

REPOSITORY = HERE.parent
# 10,000 streams need two descriptors each in the gateway, and one each in mock and load generator.
OPEN_FILES = 20_000 + 2_000
# Every stream takes one local port on either side of the gateway.
LOCAL_PORTS = 12_000
NOT_RUNNABLE = 2


def main() -> int:
    arguments = read_arguments()
    contenders = load_contenders([HERE / "contenders.json", *arguments.contenders], arguments.work, arguments.gateway)
    if arguments.list:
        print("\n".join(f"{name:10} {workload.meaning}" for name, workload in WORKLOADS.items()))
        print("\n".join(contender.missing() or name for name, contender in contenders.items()))
        return 0

    # Through sys.exit, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if arguments.report:
        names = NEEDED
    else:
        names = choose(f"direct,{GOVERNED}" if arguments.database_stopped else arguments.only, contenders)
    missing = [text for text in (contenders[name].missing() for name in names) if text]
    if missing:
        print("\n".join(f"MISSING {text}" for text in missing), file=sys.stderr)
        return NOT_RUNNABLE
    build_tools(arguments.work)
    prepare_machine(arguments)
    if arguments.report:
        return report(arguments, contenders)
    if arguments.database_stopped:
        return run_outage(settings_of(arguments), contenders, arguments.rounds)
    return free_run(arguments, {name: contenders[name] for name in names})


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", type=pathlib.Path, default=REPOSITORY / "build/bench", help="programs, bodies, logs and results")
    add("--gateway", type=pathlib.Path, default=REPOSITORY / "build/release/claude-proxy")
    add("--contenders", type=pathlib.Path, action="append", default=[], help="more rows; replace same names")
    add("--report", action="store_true", help="measure the bars; result.json and result.md in --work")
    add("--database-stopped", action="store_true", help="before and during an outage; needs tools/with_servers")
    add("--quick", action="store_true", help="short runs, one round: does everything work? The figures mean nothing")
    add("--list", action="store_true")
    add("--only", help="contenders of a free run, comma separated (default: all that are installed)")
    add("--workloads", default="w1,w2,w3b0,w3s0,w3c500")
    add("--rounds", type=int, default=4)
    add("--scale", type=float, default=1.0, help="of the seconds of every run")
    add("--out", type=pathlib.Path, help="JSON file of a free run")
    add("--reference", default="nginx-1w", help="what ratios of a free run are relative to")
    add("--load-cpu", default="1", help="the CPU of mock, load generator and this program; the gateway has CPU 0")
    add("--nice", type=int, default=-10 if os.geteuid() == 0 else 0, help="for all processes")
    add("--tries", type=int, default=3, help="of a run that other work disturbed")
    add("--noise", type=float, default=0.25, help="CPUs that others may take before a run counts as disturbed")
    add("--quiet-s", type=float, default=8, help="longest wait for other work to end before a run")
    arguments = parser.parse_args()
    arguments.work, arguments.gateway = arguments.work.resolve(), arguments.gateway.resolve()
    if arguments.quick:
        arguments.rounds, arguments.scale, arguments.tries, arguments.quiet_s = 1, arguments.scale * 0.3, 1, 0
    unknown = [name for name in arguments.workloads.split(",") if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workloads {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return arguments


def choose(only: str | None, contenders: dict[str, Contender]) -> list[str]:
    """Asked for by name: it must be there. Otherwise all that can run, and the others are named."""
    if only:
        unknown = [name for name in only.split(",") if name not in contenders]
        if unknown:
            raise NotRunnable(f"unknown contenders {', '.join(unknown)}; there are {', '.join(contenders)}")
        return only.split(",")
    for contender in contenders.values():
        if contender.missing():
            print(f"LEFT OUT {contender.missing()}", file=sys.stderr)
    return [name for name, contender in contenders.items() if not contender.missing()]


def prepare_machine(arguments: argparse.Namespace) -> None:
    if (os.cpu_count() or 1) < 2:
        raise NotRunnable("two CPUs are needed: one for the gateway, one for mock and load generator")
    complaint = machine.allow_open_files(OPEN_FILES)
    if complaint:
        print(f"WARNING {complaint} for 10,000 streams", file=sys.stderr)
    first, last = machine.local_port_range()
    if last - first < LOCAL_PORTS:
        print(f"WARNING net.ipv4.ip_local_port_range: {last - first:,} ports, {LOCAL_PORTS:,} needed", file=sys.stderr)
    machine.come_first(arguments.nice)
    # This program reads /proc and polls the mock: on the gateway's CPU it would disturb what it measures.
    os.sched_setaffinity(0, {int(arguments.load_cpu)})


def settings_of(arguments: argparse.Namespace) -> Settings:
    return Settings(
        work=arguments.work,
        load_cpu=arguments.load_cpu,
        scale=arguments.scale,
        tries=arguments.tries,
        noise_max=arguments.noise,
        quiet_seconds_max=arguments.quiet_s,
    )


def report(arguments: argparse.Namespace, contenders: dict[str, Contender]) -> int:
    """Exit code 1 when a bar is missed or a row has errors."""
    run = Report(settings_of(arguments), contenders, arguments.rounds, arguments.quick)
    rows = run.run()
    host = machine.describe()
    table = tables.bars_table(rows)
    title = f"# Benchmark\n\n{host['cpus']} CPUs ({host['model']}), Linux {host['kernel']}, {host['time']}"
    if arguments.quick:
        title += "\n\nA quick run: shows that everything works, the figures mean nothing."
    (arguments.work / "result.md").write_text(f"{title}\n\n{table}\n")
    result = {"host": host, "quick": arguments.quick, "rows": [dataclasses.asdict(row) for row in rows]}
    result["measured"] = run.measured
    (arguments.work / "result.json").write_text(json.dumps(result, indent=1))
    print(f"\n{table}\n\nwritten: {arguments.work / 'result.md'} and result.json")
    return 1 if any(row.verdict == BAD for row in rows) else 0


def free_run(arguments: argparse.Namespace, contenders: dict[str, Contender]) -> int:
    """Exit code 1 when a run had errors."""
    settings, workloads = settings_of(arguments), arguments.workloads.split(",")
    rounds: list[dict] = []
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", flush=True)
        rounds.append({})
        shift = number % len(contenders)
        for name in [*contenders][shift:] + [*contenders][:shift]:
            contender, mock = contenders[name], Mock(arguments.work, arguments.load_cpu)
            results = rounds[-1][name] = {}
            try:
                results["start"] = contender.start(mock)
                run_load(settings, contender, mock, WORKLOADS["warmup"], tries=1)
                for workload in workloads:
                    results[workload] = run_load(settings, contender, mock, WORKLOADS[workload])
                    print("  " + tables.progress(name, workload, results[workload]), flush=True)
            finally:
                contender.stop()
                mock.stop()
        if arguments.out:
            arguments.out.write_text(json.dumps({"host": machine.describe(), "rounds": rounds}, indent=1))
    print(tables.free_tables(rounds, workloads, arguments.reference) + "\n" + tables.start_table(rounds))
    return 1 if any(one[name][workload]["errors"] for one in rounds for name in one for workload in workloads) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotRunnable as reason:
        print(f"MISSING {reason}", file=sys.stderr)
        sys.exit(NOT_RUNNABLE)
