"""Attaches the files of each `@path` in a message, in fences with name and language."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from engine.attachments.find import MOST_FILES, find
from engine.attachments.read import PICTURE, Attachment, read
from engine.errors import UsageError
from engine.paths import expanded
from engine.pictures.stored import SUFFIXES, pictures_in
from engine.text import one_line

LARGEST_MESSAGE = 8_000_000
"""Most characters of all files of a message."""
MOST_PATH = 4096
"""Most characters of a path that is pasted."""
_MENTION = re.compile(r'(?<!\S)@(?:"([^"\n]+)"|(\S+))')
_FENCE = re.compile(r"(`{3,})[^\s`]\S* .+")
_AFTER = ".,;:!?)]}'"
"""Punctuation that may follow a path in a sentence."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A message with its files."""

    text: str
    """The text that the user wrote."""
    files: tuple[Attachment, ...] = ()
    left_out: tuple[str, ...] = ()
    """A sentence for each named file that can't be attached."""

    @property
    def fences(self) -> tuple[str, ...]:
        """The files as they are sent."""
        return tuple(map(fenced, self.files))

    @property
    def whole(self) -> str:
        """The message as it is sent."""
        return "\n\n".join((self.text, *self.fences))


def fenced(file: Attachment) -> str:
    """Format a file in a fence longer than any fence in it; a picture as a message names it."""
    if file.language == PICTURE:
        return file.text
    longest = max((len(run) for run in re.findall(r"`{3,}", file.text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{file.language} {one_line(file.name).replace('`', '')}\n{file.text.rstrip(chr(10))}\n{fence}"


def mentioned(path: str) -> str:
    """Format a path as a mention in a message."""
    return f'@"{path}"' if re.search(r"\s", path) else f"@{path}"


def dropped(text: str) -> str | None:
    """The mention of a picture whose path was pasted, as a terminal writes the path of a file dropped on it; None for any other text."""
    if len(text) > MOST_PATH or "\n" in text.strip():
        return None
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if len(words) != 1:
        return None
    path = unquote(words[0].removeprefix("file://")) if words[0].startswith("file://") else words[0]
    is_picture = os.path.splitext(path)[1].lower() in SUFFIXES and os.path.isfile(expanded(path))
    return mentioned(path) if is_picture and '"' not in path else None


def mentions(text: str) -> Iterator[str]:
    """Yield the paths after each `@` that begins a word, existing or not."""
    for match in _MENTION.finditer(text):
        yield match[1] or match[2]


def attach(text: str, base: Path) -> Attached:
    """Read the files that a message names; other words after `@` stay text. Blocks."""
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
                left_out.append(
                    f"{file.name} and the files after it: the limit is {MOST_FILES} files and {LARGEST_MESSAGE:,} characters per message"
                )
                return Attached(text, tuple(files.values()), tuple(left_out))
            files[path] = file
    return Attached(text, tuple(files.values()), tuple(left_out))


def detached(message: str) -> str:
    """Remove the files from a sent message, for editing."""
    text = "\n".join(_without_fences(message.split("\n")))
    return text if any(mentions(text)) else message


def _without_fences(lines: list[str]) -> list[str]:
    """Return the lines before the trailing fences, each of which follows an empty line."""
    next_place: dict[str, int] = {}  # of each line
    first = len(lines)
    starts = {first}  # of what is fences to the end
    for place in range(len(lines) - 1, 1, -1):
        if not lines[place - 1] and place + 1 in starts and _is_picture(lines[place]):
            first = place - 1
            starts.add(first)
            continue
        opened = _FENCE.fullmatch(lines[place])
        if opened is not None and not lines[place - 1] and next_place.get(opened[1], -1) + 1 in starts:
            first = place - 1
            starts.add(first)
        next_place[lines[place]] = place
    return lines[:first]


def _is_picture(line: str) -> bool:
    return any((start, end) == (0, len(line)) for start, end, _ in pictures_in(line))


def _shown(path: Path, base: Path) -> str:
    try:
        return path.absolute().relative_to(base.absolute()).as_posix()
    except ValueError:
        return str(path)


def largest(names: Sequence[str], tokens: Sequence[int], most: int = 3) -> str:
    """Format the names with the most tokens: `big.py 9,000, a.py 20`."""
    rows = sorted(zip(tokens, names, strict=True), reverse=True)
    more = len(rows) - most
    return ", ".join(f"{name} {count:,}" for count, name in rows[:most]) + (f" and {more} more" if more > 0 else "")
