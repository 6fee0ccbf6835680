"""Presets, quants and threads: one key or one command each, in the middle of a conversation."""

from __future__ import annotations

from engine.errors import UsageError
from engine.events import ModelFailed
from engine.models.fit import TooLargeError
from tui.chat.compose import TalkActions


class SwitchActions(TalkActions):
    """What asks the session to switch; what it costs and what came of it, the session tells."""

    def action_presets(self) -> None:
        """Pick a preset from the list."""
        from tui.models.presets import PresetsScreen

        session = self.session
        if session is None:
            return

        def use(name: str | None) -> None:
            if name is not None:
                self.attempt(lambda: session.switching.use_named(name))

        self.app.push_screen(PresetsScreen(session, report=self.report), use)

    def action_next_preset(self) -> None:
        """Take the next preset of the list."""
        self.attempt(lambda: self.live().switching.next_preset(1))

    def action_previous_preset(self) -> None:
        """Take the previous preset of the list."""
        self.attempt(lambda: self.live().switching.next_preset(-1))

    def action_next_quant(self) -> None:
        """Take the next smaller quant of the model."""
        self.attempt(lambda: self.live().switching.next_quant(1))

    def action_previous_quant(self) -> None:
        """Take the next larger quant of the model."""
        self.attempt(lambda: self.live().switching.next_quant(-1))

    def action_fewer_threads(self) -> None:
        """Decode with one thread fewer."""
        self.attempt(lambda: self.live().switching.more_threads(-1))

    def action_more_threads(self) -> None:
        """Decode with one thread more."""
        self.attempt(lambda: self.live().switching.more_threads(1))

    def action_switch_back(self) -> None:
        """Go back to the settings and the model before the last switch."""

        def back() -> None:
            self.live().switching.back()

        self.attempt(back)

    def switch_by_command(self, name: str, words: str) -> None:
        """Do `/preset NAME`, `/quant NAME` or `/threads N`.

        Raises:
            UsageError: The words can't be meant.
        """
        switching = self.live().switching
        if name == "preset":
            switching.use_named(words)
        elif name == "quant":
            if not words:
                raise UsageError("/quant needs the name of a quant", "", "For example: /quant Q4_K_M")
            switching.use_quant(words)
        elif not words:
            self._tell_threads()
        elif words.lower() == "auto":
            switching.use_threads("auto")
        elif words.isdecimal():
            switching.use_threads(int(words))
        else:
            raise UsageError(f"/threads can't be {words!r}", "", "Say a number, or auto.")

    def _tell_threads(self) -> None:
        now = self.live().threads_now
        if now is None:
            raise UsageError("No model is loaded", "", "Pick one with F3.")
        self.tell("Threads", f"Answers: {now.reason}\nPrompts: {now.reason_batch}\n{now.waiting}".strip())

    def offer_what_fits(self, event: ModelFailed, error: TooLargeError) -> None:
        """A model is too large: let the person choose one of the changes that would make it fit, or insist."""
        from tui.models.too_large import INSIST, TooLargeScreen

        switching = self.live().switching

        def choose(chosen: int | None) -> None:
            if chosen == INSIST:
                switching.force(event.path)
            elif chosen is not None:
                self.attempt(lambda: switching.amend(event.path, error.verdict.remedies[chosen].changes))

        self.app.push_screen(TooLargeScreen(error), choose)
