"""Finds the files of a path, a folder or a pattern; `.gitignore` is respected in folders and patterns. Blocking."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.paths import expanded

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MOST_FILES = 200
"""Most files of one message."""
MOST_ENTRIES = 50_000
"""Most names visited in folders; a larger tree is not searched to its end."""
_WILD = "*?["


@dataclass(slots=True)
class Found:
    """Files found and left out."""

    files: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """A sentence for each file or folder left out."""


def find(named: str, base: Path) -> Found | None:
    """Find the files of `named`, relative to `base`; None where nothing has that name.

    A file that is named itself is included even if ignored; `read` checks whether it can be read.
    """
    path = base / expanded(named)
    if any(sign in named for sign in _WILD) and not os.path.exists(path):
        fixed = next(place for place, part in enumerate(path.parts) if any(sign in part for sign in _WILD))
        root, pattern = Path(*path.parts[:fixed]), "/" + "/".join(path.parts[fixed:])
        found = _walk(root, _spec([pattern])) if os.path.isdir(root) else Found()
        return found if found.files or found.left_out else None
    if os.path.isdir(path) and not os.path.islink(path):
        return _walk(path, None)
    return Found([path]) if os.path.lexists(path) else None


def _walk(root: Path, wanted: GitIgnoreSpec | None) -> Found:
    """Find the files below a folder, by name, without hidden and ignored ones, links and special files."""
    found, ignored = Found(), _Ignored(root)
    entries = 0
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not ignored.has(here / name, folder=True))
        entries += len(folders) + len(names)
        if entries > MOST_ENTRIES:
            found.left_out.append(f"{root} has over {MOST_ENTRIES:,} entries: not all were searched")
            break
        for path in (here / name for name in sorted(names) if not name.startswith(".")):
            if (wanted is not None and not wanted.match_file(path.relative_to(root).as_posix())) or ignored.has(path):
                continue
            if len(found.files) == MOST_FILES:
                found.left_out.append(f"{root} has over {MOST_FILES} files: the others are left out")
                return found
            if os.path.isfile(path) and not os.path.islink(path):
                found.files.append(path)
    return found


class _Ignored:
    """The rules of a repository's `.gitignore` files, those above the folder included."""

    def __init__(self, folder: Path) -> None:
        folder = Path(os.path.abspath(folder))
        self._top = next((one for one in (folder, *folder.parents) if os.path.exists(one / ".git")), folder)
        self._specs: dict[Path, GitIgnoreSpec] = {}

    def has(self, path: Path, *, folder: bool = False) -> bool:
        """Return whether a path is ignored; the nearest file with a matching rule decides."""
        path = Path(os.path.abspath(path))
        for parent in self._parents(path):
            name = path.relative_to(parent).as_posix() + ("/" if folder else "")
            decided = self._spec(parent).check_file(name).include
            if decided is not None:
                return decided
        return False

    def _parents(self, path: Path) -> Iterator[Path]:
        for parent in path.parents:
            yield parent
            if parent == self._top:
                return

    def _spec(self, folder: Path) -> GitIgnoreSpec:
        if folder not in self._specs:
            self._specs[folder] = _spec(_lines(folder / ".gitignore"))
        return self._specs[folder]


def _spec(lines: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # 10 ms that the first frame need not wait for

    return GitIgnoreSpec.from_lines(lines)


def _lines(path: Path) -> Sequence[str]:
    try:
        if not path.is_file():
            return ()
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).splitlines()
    except OSError:
        return ()
