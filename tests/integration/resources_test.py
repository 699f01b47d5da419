"""What lives upstream belongs to the team that made it: batches, files and skills of two teams on one credential."""

import json

import pytest

from support.admin import cli
from support.client import Client, request
from support.gateway import CREDENTIAL, Gateway, Simulator
from support.resources import MODEL, SETTINGS, VERSION, Team, calls, check_missing, item, last_call
from support.upstream import always, answer


@pytest.fixture(scope="module")
def simulator():
    simulator = Simulator("--listen", "127.0.0.1:0", "--strict", "--api-key", CREDENTIAL, "--batch-delay-ms", "0")
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def through(simulator):
    gateway = Gateway(simulator.url, **SETTINGS)
    yield gateway
    gateway.stop()


@pytest.fixture
def teams(through):
    return Team(through), Team(through)


# Whose it is.


def routes_of(team):
    batch, file, skill = team.batch().json()["id"], team.upload("/v1/files"), team.upload("/v1/skills", part="files[]")
    return [
        ("GET", f"/v1/messages/batches/{batch}"),
        ("GET", f"/v1/messages/batches/{batch}/results"),
        ("POST", f"/v1/messages/batches/{batch}/cancel"),
        ("DELETE", f"/v1/messages/batches/{batch}"),
        ("GET", f"/v1/messages/batches/{batch}/future"),
        ("GET", f"/v1/files/{file}"),
        ("GET", f"/v1/files/{file}/content"),
        ("DELETE", f"/v1/files/{file}"),
        ("GET", f"/v1/skills/{skill}"),
        ("DELETE", f"/v1/skills/{skill}"),
        ("GET", f"/v1/skills/{skill}/versions"),
        ("POST", f"/v1/skills/{skill}/versions"),
        ("GET", f"/v1/skills/{skill}/versions/1/content"),
    ]


def test_what_a_team_made_is_not_there_for_another(teams, simulator):
    mine, others = teams
    for method, target in routes_of(mine):
        body = b"" if method == "POST" else None
        theirs = check_missing(others, simulator, method, target, body)
        segments = target.split("/")
        at = next(n for n, segment in enumerate(segments) if segment.startswith(("msgbatch_", "file_", "skill_")))
        segments[at] = segments[at][:-4] + "0000"
        never = check_missing(others, simulator, method, "/".join(segments), body)
        assert never.replace("0000", "") == theirs.replace(target.split("/")[at][-4:], ""), "an id that never was"
        doubled = "/v1" + target
        assert others.ask(method, doubled, body).status == 404
        spelled = target.replace("_", "%5f")
        assert others.ask(method, spelled, body).status == 404
    for method, target in routes_of(mine):
        if method == "GET" and "/versions" not in target and "/future" not in target:
            assert mine.ask(method, target).status == 200, target


def test_another_key_of_the_team_works_with_what_the_first_one_made(through, teams):
    mine, _ = teams
    file = mine.upload("/v1/files")
    made = cli(through.directory, "keys", "create", "--name", "two", "--team", mine.name, "--json").json
    fields = [*VERSION]
    assert through.ask(request("GET", f"/v1/files/{file}", None, fields, key=made["key"])).status == 200


def test_what_was_deleted_is_not_there_any_more(teams, simulator):
    mine, _ = teams
    for id in (mine.upload("/v1/files"), mine.upload("/v1/skills", part="files[]")):
        target = f"/v1/{'files' if id.startswith('file_') else 'skills'}/{id}"
        assert mine.ask("DELETE", target).status == 200
        check_missing(mine, simulator, "GET", target)


def test_an_id_from_elsewhere_is_nobodys_until_it_is_claimed(through, teams, simulator):
    mine, others = teams
    with Client(simulator.port) as client:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n'
        fields = [*VERSION, ("content-type", "multipart/form-data; boundary=b")]
        file = client.ask(request("POST", "/v1/files", body, fields, key=CREDENTIAL)).json()["id"]
    check_missing(mine, simulator, "GET", f"/v1/files/{file}")
    words = ("resources", "claim", "--id", file, "--team")
    assert cli(through.directory, *words, mine.name, "--json").json["team_id"] == mine.id
    assert mine.ask("GET", f"/v1/files/{file}").status == 200
    assert cli(through.directory, *words, mine.name, "--json").json["id"] == file, "said twice, done once"
    refused = cli(through.directory, *words, others.name)
    assert refused.code == 1 and "another team" in refused.err
    assert cli(through.directory, "resources", "claim", "--id", "x", "--team", mine.name).code == 2
    check_missing(others, simulator, "GET", f"/v1/files/{file}")
    entries = cli(through.directory, "audit", "list", "--json").json["data"]
    assert [entry["target"] for entry in entries if entry["action"] == "resource.claim"] == [file]


