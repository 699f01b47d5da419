"""The admin API over raw HTTP, and the command line of administrators, on the database of one gateway."""

import json
import os
import subprocess
import urllib.parse

from support.client import Client, request
from support.gateway import DEFAULTS, PROXY, environment
from support.timing import seconds

ADMIN_KEY = DEFAULTS["CLAUDE_PROXY_ADMIN_KEY"]


class Answer:
    """Status, headers and JSON of one answer of the API."""

    def __init__(self, response):
        self.response = response
        self.status = response.status
        self.text = response.body.decode("utf-8")
        is_json = response.header("content-type") == "application/json"
        self.json = json.loads(self.text) if is_json and self.text else None

    @property
    def reason(self):
        return self.json["error"]["details"]["reason"]

    @property
    def message(self):
        return self.json["error"]["message"]

    def __getitem__(self, name):
        return self.json[name]


class Admin:
    """`key`: None sends no credential."""

    def __init__(self, gateway, key=ADMIN_KEY):
        self.gateway, self.key = gateway, key

    def with_key(self, key):
        return Admin(self.gateway, key)

    def send(self, method, path, body=None, headers=(), timeout=30):
        """`path` below /admin/v1; `body` bytes as they are, or anything else as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        target = path if path.startswith("/admin") else "/admin/v1/" + path
        with Client(self.gateway.admin_port, timeout=timeout) as client:
            answer = client.ask(request(method, target, body, headers, key=self.key), method=method)
        checked(answer, method)
        return Answer(answer)

    def get(self, path, **query):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return self.send("GET", path)

    def post(self, path, body=None):
        return self.send("POST", path, body)

    def patch(self, path, body):
        return self.send("PATCH", path, body)

    def delete(self, path):
        return self.send("DELETE", path)

    def ok(self, method, path, body=None):
        """The JSON of an answer that must be a success."""
        answer = self.send(method, path, body)
        assert answer.status in (200, 201), f"{method} {path}: {answer.status} {answer.text}"
        return answer.json

    def new_key(self, **members):
        members.setdefault("name", "test")
        if members.get("role", "client") == "client":
            members.setdefault("team", "search")
        return self.ok("POST", "keys", members)


def checked(answer, method):
    """What every answer of the API has in common."""
    assert answer.header("cache-control") == "no-store"
    own_id = answer.header("request-id")
    assert own_id.startswith("req_cp_") and own_id == answer.header("x-claude-proxy-request-id")
    if answer.status >= 400 and method != "HEAD":
        told = answer.json()
        assert told["type"] == "error" and told["request_id"] == own_id, told
        assert set(told["error"]) == {"type", "message", "details"}, told
        assert told["error"]["message"] and told["error"]["details"]["reason"], told
        retry = answer.header("x-should-retry")
        assert retry == ("false" if answer.status < 500 or answer.status == 505 else None), (answer.status, retry)


class Done:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def json(self):
        assert self.code == 0, f"exit code {self.code}: {self.err}"
        assert self.out.count("\n") == 1, f"not one line: {self.out!r}"
        return json.loads(self.out)


def cli(directory, *words, **settings):
    """One subcommand in a folder, with nothing but these settings in its environment."""
    process = subprocess.run(
        [PROXY, *words],
        cwd=directory,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(60),
    )
    done = Done(process)
    assert process.returncode in (0, 1, 2), f"exit code {process.returncode}: {process.stderr}"
    if process.returncode == 0:
        assert not process.stderr, process.stderr
    return done


def sqlite_path(gateway):
    return os.path.join(gateway.directory, "var", "claude-proxy.db")
