"""A change of keys or commands needs no training: the shipped guide's answers name what the person has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import AnswerGrew, Event, TurnFinished
from engine.guide import builtin
from engine.guide.respelling import ActionNames, Respelling, taught_actions
from engine.guide.training.speaker import Speaker
from engine.llama.backend import LlamaBackend
from engine.model_ref import BuiltInModel
from engine.presets.preset import Preset, Sampling
from engine.session.session import Session
from tests.examples import examples
from tui.actions import registry
from tui.actions.bindings import resolve
from tui.actions.registry import action_names

TAUGHT = {action.id: ActionNames(action.keys, action.slash) for action in taught_actions()}
CONFIG = {"quit": "ctrl+x", "previous_quant": "alt+1", "next_quant": "alt+2", "regenerate": "", "stop": ["ctrl+c"], "send": ["ctrl+j"]}
CHANGED = TAUGHT | {
    "quit": ActionNames(("Ctrl+X",), ("quit", "exit", "bye")),
    "stop": ActionNames(("Ctrl+C",), ("stop",)),
    "send": ActionNames(("Ctrl+J",), ()),
    "sessions": ActionNames(("F3",), ("find",)),
    "models": ActionNames(("F2",), ()),
    "regenerate": ActionNames((), ("regen",)),
}
del CHANGED["suspend"]


@pytest.fixture(scope="module")
def guide() -> Iterator[Speaker]:
    with Speaker(builtin.path()) as speaker:
        yield speaker


def asked(guide: Speaker, question: str, names: dict[str, ActionNames]) -> str:
    return Respelling(names).whole(guide.ask(question).text)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Press **Ctrl+Q** (or **F10**). Save everything and leave.", "Press **Ctrl+X**. Save everything and leave."),
        ("**F10**: save everything and leave.", "**Ctrl+X**: save everything and leave."),
        ("Use **F2** (or **Ctrl+O**), or type `/sessions`.", "Use **F3**, or type `/find`."),
        ("Press **F3** and pick a model.", "Press **F2** and pick a model."),
        ("**Esc** does that in a dialog: leave a dialog.", "**Esc** does that in a dialog: leave a dialog."),
        ("**Enter** sends, **Esc** stops, **Ctrl+Y** copies.", "**Ctrl+J** sends, **Ctrl+C** stops, **Ctrl+Y** copies."),
        ("Press **Enter** in a dialog, it takes the chosen line.", "Press **Enter** in a dialog, it takes the chosen line."),
        ("**Esc** (or **Ctrl+C**) does that: stop the answer.", "**Ctrl+C** does that: stop the answer."),
        ("| Enter | send |\n| Ctrl+Q | quit |\n", "| Ctrl+J | send |\n| Ctrl+X | quit |\n"),
        ("Type this:\n\n```\n/sessions\n```", "Type this:\n\n```\n/find\n```"),
        ("`/model x.gguf` loads it.", "**no command** loads it. (`models` has no command now.)"),
        ("**Ctrl+X** does nothing in xchat by default, as far as I know.", "**Ctrl+X** is `quit`."),
        (
            "Ctrl+Q, F2 and /sessions in plain words stay, as does `/sessions",
            "Ctrl+Q, F2 and /sessions in plain words stay, as does `/sessions",
        ),
    ],
)
def test_taught_spellings_become_todays(said: str, shown: str) -> None:
    assert Respelling(CHANGED).whole(said) == shown


def test_an_action_without_a_key_or_that_is_gone_is_said_so() -> None:
    unbound = Respelling(CHANGED).whole("The key for it is **Ctrl+R**.")
    assert "**no key**" in unbound
    assert "type `/regen`" in unbound
    gone = Respelling(CHANGED).whole("Press **Ctrl+Z**.\nThat is all.")
    assert gone == "Press **no key**. (This version of xchat has no `suspend`.)\nThat is all."


def test_the_default_keys_leave_other_models_and_unchanged_keymaps_alone() -> None:
    assert builtin.respelling(builtin.path(), TAUGHT) is None
    assert builtin.respelling(builtin.path(), {}) is None
    assert builtin.respelling(Path("/other.gguf"), CHANGED) is None
    assert builtin.respelling(builtin.path(), CHANGED) is not None
    assert builtin.respelling(BuiltInModel("Q8_0"), CHANGED) is not None


PARTS = st.sampled_from([
    " ", "\n", "| ", " |", " (or ", " to ", " in a dialog", " is free", ". Save everything", "**F2** (or **Ctrl+O**)", "**Enter**",
    "`/sessions`", "/quit", "**", "*", "`", "/", ")", "Ctrl+Q", "F10", "F2", "Ctrl+O", "Enter", "Esc", "Ctrl+X", "Ctrl+Z", "1", "9",
])  # fmt: skip


@examples(300)
@given(st.lists(PARTS, max_size=12).map("".join), st.lists(st.integers(1, 9), min_size=1))
def test_the_pieces_in_which_an_answer_arrives_make_no_difference(text: str, lengths: list[int]) -> None:
    respelling, shown, at, turn = Respelling(CHANGED), [], 0, 0
    while at < len(text):
        length = lengths[turn % len(lengths)]
        shown.append(respelling.feed(text[at : at + length]))
        at, turn = at + length, turn + 1
    assert "".join(shown) + respelling.finish() == Respelling(CHANGED).whole(text)
    assert Respelling(TAUGHT).whole(text) == text


def test_what_needs_no_change_is_not_held_back() -> None:
    respelling = Respelling(CHANGED)
    assert respelling.feed("Press **Ctrl+Y") == "Press **Ctrl+Y"
    assert respelling.feed("** to copy; **Ctrl+") == "** to copy; "
    assert respelling.feed("Y**.") == "**Ctrl+Y**."


def test_the_guide_names_the_keys_of_a_config(guide: Speaker) -> None:
    names = action_names(resolve(CONFIG).keys)
    quits = asked(guide, "How do I quit?", names)
    assert "**Ctrl+X**" in quits
    assert "Ctrl+Q" not in quits
    assert "F10" not in quits
    quant = asked(guide, "how do I switch the quant?", names)
    assert "**Alt+1**" in quant or "**Alt+2**" in quant
    assert "F5" not in quant
    unbound = asked(guide, "what does /regen do?", names)
    assert "`regenerate` has no key now" in unbound


def test_the_guide_follows_a_registry_with_other_keys_commands_and_actions(guide: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    other: dict[str, Any] = {"quit": {"keys": ("f4", "ctrl+e")}, "new_session": {"slash": ("fresh",)}}
    monkeypatch.setattr(
        registry, "ACTIONS", tuple(replace(action, **other.get(action.id, {})) for action in registry.ACTIONS if action.id != "suspend")
    )
    names = registry.action_names()
    assert "**F4** (or **Ctrl+E**)" in asked(guide, "How do I quit?", names)
    assert "`/fresh`" in asked(guide, "what does /new do?", names)
    assert "no `suspend`" in asked(guide, "how do I suspend xchat", names)


@pytest.mark.slow
async def test_a_session_shows_and_keeps_todays_keys_and_sends_back_what_the_model_said() -> None:
    preset = Preset(n_ctx=2048, threads=1, threads_batch=1, sampling=Sampling(temperature=0.0))
    session = Session(LlamaBackend(trusted=builtin.is_ours), preset=preset)
    session.turns.action_names = action_names(resolve(CONFIG).keys)
    grown: list[str] = []
    ends: list[TurnFinished] = []

    def take(event: Event) -> None:
        if isinstance(event, AnswerGrew):
            grown.append(event.text)
        elif isinstance(event, TurnFinished):
            ends.append(event)

    session.subscribe(take)
    try:
        await session.load(builtin.path(), preset)
        session.send("How do I quit?")
        await asyncio.wait_for(session.wait_idle(), 30)
        assert "**Ctrl+X**" in ends[0].answer.text
        assert "".join(grown) == ends[0].answer.text
        session.send("thanks")
        await asyncio.wait_for(session.wait_idle(), 30)
        assert "**Ctrl+Q**" in session.turns.last_prompt
        assert ends[1].turn.timings.cache_n > ends[0].turn.timings.prompt_n
    finally:
        await session.close()
