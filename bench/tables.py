"""Figures as text: progress lines, the table of the bars, and the tables of a free run."""
import statistics

from bars import Row
from workloads import WORKLOADS


def number(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def progress(name: str, workload: str, run: dict) -> str:
    if "load" not in run:
        return f"{name:16} {workload:9} FAILED {run.get('error_kinds') or run.get('failed')}"
    text = f"{name:16} {workload:9} {run['per_s']:>9,.0f}/s"
    for field, unit in (("cpu_us_per_request", "us/request"), ("cpu_us_per_event", "us/event")):
        if field in run:
            text += f"  {run[field]:8.2f} {unit}"
    latency = run["load"].get("lag_us") or run["load"]["latency_us"]
    text += f"  p50 {latency['p50']:,} p99 {latency['p99']:,} us  others' CPU {run['others_cpu']:.2f}"
    if run["late_events"]:
        text += f"  late {run['late_events']:,}"
    if run["errors"]:
        text += f"  ERRORS {run['error_kinds']}"
    return text


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table that is aligned in a terminal too; the first column is text, the others are figures."""
    first_width, *widths = [max(map(len, column)) for column in zip(header, *lines)]

    def one(cells: list[str]) -> str:
        figures = [cell.rjust(width) for cell, width in zip(cells[1:], widths)]
        return "| " + " | ".join([cells[0].ljust(first_width), *figures]) + " |"

    rule = "|" + "|".join(["-" * (first_width + 2), *["-" * (width + 1) + ":" for width in widths]]) + "|"
    return "\n".join([one(header), rule, *map(one, lines)])


def bars_table(rows: list[Row]) -> str:
    header = ["what", "nginx", "claude-proxy", "unit", "ratio", "ratio, min-max", "bar", "verdict"]
    lines = []
    for row in rows:
        spread = "-" if row.ratio_range is None else f"{row.ratio_range[0]:.2f}-{row.ratio_range[1]:.2f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        values = [number(row.nginx), number(row.ours), row.unit, ratio, spread]
        lines.append([row.what, *values, row.bar or "-", row.verdict])
    notes = [f"- {row.what}: {'; '.join(row.notes)}" for row in rows if row.notes]
    return "\n".join([markdown(header, lines), "", *notes])


COLUMNS = {
    "req": [
        ("requests/s", ["per_s"]),
        ("CPU us/request", ["cpu_us_per_request"]),
        ("p50 us", ["load", "latency_us", "p50"]),
        ("p95 us", ["load", "latency_us", "p95"]),
        ("p99 us", ["load", "latency_us", "p99"]),
        ("peak RSS KiB", ["memory", "rss_peak_kib"]),
    ],
    "sse": [
        ("streams/s", ["per_s"]),
        ("events/s", ["load", "deltas_per_s"]),
        ("CPU us/event", ["cpu_us_per_event"]),
        ("first byte p50 us", ["load", "ttfb_us", "p50"]),
        ("first byte p99 us", ["load", "ttfb_us", "p99"]),
        ("lag p50 us", ["load", "lag_us", "p50"]),
        ("lag p95 us", ["load", "lag_us", "p95"]),
        ("lag p99 us", ["load", "lag_us", "p99"]),
        ("held PSS KiB", ["held", "pss_kib"]),
    ],
}
ALWAYS = [("gateway CPU", ["cpu_share"]), ("others' CPU", ["others_cpu"]), ("late events", ["late_events"])]


def free_tables(rounds: list[dict], workloads: list[str], reference: str) -> str:
    """One table a workload, medians over rounds, CPU and rate also as ratios to `reference`."""
    parts = []
    for workload in workloads:
        figure = "cpu_us_per_event" if WORKLOADS[workload].is_stream else "cpu_us_per_request"
        columns = COLUMNS[WORKLOADS[workload].mode] + ALWAYS
        header = ["contender", *[title for title, _ in columns], f"CPU / {reference}", f"rate / {reference}", "errors"]
        names = list(dict.fromkeys(name for one in rounds for name in one if workload in one[name]))
        lines = []
        for name in names:
            runs = [one[name][workload] for one in rounds if workload in one.get(name, {})]
            base = [one[reference][workload] for one in rounds if workload in one.get(reference, {})]
            cells = [name, *[number(median_of(runs, path)) for _, path in columns]]
            cells += [ratio(runs, base, [figure]), ratio(runs, base, ["per_s"])]
            lines.append([*cells, str(sum(run["errors"] for run in runs))])
        parts.append(f"\n### {workload}: {WORKLOADS[workload].meaning}\n\n{markdown(header, lines)}")
    return "\n".join(parts)


def start_table(rounds: list[dict]) -> str:
    lines = []
    for name in dict.fromkeys(name for one in rounds for name in one):
        starts = [one[name]["start"] for one in rounds if one.get(name, {}).get("start")]
        if starts:
            paths = [["cold_start_ms"], *(["idle", key] for key in ("rss_kib", "pss_kib", "processes", "threads"))]
            lines.append([name, *[number(median_of(starts, path)) for path in paths]])
    header = ["contender", "cold start ms", "idle RSS KiB", "idle PSS KiB", "processes", "threads"]
    return f"\n### start\n\n{markdown(header, lines)}" if lines else ""


def median_of(runs: list[dict], path: list[str]):
    values = []
    for run in runs:
        for key in path:
            run = run.get(key, {}) if isinstance(run, dict) else {}
        if isinstance(run, (int, float)):
            values.append(run)
    return statistics.median(values) if values else None


def ratio(runs: list[dict], base: list[dict], path: list[str]) -> str:
    value, reference = median_of(runs, path), median_of(base, path)
    return f"{value / reference:.2f}" if value and reference else "-"
