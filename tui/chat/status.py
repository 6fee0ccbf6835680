"""The status line: model, session, preset and activity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.style import Style

from engine.text import drawable
from tui.drawing.look import look
from tui.drawing.one_row import OneRow
from tui.drawing.rows import Role, Row, Run, fit

SEPARATOR = "  ·  "


@dataclass(frozen=True, slots=True)
class Status:
    """Contents of the status line."""

    model: str = ""
    quant: str = ""
    session: str = "new session"
    preset: str = ""
    batch: str = ""
    """`stream_batch`, as in `4 auto`."""
    context: str = ""
    """Tokens in the window, as in `2,195 of 8,192`."""
    threads: str = ""
    """Decode threads, as in `2 threads auto`."""
    why: str = ""
    """The reason of the thread count."""
    layers: str = ""
    """Which layers are on devices such as GPUs; empty where all are on the CPU because there are no others."""
    temperature: str = ""
    form: str = ""
    """The format of answers, as in `JSON schema`."""
    changed: bool = False
    """Whether settings differ from the preset."""
    logged: bool = True
    activity: str = ""
    """Current activity: loading, reading the prompt, answering."""
    left_out: int = 0
    """Number of oldest turns that no longer fit into the context."""
    background: int = 0
    """Answers that go on in conversations that are not shown."""
    unseen: bool = False
    """Whether new text is below the visible part."""
    serving: str = ""
    """Where requests are served, as in `serving :8080`."""
    slow_line: bool = False
    busy_machine: bool = False

    def parts(self) -> list[tuple[int, str, str]]:
        """(importance, 0 is highest; style; text), left to right. On a narrow line the most important that fit are shown."""
        name = f"{self.model} {self.quant}".strip()
        window = f"{self.left_out} oldest {'turn' if self.left_out == 1 else 'turns'} left out" if self.left_out else ""
        return [
            (1, "model", name or "no model"),
            (0, "alarm", "" if self.logged else "not logged"),
            (2, "alarm", window),
            (4, "model", self.serving),
            (6, "plain", self.context),
            (7, "plain", self.threads),
            (12, "plain", self.why),
            (13, "plain", self.layers),
            (5, "plain", self.form),
            (8, "plain", f"temp {self.temperature}" if self.temperature else ""),
            (5, "alarm" if self.changed else "plain", f"{self.preset}{'*' if self.changed else ''}" if self.preset else ""),
            (11, "plain", f"stream batch {self.batch}" if self.batch else ""),
            (10, "plain", self.session),
            (9, "plain", f"{self.background} in the background" if self.background else ""),
            (3, "plain", "slow line" if self.slow_line else "busy machine" if self.busy_machine else ""),
        ]

    def right(self, end_key: str) -> str:
        """Text at the right end; `end_key` jumps to the end of the conversation."""
        return f"new text below, {end_key}".rstrip(", ") if self.unseen else self.activity


def fitted(status: Status, width: int, end_key: str = "") -> tuple[list[tuple[str, str]], str]:
    """Return the parts that fit on `width` cells and the text at the right end, drawable."""
    right = drawable(status.right(end_key))
    right = right if cell_len(right) <= width - 2 else set_cell_size(right, max(0, width - 2)).rstrip()
    parts = [(importance, kind, drawable(text).replace("\n", " ")) for importance, kind, text in status.parts() if text]
    parts = [
        (importance, kind, text if cell_len(text) <= 40 else set_cell_size(text, 39).rstrip() + "…") for importance, kind, text in parts
    ]
    room = width - 2 - (cell_len(right) + 2 if right else 0)
    shown = set[int]()
    for importance, _, text in sorted(parts):
        if (needed := cell_len(text) + (len(SEPARATOR) if shown else 0)) <= room:
            room -= needed
            shown.add(importance)
    return [(kind, text) for importance, kind, text in parts if importance in shown], right


_ROLES = {"model": Role.TITLE, "alarm": Role.WARNING, "plain": Role.TEXT}
"""The role of each style of a part."""


class StatusLine(OneRow):
    """Shows a `Status` on one line."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        background: $status-background;
        color: $status;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._status = Status()
        self.end_key = ""
        """Key that jumps to the end of the conversation, for display."""

    @property
    def status(self) -> Status:
        """The status shown."""
        return self._status

    def show(self, status: Status) -> None:
        """Show a status."""
        if status != self._status:
            self._status = status
            self.redraw()

    def styles_of_roles(self) -> Mapping[Role, Style]:
        """Return a style for each role, in other colours than charts."""
        base, bold = self.rich_style, Style(bold=True)
        inks = look(self.app.theme_variables, base)
        return {
            Role.TEXT: base,
            Role.TITLE: inks[Role.VALUE] + bold,
            Role.WARNING: inks[Role.WARNING] + bold,
            Role.LABEL: inks[Role.LABEL],
            Role.MARK: inks[Role.MARK] + bold,
        }

    def row(self, width: int) -> Row:
        """Return the line at this width."""
        parts, right = fitted(self._status, width, self.end_key)
        runs: list[Run] = [(" ", Role.TEXT)]
        for place, (kind, text) in enumerate(parts):
            runs += [*([(SEPARATOR, Role.TEXT)] if place else []), (text, _ROLES[kind])]
        gap = width - 1 - sum(cell_len(text) for text, _ in runs) - cell_len(right)
        runs += [(" " * max(0, gap), Role.TEXT), (right, Role.MARK if self._status.unseen else Role.LABEL)]
        return fit(tuple(runs), width)
