"""tools/with_servers: the command finds its servers and can make them fail, and nothing is left however it ends."""

import glob
import os
import signal
import subprocess
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "tools/with_servers")
SECONDS = 60 * float(os.environ.get("TEST_TIME_SCALE", "1"))
SERVERS = ("postgres", "pgbouncer", "redis", "tls_redis", "sqs", "fauxqs")
SERVER_FOLDERS = tuple(f"claude-proxy-{name}-" for name in SERVERS)

# Prints where the servers' folders are, then waits to be ended.
WAIT = "echo $TEST_SERVERS_CONTROL; exec sleep 300"
# Stops PostgreSQL and starts it again through the control socket.
OUTAGE = """
import os, socket, subprocess
control = socket.socket(socket.AF_UNIX)
control.connect(os.environ["TEST_SERVERS_CONTROL"])
def tell(line):
    control.sendall(line + b"\\n")
    return control.recv(4096)
def is_up():
    return subprocess.run(["psql", "-XAtqc", "SELECT 1", os.environ["TEST_POSTGRES_URL"]]).returncode == 0
assert is_up()
for verb in (b"stop", b"start", b"freeze", b"thaw", b"kill", b"start"):
    assert tell(verb + b" postgres") == b"ok\\n", verb
    if verb != b"freeze":
        assert is_up() == (verb not in (b"stop", b"kill")), verb
assert tell(b"paint postgres").startswith(b"failed"), "an unknown verb"
"""


def processes_in(folders):
    """The command lines of processes that name or use one of the folders."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{path}/cmdline", encoding="utf-8", errors="replace") as file:
                words = file.read().replace("\0", " ")
            here = os.readlink(f"{path}/cwd")
        except OSError:
            continue
        if any(folder in words or here.startswith(folder) for folder in folders):
            found.append(words)
    return found


def folders_of_children(pid):
    """The servers' own folders, which are their working directories."""
    found = set()
    for listed in glob.glob(f"/proc/{pid}/task/*/children"):  # by the thread that started them
        with open(listed, encoding="ascii") as file:
            for child in file.read().split():
                parts = os.readlink(f"/proc/{child}/cwd").split("/")
                found |= {"/".join(parts[: at + 1]) for at, part in enumerate(parts) if part.startswith(SERVER_FOLDERS)}
    return found


class WithServers(unittest.TestCase):
    def run_to_the_end(self, *command):
        return subprocess.run([PROGRAM, *command], capture_output=True, text=True, timeout=SECONDS)

    def test_the_exit_code_is_the_commands(self):
        done = self.run_to_the_end("sh", "-c", "env | grep -c '^TEST_.*_URL='; exit 7")
        self.assertEqual((done.returncode, done.stdout), (7, "6\n"), done.stderr)
        self.assertEqual(self.run_to_the_end("sh", "-c", "kill -9 $$").returncode, 137)

    def test_a_command_that_does_not_exist_fails(self):
        done = self.run_to_the_end("/nowhere/at/all")
        self.assertEqual(done.returncode, 127)
        self.assertEqual(done.stderr, "with_servers: /nowhere/at/all: No such file or directory\n")

    def test_the_command_can_stop_and_start_a_server(self):
        done = self.run_to_the_end("python3", "-c", OUTAGE)
        self.assertEqual(done.returncode, 0, done.stderr)

    def check_that_nothing_is_left(self, number):
        """Ends it by a signal; the servers' folders."""
        with subprocess.Popen([PROGRAM, "sh", "-c", WAIT], stdout=subprocess.PIPE, text=True) as process:
            try:
                control = process.stdout.readline().strip()
                folders = [os.path.dirname(control), *folders_of_children(process.pid)]
                self.assertGreaterEqual(len(processes_in(folders)), 5)
                process.send_signal(number)
                process.wait(SECONDS)
            finally:
                process.kill()
        deadline = time.monotonic() + SECONDS
        while left := processes_in(folders):
            self.assertLess(time.monotonic(), deadline, left)
            time.sleep(0.05)
        return folders

    def test_a_signal_ends_everything_and_removes_it(self):
        for folder in self.check_that_nothing_is_left(signal.SIGTERM):
            self.assertFalse(os.path.exists(folder), folder)

    def test_even_a_kill_leaves_no_process(self):
        for folder in self.check_that_nothing_is_left(signal.SIGKILL):
            subprocess.run(["rm", "-rf", folder], check=True)  # nobody was left to do it


if __name__ == "__main__":
    unittest.main()
