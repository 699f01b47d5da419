"""A document in the parts that the checks look at: blocks of code, quoted words, prose, links, anchors."""

import re
from typing import NamedTuple

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<info>[^`]*)$")
QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[(?:[^\[\]\n]|\[[^\]\n]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
REFERENCE = re.compile(r"^\s{0,3}\[[^\]\n]+\]:\s+(\S+)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")


class Piece(NamedTuple):
    line: int
    text: str


class Block(NamedTuple):
    line: int  # of its first line of text
    info: str  # behind the fence: "sh runnable"; "" for none, "indented" for four blanks
    text: str

    @property
    def is_shell(self):
        return self.info.split(" ")[0] in ("sh", "bash", "indented")

    @property
    def is_runnable(self):
        return self.info == "sh runnable"

    @property
    def is_output(self):
        return self.info == "text output"


def slug(heading):
    """The anchor that GitHub gives a heading, before it tells equal ones apart."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link is its words
    text = re.sub(r"[`*]|(?<!\w)_|_(?!\w)", "", text)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


class Document:
    """`blocks`, `quoted` and `links` in their order; `prose`: the lines outside of blocks."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.blocks, self.quoted, self.links, self.prose = [], [], [], []
        self.anchors = set()
        self._read(text.split("\n"))

    def _read(self, lines):
        number = 0
        while number < len(lines):
            line = lines[number]
            fence = FENCE.match(line)
            if fence:
                number = self._read_block(lines, number, fence)
            elif line.startswith("    ") and self._begins_code(lines, number):
                number = self._read_indented(lines, number)
            else:
                self._read_prose(number + 1, line)
                number += 1

    def _read_block(self, lines, begin, fence):
        end = begin + 1
        while end < len(lines) and not (
            lines[end].strip().startswith(fence["fence"]) and not lines[end].strip().strip(fence["fence"][0])
        ):
            end += 1
        indent = len(fence["indent"])
        text = "\n".join(line[indent:] if not line[:indent].strip() else line for line in lines[begin + 1 : end])
        self.blocks.append(Block(begin + 2, fence["info"].strip(), text))
        return end + 1

    @staticmethod
    def _begins_code(lines, number):
        """Four blanks are code behind a blank line, but not below an item of a list."""
        if number == 0 or lines[number - 1].strip():
            return False
        above = next((line for line in reversed(lines[:number]) if line.strip()), "")
        return not re.match(r"^\s*(?:[-*]|\d+\.)\s|^\s+\S", above)

    def _read_indented(self, lines, begin):
        end = begin
        while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
            end += 1
        self.blocks.append(Block(begin + 1, "indented", "\n".join(line[4:] for line in lines[begin:end])))
        return end

    def _read_prose(self, number, line):
        self.prose.append(Piece(number, line))
        self.quoted += [Piece(number, match[1].replace(r"\|", "|")) for match in QUOTED.finditer(line)]
        bare = QUOTED.sub("", line)  # what is quoted is no link
        self.links += [Piece(number, match[1]) for match in LINK.finditer(bare)]
        if reference := REFERENCE.match(line):
            self.links.append(Piece(number, reference[1]))
        if heading := HEADING.match(line):
            anchor, again = slug(heading[2]), 0
            while (anchor if not again else f"{anchor}-{again}") in self.anchors:
                again += 1
            self.anchors.add(anchor if not again else f"{anchor}-{again}")
        self.anchors |= set(re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", line))

    @property
    def code(self):
        """Everything that is written as code, block by block and quote by quote."""
        return [Piece(block.line, block.text) for block in self.blocks] + self.quoted

    def runnable(self):
        """Pairs of a block to run and the block of its output, or None."""
        found = []
        for number, block in enumerate(self.blocks):
            if block.is_runnable:
                behind = self.blocks[number + 1] if number + 1 < len(self.blocks) else None
                found.append((block, behind if behind and behind.is_output else None))
        return found
