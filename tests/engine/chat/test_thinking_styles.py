"""How a model marks its thinking is learned from what its chat template prints around it."""

from __future__ import annotations

import pytest

from engine.chat.template import ChatFormat
from engine.chat.thinking_styles import HARMONY, open_style
from tests.engine.chat import templates
from tests.engine.chat.vocabulary import WordVocabulary


def template(answer: str, prompt: str, *, reasoning: str = "message.reasoning_content") -> str:
    """A template with this form of an answer with thinking T and text C."""
    printed = answer.replace("T", "{{ thought }}").replace("C", "{{ message.content }}")
    return (
        "{%- for message in messages -%}{%- if message.role == 'assistant' -%}{%- set thought = " + reasoning + " -%}"
        "{%- if thought -%}" + printed + "{%- else -%}<a>{{- message.content -}}<e>{%- endif -%}"
        "{%- else -%}<u>{{- message.content -}}<e>{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}" + prompt + "{%- endif -%}"
    )


@pytest.mark.parametrize(
    ("source", "opening", "closing", "around"),
    [
        (template("<a><seed:think>T</seed:think>C<e>", "<a>"), "<seed:think>", "</seed:think>", ("", "")),
        (template("<a>[PLAN]T[/PLAN]C<e>", "<a>[PLAN]"), "[PLAN]", "[/PLAN]", ("", "")),
        (template("<a>T\n[FINAL]\nC<e>", "<a>I think:\n"), "I think:", "[FINAL]", ("", "")),
        (template("<a><|S|>T<|E|><|R|>C<|/R|><e>", "<a>"), "<|S|>", "<|E|>", ("<|R|>", "<|/R|>")),
        (template("<a> to=self<m>T<e><a> to=user<m>C<e>", "<a>"), "to=self<m>", "<e><a> to=user<m>", ("", "")),
        (template("<a><o>think<s>T<c>think<s>C<e>", "<a><o>think<s>"), "<o>think<s>", "<c>think<s>", ("", "")),
        (template("<a><deep>T</deep>C<e>", "<a><deep></deep>"), "<deep>", "</deep>", ("", "")),
        (
            template("<a><x:think>T</x:think>C<e>", "<a>", reasoning="enable_thinking and message.thinking"),
            "<x:think>",
            "</x:think>",
            ("", ""),
        ),
        (template("<a>C<e>", "<a>") + "{# [BEGIN FINAL RESPONSE] #}", "Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", ("", "")),
        (template("<a>C<e>", "<a>") + "{# <think></think><response></response> #}", "<think>", "</think>", ("<response>", "</response>")),
        (templates.QWEN3, "<think>", "</think>", ("", "")),
        (templates.HARMONY, HARMONY.opening, HARMONY.closing, ("", "")),
    ],
)
def test_the_markers_are_what_the_template_prints(source: str, opening: str, closing: str, around: tuple[str, str]) -> None:
    own = ChatFormat(source, WordVocabulary())._own
    assert own is not None
    assert (own.style.opening, own.style.closing, own.style.answer) == (opening, closing, around)


def test_a_prompt_leaves_the_block_of_its_model_open() -> None:
    own = ChatFormat(template("<a>[PLAN]T[/PLAN]C<e>", "<a>[PLAN]"), WordVocabulary())._own
    assert own is not None
    assert open_style("<a>[PLAN]", own.style) == own.style
    assert open_style("<a>[PLAN][/PLAN]", own.style) is None
    assert open_style("<a>[PLAN]") is None
