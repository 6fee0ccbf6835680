"""The Textual app: themes, keys, notices, signals, and an orderly exit."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.binding import BindingType
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import WorkerFailed

from engine.errors import UsageError, XchatError, of_memory
from engine.last_used import recall, remember
from engine.metrics.link import LATE_S, Link
from engine.paths import state_dir
from tui.actions.bindings import OF_THE_APP, Handler, bindings_for, resolve
from tui.actions.dispatch import actions_here, widget_for
from tui.actions.palette import Command, action_commands, theme_commands
from tui.actions.registry import BY_ID, Scope
from tui.chat.first_frame import FirstScreen
from tui.chat.layout import NOTICE_CSS
from tui.options import AppOptions
from tui.terminal.driver import AsciiDriver, SafeLinuxDriver
from tui.terminal.frame_diff import Conversion, Difference
from tui.terminal.link import CATCH_UP_S, CONVERTED_ROWS, SMALL
from tui.terminal.terminal import Terminal
from tui.text.notices import NOTICE_S, PastNotices
from tui.theming import LoadedThemes, load_themes, theme_for, variable_defaults

if TYPE_CHECKING:
    from engine.events import Notice
    from engine.session.session import Session
    from tui.chat.screen import ChatScreen

HANG_UP_S = 3.0
"""Longest time until exit after a hang-up or SIGTERM."""
QUIT_S = 15.0
"""Longest time until exit after quitting; a slow disk may need it to save."""


class XchatApp(App[None], inherit_bindings=False):
    """The app: owns the parts that outlive a screen. Controls the session only through the chat screen."""

    TITLE = "xchat"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.APP, only=OF_THE_APP)]
    CSS = NOTICE_CSS

    def __init__(
        self,
        open_session: Callable[[], Awaitable[Session]],
        options: AppOptions,
        terminal: Terminal,
        *,
        watchdog: Callable[[float, int], None] = lambda _seconds, _code: None,
    ) -> None:
        """`open_session` is called after the first frame. `watchdog(seconds, code)` must end the process with `code` after `seconds`."""
        # Without `ansi_color`, NO_COLOR makes Textual draw 16-colour themes black on black.
        super().__init__(driver_class=SafeLinuxDriver if terminal.unicode else AsciiDriver, ansi_color=True if terminal.no_color else None)
        self.options = options
        self.terminal = terminal
        self.keymap = resolve(options.keys)
        self.themes = self._first_themes()
        self.past_notices = PastNotices()
        self.restart_command: Sequence[str] | None = None
        """The command to execute after exit."""
        self._open_session = open_session
        self._watchdog = watchdog
        self._leaving = False
        self._catching_up: Timer | None = None
        self._chat: ChatScreen | None = None
        self._actions: Mapping[str, Handler] = {
            "help": self._help,
            "palette": self._palette,
            "theme": self._theme,
            "notices": self._list_notices,
            "suspend": self.action_suspend_process,
            "quit": self._quit,
        }
        self._register_themes()
        self.theme = self._first_theme()
        self.set_keymap(self.keymap.overrides())

    # Starting

    def _first_themes(self) -> LoadedThemes:
        """Load the theme of the first frame only; all themes if it can't be loaded."""
        first = load_themes(only=self.options.theme or recall().theme or theme_for(self.terminal))
        return first if first.themes else load_themes()

    def _register_themes(self) -> None:
        for theme in self.themes.themes.values():
            self.register_theme(theme)

    def _first_theme(self) -> str:
        wanted = self.options.theme or recall().theme or theme_for(self.terminal)
        return wanted if wanted in self.themes.themes else theme_for(self.terminal)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Defaults of xchat's own colours, for themes that do not set them."""
        return variable_defaults(self.current_theme)

    def get_default_screen(self) -> FirstScreen:
        """Return the screen shown before anything slow is imported."""
        return FirstScreen(self.keymap)

    @property
    def chat(self) -> ChatScreen | None:
        """The chat screen, even when another screen covers it; None until it is created."""
        return self._chat

    def on_mount(self) -> None:
        """Handle SIGHUP and SIGTERM; continue starting after the first frame."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(number, self._hang_up, number)
        self.limit_colours(self.options.low_bandwidth)
        self.call_after_refresh(lambda: self.run_worker(self._open_chat(), group="chat"))

    async def _open_chat(self) -> None:
        """Replace the first screen with the chat screen and keep the typed text."""
        chat_screen = await asyncio.to_thread(_import_chat)
        self.themes = await asyncio.to_thread(load_themes)
        self._register_themes()
        first = self.screen
        assert isinstance(first, FirstScreen)
        typed = first.prompt.whole
        self._chat = chat_screen(
            self,
            open_session=self._open_session,
            remote=self.terminal.remote or self.options.low_bandwidth,
            typed=typed,
            submitted=first.submitted,
        )
        first.on_late_send = self._chat.send
        await self.push_screen(self._chat)
        self._chat.add_typed(typed, first.prompt.whole)
        for notice in (*self.options.notices, *self.keymap.notices, *self.themes.notices(self.options.theme, self.theme)):
            self.show_notice(notice)
        gc.enable()
        gc.collect()
        gc.freeze()

    # Painting

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """The screens visible below the top one."""
        # Textual 8.2 always includes the next screen, so every word of an answer would repaint a whole flamegraph above it.
        stack = self._screen_stack
        return [] if stack and stack[-1].styles.background.a == 1 else super()._background_screens

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Send only the changed cells, followed by a query that measures when the terminal has drawn them."""
        driver = self._driver
        if not isinstance(driver, SafeLinuxDriver):
            super()._display(screen, renderable)
            return
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            renderable = Difference(driver.picture, renderable, at_most=SMALL if self.link().jammed else None)
        super()._display(screen, renderable)
        driver.ask()
        if driver.picture.owing and self._catching_up is None:
            self._catching_up = self.set_timer(CATCH_UP_S, self._catch_up)

    def _catch_up(self) -> None:
        """Repaint once a jammed connection recovers, so that only the final state is sent."""
        self._catching_up = None
        if self.link().jammed:
            self._catching_up = self.set_timer(CATCH_UP_S, self._catch_up)
        elif isinstance(driver := self._driver, SafeLinuxDriver):
            driver.picture.owing = False
            self.refresh()

    def on_resize(self) -> None:
        """Repaint everything, since a terminal may drop cells when resized."""
        if isinstance(driver := self._driver, SafeLinuxDriver):
            driver.picture.forget()
            self.refresh()

    # Services for screens

    def show_notice(self, notice: Notice) -> None:
        """Show a notice as one line, without interpreting markup; it replaces the one shown and is kept in the list."""
        self._show_line(notice.severity, notice.title, notice.detail, self.keymap.hint(notice.hint, notice.action))

    def notify(self, message: str, *, title: str = "", severity: SeverityLevel = "information", **_: object) -> None:
        """Show a notice of a widget."""
        self._show_line(severity, title or message, message if title else "", "")

    def _show_line(self, severity: SeverityLevel, title: str, detail: str, hint: str) -> None:
        notice = self.past_notices.add(severity, title, detail, hint)
        if notice is not None:
            self.clear_notifications()
            super().notify(notice.line, severity=severity, timeout=NOTICE_S[severity], markup=False)

    def dismiss_notice(self) -> None:
        """Remove the notice that is shown; it stays in the list."""
        self.past_notices.dismiss()
        self.clear_notifications()

    def _list_notices(self) -> None:
        """Show the notices since the start."""
        from tui.dialogs.text import NoticesScreen

        self.push_screen(NoticesScreen(self.past_notices.text))

    def show_error(self, error: XchatError) -> None:
        """Show an error as a notice."""
        self._show_line("error", error.title, error.detail, self.keymap.hint(error.hint, error.action))

    def _handle_exception(self, error: Exception) -> None:
        """Report a worker's exception and continue; exit on other errors, or without a session."""
        if isinstance(error, WorkerFailed) and self._chat is not None and self._chat.context.session is not None:
            self.worker_failed(error.error)
        else:
            super()._handle_exception(error)

    def worker_failed(self, error: BaseException) -> None:
        """Show an unexpected error as a notice, with its traceback in the log."""
        error = of_memory(error) or error
        if not isinstance(error, XchatError):
            # Descriptor 2 leads to the log.
            os.write(2, "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace"))
            title = f"Internal error: {type(error).__name__}"
            error = XchatError(title, str(error), "The log has the traceback", "native_log")
        self.show_error(error)

    def link(self) -> Link:
        """State of the connection to the terminal; idle without a terminal."""
        driver = self._driver
        if not isinstance(driver, SafeLinuxDriver):
            return Link(0, 0.0)
        tty, trip = driver.tty, driver.round_trip
        starved_s = driver.starvation.recent_s()
        return Link(driver.backlog, tty.stalled_s, trip.late_s, trip.newest_s, tty.blocked_s, starved_s, self.terminal.remote)

    def probe_line(self) -> bool:
        """Probe the connection while nothing is painted; returns whether the last or the pending reply is late."""
        driver = self._driver
        if not isinstance(driver, SafeLinuxDriver):
            return False
        late = max(driver.round_trip.newest_late_s, driver.round_trip.late_s)
        driver.probe()
        return late > LATE_S + self.link().excused_s

    def bytes_written(self) -> int:
        """Bytes sent to the terminal so far."""
        driver = self._driver
        return driver.tty.bytes_written if isinstance(driver, SafeLinuxDriver) else 0

    def limit_colours(self, limited: bool) -> None:
        """Send at most 256 colours, or all of them; shown rows are converted gradually."""
        if isinstance(driver := self._driver, SafeLinuxDriver):
            driver.picture.coarse = limited
            self._convert_colours(driver)

    def _convert_colours(self, driver: SafeLinuxDriver) -> None:
        if driver.picture.mixed:
            if not self.link().jammed:
                self._display(self.screen, Conversion(driver.picture, rows=CONVERTED_ROWS))
            self.set_timer(CATCH_UP_S, lambda: self._convert_colours(driver))

    async def copy(self, text: str) -> None:
        """Copy to the clipboard and report where the text went."""
        from tui.terminal.clipboard import copy

        driver = self._driver
        try:
            copied = await copy(text, write=driver.write if driver is not None else lambda _: None, folder=state_dir(), environ=os.environ)
        except OSError as error:
            self._show_line("error", "The text could not be copied", str(error), "")
        else:
            self._show_line("information", "Copied", copied.sentence, "")

    def copy_to_clipboard(self, text: str) -> None:
        """Copy for Textual's own widgets."""
        self.run_worker(self.copy(text), group="copy")

    def do(self, action_id: str, argument: str = "") -> None:
        """Run an action of the registry: on the focused widget or its ancestor that binds it, else on the app or the chat."""
        self.run_worker(self._perform(action_id, argument), group="action")

    async def action_do(self, action_id: str) -> None:
        """Run the action of a key or of a click in the footer."""
        await self._perform(action_id, "")

    async def _perform(self, action_id: str, argument: str) -> None:
        action, chat = BY_ID[action_id], self._chat
        widget = widget_for(self.screen, action)
        handler = self._actions.get(action_id) or (chat.actions.get(action_id) if chat is not None else None)
        try:
            if widget is not None:
                await widget.run_action(action.method)
            elif chat is not None and action.needs_argument and not argument:
                chat.ask_argument(action)
            elif handler is not None:
                done = handler(argument) if action.argument else handler()
                if done is not None:
                    await done
        except XchatError as error:
            self.show_error(error)

    # Actions that work on every screen

    def _help(self) -> None:
        """Open help for the focused widget with all keys, or close it."""
        from tui.dialogs.help import HelpScreen, help_for

        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
        elif self._chat is not None:
            self.push_screen(HelpScreen(help_for(self.screen.focused or self.screen)))

    def _palette(self) -> None:
        """Open the command palette."""
        panes = self._chat.panel.commands() if self._chat is not None else []
        self._choose("Commands", [*action_commands(actions_here(self.screen), self.keymap, self.do), *panes])

    def _theme(self, name: str) -> None:
        """Apply and remember a theme, or open the list."""
        if not name:
            self._choose("Themes", theme_commands(self.themes.titles, self.theme, self._theme), preview=partial(setattr, self, "theme"))
        elif name in self.themes.themes:
            self.theme = name
            self.run_worker(asyncio.to_thread(remember, theme=name), group="remember")
        else:
            raise UsageError(f"There is no theme {name!r}", "", f"Known: {', '.join(self.themes.themes)}.")

    def _choose(self, title: str, commands: Sequence[Command], *, preview: Callable[[str], None] | None = None) -> None:
        """Let the user pick a command. `preview` gets the name of each highlighted one; cancelling restores the theme."""
        from tui.dialogs.palette import Palette

        undo = partial(setattr, self, "theme", self.theme)

        def run(chosen: Callable[[], None] | None) -> None:
            (chosen or undo)()

        if self._chat is not None and not isinstance(self.screen, Palette):
            self.push_screen(Palette(title, commands, preview=preview), run)

    async def _quit(self) -> None:
        """Save everything and quit."""
        self._watchdog(QUIT_S, 0)
        await self.leave(0)

    # The end

    async def leave(self, code: int) -> None:
        """Stop and save the answer, close the session, exit with `code`."""
        if self._leaving:
            return
        self._leaving = True
        chat = self._chat
        session = chat.context.session if chat is not None else None
        if chat is not None and session is not None:
            chat.context.set_status(activity="saving")
            try:
                await session.close(keep_state=code == 0, interrupted=code != 0)
            except XchatError as error:
                self.exit(return_code=error.exit_code, message=str(error))
                return
        self.exit(return_code=code)

    def _hang_up(self, number: int) -> None:
        """Save and exit after a hang-up or SIGTERM, with a time limit."""
        code = 128 + number
        self._watchdog(HANG_UP_S, code)
        self._ending = asyncio.get_running_loop().create_task(self.leave(code))

    async def restart(self) -> None:
        """Save everything and restart the program on the same session."""
        if not self.options.restart:
            self._show_line("warning", "xchat can't restart itself", "", "Quit and start it with --resume.")
            return
        session = self._chat.context.session if self._chat is not None else None
        resume = ["--resume", str(session.info.id)] if session is not None and session.info is not None else []
        model = [str(session.engine.model.ref)] if session is not None and session.engine is not None else []
        self.restart_command = [*self.options.restart, *model, *resume]
        self._watchdog(QUIT_S, 1)
        await self.leave(0)


def _import_chat() -> type[ChatScreen]:
    """Import the chat screen and the engine modules it needs. Called on a thread."""
    from tui.chat.screen import ChatScreen

    return ChatScreen
