"""What `make bench` runs: all that has a bar, nginx and claude-proxy interleaved, in six to eight minutes."""
import contextlib
import dataclasses

import bars
import machine
import tables
from contender import Contender, Mock, NotRunnable
from measure import Settings, run_load
from workloads import WORKLOADS

# One nginx worker against one reactor thread, two against two.
ONE = {"nginx": "nginx-1w", "claude-proxy": "claude-proxy-1t"}
TWO = {"nginx": "nginx-2w", "claude-proxy": "claude-proxy-2t"}
# The smallest nginx against the gateway as it starts by itself on two cores.
AS_STARTED = {"nginx": "nginx-1w", "claude-proxy": "claude-proxy-2t"}
NEEDED = ["direct", *ONE.values(), *TWO.values()]

# workload, name of the row, figure, bar (times nginx)
CPU_ROWS = [
    ("w1", "CPU per request, 1 KB in, 1.2 KB out, 64 connections", "cpu_us_per_request", 1.0),
    ("w2", "CPU per request, 200 KB in, 16 connections", "cpu_us_per_request", 0.8),
    ("w3c500", "CPU per event, 500 streams, one every 10 ms", "cpu_us_per_event", 1.0),
    ("w3b0", "CPU per event, burst: a stream in one write", "cpu_us_per_event", 1.0),
    ("w3s0", "CPU per event, burst: one write an event", "cpu_us_per_event", 1.0),
]
LATENCY_BAR = 1.0
STREAM_KIB_MAX = 12.0
IDLE_MIB_MAX = 12.0
COLD_START_MS_MAX = 60.0
# A gateway needs two descriptors a stream, and some for listeners, event loops and the log.
OTHER_OPEN_FILES = 64


class Report:
    def __init__(self, settings: Settings, contenders: dict[str, Contender], rounds: int, quick: bool):
        self.settings = settings
        self.contenders = contenders
        self.rounds = rounds
        self.latency_slices = 3 if quick else 12
        self.cold_starts = 2 if quick else 7
        self.measured: dict = {}  # everything, for the JSON file

    def run(self) -> list[bars.Row]:
        rows = self.cpu_rows()
        rows += self.latency_rows()
        rows += self.start_rows()
        rows.append(self.held_row("w3c2000", "memory per open stream, 2,000 streams", ONE, None))
        rows.append(self.held_row("w3c10000", "memory per open stream, 10,000 streams, 2 threads", TWO, STREAM_KIB_MAX))
        return rows

    def cpu_rows(self) -> list[bars.Row]:
        results: dict = {workload: {"nginx": [], "claude-proxy": []} for workload, *_ in CPU_ROWS}
        self.measured["cpu"] = results
        for number in range(self.rounds):
            print(f"round {number + 1} of {self.rounds}", flush=True)
            # Who goes first changes with every round.
            for side, name in list(ONE.items())[:: -1 if number % 2 else 1]:
                runs = self.one_after_the_other(name, [workload for workload, *_ in CPU_ROWS])
                for workload, run in runs.items():
                    results[workload][side].append(run)
        # Without a gateway: what mock and load generator can carry at most.
        self.measured["direct"] = self.one_after_the_other("direct", ["w1", "w3s0", "w3c500"])
        return [
            bars.cpu_row(what, figure, results[workload]["nginx"], results[workload]["claude-proxy"], bar)
            for workload, what, figure, bar in CPU_ROWS
        ]

    def latency_rows(self) -> list[bars.Row]:
        """All three run at the same time and are asked in turn, a second each: they share the machine's moods."""
        names = {"direct": "direct", **ONE}
        slices: dict = {side: [] for side in names}
        self.measured["latency"] = slices
        try:
            with self.running(*names.values()) as (mock, _):
                for name in names.values():
                    self.load(name, mock, "warmup", tries=1, quiet=True)
                for number in range(self.latency_slices):
                    shift = number % len(names)
                    for side in [*names][shift:] + [*names][:shift]:
                        slices[side].append(self.load(names[side], mock, "latency", tries=1))
        except (NotRunnable, OSError) as reason:
            slices["claude-proxy"].append({"failed": str(reason)})
        return [bars.latency_row(quantile, slices, LATENCY_BAR) for quantile in ("p50", "p99")]

    def start_rows(self) -> list[bars.Row]:
        starts: dict = {side: [] for side in AS_STARTED}
        self.measured["starts"] = starts
        for _ in range(self.cold_starts):
            for side, name in AS_STARTED.items():
                machine.wait_until_quiet(self.settings.quiet_seconds_max)
                try:
                    with self.running(name) as (_mock, said):
                        starts[side].append(said[name])
                        print(f"  {name:16} started in {said[name]['cold_start_ms']} ms", flush=True)
                except (NotRunnable, OSError) as reason:
                    starts[side].append({"failed": str(reason)})
        return bars.start_rows(starts, IDLE_MIB_MAX, COLD_START_MS_MAX)

    def held_row(self, workload: str, what: str, names: dict, kib_max: float | None) -> bars.Row:
        """Freshly started, so that nothing but the streams lies between the idle and the held memory."""
        wanted = WORKLOADS[workload].total
        streams = min(wanted, (machine.open_files_max() - OTHER_OPEN_FILES) // 2)
        held = dataclasses.replace(WORKLOADS[workload], connections=streams, total=streams)
        results: dict = {side: [] for side in names}
        self.measured[workload] = results
        for side, name in names.items():
            try:
                with self.running(name) as (mock, said):
                    run = run_load(self.settings, self.contenders[name], mock, held, tries=1)
                    print("  " + tables.progress(name, workload, run), flush=True)
                    results[side].append({**run, "idle": said[name]["idle"]})
            except (NotRunnable, OSError) as reason:
                results[side].append({"failed": str(reason)})
        row = bars.stream_memory_row(what, streams, results["nginx"], results["claude-proxy"], kib_max)
        if streams < wanted:
            limit = f"open files are limited to {machine.open_files_max():,}"
            row.fall_short(f"only {streams:,} of {wanted:,} streams: {limit}")
        return row

    def one_after_the_other(self, name: str, workloads: list[str]) -> dict:
        try:
            with self.running(name) as (mock, _):
                self.load(name, mock, "warmup", tries=1, quiet=True)
                return {workload: self.load(name, mock, workload) for workload in workloads}
        except (NotRunnable, OSError) as reason:
            print(f"  {name}: {reason}", flush=True)
            return {workload: {"failed": str(reason)} for workload in workloads}

    @contextlib.contextmanager
    def running(self, *names: str):
        """A fresh mock with these contenders before it. Yields the mock and what each contender said at its start."""
        mock = Mock(self.settings.work, self.settings.load_cpu)
        try:
            yield mock, {name: self.contenders[name].start(mock) for name in names}
        finally:
            for name in names:
                self.contenders[name].stop()
            mock.stop()

    def load(self, name: str, mock: Mock, workload: str, tries: int = 0, quiet: bool = False) -> dict:
        result = run_load(self.settings, self.contenders[name], mock, WORKLOADS[workload], tries)
        if not quiet:
            print("  " + tables.progress(name, workload, result), flush=True)
        return result
