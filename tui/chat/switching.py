"""Presets, quants and threads: one key or one command each, in the middle of a conversation."""

from __future__ import annotations

from engine.errors import UsageError
from tui.chat.context import ChatContext


class SwitchingController:
    """Asks the session to switch; the session reports the cost and the result."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context

    def presets(self, name: str) -> None:
        """Use a preset by name, or pick one from the list."""
        from tui.models.presets import PresetsScreen

        context, session = self._context, self._context.live()

        def use(chosen: str | None) -> None:
            if chosen is not None:
                context.attempt(lambda: session.switching.use_named(chosen))

        if name:
            session.switching.use_named(name)
        else:
            context.open(PresetsScreen(session, report=context.report), use)

    def next_preset(self) -> None:
        """Use the next preset of the list."""
        self._context.live().switching.next_preset(1)

    def previous_preset(self) -> None:
        """Use the previous preset of the list."""
        self._context.live().switching.next_preset(-1)

    def use_quant(self, name: str) -> None:
        """Use a quant of the model by name."""
        self._context.live().switching.use_quant(name)

    def next_quant(self) -> None:
        """Use the next smaller quant of the model."""
        self._context.live().switching.next_quant(1)

    def previous_quant(self) -> None:
        """Use the next larger quant of the model."""
        self._context.live().switching.next_quant(-1)

    def use_threads(self, count: str) -> None:
        """Decode with a number of threads, or `auto`; without a word, show how many and why."""
        session = self._context.live()
        if not count:
            now = session.threads_now
            if now is None:
                raise UsageError("No model is loaded", "", "Pick one.", "models")
            self._context.notify("Threads", f"Answers: {now.reason}\nPrompts: {now.reason_batch}\n{now.waiting}".strip())
        elif count.lower() == "auto":
            session.switching.use_threads("auto")
        elif count.isdecimal():
            session.switching.use_threads(int(count))
        else:
            raise UsageError(f"/threads can't be {count!r}", "", "Say a number, or auto.")

    def fewer_threads(self) -> None:
        """Decode with one thread fewer."""
        self._context.live().switching.more_threads(-1)

    def more_threads(self) -> None:
        """Decode with one thread more."""
        self._context.live().switching.more_threads(1)

    def switch_back(self) -> None:
        """Go back to the settings and the model before the last switch."""
        self._context.live().switching.back()
