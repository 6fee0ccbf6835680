"""When the window is full, enough turns go at once that the prompt's beginning stays the same for a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.chat.window import FILL, Window


def window(turns: int, *, room: int = 1000, size: int = 50, base: int = 20) -> Window:
    """`turns` questions with their answers, and one question more, each message of `size` tokens."""
    return Window([size] * (2 * turns + 1), range(0, 2 * turns + 1, 2), base, room)


def test_what_fits_is_kept_whole() -> None:
    assert window(9).first_kept(0) == 0


def test_a_full_window_is_cut_to_its_fill() -> None:
    kept = window(10).first_kept(0)
    assert kept == 8
    assert 20 + 50 * (21 - kept) <= 1000 * FILL < 20 + 50 * (21 - kept + 2)


def test_the_cut_stays_where_it_is_until_the_window_is_full_again() -> None:
    before, cuts = 0, []
    for turns in range(40):
        before = window(turns).first_kept(before)
        cuts.append(before)
    assert sorted(set(cuts)) == [0, 8, 16, 24, 32, 40, 48, 56, 64, 72][: len(set(cuts))]
    assert all(cuts.count(cut) >= 3 for cut in set(cuts[:-4]))


def test_a_larger_window_takes_turns_back_in() -> None:
    assert window(20, room=3000).first_kept(30) == 0
    assert window(20, room=1500).first_kept(30) < 30


def test_a_cut_that_is_no_turn_of_this_branch_is_made_anew() -> None:
    assert window(20).first_kept(29) == window(20).first_kept(9999) == window(20).fresh_cut()


def test_the_last_turn_stays_even_if_it_does_not_fit() -> None:
    assert Window([10, 10, 5000], (0, 2), 20, 1000).first_kept(0) == 2


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=60).filter(lambda sizes: len(sizes) % 2 == 1),
    before=st.integers(-1, 70),
    room=st.integers(10, 2000),
)
def test_a_cut_is_always_a_turn_and_fits_if_any_does(sizes: list[int], before: int, room: int) -> None:
    full = Window(sizes, range(0, len(sizes), 2), 5, room)
    kept = full.first_kept(before)
    assert kept in full.turn_starts
    assert 5 + sum(sizes[kept:]) <= room or kept == full.turn_starts[-1]
    assert full.first_kept(kept) == kept
