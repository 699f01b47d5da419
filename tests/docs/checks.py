"""What a document may say. Each check takes a document and what it compares with, and yields (line, what is wrong).

Plain functions: checks_test.py shows each of them broken documents, docs_test.py the real ones.
"""

import fnmatch
import os
import re
import shlex
import urllib.parse

METHODS = "GET|POST|PUT|PATCH|DELETE|HEAD"
NAMED_ROUTE = re.compile(rf"((?:(?:{METHODS})`?, `?)*(?:{METHODS})) (/(?:\{{[^}}]*\}}|[^\s`'\"{{])*)")
CALLED_URL = re.compile(r"(?:127\.0\.0\.1|localhost):808[01](/[^\s'\"|)]*)")
METRIC = re.compile(r"\bclaude_proxy_[a-z0-9_]*[a-z0-9](?![a-z0-9_*(<])(\{[^}]*\})?")
PROMQL = re.compile(r"\b(?:sum|max|min|avg|count|rate|increase|delta|histogram_quantile|topk|absent)\b[^`]*\(")
LARGE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(?!_?\*|_?…)")
SMALL = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
OURS = re.compile(r"(?<![\w-])claude-proxy-([a-z][a-z0-9-]*[a-z0-9])\b")
# Where a command begins: at a line, behind what joins commands, and behind variables that are set for it.
BEGIN = r"(?:^|[|;&(]|\b(?:do|then|time)\b)[ \t]*(?:[A-Za-z_]+=\S*[ \t]+)*"
INVOKED = re.compile(BEGIN + r"(?:build/release/)?claude-proxy((?: [^\n|;&)#>]*)?)(?=[\n|;&)#>]|$)", re.M)
SCRIPT = re.compile(
    r"(?:^|[\s(])((?:infra/scripts|tools|bench|tests|\.ci)/[\w./-]+)((?: (?![\w./-]+/)[^ \n|;&)#>]*)*)", re.M
)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OUR_PATH = re.compile(
    r"(?:^|[\s\"'=(])((?:src|docs|infra|tools|bench|tests|migrations|data|sim|\.ci)/[\w.*/-]*[\w*/])", re.M
)


def joined(text):
    """Lines that end in a backslash are one."""
    return re.sub(r"\\\n\s*", " ", text)


def words_of(text):
    """The words of a piece of a command; a quote that does not end here ends with the piece."""
    for closing in ("", "'", '"'):
        try:
            return shlex.split(text + closing)
        except ValueError:
            continue
    return text.split()


# Links and paths.


def links_resolve(document, documents, exists):
    """Relative links lead to files or folders, anchors to headings. `documents`: by path; `exists`: of a path."""
    for line, target in document.links:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = urllib.parse.unquote(target).partition("#")
        beside = os.path.dirname(document.path)
        file = os.path.normpath(os.path.join(beside, path)) if path else document.path
        if not exists(file):
            yield line, f"the link {target} leads nowhere"
        elif anchor and file.endswith(".md"):
            if file not in documents or anchor not in documents[file].anchors:
                yield line, f"{file} has no heading for #{anchor}"


def paths_in_code_exist(document, exists, all_paths):
    """A path of the repository that a block of commands names is there; `*` is open."""
    for block in document.blocks:
        if not block.is_shell:
            continue
        for match in OUR_PATH.finditer(block.text):
            path = match[1].rstrip("/.")
            if not exists(path) and not ("*" in path and fnmatch.filter(all_paths, path)):
                yield block.line, f"{path} does not exist"


# Commands.


def words_exist(document, root):
    """`claude-proxy WORD ...` in code has only words and options that its --help tells. `root`: facts.Word."""
    for line, text in document.code:
        for match in INVOKED.finditer(joined(text)):
            yield from ((line, problem) for problem in wrong_words(match[1], root, "claude-proxy"))
    for line, text in document.quoted:
        first, _, rest = text.partition(" ")
        if first in root.below and re.match(r"[a-z-]", rest):
            yield from ((line, problem) for problem in wrong_words(text, root, "claude-proxy"))


