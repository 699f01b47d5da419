"""The queue from the command line: `migrate --with-queue` makes it, `doctor` looks at it."""

import json
import subprocess

from support.gateway import PROXY, environment
from support.servers import Sqs


def run(folder, *words, **settings):
    """What it printed as JSON, and how it ended."""
    values = environment(
        {"ANTHROPIC_API_KEY": "sk-ant-x", "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:1", **settings}
    )
    command = [PROXY, *words, "--json"]
    done = subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True, timeout=60, check=False)
    return (json.loads(done.stdout) if done.stdout else None), done


def queue_check(folder, **settings):
    checks, done = run(folder, "doctor", **settings)
    assert "hunter2" not in done.stdout + done.stderr
    return next(check for check in checks if check["check"] == "queue")


def test_the_embedded_queue_needs_nothing(tmp_path):
    assert queue_check(tmp_path)["result"] == "ok"
    told, done = run(tmp_path, "migrate", "--with-queue")
    assert (done.returncode, told["queue"]) == (0, [])


def test_an_sqs_queue_is_made_and_found(tmp_path):
    with Sqs() as sqs:
        settings = {
            "QUEUE_URL": "jobs", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_SQS": sqs.url, "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
        }  # fmt: skip
        missing = queue_check(tmp_path, **settings)
        assert missing["result"] == "fail" and "migrate --with-queue" in missing["text"]
        told, done = run(tmp_path, "migrate", "--with-queue", **settings)
        assert (done.returncode, len(told["queue"])) == (0, 2), done.stderr
        told, done = run(tmp_path, "migrate", "--with-queue", **settings)
        assert told["queue"] == ["The queue jobs is there; after 10 receives a message goes to jobs-dead."]
        assert "queue" not in run(tmp_path, "migrate", **settings)[0]
        found = queue_check(tmp_path, **settings)
        assert found["result"] == "ok" and "0 messages wait" in found["text"]
        sqs.stop("kill")
        away = queue_check(tmp_path, **settings)
        assert away["result"] == "warn" and "no answer" in away["text"]
        told, done = run(tmp_path, "migrate", "--with-queue", **settings)
        assert done.returncode == 1 and "QUEUE_URL" in done.stderr and "hunter2" not in done.stderr
        assert told["applied"] == [] and "queue" not in told, "the database was done all the same"


def test_a_queue_that_cannot_be_is_told(tmp_path):
    check = queue_check(tmp_path, QUEUE_URL="jobs.fifo", AWS_REGION="eu-west-1")
    assert check["result"] == "fail" and "QUEUE_URL" in check["text"] and check["cure"]
    check = queue_check(tmp_path, QUEUE_URL="jobs", AWS_EC2_METADATA_DISABLED="true", AWS_REGION="eu-west-1")
    assert check["result"] == "fail" and "AWS_ACCESS_KEY_ID" in check["text"]
