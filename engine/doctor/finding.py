"""What a check found, as facts for the screen, the command line and JSON."""

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
    """It costs much of the speed, or ends the program."""
    WARNING = "warning"
    """It costs some of the speed, or will."""
    NOTE = "note"
    """Worth knowing; nothing needs to be done."""
    UNKNOWN = "unknown"
    """It can't be looked at here; the finding says why."""
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
    """What is so, in a sentence without a full stop."""
    cost: str = ""
    """What it costs; empty where it costs nothing."""
    source: str = ""
    """Where the cost is from: `MEASURED`, or who measured it."""
    advice: str = ""
    """What to do, in a sentence; may be empty."""
    command: str = ""
    """A line to copy; may be empty."""
    change: str = ""
    """Id of the reversible change that does it without root; may be empty."""


@dataclass(frozen=True, slots=True)
class Check:
    """An entry of the registry: one thing to look at, and the function that looks."""

    id: str
    """Stable name."""
    group: Group
    title: str
    probe: Callable[[Machine], Verdict]


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with its result; all texts are inert."""

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
    """The finding of a check, with texts that no terminal acts on."""
    texts = {field.name: getattr(verdict, field.name) for field in fields(Verdict) if field.name != "severity"}
    inert = {name: printable(text, MOST_TEXT) for name, text in texts.items()}
    return Finding(check.id, check.group, check.title, verdict.severity, **inert)


good = partial(Verdict, Severity.GOOD)
note = partial(Verdict, Severity.NOTE)
warning = partial(Verdict, Severity.WARNING)
problem = partial(Verdict, Severity.PROBLEM)
unknown = partial(Verdict, Severity.UNKNOWN)
"""Verdicts by their severity."""
