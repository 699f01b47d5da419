"""infra/terraform without any cloud: format, validity, tests with the mock provider, what it says of the gateway."""

import os
import re
import shutil
import subprocess

import cloud
import pytest
from conftest import skip_loudly


def text_of(path):
    with open(os.path.join(cloud.ROOT, path), encoding="utf-8") as file:
        return file.read()


def terraform_text():
    found = []
    for folder, _, files in os.walk(cloud.TERRAFORM):
        if ".terraform" not in folder:
            found += [text_of(os.path.join(folder, name)) for name in sorted(files) if name.endswith(".tf")]
    return "\n".join(found)


def test_everything_is_formatted():
    why = cloud.why_no_terraform()
    if why:
        skip_loudly(why)
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", "-diff", "-no-color"],
        cwd=cloud.TERRAFORM,
        env={**os.environ, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_configuration_is_valid(terraform):
    terraform.good("terraform", "validate", "-no-color")


def test_the_bootstrap_is_valid(terraform, mirror):
    assert mirror
    data = {"TF_DATA_DIR": terraform.folder + "/data-bootstrap"}
    terraform.good("terraform", "-chdir=bootstrap", "init", "-input=false", "-no-color", **data)
    terraform.good("terraform", "-chdir=bootstrap", "validate", "-no-color", **data)


def test_terraforms_own_tests_pass(terraform):
    said = terraform.good("terraform", "test", "-no-color", seconds_max=600)
    counted = re.search(r"(\d+) passed, 0 failed(?:, (\d+) skipped)?", said)
    assert counted and int(counted[1]) >= 15 and not counted[2], said


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_placeholders_end_everything_before_terraform_starts(environment, tmp_path):
    done = subprocess.run(
        [os.path.join(cloud.ROOT, "infra/scripts/tf.sh"), environment, "plan"],
        env={**os.environ, "TF_DATA_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    if not shutil.which("terraform"):
        skip_loudly("terraform is not installed: nothing of infra/terraform was checked")
    assert done.returncode == 2
    for word in ("REPLACE-region", "REPLACE-bucket", "REPLACE.example.com", "REPLACE-account", "REPLACE@example.com"):
        assert word in done.stdout
    assert not os.listdir(tmp_path), "terraform was started"


def test_placeholders_stand_in_the_settings_files_only():
    for folder, _, files in os.walk(os.path.join(cloud.ROOT, "infra")):
        for name in files:
            path = os.path.join(folder, name)
            if ".terraform" in folder or name == "settings.tfvars" or not name.endswith((".tf", ".tfvars", ".json")):
                continue
            left = [line for line in text_of(path).split("\n") if re.search(r"REPLACE[-.@]", line)]
            assert not left, f"{path}: {left}"


def test_no_account_is_named():
    named = set(re.findall(r"\b\d{12}\b", terraform_text()))
    assert not named, "an account's number belongs into settings.tfvars"


def test_every_setting_of_a_task_exists():
    known = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]+)=", text_of(".env.example"), re.M))
    tasks = text_of("infra/terraform/modules/ecs/main.tf")
    given = set(re.findall(r"^\s+([A-Z][A-Z0-9_]{3,})\s+= ", tasks, re.M))
    given |= set(re.findall(r"settings = \{ ([A-Z][A-Z0-9_]+)", tasks))
    assert "CLAUDE_PROXY_DRAIN_TIMEOUT" in given and "CLAUDE_PROXY_JOBS_CONCURRENCY" in given
    assert not given - known, "not in .env.example"


def test_every_word_of_a_task_exists():
    commands = text_of("src/app/commands.cpp") + text_of("src/app/migrate.cpp")
    tasks = text_of("infra/terraform/modules/ecs/main.tf")
    lists = re.findall(r"command\s+= \[([^\]]*)\]", tasks)
    words = [word for each in lists for word in re.findall(r'"([^"]+)"', each)]
    words = [word for word in words if word not in ("CMD", "claude-proxy")]  # of the health check
    assert sorted(words) == ["--with-queue", "migrate", "probe", "serve", "worker"]
    for word in words:
        assert f'"{word}"' in commands, word  # as CLI11 is told it


def test_the_queue_is_the_one_that_migrate_would_make():
    made = text_of("src/queue/sqs_create.cpp")
    queue = text_of("infra/terraform/modules/sqs/main.tf")
    assert "dead_kept_for{1'209'600}" in made and "message_retention_seconds = 1209600" in queue
    assert "waits_for{20}" in made and re.search(r"receive_wait_time_seconds\s+= 20", queue)
    assert '"-dead"' in text_of("src/queue/sqs_address.cpp") and '"${var.name}-jobs-dead"' in queue


def test_own_failures_are_the_reasons_that_the_manual_calls_ours():
    rows = re.findall(r"^\| `(\w+)` \| \d+ \| `\w+` \| ours \|", text_of("docs/operations.md"), re.M)
    alarm = text_of("infra/terraform/modules/observability/main.tf")
    listed = re.findall(r'"(\w+)"', re.search(r"own_reasons = \[(.*?)\]", alarm, re.S)[1])
    assert sorted(rows) == sorted(listed)


def test_events_that_are_counted_are_events_of_the_log():
    manual = text_of("docs/operations.md")
    alarm = text_of("infra/terraform/modules/observability/main.tf")
    events = set(re.findall(r'\$\.event = \\"(\w+)\\"', alarm))
    assert {"request", "ledger_trouble"} <= events
    for event in events:
        assert f"`{event}`" in manual, event
    assert "`overhead_ms`" in manual


def test_scripts_are_clean():
    scripts = sorted(
        os.path.join(cloud.ROOT, "infra/scripts", name)
        for name in os.listdir(os.path.join(cloud.ROOT, "infra/scripts"))
        if name.endswith(".sh")
    )
    assert scripts
    scripts.append(os.path.join(cloud.ROOT, "infra/slo/targets.sh"))
    command = ["shellcheck", "-x", *scripts]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
