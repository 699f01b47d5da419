"""Amazon's commands in the on-call pages and SLO_AND_ALERTS.md: each operation and option is one that Amazon has."""

import os
import re

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
