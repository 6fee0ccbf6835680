"""`@path` in a message: the files that it means, each in a fence with its name and language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.attachments.find import MOST_FILES, find
from engine.attachments.read import Attachment, read
from engine.errors import UsageError
from engine.text import one_line

LARGEST_MESSAGE = 8_000_000
"""Characters of all files of a message."""
_MENTION = re.compile(r'(?<!\S)@(?:"([^"\n]+)"|(\S+))')
_FENCE = re.compile(r"(`{3,})[^\s`]\S* .+")
_AFTER = ".,;:!?)]}'"
"""What may follow a path in a sentence."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A message with its files."""

    text: str
    """What the user wrote."""
    files: tuple[Attachment, ...] = ()
    left_out: tuple[str, ...] = ()
    """A sentence for each file that was meant and can't be attached."""

    @property
    def fences(self) -> tuple[str, ...]:
        """The files as they are sent."""
        return tuple(map(fenced, self.files))

    @property
    def whole(self) -> str:
        """The message as it is sent."""
        return "\n\n".join((self.text, *self.fences))


def fenced(file: Attachment) -> str:
    """A file in a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", file.text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{file.language} {one_line(file.name).replace('`', '')}\n{file.text.rstrip(chr(10))}\n{fence}"


def mentioned(path: str) -> str:
    """A path as it is written in a message."""
    return f'@"{path}"' if re.search(r"\s", path) else f"@{path}"


def mentions(text: str) -> Iterator[str]:
    """The paths after each `@` that begins a word, whether there is such a file or not."""
    for match in _MENTION.finditer(text):
        yield match[1] or match[2]


def attach(text: str, base: Path) -> Attached:
    """Read the files that a message names; words after `@` that name nothing stay what they are. Blocks."""
    files: dict[Path, Attachment] = {}
    left_out: list[str] = []
    size = 0
    for named in mentions(text):
        found = find(named, base) or find(named.rstrip(_AFTER), base)
        if found is None:
            continue
        left_out += found.left_out
        for path in found.files:
            if path in files:
                continue
            try:
                file = read(path, _shown(path, base))
            except UsageError as error:
                left_out.append(str(error))
                continue
            size += len(file.text)
            if len(files) == MOST_FILES or size > LARGEST_MESSAGE:
                left_out.append(f"{file.name} and what follows: a message takes {MOST_FILES} files and {LARGEST_MESSAGE:,} characters")
                return Attached(text, tuple(files.values()), tuple(left_out))
            files[path] = file
    return Attached(text, tuple(files.values()), tuple(left_out))


def detached(message: str) -> str:
    """A sent message without its files, to be edited and sent again."""
    text = "\n".join(_without_fences(message.split("\n")))
    return text if any(mentions(text)) else message


def _without_fences(lines: list[str]) -> list[str]:
    """The lines before the fences that reach to the end, each after an empty line."""
    next_place: dict[str, int] = {}  # of each line
    first = len(lines)
    starts = {first}  # of what is fences to the end
    for place in range(len(lines) - 1, 1, -1):
        opened = _FENCE.fullmatch(lines[place])
        if opened is not None and not lines[place - 1] and next_place.get(opened[1], -1) + 1 in starts:
            first = place - 1
            starts.add(first)
        next_place[lines[place]] = place
    return lines[:first]


def _shown(path: Path, base: Path) -> str:
    try:
        return path.absolute().relative_to(base.absolute()).as_posix()
    except ValueError:
        return str(path)


def largest(names: Sequence[str], tokens: Sequence[int], most: int = 3) -> str:
    """The names with the most tokens: `big.py 9,000, a.py 20`."""
    rows = sorted(zip(tokens, names, strict=True), reverse=True)
    more = len(rows) - most
    return ", ".join(f"{name} {count:,}" for count, name in rows[:most]) + (f" and {more} more" if more > 0 else "")
