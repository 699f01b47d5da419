"""The API of durable jobs as far as it needs no worker: nothing here ever runs, so every job stays where it was put."""

import datetime
import json
import re
import threading
import time

import pytest

from support.admin import Admin, cli
from support.client import request
from support.gateway import OTHER_KEY
from support.jobs import BODY, MODEL, Jobs, check_refused, metric, stored
from support.timing import seconds, wait_until

ID = re.compile(r"job_[0-9a-z]{24}")


@pytest.fixture
def jobs(gateway, upstream):
    yield Jobs(gateway)
    assert upstream.calls == [], "nothing of a job goes upstream before it runs"


@pytest.fixture
def team(gateway, request, numbers=iter(range(10_000))):
    """A key of a team that no other test uses."""
    made = Admin(gateway).new_key(name="jobs", team=f"jobs-{next(numbers)}")
    return Jobs(gateway, made["key"])


def test_a_job_is_taken_and_can_be_looked_at(gateway, jobs):
    before = time.time()
    answer = jobs.submit(metadata={"a": 1.0}, priority=7, expires_in=600)
    made = answer.json()
    assert answer.status == 202 and ID.fullmatch(made["id"]) and answer.header("location") == f"/v1/jobs/{made['id']}"
    assert answer.header("content-type") == "application/json" and answer.header("cache-control") == "no-store"
    assert made == jobs.get(made["id"])
    assert made["type"] == "job" and made["status"] == "queued" and made["model"] == MODEL
    assert (made["lane"], made["priority"], made["metadata"]) == ("realtime", 7, {"a": 1.0})
    assert (made["attempt"], made["attempts_max"], made["cancel_requested"]) == (0, 3, False)
    assert made["started_at"] is made["finished_at"] is made["error"] is made["usage"] is made["webhook"] is None
    assert made["links"] == {"events": f"/v1/jobs/{made['id']}/events", "result": f"/v1/jobs/{made['id']}/result"}
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
    assert stamp.fullmatch(made["created_at"]) and stamp.fullmatch(made["expires_at"])
    parse = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    assert parse(made["expires_at"]) - parse(made["created_at"]) == pytest.approx(600)
    assert before - 1 < parse(made["created_at"]) < time.time() + 1
    line = gateway.request_line(answer)
    assert (line["route"], line["model"], line["status"]) == ("jobs", MODEL, 202)


def test_the_request_is_kept_byte_for_byte_with_the_headers_that_matter(gateway, jobs):
    exact = (
        b'{ "model":"claude-opus-4-8" ,"max_tokens":16,"x":1.0e2,"stream":true,\r\n'
        b'"messages":[{"role":"user","content":"h\\u00e9"}]}'
    )
    headers = [("Anthropic-Version", "2023-06-01"), ("anthropic-beta", "a"), ("Anthropic-Beta", "b,c")]
    headers.append(("User-Agent", 'x"y'))
    whole = jobs.send("POST", "/v1/jobs", b'{"metadata":{"k":1.50},"request":' + exact + b"}", headers).json()
    request_text, kept, metadata, holds = stored(gateway, whole["id"])
    assert request_text.encode() == exact and metadata == '{"k":1.50}' and holds == "[]"
    assert json.loads(kept) == {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b,c", "user-agent": 'x"y'}
    same = jobs.message(*headers, body=exact)
    assert stored(gateway, same.json()["id"])[:2] == (request_text, kept)


def test_prefer_respond_async_makes_the_same_job(jobs):
    answer = jobs.message()
    assert answer.status == 202 and answer.header("preference-applied") == "respond-async"
    made = answer.json()
    assert answer.header("location") == f"/v1/jobs/{made['id']}"
    assert jobs.get(made["id"]) == made and made["lane"] == "realtime" and made["metadata"] == {}


@pytest.mark.parametrize(
    "body, why",
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"request":{}', "invalid_json"),
        (b"{}", "missing_field"),
        (b'{"request":{"max_tokens":1}}', "missing_field"),
        (b'{"request":5}', "invalid_argument"),
        (b'{"request":{"model":"m","model":"n"}}', "duplicate_field"),
        (b'{"request":{"model":"m"},"request":{"model":"m"}}', "duplicate_field"),
        (b'{"request":{"model":"m","x":"\xff"}}', "invalid_json"),
        (b'{"request":{"model":"m"},"lane":"express"}', "invalid_argument"),
        (b'{"request":{"model":"m"},"priority":101}', "invalid_argument"),
        (b'{"request":{"model":"m"},"expires_in":1}', "invalid_argument"),
        (b'{"request":{"model":"m"},"metadata":[]}', "invalid_argument"),
        (b'{"request":{"model":"m"},"webhook":{"url":"ftp://x"}}', "invalid_argument"),
        (b'{"request":{"model":"m"},"colour":1}', "invalid_argument"),
    ],
)
def test_a_body_that_is_not_as_it_must_be_is_refused(jobs, body, why):
    message = check_refused(jobs.send("POST", "/v1/jobs", body), 400, why, "invalid_request_error")
    assert message


