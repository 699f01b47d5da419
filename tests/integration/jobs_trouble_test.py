"""What the gateway says of jobs when its own tables are not as they should be."""

import contextlib
import os
import sqlite3

from support.admin import cli
from support.gateway import Gateway
from support.jobs import Jobs, check_refused, metric
from support.timing import seconds, setting, wait_until


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


def test_money_that_is_held_for_nobody_is_told_and_given_back(shared_upstream, tmp_path):
    """As after the database was restored from a copy: two budgets hold for jobs that are not there."""
    path = os.path.join(tmp_path, "jobs.db")
    url = f"sqlite:{path}"
    assert cli(tmp_path, "migrate", DATABASE_URL=url).code == 0
    for budget in ("bud_1", "bud_2"):
        change(
            path,
            "INSERT INTO budget_leases (budget_id, period_start, replica, granted_pico, consumed_pico, expires_at)"
            f" VALUES ('{budget}', 0, 'jobs', 8, 0, 0)",
        )
    with Gateway(shared_upstream.url, DATABASE_URL=url, JOBS_SWEEP_EVERY=setting(100)) as gateway:
        told = gateway.wait_event(named("job_holds_repaired"))
        assert (told["level"], told["budgets"]) == ("warn", "2")
        wait_until(lambda: metric(gateway, "job_holds_repaired_total") == 2, 10, "the count")
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT COUNT(*) FROM budget_leases WHERE replica = 'jobs'").fetchall() == [(0,)]
