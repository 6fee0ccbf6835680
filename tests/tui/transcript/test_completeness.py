"""Every letter of an answer is on the screen, however its Markdown is laid out."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from engine.messages import Role
from engine.records import Message
from engine.text import drawable
from tests.hostile import acting, texts
from tui.transcript.look import _NAMES, Look
from tui.transcript.messages import Entry

LOOK = Look(Style(), **dict.fromkeys(_NAMES, Style()))
CASES = {
    "reference links": "See [the docs][1] and [2].\n\nSome more.\n\n[1]: https://example.com/docs 'Title'\n[2]: https://example.com/other\n",
    "deep list": "\n".join(f"{'  ' * depth}- item {depth}" for depth in range(40)),
    "deep quote": "\n".join(f"{'>' * depth} level {depth}" for depth in range(1, 40)),
    "wide table": f"|{'|'.join(f'col{n}' for n in range(20))}|\n|{'-|' * 20}\n|{'|'.join(f'v{n}' for n in range(20))}|",
    "cells too many": "|a|b|\n|-|-|\n|one|two|three|four|\n",
    "latex": r"\( a^2 \) and \[ \frac{a}{b} \] and $\{x \mid x > 0\}$ and $$ \begin{pmatrix} a & b \\ c & d \end{pmatrix} $$",
    "break in a table": "|a|b|\n|-|-|\n|one<br>two|x<br/>y|\n",
    "html": "<details><summary>More</summary>\n\nhidden <!-- comment --> text\n\n</details>\n<div class='x'>block</div>",
    "titles": '[a](http://x.y "the title") ![alt *text*](img.png "picture") <http://auto.link> [ü](http://ü.example/ä)',
    "code": "```python\nx = 1\n```\n\n    indented\n\n````\n```\ninner\n```\n````",
}


def on_screen(source: str, width: int, *, step: int = 0) -> str:
    if step:
        entry = Entry.streaming(1)
        for begin in range(0, len(source), step):
            entry.grow(source[begin : begin + step], "", in_thinking=False)
    else:
        entry = Entry.of(Message(id=1, parent_id=None, role=Role.ASSISTANT, text=source))
        entry.open()
    return "\n".join(strip.text for block in entry.body for strip in block.lines(width, LOOK))


def missing(source: str, shown: str) -> Counter[str]:
    """Letters and digits that are not shown, without numbers of items, languages of code, breaks and entities."""
    drawn = re.sub(r"<br\s*/?>|&#?\w+;|^[\s>*+-]*(\d+[.)]|(`{3,}|~{3,}).*)", "", drawable(source), flags=re.M | re.I)
    return Counter(filter(str.isalnum, drawn)) - Counter(shown)


@pytest.mark.parametrize("width", [16, 40, 80, 200])
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_lost(case: str, width: int) -> None:
    assert not missing(CASES[case], on_screen(CASES[case], width))
    assert not missing(CASES[case], on_screen(CASES[case], width, step=7))


blocks = st.sampled_from(list(CASES.values())) | st.builds(
    "{}{}".format,
    st.sampled_from(["", "# ", "- ", "3. ", "> ", "> - > ", "    ", "| a | b |\n|-|-|\n| ", "```x\n", "$$", "\\", "[1]: ", "<", "&"]),
    texts,
)


@given(st.lists(blocks, max_size=5).map("\n".join), st.integers(16, 130))
def test_nothing_is_lost_of_any_text(source: str, width: int) -> None:
    shown = on_screen(source, width)
    assert not missing(source, shown)
    assert not acting(shown, lines=True)


def test_the_backslashes_of_formulas_stay() -> None:
    shown = on_screen(CASES["latex"], 200)
    for part in (r"\( a^2 \)", r"\[ \frac{a}{b} \]", r"$\{x \mid x > 0\}$", r"b \\ c"):
        assert part in shown
    assert on_screen(r"\*not slanted\* \# \_", 80).strip() == "*not slanted* # _"


def test_a_break_in_a_table_is_a_line_of_its_cell() -> None:
    lines = [line.split() for line in on_screen(CASES["break in a table"], 40).split("\n")]
    assert ["one", "x"] in lines
    assert ["two", "y"] in lines


@pytest.mark.parametrize("step", [0, 5])
def test_a_long_list_counts_on_where_it_is_cut(step: int) -> None:
    shown = on_screen("1. step\n   more\n" * 60, 80, step=step)
    assert [int(number) for number in re.findall(r"(\d+) step", shown)] == [*range(1, 61)]
    assert shown.count("more") == 60
