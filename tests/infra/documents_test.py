"""The AWS CLI's commands in the documents are commands that it has, with parameters that they have."""

import glob
import os
import re
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GLOBAL = {"--region", "--output", "--query", "--endpoint-url", "--profile", "--cli-input-json", "--max-items"}
# What the CLI has beyond the services' operations, or adds to one of them.
ADDED = {
    ("logs", "tail"): {"--since", "--follow", "--format", "--filter-pattern", "--log-stream-name-prefix"},
    ("ecr", "get-login-password"): set(),
    ("ec2", "authorize-security-group-ingress"): {"--protocol", "--port", "--cidr"},
    ("ec2", "revoke-security-group-ingress"): {"--protocol", "--port", "--cidr"},
}


def commands(text):
    """(service, operation, parameters) of each command in code of a document."""
    sys.path[:0] = [path for path in (os.path.join(ROOT, "tests/docs"),) if path not in sys.path]
    from markdown import Document  # pylint: disable=import-outside-toplevel

    for _, code in Document("", text).code:
        code = re.sub(r"\\\n\s*|(?<=')[^']*\n[^']*(?=')", " ", code)
        for match in re.finditer(r"(?:^|[\s($])aws ((?:[a-z0-9-]+) (?:[a-z0-9-]+)(?: [^\n|;&)>]*)?)", code):
            words = match[1].split()
            yield words[0], words[1], words[2:]


def problems(service, operation, rest, session):
    import botocore  # pylint: disable=import-outside-toplevel

    if service not in session.get_available_services():
        return [f"aws has no service {service}"]
    model = session.get_service_model(service)
    known = {botocore.xform_name(name, "-"): name for name in model.operation_names}
    allowed = GLOBAL | ADDED.get((service, operation), set())
    if operation == "wait":
        waiters = {botocore.xform_name(name, "-"): name for name in session.get_waiter_model(service).waiter_names}
        if not rest or rest[0] not in waiters:
            return [f"aws {service} wait has no {rest[:1]}"]
        operation = botocore.xform_name(session.get_waiter_model(service).get_waiter(waiters[rest[0]]).operation, "-")
    if operation in known:
        shape = model.operation_model(known[operation]).input_shape
        allowed |= {"--" + botocore.xform_name(name, "-") for name in (shape.members if shape else ())}
    elif (service, operation) not in ADDED:
        return [f"aws {service} has no {operation}"]
    flags = [word for word in rest if re.fullmatch(r"--[a-z-]+", word)]
    return [f"aws {service} {operation} has no {flag}" for flag in flags if flag not in allowed]


@pytest.fixture(scope="module")
def session():
    import botocore.session  # pylint: disable=import-outside-toplevel

    return botocore.session.get_session()


def test_the_documents_call_what_there_is(session):
    seen, wrong = 0, []
    paths = glob.glob("docs/*.md", root_dir=ROOT) + glob.glob("infra/**/*.md", root_dir=ROOT, recursive=True)
    for path in sorted(paths):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            for command in commands(file.read()):
                seen += 1
                wrong += [f"{path}: {each}" for each in problems(*command, session)]
    assert seen >= 15 and not wrong, f"{seen} commands\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("aws ecs list-tasks --cluster a --service-name b", []),
        ("x=$(aws ecs wait tasks-stopped --cluster a --tasks b)", []),
        ("aws logs tail g --since 5m", []),
        ("aws ecs list-tasks --service b", ["aws ecs list-tasks has no --service"]),
        ("aws ecs show-tasks", ["aws ecs has no show-tasks"]),
        ("aws ecz list-tasks", ["aws has no service ecz"]),
        ("aws ecs wait tasks-gone", ["aws ecs wait has no ['tasks-gone']"]),
    ],
)
def test_a_wrong_command_is_found(code, says, session):
    (command,) = commands(f"```sh\n{code}\n```\n")
    assert problems(*command, session) == says
