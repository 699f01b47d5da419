"""What there is: asked of the programs themselves where they can be asked, else read in the sources."""

import functools
import glob
import json
import os
import re
import subprocess
import tempfile

from support.client import Client, request
from support.gateway import KEY, PROXY, SIM
from support.timing import seconds
from tidy_rules.tree import Tree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SETTING = re.compile(r"^  ([A-Z][A-Z0-9_]+) \(default: ", re.M)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
ROUTE_ROW = re.compile(r'^\s*\{"([A-Z*]+)", "(/[^"]*)",', re.M)
SOURCE = (".cpp", ".hpp", ".py", ".sh", ".sql", ".tf", ".hcl", ".tfvars", ".yaml", ".yml", ".json", ".mjs", ".in")


def read(path):
    return tree().text(path)


@functools.cache
def tree():
    """The repository without what was built, as tools/tidy sees it."""
    return Tree(ROOT)


def files():
    return tree().paths


def exists(path):
    return path == "." or tree().has(path)


def said_by(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds(30), check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Word:
    """One subcommand: its own options and the words below it."""

    def __init__(self, *words):
        self.help = said_by(PROXY, *words, "--help")
        _, _, rest = self.help.partition("\nUsage:")
        below = re.search(r"^Subcommands:\n((?:.+\n)+)", rest, re.M | re.I)
        names = re.findall(r"^  ([a-z][a-z-]*)\s", below[1], re.M) if below else []
        self.options = set(OPTION.findall(re.split(r"^\s*Settings come from", self.help, flags=re.M)[0]))
        self.below = {name: Word(*words, name) for name in names}

    def all_options(self):
        return self.options.union(*(word.all_options() for word in self.below.values()))


@functools.cache
def command_line():
    """The words of claude-proxy, as its --help tells them."""
    return Word()


@functools.cache
def settings():
    """Every setting that `claude-proxy serve --help` lists."""
    return frozenset(SETTING.findall(said_by(PROXY, "serve", "--help")))


@functools.cache
def simulator_options():
    return frozenset(OPTION.findall(said_by(SIM, "--help")))


@functools.cache
def script_options(path):
    """The options of a script: what its --help says where it is one of infra/scripts, else what its text names."""
    text = read(path)
    if path.startswith("infra/scripts/") and "--help)" in text:
        return frozenset({"--help", *OPTION.findall(said_by("bash", path, "--help"))})
    return frozenset(OPTION.findall(text))


@functools.cache
def routes():
    """(method, path) of both listeners' tables; `{}` stands for a segment, `**` for a rest, `*` for any method."""
    tables = read("src/gateway/routes.cpp") + read("src/admin/routes.cpp") + read("sim/routes.cpp")
    controls = {("*", path) for path in re.findall(r'"(/sim/[a-z]+)"', read("sim/control.cpp"))}
    others = {("GET", "/metrics"), ("POST", "/v1/chat/completions")}
    return frozenset(set(ROUTE_ROW.findall(tables)) | controls | others)


@functools.cache
def terraform():
    """(variables, outputs, name endings) of infra/terraform: what ${var.name}-... may be called."""
    text = "\n".join(read(path) for path in files() if path.endswith((".tf", ".tfvars")))
    top = "\n".join(read(path) for path in files() if re.fullmatch(r"infra/terraform/[a-z_]+\.tf", path))
    endings = set(re.findall(r"\$\{var\.name\}-([a-z0-9-]*[a-z0-9])", text))
    keys = re.findall(r"^\s+([a-z][a-z_-]+)\s+= \{", text, re.M)
    for inside in re.findall(r"for_each\s+= \{([^}]*)\}", text):
        keys += re.findall(r"(\w+) =", inside)
    endings |= {key.replace("_", "-") for key in keys}
    variables = set(re.findall(r'^variable "(\w+)"', text, re.M))
    return frozenset(variables), frozenset(re.findall(r'^output "(\w+)"', top, re.M)), frozenset(endings)


@functools.cache
def words():
    """Every word with an underscore in it, small or large, that some source has: what a document may name."""
    found = set()
    for path in files():
        if path.startswith(("tests/docs/", "tests/fuzz/corpus")) or path.endswith(".md"):
            continue
        if path.endswith(SOURCE) or "." not in path.rsplit("/", 1)[-1] or path == ".env.example":
            found |= set(re.findall(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+", read(path)))
    return frozenset(found)


@functools.cache
def make_words():
    return frozenset(re.findall(r"^([a-z][\w-]*):", read("Makefile"), re.M))


@functools.cache
def metrics_in_sources():
    """Names of strings in src/, as metrics have them: some are told only when something has happened."""
    found = set()
    for path in files():
        if path.startswith("src/") and path.endswith((".cpp", ".hpp")) and not path.endswith("_test.cpp"):
            found |= set(re.findall(r'"(?:claude_proxy_)?([a-z]+(?:_[a-z0-9]+)+)"', read(path)))
    return frozenset("claude_proxy_" + name for name in found)


@functools.cache
def promql_problem(expression):
    """What Prometheus says against an expression; None: it parses."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        json.dump({"groups": [{"name": "docs", "rules": [{"record": "x", "expr": expression}]}]}, file)
        file.flush()
        command = ["promtool", "check", "rules", file.name]  # tools/setup.sh test
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds(30), check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip().rsplit("\n", 1)[-1]


@functools.cache
def log_events():
    """Names that src/ gives to the lines of its log."""
    found = set()
    for path in files():
        if path.startswith("src/") and path.endswith(".cpp") and not path.endswith("_test.cpp"):
            for arguments in re.findall(r"\b(?:log|begin_line)\(([^;{]*level::[^;{]*)", read(path)):
                found |= set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"', arguments))
    return frozenset(found)


class Scrape:
    """The metrics of one answer: the kind of each, and the names of its labels. `others` are known by name only."""

    def __init__(self, text, others=()):
        self.others = others
        self.kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M))
        self.labels = {}
        for name, inside in re.findall(r"^([a-z_]+)(?:\{(.*)\})? \S+$", text, re.M):
            self.labels.setdefault(self.family(name) or name, set()).update(re.findall(r'(\w+)="', inside))

    def family(self, name):
        """The family that a name belongs to, or None."""
        if name in self.kinds:
            return name
        base = re.sub(r"_(?:bucket|sum|count)$", "", name)
        if self.kinds.get(base) == "histogram":
            return base
        return name if name in self.others else base if base != name and base in self.others else None


def scrape_after_traffic(gateway):
    """What a gateway that also works tells once it has seen a bit of everything."""
    body = b'{"model": "claude-haiku-4-5", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi."}]}'
    stream = body.replace(b'"max_tokens"', b'"stream": true, "max_tokens"')
    job = b'{"request": ' + body + b"}"
    head = [("anthropic-version", "2023-06-01")]
    with Client(gateway.port) as client:
        for sent in (body, stream):
            assert client.ask(request(body=sent, headers=head, key=KEY)).status == 200
        made = client.ask(request("POST", "/v1/jobs", job, head, key=KEY))
        assert made.status == 202, made.raw_head
        told = client.ask(request("GET", f"/v1/jobs/{made.json()['id']}?wait=30", headers=head, key=KEY))
        assert told.json()["status"] == "succeeded", told.body
        assert client.ask(request("GET", "/v1/models", headers=head, key="sk-cp-nobody")).status == 401
    return Scrape(gateway.metrics().body.decode(), metrics_in_sources())


def scripts():
    return sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "infra/scripts/*.sh")))
