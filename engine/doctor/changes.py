"""Applies and undoes changes that need no root.

The values from before are saved in a file, so that `restore` works days later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.doctor.disk import let_go
from engine.doctor.tmux import set_tmux_option, tmux_option
from engine.errors import UsageError, XchatError
from engine.paths import HINT, state_dir
from engine.regular_file import read_kept
from engine.text import printable

READ_MODEL = "page-cache"
TMUX_ESCAPE_TIME = "tmux-escape-time"

_ESCAPE_MS = "10"
_BLOCK = 4 << 20


class _Before(msgspec.Struct, frozen=True):
    """The value from before each change, by its id."""

    values: dict[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class Change:
    """A reversible change that needs no root."""

    id: str
    show: str
    """Its effect, in a sentence."""
    now: Callable[[Sequence[Path]], str | None]
    """The present value."""
    apply: Callable[[Sequence[Path]], None]
    restore: Callable[[Sequence[Path], str | None], None]
    """Undo it; takes the value from before."""


def _escape_time(_: Sequence[Path]) -> str | None:
    return tmux_option("escape-time")


def _set_escape_time(value: str | None) -> None:
    if not set_tmux_option("escape-time", value):
        raise XchatError("tmux did not take the setting", "tmux does not answer", "Run xchat inside tmux.")


def _read_all(parts: Sequence[Path]) -> None:
    buffer = bytearray(_BLOCK)
    for part in parts:
        with part.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _let_go(parts: Sequence[Path], _: str | None) -> None:
    for part in parts:
        let_go(part)


CHANGES: dict[str, Change] = {
    change.id: change
    for change in (
        Change(
            READ_MODEL,
            "Read the model's file into the page cache. Undoing drops the pages that no program has mapped.",
            lambda _: None,
            _read_all,
            _let_go,
        ),
        Change(
            TMUX_ESCAPE_TIME,
            f"Set tmux's wait after Escape to {_ESCAPE_MS} ms until its server ends (tmux set -s escape-time {_ESCAPE_MS}).",
            _escape_time,
            lambda _: _set_escape_time(_ESCAPE_MS),
            lambda _, before: _set_escape_time(before),
        ),
    )
}


def find(change_id: str) -> Change:
    """Return the change of this id.

    Raises:
        UsageError: There is none.
    """
    if change_id not in CHANGES:
        raise UsageError(
            f"There is no change {printable(change_id)!r}", f"Known changes: {', '.join(CHANGES)}", "`xchat doctor show` lists them."
        )
    return CHANGES[change_id]


def before_path() -> Path:
    """Return the path of the file with the values from before the changes."""
    return state_dir() / "doctor.json"


def apply(change: Change, model: Sequence[Path]) -> None:
    """Apply a change after saving the present value; a change applied twice keeps the first saved value.

    Raises:
        XchatError: It can't be applied, or the present value can't be saved; nothing has changed then.
    """
    known = _load()
    if change.id not in known:
        _save({**known, change.id: change.now(model)})
    try:
        change.apply(model)
    except (OSError, XchatError) as error:
        _save(known)
        raise (
            error if isinstance(error, XchatError) else XchatError(f"{change.id} can't be applied", os.strerror(error.errno or 0))
        ) from error


def restore(change: Change, model: Sequence[Path]) -> None:
    """Undo a change.

    Raises:
        UsageError: It was not applied.
        XchatError: It can't be undone.
    """
    known = _load()
    if change.id not in known:
        raise UsageError(f"{change.id} was not applied", "", f"`xchat doctor apply {change.id}` applies it.")
    try:
        change.restore(model, known[change.id])
    except OSError as error:
        raise XchatError(f"{change.id} can't be undone", error.strerror or "") from error
    _save({name: value for name, value in known.items() if name != change.id})


def applied() -> frozenset[str]:
    """Return the ids of the changes that are applied."""
    return frozenset(_load())


def _load() -> dict[str, str | None]:
    return read_kept(before_path(), _Before({})).values


def _save(values: dict[str, str | None]) -> None:
    try:
        write_atomically(before_path(), msgspec.json.encode(_Before(values)))
    except OSError as error:
        raise XchatError("The present value can't be saved", error.strerror or "", HINT) from error
