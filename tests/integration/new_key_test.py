"""Keys that a gateway has not heard of yet: their requests wait for one look at the database, each as itself."""

import collections

from support import load
from support.admin import Admin, cli
from support.client import request
from support.gateway import Gateway
from support.timing import setting

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}'
GATEWAY_SETTINGS = {"DIRECTORY_POLL": setting(10_000)}  # a key is found because it is asked for


def new_keys(gateway, count):
    """Made beside the gateway: it is not told."""
    made = [cli(gateway.directory, "keys", "create", "--name", f"k{n}", "--team", f"team{n}", "--json") for n in range(count)]
    return [one.json for one in made]


def test_requests_that_wait_together_keep_their_own_heads(gateway, upstream):
    keys = new_keys(gateway, 6)
    asked = [
        request(body=BODY, headers=[("user-agent", f"agent-{n}"), ("x-number", str(n))], key=keys[n % 6]["key"])
        for n in range(60)
    ]
    asked += [request(body=BODY, headers=[("user-agent", f"stranger-{n}")], key="sk-cp-nobody") for n in range(20)]
    answers = load.run(load.all_at_once([gateway.port], asked), 30)
    assert collections.Counter(answer.status for answer in answers) == {200: 60, 401: 20}
    seen = sorted((call.header("user-agent"), call.header("x-number")) for call in upstream.calls)
    assert seen == sorted((f"agent-{n}", str(n)) for n in range(60))
    for n in range(60):
        own_id = answers[n].header("x-claude-proxy-request-id")
        line = gateway.wait_event(lambda event: event.get("request_id") == own_id, what=f"line of {own_id}")
        assert (line["caller"], line["team"], line["user_agent"]) == (keys[n % 6]["id"], f"team{n % 6}", f"agent-{n}")


def test_a_head_that_arrives_in_pieces_can_wait_too(gateway, upstream):
    (key,) = new_keys(gateway, 1)
    data = request(body=BODY, headers=[("x-long", "a" * 3000)], key=key["key"])
    with gateway.client() as client:
        response = client.send(data[:40], data[40:2000], data[2000:], pause=0.05).read_response()
        assert response.status == 200
        again = client.ask(data)
        assert again.status == 200
    assert [call.header("x-long") for call in upstream.calls] == ["a" * 3000] * 2
