#!/usr/bin/env python3
"""Runs tests/infra in lanes side by side and counts what their reports say. Called by tools/infra_test.sh.

    tools/run_infra.py [arguments of pytest]

What could not run here is told at the end, line by line, and is neither passed nor failed. The last line is
`N passed, N failed`. Arguments choose tests: then there is one lane, and all that it says is shown.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import time

from run_suites import LOG_LINES_SHOWN, REPORTS, ROOT, Counts, count_junit, run, summarise

sys.path.insert(0, os.path.join(ROOT, "tests/infra"))

import cloud  # noqa: E402

SECONDS_MAX = int(os.environ.get("INFRA_SECONDS_MAX", "1500"))
PYTEST = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
# Each lane keeps one of two cores busy. The scripts alone start the AWS CLI hundreds of times.
SCRIPTS = "tests/infra/scripts_test.py"
LANES = {"infra-scripts": [SCRIPTS], "infra-rest": ["tests/infra", f"--ignore={SCRIPTS}"]}


def run_lane(name, words):
    report, log_path = (os.path.join(REPORTS, f"{name}.{kind}") for kind in ("report", "log"))
    if os.path.exists(report):
        os.remove(report)
    began = time.monotonic()
    code = run([*PYTEST, f"--junitxml={report}", *words], log_path, SECONDS_MAX, dict(os.environ))
    with open(log_path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    trouble = "" if code is not None else f"did not end within {SECONDS_MAX} s"
    try:
        counts = count_junit(report, log)
    except (OSError, SyntaxError) as problem:
        counts, trouble = Counts(), trouble or f"left no readable report, exit code {code} ({problem})"
    if not trouble and code != 0 and counts.failed == 0:
        trouble = f"exit code {code}"
    if not trouble and sum(counts) == 0:
        trouble = "no tests"
    if trouble:
        counts = counts._replace(failed=counts.failed + 1)
    if counts.failed:
        print("\n".join("  | " + line for line in log.splitlines()[-LOG_LINES_SHOWN:]))
    print(
        f"test: {name}: {counts.passed} passed, {counts.failed} failed, {counts.skipped} not checked here"
        f" in {time.monotonic() - began:.1f} s{' (' + trouble + ')' if trouble else ''}",
        flush=True,
    )
    return counts, re.findall(r"^NOT CHECKED HERE: .*$", log, re.M)


def main():
    if sys.argv[1:]:
        return subprocess.run([*PYTEST, *sys.argv[1:]], cwd=ROOT, timeout=SECONDS_MAX, check=False).returncode
    os.makedirs(REPORTS, exist_ok=True)
    # Looked for once, not by each lane: it may be anywhere on the disk.
    os.environ["TF_PLUGIN_MIRROR"] = cloud.find_mirror() or ""
    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as lanes:
        done = list(lanes.map(lambda lane: run_lane(*lane), LANES.items()))
    for line in sorted({line for _, missing in done for line in missing}):
        print(f"test: {line}")
    skipped = sum(counts.skipped for counts, _ in done)
    if skipped:
        print(f"test: {skipped} tests of infra/ did NOT run here, which is no pass")
    summarise("infra", sum(counts.passed for counts, _ in done), failed := sum(counts.failed for counts, _ in done))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
