"""The settings screen: every setting with its value, its cost and its meaning, edited in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static

from engine.errors import UsageError
from engine.presets.preset import SAMPLING, SETTINGS, Preset, value_of
from engine.presets.settings import allowed, choices, shown, with_text
from engine.text import drawable, one_line
from tui.actions.bindings import bindings_for
from tui.actions.footer import KeyBar
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.picker import Picker
from tui.text.cells import cut

NAME_CELLS, VALUE_CELLS, SAVED_CELLS, COST_CELLS = 15, 14, 12, 8


@dataclass(frozen=True, slots=True)
class Edited:
    """The settings that the screen shows and changes."""

    now: Callable[[], Preset]
    """Returns the current settings."""
    saved: Preset
    """The settings to compare with: the preset's file, or the defaults."""
    saved_name: str
    change: Callable[[Mapping[str, str]], None]
    """Applies settings, given as typed text; raises UsageError for an invalid value."""
    price: Callable[[Preset], str]
    """Describes the cost of a change to these settings; empty where unknown."""
    save: Callable[[], None]
    """Asks for a name and saves the settings as a preset."""
    described: bool = False
    """Whether the description of the preset is among the settings."""

    def listed(self) -> list[str]:
        """Return the settings, those of sampling first."""
        keys = [key for key, setting in SETTINGS.items() if setting.cost is not None or self.described]
        return sorted(keys, key=lambda key: not key.startswith(f"{SAMPLING}."))

    def text(self, key: str) -> str:
        """Return the value of a setting for editing, on one line."""
        value = value_of(self.now(), key)
        return value.replace("\\", "\\\\").replace("\n", "\\n") if isinstance(value, str) else shown(value)

    def differs(self, key: str) -> bool:
        """Return whether a setting differs from its saved value."""
        return bool(value_of(self.now(), key) != value_of(self.saved, key))


