"""Real PostgreSQL, PgBouncer, Redis and SQS servers for tests, each on a free loopback port and in a folder of its own.

Every server can be stopped, started again on its port, and frozen, so that a test can see what an outage does. All of
them end with the process that started them, however it ends. PostgreSQL and PgBouncer refuse to run as root: then they
run as the user `postgres`.
"""

import concurrent.futures
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from support.timing import seconds

ADMIN, OWNER = "postgres", "gateway"  # roles: a superuser, and one that may do nothing but own its databases
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
# The signal comes when the thread that started a process ends, and a test may start a server from any thread.
STARTER = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
STARTS_MAX = 5  # tries to find a free port: another process may take it between the look and the start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def children_of(pid):
    """The process and all below it."""
    found = [pid]
    for listed in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(listed, encoding="ascii") as file:
                below = file.read().split()
        except FileNotFoundError:
            continue
        for child in below:
            found += children_of(int(child))
    return found


class Server:
    """One server process. `start` returns when it answers."""

    name = "server"
    death_signal = signal.SIGTERM
    stop_signal = signal.SIGTERM
    unprivileged = False  # must not run as root

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix=f"claude-proxy-{self.name}-")
        self.port = None
        self.process = None
        self.user = None
        if self.unprivileged and os.geteuid() == 0:
            self.user = pwd.getpwnam("postgres")
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)

    def command(self):
        raise NotImplementedError

    def answers(self):
        return is_listening(self.port)

    def identity(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def run(self, *command):
        """One command as the server's user, to its end; its output."""
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=seconds(120), **self.identity()
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        assert self.process is None, f"{self.name} runs already"
        tries = 1 if self.port else STARTS_MAX
        for left in reversed(range(tries)):
            self.port = self.port or free_port()
            try:
                self._start_once()
                return self
            except AssertionError:
                self.stop("kill")
                if not left:
                    raise
                self.port = None
        return self

    def _start_once(self):
        with open(self.log_path, "ab") as log:
            self.process = STARTER.submit(
                subprocess.Popen,
                self.command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, self.death_signal),
                start_new_session=True,  # a Ctrl-C for the tests is not one for the server that they still talk to
                **self.identity(),
            ).result()
        deadline = time.monotonic() + seconds(60)
        while not self.answers():
            assert self.process.poll() is None, f"{self.name} ended at its start\n{self.log()}"
            assert time.monotonic() < deadline, f"{self.name} does not answer\n{self.log()}"
            time.sleep(0.02)

    @property
    def log_path(self):
        return os.path.join(self.directory, "server.log")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-20:])

    def stop(self, how="soon"):
        """`soon`: in order, without waiting for clients. `kill`: as after a crash."""
        if self.process is None:
            return
        self.thaw()
        self.process.send_signal(self.stop_signal if how == "soon" else self.death_signal)
        try:
            self.process.wait(seconds(30))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self, how="soon"):
        self.stop(how)
        self.start()

    def freeze(self):
        """The server keeps its connections and says nothing any more."""
        os.kill(self.process.pid, signal.SIGSTOP)  # first: it starts no others then
        for pid in children_of(self.process.pid):
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass

    def thaw(self):
        if self.process is None or self.process.poll() is not None:
            return
        for pid in children_of(self.process.pid):
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:  # a session that has just ended
                pass

    def close(self):
        self.stop("kill")
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