@pytest.mark.parametrize(
    "body, why",
    [
        (b"nonsense", "invalid_json"),
        (b'{"model":"m","x":"\xff"}', "invalid_json"),
        (b'{"max_tokens":1}', "missing_field"),
    ],
)
def test_a_message_that_is_not_as_it_must_be_makes_no_job(jobs, body, why):
    check_refused(jobs.message(body=body), 400, why)


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\xe9"])
def test_a_key_that_could_not_be_kept_is_refused(jobs, key):
    check_refused(jobs.submit(("Idempotency-Key", key.encode("latin-1"))), 400, "invalid_argument")


def test_the_same_idempotency_key_is_the_same_job(jobs, request):
    name = ("Idempotency-Key", request.node.name)
    first = jobs.submit(name, metadata={"a": 1})
    again = [jobs.submit(name, ("User-Agent", "another"), metadata={"a": 1}) for _ in range(3)]
    assert first.status == 202
    for answer in again:
        assert answer.status == 200 and answer.json() == first.json()
        assert answer.header("location") == first.header("location")
    jobs.cancel(first.json()["id"])
    assert jobs.submit(name, metadata={"a": 1}).json()["status"] == "cancelled", "also when it has ended"
    for other in (
        {"metadata": {"a": 2}},
        {"metadata": {"a": 1}, "priority": 1},
        {"metadata": {"a": 1}, "lane": "batch"},
        {"metadata": {"a": 1}, "expires_in": 60},
        {"metadata": {"a": 1}, "webhook": {"url": "https://example.com/"}},
        {"metadata": {"a": 1}, "request": {**BODY, "max_tokens": 17}},
    ):
        check_refused(jobs.submit(name, **other), 409, "idempotency_conflict", "conflict_error")
    check_refused(jobs.submit(name, ("anthropic-beta", "b"), metadata={"a": 1}), 409, "idempotency_conflict")


def test_the_key_is_shared_by_both_ways_to_submit_and_by_nobody_else(gateway, jobs, request):
    name = ("Idempotency-Key", request.node.name)
    body = json.dumps(BODY).encode()
    first = jobs.message(name, body=body)
    second = jobs.send("POST", "/v1/jobs", b'{"request":' + body + b"}", [name])
    assert (first.status, second.status) == (202, 200) and first.json() == second.json()
    other = Jobs(gateway, OTHER_KEY).message(name, body=body)
    assert other.status == 202 and other.json()["id"] != first.json()["id"]


def test_many_at_once_under_one_key_are_one_job(jobs, request):
    name = ("Idempotency-Key", request.node.name)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(jobs.submit(name))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_list_is_newest_first_in_pages(team):
    made = [team.new() for _ in range(7)][::-1]
    assert [job["id"] for job in team.list()["data"]] == made
    page = team.list("?limit=3")
    assert [job["id"] for job in page["data"]] == made[:3]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, made[0], made[2])
    page = team.list(f"?limit=3&after_id={page['last_id']}")
    assert [job["id"] for job in page["data"]] == made[3:6] and page["has_more"]
    page = team.list(f"?limit=3&before={page['last_id']}")
    assert [job["id"] for job in page["data"]] == made[6:] and not page["has_more"]
    assert not team.list("?limit=7")["has_more"]
    page = team.list(f"?after_id={made[6]}")
    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_a_page_begins_behind_a_job_that_is_gone(team):
    """Goal: who reads page by page while old jobs are deleted sees all the others."""
    made = [team.new() for _ in range(5)][::-1]
    last = team.list("?limit=2")["last_id"]
    assert last == made[1] and team.cancel(last).status == 200
    assert team.send("DELETE", last).status == 200
    assert [job["id"] for job in team.list(f"?limit=2&before={last}")["data"]] == made[2:4]
    check_refused(team.send("GET", "/v1/jobs?before=job_1"), 400, "invalid_argument")


