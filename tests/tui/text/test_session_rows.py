"""Saved conversations in words."""

from __future__ import annotations

from dataclasses import replace

from rich.cells import cell_len

from engine.messages import Role
from engine.records import Message, MessageStatus, SessionInfo
from engine.store.erase import Contents
from engine.store.queries.search import HIT_END, HIT_START, Hit
from tui.text.session_rows import HIT_STYLE, SPANS, ago, hit_row, message_text, preview, session_row
from tui.text.wording import what_goes

INFO = SessionInfo(7, "On caches", 0, 0, None, model="Tiny 0.6B", quant="Q4_K_M", preset="daily", n_messages=4, n_turns=2)
MESSAGE = Message(1, None, Role.ASSISTANT, "The cache grows.")


def test_times_are_told_in_the_largest_unit_that_says_enough() -> None:
    assert [ago(0, seconds * 1000) for seconds in (5, 60, 7200, 86400 * 3, 86400 * 40, 86400 * 800)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "3 days ago",
        "1 month ago",
        "2 years ago",
    ]


def test_a_row_is_as_wide_as_it_may_be_and_drops_the_facts_that_do_not_fit() -> None:
    for width in (30, 44, 56, 76, 120, 190):
        for info in (INFO, replace(INFO, title="x" * 300, pinned=True), replace(INFO, title="正" * 200)):
            assert cell_len(session_row(info, 0, 7, width).plain) <= width
    assert "Tiny 0.6B Q4_K_M" in session_row(INFO, 0, None, 120).plain
    assert "Tiny" not in session_row(INFO, 0, None, 56).plain
    assert "just now" in session_row(INFO, 0, None, 56).plain


def test_titles_cannot_reach_the_terminal() -> None:
    row = session_row(replace(INFO, title="a\x1b[31mb\nc\r\x07"), 0, None, 120).plain
    assert "\x1b" not in row
    assert "\n" not in row
    assert "a␛[31mb c" in row


def test_hits_are_set_apart_and_the_first_one_is_never_cut_off() -> None:
    snippet = f"{'far before ' * 30}{HIT_START}cache{HIT_END} and \x1b[1m more{HIT_START}cache{HIT_END}"
    row = hit_row(Hit(INFO, 1, snippet), 0, None, 60)
    below = row.plain.split("\n")[1]
    assert "cache" in below[:60]
    assert "␛[1m" in below
    assert HIT_START not in below
    assert [row.plain[span.start : span.end] for span in row.spans if span.style == HIT_STYLE] == ["cache", "cache"]


def test_a_preview_begins_with_what_the_session_is() -> None:
    text = preview(INFO, [MESSAGE]).plain
    assert text.startswith("On caches\n")
    assert "4 messages · 2 turns · Tiny 0.6B Q4_K_M · daily" in text
    assert "Assistant\nThe cache grows." in text


def test_a_huge_message_is_cut_around_the_hit() -> None:
    message = Message(1, None, Role.USER, "x" * 5_000_000 + " needle " + "y" * 5_000_000, status=MessageStatus.PARTIAL)
    shown = message_text(message, "needle").plain
    assert len(shown) < 3_000
    assert "needle" in shown
    assert shown.startswith("User (partial)\n…x")
    assert "10,000,008 characters" in shown


def test_words_are_highlighted_from_their_beginning_whatever_they_hold() -> None:
    shown = message_text(MESSAGE, 'cach "(gro')
    assert [shown.plain[span.start : span.end] for span in shown.spans if span.style == HIT_STYLE] == ["cach", "gro"]


def test_deleting_says_what_goes() -> None:
    assert what_goes(INFO, Contents(4, 2, 1, 0)) == (
        "“On caches” is deleted with its 4 messages of all branches, 2 turns, 1 sample and 0 events, its entries "
        "in the search index and its saved KV state. This can't be undone."
    )


def test_a_span_of_time_ends_now() -> None:
    assert SPANS[0].since_ms(10**12) is None
    assert SPANS[2].since_ms(10**12) == 10**12 - 7 * 86_400_000
