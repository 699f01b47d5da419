""".ci/run with another `make`: its last line counts both commands, and what did not count itself has failed."""

import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Writes what the real commands write, and ends as they end; "none" is one that broke before it could count.
MAKE = """#!/bin/sh
case $1 in test) said=$SAID_TEST name=release ;; infra-test) said=$SAID_INFRA name=infra ;; esac
[ "$said" != none ] || exit 2
mkdir -p build/test
echo "$said" | tee build/test/$name.summary
[ "${said#*, }" = "0 failed" ]
"""


@pytest.mark.parametrize(
    "suites, infra, last, code",
    [
        ("10 passed, 0 failed", "5 passed, 0 failed", "15 passed, 0 failed", 0),
        ("10 passed, 1 failed", "5 passed, 0 failed", "15 passed, 1 failed", 1),
        ("10 passed, 0 failed", "5 passed, 2 failed", "15 passed, 2 failed", 1),
        ("none", "5 passed, 0 failed", "5 passed, 1 failed", 1),
        ("10 passed, 0 failed", "none", "10 passed, 1 failed", 1),
    ],
)
def test_the_last_line_counts_both_commands(tmp_path, suites, infra, last, code):
    os.makedirs(tmp_path / ".ci")
    os.makedirs(tmp_path / "build/test")
    shutil.copy(os.path.join(ROOT, ".ci/run"), tmp_path / ".ci/run")
    for name in ("release", "infra"):  # of an earlier run
        (tmp_path / f"build/test/{name}.summary").write_text("99 passed, 0 failed\n")
    (tmp_path / "make").write_text(MAKE)
    (tmp_path / "make").chmod(0o755)
    values = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SAID_TEST": suites, "SAID_INFRA": infra}
    done = subprocess.run(
        [tmp_path / ".ci/run"], env=values, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == last, done.stdout + done.stderr
    assert done.returncode == code
