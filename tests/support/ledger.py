"""The ledger of one gateway, read from its SQLite file beside it; rows come a moment after their answers."""

import json
import sqlite3

from support.admin import sqlite_path
from support.client import request
from support.timing import wait_until

SMALL = b'{"model":"claude-opus-4-8","max_tokens":16,"messages":[{"role":"user","content":"mark"}]}'


class Ledger:
    def __init__(self, gateway):
        self.gateway, self.path = gateway, sqlite_path(gateway)
        self.marks = gateway.__dict__.setdefault("ledger_marks", set())

    def query(self, text, *values):
        database = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)
        try:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(text, values)]
        finally:
            database.close()

    def rows(self, request_id=None):
        """The attempts there are now, of one request or all, in order; `details` is an object."""
        found = self.query("SELECT * FROM attempts ORDER BY started_at, attempt_id")
        for row in found:
            row["details"] = json.loads(row["details"])
        return [row for row in found if request_id is None or row["attempt_id"].startswith(request_id + ".")]

    def attempts(self, answer, count=1):
        """Waits for the attempts of one answer (or of a request's id); exactly so many must come."""
        own_id = answer if isinstance(answer, str) else answer.header("x-claude-proxy-request-id")
        wait_until(lambda: len(self.rows(own_id)) >= count, 10, f"{count} ledger rows of {own_id}")
        found = self.rows(own_id)
        assert len(found) == count, found
        assert [row["attempt_id"] for row in found] == [f"{own_id}.{number}" for number in range(1, count + 1)]
        return found

    def attempt(self, answer):
        return self.attempts(answer)[0]

    def refusal(self, answer):
        own_id = answer.header("x-claude-proxy-request-id")
        text = "SELECT * FROM refusals WHERE request_id = ?"
        return wait_until(lambda: self.query(text, own_id), 10, f"the refusal of {own_id}")[0]

    def all_rows(self):
        """Every attempt so far: a request of our own (the upstream must answer it) is waited for. Such are left out."""
        mark = self.gateway.ask(request(body=SMALL))
        assert mark.status == 200, mark.body
        self.marks.add(self.attempt(mark)["attempt_id"])
        return [row for row in self.rows() if row["attempt_id"] not in self.marks]