def test_a_full_page_knows_whether_there_are_more(team):
    for _ in range(100):
        team.new()
    page = team.list("?limit=100")
    assert len(page["data"]) == 100 and not page["has_more"]
    team.new()
    page = team.list("?limit=100")
    assert len(page["data"]) == 100 and page["has_more"]


def test_a_list_is_filtered(gateway, team):
    haiku = team.new(request={**BODY, "model": "claude-haiku-4-5"})
    batch = team.new(lane="batch")
    gone = team.new()
    team.cancel(gone)
    other = Jobs(gateway, Admin(gateway).new_key(name="second", team=team_name(gateway, team))["key"]).new()
    ids = lambda query: [job["id"] for job in team.list(query)["data"]]
    assert ids("") == [other, gone, batch, haiku], "a key sees the jobs of its team"
    assert ids("?model=claude-haiku-4-5") == [haiku]
    assert ids("?lane=batch") == [batch] and ids("?lane=batch&model=claude-haiku-4-5") == []
    assert ids("?status=cancelled") == [gone] and ids("?status=queued") == [other, batch, haiku]
    assert ids(f"?key={team.get(haiku)['key_id']}") == [gone, batch, haiku]


def team_name(gateway, team):
    key_id = team.get(team.new())["key_id"]
    found = Admin(gateway).get(f"keys/{key_id}").json
    name = found["team"] if isinstance(found["team"], str) else found["team"]["name"]
    for job in team.list("?limit=1")["data"]:
        team.cancel(job["id"])
        assert team.send("DELETE", job["id"]).status == 200
    return name


@pytest.mark.parametrize(
    "query", ["status=done", "lane=fast", "limit=0", "limit=101", "limit=x", "colour=red", "limit=1&limit=2",
              "before=job_1&after_id=job_1", "model=%zz"]
)  # fmt: skip
def test_a_query_that_is_not_understood_is_refused(jobs, query):
    check_refused(jobs.send("GET", "/v1/jobs?" + query), 400, "invalid_argument")


def test_another_teams_job_is_none(gateway, jobs, team):
    job = jobs.new()
    check_refused(jobs.send("GET", "job_" + "0" * 24), 404, "job_not_found", "not_found_error")
    for method, path in (
        ("GET", job), ("GET", job + "/result"), ("GET", job + "/events"), ("POST", job + "/cancel"), ("DELETE", job)
    ):  # fmt: skip
        check_refused(team.send(method, path), 404, "job_not_found", "not_found_error")
        check_refused(team.send(method, path.replace(job, "job_" + "0" * 24)), 404, "job_not_found")
    assert job not in [each["id"] for each in team.list()["data"]]
    assert jobs.get(job)["status"] == "queued"


def test_a_key_needs_the_scope(gateway, upstream):
    narrow = Jobs(gateway, Admin(gateway).new_key(name="n", team="narrow", scopes=["messages"])["key"])
    check_refused(narrow.submit(), 403, "permission_denied", "permission_error")
    assert "jobs" in check_refused(narrow.message(), 403, "permission_denied")
    check_refused(narrow.send("GET", "/v1/jobs"), 403, "permission_denied")
    only = Jobs(gateway, Admin(gateway).new_key(name="n", team="narrow", scopes=["jobs"])["key"])
    assert only.submit().status == 202
    check_refused(only.message(), 403, "permission_denied")
    opus = Jobs(gateway, Admin(gateway).new_key(name="n", team="narrow", models=["claude-haiku-*"])["key"])
    check_refused(opus.submit(), 403, "model_not_allowed")
    haiku_or_opus = {**BODY, "model": "claude-haiku-4-5", "fallbacks": [{"model": "claude-opus-4-8"}]}
    check_refused(opus.submit(request=haiku_or_opus), 403, "model_not_allowed")
    assert opus.submit(request={**BODY, "model": "claude-haiku-4-5"}).status == 202
    assert upstream.calls == []


