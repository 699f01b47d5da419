"""The files of a repository, read once, and C++ source with its comments and literals blanked."""

import os
import re
from typing import NamedTuple

GENERATED = {".git", "build", "var", "node_modules", "__pycache__", ".pytest_cache", ".venv"}
GENERATED_PATHS = {"bench/work"}


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Tree:
    """Paths are relative to the root, with slashes."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self._text, self._code = {}, {}
        found = []
        for folder, folders, files in os.walk(self.root):
            here = os.path.relpath(folder, self.root).replace(os.sep, "/")
            prefix = "" if here == "." else here + "/"
            folders[:] = sorted(
                name for name in folders if name not in GENERATED and prefix + name not in GENERATED_PATHS
            )
            found += [prefix + name for name in files if name != ".env"]
        self.paths = sorted(found)
        self.folders = {path.rsplit("/", count)[0] for path in self.paths for count in range(1, path.count("/") + 1)}

    def under(self, folder, *endings):
        """The files below a folder, by how their names end."""
        return [
            path for path in self.paths if path.startswith(folder + "/") and (not endings or path.endswith(endings))
        ]

    def has(self, path):
        return path in self._paths_set() or path.rstrip("/") in self.folders

    def _paths_set(self):
        if not hasattr(self, "_set"):
            self._set = set(self.paths)
        return self._set

    def text(self, path):
        if path not in self._text:
            with open(os.path.join(self.root, path), "rb") as file:
                self._text[path] = file.read().decode("utf-8", "replace")
        return self._text[path]

    def lines(self, path):
        """(number, line) from 1 on."""
        return enumerate(self.text(path).split("\n"), 1)

    def code_lines(self, path):
        """As lines(), of C++ source without comments and without the insides of literals."""
        if path not in self._code:
            self._code[path] = without_comments_and_literals(self.text(path))
        return enumerate(self._code[path].split("\n"), 1)


TOKEN = re.compile(
    r"""
      (?P<comment> //[^\n]* | /\*.*?\*/ )
    | (?P<include> ^[ \t]*\#[ \t]*include[^\n]* )
    | (?P<raw> R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)" )
    | (?P<number> \b\d[\w.']* )
    | (?P<string> "(?:\\.|[^"\\\n])*" )
    | (?P<character> '(?:\\.|[^'\\\n])+' )
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def without_comments_and_literals(source):
    """The same number of lines; numbers are matched so that digit separators do not open a character literal."""

    def blank(match):
        if match["number"] or match["include"]:
            return match[0]
        newlines = "\n" * match[0].count("\n")
        if match["comment"]:
            return " " + newlines
        return ('""' if not match["character"] else "' '") + newlines

    return TOKEN.sub(blank, source)
