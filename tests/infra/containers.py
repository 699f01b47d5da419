"""Buildah with a store of its own, a Debian to build from, and processes of an image as a container runtime starts
them: for the tests beside it. Everything is local: no registry is asked.

A process gets what the task definition promises: the image's user, no capabilities, a read-only root, one writable
folder, and process number 1. Namespaces are made by unshare(1); the network is the machine's.
"""

import glob
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import cloud

BASE = "localhost/claude-proxy-base:12-slim"
BUILD_SECONDS_MAX = 1500
BASE_SECONDS_MAX = 600
BASE_AGE_MAX = 24 * 3600
# What makes the slim variant of Debian's image slim. Licences stay.
SLIM = [
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
]


def why_no_image():
    """None: images can be built and run here. Else the sentence for the skip."""
    if os.geteuid() != 0:
        return "images are built and run by root only: infra/image was not built"
    for program in ("buildah", "mmdebstrap", "unshare", "setpriv"):
        if not shutil.which(program):
            return f"{program} is not installed: infra/image was not built"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "--bind", "/usr", "/usr"], capture_output=True, check=False
    )
    if tried.returncode != 0:
        return f"no namespaces here ({tried.stderr.decode().strip()}): infra/image was not built"
    return None


def run(*command, seconds_max=120, environment=None, cwd=None):
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds_max,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


def can_overlay(folder):
    """Whether layers can lie over each other in a folder, or have to be copied (vfs)."""
    parts = [os.path.join(folder, "tmp", name) for name in ("lower", "upper", "work", "merged")]
    for each in parts:
        os.makedirs(each)
    script = "mount -t overlay overlay -o lowerdir=$1,upperdir=$2,workdir=$3 $4"
    tried = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *parts], capture_output=True, check=False)
    for each in parts:
        shutil.rmtree(each)
    return tried.returncode == 0


class Store:
    """Images and containers below one folder; `remove` takes all of it away."""

    def __init__(self, folder):
        self.folder = str(folder)
        for name in ("tmp", "graph", "run"):
            os.makedirs(os.path.join(self.folder, name))
        driver = "overlay" if can_overlay(self.folder) else "vfs"
        settings = os.path.join(self.folder, "storage.conf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(
                f'[storage]\ndriver = "{driver}"\ngraphroot = "{self.folder}/graph"\nrunroot = "{self.folder}/run"\n'
            )
        policy = os.path.join(self.folder, "policy.json")
        with open(policy, "w", encoding="utf-8") as file:
            file.write('{"default": [{"type": "insecureAcceptAnything"}]}\n')
        self.policy = policy
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "SSL_CERT_FILE") if key in os.environ}
        self.environment = {
            **keep,
            "CONTAINERS_STORAGE_CONF": settings,
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": os.path.join(self.folder, "tmp"),
        }
        self.mounted = []

    def buildah(self, *words, **more):
        return run("buildah", *words, environment=self.environment, **more)

    def mount(self, image):
        """The file system of an image."""
        container = self.buildah("from", "--pull-never", image).strip().split("\n")[-1]
        self.mounted.append(container)
        return self.buildah("mount", container).strip()

    def remove(self):
        for container in self.mounted:
            self.buildah("umount", container)
            self.buildah("rm", container)
        shutil.rmtree(self.folder, ignore_errors=True)


def sources():
    """The machine's own description of where Debian's packages are."""
    found = glob.glob("/etc/apt/sources.list.d/debian.sources")
    found += [path for path in ["/etc/apt/sources.list"] if os.path.exists(path) and os.path.getsize(path)]
    assert found, "nothing in /etc/apt says where Debian's packages are"
    return found[0]


def make_base(store):
    """What debian:12-slim is, from Debian's mirror; what was made for an earlier run today is good enough."""
    tar = os.path.join(cloud.ROOT, "build/infra/debian-12-slim.tar")
    if not os.path.exists(tar) or os.path.getmtime(tar) < time.time() - BASE_AGE_MAX:
        os.makedirs(os.path.dirname(tar), exist_ok=True)
        given = [f"--dpkgopt={each}" for each in [*SLIM, "force-unsafe-io"]]
        made = f"{tar}.{os.getpid()}.tar"
        # Debian's own image is merged from the start; usrmerge would bring all of Perl along.
        given += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"]
        run("mmdebstrap", "--variant=minbase", *given, "bookworm", made, sources(), seconds_max=BASE_SECONDS_MAX)
        os.rename(made, tar)
    container = store.buildah("from", "scratch").strip()
    store.buildah("add", container, tar, "/")
    store.buildah("config", "--cmd", "bash", container)
    store.buildah("commit", "--rm", container, BASE, seconds_max=BASE_SECONDS_MAX)


class Process:
    """One word of an image's program, as process number 1 of its container. `state` is the volume's folder."""

    def __init__(self, root, configuration, state, words, **settings):
        self.lines = []
        values = dict(each.split("=", 1) for each in configuration["Env"])
        values.update({name: str(value) for name, value in settings.items()})
        script = (
            "set -e; root=$1 state=$2 volume=$3 user=$4; shift 4\n"
            'mount --bind "$root" "$root"; mount --bind "$state" "$root$volume"\n'
            'mount -t proc -o ro proc "$root/proc"\n'
            'mount -o remount,bind,ro "$root"; cd "$root$volume"\n'
            'exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs '
            '--inh-caps=-all --bounding-set=-all env -C "$volume" -- "$@"\n'
        )
        volume = next(iter(configuration["Volumes"]))
        command = [*configuration["Entrypoint"], *words]
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", root, state, volume]
            + [configuration["User"], *command],
            env=values,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=cloud.DIE_WITH_PARENT,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    @property
    def log(self):
        return "\n".join(self.lines)

    @property
    def inner_pid(self):
        """Of the program: the only child of unshare."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def wait_for(self, event, seconds_max=30):
        """The first JSON line of the log with this event."""
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if line.startswith("{") and json.loads(line).get("event") == event:
                    return json.loads(line)
            if self.process.poll() is not None:
                self.reader.join(5)
                if f'"{event}"' not in self.log:
                    break
            time.sleep(0.02)
        raise AssertionError(f"no {event} in the log:\n{self.log[-3000:]}")

    def wait(self, seconds_max=60):
        """The exit code."""
        code = self.process.wait(seconds_max)
        self.reader.join(5)
        return code

    def terminate(self):
        os.kill(self.inner_pid, signal.SIGTERM)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
