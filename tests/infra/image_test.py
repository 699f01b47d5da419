"""infra/image built by buildah from a local Debian, and run as ECS runs it.

The binary of `make build` stands in for the Dockerfile's first stage, which installs the compilers and builds once
more; IMAGE_FULL=1 builds that stage too.

Goal: the image that is shipped holds what it should and nothing else, and each of its three words runs with a
read-only root, as a user who may do nothing, and ends in order. Method: a copy of what git knows, with things planted
in it that must not get in, is built by infra/image/build.sh; tests/infra/containers.py runs the result.
"""

import http.client
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.request

import cloud
import containers
import pytest
from conftest import skip_loudly

sys.path.insert(0, os.path.join(cloud.ROOT, "tests"))

from support.gateway import PROXY, SIM, Simulator  # noqa: E402
from support.servers import Postgres  # noqa: E402

FULL = os.environ.get("IMAGE_FULL") == "1"
TAG = "localhost/claude-proxy:test"
BYTES_MAX = 120_000_000
PLANTED = "planted-sk-ant-api03-never-in-an-image"
PLACES = [".env", "src/.env", "var/gateway.db", "build/note", "infra/terraform/envs/prod/secret.tfvars", "note.pem"]
ABSENT = ["curl", "wget", "python3", "gcc", "clang-19", "git", "nc", "ssh", "make", "sudo", "strace"]
WRITABLE = "/var/lib/claude-proxy"
MINE = {"ANTHROPIC_API_KEY": "sk-ant-api03-image", "CLAUDE_PROXY_API_KEYS": "sk-cp-image", "LOG_FORMAT": "json"}


def text_of(path):
    with open(os.path.join(cloud.ROOT, path), encoding="utf-8") as file:
        return file.read()


