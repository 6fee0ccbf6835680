"""Chat-screen actions: switch preset, quant and threads during a conversation."""

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

    def use_threads(self, count: str) -> None:
        """Set the number of decode threads, or `auto`; without an argument, show the number and the reason."""
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
            raise UsageError(f"/threads can't be {count!r}", "", "Give a number, or `auto`.")

    def use_quant(self, name: str) -> None:
        """Use a quant of the model by name."""
        self._context.live().switching.use_quant(name)

    def back(self) -> None:
        """Go back to the settings and the model before the last switch."""
        self._context.live().switching.back()
