"""How sure the model was of each token, shown."""

from __future__ import annotations

import math

from engine.logprobs import Likely, TokenLogprobs
from tests.tui.host import Host
from tui.dialogs.choice_list import ChoiceList
from tui.transcript.confidence import ConfidenceScreen, pieces_of


def token(piece: bytes, chance: float, *others: tuple[bytes, float]) -> TokenLogprobs:
    chosen = Likely(len(piece), piece, math.log(chance))
    return TokenLogprobs(chosen, (chosen, *(Likely(100 + n, text, math.log(share)) for n, (text, share) in enumerate(others))))


def test_bytes_of_a_character_are_in_the_piece_that_finishes_it() -> None:
    assert pieces_of([token(b"a\xc3", 1.0), token(b"\xa9", 1.0), token(b"", 1.0)]) == ["a", "é", ""]


async def test_each_token_has_a_line_with_its_chance_and_what_else_could_have_come() -> None:
    host = Host()
    async with host.run_test(size=(80, 24)) as pilot:
        await host.push_screen(ConfidenceScreen([token(b"Hi", 0.95), token(b" [b]there\n", 0.4, (b" you", 0.3), (b"\x1b[1m", 0.1))]))
        await pilot.pause()
        await pilot.press("down")
        lines = [str(option.prompt) for option in host.screen.query_one(ChoiceList).options]
    assert lines[0].split() == ["Hi", "95", "%"]
    assert "·[b]there↵" in lines[1]
    assert "40 %  ·you 30 %" in lines[1]
    assert "\x1b" not in lines[1]
