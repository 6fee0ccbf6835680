"""What several commands say in the same way."""

from __future__ import annotations

import sys

import msgspec

from engine.errors import UsageError
from engine.text import visible


def write_json(value: object) -> None:
    """One JSON value and a newline on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def confirmed(question: str) -> bool:
    """Whether the person says yes.

    Raises:
        UsageError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError("Deleting needs a yes", "", "Add --yes to delete without being asked.")
    sys.stderr.write(f"{visible(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
