"""The memory of the whole program on the real engine, over many turns and sessions."""

from __future__ import annotations

import gc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.guide import builtin
from engine.llama.backend import LlamaBackend
from engine.messages import ChatMessage
from engine.model_ref import BuiltInModel
from engine.records import Message
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.transcript import layout
from tui.transcript.blocks import Block
from tui.transcript.messages import Entry

pytestmark = pytest.mark.slow

WARM_TURNS, TURNS = 12, 12
MOST_OBJECTS_PER_TURN = 150
"""Objects that the collector tracks: messages and their pieces are about 35; rendered lines were 325 more."""


async def turns(run: Running, count: int) -> None:
    for number in range(count):
        await run.send(f"What is F{number} good for?")
        await run.answered()


def alive(*types: type[Any]) -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, types)]


async def test_a_turn_keeps_little_and_a_new_session_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LINES_KEPT", 60)
    began = len(alive(Message, ChatMessage, Entry, Block))
    backend: Any = LlamaBackend(file_of=builtin.file_of, trusted=builtin.is_ours)
    async with program(backend, model=BuiltInModel(builtin.SHIPPED_QUANT), database=tmp_path / "xchat.db") as run:
        await turns(run, WARM_TURNS)
        objects = [len(alive(object))]
        for _ in range(2):  # caches fill up in one of them
            await turns(run, TURNS)
            objects.append(len(alive(object)))
        assert min(after - before for before, after in pairwise(objects)) / TURNS < MOST_OBJECTS_PER_TURN

        await run.app._perform("new_session", "")
        await wait_until(run.pilot, lambda: run.session.branch == ())
        await wait_until(run.pilot, lambda: len(alive(Message, ChatMessage, Entry, Block)) <= began, "nothing of the old session is held")
