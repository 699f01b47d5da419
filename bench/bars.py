"""From measured figures to the rows of the report: value, ratio to nginx, bar, verdict. No measuring here."""
import dataclasses
import statistics

GOOD, BAD, NO_BAR = "ok", "FAIL", "-"
# As far as it could be measured it is good, but this machine did not allow the whole.
SHORT = "SHORT"


@dataclasses.dataclass
class Row:
    what: str
    unit: str = ""
    nginx: float | None = None
    ours: float | None = None
    ratio: float | None = None
    ratio_range: tuple[float, float] | None = None  # over rounds
    bar: str = ""
    verdict: str = NO_BAR
    notes: list[str] = dataclasses.field(default_factory=list)

    def judge(self, value: float | None, maximum: float | None) -> None:
        if maximum is not None:
            self.verdict = GOOD if value is not None and value <= maximum else BAD
        if value is None:
            self.fail("not measured")

    def fall_short(self, why: str) -> None:
        if self.verdict == GOOD:
            self.verdict = SHORT
        self.notes.append(why)

    def fail(self, why: str) -> None:
        self.verdict = BAD
        if why not in self.notes:
            self.notes.append(why)


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def note_errors(row: Row, results: dict[str, list[dict]]) -> None:
    """One error in any run of any contender fails the row: such a run proves nothing."""
    for name, runs in results.items():
        kinds: dict[str, int] = {}
        for run in runs:
            if "failed" in run:
                row.fail(f"{name}: {run['failed']}")
            for kind, count in run.get("error_kinds", {}).items():
                kinds[kind] = kinds.get(kind, 0) + count
        if kinds:
            row.fail(f"{name}: errors " + ", ".join(f"{kind} x{count}" for kind, count in sorted(kinds.items())))


def note_lateness(row: Row, results: dict[str, list[dict]]) -> None:
    """Events that the mock itself sent late: then the machine was the limit and the figures say little."""
    late = sum(run.get("late_events", 0) for runs in results.values() for run in runs)
    all_events = sum(run.get("load", {}).get("deltas", 0) for runs in results.values() for run in runs)
    if all_events and late > 0.01 * all_events:
        row.notes.append(f"the mock sent {late / all_events:.0%} of the events late")


def cpu_row(what: str, field: str, nginx: list[dict], ours: list[dict], bar: float) -> Row:
    """CPU per request or event: the median of the rounds' ratios, so that drift of the machine cancels out."""
    unit = "us/event" if field == "cpu_us_per_event" else "us/request"
    row = Row(what, unit, bar=f"<= {bar} x nginx")
    row.nginx, row.ours = median(run.get(field) for run in nginx), median(run.get(field) for run in ours)
    pairs = [(mine.get(field), theirs.get(field)) for mine, theirs in zip(ours, nginx)]
    ratios = [mine / theirs for mine, theirs in pairs if mine and theirs]
    if ratios:
        row.ratio, row.ratio_range = median(ratios), (min(ratios), max(ratios))
    row.judge(row.ratio, bar)
    rates = [median(run.get("per_s") for run in runs) for runs in (nginx, ours)]
    if None not in rates:
        counted = "streams" if field == "cpu_us_per_event" else "requests"
        row.notes.append(f"{counted} a second: nginx {rates[0]:,.0f}, claude-proxy {rates[1]:,.0f}")
    note_errors(row, {"nginx": nginx, "claude-proxy": ours})
    note_lateness(row, {"nginx": nginx, "claude-proxy": ours})
    return row


def latency_row(quantile: str, slices: dict[str, list[dict]], bar: float) -> Row:
    """What a gateway adds to the latency of the direct way: the median over slices, each compared with its neighbours.

    The median keeps a slice that was hit by other work from deciding a p99. `quantile` is "p50" or "p99".
    """
    row = Row(f"latency added at concurrency 1, {quantile}", "us", bar=f"<= {bar} x nginx")

    def of(run: dict) -> float | None:
        return run.get("load", {}).get("latency_us", {}).get(quantile)

    added: dict[str, list] = {"nginx": [], "claude-proxy": []}
    for direct, nginx, ours in zip(slices["direct"], slices["nginx"], slices["claude-proxy"]):
        base, theirs, mine = of(direct), of(nginx), of(ours)
        if base is not None and theirs is not None and mine is not None:
            added["nginx"].append(theirs - base)
            added["claude-proxy"].append(mine - base)
    row.nginx, row.ours = median(added["nginx"]), median(added["claude-proxy"])
    if row.nginx and row.nginx > 0:
        row.ratio = row.ours / row.nginx
        each = [mine / theirs for mine, theirs in zip(added["claude-proxy"], added["nginx"]) if theirs > 0]
        row.ratio_range = (min(each), max(each))
    row.judge(row.ratio, bar)
    base = median(map(of, slices["direct"]))
    if base is not None:
        row.notes.append(f"direct {base:,.0f} us")
    note_errors(row, slices)
    return row


def stream_memory_kib(run: dict, streams: int) -> float | None:
    held, idle = run.get("held", {}).get("pss_kib"), run.get("idle", {}).get("pss_kib")
    return None if held is None or idle is None else (held - idle) / streams


def stream_memory_row(what: str, streams: int, nginx: list[dict], ours: list[dict], bar: float | None) -> Row:
    row = Row(what, "KiB/stream", bar="" if bar is None else f"<= {bar:g} KiB")
    row.nginx = median(stream_memory_kib(run, streams) for run in nginx)
    row.ours = median(stream_memory_kib(run, streams) for run in ours)
    if row.nginx and row.ours is not None:
        row.ratio = row.ours / row.nginx
    row.judge(row.ours, bar)
    note_errors(row, {"nginx": nginx, "claude-proxy": ours})
    note_lateness(row, {"nginx": nginx, "claude-proxy": ours})
    complete = [run["load"]["ok"] for run in ours if "load" in run]
    if complete and bar is not None:
        row.notes.append(f"{min(complete):,} of {streams:,} complete and in order")
    return row


def start_rows(starts: dict[str, list[dict]], rss_mib_max: float, cold_ms_max: float) -> list[Row]:
    def of(name: str, read) -> list[float]:
        return [read(start) for start in starts[name] if "idle" in start]

    memory = Row("idle RSS", "MiB", bar=f"<= {rss_mib_max:g} MiB")
    cold = Row("cold start to first answer, median", "ms", bar=f"<= {cold_ms_max:g} ms")
    best = Row("cold start to first answer, best", "ms")
    rows = [(memory, median, lambda start: start["idle"]["rss_kib"] / 1024, rss_mib_max)]
    rows += [(cold, median, lambda start: start["cold_start_ms"], cold_ms_max)]
    rows += [(best, lambda values: min(values, default=None), lambda start: start["cold_start_ms"], None)]
    for row, choose, read, maximum in rows:
        row.nginx, row.ours = choose(of("nginx", read)), choose(of("claude-proxy", read))
        if row.nginx and row.ours is not None:
            row.ratio = row.ours / row.nginx
        row.judge(row.ours, maximum)
        note_errors(row, starts)
    return [row for row, *_ in rows]
