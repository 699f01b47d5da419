"""tools/run.sh as a newcomer meets it: it starts, prints a key and a curl line that works, and Ctrl-C ends all of it.

Each test has a checkout of its own: tools/ and the built binaries by link, its own .env and var/.
"""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARIES = {
    "claude-proxy": os.environ.get("CLAUDE_PROXY_BIN", os.path.join(ROOT, "build/release/claude-proxy")),
    "claude-sim": os.environ.get("CLAUDE_SIM_BIN", os.path.join(ROOT, "build/release/claude-sim")),
}
SECONDS = 30 * float(os.environ.get("TEST_TIME_SCALE", "1"))
ANY_PORTS = {"CLAUDE_PROXY_LISTEN": "127.0.0.1:0", "CLAUDE_PROXY_ADMIN_LISTEN": "127.0.0.1:0"}


class Checkout:
    def __init__(self, env_file=""):
        self._directory = tempfile.TemporaryDirectory(prefix="claude-proxy-run-")
        self.path = self._directory.name
        os.symlink(os.path.join(ROOT, "tools"), os.path.join(self.path, "tools"))
        os.makedirs(os.path.join(self.path, "build/release"))
        for name, binary in BINARIES.items():
            os.symlink(os.path.abspath(binary), os.path.join(self.path, "build/release", name))
        with open(os.path.join(self.path, ".env"), "w", encoding="utf-8") as file:
            file.write(env_file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._directory.cleanup()

    def key_file(self):
        return os.path.join(self.path, "var/client-key")


class Run:
    """tools/run.sh in the foreground of a session of its own, as in a terminal."""

    def __init__(self, checkout, **settings):
        values = {"PATH": os.environ["PATH"], "HOME": checkout.path, **ANY_PORTS, **settings}
        self.output = ""
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [os.path.join(checkout.path, "tools/run.sh"), "--built"],
            env=values,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            # Whoever runs the tests in the background hands down an ignored SIGINT, which a shell cannot undo.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()  # the kernel ends its children (PR_SET_PDEATHSIG)
        self.process.wait()
        self._reader.join(SECONDS)
        self.process.stdout.close()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.output += line
                self._changed.notify_all()

    def wait_for(self, words):
        with self._changed:
            self._changed.wait_for(lambda: words in self.output or not self._reader.is_alive(), SECONDS)
        assert words in self.output, f"'{words}' was not said:\n{self.output}"

    def wait_exit(self):
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def curl_line(self):
        return re.search(r"^  try +(curl .*)$", self.output, re.M)[1]

    def address(self):
        host, port = re.search(r"is ready at https?://([\d.]+):(\d+)", self.output).groups()
        return host, int(port)


def listens(address):
    with contextlib.suppress(OSError):
        socket.create_connection(address, 1).close()
        return True
    return False


def paste(line):
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=SECONDS, check=False)
    return json.loads(done.stdout)


class RunTest(unittest.TestCase):
    def test_a_newcomer_gets_an_answer_from_the_simulator_and_ends_it_with_ctrl_c(self):
        with Checkout() as checkout, Run(checkout) as run:
            run.wait_for("Ctrl-C ends it.")
            self.assertIn("SIMULATOR", run.output)
            self.assertEqual(paste(run.curl_line())["type"], "message")
            simulator = re.search(r"claude-sim at http://([\d.]+):(\d+)", run.output).groups()
            self.assertEqual(stat.S_IMODE(os.stat(checkout.key_file()).st_mode), 0o600)
            os.killpg(run.process.pid, signal.SIGINT)
            self.assertEqual(run.wait_exit(), 0, run.output)
            self.assertFalse(listens(run.address()), "the gateway still listens")
            self.assertFalse(listens((simulator[0], int(simulator[1]))), "the simulator still listens")

    def test_the_key_of_the_first_run_is_the_key_of_the_next(self):
        with Checkout() as checkout:
            lines = []
            for _ in range(2):
                with Run(checkout) as run:
                    run.wait_for("Ctrl-C ends it.")
                    lines.append(re.search(r"^  key +(sk-cp-[0-9a-f]{64})$", run.output, re.M)[1])
                    run.process.send_signal(signal.SIGTERM)
                    self.assertEqual(run.wait_exit(), 0, run.output)
        self.assertEqual(lines[0], lines[1])

    def test_keys_and_upstream_of_the_env_file_are_used(self):
        env_file = (
            "# comment\nexport CLAUDE_PROXY_API_KEYS='sk-cp-mine,sk-cp-other'  # two\n"
            'CLAUDE_PROXY_UPSTREAM_URL="http://127.0.0.1:9"\nANTHROPIC_API_KEY=sk-ant-somebody\n'
        )
        with Checkout(env_file) as checkout, Run(checkout) as run:
            run.wait_for("Ctrl-C ends it.")
            self.assertIn("talks to Claude at http://127.0.0.1:9.", run.output)
            self.assertNotIn("SIMULATOR", run.output)
            self.assertRegex(run.output, r"(?m)^  key +sk-cp-mine$")
            self.assertFalse(os.path.exists(checkout.key_file()))
            refused = paste(run.curl_line())
            self.assertEqual(refused["error"]["details"]["reason"], "upstream_connect_failed")

    def test_a_port_in_use_is_said_before_anything_is_started(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            with Checkout() as checkout, Run(checkout, CLAUDE_PROXY_LISTEN=address) as run:
                self.assertEqual(run.wait_exit(), 1)
                self.assertIn(f"something listens on {address} already", run.output)
                self.assertIn("CLAUDE_PROXY_LISTEN=127.0.0.1:0", run.output)

    def test_a_bad_setting_ends_the_start_with_the_name_of_the_setting(self):
        with Checkout() as checkout, Run(checkout, CLAUDE_PROXY_THREADS="many") as run:
            self.assertEqual(run.wait_exit(), 1)
            self.assertIn("CLAUDE_PROXY_THREADS", run.output)
            self.assertNotIn("is ready at", run.output)

    def test_a_killed_script_leaves_nothing_behind(self):
        with Checkout() as checkout, Run(checkout) as run:
            run.wait_for("Ctrl-C ends it.")
            run.process.kill()
            run.wait_exit()
            deadline = time.monotonic() + SECONDS
            while listens(run.address()) and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertFalse(listens(run.address()), "the gateway outlived the script")


if __name__ == "__main__":
    unittest.main()