@pytest.mark.parametrize("what", ["files", "skills"])
def test_what_anthropic_made_is_everybodys(teams, simulator, what):
    mine, _ = teams
    if what == "skills":  # the simulator has none of Anthropic's: it is asked, and says so itself
        before = last_call(simulator)
        assert mine.ask("GET", "/v1/skills/pptx").status == 404
        assert any(row["path"] == "/v1/skills/pptx" for row in calls(simulator, before))
    else:
        check_missing(mine, simulator, "GET", "/v1/files/pptx")


# Lists.


def walk(team, target, limit, cursor):
    """All ids of a list, page by page, as the SDKs walk it."""
    ids, query = [], f"limit={limit}"
    for _ in range(50):
        page = team.ask("GET", f"{target}?{query}").json()
        data = [each["id"] for each in page["data"]]
        ids += data
        if cursor == "page":
            if not page["next_page"]:
                return ids
            query = f"limit={limit}&page={page['next_page']}"
            continue
        assert (page["first_id"], page["last_id"]) == ((data[0], data[-1]) if data else (None, None))
        if not page["has_more"] or not data:
            return ids if cursor == "after_id" else ids
        query = f"limit={limit}&{cursor}={data[-1] if cursor == 'after_id' else data[0]}"
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
@pytest.mark.parametrize("target, cursor", [("batches", "after_id"), ("files", "page"), ("skills", "page")])
def test_a_list_has_the_teams_own_whatever_the_page(teams, target, cursor, limit):
    mine, others = teams
    make = {
        "batches": lambda team: team.batch(1).json()["id"],
        "files": lambda team: team.upload("/v1/files"),
        "skills": lambda team: team.upload("/v1/skills", part="files[]"),
    }[target]
    made = {mine: [], others: []}
    for team in (mine, others, mine, mine, others, others, mine, others, mine, mine):
        made[team].insert(0, make(team))
    path = "/v1/messages/batches" if target == "batches" else f"/v1/{target}"
    for team in teams:
        assert walk(team, path, limit, cursor) == made[team]
    if target == "batches":
        ids = made[mine]
        back = mine.ask("GET", f"{path}?limit=2&before_id={ids[4]}").json()
        assert ([each["id"] for each in back["data"]], back["has_more"]) == (ids[2:4], True)
        back = mine.ask("GET", f"{path}?limit=4&before_id={ids[3]}").json()
        assert ([each["id"] for each in back["data"]], back["has_more"]) == (ids[:3], False)
        assert all(each["results_url"].startswith("http://gateway.test/v1/") for each in back["data"])


def test_the_beta_list_of_files_has_cursors_by_id(teams):
    mine, others = teams
    made = []
    for team in (mine, others, mine, mine):
        made.insert(0, (team, team.upload("/v1/files")))
    ids = [id for team, id in made if team is mine]
    beta = [("anthropic-beta", "files-api-2025-04-14")]
    page = mine.ask("GET", "/v1/files?beta=true&limit=2", headers=beta).json()
    assert ([each["id"] for each in page["data"]], page["has_more"], page["last_id"]) == (ids[:2], True, ids[1])
    page = mine.ask("GET", f"/v1/files?beta=true&limit=2&after_id={ids[1]}", headers=beta).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[2:], False)


def test_a_cursor_that_is_another_teams_is_none(teams, simulator):
    mine, others = teams
    theirs = others.batch(1).json()["id"]
    mine.batch(1)
    for cursor in ("after_id", "before_id"):
        before = last_call(simulator)
        answers = [mine.ask("GET", f"/v1/messages/batches?{cursor}={id}") for id in (theirs, theirs[:-4] + "0000")]
        assert [each.status for each in answers] == [400, 400]
        assert answers[0].json()["error"]["message"] == answers[1].json()["error"]["message"]
        assert not [row for row in calls(simulator, before) if cursor in row["path"]]