class Image:
    """Built once; `root` is its file system, `configuration` what the runtime is told."""

    def __init__(self, store):
        self.store = store
        self.tree = os.path.join(store.folder, "tree")
        self.copy_tree()
        # What was planted is no part of the revision, and the label has to say so.
        self.revision = containers.run("git", "rev-parse", "HEAD", cwd=self.tree).strip() + "-dirty"
        containers.make_base(store)
        given = ["--pull-never", "--signature-policy", store.policy]
        given += self.cache() if FULL else [f"--build-context=build={self.first_stage()}"]
        self.said = containers.run(
            os.path.join(self.tree, "infra/image/build.sh"), TAG, *given, cwd=self.tree,
            environment={**store.environment, "BUILDER": "buildah", "BASE": containers.BASE},
            seconds_max=containers.BUILD_SECONDS_MAX,
        )  # fmt: skip
        told = json.loads(store.buildah("inspect", "--type", "image", TAG))
        self.configuration = told["Docker"]["config"]
        self.bytes = sum(
            os.lstat(os.path.join(folder, name)).st_size
            for folder, _, files in os.walk(self.mount())
            for name in files
        )

    def cache(self):
        """The machine's compiler cache; its entries depend on the locale."""
        folder = os.environ.get("CCACHE_DIR") or containers.run("ccache", "-k", "cache_dir").strip()
        os.makedirs(folder, exist_ok=True)
        locale = [f"--build-arg={name}={os.environ[name]}" for name in ("LANG", "LC_ALL") if name in os.environ]
        return ["--volume", f"{folder}:/cache:rw", "--build-arg=CCACHE_DIR=/cache", *locale]

    def first_stage(self):
        """What the first stage leaves, from the binary that is there."""
        folder = os.path.join(self.store.folder, "first-stage")
        os.makedirs(folder + "/out")
        containers.run("strip", "-o", folder + "/out/claude-proxy", PROXY)
        listed = re.search(r"dpkg-query -W -f '.*' (.*) \\\n", text_of("infra/image/Dockerfile"))[1].split()
        with open(folder + "/out/compiled-in", "w", encoding="utf-8") as file:
            file.write(containers.run("dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *listed))
        return folder

    def copy_tree(self):
        os.makedirs(self.tree)
        listed = containers.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=cloud.ROOT)
        for path in filter(None, listed.split("\0")):
            if os.path.exists(os.path.join(cloud.ROOT, path)):
                os.makedirs(os.path.dirname(os.path.join(self.tree, path)), exist_ok=True)
                shutil.copy2(os.path.join(cloud.ROOT, path), os.path.join(self.tree, path))
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
            containers.run(*git, *words, cwd=self.tree)
        for place in PLACES:
            os.makedirs(os.path.dirname(os.path.join(self.tree, place)), exist_ok=True)
            with open(os.path.join(self.tree, place), "w", encoding="utf-8") as file:
                file.write(f"ANTHROPIC_API_KEY={PLANTED}\n")

    def mount(self):
        self.root = self.store.mount(TAG)
        return self.root

    def files(self):
        for folder, folders, files in os.walk(self.root):
            for name in [*folders, *files]:
                yield os.path.join(folder, name)

    @property
    def sbom(self):
        with open(self.root + "/usr/share/claude-proxy/sbom.spdx.json", encoding="utf-8") as file:
            return json.load(file)

    @property
    def version(self):
        return re.search(r"project\(claude_proxy VERSION ([\d.]+)", text_of("CMakeLists.txt"))[1]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    why = containers.why_no_image()
    if why:
        skip_loudly(why)
    if not FULL and not os.path.exists(PROXY):
        skip_loudly("no gateway was built (make build, or IMAGE_FULL=1): infra/image was not built")
    store = containers.Store(tmp_path_factory.mktemp("image"))
    try:
        yield Image(store)
    finally:
        store.remove()


@pytest.fixture
def start(image, tmp_path):
    """Starts words of the image; the state's folder begins as the image's volume does."""
    started = []
    state = str(tmp_path / "state")
    os.makedirs(state, 0o750)
    os.chown(state, 10001, 10001)

    def one(*words, **settings):
        started.append(containers.Process(image.root, image.configuration, state, words, **{**MINE, **settings}))
        return started[-1]

    one.state = state
    yield one
    for process in started:
        process.kill()


@pytest.fixture
def simulator():
    if not os.path.exists(SIM):
        skip_loudly("claude-sim was not built (make build): the image answered no request")
    running = Simulator("--listen", "127.0.0.1:0", "--api-key", MINE["ANTHROPIC_API_KEY"])
    yield running
    running.stop()


def listeners():
    public, admin = cloud.free_port(), cloud.free_port()
    return public, admin, {
        "CLAUDE_PROXY_LISTEN": f"0.0.0.0:{public}",
        "CLAUDE_PROXY_ADMIN_LISTEN": f"0.0.0.0:{admin}",
    }  # fmt: skip


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.status, json.load(answer)


def status_of(process):
    """The lines of /proc/PID/status."""
    with open(f"/proc/{process.inner_pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def test_image_and_task_definition_say_the_same():
    dockerfile, tasks = text_of("infra/image/Dockerfile"), text_of("infra/terraform/modules/ecs/main.tf")

    def of(word):
        return re.findall(rf"^{word} (.*)$", dockerfile, re.M)[-1]

    assert json.loads(of("ENTRYPOINT")) == json.loads(re.search(r"entryPoint\s+= (\[.*\])", tasks)[1])
    assert of("USER") == re.search(r'user\s+= "([\d:]+)"', tasks)[1]
    assert of("VOLUME") == of("WORKDIR") == re.search(r'writable = "(\S+)"', tasks)[1] == WRITABLE
    assert "readonlyRootFilesystem = true" in tasks
    ports = re.search(r"listen = \{ public = (\d+), admin = (\d+) \}", text_of("infra/terraform/locals.tf")).groups()
    assert of("EXPOSE").split() == list(ports)
    assert f"CLAUDE_PROXY_LISTEN=0.0.0.0:{ports[0]} " in dockerfile
    assert f"CLAUDE_PROXY_ADMIN_LISTEN=0.0.0.0:{ports[1]} " in dockerfile
    assert re.search(r'JOURNAL_DIR\s+= "\$\{local.writable\}/journal"', tasks)
    assert f"CLAUDE_PROXY_JOURNAL_DIR={WRITABLE}/journal\n" in dockerfile
    check = of("HEALTHCHECK")
    asked = json.loads(re.search(r"command\s+= (\[\"CMD\".*\])", tasks)[1])
    assert ["CMD", *json.loads(check.partition("CMD ")[2])] == asked
    for flag, name in {"interval": "interval", "timeout": "timeout", "start-period": "startPeriod"}.items():
        wanted = re.search(name + r"\s+= (\d+)", tasks)[1]
        assert f"--{flag}={wanted}s " in check, flag
    wanted = re.search(r"retries\s+= (\d+)", tasks)[1]
    assert f"--retries={wanted} " in check


def test_its_settings_are_those_of_the_dockerfile(image):
    its = image.configuration
    assert its["User"] == "10001:10001" and its["Entrypoint"] == ["claude-proxy"] and its["Cmd"] == ["serve"]
    assert its["WorkingDir"] == WRITABLE and list(its["Volumes"]) == [WRITABLE]
    assert sorted(its["ExposedPorts"]) == ["8080/tcp", "8081/tcp"]
    assert its["Healthcheck"]["Test"] == ["CMD", "claude-proxy", "probe"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in its["Labels"].items()}
    assert labels["version"] == image.version and labels["revision"] == image.revision
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])


