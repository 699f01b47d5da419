"""Amazon's commands in the on-call pages and SLO_AND_ALERTS.md: each operation and option is one that Amazon has; and
what some of them do, with a stand-in for aws."""

import glob
import os
import re
import subprocess
import textwrap

import botocore.session
import cloud

DOCUMENTS = ("docs/ONCALL_AND_ESCALATION.md", "infra/slo/SLO_AND_ALERTS.md")
# Of the CLI itself.
COMMON = {"output", "query", "region", "max-items"}


def commands():
    found = []
    for path in DOCUMENTS:
        with open(os.path.join(cloud.ROOT, path), encoding="utf-8") as file:
            text = file.read().replace("\\\n", " ")
        for block in re.findall(r"^ *```sh[^\n]*\n(.*?)^ *```", text, re.M | re.S):
            block = re.sub(r"'[^']*'", "VALUE", block, flags=re.S)
            for line in block.splitlines():
                for match in re.finditer(r"\baws ([a-z0-9-]+) ([a-z0-9-]+)([^|;)]*)", line):
                    options = re.findall(r"--([a-z-]+)", match[3])
                    found.append((match[1], match[2], tuple(options)))
    return sorted(set(found))


def test_amazons_commands_exist():
    session = botocore.session.get_session()
    asked = commands()
    assert len(asked) > 10
    for service, operation, options in asked:
        model = session.get_service_model(service)
        names = {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): name for name in model.operation_names}
        assert operation in names, f"aws {service} {operation}"
        members = model.operation_model(names[operation]).input_shape.members
        known = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower() for name in members} | COMMON
        assert set(options) <= known, (service, operation, set(options) - known)


def run_block(tmp_path, document, part, after):
    """The fenced block of a document with `part` in it, then `after`, with a stand-in for aws: what it printed, and the
    commands that it was given."""
    with open(os.path.join(cloud.ROOT, document), encoding="utf-8") as file:
        blocks = re.findall(r"^( *)```sh[^\n]*\n(.*?)^ *```", file.read(), re.M | re.S)
    (block,) = [textwrap.dedent(text) for _, text in blocks if part in text]
    log = tmp_path / "calls.txt"
    (tmp_path / "aws").write_text(
        f"""#!/usr/bin/env bash
echo "$*" >>"{log}"
if [[ $* == *filter-log-events*text* ]]; then seq -s '\t' 30; fi
if [[ $* == *filter-log-events*json* ]]; then seq 30 | jq -s 'map(tostring)'; fi
""",
        encoding="utf-8",
    )
    (tmp_path / "aws").chmod(0o755)
    environment = {**os.environ, "PATH": str(tmp_path) + os.pathsep + os.environ["PATH"]}
    command = ["bash", "-c", block + after]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, log.read_text(encoding="utf-8").splitlines()


def test_errors_shows_the_last_twenty_lines(tmp_path):
    said, _ = run_block(tmp_path, "docs/ONCALL_AND_ESCALATION.md", "errors() {", "errors pattern\n")
    assert said.splitlines()[-20:] == [str(i) for i in range(11, 31)] and "10" not in said.splitlines()


def test_no_document_asks_for_messages_as_text():
    """One line with tabs: nobody can read it, and no tail cuts it."""
    for path in glob.glob("docs/*.md", root_dir=cloud.ROOT):
        with open(os.path.join(cloud.ROOT, path), encoding="utf-8") as file:
            assert not re.search(r"events\[\]\.message' --output text", file.read()), path


def test_a_restore_begins_with_nothing_that_runs(tmp_path):
    _, calls = run_block(tmp_path, "docs/OPERATIONAL_RUNBOOK_FULL.md", "DynamicScalingInSuspended=true", "")
    for service in ("claude-proxy-api", "claude-proxy-worker"):
        assert any("register-scalable-target" in call and f"claude-proxy/{service} " in call for call in calls), service
        assert any(f"--service {service} --desired-count 0" in call for call in calls), service