def wrong_words(text, word, name):
    for each in words_of(text):
        if each.startswith("--"):
            flag = re.match(r"--[a-z-]+", each)
            if flag and flag[0] not in word.options | {"--help"}:
                yield f"`{name}` has no option {flag[0]}"
        elif word.below and re.fullmatch(r"[a-z][a-z-]*", each):
            if each not in word.below:
                yield f"`{name}` has no word {each}"
                return
            word, name = word.below[each], f"{name} {each}"
        elif word.below:
            return  # `claude-proxy <word> --help`, `claude-proxy ...`: no word is named


def script_options_exist(document, options_of, exists):
    """A script that is called is there, and has the options that it is called with."""
    for line, text in document.code:
        for match in SCRIPT.finditer(joined(text)):
            path, rest = match[1].rstrip("."), match[2]
            if "*" in path or not exists(path) or not os.path.splitext(path)[1] in ("", ".sh", ".py"):
                continue  # paths_in_code_exist tells
            if path.endswith("/tf.sh") or os.path.isdir(path):
                continue  # what follows is Terraform's
            for flag in FLAG.findall(rest):
                if flag not in options_of(path):
                    yield line, f"{path} has no option {flag}"


def flags_exist(document, known):
    """An option that is quoted alone belongs to one of our programs or scripts, or is used by one."""
    for line, text in document.quoted:
        if not text.startswith("--"):
            continue
        for flag in FLAG.findall(text):
            if flag not in known:
                yield line, f"no program has the option {flag}"


def make_words_exist(document, known):
    """`make WORD`, quoted or in a block, is a target of the Makefile."""
    for line, text in document.code:
        for word in re.findall(r"^(?:\S+=\S+ )*make ([a-z][\w-]*)", text, re.M):
            if word not in known:
                yield line, f"the Makefile has no word {word}"


# Names.


def settings_exist(document, settings, others):
    """Every CLAUDE_PROXY_... is a setting that `serve --help` lists, or one of `others`."""
    for number, line in enumerate(document.text.split("\n"), 1):
        for name in LARGE.findall(line):
            if name.startswith("CLAUDE_PROXY_") and name not in settings | others:
                yield number, f"`claude-proxy serve --help` has no setting {name}"


def variables_exist(document, words):
    """Another large word in code is one that something of ours reads or says, a variable of the reader's own shell
    ($NAME), or a placeholder."""
    own = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", document.text))
    for line, text in document.code:
        for name in LARGE.findall(text):
            if not name.startswith(("CLAUDE_PROXY_", "TF_VAR_", "YOUR_", "REPLACE_")) and name not in words | own:
                yield line, f"nothing knows the variable {name}"


def metrics_exist(document, scrape):
    """A metric is one that is told, `_bucket` and the like belong to histograms, and labels are those of a scrape."""
    for number, line in enumerate(document.text.split("\n"), 1):
        for match in METRIC.finditer(line.replace(r"\|", "|")):
            name = match[0].partition("{")[0]
            family = scrape.family(name)
            if family is None:
                yield number, f"there is no metric {name}"
            if family not in scrape.kinds:
                continue  # told only when something has happened that did not: its labels are not known
            for label in re.findall(r'([a-z]+)\s*(?:=~|!=|!~|=)\s*"', match[1] or ""):
                if label not in scrape.labels.get(family, set()) | {"le", "instance", "job"}:
                    yield number, f"{family} has no label {label}"


def promql(document):
    """Expressions of Prometheus: what is quoted and calls one of its functions on a metric, and lines of a block."""
    for line, text in document.quoted:
        if PROMQL.search(text) and re.search(r"\bclaude_proxy[_:]", text):
            yield line, text
    for block in document.blocks:
        if block.info == "promql":
            for number, text in enumerate(block.text.split("\n")):
                if text.strip() and not text.strip().startswith("#"):
                    yield block.line + number, text


def expressions_parse(document, problem_of):
    """`problem_of`: what Prometheus says against an expression, or None."""
    for line, text in promql(document):
        if problem := problem_of(text):
            yield line, f"{text}: {problem}"


