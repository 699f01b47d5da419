"""What infra/slo and the documents say, read for the tests; and the rows that SLO_AND_ALERTS.md must have."""

import glob
import os
import re

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLO = os.path.join(ROOT, "infra/slo")
LEVELS = "infra/slo/SLO_AND_ALERTS.md"
PAGES = "docs/ONCALL_AND_ESCALATION.md"
METRIC = re.compile(r"\b(?:claude_proxy|process)_[a-z0-9_]+\b(?!:)")
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def rule_files():
    return sorted(glob.glob(os.path.join(SLO, "rules/*.yaml")))


def rules():
    found = []
    for path in rule_files():
        with open(path, encoding="utf-8") as file:
            for group in yaml.safe_load(file)["groups"]:
                found += group["rules"]
    return found


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def alert_names():
    return list(dict.fromkeys(rule["alert"] for rule in alerts()))


def metrics_in(query):
    """Names as the gateway's metrics have them, without the suffixes of histograms; recorded ones have a colon."""
    return {SUFFIX.sub("", name) for name in METRIC.findall(query)}


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


BURN = re.compile(
    r'bad_ratio:(\w+)\{slo="(\w+)"\} > ([\d.]+) \* ([\d.]+)\s+'
    r'and claude_proxy:bad_ratio:(\w+)\{slo="\2"\} > \3 \* \4\s+and claude_proxy:bad_events:\1\{slo="\2"\} >= 10\)'
)


def burns(rule):
    """(times too fast, long window, short window, level, budget) of each pair of windows."""
    return [(times, long, short, slo, budget) for long, slo, times, budget, short in BURN.findall(rule["expr"])]


def alert_row(rule):
    name = rule["alert"]
    when = "`" + " ".join(rule["expr"].split()).replace("|", "\\|") + "`"
    if name.endswith("Burn"):
        when = " or ".join(f"{times} × {budget} ({long}, {short})" for times, long, short, _, budget in burns(rule))
        when = f"`{burns(rule)[0][3]}` burns {when}"
    link = f"[{name}](../../{PAGES}#{anchor(name)})"
    return f"| {link} | {rule['labels']['severity']} | {rule['for']} | {when} |"


def cloud_alarms():
    """Name without its prefix, what it says, when it rings: of the alarms that are for people."""
    source = text_of("infra/terraform/modules/observability/alarms.tf")
    found = {}
    line = re.compile(
        r'^\s+([a-z0-9-]+)\s+= \{ says = "([^"]+)", namespace = (?:"([^"]+)"|local\.namespace), metric = "(\w+)",'
        r' stat = "(\w+)", op = "([<>])", threshold = (\d+), periods = (\d+), .*missing = "(\w+)" \}$',
        re.M,
    )
    for name, says, _, metric, stat, op, threshold, periods, missing in line.findall(source):
        down = ", no data rings too" if missing == "breaching" else ""
        found[name] = (says, f"`{metric}` {stat} {op} {threshold} for {periods} min{down}")
    for name, says, rest in re.findall(
        r'alarm_name\s+= "\$\{var\.name\}-([a-z-]+)"\n\s+alarm_description\s+= "([^"]+)"\n(.*?)\n\}', source, re.S
    ):
        threshold = re.search(r"threshold\s+= (.+)", rest)[1].replace("var.oldest_seconds_max", "oldest_seconds_max")
        periods = re.search(r"evaluation_periods\s+= (\d+)", rest)[1]
        query = re.search(r'expression\s+= "(.+)"', rest)[1]
        period = int(re.search(r"period\s+= (\d+)", rest)[1]) // 60
        found[name] = (says, f"`{query}` > {threshold} for {int(periods) * period} min")
    return found


def cloud_events():
    """Rules of EventBridge that tell people: name without its prefix, and what it says."""
    source = text_of("infra/terraform/modules/observability/crashes.tf")
    return dict(re.findall(r'name\s+= "\$\{var\.name\}-([a-z-]+)"\n\s+description\s+= "([^"]+)"\n', source))


def cloud_rows():
    return [
        f"| [{name}](../../{PAGES}#{anchor(name)}) | {says} | {when} |" for name, (says, when) in cloud_alarms().items()
    ]


def pages():
    """Alert or alarm, and what its page says. Headings of the third degree."""
    found, name = {}, None
    for line in text_of(PAGES).splitlines():
        if line.startswith("### "):
            name = line[4:].strip()
            assert name not in found, f"two pages of {name}"
            found[name] = ""
        elif line.startswith("## "):
            name = None
        elif name:
            found[name] += line + "\n"
    return found


def shell_blocks(path):
    """Fenced `sh` blocks, wherever they are indented to."""
    return re.findall(r"^ *```sh[^\n]*\n(.*?)^ *```", text_of(path), re.M | re.S)
