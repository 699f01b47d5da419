"""What `doctor` says of the database, the journal and Redis, and the small limit of count_tokens."""

import json
import subprocess

from support.client import request
from support.gateway import PROXY, Gateway, environment
from support.upstream import always, answer


def doctor(folder, **settings):
    """The checks by name, and the exit code."""
    values = environment(
        {"ANTHROPIC_API_KEY": "sk-ant-x", "CLAUDE_PROXY_UPSTREAM_URL": "http://127.0.0.1:1", **settings}
    )
    command = [PROXY, "doctor", "--json"]
    done = subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True, timeout=60, check=False)
    return {check["check"]: check for check in json.loads(done.stdout)}, done.returncode


def test_doctor_makes_no_database_and_says_that_it_could(tmp_path):
    checks, _ = doctor(tmp_path)
    assert checks["database"]["result"] == "ok" and checks["journal"]["result"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_doctor_names_the_store_that_is_not_there_and_the_cure(tmp_path):
    (tmp_path / "file").write_text("")
    checks, code = doctor(
        tmp_path,
        DATABASE_URL="postgresql://someone:hunter2@127.0.0.1:1/nothing",
        REDIS_URL="redis://:hunter2@127.0.0.1:1",
        CLAUDE_PROXY_JOURNAL_DIR=str(tmp_path / "file" / "journal"),
    )
    assert code == 1
    assert checks["database"]["result"] == "fail" and "DATABASE_URL" in checks["database"]["cure"]
    assert checks["journal"]["result"] == "fail" and "CLAUDE_PROXY_JOURNAL_DIR" in checks["journal"]["cure"]
    assert checks["redis"]["result"] == "warn" and "REDIS_URL" in checks["redis"]["cure"]
    assert "hunter2" not in json.dumps(checks)


def test_count_tokens_has_a_small_limit_of_its_own(shared_upstream):
    shared_upstream.reset()
    shared_upstream.handler = always(answer(body=b'{"input_tokens":3}'))
    counting = request(target="/v1/messages/count_tokens", body=b'{"model":"claude-haiku-4-5","messages":[]}')
    with Gateway(shared_upstream.url, COUNT_TOKENS_PER_MINUTE="2") as gateway:
        assert [gateway.ask(counting).status for _ in range(2)] == [200, 200]
        refused = gateway.ask(counting)
        assert refused.status == 429 and json.loads(refused.body)["error"]["details"]["reason"] == "requests_per_minute"
        assert 1 <= int(refused.header("retry-after")) <= 30
        assert gateway.ask(request(body=b'{"model":"claude-haiku-4-5","max_tokens":1}')).status == 200
    assert len(shared_upstream.calls) == 3
