"""Rules of every text file: size, white space, leftovers, and what belongs to one machine only."""

import os
import re

LINES_MAX = 500
COLUMNS_MAX = 120
# Ratchet: files that were longer when the rule came, with the length they may not exceed. It only shrinks.
LONGER_FILES = {}

CODE = (".cpp", ".hpp", ".py", ".sh", ".mjs", ".js", ".ts")
TEXT = CODE + (".md", ".cmake", ".txt", ".json", ".yaml", ".yml", ".toml", ".ini", ".conf", ".in")
PLAIN_NAMES = {
    ".npmrc",
    "Makefile",
    "LICENSE",
    "run",
    "tidy",
    ".editorconfig",
    ".gitignore",
    ".clang-format",
    ".clang-tidy",
    ".env.example",
}
DATA = re.compile(r"tests/(?:fuzz/corpus|golden)/|(?:^|/)package-lock\.json$|^bench/results/")

LEFTOVERS = re.compile(r"\b(?:FIX" r"ME|XX" r"X|TO" r"DO|HA" r"CK)\b")

# Absolute paths of somebody's machine. The slash must not follow a path, a placeholder or a URL.
MACHINE_PATH = re.compile(
    r"(?<![\w.}>*~/-])/(?:root|work|workspaces?|Users|farm|home/(?!(?:user|app|claude-proxy)\b)\w+)/[\w.]|/tmp/"
    r"bash_"
)
LOCKED_FROM = re.compile(r'"resolved":\s*"(?!https://registry\.npmjs\.org/)([^"]*)"')
REGISTRY_SETTING = re.compile(
    r"^\s*(?:(?:@[\w-]+:)?registry|//[^:]*:_\w+|index-url|extra-index-url|proxy|https-proxy)\s*="
    r"|--(?:registry|index-url|extra-index-url)\b"
)

SECRETS = re.compile(
    r"sk-ant-[a-z0-9]+-(?=[A-Za-z0-9_-]{40})(?=\S*\d)(?=\S*[A-Z])(?=\S*[a-z])[A-Za-z0-9_-]+|\bAKIA[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\\?n?[A-Za-z0-9+/]{40}"
)


def is_text(path):
    return not DATA.search(path) and (path.endswith(TEXT) or path.rsplit("/", 1)[-1] in PLAIN_NAMES)


def no_oversized_files(tree):
    """No file of code has more than 500 lines; an idea is missing in one that has."""
    for path in tree.paths:
        if not path.endswith(CODE) and path != "tools/tidy":
            continue
        count = tree.text(path).count("\n")
        if count > LONGER_FILES.get(path, LINES_MAX):
            yield (path, count, f"{count} lines, more than {LONGER_FILES.get(path, LINES_MAX)}")
    for path in LONGER_FILES:
        if not tree.has(path):
            yield ("tools/tidy_rules/text.py", 1, f"{path} is gone: take it off the list")


def no_long_lines(tree):
    """No line is wider than 120 columns, but for rows of tables and lines that are one link."""
    for path in tree.paths:
        if not is_text(path) or path.endswith((".json", ".ini")):
            continue
        for number, line in tree.lines(path):
            if len(line) <= COLUMNS_MAX:
                continue
            if path.endswith(".md") and (
                line.startswith("|") or re.fullmatch(r"\S*(?:https?://|\]\()\S+", line.strip())
            ):
                continue
            yield (path, number, f"{len(line)} columns, more than {COLUMNS_MAX}")


def white_space(tree):
    """No tabs (but in Makefiles), no white space at the ends of lines, LF, and a newline at the end of the file."""
    for path in tree.paths:
        if not is_text(path):
            continue
        text = tree.text(path)
        if text and not text.endswith("\n"):
            yield (path, text.count("\n") + 1, "no newline at the end of the file")
        if text.endswith("\n\n"):
            yield (path, text.count("\n"), "blank lines at the end of the file")
        for number, line in tree.lines(path):
            if "\r" in line:
                yield (path, number, "carriage return")
            elif line.endswith((" ", "\t")):
                yield (path, number, "white space at the end of the line")
            elif "\t" in line and os.path.basename(path) != "Makefile":
                yield (path, number, "tab")


def no_leftovers(tree):
    """Marks of unfinished work are issues, not comments."""
    for path in tree.paths:
        if not is_text(path):
            continue
        for number, line in tree.lines(path):
            if match := LEFTOVERS.search(line):
                yield (path, number, f"{match[0]}: finish it or file it")


def nothing_of_one_machine(tree):
    """No absolute paths of a developer's machine, no package mirror, no registry setting."""
    for path in tree.paths:
        is_lock = path.endswith("package-lock.json")
        if not is_text(path) and not is_lock:
            continue
        for number, line in tree.lines(path):
            if match := LOCKED_FROM.search(line):
                yield (path, number, f"{match[1][:60]} is not the public registry")
            elif match := MACHINE_PATH.search(line):
                yield (path, number, f"a path of one machine: {match[0]}")
            elif not path.startswith("tools/tidy") and (match := REGISTRY_SETTING.search(line)):
                yield (path, number, f"{match[0].strip()} belongs to the machine, not here")


def no_secrets(tree):
    """Nothing that looks like a real credential."""
    for path in tree.paths:
        if DATA.search(path) and not path.startswith("tests/golden"):
            continue
        for number, line in tree.lines(path):
            if match := SECRETS.search(line):
                yield (path, number, f"looks like a credential: {match[0][:12]}...")


def scripts_can_run(tree):
    """A file that starts with `#!` is executable."""
    for path in tree.paths:
        if not DATA.search(path) and tree.text(path).startswith("#!"):
            if not os.access(os.path.join(tree.root, path), os.X_OK):
                yield (path, 1, "has #! and is not executable")


RULES = [
    no_oversized_files,
    no_long_lines,
    white_space,
    no_leftovers,
    nothing_of_one_machine,
    no_secrets,
    scripts_can_run,
]
