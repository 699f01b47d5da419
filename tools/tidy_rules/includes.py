"""Who includes whom: the table in ARCHITECTURE.md is the rule, the sources are checked against it."""

import fnmatch
import re
from collections import Counter
from typing import NamedTuple

TABLE_HEADING = "## Who may include whom"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Where quoted includes are looked up, by top folder. Simulator and gateway share no code: each checks the other.
INCLUDE_ROOTS = {
    "src": ["src"],
    "sim": ["sim"],
    "tests": ["src", "tests/fuzz", "tests/contract"],
    "bench": ["bench/src"],
}


class Row(NamedTuple):
    line: int
    allowed: list  # folders, or patterns of headers such as */options.hpp
    forbidden: list  # patterns of outside headers, such as <sys/*>
    everything: bool


def include_table(tree):
    """The rows of the table by folder of src/; empty when there is no table."""
    rows, inside = {}, False
    if not tree.has("ARCHITECTURE.md"):
        return rows
    for number, line in tree.lines("ARCHITECTURE.md"):
        if line.startswith("## "):
            inside = line.strip() == TABLE_HEADING
        if not inside or not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 3:
            continue
        names = [name.strip("/") for name in re.findall(r"`([^`]+)`", cells[1])]
        outside = [name.strip("<>") for name in re.findall(r"`(<[^`]+>)`", cells[2])]
        for folder in re.findall(r"`([^`]+)`", cells[0]):
            rows[folder.strip("/")] = Row(number, names, outside, cells[1].startswith("everything"))
    return rows


def folder_of(path):
    """The folder of src/ a file belongs to; main.cpp is `main`."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else parts[1].rsplit(".", 1)[0]


def all_includes(tree, top):
    """(path, line, "<" or '"', header) of every include below a top folder."""
    for path in tree.under(top, ".cpp", ".hpp"):
        for number, line in tree.code_lines(path):
            if match := INCLUDE.match(line):
                yield path, number, match[1], match[2]


def is_allowed(row, target):
    folder = target.split("/")[0]
    return row.everything or any(folder == name or fnmatch.fnmatch(target, name) for name in row.allowed)


def include_direction(tree):
    """Folders of src/ include only what the table in ARCHITECTURE.md allows, and every folder has a row."""
    rows = include_table(tree)
    folders = {folder_of(path) for path in tree.under("src", ".cpp", ".hpp")}
    for folder in sorted(folders - set(rows)):
        yield ("ARCHITECTURE.md", 1, f"src/{folder} has no row under '{TABLE_HEADING[3:]}'")
    for folder, row in rows.items():
        if folder not in folders:
            yield ("ARCHITECTURE.md", row.line, f"src/{folder} does not exist")
    for path, number, kind, target in all_includes(tree, "src"):
        row = rows.get(folder_of(path))
        if row is None:
            continue
        if kind == '"' and target.split("/")[0] != folder_of(path) and not is_allowed(row, target):
            yield (path, number, f"{folder_of(path)} must not include {target} (table in ARCHITECTURE.md)")
        is_forbidden = kind == "<" and any(fnmatch.fnmatch(target, pattern) for pattern in row.forbidden)
        if is_forbidden and not path.endswith("_test.cpp"):
            yield (path, number, f"{folder_of(path)} must not include <{target}> (table in ARCHITECTURE.md)")


def include_table_has_no_cycle(tree):
    """Includes point down: the table itself allows no folder to reach itself through others."""
    rows = include_table(tree)
    below = {folder: {name for name in row.allowed if name in rows} for folder, row in rows.items()}
    for start, row in rows.items():
        seen, todo = set(), set(below[start])
        while todo:
            folder = todo.pop()
            if folder not in seen:
                seen.add(folder)
                todo |= below[folder]
        if start in seen:
            yield ("ARCHITECTURE.md", row.line, f"{start} may include itself through others")


def include_resolves(tree):
    """A quoted include is rooted at src/ or the file's own top folder, and stays there: sim/ and src/ share nothing."""
    for top, roots in INCLUDE_ROOTS.items():
        for path, number, kind, target in all_includes(tree, top):
            if kind == "<":
                continue
            if ".." in target.split("/") or not any(tree.has(f"{root}/{target}") for root in roots):
                where = " or ".join(root + "/" for root in roots)
                yield (path, number, f"{target} is not below {where}")
            elif top == "src" and "/" not in target:
                yield (path, number, f"write the folder: {folder_of(path)}/{target}")


