"""docs/SUPABASE.md says how many connections to the database a process has at most. One is made to need them all."""

import concurrent.futures
import json
import re

import facts
from support.admin import cli
from support.client import Client, request
from support.gateway import DEFAULTS, KEY, Gateway, Simulator
from support.servers import Postgres
from support.timing import wait_until

MESSAGE = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi."}]}
SETTINGS = {"WEBHOOK_ALLOW": "127.0.0.1/32", "WEBHOOK_ALLOW_HTTP": "yes"}


def ask(port, method, path, body=None, key=KEY):
    text = json.dumps(body).encode() if body else None
    with Client(port) as client:
        answer = client.ask(request(method, path, text, [("anthropic-version", "2023-06-01")], key=key))
    assert answer.status in (200, 202), answer.body


def test_a_process_has_as_many_connections_as_the_document_says():
    row = r"^\| \*\*a `serve` or `worker`\*\* \| \*\*(\d+)\*\* \|$"
    said = int(re.search(row, facts.read("docs/SUPABASE.md"), re.M)[1])
    simulator = Simulator("--listen", "127.0.0.1:0")
    with Postgres() as server, concurrent.futures.ThreadPoolExecutor(16) as many:
        url = server.create_database("counted")
        assert cli(server.directory, "migrate", DATABASE_URL=url).code == 0
        with Gateway(simulator.url, words=("serve", "--with-worker"), DATABASE_URL=url, **SETTINGS) as gateway:

            def used_after_all_of_it():
                ask(gateway.port, "POST", "/v1/messages/batches", {"requests": [{"custom_id": "a", "params": MESSAGE}]})
                ask(gateway.port, "POST", "/v1/jobs", {"request": MESSAGE, "webhook": {"url": "http://127.0.0.1:9/"}})
                admin = DEFAULTS["CLAUDE_PROXY_ADMIN_KEY"]
                asked = [many.submit(ask, gateway.admin_port, "GET", "/admin/v1/usage", None, admin) for _ in range(16)]
                asked += [many.submit(ask, gateway.port, "GET", "/v1/jobs") for _ in range(16)]
                for each in asked:
                    each.result()
                return int(server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'gateway'"))

            wait_until(lambda: used_after_all_of_it() >= said, 20, f"{said} connections")
            for _ in range(3):
                assert used_after_all_of_it() == said
    simulator.stop()