class Postgres(Server):
    name = "postgres"
    # To a postmaster SIGINT means: end the sessions, write everything, go. SIGQUIT means: go now.
    stop_signal, death_signal = signal.SIGINT, signal.SIGQUIT
    unprivileged = True

    def __init__(self, synced=False):
        """`synced`: a commit waits for the disk, as it does where the machine may crash."""
        super().__init__()
        self.synced = synced
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
        binary = found[-1] if found else shutil.which("initdb")
        assert binary, "PostgreSQL is not installed: tools/setup.sh test"
        self.binaries = os.path.dirname(binary)
        self.data = os.path.join(self.directory, "data")

    def _make_cluster(self):
        # Only the making of the empty cluster is not synced to disk; what the server writes is.
        initdb = os.path.join(self.binaries, "initdb")
        self.run(
            initdb, "-D", self.data, "-U", ADMIN, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions",
            "--no-sync",
        )  # fmt: skip
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as settings:
            settings.write(
                "listen_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = '{self.directory}'\n"
                "max_connections = 200\n"
                "shared_buffers = 64MB\n"
                f"fsync = {'on' if self.synced else 'off'}\n"  # the machine does not crash, processes do
                "deadlock_timeout = 100ms\n"
                "log_min_messages = warning\n"
            )

    def command(self):
        return [os.path.join(self.binaries, "postgres"), "-D", self.data, "-p", str(self.port)]

    def answers(self):
        ready = [os.path.join(self.binaries, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False, timeout=seconds(20)).returncode == 0

    def start(self):
        is_first = self.port is None
        if is_first:
            self._make_cluster()
        super().start()
        if is_first:
            self.sql(f"CREATE ROLE {OWNER} LOGIN")
        return self

    def sql(self, text, database="postgres"):
        """One statement as the superuser; what psql prints, unaligned and without headings."""
        psql = os.path.join(self.binaries, "psql")
        return self.run(
            psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", ADMIN, "-c", text,
            database,
        )  # fmt: skip

    def url(self, database="postgres", user=ADMIN):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create_role(self, name, password):
        """A role that has to say its password, other than those of the tests beside it."""
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        path = os.path.join(self.data, "pg_hba.conf")
        with open(path, encoding="utf-8") as file:
            rules = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"host all {name} 127.0.0.1/32 scram-sha-256\n{rules}")
        self.sql("SELECT pg_reload_conf()")

    def create_database(self, name):
        """Its URL for a role that owns it and may do nothing else."""
        self.sql(f'CREATE DATABASE "{name}" OWNER {OWNER}')
        return self.url(name, OWNER)


class PgBouncer(Server):
    """A pooler in transaction mode before every database of a Postgres, with fewer sessions than clients."""

    name = "pgbouncer"
    # SIGINT waits for transactions; SIGTERM goes now.
    stop_signal = death_signal = signal.SIGTERM
    unprivileged = True

    def __init__(self, postgres, pool_size=3):
        super().__init__()
        self.postgres = postgres
        self.pool_size = pool_size

    def command(self):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        assert os.path.exists(program), "PgBouncer is not installed: tools/setup.sh test"
        users = os.path.join(self.directory, "users.txt")
        with open(users, "w", encoding="utf-8") as file:
            file.write(f'"{ADMIN}" ""\n"{OWNER}" ""\n')
        # No reset between clients: what a client leaves behind is seen by the next one.
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": users,
            "admin_users": ADMIN,
            "pool_mode": "transaction",
            "default_pool_size": self.pool_size,
            "max_client_conn": 500,
            "server_reset_query": "",
            "server_login_retry": 1,
            "log_connections": 0,
            "log_disconnections": 0,
        }
        path = os.path.join(self.directory, "pgbouncer.ini")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"[databases]\n* = host=127.0.0.1 port={self.postgres.port}\n[pgbouncer]\n")
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        return [program, path]

    def url(self, database="postgres", user=ADMIN):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


class Redis(Server):
    """Forgets everything when it stops."""

    name = "redis"

    def command(self):
        program = shutil.which("redis-server")
        assert program, "Redis is not installed: tools/setup.sh test"
        return [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", self.directory,
        ]  # fmt: skip

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"


class Sqs(Server):
    """A server that speaks the protocol of Amazon SQS; checks no signature, forgets everything when it stops.

    Both kinds are Node programs of tests/support/sqs. `fauxqs` is faithful and fast; `local-aws-sqs` is another reading
    of the protocol, with an empty body for an empty receive.
    """

    def __init__(self, kind="fauxqs"):
        self.name = {"local-aws-sqs": "sqs", "fauxqs": "fauxqs"}[kind]
        self.kind = kind
        super().__init__()

    def command(self):
        own = os.path.join(ROOT, "build/node/bin/node")  # tools/setup.sh: where the system's is too old
        program = own if os.path.exists(own) else shutil.which("node")
        folder = os.path.join(ROOT, "tests/support/sqs")
        assert program and os.path.isdir(os.path.join(folder, "node_modules")), (
            "the SQS servers are not installed: tools/setup.sh test"
        )
        return [program, os.path.join(folder, "serve.mjs"), self.kind, str(self.port)]

    def answers(self):
        head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n"
        head += b"Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n\r\n{}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(head)
                return connection.recv(16).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"
