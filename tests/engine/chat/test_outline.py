"""A conversation with its branches as rows."""

from __future__ import annotations

from engine.chat.outline import OutlineRow, branch_count, outline, sibling_row
from engine.records import Message
from tests.engine.chat.test_tree import said


def shape(rows: tuple[OutlineRow, ...]) -> list[tuple[list[int], int, str, bool]]:
    return [([one.id for one in row.messages], row.depth, f"{row.version}/{row.versions}", row.shown) for row in rows]


def straight(first: int, count: int, parent: int | None = None) -> list[Message]:
    return [said(first + step, first + step - 1 if step else parent) for step in range(count)]


FORKED = [said(1, None), said(2, 1), said(3, 2), said(4, 3), said(6, 1), said(7, 6)]
"""1, answered by 2 (then 3 and 4) and again by 6 (then 7)."""


def test_a_long_straight_conversation_is_its_first_message_a_fold_and_its_last() -> None:
    assert shape(outline(straight(1, 40), 40)) == [([1], 0, "1/1", True), ([*range(2, 40)], 0, "1/1", True), ([40], 0, "1/1", True)]


def test_a_fold_opens_by_its_first_message() -> None:
    assert len(outline(straight(1, 40), 40, frozenset({2}))) == 40


def test_versions_stand_one_deeper_with_what_followed_each() -> None:
    assert shape(outline(FORKED, 4)) == [
        ([1], 0, "1/1", True),
        ([2], 1, "1/2", True),
        ([3], 1, "1/1", True),
        ([4], 1, "1/1", True),
        ([6], 1, "2/2", False),
        ([7], 1, "1/1", False),
    ]


def test_the_message_before_a_choice_keeps_its_row() -> None:
    rows = outline([*straight(1, 10), said(11, 10), said(12, 10)], 11)
    assert [[one.id for one in row.messages] for row in rows] == [[1], [*range(2, 10)], [10], [11], [12]]


def test_left_and_right_find_the_other_versions_from_anywhere_below_them() -> None:
    rows = outline(FORKED, 4)
    assert sibling_row(rows, 1, 1) == 4
    assert sibling_row(rows, 3, 1) == 4
    assert sibling_row(rows, 5, -1) == 1
    assert sibling_row(rows, 4, 1) is None
    assert sibling_row(rows, 0, 1) is None


def test_versions_inside_versions_are_not_mixed_up() -> None:
    rows = outline([said(1, None), said(2, 1), said(3, 2), said(5, 2), said(4, 1), said(6, 4), said(8, 4)], 3)
    assert [(row.message.id, row.depth) for row in rows] == [(1, 0), (2, 1), (3, 2), (5, 2), (4, 1), (6, 2), (8, 2)]
    assert sibling_row(rows, 3, 1) is None
    assert sibling_row(rows, 1, 1) == 4
    assert sibling_row(rows, 5, -1) is None
    assert sibling_row(rows, 6, -1) == 5


def test_ends_are_counted() -> None:
    assert branch_count(FORKED) == 2
    assert branch_count([]) == 0
    assert outline([], None) == ()


def test_damaged_records_still_have_rows() -> None:
    assert {row.message.id for row in outline([said(1, 2), said(2, 1), said(5, 99)], None)} == {1, 2, 5}
