"""What the gateway says of jobs when its own tables are not as they should be."""

import contextlib
import os
import sqlite3

from support.gateway import Gateway
from support.jobs import Jobs, check_refused
from support.timing import seconds


def change(path, sql):
    with contextlib.closing(sqlite3.connect(path, timeout=seconds(10))) as database, database:
        database.execute(sql)


def named(event):
    return lambda line: line.get("event") == event


def test_what_the_database_refuses_is_told_as_that_and_not_as_an_outage(shared_upstream, tmp_path):
    path = os.path.join(tmp_path, "jobs.db")
    with Gateway(shared_upstream.url, DATABASE_URL=f"sqlite:{path}") as gateway:
        jobs = Jobs(gateway)
        kept = jobs.new()
        change(path, "ALTER TABLE job_requests RENAME TO elsewhere")
        check_refused(jobs.submit(), 500, "database_refused", "api_error")
        assert "job_requests" in gateway.wait_event(named("jobs_refused"))["what"]
        assert jobs.get(kept)["status"] == "queued"
        change(path, "ALTER TABLE elsewhere RENAME TO job_requests")
        change(path, "ALTER TABLE jobs RENAME TO elsewhere")
        check_refused(jobs.send("GET", kept), 500, "database_refused", "api_error")
        change(path, "ALTER TABLE elsewhere RENAME TO jobs")
        jobs.new()
        assert not [line for line in gateway.events if named("jobs_unreachable")(line)]