def routes_exist(document, routes):
    """`GET /path` and the URLs that examples call are rows of our tables. `{...}` in a document is any segment."""
    for line, text in document.code:
        for match in NAMED_ROUTE.finditer(text):
            path = path_of(match[2])
            for method in re.findall(METHODS, match[1]):
                if path and not has_route(routes, method, path):
                    yield line, f"there is no route {method} {path}"
        for match in CALLED_URL.finditer(text):
            path = path_of(match[1])
            if path and not any(has_route(routes, method, path) for method in METHODS.split("|")):
                yield line, f"there is no route {path}"


def path_of(written):
    return re.sub(r"\[?[?#].*$", "", re.sub(r"\{[^}]*\}|\$\{?\w+\}?|\$\(.*", "{}", written)).rstrip(".,;:/") or "/"


def has_route(routes, method, path):
    segments = path.split("/")
    for its_method, pattern in routes:
        if pattern == "/v1/**" or its_method not in (method, "*") and (method, its_method) != ("HEAD", "GET"):
            continue  # what is only passed on is nothing that a document may lean on
        wanted = pattern.split("/")
        if wanted[-1] == "**":
            if segments[: len(wanted) - 1] == wanted[:-1]:
                return True
        elif len(wanted) == len(segments) and all(a == b or a == "{}" for a, b in zip(wanted, segments)):
            return True
    return False


def identifiers_exist(document, words):
    """A quoted word with underscores stands in some source: a member, reason, event, variable, column."""
    for line, text in document.quoted:
        if SMALL.fullmatch(text) and text not in words and not text.startswith("claude_proxy_"):
            yield line, f"no source knows `{text}`"


def terraform_names_exist(document, variables, outputs, endings):
    """-var, TF_VAR_ and `x = value` are variables, `output x` outputs, claude-proxy-x names that Terraform makes."""
    for line, text in document.code:
        for name in re.findall(r"-var[ =]'?(\w+)=", text) + re.findall(r"\bTF_VAR_(\w+)", text):
            if name not in variables:
                yield line, f"Terraform has no variable {name}"
        for name in re.findall(r"tf\.sh \w+ output(?: -\w+)* ([a-z]\w*)", text):
            if name not in outputs:
                yield line, f"Terraform has no output {name}"
        for name in re.findall(r"^([a-z]\w*) = [\"\[{\w]", text, re.M):
            if text.startswith(name) and "\n" not in text and name not in variables:
                yield line, f"Terraform has no variable {name}"
        for ending in OURS.findall(text):
            if ending not in endings:
                yield line, f"nothing in infra/terraform is called claude-proxy-{ending}"


# Completeness: what there is has to be told.


def metrics_told(document, scrape):
    """Every metric of a scrape has a row, with the labels it has."""
    rows = {}
    for _, line in document.prose:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("| `claude_proxy_") and len(cells) >= 2:
            for name in re.findall(r"`(claude_proxy_\w+)`", cells[0]):
                rows[name] = set(re.findall(r"\w+", cells[1]))
    for family in sorted(scrape.kinds):
        if not family.startswith("claude_proxy_"):
            continue
        if family not in rows:
            yield 1, f"the metric {family} has no row"
        elif labels := scrape.labels.get(family, set()) - rows[family] - {"le"}:
            yield 1, f"the row of {family} does not tell its label {', '.join(sorted(labels))}"


def routes_told(document, routes, prefix):
    """Every route below `prefix` stands in the document."""
    told = set()
    for _, text in document.code:
        for match in re.finditer(r"/(?:\{[^}]*\}|[^\s`'\"{])*", text):
            told.add(path_of(match[0]))
    for method, path in sorted(routes):
        if path.startswith(prefix) and path not in told:
            yield 1, f"the route {method} {path} is not told"


def events_told(documents, events):
    """Every event of the log is named by one of the documents."""
    told = {text for document in documents for _, text in document.quoted}
    for event in sorted(events - told):
        yield 1, f"the event {event} is not told"


def words_told(documents, root):
    """Every word of the command line is named by one of the documents."""
    text = "\n".join(document.text for document in documents)
    for name, word in sorted(root.below.items()):
        for below in sorted(word.below) or [""]:
            if not re.search(rf"`(?:claude-proxy )?{name}\b" if not below else rf"\b{below}\b", text):
                yield 1, f"`claude-proxy {name} {below}`".rstrip() + " is not told"