def test_it_is_small(image):
    print(f"\nthe image has {image.bytes / 1e6:.1f} MB of files, of {BYTES_MAX / 1e6:.0f}")
    assert image.bytes <= BYTES_MAX


def test_nobody_becomes_somebody_else_in_it(image):
    raised = [path for path in image.files() if not os.path.islink(path) and os.lstat(path).st_mode & 0o6000]
    assert not [path for path in raised if not stat.S_ISDIR(os.lstat(path).st_mode)]
    owned = {path[len(image.root) :] for path in image.files() if os.lstat(path).st_uid == 10001}
    assert owned == {WRITABLE}


def test_there_is_nothing_to_fetch_or_build_with(image):
    folders = [image.root + each for each in ("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin")]
    assert not [name for name in ABSENT for folder in folders if os.path.lexists(os.path.join(folder, name))]
    assert os.listdir(image.root + "/usr/local/bin") == ["claude-proxy"]
    assert not os.listdir(image.root + "/var/lib/apt/lists") and not os.path.exists(image.root + "/src")


def test_no_secret_and_no_settings_file_is_in_it(image):
    assert not [each for each in image.configuration["Env"] if re.search("KEY|SECRET|PEPPER|DATABASE", each)]
    found = subprocess.run(
        ["grep", "-rlF", "--binary-files=text", PLANTED, "--exclude-dir=tree", image.store.folder],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert found.stdout == "", "in a layer, of whatever stage"
    names = re.compile(r"(^\.env$|\.pem$|\.key$|\.tfvars$|\.tfstate$|_history$|^id_rsa)")
    files = [path for path in image.files() if not os.path.islink(path)]
    named = [path[len(image.root) :] for path in files if names.search(os.path.basename(path))]
    assert [path for path in named if not path.startswith("/etc/ssl/certs/")] == []


def test_the_sbom_names_every_library(image):
    told = image.sbom
    assert told["spdxVersion"] == "SPDX-2.3"
    packages = {each["SPDXID"]: each for each in told["packages"]}
    assert packages["SPDXRef-claude-proxy"]["versionInfo"] == image.version
    assert image.revision in packages["SPDXRef-claude-proxy"]["sourceInfo"]
    links = [each for each in told["relationships"] if each["relationshipType"] == "DYNAMIC_LINK"]
    by_path = {re.search(r"\((\S+)\)", each["comment"])[1]: each["relatedSpdxElement"] for each in links}
    program = image.root + "/usr/local/bin/claude-proxy"
    said = containers.run("chroot", image.root, "ldd", program[len(image.root) :])
    wanted = re.findall(r"(/\S+) \(0x", said)
    assert len(wanted) > 15 and sorted(by_path) == sorted(set(wanted))
    installed = containers.run(
        "dpkg-query", f"--admindir={image.root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version}\\n"
    )
    debian = {each["name"]: each["versionInfo"] for name, each in packages.items() if name.startswith("SPDXRef-deb-")}
    assert debian == dict(line.split() for line in installed.splitlines())
    for path, which in by_path.items():
        assert which in packages, path
    built = {each["name"] for each in packages.values() if each["SPDXID"].startswith("SPDXRef-build-")}
    assert {"libcli11-dev", "libboost1.81-dev", "clang-19"} <= built
    ends = {each[side] for each in told["relationships"] for side in ("spdxElementId", "relatedSpdxElement")}
    assert ends <= set(packages) | {"SPDXRef-DOCUMENT"}


def test_serve_answers_with_a_read_only_root_and_drains(image, start, simulator):
    public, admin, where = listeners()
    process = start(
        "serve", CLAUDE_PROXY_UPSTREAM_URL=simulator.url, CLAUDE_PROXY_DRAIN_DELAY="1s", **where
    )
    process.wait_for("listening")
    status = status_of(process)
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1"
    assert status["NSpid"].split()[-1] == "1", "process number 1"
    with open(f"/proc/{process.inner_pid}/mountinfo", encoding="utf-8") as file:
        mounts = {line.split()[4]: line.split()[5].split(",") for line in file}
    assert "ro" in mounts["/"] and "rw" in mounts[WRITABLE]
    assert get(public, "/health") == (200, {"status": "ok"}) and get(admin, "/ready") == (200, {"status": "ready"})
    assert start("probe", **where).wait() == 0 and start("probe", "--ready", **where).wait() == 0

    connection = http.client.HTTPConnection("127.0.0.1", public, timeout=30)
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"x-api-key": "sk-cp-image", "anthropic-version": "2023-06-01", "content-type": "application/json"}
    connection.request("POST", "/v1/messages", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200 and json.load(answer)["type"] == "message"
    connection.close()

    process.terminate()
    process.wait_for("draining")
    refused = start("probe", "--ready", **where)
    assert refused.wait() == 1 and "draining" in refused.log
    assert process.wait() == 0 and '"event":"stopped"' in process.log
    assert os.path.isdir(os.path.join(start.state, "journal"))
    gone = start("probe", **where)
    assert gone.wait() == 1


def test_migrate_and_worker_run(image, start):
    with Postgres() as server:
        url = server.create_database("image")
        migrated = start("migrate", DATABASE_URL=url)
        assert migrated.wait() == 0, migrated.log
        _, admin, where = listeners()
        worker = start("worker", DATABASE_URL=url, CLAUDE_PROXY_UPSTREAM_URL="http://127.0.0.1:9", **where)
        assert worker.wait_for("listening")["listen"] == "nowhere"
        assert start("probe", **where).wait() == 0
        assert get(admin, "/health")[0] == 200
        worker.terminate()
        assert worker.wait() == 0 and '"event":"stopped"' in worker.log


def test_nothing_else_can_be_written(image, start):
    """A journal anywhere else ends the start: the root is read-only, not only by the user's rights."""
    _, _, where = listeners()
    process = start("serve", CLAUDE_PROXY_UPSTREAM_URL="http://127.0.0.1:9", CLAUDE_PROXY_JOURNAL_DIR="/tmp/j", **where)
    assert process.wait() == 1 and "/tmp/j" in process.log, process.log