class SettingsScreen(Picker[None]):
    """Typing filters, Enter edits the selected setting, and Enter again applies it."""

    HELP = """\
## Settings

Every setting of the sampling and of the engine. Type a part of its name or of its meaning, and press {accept} to edit its value; the line
below says what the change costs while you type. Up and Down go through the values where there are only a few; `\\n` is a line break.
{accept} applies the value, {close} discards it. A star marks settings that differ from the preset; type `*` to see only those.

*hot* applies to the next token, *rebuild* makes a new context, *reload* reads the file again.
"""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.SETTINGS)]
    PLACEHOLDER = "Part of a setting's name or meaning"
    DEFAULT_CSS = """
    SettingsScreen {
        .picker { width: 110; }
        .head { height: 1; color: $muted; padding: 0 1; }
        #editor { height: 1; display: none; padding: 0 1; }
        #editor Static { width: auto; color: $heading; text-style: bold; }
        #editor Input { width: 1fr; background: $background; }
        &.-editing #editor { display: block; }
        #about { height: 4; padding: 0 1; color: $foreground; }
    }
    """

    def __init__(self, edited: Edited, *, title: str, key: str = "") -> None:
        """`key` is a setting to edit at once."""
        super().__init__()
        self._edited, self._title, self._first = edited, title, key

    def compose(self) -> ComposeResult:
        """Lay out filter, list, editor, explanation and keys."""
        with Vertical(classes="box picker"):
            yield Input(placeholder=self.PLACEHOLDER, select_on_focus=False)
            yield Static(Content(self._head()), classes="head")
            yield ChoiceList()
            yield Static("", classes="empty")
            yield Static(Content("─" * 200), classes="rule")
            with Horizontal(id="editor"):
                yield Static(id="name")
                yield Input(id="value")
            yield Static(id="about")
            yield KeyBar(scope=Scope.SETTINGS)

    def _head(self) -> str:
        words = ("setting", NAME_CELLS), ("value", VALUE_CELLS), (self._edited.saved_name, SAVED_CELLS), ("cost", COST_CELLS)
        return " ".join(cut(one_line(word), cells) for word, cells in words) + " meaning"

    async def on_mount(self) -> None:
        """Show all settings."""
        self.frame.border_title = Content(drawable(self._title))
        self.frame.border_subtitle = self.accept_hint("edit")
        await self.narrow()
        if self._first:
            keys = self._edited.listed()
            self.options.highlighted = keys.index(self._first)
            self.call_after_refresh(self.take)

    async def narrow(self) -> None:
        """Show the settings that contain all typed words; while one is edited, check the typed value."""
        if self._editing:
            self._explain()
            return
        edited = self._edited
        stars = {key: " *" if edited.differs(key) else "" for key in edited.listed()}
        fitting = [key for key, star in stars.items() if self.matches(f"{key} {SETTINGS[key].llama} {SETTINGS[key].meaning}{star}")]
        self.fill([(key, self._row(key)) for key in fitting], "No setting matches.")
        self._explain()

    def refresh_values(self) -> None:
        """Update the values after a switch."""
        self.call_later(self.narrow)

    def saved_as(self, preset: Preset) -> None:
        """Compare with this preset from now on, as the settings were saved under its name."""
        self._edited = replace(self._edited, saved=preset, saved_name=preset.name)
        self.frame.border_title = Content(drawable(f"Settings of {preset.name}"))
        self.query_one(".head", Static).update(Content(self._head()))
        self.refresh_values()

    def _row(self, key: str) -> Content:
        edited, setting = self._edited, SETTINGS[key]
        differs = edited.differs(key)
        value = cut(one_line(shown(value_of(edited.now(), key))), VALUE_CELLS - 2).rstrip() + (" *" if differs else "")
        saved = cut(one_line(shown(value_of(edited.saved, key))), SAVED_CELLS)
        return Content.assemble(
            f"{cut(_name(key), NAME_CELLS)} ",
            Content.styled(cut(value, VALUE_CELLS), "bold $warning" if differs else "bold"),
            Content.styled(f" {saved} {setting.cost or '':<{COST_CELLS}} ", "$muted"),
            setting.meaning,
        )

    # Editing one

    @property
    def _editing(self) -> bool:
        return self.has_class("-editing")

    @property
    def _value(self) -> Input:
        return self.query_one("#value", Input)

    def _edit(self, on: bool) -> None:
        self.set_class(on, "-editing")
        self.frame.border_subtitle = self.keymap.fill("{accept} apply · {close} cancel") if on else self.accept_hint("edit")
        (self._value if on else self.query_one(Input)).focus()

    def take(self) -> None:
        """Edit the selected setting, or apply the edited value."""
        key = self.chosen_id
        if key is None:
            return
        if not self._editing:
            self.query_one("#name", Static).update(f"{_name(key)} = ")
            self._value.value = self._edited.text(key)
            self._edit(True)
            self._explain()
        elif self._change(key, self._typed_value):
            self._edit(False)
            self.refresh_values()

    @property
    def _typed_value(self) -> str:
        parts = self._value.value.split("\\\\")
        return "\\".join(part.replace("\\n", "\n") for part in parts)

    def _change(self, key: str, text: str) -> bool:
        try:
            self._edited.change({key: text})
        except UsageError as error:
            self._say(error.title, error.hint, wrong=True)
            return False
        return True

    def action_reset_setting(self) -> None:
        """Set the selected setting back to its saved value."""
        if (key := self.chosen_id) is not None and not self._editing:
            saved = value_of(self._edited.saved, key)
            self._change(key, saved if isinstance(saved, str) else shown(saved))
            self.refresh_values()

    def action_save_settings(self) -> None:
        """Save the settings under a name."""
        self._edited.save()

    def action_close(self) -> None:
        """Discard the edited value, or close."""
        if self._editing:
            self._edit(False)
            self.refresh_values()
        else:
            super().action_close()

    def _move(self, name: str) -> None:
        values = choices(self.chosen_id or "description")
        if not self._editing:
            super()._move(name)
        elif values:
            now = self._value.value
            step = -1 if name.endswith("up") else 1
            self._value.value = values[(values.index(now) + step) % len(values) if now in values else 0]

    # The explanation

    @on(OptionList.OptionHighlighted)
    def _moved(self) -> None:
        self._explain()

    def _explain(self) -> None:
        key = self.chosen_id
        if key is None:
            self._say("")
            return
        setting = SETTINGS[key]
        takes = f"Values: {allowed(key)}; {shown(value_of(Preset(), key))} by default" + (
            f"; llama.cpp: {setting.llama}" if setting.llama else ""
        )
        if not self._editing:
            self._say(f"{setting.meaning[0].upper()}{setting.meaning[1:]}.", f"{takes}.")
            return
        try:
            wanted = with_text(self._edited.now(), {key: self._typed_value})
        except UsageError as error:
            self._say(error.title, error.hint, wrong=True)
        else:
            self._say(self._edited.price(wanted), f"{takes}.")

    def _say(self, first: str, then: str = "", *, wrong: bool = False) -> None:
        lines = Content.styled(drawable(first), "$error" if wrong else ""), Content.styled(drawable(then), "$muted")
        self.query_one("#about", Static).update(Content("\n").join(line for line in lines if line))


def _name(key: str) -> str:
    return key.removeprefix(f"{SAMPLING}.")
