"""The capture viewer: flamegraph, functions, callers and callees, threads; filters, search and export."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Key, Resize
from textual.reactive import var
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.profiling.records import MODE_TEXTS, CaptureRecord
from engine.profiling.tree import Node, Order
from engine.text import drawable
from tui.actions.bindings import bindings_for, keymap_of
from tui.actions.footer import KeyBar
from tui.actions.registry import Group, Scope
from tui.dialogs.help import HelpScreen
from tui.flame.export import export_capture
from tui.flame.help import HELP
from tui.flame.icicle import Icicle
from tui.flame.search_line import SearchLine
from tui.flame.subject import CaptureSubject, DiffSubject, Filter, SortKey, Subject, frame_of, next_threads, notes_of
from tui.flame.table import RowTable

WIDE = 140
"""Least width for the table of functions beside the flamegraph."""
TABLE_WIDTH = 70
"""Width of that table."""

PickCapture = Callable[[CaptureRecord], Awaitable[CaptureRecord | None]]
"""Lets the user pick another capture than the given one, to compare with."""

_WIDGETS = {"flame": "#icicle", "functions": "#functions", "threads": "#threads", "sandwich": "#sandwich"}
"""The widget of each view."""
_SORT_OF_COLUMN = (SortKey.OWN, SortKey.OWN, SortKey.TOTAL, SortKey.TOTAL, SortKey.NAME)
_COLUMN_OF_SORT = {SortKey.OWN: 0, SortKey.TOTAL: 2, SortKey.NAME: 4}
_COLUMN_OF_CHANGE = {SortKey.OWN: 2, SortKey.TOTAL: 3, SortKey.NAME: 4}


class FlameScreen(Screen[None]):
    """Shows one capture, or the difference of two."""

    HELP = HELP
    BINDING_GROUP_TITLE = "Profile"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.FLAME)]
    DEFAULT_CSS = """
    FlameScreen { layout: vertical; }
    FlameScreen .line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    FlameScreen #heading { text-style: bold; }
    FlameScreen #notes { height: auto; max-height: 6; padding: 0 1; color: $text-warning; }
    FlameScreen #views { height: 1fr; }
    FlameScreen #views > * { display: none; width: 1fr; }
    FlameScreen #callee-heading { text-style: bold; }
    FlameScreen #search { display: none; height: 1; border: none; padding: 0 1; }
    FlameScreen #search.-open { display: block; }
    """

    view: var[str] = var("flame")
    """`flame`, `functions`, `threads` or `sandwich`."""

    def __init__(self, subject: Subject, *, pick: PickCapture | None = None) -> None:
        super().__init__()
        self._subject = subject
        self._pick = pick
        self._sort = SortKey.OWN
        self._search = ""
        self._before_sandwich = "flame"
        self._around: str | None = None
        self._wide = False
        self._table_is_stale = True
        self._exported: str | None = None

    def compose(self) -> ComposeResult:
        """Lay out heading, views and details."""
        yield Static(id="heading", classes="line", markup=False)
        yield Static(id="figures", classes="line", markup=False)
        yield Static(id="filter", classes="line", markup=False)
        yield Static(id="notes", markup=False)
        with Horizontal(id="views"):
            yield Icicle(id="icicle")
            yield RowTable(id="functions")
            with VerticalScroll(id="threads"):
                yield Static(id="lanes", markup=False)
            with Vertical(id="sandwich"):
                yield Icicle(id="callers", upwards=True)
                yield Static(id="callee-heading", classes="line", markup=False)
                yield Icicle(id="callees")
        yield Static(id="frame", classes="line", markup=False)
        yield Static(id="detail", classes="line", markup=False)
        yield SearchLine(id="search", placeholder="Search frames", compact=True)
        yield KeyBar(scope=Scope.FLAME)

    def on_mount(self) -> None:
        """Show heading, figures, notes and threads."""
        subject = self._subject
        self._line("#heading", subject.heading)
        self._line("#figures", subject.figures)
        notes = self.query_one("#notes", Static)
        notes.update("\n".join(drawable(note) for note in notes_of(subject)))
        notes.display = bool(notes_of(subject))
        self.query_one("#lanes", Static).update("\n".join(subject.lanes()))
        self._rebuilt()
        self._show_view()

    def on_resize(self, event: Resize) -> None:
        """Show the table beside the flamegraph on a wide screen."""
        self._wide = event.size.width >= WIDE
        self._show_widgets()
        self.call_after_refresh(self._fill_table)

    @on(Icicle.Selected, "#icicle")
    def _block_selected(self, event: Icicle.Selected) -> None:
        if self.view == "flame":
            self._describe(event.node)

    @on(Icicle.Selected, "#callers,#callees")
    def _neighbour_selected(self, event: Icicle.Selected) -> None:
        tree = event.icicle.flame
        share = tree.total(event.node) / (tree.total(tree.root) or 1)
        self._line("#frame", tree.label(event.node))
        self._line("#detail", f"{share * 100:.1f} % of {tree.label(tree.root)}")

    @on(RowTable.Moved)
    def _row_selected(self, event: RowTable.Moved) -> None:
        if isinstance(self.focused, RowTable):
            self._describe_frame(event.key)

    @on(RowTable.Chosen)
    def _row_chosen(self, event: RowTable.Chosen) -> None:
        self._show_sandwich(event.key)

    @on(RowTable.HeadingClicked)
    def _heading_clicked(self, event: RowTable.HeadingClicked) -> None:
        self._sort_by(_SORT_OF_COLUMN[event.column])

    @on(Input.Changed, "#search")
    def _search_changed(self, event: Input.Changed) -> None:
        self._search_for(event.value)

    @on(SearchLine.Ended)
    async def _search_ended(self, event: SearchLine.Ended) -> None:
        await self.run_action(event.action)

    def action_match_first(self) -> None:
        """Close the search line and go to the first match."""
        self._close_search()
        self.action_match(1)

    def on_key(self, event: Key) -> None:
        """Open the search, and insert keys that arrive before it has the focus, as they do over a slow connection."""
        if self._searching and self.focused is not self._search_line and event.is_printable and event.character is not None:
            self._search_line.insert_text_at_cursor(event.character)
        elif event.key == "slash" and not self._searching:
            self.action_search()
        else:
            return
        event.stop()
        event.prevent_default()

    def watch_view(self) -> None:
        """Show the chosen view."""
        if self.is_mounted:
            self._show_view()

    def action_view(self, view: str) -> None:
        """Choose a view."""
        self.view = view

    def action_search(self) -> None:
        """Open the search line."""
        self._search_line.add_class("-open")
        # It replaces the detail row, so that the rows above stay in place.
        self.query_one("#detail").display = False
        self._search_line.focus()
        self.query_one(KeyBar).show_scope(Scope.SEARCH)

    def action_match(self, step: int) -> None:
        """Go to the next or previous match."""
        shown = self.focused if isinstance(self.focused, Icicle | RowTable) else self._main_widget()
        if isinstance(shown, Icicle | RowTable):
            shown.select_match(step)

    def action_thread(self) -> None:
        """Show the next thread only, then all."""
        if not self._subject.threads:
            self.notify("The stacks of this profile have no threads", severity="warning")
            return
        # Skip threads that the filter leaves empty, such as idle ones.
        if any(self._subject.narrow(wanted) is None for wanted in next_threads(self._subject)):
            self._rebuilt()

    def action_idle(self) -> None:
        """Hide or show idle stacks."""
        self._narrow(replace(self._subject.filter, hide_idle=not self._subject.filter.hide_idle))

    def action_order(self) -> None:
        """Order blocks by weight or by time."""
        order = Order.HEAVY if self._subject.filter.order is Order.TIME else Order.TIME
        self._narrow(replace(self._subject.filter, order=order))

    def action_lines(self) -> None:
        """Split functions by line, or merge the lines."""
        self._narrow(replace(self._subject.filter, lines=not self._subject.filter.lines))

    def action_sort(self) -> None:
        """Sort the table by the next column."""
        keys = list(SortKey)
        self._sort_by(keys[(keys.index(self._sort) + 1) % len(keys)])

    def action_sandwich(self) -> None:
        """Show callers and callees of the selected function."""
        if self.view == "functions" or isinstance(self.focused, RowTable):
            frame = self.query_one(RowTable).key
        else:
            icicle = self.focused if isinstance(self.focused, Icicle) else self.query_one("#icicle", Icicle)
            frame = frame_of(icicle.flame, icicle.cursor)
        if frame is not None:
            self._show_sandwich(frame)
        else:
            self.notify("Select a function first")

    async def action_diff(self) -> None:
        """Compare with another capture."""
        subject = self._subject
        if not isinstance(subject, CaptureSubject):
            self.notify("A comparison can't be compared again")
        elif self._pick is None:
            self.notify("`xchat profile diff A B` compares two captures", markup=False)
        else:
            self.run_worker(self._compare(subject, self._pick), group="compare", exclusive=True)

    def action_export(self) -> None:
        """Write the capture to a file."""
        if isinstance(self._subject, CaptureSubject):
            self.run_worker(self._export(self._subject.capture), group="export", exclusive=True)
        else:
            self.notify("A comparison can't be exported. Export the two captures one by one.")

    def action_copy_path(self) -> None:
        """Copy the path of the last export."""
        if self._exported is not None:
            self.app.copy_to_clipboard(self._exported)
        else:
            self.notify(keymap_of(self.app).hint("Nothing was exported yet. Export it", "flame_export"), severity="warning")

    def action_explain(self) -> None:
        """Show help for the view and the capture's mode."""
        subject = self._subject
        mode = MODE_TEXTS[subject.capture.mode] if isinstance(subject, CaptureSubject) else None
        parts = [self.HELP, getattr(self._main_widget(), "HELP", None) or ""]
        if mode is not None:
            parts.append(f"**{mode.label}.** {mode.sees} {mode.blind}")
        notes = subject.capture.notes if isinstance(subject, CaptureSubject) else ()
        plain = "\n\n".join(f"py-spy: {note}" for note in notes)
        self.app.push_screen(HelpScreen("\n\n".join(filter(None, parts)), plain=plain, groups=(Group.FLAME,)))

    def action_back(self) -> None:
        """End the search, leave callers and callees, zoom out, or close."""
        icicle = self.query_one("#icicle", Icicle)
        if self._searching:
            self._search_for("")
            self._close_search()
        elif self.view == "sandwich":
            self.view = self._before_sandwich
        elif self._search:
            self._search_for("")
        elif self.view == "flame" and icicle.top.depth:
            icicle.action_zoom_reset()
        else:
            self.dismiss()

    @property
    def _search_line(self) -> Input:
        return self.query_one("#search", Input)

    @property
    def _searching(self) -> bool:
        return self._search_line.has_class("-open")

    def _line(self, selector: str, text: str) -> None:
        self.query_one(selector, Static).update(drawable(text))

    def _show_view(self) -> None:
        self._show_widgets()
        self._fill_table()
        self._main_widget().focus()
        if self.view == "flame":
            self._describe(self.query_one("#icicle", Icicle).cursor)
        elif self.view == "functions":
            self._describe_frame(self.query_one(RowTable).key)

    def _show_widgets(self) -> None:
        """Show the widgets of the view, without a CSS class of the screen, which would restyle every widget."""
        for view, selector in _WIDGETS.items():
            self.query_one(selector).display = view == self.view
        if self._table_beside:
            self.query_one("#functions").display = True
        self.query_one("#functions").styles.width = TABLE_WIDTH if self._table_beside else "1fr"

    @property
    def _table_beside(self) -> bool:
        """Whether the table is shown beside the flamegraph."""
        return self.view == "flame" and self._wide

    def _main_widget(self) -> Widget:
        """Return the widget to focus in this view."""
        return self.query_one("#callees" if self.view == "sandwich" else _WIDGETS[self.view])

    def _narrow(self, wanted: Filter) -> None:
        problem = self._subject.narrow(wanted)
        if problem is not None:
            self.notify(problem, severity="warning")
            return
        self._rebuilt()

    def _rebuilt(self) -> None:
        """Show the subject's tree after it has changed."""
        self.query_one("#icicle", Icicle).show(self._subject.tree, self._subject.tint)
        self._table_is_stale = True
        self.call_after_refresh(self._fill_table)
        if self.view == "sandwich" and self._around is not None:
            self._show_sandwich(self._around)
        self._show_filter()

    def _fill_table(self) -> None:
        """Fill the table when it is first shown, since that needs a pass over all stacks."""
        if not (self.view == "functions" or self._table_beside) or not self._table_is_stale:
            return
        self._table_is_stale = False
        columns = _COLUMN_OF_SORT if isinstance(self._subject, CaptureSubject) else _COLUMN_OF_CHANGE
        table = self.query_one(RowTable)
        table.show(self._subject.columns, self._subject.rows(self._sort), sorted_by=columns[self._sort])
        if self.view == "functions":
            self._describe_frame(table.key)

    def _sort_by(self, key: SortKey) -> None:
        self._sort = key
        self._table_is_stale = True
        self._fill_table()

    def _describe(self, node: Node) -> None:
        self._line("#frame", self._subject.tree.label(node))
        self._line("#detail", self._subject.describe(node))

    def _describe_frame(self, frame: str | None) -> None:
        self._line("#frame", frame or "")
        self._line("#detail", self._subject.describe_frame(frame) if frame else "")

    def _show_filter(self) -> None:
        parts = [self._subject.filter.words()]
        if self._search:
            parts.append(f"“{self._search}” {self._subject.found(self._search)}")
        self._line("#filter", " · ".join(parts))

    def _search_for(self, text: str) -> None:
        self._search = text
        for icicle in self.query(Icicle):
            icicle.highlight(text)
        self.query_one(RowTable).highlight(text)
        self._show_filter()

    def _close_search(self) -> None:
        self._search_line.remove_class("-open")
        self.query_one("#detail").display = True
        self.query_one(KeyBar).show_scope(Scope.FLAME)
        self._show_view()

    def _show_sandwich(self, frame: str) -> None:
        callers, callees = self._subject.around(frame)
        self._around = frame
        if self.view != "sandwich":
            self._before_sandwich = self.view
        self._line("#callee-heading", f"▲ callers   {frame}   ▼ callees")
        for selector, tree in (("#callers", callers), ("#callees", callees)):
            icicle = self.query_one(selector, Icicle)
            icicle.show(tree, lambda node, tree=tree: self._subject.tint_frame(tree.label(node)))  # type: ignore[misc]
        self.view = "sandwich"

    async def _compare(self, subject: CaptureSubject, pick: PickCapture) -> None:
        other = await pick(subject.capture)
        if other is not None:
            before, after = sorted((other, subject.capture), key=lambda capture: capture.started_ms)
            await self.app.push_screen(FlameScreen(await asyncio.to_thread(DiffSubject, before, after)))

    async def _export(self, capture: CaptureRecord) -> None:
        path = await export_capture(self, capture)
        if path is not None:
            self._exported = str(path)
