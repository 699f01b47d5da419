"""One `claude-proxy serve` process with an environment given in full, its log as it comes, and a checked end."""

import ctypes
import functools
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse

from support.client import Client
from support.timing import SCALE, seconds

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROXY = os.path.abspath(os.environ.get("CLAUDE_PROXY_BIN", os.path.join(ROOT, "build/release/claude-proxy")))
SIM = os.path.abspath(os.environ.get("CLAUDE_SIM_BIN", os.path.join(ROOT, "build/release/claude-sim")))

KEY, OTHER_KEY = "sk-cp-one", "sk-cp-two"
CREDENTIAL = "sk-ant-api03-upstream-credential"
DEFAULTS = {
    "ANTHROPIC_API_KEY": CREDENTIAL,
    "CLAUDE_PROXY_LISTEN": "127.0.0.1:0",
    "CLAUDE_PROXY_ADMIN_LISTEN": "127.0.0.1:0",
    "CLAUDE_PROXY_API_KEYS": f"{KEY},{OTHER_KEY}",
    "CLAUDE_PROXY_ADMIN_KEY": "sk-cp-admin-test",
    "CLAUDE_PROXY_THREADS": "1",
    "CLAUDE_PROXY_DRAIN_DELAY": "1ms",
    "CLAUDE_PROXY_DRAIN_TIMEOUT": "1s",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "info",
}
# Sanitizers and coverage are steered from outside; a small quarantine keeps the memory tests meaningful under ASan.
PASSED_ON = {
    "ASAN_OPTIONS": "quarantine_size_mb=8",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "",
    "LSAN_OPTIONS": "",
    "LLVM_PROFILE_FILE": "",
    "PATH": "/usr/bin:/bin",
}
UNPREFIXED = {
    "ANTHROPIC_API_KEY", "LOG_LEVEL", "LOG_FORMAT", "DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "QUEUE_URL",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL_SQS",
}  # fmt: skip
REPORT = re.compile(r"runtime error:|Sanitizer|LeakSanitizer|WARNING: ThreadSanitizer|Assertion .* failed")

# A killed test run leaves no processes behind (PR_SET_PDEATHSIG of prctl).
DIE_WITH_PARENT = functools.partial(ctypes.CDLL(None, use_errno=True).prctl, 1, signal.SIGKILL)

running = []  # every process of this module, newest last: conftest prints their logs when a test fails


def environment(settings):
    values = {name: os.environ.get(name, default) for name, default in PASSED_ON.items()}
    values = {name: value for name, value in values.items() if value}
    for name, value in settings.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = str(value)
    return values


