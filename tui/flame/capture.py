"""The countdown of a running capture, and the dialog that starts one."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from engine.profiling.capture import Capture
from engine.profiling.records import MODE_TEXTS, CaptureMode
from engine.profiling.request import DEFAULT_RATE, CaptureRequest
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog

SECONDS = (5, 10, 20, 30, 60, 120, 300)
"""Selectable lengths in seconds."""

RATES = (None, 25, 50, 100, 250)
"""Selectable sampling rates per second; None chooses by their cost."""

MODES = (CaptureMode.PYTHON, CaptureMode.NATIVE, CaptureMode.GIL, CaptureMode.IDLE)
"""Selectable modes; the others are used automatically."""

NOT_IN_STACKS = "llama.cpp's compute threads do not appear in any mode; their CPU time is recorded separately."

KEYS = "Enter starts   {capture_shorter} and {capture_longer}: length   {capture_rate}: rate   {close} closes"

TICK_S = 0.5
"""Interval of the countdown, long enough not to show up in the capture."""


class CaptureOverlay(Static):
    """Shows the countdown in two rows over the conversation."""

    DEFAULT_CSS = """
    CaptureOverlay {
        layer: capture; dock: top; height: 2; padding: 0 1;
        background: $surface; color: $foreground; text-wrap: nowrap; text-overflow: ellipsis;
    }
    """

    def __init__(self, capture: Capture, *, end_key: str, cancel_key: str) -> None:
        super().__init__(markup=False)
        self._capture = capture
        self._shown = ""
        self._keys = f"{end_key} ends it now, {cancel_key} cancels"

    def on_mount(self) -> None:
        """Start counting."""
        self.set_interval(TICK_S, self._count)
        self._count()

    def _count(self) -> None:
        text = self._text()
        if text != self._shown:
            self._shown = text
            # Avoids a layout of the whole screen.
            self.update(text, layout=False)

    def _text(self) -> str:
        request = self._capture.request
        left = f"{self._capture.remaining_s:.0f} s left" if self._capture.sampling else "py-spy is starting"
        mode = MODE_TEXTS[request.mode].label
        return f"● Recording · {left} of {request.seconds} s · {self._capture.rate}/s · {mode}\n  {self._keys}"


class CaptureDialog(Dialog[CaptureRequest]):
    """Asks for mode, length and rate; dismissed with the request."""

    HELP = """\
## Record a capture

Up and Down choose the mode, {capture_shorter} and {capture_longer} the length, {capture_rate} the samples per second. Enter starts.

By default a capture takes 50 samples per second, or fewer if they would cost over 3 % of tokens/s; the cost of a sample is measured
beforehand.
"""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.CAPTURE)]
    DEFAULT_CSS = """
    CaptureDialog .box { width: 78; }
    CaptureDialog OptionList { height: auto; margin: 1 0; }
    CaptureDialog .title { text-style: bold; }
    CaptureDialog #about { height: 5; }
    """

    def __init__(self, last: CaptureRequest) -> None:
        super().__init__()
        self._mode = last.mode
        self._seconds = last.seconds
        self._rate = last.rate

    def compose(self) -> ComposeResult:
        """Lay out length, modes, and a description of the selected mode."""
        with Vertical(classes="box"):
            yield Static(id="length", classes="title", markup=False)
            yield ChoiceList(*(MODE_TEXTS[mode].label for mode in MODES), markup=False)
            yield Static(id="about", markup=False)
            yield Static(NOT_IN_STACKS, markup=False)
            yield Static(self.keymap.fill(KEYS), markup=False)

    def on_mount(self) -> None:
        """Select the last choice."""
        options = self.query_one(OptionList)
        options.highlighted = MODES.index(self._mode) if self._mode in MODES else 0
        options.focus()
        self._show_plan()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._mode = MODES[event.option_index]
        text = MODE_TEXTS[self._mode]
        self.query_one("#about", Static).update(f"Shows: {text.sees}\nDoesn't show: {text.blind}")
        self._show_plan()

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.dismiss(self._request)

    def action_length(self, step: int) -> None:
        """Change the length of the capture."""
        longer = [seconds for seconds in SECONDS if (seconds > self._seconds if step > 0 else seconds < self._seconds)]
        if longer:
            self._seconds = longer[0] if step > 0 else longer[-1]
        self._show_plan()

    def action_rate(self) -> None:
        """Select the next of RATES."""
        self._rate = RATES[(RATES.index(self._rate) + 1) % len(RATES)] if self._rate in RATES else None
        self._show_plan()

    @property
    def _request(self) -> CaptureRequest:
        return CaptureRequest(self._seconds, self._rate, self._mode)

    def _show_plan(self) -> None:
        rate = self._request.planned_rate()
        why = "" if self._rate is not None or rate == DEFAULT_RATE else f": {DEFAULT_RATE} would cost over 3 % of tokens/s"
        chosen = "" if self._rate is None else ", at any cost"
        self.query_one("#length", Static).update(f"Record for {self._seconds} s, {rate} samples a second{why}{chosen}")
