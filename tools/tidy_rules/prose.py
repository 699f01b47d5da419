"""What the documents name must exist: paths, links, settings, metrics, error reasons, words of make."""

import fnmatch
import re

QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE_NAME = re.compile(r"^[\w.*<>{},/-]+\.(?:cpp|hpp|py|sh|md|mjs|js|ya?ml|cmake|json|case|txt)$")
GENERATED = re.compile(r"^(?:build|var|node_modules|bench/work)(?:/|$)")
# Read by the tests and the tools, not by the gateway: they are no settings of it.
NOT_SETTINGS = {"CLAUDE_PROXY_BIN", "CLAUDE_PROXY_VERSION"}
SETTING = re.compile(r"\b(?:CLAUDE_PROXY_[A-Z0-9_]*[A-Z0-9]|ANTHROPIC_API_KEY|LOG_LEVEL|LOG_FORMAT)\b(?!_?\*)")
METRIC = re.compile(r"\bclaude_proxy_[a-z0-9_]+\b(?!\*)")
METRIC_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
ERROR_ROW = re.compile(r'case (\w+): return \{(\d+), ("[a-z_]+"|\w+), "(\w+)", fault::(\w+), (true|false)\}')
ERROR_TYPE = re.compile(r'\b(\w+) = ("[a-z_]+")')


def documents(tree):
    return [path for path in tree.paths if path.endswith(".md") and not path.startswith("tests/fuzz/corpus")]


def quoted(tree, path):
    """(line, text) of every back-quoted piece outside of code blocks."""
    fenced = False
    for number, line in tree.lines(path):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            for match in QUOTED.finditer(line):
                yield number, match[1]


def exists(tree, name, beside):
    """A path as people write it: from the root, from src/ or beside the document; `*`, `<name>`, `{a,b}` are open."""
    pattern = re.sub(r"<[^>]*>|\{[^}]*\}", "*", name).rstrip("/")
    folder = beside.rsplit("/", 1)[0] + "/" if "/" in beside else ""
    candidates = {pattern, "src/" + pattern, folder + pattern}
    if any(tree.has(candidate) for candidate in candidates):
        return True
    if "*" in pattern:
        return any(
            fnmatch.fnmatch(path, candidate) for candidate in candidates for path in (*tree.paths, *tree.folders)
        )
    return "/" not in pattern and any(path.endswith("/" + pattern) for path in tree.paths)


def looks_like_path(tree, text):
    if not re.fullmatch(r"[\w.*<>{},/-]+", text) or text.startswith(("/", ".git", "-")) or GENERATED.match(text):
        return False
    if CODE_NAME.match(text):
        return True
    if "/" not in text or "//" in text:
        return False
    tops = {path.split("/")[0] for path in tree.folders} | {
        path.split("/")[1] for path in tree.folders if path.startswith("src/")
    }
    return text.split("/")[0] in tops or bool(re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*/", text))


def paths_in_prose_exist(tree):
    """Back-quoted text in a document that looks like a path of this repository names something that is there."""
    for path in documents(tree):
        for number, text in quoted(tree, path):
            if looks_like_path(tree, text) and not exists(tree, text, path):
                yield (path, number, f"`{text}` does not exist")


def slug(heading):
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links_resolve(tree):
    """Relative links lead to files of this repository, and anchors to headings."""
    for path in documents(tree):
        for number, line in tree.lines(path):
            for match in LINK.finditer(line):
                target, _, anchor = match[1].partition("#")
                if re.match(r"[a-z]+:", target):
                    continue
                parts = path.split("/")[:-1]
                for part in target.split("/") if target else []:
                    parts = parts[:-1] if part == ".." else parts + [part] * (part != ".")
                file = "/".join(parts) if target else path
                if not tree.has(file):
                    yield (path, number, f"{match[1]} leads nowhere")
                elif anchor and file.endswith(".md"):
                    headings = {slug(text.lstrip("#")) for _, text in tree.lines(file) if text.startswith("#")}
                    if anchor not in headings:
                        yield (path, number, f"{file} has no heading for #{anchor}")


def settings_in_prose_exist(tree):
    """Every setting a document names is listed in .env.example."""
    known = (
        set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]+)=", tree.text(".env.example"), re.M))
        if tree.has(".env.example")
        else set()
    )
    for path in documents(tree):
        for number, line in tree.lines(path):
            for match in SETTING.finditer(line):
                if match[0] not in known | NOT_SETTINGS:
                    yield (path, number, f"{match[0]} is not in .env.example")


def metrics_in_prose_exist(tree):
    """Every metric a document names stands in a string of src/, with or without the common prefix."""
    sources = "\n".join(tree.text(path) for path in tree.under("src", ".cpp", ".hpp") if not path.endswith("_test.cpp"))
    known = set(re.findall(r'"(?:claude_proxy_)?([a-z0-9_]+)"', sources))
    for path in documents(tree):
        for number, line in tree.lines(path):
            for match in METRIC.finditer(line):
                name = match[0].removeprefix("claude_proxy_")
                if name not in known and METRIC_SUFFIX.sub("", name) not in known:
                    yield (path, number, f"no source has the metric {match[0]}")


def error_table_is_true(tree):
    """The table of reasons in docs/operations.md says what facts_of in base/error.hpp says, row by row."""
    if not (tree.has("docs/operations.md") and tree.has("src/base/error.hpp")):
        return
    source = tree.text("src/base/error.hpp")
    types = dict(ERROR_TYPE.findall(source))
    actual, seen = {}, set()
    for kind, status, name, reason, whose, retry in ERROR_ROW.findall(source):
        actual[reason] = (status, types.get(name, name).strip('"'), whose, "yes" if retry == "true" else "no")
        if kind != reason:
            yield ("src/base/error.hpp", 1, f"{kind} has the reason {reason}")
    for number, line in tree.lines("docs/operations.md"):
        cells = [cell.strip(" `") for cell in line.strip().strip("|").split("|")]
        if len(cells) < 5 or not re.fullmatch(r"\d{3}", cells[1]):
            continue
        seen.add(cells[0])
        if actual.get(cells[0]) != tuple(cells[1:5]):
            said = actual.get(cells[0], "nothing")
            yield ("docs/operations.md", number, f"{cells[0]}: base/error.hpp has {said}")
    for reason in actual:
        if reason not in seen:
            yield ("docs/operations.md", 1, f"{reason} of base/error.hpp has no row")


def words_of_make_exist(tree):
    """Every `make word` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][\w-]*):", tree.text("Makefile"), re.M)) if tree.has("Makefile") else set()
    for path in documents(tree):
        for number, line in tree.lines(path):
            for word in re.findall(r"`make ([a-z][\w-]*)", line) + re.findall(r"^\s*make ([a-z][\w-]*)", line):
                if word not in targets:
                    yield (path, number, f"the Makefile has no word {word}")


RULES = [
    paths_in_prose_exist,
    links_resolve,
    settings_in_prose_exist,
    metrics_in_prose_exist,
    error_table_is_true,
    words_of_make_exist,
]
