"""SLO_AND_ALERTS.md and ONCALL_AND_ESCALATION.md say what the rules and Terraform say, and every alert has its page."""

import os
import re
import subprocess

import pytest

import levels
from support.gateway import PROXY
from support.timing import seconds

TABLE_HEAD = "| alert | severity | after | when |"
CLOUD_HEAD = "| alarm | says | when |"


def table(text, head):
    rows = text.split(head + "\n")[1].split("\n\n")[0].splitlines()
    return rows[1:]


def test_the_table_of_alerts_is_that_of_the_rules():
    assert table(levels.text_of(levels.LEVELS), TABLE_HEAD) == [levels.alert_row(rule) for rule in levels.alerts()]


def test_the_table_of_alarms_is_that_of_terraform():
    rows = levels.cloud_rows()
    source = levels.text_of("infra/terraform/modules/observability/alarms.tf")
    assert len(rows) == len(re.findall(r'\bsays = "', source)) + source.count('"aws_cloudwatch_metric_alarm"') - 1
    assert table(levels.text_of(levels.LEVELS), CLOUD_HEAD) == rows


def test_no_alarm_of_terraform_is_elsewhere_but_the_one_that_scales():
    found = []
    for folder, _, names in os.walk(os.path.join(levels.ROOT, "infra/terraform")):
        for name in sorted(names):
            if name.endswith(".tf"):
                path = os.path.relpath(os.path.join(folder, name), levels.ROOT)
                found += [path] * levels.text_of(path).count('resource "aws_cloudwatch_metric_alarm"')
    assert sorted(found) == ["infra/terraform/modules/ecs/autoscaling.tf"] + [
        "infra/terraform/modules/observability/alarms.tf"
    ] * 3


def test_every_alert_and_alarm_has_its_page_and_every_page_its_alert():
    assert sorted(levels.pages()) == sorted([*levels.alert_names(), *levels.cloud_alarms(), *levels.cloud_events()])


def test_the_rules_of_eventbridge_are_told():
    assert levels.cloud_events()
    for name, says in levels.cloud_events().items():
        row = f"| [{name}](../../{levels.PAGES}#{name}) | {says} |"
        assert row in levels.text_of(levels.LEVELS)


@pytest.mark.parametrize("name", sorted(levels.pages()))
def test_a_page_says_all_that_is_needed_at_night(name):
    page = levels.pages()[name]
    for word in ("Means", "Impact", "Over", "Escalate"):
        assert re.search(rf"^- \*\*{word}\*\* \w", page, re.M) or re.search(rf"^- \*\*{word}\*\* `", page, re.M), word
    if name in levels.alert_names():
        told = "; ".join(f"{rule['labels']['severity']}, after {rule['for']}" for rule in levels.alerts() if
                         rule["alert"] == name)  # fmt: skip
        assert page.strip().splitlines()[0] == told
        assert "```sh\n" in page, "no first commands"


def test_numbers_of_the_levels_are_those_of_the_rules():
    text = levels.text_of(levels.LEVELS)
    budgets = {
        rule["labels"]["slo"]: float(rule["expr"][7:-1])
        for rule in levels.rules()
        if rule.get("record") == "claude_proxy:budget"
    }
    for slo, budget in budgets.items():
        row = re.search(rf"^\| `{slo}` \|.*$", text, re.M)[0]
        assert f"{budget:.1%}".replace(".0%", "%").replace("%", " %") in row, row
        if minutes := re.search(r": ([\d.]+) minutes", row):
            assert float(minutes[1]) == pytest.approx(budget * 30 * 24 * 60)
    for rule in levels.rules():
        if rule.get("record") == "claude_proxy:bad" and rule["labels"]["slo"] in ("added_latency", "job_start"):
            bound = {"added_latency": "> bool 0.5)", "job_start": 'le="60"'}[rule["labels"]["slo"]]
            assert bound in rule["expr"]
    for promise in ("below 500 ms", "below 25 ms", "within 60 s"):
        assert promise in text


def test_queries_of_the_table_are_those_that_are_recorded():
    text = levels.text_of(levels.LEVELS)
    recorded = {}
    for rule in levels.rules():
        if rule.get("record") in ("claude_proxy:counted", "claude_proxy:bad"):
            recorded[rule["record"], rule["labels"]["slo"]] = " ".join(rule["expr"].split())
    rows = table(text, "| level | counted | bad |")
    assert len(rows) == 5
    for row in rows:
        slo, counted, bad = re.findall(r"`([^`]+)`", row)
        assert counted == recorded["claude_proxy:counted", slo]
        assert bad.replace("\\|", "|") == recorded["claude_proxy:bad", slo]


@pytest.mark.parametrize("path", [levels.LEVELS, levels.PAGES])
def test_commands_are_shell(path):
    blocks = levels.shell_blocks(path)
    assert blocks
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=seconds(20))
        assert done.returncode == 0, done.stderr + block


def test_metrics_that_are_grepped_for_exist():
    """`metrics 'a|b.*c'`: each begins as some metric does."""
    manual = set(re.findall(r"claude_proxy_([a-z0-9_]+)", levels.text_of("docs/operations.md")))
    asked = 0
    for block in levels.shell_blocks(levels.PAGES):
        for pattern in re.findall(r"^metrics '([^']+)'", block, re.M):
            for part in re.split(r"\|(?![^(]*\))", pattern):
                begin = re.match(r"[a-z0-9_]*", part)[0]
                assert any(name.startswith(begin) or begin.startswith(name) for name in manual), part
                asked += 1
    assert asked > 50


def test_events_that_are_asked_for_are_events_of_the_log():
    sources = ""
    for folder, _, names in os.walk(os.path.join(levels.ROOT, "src")):
        for name in names:
            if name.endswith(".cpp") and not name.endswith("_test.cpp"):
                sources += levels.text_of(os.path.join(folder, name))
    known = set(re.findall(r'"([a-z_]+)"', sources))
    for event in re.findall(r'\$\.event = "([a-z_*]+)"', levels.text_of(levels.PAGES)):
        pattern = re.compile(event.replace("*", "[a-z_]+"))
        assert any(pattern.fullmatch(name) for name in known), event


def words_of_ours():
    found = set()
    for block in levels.shell_blocks(levels.PAGES):
        for line in block.splitlines():
            if match := re.match(r"claude-proxy ((?:[a-z-]+ ?)+)", line):
                found.add(match[1].strip())
    found |= set(re.findall(r"`claude-proxy ((?:[a-z-]+ )*[a-z-]+)", levels.text_of(levels.PAGES)))
    return sorted(found)


@pytest.mark.parametrize("words", words_of_ours())
def test_words_of_the_command_line_exist(words):
    asked = [word for word in words.split() if not word.startswith("-")]
    done = subprocess.run([PROXY, *asked, "--help"], capture_output=True, text=True, timeout=seconds(20))
    assert done.returncode == 0 and "--help" in done.stdout, done.stdout + done.stderr


def test_scripts_that_are_named_are_there():
    for path in (levels.LEVELS, levels.PAGES):
        for script in re.findall(r"infra/scripts/\w+\.sh", levels.text_of(path)):
            assert os.access(os.path.join(levels.ROOT, script), os.X_OK), script
