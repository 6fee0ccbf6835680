"""How sure the model was of each token of an answer: the text coloured by it, and the other tokens that could have come."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Region
from textual.widgets import OptionList, Static

from engine.logprobs import Likely, TokenLogprobs
from engine.numbers import percent
from engine.text import drawable
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog
from tui.text.cells import cut

SURE, UNSURE = 0.9, 0.5
"""Probabilities from which a token is drawn plain, and below which as unlikely."""
PIECE_CELLS = 14
MOST_OTHERS = 4
"""Other tokens in a line."""


class ConfidenceScreen(Dialog[None]):
    """The tokens of an answer with their probabilities."""

    DEFAULT_CSS = """
    ConfidenceScreen {
        .box { width: 96%; height: 94%; }
        #said { height: 1fr; scrollbar-size-vertical: 1; border-bottom: solid $border; }
        #said Static { height: auto; }
        OptionList { height: 40%; max-height: 12; }
    }
    """
    HELP = (
        "## Confidence\n\nEach token of the answer by the probability that the model gave it, before the sampling settings and a form: "
        "plain from 90 %, marked below, marked strongly below 50 %. Below it the selected token, and the others that could have come.\n"
    )

    def __init__(self, tokens: Sequence[TokenLogprobs]) -> None:
        super().__init__()
        self._tokens = tokens
        self._pieces = pieces_of(tokens)

    def compose(self) -> ComposeResult:
        """Lay out the text above the list of its tokens."""
        with Vertical(classes="box") as box:
            box.border_title = "Confidence"
            box.border_subtitle = self.close_hint
            with VerticalScroll(id="said", can_focus=False):
                yield Static(self._said(0))
            yield ChoiceList(*(self._line(number) for number in range(len(self._tokens))), markup=False)

    def on_mount(self) -> None:
        """Select the first token."""
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        said = self.query_one("#said", VerticalScroll)
        self.query_one("#said Static", Static).update(self._said(event.option_index))
        row = sum(map(len, self._pieces[: event.option_index])) // max(1, said.scrollable_content_region.width)
        said.scroll_to_region(Region(0, row, 1, 2), animate=False)

    def _said(self, selected: int) -> Content:
        return Content("").join(
            Content.styled(drawable(piece), f"{_style(each.chosen)} {'reverse' if number == selected else ''}".strip())
            for number, (piece, each) in enumerate(zip(self._pieces, self._tokens, strict=True))
        )

    def _line(self, number: int) -> Content:
        chosen, top = self._tokens[number]
        others = [likely for likely in top if likely.token != chosen.token][:MOST_OTHERS]
        return Content.assemble(
            Content.styled(f"{cut(_shown(chosen), PIECE_CELLS)} {_chance(chosen)}", _style(chosen)),
            *(Content.styled(f"  {_shown(other)} {_chance(other).strip()}", "$muted") for other in others),
        )


def pieces_of(tokens: Sequence[TokenLogprobs]) -> list[str]:
    """The texts of tokens; bytes of an unfinished character are in the text of the token that finishes it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return [decoder.decode(each.chosen.piece) for each in tokens]


def _style(likely: Likely) -> str:
    chance = math.exp(likely.logprob)
    return "" if chance >= SURE else "$warning" if chance >= UNSURE else "bold $error"


def _shown(likely: Likely) -> str:
    return drawable(likely.piece.decode("utf-8", "replace").replace("\n", "↵").replace(" ", "·")) or "∅"


def _chance(likely: Likely) -> str:
    return f"{percent(math.exp(likely.logprob)):>5}"
