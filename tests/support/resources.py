"""What lives upstream and belongs to teams: ids that a gateway is told of without having made them."""

import sqlite3
import time

from support.admin import sqlite_path

EMPTY_LIST = b'{"data":[],"has_more":false,"first_id":null,"last_id":null}'


def give(gateway, what, *ids, team="default"):
    """Makes ids of a kind (batch, file, skill) the team's, past the gateway: its SQLite database is written."""
    database = sqlite3.connect(sqlite_path(gateway), timeout=10)
    try:
        with database:
            for one in ids:
                database.execute(
                    "INSERT INTO resources (id, kind, team_id, key_id, created_at) VALUES (?, ?, ?, '', ?)"
                    " ON CONFLICT (id) DO NOTHING",
                    (one, what, team, time.time_ns() // 1_000_000),
                )
    finally:
        database.close()
