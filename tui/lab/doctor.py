"""The screen of the doctor: a list of findings, the worst first, and the details of the selected one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.doctor.finding import Finding, Severity
from engine.doctor.machine import Machine
from engine.doctor.registry import Report, examine
from engine.text import drawable
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog

STYLES: Final = {
    Severity.PROBLEM: "bold $error",
    Severity.WARNING: "$warning",
    Severity.NOTE: "$accent",
    Severity.UNKNOWN: "$muted",
    Severity.GOOD: "$success",
}
_CELLS: Final = max(map(len, Severity)) + 1


class DoctorScreen(Dialog[None]):
    """Checks the machine on a thread, then lists the findings."""

    HELP = (
        "## Doctor\n\nWhat slows the engine on this machine, the worst first. The cost of the selected finding, measured here where "
        "possible, and its fix are shown below the list. {accept} copies the command of a finding. Nothing is changed.\n"
    )
    DEFAULT_CSS = """
    DoctorScreen {
        .box { width: 110; height: 94%; }
        OptionList { height: 1fr; }
        .rule { height: 1; color: $rule; }
        .about { height: 9; scrollbar-size-vertical: 1; }
        .about Static { height: auto; }
    }
    """

    def __init__(self, machine: Callable[[], Machine], copy: Callable[[str], Awaitable[None]]) -> None:
        """`machine` is called on the thread; `copy` copies a command."""
        super().__init__()
        self._machine = machine
        self._copy = copy
        self._findings: dict[str, Finding] = {}

    def compose(self) -> ComposeResult:
        """Yield the list, and the details below it."""
        with Vertical(classes="box") as box:
            box.border_title, box.border_subtitle = "Doctor: checking this machine …", self.close_hint
            yield ChoiceList()
            yield Static(Content("─" * 200), classes="rule")
            with VerticalScroll(classes="about", can_focus=False):
                yield Static()

    def on_mount(self) -> None:
        """Start the checks."""
        self.run_worker(self._examine(), group="examine")

    async def _examine(self) -> None:
        report = await asyncio.to_thread(lambda: examine(self._machine()))
        if self.is_mounted:
            self._show(report)

    def _show(self, report: Report) -> None:
        rows = self.query_one(OptionList)
        for group, findings in report.groups():
            rows.add_option(Option(Content.styled(group.value, "bold $heading"), disabled=True))
            for finding in findings:
                self._findings[finding.id] = finding
                head = Content.styled(f"  {finding.severity:<{_CELLS}}", STYLES[finding.severity])
                rows.add_option(Option(head + Content(drawable(f"{finding.title}: {finding.found}")), id=finding.id))
        rows.action_first()
        counts = ", ".join(f"{number} {severity}" for severity in Severity if (number := report.count(severity)))
        self.query_one(".box", Vertical).border_title = Content(f"Doctor: {counts}")

    @on(OptionList.OptionHighlighted)
    def _chosen(self, event: OptionList.OptionHighlighted) -> None:
        finding = self._findings.get(event.option_id or "")
        if finding is not None:
            self.query_one(".about Static", Static).update(_about(finding, self.keymap.shown("accept")))

    @on(OptionList.OptionSelected)
    async def _take(self, event: OptionList.OptionSelected) -> None:
        finding = self._findings.get(event.option_id or "")
        if finding is not None and finding.command:
            await self._copy(finding.command)


def _about(finding: Finding, copy_key: str) -> Content:
    """Format all details of a finding."""
    lines = [
        Content.styled(finding.severity, STYLES[finding.severity]) + Content(f"  {drawable(finding.title)}: {drawable(finding.found)}")
    ]
    if finding.cost:
        source = f" ({finding.source})" if finding.source else ""
        lines.append(Content.styled("Cost: ", "$muted") + Content(drawable(f"{finding.cost}{source}")))
    if finding.advice:
        lines.append(Content.styled("Do: ", "$muted") + Content(drawable(f"{finding.advice}.")))
    if finding.command:
        lines.append(Content.styled("$ ", "$muted") + Content.styled(drawable(finding.command), "$key"))
        lines.append(Content.styled(f"{copy_key} copies the command", "$muted"))
    if finding.change:
        lines.append(Content.styled(f"Without root, and reversible: xchat doctor apply {finding.change}", "$muted"))
    return Content("\n").join(lines)
