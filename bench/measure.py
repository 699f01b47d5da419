"""One load run: gwload against one contender, and what the gateway's processes used meanwhile."""
import dataclasses
import json
import os
import pathlib
import subprocess
import time

import machine
from contender import PATH, Contender, Mock
from workloads import Workload


@dataclasses.dataclass(frozen=True)
class Settings:
    work: pathlib.Path
    load_cpu: str = "1"
    scale: float = 1.0  # of every run's seconds
    tries: int = 3  # a run that other work disturbed is repeated so often at most
    noise_max: float = 0.25  # CPUs that others may take before a run counts as disturbed
    quiet_seconds_max: float = 8.0  # waiting for others before a run


def run_load(settings: Settings, contender: Contender, mock: Mock, workload: Workload, tries: int = 0) -> dict:
    """The least disturbed of at most `tries` runs (0: as the settings say); a run with errors is never repeated."""
    best: dict = {}
    for _ in range(tries or settings.tries):
        machine.wait_until_quiet(settings.quiet_seconds_max)
        result = run_once(settings, contender, mock, workload)
        if result["errors"]:
            return result
        if not best or result["others_cpu"] < best["others_cpu"]:
            best = result
        if best["others_cpu"] < settings.noise_max:
            break
    return best


def run_once(settings: Settings, contender: Contender, mock: Mock, workload: Workload) -> dict:
    """The figures of one run. `errors` counts everything that makes it worthless."""
    gateway = contender.processes()
    mock_before, mock_cpu_before = mock.stats(), mock.cpu()
    user_before, system_before = machine.cpu_seconds(gateway)
    busy_before, steal_before = machine.busy_seconds()
    own_before, began = own_cpu(), time.monotonic()

    process = subprocess.Popen(
        command(settings, contender, workload), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    held = watch_memory(process, contender, mock, workload) if workload.holds_streams else {}
    output, complaints = process.communicate()

    user, system = machine.cpu_seconds(gateway)
    busy, steal = machine.busy_seconds()
    seconds = time.monotonic() - began
    gateway_cpu = user - user_before + system - system_before
    mock_cpu = mock.cpu() - mock_cpu_before
    others = busy - busy_before - gateway_cpu - mock_cpu - (own_cpu() - own_before)
    stats = mock.stats()

    result = {
        "errors": 1,
        "error_kinds": {},
        "seconds": round(seconds, 2),
        "cpu_user_s": round(user - user_before, 3),
        "cpu_system_s": round(system - system_before, 3),
        "cpu_share": round(gateway_cpu / seconds, 3),
        "mock_cpu_s": round(mock_cpu, 2),
        "others_cpu": round(others / seconds, 3),
        "steal_cpu": round((steal - steal_before) / seconds, 3),
        "late_events": stats["late_events"] - mock_before["late_events"],
        "upstream_connections": stats["connections"] - mock_before["connections"],
        "memory": contender.memory(),
        "held": held,
    }
    try:
        load = json.loads(output)
    except ValueError:
        result["error_kinds"] = {f"gwload failed: {complaints.strip()[-300:]}": 1}
        return result

    errors = dict(load["error_kinds"])
    missing_credentials = stats["missing_auth"] - mock_before["missing_auth"]
    if missing_credentials:
        errors["credentials lost on the way upstream"] = missing_credentials
    if not load["ok"]:
        errors["no answers"] = 1
    if workload.total and load["ok"] != workload.total:
        errors["answers missing"] = workload.total - load["ok"]
    if workload.holds_streams and held.get("open_streams", 0) < workload.total:
        errors[f"only {held.get('open_streams', 0)} streams open at once"] = 1
    result.update(errors=sum(errors.values()), error_kinds=errors, load=load, per_s=load["per_s"])
    if errors:
        result["complaint"] = complaints.strip()[-500:]
    if gateway and load["ok"]:
        result["cpu_us_per_request"] = round(gateway_cpu / load["ok"] * 1e6, 2)
        if load["deltas"]:
            result["cpu_us_per_event"] = round(gateway_cpu / load["deltas"] * 1e6, 3)
    return result


def command(settings: Settings, contender: Contender, workload: Workload) -> list[str]:
    # Without a gateway its CPU is free for the load generator, which then shows how much mock and load can carry.
    load_cpu = "0" if contender.is_direct and workload.saturates else settings.load_cpu
    seconds = workload.seconds if workload.total else workload.seconds * settings.scale
    options = {
        "--mode": workload.mode,
        "--port": contender.port,
        "--path": PATH,
        "--body": settings.work / "bodies" / f"{workload.body}.json",
        "--conns": workload.connections,
        "--duration": seconds,
        "--warmup": workload.warmup * min(1, settings.scale),
        "--timeout": 60,
    }
    if workload.is_stream:
        options["--expect"] = workload.deltas
    else:
        options["--must"] = "end_turn"
    for name, value in (("--rate", workload.rate), ("--total", workload.total), ("--ramp-ms", workload.ramp_ms)):
        if value:
            options[name] = value
    words = ["taskset", "-c", load_cpu, settings.work / "gwload"]
    words += [word for option in options.items() for word in option]
    words += [word for header in contender.headers().items() for word in ("-H", ": ".join(header))]
    return [str(word) for word in words]


def watch_memory(process: subprocess.Popen, contender: Contender, mock: Mock, workload: Workload) -> dict:
    """The gateway's largest memory while all streams are open. Reading it costs the gateway time: only where needed."""
    largest: dict = {"open_streams": 0}
    while process.poll() is None:
        open_streams = mock.stats()["open_streams"]
        if open_streams < workload.total:
            largest["open_streams"] = max(largest["open_streams"], open_streams)
        else:
            sample = contender.memory()
            if sample["pss_kib"] >= largest.get("pss_kib", 0):
                largest = {**sample, "open_streams": open_streams}
        time.sleep(0.5)
    return largest


def own_cpu() -> float:
    """CPU seconds of this process and of the children that have ended."""
    return sum(os.times()[:4])
