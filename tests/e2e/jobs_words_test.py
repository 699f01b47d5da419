"""The words of `claude-proxy jobs`: callers submit and watch over HTTP, administrators look after the jobs of all."""

import json

import pytest

from support.admin import Admin, cli
from support.gateway import DEFAULTS, KEY, OTHER_KEY
from support.jobs import Jobs
from support.timing import wait_until
from support.workers import Stack, body

RETRY_ONCE = {"JOBS_ATTEMPTS_MAX": "1"}


@pytest.fixture
def stack(simulator):
    made = Stack(simulator, **RETRY_ONCE)
    yield made
    made.stop()


@pytest.fixture
def front(stack):
    return stack.both()


@pytest.fixture
def run(stack, front):
    """Runs words as a caller and administrator of the stack's gateway would."""
    settings = {**stack.plain_settings(), "CLAUDE_PROXY_KEY": KEY}

    def words(*given):
        where = ["--url", f"http://127.0.0.1:{front.port}"] if given[0] in ("submit", "watch") else []
        return cli(stack.directory, "jobs", *given, *where, **settings)

    return words


@pytest.fixture
def request_file(tmp_path):
    def write(**sim):
        path = tmp_path / "request.json"
        path.write_text(json.dumps(body("say something", **sim)))
        return str(path)

    return write


def test_a_job_is_submitted_watched_and_shown(run, front, request_file):
    made = run("submit", request_file(), "--json", "--priority", "5")
    assert made.code == 0, made.err
    job = json.loads(made.out)
    assert job["status"] in ("queued", "running") and job["priority"] == 5

    watched = run("watch", job["id"])
    text = "".join(block["text"] for block in Jobs(front).result(job["id"])["content"] if block["type"] == "text")
    assert watched.code == 0 and watched.out.strip() == text.strip()

    events = run("watch", job["id"], "--json").out
    assert events.startswith("id: 1\nevent: message_start\n") and "event: job\n" in events

    shown = json.loads(run("show", job["id"], "--json").out)
    assert shown["status"] == "succeeded" and [entry["outcome"] for entry in shown["attempts"]] == ["succeeded"]
    assert shown["attempts"][0]["request_id"].startswith("req_cp_")
    listed = json.loads(run("list", "--team", "default", "--status", "succeeded", "--json").out)
    assert job["id"] in [entry["id"] for entry in listed["data"]]
    assert job["id"] in run("list").out and "succeeded" in run("show", job["id"]).out


def test_submit_watches_to_the_end_and_its_exit_code_tells(run, request_file):
    done = run("submit", request_file(), "--watch")
    assert done.code == 0 and done.out.strip()
    failed = run("submit", request_file(fault="status=400"), "--watch")
    assert failed.code == 1 and failed.err.endswith("(invalid_request_error)\n"), failed.err
    assert failed.err.startswith("failed: "), failed.err


def test_wrong_words_are_told_with_their_cure(run, stack, front, request_file, tmp_path):
    assert run("submit", str(tmp_path / "nothing")).code == 2
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    told = run("submit", str(broken))
    assert told.code == 2 and "claude-proxy: " in told.err
    nobody = cli(stack.directory, "jobs", "watch", "job_0", **stack.plain_settings())
    assert nobody.code == 2 and "CLAUDE_PROXY_KEY" in nobody.err
    assert run("watch", "job_000000000000000000000000").code == 1
    assert "There is no job" in run("show", "job_000000000000000000000000").err
    assert "no team" in run("list", "--team", "nobody").err.lower() or run("list", "--team", "nobody").code != 0


def test_a_running_job_is_cancelled_by_an_administrator(run, front):
    jobs = Jobs(front)
    job = jobs.new(body("slow", max_tokens=400, output_tokens=400, event_tokens=1, fault="event-interval=50"))
    jobs.wait(job, "running")
    assert run("cancel", job).code == 0
    assert jobs.wait(job)["status"] == "cancelled"
    again = run("cancel", job)
    assert again.code == 1 and "ended already" in again.err
    entries = Admin(front).get("audit", limit=50)["data"]
    assert any(entry["action"] == "job.cancel" and entry["target"] == job for entry in entries)


def test_dead_jobs_are_listed_and_given_another_life(run, front):
    jobs = Jobs(front)
    job = jobs.new(body("broken", fault="status=500"))
    assert jobs.wait(job)["status"] == "dead"
    assert job in [entry["id"] for entry in Admin(front).get("dead-letters")["data"]]
    assert run("redrive", job).code == 0
    wait_until(lambda: len(json.loads(run("show", job, "--json").out)["attempts"]) == 2, 20, "a second attempt")
    jobs.wait(job)
    assert json.loads(run("redrive-all", "--team", "default", "--json").out)["redriven"] == 1


def test_viewers_look_and_do_not_touch(front, run):
    jobs = Jobs(front, OTHER_KEY)
    job = jobs.new(body("quick"))
    jobs.wait(job)
    admin = Admin(front, DEFAULTS["CLAUDE_PROXY_ADMIN_KEY"])
    viewer = admin.with_key(admin.new_key(name="eyes", role="viewer")["key"])
    assert viewer.get(f"jobs/{job}").status == 200
    assert viewer.send("POST", f"jobs/{job}/cancel").status == 403
    assert viewer.send("POST", f"jobs/{job}/redrive").status == 403
    assert viewer.send("POST", "dead-letters/redrive").status == 403
