"""The performance view of a session: its turns in figures, its charts, and regressions against this host's history."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.errors import XchatError
from engine.metrics.side_by_side import Side
from engine.records import SessionInfo, TurnRecord
from engine.session.explained import explain
from engine.session.library import Library
from engine.store.export.charts import charts_of
from engine.store.export.tables import Selection
from engine.store.queries.regression import find_regressions
from engine.store.queries.sessions import session_info
from engine.store.queries.turns import Variant, turns_of, turns_of_variant, variants_of
from engine.store.series import Chart
from engine.text import one_line
from tui.actions.bindings import Keymap, bindings_for
from tui.actions.palette import Command
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog
from tui.drawing.braille import Glyphs
from tui.library.logged_charts import LoggedCharts
from tui.library.saved import Chosen
from tui.library.sessions import SessionsScreen
from tui.text.switch_text import made_with
from tui.text.table import heading, table_row
from tui.text.turn_table import TurnColumn, columns_for
from tui.text.wording import count

TURNS_COMPARED = 20
"""Number of newest turns compared with this host's history when the view opens; each takes a query."""
TURNS_EXPLAINED = 200
"""Number of newest turns whose causes of time are shown in the row below."""
CHART_ROWS = 20
"""Least height for the charts."""


class PerformanceScreen(Dialog[None]):
    """Shows the turns of a session; opens charts and comparisons."""

    HELP = """\
## Performance of a session

One row per turn: prompt tokens evaluated and reused, tokens generated, the time to the first one, decode speed, the 99th percentile of
the gaps between tokens, and the largest memory of the process. `~` marks a turn that was noisy or too short to be judged, whose figures are
not compared; `▼` one that was clearly slower than earlier clean turns on this host with the same model, quant and preset. The row below
shows the reason, and the causes of the turn's time, such as reading weights, waiting for a CPU, prefill or painting, with remedies.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for(Scope.TURNS),
        *bindings_for(Scope.APP, only={"export"}),
    ]
    DEFAULT_CSS = """
    PerformanceScreen {
        background: $background;
        .line { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #titles { color: $muted; }
        #remark { color: $warning; height: auto; max-height: 4; text-wrap: wrap; }
        OptionList { height: 1fr; scrollbar-gutter: stable; }
        LoggedCharts { height: 1fr; display: none; border-top: solid $rule; }
        &.-charts LoggedCharts { display: block; }
    }
    """

    def __init__(
        self,
        library: Library,
        info: SessionInfo,
        *,
        keymap: Keymap,
        glyphs: Glyphs,
        report: Callable[[XchatError], None],
        export: Callable[[SessionInfo], None],
    ) -> None:
        super().__init__()
        self._library = library
        self._info = info
        self._keymap = keymap
        self._glyphs = glyphs
        self._report = report
        self._export = export
        self._turns: tuple[TurnRecord, ...] = ()
        self._charts: tuple[Chart, ...] = ()
        self._columns: tuple[TurnColumn, ...] = ()
        self._causes: dict[int, str] = {}
        """Causes of a turn's time, by its id."""
        self._fallen: dict[int, str] = {}
        """Regressions by turn id, in words."""

    def compose(self) -> ComposeResult:
        """Lay out table, remark on the selected turn, charts and keys."""
        with Vertical(classes="box whole") as frame:
            frame.border_title = Content(f"Performance of {one_line(self._info.title) or 'untitled'}")
            yield Static(id="titles", classes="line", markup=False)
            yield ChoiceList()
            yield Static(id="remark", markup=False)
            yield LoggedCharts(self._glyphs)
            yield Static(id="hints")

    def on_mount(self) -> None:
        """Read turns and charts."""
        self.run_worker(self._load(), group="performance")

    def on_resize(self, event: events.Resize) -> None:
        """Lay out by the size of the screen."""
        self.set_class(event.size.height >= CHART_ROWS, "-charts")
        words = {"turn_charts": "charts", "compare_session": "other session", "compare_settings": "other settings", "export": "export"}
        hints = [(self.keymap.shown("close"), "close"), *((self._keymap.shown(action), word) for action, word in words.items())]
        self.show_hints(hints, event.size.width - 4)
        self.call_after_refresh(self._fill)

    async def _load(self) -> None:
        reader = self._library.reader
        try:
            self._turns = await reader.read(turns_of, self._info.id)
            self._fill()
            self._charts = await reader.read(charts_of, Selection((self._info.id,)))
            self.query_one(LoggedCharts).show(self._charts)
            explained = await explain(reader, self._turns[-TURNS_EXPLAINED:])
            self._causes = {one.turn.id: one.causes[0].words for one in explained if one.causes}
            self._remark_again()
            for turn in self._turns[: -TURNS_COMPARED - 1 : -1]:
                found = await reader.read(find_regressions, turn)
                if found:
                    self._mark_fallen(turn, ". ".join(one.sentence for one in found))
        except XchatError as error:
            self._report(error)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _fill(self) -> None:
        if not self.is_mounted:
            return
        here = self._list.highlighted
        self._columns = columns_for(max(20, self._list.scrollable_content_region.width - 2))
        self.query_one("#titles", Static).update("  " + heading(self._columns))
        self._list.clear_options()
        self._list.add_options([Option(self._row(number, turn)) for number, turn in enumerate(self._turns, start=1)])
        self._list.highlighted = (len(self._turns) - 1 if here is None else here) if self._turns else None
        noisy = sum(turn.noisy is not None for turn in self._turns)
        frame = self.query_one(".box", Vertical)
        frame.border_subtitle = f"{count(len(self._turns), 'turn')}, {noisy:,} noisy" if self._turns else "Nothing was measured."

    def _row(self, number: int, turn: TurnRecord) -> Content:
        text = table_row(self._columns, number, turn)
        if turn.id in self._fallen:
            return Content.styled(f"▼ {text}", "$warning")
        if turn.error is not None:
            return Content.styled(f"! {text}", "$error")
        return Content.styled(f"~ {text}", "$muted") if not turn.clean else Content(f"  {text}")

    def _mark_fallen(self, turn: TurnRecord, sentence: str) -> None:
        place = self._turns.index(turn)
        self._fallen[turn.id] = sentence
        self._list.replace_option_prompt_at_index(place, self._row(place + 1, turn))
        if self._list.highlighted == place:
            self._remark_on(turn)

    def _remark_again(self) -> None:
        if self.is_mounted and self._turns and self._list.highlighted is not None:
            self._remark_on(self._turns[self._list.highlighted])

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        self._remark_on(self._turns[event.option_index])

    def _remark_on(self, turn: TurnRecord) -> None:
        remark = self._fallen.get(turn.id, "")
        if turn.error is not None:
            remark = f"Failed: {one_line(turn.error)}"
        elif turn.noisy is not None:
            remark = f"{one_line(turn.noisy)}. Compared only where there are no clean turns."
        elif not turn.judged:
            remark = "The turn was too short to be judged and is not compared."
        lines = [line for line in (self._causes.get(turn.id, ""), remark) if line]
        self.query_one("#remark", Static).update("\n".join(lines))

    # Other screens

    def action_turn_charts(self) -> None:
        """Open the charts at full screen."""
        from tui.library.logged_chart import LoggedChartScreen

        if self._charts:
            self.app.push_screen(LoggedChartScreen(self._charts, glyphs=self._glyphs, turns=self._turns))

    def action_compare_session(self) -> None:
        """Pick another session to compare with."""

        def compare(chosen: Chosen | None) -> None:
            if chosen is not None:
                self.run_worker(self._beside_session(chosen.session_id), group="compare", exclusive=True)

        browser = SessionsScreen(self._library, keymap=self._keymap, current=None, report=self._report, title="Compare with which session?")
        self.app.push_screen(browser, compare)

    async def _beside_session(self, session_id: int) -> None:
        reader = self._library.reader
        try:
            other, turns = await reader.read(session_info, session_id), await reader.read(turns_of, session_id)
        except XchatError as error:
            self._report(error)
            return
        self._compare(Side(f"{self._info.id}: {self._info.title}", self._turns), Side(f"{other.id}: {other.title}", turns))

    async def action_compare_settings(self) -> None:
        """Pick another quant, preset or thread count of the same model to compare with that of the last turn."""
        from tui.dialogs.palette import Palette

        if not self._turns:
            return
        here = self._turns[-1]
        try:
            variants = await self._library.reader.read(variants_of, here.model)
        except XchatError as error:
            self._report(error)
            return
        ours = Variant(here.quant, here.preset, here.threads, 0)
        commands = [
            Command(_name(variant), count(variant.turns, "turn"), "", partial(self._beside_settings, here.model, ours, variant))
            for variant in variants
            if _name(variant) != _name(ours)
        ]

        def run(chosen: Callable[[], None] | None) -> None:
            if chosen is not None:
                chosen()

        self.app.push_screen(Palette(f"Compare {_name(ours)} of {one_line(here.model)}", commands), run)

    def _beside_settings(self, model: str, ours: Variant, other: Variant) -> None:
        async def compare() -> None:
            reader = self._library.reader
            try:
                sides = [Side(_name(variant), await reader.read(turns_of_variant, model, variant)) for variant in (ours, other)]
            except XchatError as error:
                self._report(error)
                return
            self._compare(*sides)

        self.run_worker(compare(), group="compare", exclusive=True)

    def _compare(self, left: Side, right: Side) -> None:
        from tui.library.comparison import ComparisonScreen

        self.app.push_screen(ComparisonScreen(left, right, glyphs=self._glyphs))

    def action_export(self) -> None:
        """Export this session."""
        self._export(self._info)


def _name(variant: Variant) -> str:
    return made_with(variant.quant, variant.preset, variant.threads)
