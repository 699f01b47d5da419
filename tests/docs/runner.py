"""Runs the blocks of a document that are marked `sh runnable`, as a reader would who follows it from top to bottom.

Each document has a folder of its own that looks like a checkout with the built programs, and a gateway that also works,
with claude-sim behind it. What CONTRIBUTING.md promises about the surroundings is made here.
"""

import contextlib
import os
import re
import subprocess
import tempfile

from facts import ROOT
from support.gateway import DEFAULTS, DIE_WITH_PARENT, KEY, PROXY, SIM, Simulator, environment
from support.timing import seconds, wait_until

LINKED = ("infra", "tools", "tests", "docs", "bench", "migrations", "data", ".env.example", "Makefile")
BLOCK_SECONDS = 60


class Problem(AssertionError):
    """A block did not do what its document says."""


def told(output, expected):
    """Whether the output is the expected one: a line `...` stands for any lines, ` ...` at an end for a rest."""
    parts = []
    for line in expected.split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"[ \t]*\n")
    return re.fullmatch("".join(parts), output if output.endswith("\n") or not output else output + "\n") is not None


class Checkout:
    """The folder, the variables and the running programs of one document."""

    def __init__(self, **more):
        self._stack = contextlib.ExitStack()
        try:
            self._make(more)
        except BaseException:
            self._stack.close()
            raise

    def _make(self, more):
        self.folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="claude-proxy-docs-"))
        programs = os.path.join(self.folder, "build/release")
        os.makedirs(programs)
        for name, binary in (("claude-proxy", PROXY), ("claude-sim", SIM)):
            os.symlink(binary, os.path.join(programs, name))
        for name in LINKED:
            os.symlink(os.path.join(ROOT, name), os.path.join(self.folder, name))
        self.simulator = Simulator("--listen", "127.0.0.1:0")
        self._stack.callback(self.simulator.cleanup)
        self.variables = environment({**DEFAULTS, "CLAUDE_PROXY_UPSTREAM_URL": self.simulator.url, **more})
        self.variables["PATH"] = programs + ":/usr/local/bin:/usr/bin:/bin"
        self.variables["HOME"] = self.folder
        self.variables["DATABASE_URL"] = more.get("DATABASE_URL", f"sqlite:{self.folder}/var/claude-proxy.db")
        if "postgresql" in self.variables["DATABASE_URL"]:
            subprocess.run([PROXY, "migrate"], cwd=self.folder, env=self.variables, check=True, capture_output=True)
        self._start_gateway()
        self.variables |= {"KEY": KEY, "CLAUDE_PROXY_KEY": KEY}
        self.variables["CLAUDE_PROXY_LISTEN"] = f"127.0.0.1:{self.port}"
        self.variables["CLAUDE_PROXY_ADMIN_LISTEN"] = f"127.0.0.1:{self.admin_port}"
        with open(os.path.join(self.folder, "var/client-key"), "w", encoding="utf-8") as file:
            file.write(KEY + "\n")  # where `make run` puts it
        self._state = os.path.join(self.folder, ".state-of-the-shell")
        with open(self._state, "w", encoding="utf-8"):
            pass

    def _start_gateway(self):
        log_path = os.path.join(self.folder, "gateway.log")
        with open(log_path, "wb") as log:
            self.gateway = subprocess.Popen(
                [PROXY, "serve", "--with-worker"],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=DIE_WITH_PARENT,
            )
        self._stack.callback(self._end_gateway)

        def listening():
            with open(log_path, encoding="utf-8") as file:
                log = file.read()
            assert self.gateway.poll() is None, log
            return re.search(r'"event":"listening","listen":"[\d.]+:(\d+)","admin_listen":"[\d.]+:(\d+)"', log)

        found = wait_until(listening, 20, "a gateway that listens")
        self.port, self.admin_port = int(found[1]), int(found[2])

    def _end_gateway(self):
        self.gateway.terminate()
        try:
            self.gateway.wait(seconds(20))
        except subprocess.TimeoutExpired:
            self.gateway.kill()
            self.gateway.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def here(self, text):
        """The ports of a document are those of our programs."""
        for public, ours in ((8080, self.port), (8081, self.admin_port), (9300, self.simulator.port)):
            text = re.sub(rf"\b(?:127\.0\.0\.1|localhost):{public}\b", f"127.0.0.1:{ours}", text)
        return text

    def run(self, text):
        """One block in a shell that stops at the first failure; its exit code and all that it printed."""
        script = f"set -euo pipefail -a\n. '{self._state}'\n{self.here(text)}\nexport -p >'{self._state}'\n"
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=DIE_WITH_PARENT,
        )
        try:
            output, _ = process.communicate(timeout=seconds(BLOCK_SECONDS))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            raise Problem(f"did not end in time:\n{text}\n--- it printed\n{output}") from None
        return process.returncode, output

    def check(self, document):
        """Runs every marked block in order. Raises Problem at the first that fails or prints something else."""
        for block, expected in document.runnable():
            code, output = self.run(block.text)
            where = f"{document.path}:{block.line}"
            if code != 0:
                raise Problem(f"{where} ended with {code}:\n{block.text}\n--- it printed\n{output}")
            if expected and not told(output, self.here(expected.text)):
                raise Problem(
                    f"{where}:\n{block.text}\n--- it printed\n{output}\n--- and should have printed\n{expected.text}"
                )