def test_a_queued_job_is_cancelled_at_once(jobs):
    job = jobs.new()
    answer = jobs.cancel(job)
    assert answer.status == 200
    told = answer.json()
    assert told["status"] == "cancelled" and told["finished_at"] and told == jobs.get(job)
    check_refused(jobs.cancel(job), 409, "job_conflict", "conflict_error")
    check_refused(jobs.send("GET", job + "/result"), 409, "job_cancelled")


def test_a_body_where_none_is_needed_is_read_away(gateway, jobs):
    job = jobs.new()
    with gateway.client() as client:
        for body in (b"", b"{}", b"x" * 1000):
            assert client.ask(request("GET", f"/v1/jobs/{job}", body)).status == 200
        assert client.ask(request("POST", f"/v1/jobs/{job}/cancel", b"{}")).status == 200
        assert client.ask(request("DELETE", f"/v1/jobs/{job}", b"")).status == 200


def test_only_a_job_that_has_ended_can_be_deleted(jobs):
    job = jobs.new()
    check_refused(jobs.send("DELETE", job), 409, "job_conflict")
    jobs.cancel(job)
    assert jobs.send("DELETE", job).json() == {"id": job, "type": "job_deleted"}
    check_refused(jobs.send("GET", job), 404, "job_not_found")
    check_refused(jobs.send("DELETE", job), 404, "job_not_found")


def test_the_result_of_a_job_that_waits_is_a_conflict_that_may_be_repeated(jobs):
    answer = jobs.send("GET", jobs.new() + "/result")
    check_refused(answer, 409, "job_not_finished", "conflict_error")
    assert int(answer.header("retry-after")) >= 1 and answer.header("x-should-retry") is None


@pytest.mark.parametrize("path", ["", "/result"])
def test_a_long_poll_ends_with_the_job(gateway, jobs, path):
    job = jobs.new()
    with gateway.client(timeout=30) as client:
        client.send(request("GET", f"/v1/jobs/{job}{path}?wait=60"))
        wait_until(lambda: metric(gateway, "job_followers") == 1, 10, "the one who waits")
        began = time.monotonic()
        jobs.cancel(job)
        answer = client.read_response("GET")
    assert time.monotonic() - began < seconds(5)
    if path:
        check_refused(answer, 409, "job_cancelled")
    else:
        assert answer.json()["status"] == "cancelled"
    assert metric(gateway, "job_followers") == 0


def test_a_long_poll_ends_with_its_time(jobs):
    job = jobs.new()
    began = time.monotonic()
    assert jobs.get(job, "?wait=1")["status"] == "queued"
    assert time.monotonic() - began >= 0.9
    jobs.cancel(job)
    began = time.monotonic()
    assert jobs.get(job, "?wait=30")["status"] == "cancelled"
    assert time.monotonic() - began < seconds(5), "a job that has ended is not waited for"
    for wrong in ("?wait=x", "?wait=-1", "?wait=1&wait=2", "?after=1"):
        check_refused(jobs.send("GET", job + wrong), 400, "invalid_argument")


def test_a_body_of_many_megabytes_is_stored_whole(gateway, jobs):
    big = {**BODY, "messages": [{"role": "user", "content": "".join(f"{number:07d} " for number in range(1_250_000))}]}
    job = jobs.send("POST", "/v1/jobs", {"request": big}, timeout=60).json()["id"]
    assert json.loads(stored(gateway, job)[0]) == big


def test_the_command_line_gives_new_keys_the_scope(gateway, jobs):
    made = cli(gateway.directory, "keys", "create", "--name", "n", "--team", "cli", "--json").json
    assert "jobs" in made["scopes"]
    wait_until(lambda: Jobs(gateway, made["key"]).submit().status == 202, 5, "the key")


def test_wrong_methods_and_unknown_paths_are_ours(jobs):
    job = jobs.new()
    wrong = (("PUT", "/v1/jobs"), ("DELETE", "/v1/jobs"), ("GET", job + "/cancel"), ("POST", job + "/events"))
    for method, path in wrong:
        check_refused(jobs.send(method, path), 405, "method_not_allowed")
    check_refused(jobs.send("GET", job + "/nothing"), 404, "route_unknown")
