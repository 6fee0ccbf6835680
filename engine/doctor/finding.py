"""Findings of the checks, for the screen, the command line and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import partial

from engine.doctor.machine import Machine
from engine.text import printable

MEASURED = "measured here"
"""The source of a cost that was measured on this machine, now."""

MOST_TEXT = 400
"""Characters kept of each text of a finding."""


class Severity(StrEnum):
    """How much a finding matters, worst first."""

    PROBLEM = "problem"
    """Costs much of the speed, or crashes the program."""
    WARNING = "warning"
    """Costs some of the speed, or will."""
    NOTE = "note"
    """Information; no fix is needed."""
    UNKNOWN = "unknown"
    """Can't be checked here; the finding says why."""
    GOOD = "good"


ORDER = {severity: rank for rank, severity in enumerate(Severity)}


class Group(StrEnum):
    """Headings of the report."""

    CPU = "Processor"
    MEMORY = "Memory"
    MODEL = "Model's file"
    LIBRARY = "Native library"
    TERMINAL = "Terminal"
    PROGRAM = "Program"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check."""

    severity: Severity
    found: str
    """The fact, a sentence without a full stop."""
    cost: str = ""
    """The cost; empty where there is none."""
    source: str = ""
    """The source of the cost: `MEASURED`, or who measured it."""
    advice: str = ""
    """The fix, in a sentence; may be empty."""
    command: str = ""
    """A line to copy; may be empty."""
    change: str = ""
    """Id of the reversible change that applies the fix without root; may be empty."""


@dataclass(frozen=True, slots=True)
class Check:
    """An entry of the registry: one check and its function."""

    id: str
    """Stable name."""
    group: Group
    title: str
    probe: Callable[[Machine], Verdict]


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with its result; no text has control characters."""

    id: str
    group: Group
    title: str
    severity: Severity
    found: str
    cost: str
    source: str
    advice: str
    command: str
    change: str


def finding(check: Check, verdict: Verdict) -> Finding:
    """Return the finding of a check, its texts without control characters."""
    texts = {field.name: getattr(verdict, field.name) for field in fields(Verdict) if field.name != "severity"}
    inert = {name: printable(text, MOST_TEXT) for name, text in texts.items()}
    return Finding(check.id, check.group, check.title, verdict.severity, **inert)


good = partial(Verdict, Severity.GOOD)
note = partial(Verdict, Severity.NOTE)
warning = partial(Verdict, Severity.WARNING)
problem = partial(Verdict, Severity.PROBLEM)
unknown = partial(Verdict, Severity.UNKNOWN)
"""Makes a Verdict of this severity."""
