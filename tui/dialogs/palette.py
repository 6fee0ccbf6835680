"""The command palette: find a command by a part of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import on
from textual.content import Content
from textual.fuzzy import Matcher
from textual.widgets import OptionList

from tui.actions.palette import Command
from tui.dialogs.picker import Picker

ABOUT_WEIGHT = 0.5
"""Weight of a match in the description, relative to one in the name."""


class Palette(Picker[Callable[[], None]]):
    """Dismissed with the function to run."""

    HELP = "## Commands\n\nType a part of a command's name or description, then {accept}. The key shown runs the same command.\n"

    def __init__(self, title: str, commands: Sequence[Command], *, preview: Callable[[str], None] | None = None) -> None:
        """`preview` gets the name of each highlighted command."""
        super().__init__()
        self._preview = preview
        self._title = title
        self._commands = commands
        self._name_cells = max((len(command.name) for command in commands), default=0)
        self._key_cells = max((len(command.key) for command in commands), default=0)

    async def on_mount(self) -> None:
        """Show all commands."""
        self.frame.border_title = self._title
        self.frame.border_subtitle = self.accept_hint("run")
        await self.narrow()

    async def narrow(self) -> None:
        """Show the best matches first; all commands in registry order while nothing is typed."""
        typed = self.typed.strip()
        scored = [(1.0, index, command) for index, command in enumerate(self._commands)]
        matcher = Matcher(typed) if typed else None
        if matcher is not None:
            scored = [
                (max(matcher.match(command.name), matcher.match(command.about) * ABOUT_WEIGHT), index, command)
                for _, index, command in scored
            ]
        best = sorted((entry for entry in scored if entry[0] > 0), key=lambda entry: (-entry[0], entry[1]))
        self.fill([(str(index), self._row(command, matcher)) for _, index, command in best], "No command matches.")
        if best:
            self.options.highlighted = 0

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if self._preview is not None and event.option_id is not None and event.option_id == self.chosen_id:
            self._preview(self._commands[int(event.option_id)].name)

    def _row(self, command: Command, matcher: Matcher | None) -> Content:
        name = matcher.highlight(command.name) if matcher is not None else Content(command.name)
        gap = " " * (self._name_cells - len(command.name) + 2)
        key = Content.styled(f"{command.key:<{self._key_cells}}  ", "$key") if self._key_cells else Content("")
        return Content.assemble(name, gap, key, Content.styled(command.about, "$muted"))

    def take(self) -> None:
        """Dismiss with the chosen command."""
        if self.chosen_id is not None:
            self.dismiss(self._commands[int(self.chosen_id)].run)
