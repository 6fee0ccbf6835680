"""Shows the progress in the terminal's title, and rings the bell or notifies when a long answer has ended.

Imports no Textual.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from engine.clock import NS_PER_S, now_ns
from engine.config import NotifyConfig
from engine.events import AnswerGrew, Event, ModelReady, PromptEvaluated, SessionOpened, TurnFinished, TurnStarted
from engine.text import printable

LONG_NS = 10 * NS_PER_S
"""Least duration of an answer for a notification."""
TITLE_NS = NS_PER_S
"""Least time between two changes of the title."""
LONGEST = 60
"""Most characters of a name in a title."""


class Attention:
    """Writes escape sequences; `write` sends them to the terminal."""

    def __init__(
        self,
        config: NotifyConfig,
        *,
        write: Callable[[str], None],
        looked_at: Callable[[], bool],
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """`looked_at` returns whether the terminal has the focus, as far as it reports it."""
        self._config = config
        self._write = write
        self._looked_at = looked_at
        self._tmux = bool(environ.get("TMUX"))
        self._clock = clock
        self._model = ""
        self._began = self._titled = 0
        self._tokens = 0
        self._title = ""

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, ModelReady):
            self._model = printable(event.engine.model.name, LONGEST)
            self._show_title("", now=True)
        elif isinstance(event, TurnStarted):
            self._began, self._tokens = self._clock(), 0
        elif isinstance(event, PromptEvaluated):
            if event.total:
                self._show_title(f"prompt {100 * event.processed // event.total} %")
        elif isinstance(event, AnswerGrew):
            self._tokens += len(event.token_ns)
            self._show_title(f"{self._tokens:,} tokens")
        elif isinstance(event, TurnFinished):
            self._ended(event)
        elif isinstance(event, SessionOpened):
            self._show_title("", now=True)

    def _ended(self, event: TurnFinished) -> None:
        away = not self._looked_at()
        self._show_title("answered" if away else "", now=True)
        if not away or self._clock() - self._began < LONG_NS:
            return
        if self._config.bell:
            self._write("\a")
        if self._config.desktop:
            said = f"{self._model}: {'the answer failed' if event.error is not None else 'the answer is finished'}"
            said = said.replace(";", ",")
            for sequence in (f"\x1b]9;{said}\a", f"\x1b]777;notify;xchat;{said}\a"):
                self._write(_through_tmux(sequence) if self._tmux else sequence)

    def _show_title(self, progress: str, *, now: bool = False) -> None:
        """Set the terminal's title; progress at most once a second."""
        if not self._config.title or not (now or self._clock() - self._titled >= TITLE_NS):
            return
        title = " - ".join(filter(None, (progress, self._model, "xchat")))
        if title != self._title:
            # Save the original title on the terminal's stack.
            self._write(("" if self._title else "\x1b[22;2t") + f"\x1b]2;{title}\a")
            self._title, self._titled = title, self._clock()

    def close(self) -> None:
        """Restore the terminal's original title."""
        if self._title:
            self._write("\x1b[23;2t")
            self._title = ""


def _through_tmux(sequence: str) -> str:
    """Wrap a sequence for tmux to pass on to the outer terminal, if `allow-passthrough` is on."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