def header_stands_alone(tree):
    """A header has `#pragma once`, and its source includes it first, so that it proves to need nothing before it."""
    for top, roots in INCLUDE_ROOTS.items():
        for path in tree.under(top, ".hpp"):
            if "#pragma once" not in tree.text(path):
                yield (path, 1, "no #pragma once")
        first = {}
        for path, number, _, target in all_includes(tree, top):
            first.setdefault(path, (number, target))
        for path, (number, target) in first.items():
            header = path.removesuffix(".cpp") + ".hpp"
            if path.endswith(".cpp") and tree.has(header):
                if not any(header == f"{root}/{target}" for root in roots):
                    yield (path, number, f"the first include is not {header}")


def no_dead_files(tree):
    """Somebody includes every header; every source has one, begins with one of its folder, or is named beside it."""
    included = set()
    for top, roots in INCLUDE_ROOTS.items():
        for _, _, kind, target in all_includes(tree, top):
            if kind == '"':
                included |= {f"{root}/{target}" for root in roots}
    for top in INCLUDE_ROOTS:
        for path in tree.under(top, ".hpp"):
            if path not in included:
                yield (path, 1, "nobody includes this header")
    for top in ("src", "sim"):
        for path in tree.under(top, ".cpp"):
            folder, name = path.rsplit("/", 1)
            stem = name.removesuffix(".cpp")
            if stem == "main" or stem.endswith("_test") or has_header(tree, folder, stem):
                continue
            if not any(line.strip() and not line.lstrip().startswith("#") for _, line in tree.code_lines(path)):
                continue  # only includes: it compiles somebody else's source
            if first_include(tree, path).rsplit("/", 1)[0] == folder:
                continue  # a part of what that header of the folder declares
            siblings = [other for other in tree.under(folder, ".cpp", ".hpp") if other != path]
            if not any(re.search(rf"(?<!\w){re.escape(name)}\b", tree.text(other)) for other in siblings):
                yield (path, 1, "no header of its own and no file of its folder names it")


def has_header(tree, folder, stem):
    """relay_stream.cpp belongs to relay_stream.hpp or, as a part of it, to relay.hpp."""
    words = stem.split("_")
    return any(tree.has(f"{folder}/{'_'.join(words[:count])}.hpp") for count in range(len(words), 0, -1))


def first_include(tree, path):
    """The path of the first header of ours that a source includes, below its top folder."""
    for _, line in tree.code_lines(path):
        if (match := INCLUDE.match(line)) and match[1] == '"':
            return path.split("/")[0] + "/" + match[2]
    return ""


def graph(tree):
    """Folder by folder, how many includes point where; `!` marks those that the table does not allow."""
    rows = include_table(tree)
    edges, bad = Counter(), set()
    for path, _, kind, target in all_includes(tree, "src"):
        source, to = folder_of(path), target.split("/")[0]
        if kind == '"' and to != source:
            edges[source, to] += 1
            if source not in rows or not is_allowed(rows[source], target):
                bad.add((source, to))
    folders = {folder_of(path) for path in tree.under("src", ".cpp", ".hpp")}
    for folder in sorted(folders, key=lambda name: (depth(edges, name), name)):
        targets = []
        for (source, to), count in sorted(edges.items()):
            if source == folder:
                targets.append(f"{'!' if (source, to) in bad else ''}{to} ({count})")
        yield f"{folder:<12} -> {', '.join(targets) or '-'}"


def depth(edges, folder, seen=()):
    """How many layers lie below a folder."""
    below = [to for source, to in edges if source == folder and to not in seen and to != folder]
    return 1 + max(depth(edges, to, (*seen, folder)) for to in below) if below else 0


RULES = [include_direction, include_table_has_no_cycle, include_resolves, header_stands_alone, no_dead_files]
