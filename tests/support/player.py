"""A worker that does what a test says, on the database of gateways (tests/support/job_player.cpp)."""

import os
import subprocess

from support.gateway import DIE_WITH_PARENT, PASSED_ON, PROXY, environment

PLAYER = os.path.join(os.path.dirname(PROXY), "job_player")


class Player:
    def __init__(self, database_url):
        assert os.access(PLAYER, os.X_OK), f"{PLAYER} does not exist: build it"
        self.process = subprocess.Popen(
            [PLAYER, database_url],
            env=environment({name: None for name in PASSED_ON if name == "PATH"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=DIE_WITH_PARENT,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        assert answer and answer[0] == "done", (words[:4], answer)
        return answer[1:]

    def claim(self):
        """The next job, as one that can be written to."""
        id, attempt, events = self.tell("claim", 1)
        return Running(self, id, int(attempt), int(events))


class Running:
    def __init__(self, player, id, attempt, events):
        self.player, self.id, self.attempt, self.events = player, id, attempt, events

    def append(self, *events):
        """Server-sent events as the upstream would send them; each gets its id. The bytes that went into the log."""
        first = self.events + 1
        bytes = b"".join(b"id: %d\n" % (first + number) + event for number, event in enumerate(events))
        self.events += len(events)
        self.player.tell("append", self.id, self.attempt, first, self.events, bytes.hex())
        return bytes

    def finish(self, way="succeeded", text=b"{}"):
        self.player.tell("finish", self.id, self.attempt, way, text.hex())
        self.events += 1
