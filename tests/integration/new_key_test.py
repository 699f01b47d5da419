"""A key that the gateway has not heard of yet: its request waits for one look at the database."""

from support.admin import cli
from support.client import request
from support.timing import setting

BODY = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}'
GATEWAY_SETTINGS = {"DIRECTORY_POLL": setting(10_000)}  # a key is found because it is asked for


def test_a_head_that_arrives_in_pieces_can_wait_too(gateway, upstream):
    made = cli(gateway.directory, "keys", "create", "--name", "new", "--team", "new", "--json").json
    data = request(body=BODY, headers=[("x-long", "a" * 3000)], key=made["key"])
    with gateway.client() as client:
        response = client.send(data[:40], data[40:2000], data[2000:], pause=0.05).read_response()
        assert response.status == 200
        assert client.ask(data).status == 200
    assert [call.header("x-long") for call in upstream.calls] == ["a" * 3000] * 2