def test_a_limit_that_is_none_is_refused_by_the_upstream(teams):
    mine, _ = teams
    refused = mine.ask("GET", "/v1/messages/batches?limit=0")
    assert refused.status == 400 and "greater than or equal to 1" in refused.json()["error"]["message"]


# Files that requests name.


def naming(file, **more):
    content = [{"type": "document", "source": {"type": "file", "file_id": file}}, {"type": "text", "text": "Read."}]
    return {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": content}], **more}


def spellings(body, file):
    text = json.dumps(body)
    return [
        text.encode(),
        text.replace('"file_id"', '"\\u0066ile_id"').encode(),
        text.replace(file, file.replace("_", "\\u005f")).encode(),
        text.replace('"file_id": "', '"file_id" :\n "').encode(),
    ]


def test_a_message_names_files_of_its_own_team_only(teams, simulator):
    mine, others = teams
    file = mine.upload("/v1/files")
    for body in spellings(naming(file), file):
        assert mine.ask("POST", "/v1/messages", body).status == 200
        assert mine.ask("POST", "/v1/messages/count_tokens", body.replace(b'"max_tokens": 16, ', b"")).status == 200
        for target in ("/v1/messages", "/v1/messages/count_tokens"):
            message = check_missing(others, simulator, "POST", target, body)
            assert file in message
    batch = {"requests": [item("a"), {"custom_id": "b", "params": naming(file)}]}
    check_missing(others, simulator, "POST", "/v1/messages/batches", batch)
    assert mine.ask("POST", "/v1/messages/batches", batch).status == 200


def test_a_skill_and_a_container_are_named_by_their_own_team_only(teams, simulator):
    mine, others = teams
    skill = mine.upload("/v1/skills", part="files[]")
    body = {**item("x")["params"], "container": {"skills": [{"type": "custom", "skill_id": skill}]}}
    assert mine.ask("POST", "/v1/messages", body).status == 200
    check_missing(others, simulator, "POST", "/v1/messages", body)
    body["container"] = {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}
    assert others.ask("POST", "/v1/messages", body).status == 200
    for container in ("container_011x", {"id": "container_011x"}):
        check_missing(others, simulator, "POST", "/v1/messages", {**body, "container": container})


def test_the_data_of_a_clients_own_tool_is_no_reference(teams):
    mine, _ = teams
    tool = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"file_id": "file_of_the_client"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    messages = [
        {"role": "user", "content": 'What is "file_id":"file_x"?'},
        {"role": "assistant", "content": [tool]},
        {"role": "user", "content": [result]},
    ]
    answer = mine.ask("POST", "/v1/messages", {"model": MODEL, "max_tokens": 5, "messages": messages})
    assert answer.status == 200, answer.body


# What code execution makes.

EXECUTED = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "container": {"id": "container_011made", "expires_at": "2026-12-01T00:00:00Z"},
    "content": [
        {"type": "text", "text": 'Not one: "file_id":"file_011text"'},
        {
            "type": "bash_code_execution_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": {
                "type": "bash_code_execution_result",
                "content": [{"type": "bash_code_execution_output", "file_id": "file_011made"}],
            },
        },
    ],
    "usage": {"input_tokens": 5, "output_tokens": 5},
}


@pytest.mark.parametrize("stream", [False, True])
def test_what_code_execution_makes_is_the_askers(shared_upstream, stream):
    made = json.dumps(EXECUTED)
    if stream:
        start = {"type": "message_start", "message": {**EXECUTED, "content": []}}
        block = {"type": "content_block_start", "index": 0, "content_block": EXECUTED["content"][1]}
        events = [start, block, {"type": "content_block_stop", "index": 0}, {"type": "message_stop"}]
        made = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
    kind = "text/event-stream" if stream else "application/json"
    with Gateway(shared_upstream.url, **SETTINGS) as gateway:
        mine, others = Team(gateway), Team(gateway)
        body = {**item("x")["params"], "stream": stream}
        body["tools"] = [{"type": "code_execution_20250825", "name": "code_execution"}]
        shared_upstream.handler = always(answer(body=made.encode(), content_type=kind))
        assert mine.ask("POST", "/v1/messages", body).body == made.encode()
        body["container"] = "container_011made"
        for team, status in ((mine, 200), (others, 404)):
            assert team.ask("GET", "/v1/files/file_011made/content").status == status
            assert team.ask("GET", "/v1/files/file_011text").status == 404
            assert team.ask("POST", "/v1/messages", body).status == status
