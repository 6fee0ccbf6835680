"""Answers of real models end where their turn ends, whatever the vocabulary lacks, and go on where they were cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.config import Config
from engine.events import Event, Notice, PromptEvaluated, TurnFinished
from engine.presets.preset import Preset, Sampling
from engine.session.open import open_session
from engine.session.session import Session
from tests import ggufs
from tests.engine.chat import templates
from tests.gguf_vocabularies import THINK_TEXTS

pytestmark = pytest.mark.slow


class Talk:
    """A conversation with a model file."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[Event] = []
        session.subscribe(self.events.append)

    async def end(self) -> TurnFinished:
        await self.session.wait_idle()
        return next(event for event in reversed(self.events) if isinstance(event, TurnFinished))

    async def ask(self, text: str) -> TurnFinished:
        self.session.send(text)
        return await self.end()

    def notices(self) -> str:
        return "\n".join(f"{event.title} {event.detail}" for event in self.events if isinstance(event, Notice))


@asynccontextmanager
async def talk(model: Path, *, max_tokens: int | None = None, system: str = "") -> AsyncIterator[Talk]:
    preset = Preset(n_ctx=1024, threads=1, threads_batch=1, system=system, sampling=Sampling(temperature=0.0), max_tokens=max_tokens)
    session = await open_session(preset, Config(), log=False)
    try:
        await session.load(model, preset)
        yield Talk(session)
    finally:
        await session.close()


@pytest.mark.parametrize(
    ("template", "pieces", "controls"),
    [
        (ggufs.CHATML, ["Hello ", "there.", "<|im_", "end|>\n", "<|im_start|>", "user\nWhat ", "else?"], ["<eos>"]),
        (templates.GEMMA, ["Hello ", "there.", "<end_of", "_turn>\n", "<start_of_turn>", "user\nWhat "], ["</s>", "<eos>"]),
    ],
)
async def test_an_end_of_turn_that_is_not_a_token_ends_the_answer(
    tmp_path: Path, template: str, pieces: list[str], controls: list[str]
) -> None:
    async with talk(ggufs.scripted(tmp_path / "m.gguf", pieces, template=template, controls=controls)) as chat:
        assert (await chat.ask("Hi")).answer.text == "Hello there."


async def test_a_character_cut_by_the_limit_is_whole_once_the_answer_goes_on(tmp_path: Path) -> None:
    pieces: list[str | bytes] = ["Hello ", *(bytes([byte]) for byte in "🎉".encode()), " done."]
    async with talk(ggufs.scripted(tmp_path / "m.gguf", pieces), max_tokens=3) as chat:
        assert (await chat.ask("Hi")).answer.text == "Hello "
        chat.session.continue_answer()
        assert (await chat.end()).answer.text == "Hello 🎉 done."


STRICT = (
    "{%- for m in messages -%}"
    "{%- if m.role == 'assistant' and not m.content -%}{{- raise_exception('An answer has no text') -}}{%- endif -%}"
    "{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


async def test_an_answer_cut_in_its_thinking_does_not_spoil_the_format(tmp_path: Path) -> None:
    pieces = ["<think>", "Let me ", "think hard", "</think>", "The answer"]
    model = ggufs.scripted(tmp_path / "m.gguf", pieces, template=STRICT, user_defined=THINK_TEXTS)
    async with talk(model, max_tokens=2, system="Be kind") as chat:
        first = await chat.ask("One")
        assert (first.answer.text, first.answer.thinking) == ("", "Let me")
        second = await chat.ask("Two")
        assert second.error is None
        assert "can't be used" not in chat.notices()
        assert "empty answers, so they are left out" in chat.notices()


COHERE = (
    "{%- for m in messages -%}{%- if m.role == 'assistant' -%}<|START_RESPONSE|>{{- m.content -}}<|END_RESPONSE|>"
    "{%- else -%}{{- m.content -}}{%- endif -%}<|im_end|>\n{%- endfor -%}{%- if add_generation_prompt -%}<|im_start|>{%- endif -%}"
    "{#- <|START_THINKING|> <|END_THINKING|> -#}"
)
BLOCKS = (
    "{%- for m in messages -%}{%- if m.content is string -%}{{- m.content -}}{%- else -%}{%- for b in m.content -%}"
    "{%- if b.type == 'thinking' -%}[THINK]{{- b.thinking -}}[/THINK]{%- else -%}{{- b.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}"
    "<|im_end|>{%- endfor -%}{%- if add_generation_prompt -%}<|im_start|>{%- endif -%}"
)
CONTROLS = ("<|im_start|>", "<|im_end|>")


@pytest.mark.parametrize(
    ("template", "markers", "pieces"),
    [
        (BLOCKS, ("[THINK]", "[/THINK]"), ["[THINK]", "Let me ", "think", "[/THINK]", "The answer", " is 42."]),
        (
            COHERE,
            ("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
            [
                *("<|START_THINKING|>", "Let me ", "think", "<|END_THINKING|>", "<|START_RESPONSE|>", "The answer"),
                *(" is 42.", "<|END_RESPONSE|>"),
            ],
        ),
    ],
)
@pytest.mark.parametrize("control", [True, False])
async def test_thinking_between_tokens_of_its_family_stays_out_of_the_answer_and_the_next_prompt(
    tmp_path: Path, template: str, markers: tuple[str, ...], pieces: list[str], control: bool
) -> None:
    controls, user_defined = ((*markers, *CONTROLS), ()) if control else (CONTROLS, markers)
    start = "<|im_start|>"
    model = ggufs.scripted(tmp_path / "m.gguf", pieces, template=template, start=start, controls=controls, user_defined=user_defined)
    async with talk(model) as chat:
        end = await chat.ask("Hi")
        assert (end.answer.thinking, end.answer.text) == ("Let me think", "The answer is 42.")
        await chat.ask("And?")
        prompts = [event.prompt_text for event in chat.events if isinstance(event, PromptEvaluated)]
        assert "The answer is 42." in prompts[-1]
        assert "Let me" not in prompts[-1]
        assert prompts[-1].count("<|END_RESPONSE|>") == template.count("<|END_RESPONSE|>")
