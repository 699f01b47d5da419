"""The rules, Prometheus' and Alertmanager's own tools over them, and where each kind of alert goes."""

import os
import re
import subprocess

import pytest

import levels
from support.timing import seconds

TESTS = sorted(os.listdir(os.path.join(levels.SLO, "tests")))
# In the cases of the levels, whose samples name all that fires.
SHOWN_WITH_THE_LEVELS = {"Watchdog", "ApiDown"}


def run(*command):
    done = subprocess.run(
        command, cwd=levels.SLO, capture_output=True, text=True, timeout=seconds(300), stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_prometheus_takes_the_rules_and_its_configuration():
    said = run("promtool", "check", "rules", *levels.rule_files())
    assert said.count("SUCCESS") == len(levels.rule_files()), said
    assert f"{len(levels.rule_files())} rule files found" in run("promtool", "check", "config", "prometheus.yaml")


@pytest.mark.parametrize("name", TESTS)
def test_alerts_ring_and_stop_when_they_should(name):
    assert "SUCCESS" in run("promtool", "test", "rules", os.path.join("tests", name))


def test_every_alert_of_operation_has_a_case_in_which_it_rings_and_two_in_which_it_does_not():
    text = levels.text_of("infra/slo/tests/operation.yaml")
    rung = dict(re.findall(r'alertname="(\w+)", alertstate="firing"\}\)\n\s+exp_samples: \[(\{.*?\})\]', text))
    silent = re.findall(r'alertname="(\w+)", alertstate="firing"\}\)\n\s+exp_samples: \[\]', text)
    levels_shown = "".join(levels.text_of(f"infra/slo/tests/{name}.yaml") for name in ("levels", "days", "quiet_day"))
    for rule in levels.alerts():
        name = rule["alert"]
        if "slo" in rule["labels"] or levels.burns(rule) or name in SHOWN_WITH_THE_LEVELS:
            assert f'alertname="{name}"' in levels_shown, name
        else:
            assert f'severity="{rule["labels"]["severity"]}"' in rung[name], name
            assert silent.count(name) == 2, name


def test_burn_rates_are_the_four_of_the_document_over_the_budget_of_their_level():
    budgets = {
        rule["labels"]["slo"]: float(rule["expr"][7:-1])
        for rule in levels.rules()
        if rule.get("record") == "claude_proxy:budget"
    }
    expected = {"page": [("14.4", "1h", "5m"), ("6", "6h", "30m")], "ticket": [("3", "1d", "2h"), ("1", "3d", "6h")]}
    seen = 0
    for rule in levels.alerts():
        if not rule["alert"].endswith("Burn"):
            continue
        found = levels.burns(rule)
        assert [each[:3] for each in found] == expected[rule["labels"]["severity"]], rule["alert"]
        assert {float(budget) for *_, budget in found} == {budgets[found[0][3]]}, rule["alert"]
        seen += 1
    assert seen == 8


def test_every_alert_says_who_is_told_what_and_where_its_page_is():
    for rule in levels.alerts():
        name = rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket") or name == "Watchdog", name
        page = f"{{{{ $externalLabels.runbooks }}}}/{levels.PAGES}#{levels.anchor(name)}"
        assert rule["annotations"]["runbook_url"] == page
        assert rule["annotations"]["summary"]


def test_every_metric_of_a_rule_is_told_by_the_sources():
    """A gateway is asked in dashboards_test.py; some need TLS, a defect or a fault to be there."""
    sources = ""
    for folder, _, names in os.walk(os.path.join(levels.ROOT, "src")):
        for name in names:
            if name.endswith(".cpp") and not name.endswith("_test.cpp"):
                sources += levels.text_of(os.path.join(folder, name))
    known = set(re.findall(r'"(?:claude_proxy_)?([a-z0-9_]+)"', sources))
    for rule in levels.rules():
        for metric in levels.metrics_in(rule["expr"]):
            assert metric.removeprefix("claude_proxy_") in known, (metric, rule)


def test_alertmanager_takes_its_configuration_and_holds_no_secret():
    assert "SUCCESS" in run("amtool", "check-config", "alertmanager.yaml")
    text = levels.text_of("infra/slo/alertmanager.yaml")
    for setting in ("routing_key", "slack_api_url", "credentials"):
        assert re.search(rf"\b{setting}_file: /etc/alertmanager/secrets/\w+$", text, re.M), setting
        assert not re.search(rf"\b{setting}: ", text), setting


@pytest.mark.parametrize(
    "labels, receiver",
    [
        (("alertname=AvailabilityBurn", "severity=page", "environment=prod", "slo=availability"), "on_call"),
        (("alertname=ApiDown", "severity=page", "environment=prod"), "on_call"),
        (("alertname=ApiDown", "severity=page", "environment=staging"), "tickets"),
        (("alertname=AvailabilityBurn", "severity=ticket", "environment=prod"), "tickets"),
        (("alertname=DeadJobs", "severity=ticket", "environment=prod"), "tickets"),
        (("alertname=Watchdog", "severity=none", "environment=prod"), "heartbeat"),
        (("alertname=Watchdog", "severity=none", "environment=staging"), "heartbeat"),
        (("alertname=SomethingNew", "environment=prod"), "tickets"),
    ],
)
def test_alerts_go_to_whom_they_should(labels, receiver):
    routes = ("amtool", "config", "routes", "test", "--config.file=alertmanager.yaml")
    assert run(*routes, f"--verify.receivers={receiver}", *labels).split()[0] == receiver


def test_what_is_held_back_are_alerts_that_exist():
    text = levels.text_of("infra/slo/alertmanager.yaml")
    names = levels.alert_names()
    sources = re.findall(r'source_matchers: \[alertname = "(\w+)"\]', text)
    assert len(sources) >= 6 and set(sources) <= set(names)
    for pattern in re.findall(r'alertname =~ "([^"]+)"', text):
        for part in re.split(r"\|(?![^(]*\))", pattern):
            held = [name for name in names if re.fullmatch(part, name)]
            assert held, f"{part} holds nothing back"
            assert not set(held) & {"Watchdog", "ApiDown", "DatabaseAway", "UpstreamAway"}, part
