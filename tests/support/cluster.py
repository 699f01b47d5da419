"""Several replicas of the gateway on one database, each with its own journal folder, and a look into the database."""

import os
import re
import sqlite3
import tempfile
import time
import uuid

from support.admin import Admin, cli
from support.gateway import Gateway
from support.timing import seconds, wait_until


class Database:
    """What the replicas share. `query` goes around a pooler."""

    def __init__(self, url, direct=None):
        self.url, self.direct = url, direct or url

    @classmethod
    def sqlite(cls, directory):
        return cls(f"sqlite:{os.path.join(str(directory), 'gateway.db')}")

    @classmethod
    def postgres(cls, server, pooler=None):
        """A new database on the server, used through the pooler when there is one."""
        name = "e2e_" + uuid.uuid4().hex[:12]
        direct = server.create_database(name)
        return cls(pooler.url(name, "gateway") if pooler else direct, direct)

    @property
    def is_sqlite(self):
        return self.url.startswith("sqlite:")

    @property
    def settings(self):
        values = {"DATABASE_URL": self.url}
        if self.direct != self.url:
            values["DATABASE_DIRECT_URL"] = self.direct
        return values

    def query(self, sql, *values):
        if self.is_sqlite:
            connection = sqlite3.connect(self.url.partition(":")[2], timeout=seconds(30))
            sql = sql.replace("claude_proxy.", "").replace("%s", "?")
            try:
                return connection.execute(sql, values).fetchall()
            finally:
                connection.close()
        import psycopg2  # not needed by those who only want SQLite

        connection = psycopg2.connect(self.direct, connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall()
        finally:
            connection.close()

    def value(self, sql, *values):
        return self.query(sql, *values)[0][0]

    def change(self, statements):
        """Pairs of a statement and its values, in one transaction."""
        if self.is_sqlite:
            connection = sqlite3.connect(self.url.partition(":")[2], timeout=seconds(30))
            with connection:
                for sql, values in statements:
                    connection.execute(sql.replace("claude_proxy.", "").replace("%s", "?"), values)
            connection.close()
            return
        import psycopg2

        connection = psycopg2.connect(self.direct, connect_timeout=10)
        try:
            with connection, connection.cursor() as cursor:
                for sql, values in statements:
                    cursor.execute(sql, values)
        finally:
            connection.close()


class Cluster:
    """`replicas` gateways in front of one upstream. Settings as Gateway takes them; `each`: further ones of each
    replica. `with_queue`: the queue of the settings is made."""

    def __init__(
        self, upstream_url, database, replicas=1, share_journal=False, each=None, with_queue=False, **settings
    ):
        self.upstream_url, self.database = upstream_url, database
        self._directory = tempfile.TemporaryDirectory(prefix="claude-proxy-cluster-")
        self.directory = self._directory.name
        self.settings = {"API_KEYS": None, **database.settings, **settings}
        self.each = each or [{}] * replicas
        self.journals = [
            os.path.join(self.directory, "journal" if share_journal else f"journal-{number}")
            for number in range(replicas)
        ]
        if with_queue:
            assert self.cli("migrate", "--with-queue").code == 0
        elif not database.is_sqlite:
            self.cli("migrate")
        self.gateways = [None] * replicas
        try:
            for number in range(replicas):
                self.start(number)
        except BaseException:
            self.close()
            raise

    def cli(self, *words):
        queue = {name: value for name, value in self.settings.items() if name == "QUEUE_URL" or name[:4] == "AWS_"}
        return cli(self.directory, *words, LOG_LEVEL="warn", **self.database.settings, **queue)

    def start(self, number):
        self.gateways[number] = Gateway(
            self.upstream_url, JOURNAL_DIR=self.journals[number], **{**self.settings, **self.each[number]}
        )
        return self.gateways[number]

    def kill(self, number):
        """kill -9, and the process is gone when this returns. Its log events are kept by the caller, who has them."""
        gateway = self.gateways[number]
        gateway.process.kill()
        gateway.process.wait()
        return gateway

    @property
    def ports(self):
        return [gateway.port for gateway in self.gateways]

    def admin(self, number=0):
        return Admin(self.gateways[number])

    def metric(self, name, number):
        found = metric(self.gateways[number], name)
        assert found is not None, f"no metric {name}"
        return found

    def metrics(self, name):
        return [self.metric(name, number) for number in range(len(self.gateways))]

    def wait_for_ledger(self, timeout=20):
        """Until everything that was finished is in the database."""

        def is_empty():
            return all(
                metric(gateway, "ledger_lag_seconds") == 0 and metric(gateway, "open_attempts") == 0
                for gateway in self.gateways
            )

        wait_until(is_empty, timeout, "an empty journal")
        time.sleep(0.25)  # a row that was finished and not looked at yet has no lag: more than write_every

    def wait_for_no_holds(self, timeout=20):
        wait_until(
            lambda: not any(self.metrics("budget_holds")) and not any(self.metrics("budget_held_dollars")),
            timeout,
            "budgets without holds",
        )

    def stop(self):
        for gateway in self.gateways:
            gateway.stop()
        self.gateways = []
        self.close()

    def close(self):
        for gateway in self.gateways:
            if gateway:
                gateway.cleanup()
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for gateway in self.gateways:
                print(f"--- log of {gateway.pid}, {gateway.process.poll()}\n{gateway.tail()}")
            self.close()
        else:
            self.stop()


def metric(gateway, name):
    text = gateway.metrics().body.decode()
    found = re.search(rf"^claude_proxy_{name} (\S+)$", text, re.M)
    return float(found[1]) if found else None