class Process:
    """A child whose standard error is read line by line; JSON lines become dicts in `events`."""

    def __init__(self, command, settings, files_max=None, files=None):
        self._directory = tempfile.TemporaryDirectory(prefix="claude-proxy-test-")
        self.directory = self._directory.name
        for name, text in (files or {}).items():
            self.write(name, text)
        self.lines, self.events = [], []
        self.files_max = files_max
        self._changed = threading.Condition()

        def prepare():
            DIE_WITH_PARENT()
            if files_max:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))

        self.process = subprocess.Popen(
            command,
            cwd=self.directory,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=prepare,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        running.append(self)

    def write(self, name, text):
        """A file in the working directory, there at once with all its text."""
        path = os.path.join(self.directory, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            event = None
            if line.startswith("{"):
                try:
                    event = json.loads(line)
                except ValueError:
                    pass
            with self._changed:
                self.lines.append(line)
                if isinstance(event, dict):
                    self.events.append(event)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_event(self, matches, timeout=20, what="log line"):
        """The first log event that matches, past or to come."""
        found = []

        def look():
            found[:] = [event for event in self.events if matches(event)][:1]
            return found or not self._reader.is_alive()

        with self._changed:
            self._changed.wait_for(look, seconds(timeout))
        assert found, f"no {what} in the log\n{self.tail()}"
        return found[0]

    def tail(self, count=15):
        return "\n".join(line[:600] for line in self.lines[-count:])

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=20):
        try:
            code = self.process.wait(seconds(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pid {self.pid} still runs after {seconds(timeout)} s\n{self.tail()}") from None
        self._reader.join(seconds(5))
        return code

    def rss(self):
        """Resident memory of its own in bytes: not the mapped pages of files, which the kernel takes back at will."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024

    def cleanup(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._directory.cleanup()
        if self in running:
            running.remove(self)

    def check_reports(self):
        reports = [line for line in self.lines if REPORT.search(line)]
        if self.files_max and "<memory cannot be printed>" in "\n".join(self.lines):
            # UBSan probes memory through a pipe; without a descriptor for it, every first virtual call looks wrong.
            reports = [
                line for line in reports if "not point to an object of type" not in line and "SUMMARY" not in line
            ]
        told = [line for line in self.lines if not line.startswith("{")]
        assert not reports, "the process reported a defect of itself:\n" + "\n".join(told[-200:])


class Gateway(Process):
    """Started and listening when the constructor returns; `stop()` asserts a clean end. `words`: the subcommand; a
    `worker` has no `port`. `files`: text by name, in its working directory before it starts."""

    def __init__(self, upstream_url, files_max=None, tls=None, words=("serve",), files=None, **settings):
        values = dict(DEFAULTS)
        values["CLAUDE_PROXY_UPSTREAM_URL"] = upstream_url
        for name, value in settings.items():
            full = name if name in UNPREFIXED or name.startswith("AWS_") else "CLAUDE_PROXY_" + name
            values[full] = value
        assert os.access(PROXY, os.X_OK), f"{PROXY} does not exist; build it or set CLAUDE_PROXY_BIN"
        super().__init__([PROXY, *words], values, files_max, files)
        self.tls = tls
        try:
            ready = self.wait_event(lambda event: event.get("event") == "listening", what="listening line")
            listen = ready["listen"]
            self.port = None if listen == "nowhere" else int(listen.rsplit(":", 1)[1])
            self.admin_port = int(ready["admin_listen"].rsplit(":", 1)[1])
        except BaseException:
            self.cleanup()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(f"--- log of {self.pid}\n{self.tail()}")
            self.cleanup()
        else:
            self.stop()

    def client(self, **options):
        options.setdefault("tls", self.tls)
        return Client(self.port, **options)

    def admin(self):
        return Client(self.admin_port)

    def ask(self, *pieces, **options):
        """One request on a fresh connection, its whole answer."""
        with self.client() as client:
            return client.ask(*pieces, **options)

    def request_line(self, response, timeout=10):
        """The request log line that belongs to an answer."""
        own_id = response.header("x-claude-proxy-request-id")
        assert own_id, response.raw_head
        return self.wait_event(lambda event: event.get("request_id") == own_id, timeout, f"line of request {own_id}")

    def metrics(self):
        with self.admin() as admin:
            scraped = admin.ask(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n")
        assert scraped.status == 200, scraped.raw_head
        return scraped

    def stop(self):
        """SIGTERM, then exit code 0 within the drain's limits and a log without sanitizer reports."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            code = self.wait_exit()
            assert code == 0, f"exit code {code}\n{self.tail()}"
            self.check_reports()
        except BaseException:
            print(f"--- log of {self.pid}\n{self.tail()}")
            raise
        finally:
            self.cleanup()


class Simulator(Process):
    """A claude-sim process; `url` is where it listens."""

    def __init__(self, *arguments, **settings):
        assert os.access(SIM, os.X_OK), f"{SIM} does not exist; build it or set CLAUDE_SIM_BIN"
        super().__init__([SIM, *arguments], settings)
        self.url = self._wait_url()
        self.port = urllib.parse.urlsplit(self.url).port

    def _wait_url(self):
        deadline = time.monotonic() + seconds(20)
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if found := re.search(r"127\.0\.0\.1:(\d+)", line):
                    return f"http://127.0.0.1:{found[1]}"
            time.sleep(0.01)
        raise AssertionError(f"claude-sim told no address\n{self.tail()}")

    def stop(self):
        self.signal(signal.SIGTERM)
        code = self.wait_exit()
        self.check_reports()
        self.cleanup()
        assert code == 0, f"claude-sim ended with {code}"


def memory_slack(megabytes):
    """An allowance for memory growth; sanitizers keep shadow memory, so slow builds get more."""
    return int(megabytes * (1 if SCALE <= 1 else 4)) << 20
