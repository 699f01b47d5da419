#!/usr/bin/env python3
"""Runs the test suites against one build and counts what their own reports say.

    tools/run_suites.py PRESET [SUITE ...]

The last line is `N passed, N failed`; the exit code is 0 only when nothing failed. A skipped test counts as failed, and
so does a suite that crashes, hangs or has no tests. Logs and reports go to build/test/, the last line to PRESET.summary
there.
"""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPORTS = os.path.join(ROOT, "build/test")
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml={report}"]
SYMBOLIZER = "external_symbolizer_path=/usr/lib/llvm-19/bin/llvm-symbolizer"
LOG_LINES_SHOWN = 120

# How much longer waits may take under a sanitizer (tests/support/timing.py).
TIME_SCALE = {"release": "1", "dev": "3", "tsan": "5"}


class Counts(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0


class Suite(NamedTuple):
    name: str
    command: list  # {build} and {report} are filled in
    count: object  # function of (report path, log text) to Counts
    seconds_max: int
    sanitized: bool = False  # also runs under the sanitizers


def count_junit(report, _):
    """pytest's --junitxml."""
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed += 1
        elif "skipped" in outcomes:
            skipped += 1
        else:
            passed += 1
    return Counts(passed, failed, skipped)


def count_gtest(report, _):
    """GoogleTest's --gtest_output=json."""
    passed = failed = skipped = 0
    with open(report, encoding="utf-8") as file:
        cases = [case for suite in json.load(file)["testsuites"] for case in suite["testsuite"]]
    for case in cases:
        if case.get("failures"):
            failed += 1
        elif case["result"] == "COMPLETED":
            passed += 1
        else:  # SKIPPED, SUPPRESSED (disabled)
            skipped += 1
    return Counts(passed, failed, skipped)


def count_tap(report, _):
    """The summary of node's TAP reporter."""
    with open(report, encoding="utf-8") as file:
        numbers = dict(re.findall(r"^# (tests|pass|fail|cancelled|skipped|todo) (\d+)$", file.read(), re.M))
    number = {word: int(numbers[word]) for word in ("pass", "fail", "cancelled", "skipped", "todo")}
    return Counts(number["pass"], number["fail"] + number["cancelled"], number["skipped"] + number["todo"])


def count_tidy(_, log):
    """The last line of tools/tidy; one rule is one check."""
    kept, broken = re.search(r"^tidy: (\d+) rules kept, (\d+) broken", log, re.M).groups()
    return Counts(int(kept), int(broken))


NODE = ["node", "--test", "--test-reporter=spec", "--test-reporter-destination=stdout"]
NODE += ["--test-reporter=tap", "--test-reporter-destination={report}"]
CONTRACT = ["{build}/contract_tests", "--gtest_brief=1", "--gtest_output=json:{report}"]
SUITES = [
    Suite("tidy", ["tools/tidy"], count_tidy, 120),
    Suite("tools", [*PYTEST, "tools/"], count_junit, 300),
    Suite("docs", [*PYTEST, "tests/docs"], count_junit, 300),
    Suite("unit", ["{build}/unit_tests", "--gtest_brief=1", "--gtest_output=json:{report}"], count_gtest, 300, True),
    Suite("contract", ["tools/with_servers", *CONTRACT], count_gtest, 1200, True),
    Suite("integration", [*PYTEST, "tests/integration"], count_junit, 1200, True),
    Suite("e2e", [*PYTEST, "tests/e2e"], count_junit, 1500),
    Suite("slo", [*PYTEST, "tests/slo"], count_junit, 600),
    Suite("sdk", [*NODE, *sorted(glob.glob("tests/sdk/*.test.mjs", root_dir=ROOT))], count_tap, 600),
]


def environment(preset, build):
    """Ours without settings of a gateway: the tests make their own."""
    values = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE_PROXY_", "ANTHROPIC_"))}
    for name in ("LOG_LEVEL", "LOG_FORMAT"):
        values.pop(name, None)
    values["PATH"] = os.path.join(ROOT, "build/node/bin") + ":" + values["PATH"]  # tools/setup.sh: a newer node
    values["CLAUDE_PROXY_BIN"] = os.path.join(build, "claude-proxy")
    values["CLAUDE_SIM_BIN"] = os.path.join(build, "claude-sim")
    values.setdefault("TEST_TIME_SCALE", TIME_SCALE.get(preset, "1"))
    values.setdefault("ASAN_OPTIONS", f"quarantine_size_mb=8:{SYMBOLIZER}")
    values.setdefault("UBSAN_OPTIONS", f"print_stacktrace=1:{SYMBOLIZER}")
    values.setdefault("TSAN_OPTIONS", f"second_deadlock_stack=1:{SYMBOLIZER}")
    return values


def run(command, log_path, seconds_max, values):
    """The exit code, or None when the time was over. What the suite started ends with it."""
    with open(log_path, "wb") as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=values,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as problem:
            log.write(f"{command[0]}: {problem}\n".encode())
            return 127
        try:
            return process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def run_suite(suite, preset, build, values):
    report = os.path.join(REPORTS, f"{preset}-{suite.name}.report")
    log_path = os.path.join(REPORTS, f"{preset}-{suite.name}.log")
    if os.path.exists(report):
        os.remove(report)
    print(f"test: {suite.name} ...", flush=True)
    began = time.monotonic()
    scale = max(1.0, float(values["TEST_TIME_SCALE"]))
    command = [part.format(build=build, report=report) for part in suite.command]
    code = run(command, log_path, suite.seconds_max * scale, values)
    with open(log_path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    trouble = "" if code is not None else f"did not end within {suite.seconds_max * scale:.0f} s"
    try:
        counts = suite.count(report, log)
    except (OSError, ValueError, KeyError, AttributeError, SyntaxError) as problem:
        counts = Counts()
        trouble = trouble or f"left no readable report, exit code {code} ({problem})"
    if not trouble and code != 0 and counts.failed == 0:
        trouble = f"exit code {code}"
    if not trouble and sum(counts) == 0:
        trouble = "no tests"
    if trouble:
        counts = counts._replace(failed=counts.failed + 1)
    if counts.failed or counts.skipped:
        print("\n".join("  | " + line for line in log.splitlines()[-LOG_LINES_SHOWN:]))
    skipped = f", {counts.skipped} SKIPPED" if counts.skipped else ""
    print(
        f"test: {suite.name}: {counts.passed} passed, {counts.failed} failed{skipped}"
        f" in {time.monotonic() - began:.1f} s{' (' + trouble + ')' if trouble else ''}",
        flush=True,
    )
    return counts


def summarise(name, passed, failed):
    """The last line, also for whoever adds several up (.ci/run)."""
    line = f"{passed} passed, {failed} failed"
    with open(os.path.join(REPORTS, f"{name}.summary"), "w", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line)


def main():
    preset, wanted = sys.argv[1], sys.argv[2:]
    build = os.path.join(ROOT, "build", preset)
    known = [suite.name for suite in SUITES]
    if unknown := set(wanted) - set(known):
        sys.exit(f"test: no suite {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [suite for suite in SUITES if (suite.name in wanted if wanted else preset == "release" or suite.sanitized)]
    os.makedirs(REPORTS, exist_ok=True)
    values = environment(preset, build)
    began = time.monotonic()
    total = [run_suite(suite, preset, build, values) for suite in chosen]
    failed = sum(counts.failed for counts in total)
    skipped = sum(counts.skipped for counts in total)
    print(f"test: {len(chosen)} suites in {time.monotonic() - began:.0f} s; logs are in build/test/")
    if skipped:
        print(f"test: {skipped} tests were skipped, which counts as failed")
    summarise(preset, sum(counts.passed for counts in total), failed + skipped)
    return 1 if failed + skipped else 0


if __name__ == "__main__":
    sys.exit(main())
