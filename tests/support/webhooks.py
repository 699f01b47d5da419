"""Deliveries of webhooks, put into one gateway's database as the end of a job does, and looked at there."""

import base64
import hashlib
import hmac
import json
import secrets
import sqlite3
import string
import time
from contextlib import closing

from support.admin import sqlite_path
from support.timing import seconds, wait_until

BODY = json.dumps({"type": "job.succeeded", "timestamp": "2027-01-01T00:00:00Z", "data": {"id": "job_1"}})


def new_id(kind):
    return kind + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(24))


def add_delivery(gateway, url, team="default", job="job_1", body=BODY, endpoint=None):
    """Returns its id. `endpoint`: scheme, host and port; by default that of a URL that has all three."""
    made, now = new_id("evt_"), int(time.time() * 1000)
    row = (made, job, team, url, endpoint or "/".join(url.split("/")[:3]), body, now, now, now)
    with closing(sqlite3.connect(sqlite_path(gateway), timeout=seconds(20))) as database, database:
        database.execute(
            "INSERT INTO webhook_deliveries (id, job_id, team_id, url, endpoint, event, body, state, next_at,"
            " created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'job.succeeded', ?, 'waiting', ?, ?, ?)",
            row,
        )
    return made


def wait_state(admin, delivery, state, timeout=20):
    """The delivery as the admin API shows it, once it is in that state."""

    def look():
        found = admin.ok("GET", f"webhooks/{delivery}")
        return found if found["state"] == state else None

    return wait_until(look, timeout, f"{delivery} to be {state}")


def wait_tries(admin, delivery, tries, timeout=20):
    def look():
        found = admin.ok("GET", f"webhooks/{delivery}")
        return found if found["tries"] >= tries else None

    return wait_until(look, timeout, f"{tries} tries of {delivery}")


def signatures(call, *keys):
    """What `webhook-signature` must say of this request, worked out anew."""
    content = f"{call.header('webhook-id')}.{call.header('webhook-timestamp')}.".encode() + call.body
    told = []
    for key in keys:
        assert key.startswith("whsec_"), key
        code = hmac.new(base64.b64decode(key.removeprefix("whsec_"), validate=True), content, hashlib.sha256)
        told.append("v1," + base64.b64encode(code.digest()).decode())
    return " ".join(told)
