"""One request of the server: its figures, a waterfall of its steps, and the main causes of its duration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from engine.metrics.waterfall import waterfall
from engine.numbers import milliseconds, percent, significant
from engine.records import TurnRecord
from engine.serving.live import RequestNow
from engine.text import one_line
from tui.dialogs.page import Page

NAME_CELLS: Final = 16
_VALUE_CELLS: Final = 10
_COLOURS: Final = ("$muted", "$secondary", "$secondary", "$secondary", "$accent", "$warning", "$success")


class RequestPage(Page):
    """Shows a request as a turn."""

    def __init__(self, request: RequestNow, turn: TurnRecord | None, causes: Sequence[str]) -> None:
        """Create the page; `turn` is set once the request has ended; `causes` are sentences on its duration."""
        super().__init__(f"Request {request.number}")
        self._request, self._turn, self._causes = request, turn, causes

    def compose_page(self) -> ComposeResult:
        """Yield the content, drawn once the width is known."""
        yield Static(id="request")

    def on_resize(self) -> None:
        """Draw for the width."""
        self.call_after_refresh(
            lambda: self.query_one("#request", Static).update(described(self._request, self._turn, self._causes, self.page_width))
        )


def described(request: RequestNow, turn: TurnRecord | None, causes: Sequence[str], width: int) -> Content:
    """Return a request as lines of at most `width` cells."""
    share = percent(request.cache_n / request.prompt_n) if request.prompt_n and request.cache_n is not None else ""
    rows = [
        ("asked by", one_line(request.client)),
        ("endpoint", request.path),
        ("state", request.state),
        ("prompt", f"{request.prompt_n:,} tokens, {request.cache_n or 0:,} ({share}) from the KV cache" if share else "not known yet"),
        ("answer", f"{request.predicted_n:,} tokens, {significant(request.predicted_per_second)} tokens/s"),
        ("TTFT", milliseconds(request.ttft_ms)),
    ]
    if turn is not None:
        timings = turn.timings
        rows += [
            ("prefill", f"{timings.prompt_n:,} tokens, {significant(timings.prompt_per_second)} tokens/s"),
            ("gaps", f"median {milliseconds(timings.itl_p50_ms)}, p99 {milliseconds(timings.itl_p99_ms)}"),
            ("made with", f"{one_line(turn.model)} {turn.quant}, {turn.threads} threads, preset {one_line(turn.preset)}"),
            ("ended", f"{turn.stop_reason}{f': {one_line(turn.error)}' if turn.error else ''}"),
        ]
    lines = [Content.assemble((f"{name:<{NAME_CELLS}}", "$muted"), value) for name, value in rows]
    if turn is not None:
        lines += [Content(""), Content.styled("Where its time went", "bold $heading"), *_steps(turn, width)]
    else:
        lines += [Content(""), Content.styled("Its steps are shown once it has ended.", "$muted")]
    lines += [Content(""), *(Content(one_line(cause)) for cause in causes)] if causes else []
    return Content("\n").join(lines)


def _steps(turn: TurnRecord, width: int) -> list[Content]:
    """Return the steps as a waterfall: each bar begins where the one before ended."""
    steps = [(name, length or 0.0) for name, length in waterfall(turn).steps]
    steps.append(("decode", max(0.0, turn.timings.predicted_ms - steps[-1][1])))
    whole, room = sum(length for _, length in steps) or 1.0, max(10, width - NAME_CELLS - _VALUE_CELLS - 1)
    lines, before = [], 0.0
    for (name, length), colour in zip(steps, _COLOURS, strict=True):
        start = min(room - 1, round(before / whole * room))
        cells = max(1 if length else 0, round((before + length) / whole * room) - start)
        bar = Content.styled("█" * cells, colour)
        lines.append(Content.assemble((f"{name:<{NAME_CELLS}}", "$muted"), f"{milliseconds(length):>{_VALUE_CELLS}} ", " " * start, bar))
        before += length
    return lines
