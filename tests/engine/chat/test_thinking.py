"""What a model thinks is kept apart from what it says, however the text arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.chat.thinking import ThinkingParser
from engine.chat.thinking_styles import HARMONY, STYLES, open_style, style_of
from engine.messages import ThinkingStyle


def split(pieces: list[str], *, opens_thinking: bool = False, tail: str = "") -> tuple[str, str]:
    """The thinking and the answer, as a watcher of the stream would have put them together."""
    parser = ThinkingParser(opens_thinking=opens_thinking)
    thinking = answer = ""
    for added in [*map(parser.feed, pieces), parser.finish(tail)]:
        if added.moved:
            thinking = answer = ""
        thinking += added.thinking
        answer += added.answer
    assert (thinking, answer) == (parser.thinking, parser.answer)
    return thinking, answer


TEXTS = {
    "no thinking": ("Hello\n\nthere ", "", "Hello\n\nthere "),
    "think": ("<think>\nHm, well.\n\nYes.\n</think>\n\nHello", "Hm, well.\n\nYes.", "Hello"),
    "thinking": ("\n<thinking>Hm</thinking>Hello", "Hm", "Hello"),
    "brackets": ("[THINK]Hm[/THINK]Hello", "Hm", "Hello"),
    "triangles": ("◁think▷Hm◁/think▷Hello", "Hm", "Hello"),
    "gemma": ("<|channel>thought\nHm\n<channel|>Hello", "Hm", "Hello"),
    "empty thinking": ("<think>\n\n</think>\n\nHello", "", "Hello"),
    "twice": ("<think>a</think>\n<think>b</think>\nHello", "a\n\nb", "Hello"),
    "never closed": ("<think>Hm, and so on \n", "Hm, and so on", ""),
    "cut in the closing marker": ("<think>Hm</thi", "Hm</thi", ""),
    "cut in the opening marker": ("<thin", "", "<thin"),
    "another tag": ("<thinker>Hello", "", "<thinker>Hello"),
    "marker in the answer": ("Write <think>x</think> here", "", "Write <think>x</think> here"),
    "marker in a later answer": ("<think>a</think>Use <think> and </think>", "a", "Use <think> and </think>"),
    "indented code": ("<think>a</think>\n\n    code", "a", "    code"),
    "closing only, at the beginning": ("</think>\n\nHello", "", "Hello"),
    "closing only, on its line": ("Hm.\nWell.\n</think>\n\nHello", "Hm.\nWell.", "Hello"),
    "closing only, at the end": ("Hm.\n</think>", "Hm.", ""),
    "closing only, in a line": ("Close it with </think> always", "", "Close it with </think> always"),
    "closing only, in a code fence": ("```\n</think>\n```\nthat", "", "```\n</think>\n```\nthat"),
    "both on lines, explained": ("Write\n<think>\nx\n</think>\ny", "", "Write\n<think>\nx\n</think>\ny"),
    "harmony": (
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Hello<|return|>",
        "Hm",
        "Hello",
    ),
    "harmony with its end tokens hidden": (
        "<|channel|>analysis<|message|>Hm<|start|>assistant<|channel|>final<|message|>Hello",
        "Hm",
        "Hello",
    ),
    "harmony without thinking": ("<|channel|>final<|message|>Hello", "", "Hello"),
    "harmony with a preamble": (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>First.<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>Then.",
        "a\n\nb",
        "First.\n\nThen.",
    ),
    "harmony header that never ends": ("<|channel|>" + "x" * 300 + "<|message|>y", "", "<|channel|>" + "x" * 300 + "<|message|>y"),
    "quoted in the thinking": ("<think>Why `</think>` ends it.</think>\nHello", "Why `</think>` ends it.", "Hello"),
    "in quotation marks in the thinking": ('<think>Why "</think>" ends it.</think>\nHello', 'Why "</think>" ends it.', "Hello"),
    "in code in the thinking": (
        "<think>See\n```\n<think>x</think>\n```\nso.</think>Hello",
        "See\n```\n<think>x</think>\n```\nso.",
        "Hello",
    ),
    "a backtick that stays open": ("<think>It`s</think>\nHello", "It`s", "Hello"),
    "in backticks, first of all": ("`</think>` ends thinking", "", "`</think>` ends thinking"),
    "thought": ("<thought>Hm</thought>Hello", "Hm", "Hello"),
    "a response element": ("<think>Hm</think>\n<response>Hello</response>", "Hm", "Hello"),
    "a response element that goes on": ("<think>Hm</think>\n<response>a</response> b", "Hm", "a</response> b"),
    "a response element without thinking": ("<response>Hello</response>", "", "<response>Hello</response>"),
    "nothing": ("", "", ""),
    "blanks": (" \n", "", " \n"),
}


class TestOneText:
    @pytest.mark.parametrize(("text", "thinking", "answer"), TEXTS.values(), ids=TEXTS)
    def test_is_taken_apart(self, text: str, thinking: str, answer: str) -> None:
        assert split([text]) == (thinking, answer)

    @pytest.mark.parametrize(("text", "thinking", "answer"), TEXTS.values(), ids=TEXTS)
    def test_is_taken_apart_the_same_character_by_character(self, text: str, thinking: str, answer: str) -> None:
        assert split(list(text)) == (thinking, answer)

    @pytest.mark.parametrize(
        ("text", "thinking", "answer"),
        [
            ("Hm\n</think>\n\nHello", "Hm", "Hello"),
            ("\n<think>\nHm</think>Hello", "Hm", "Hello"),
            ("Hm, so", "Hm, so", ""),
            ("</think>Hm, so</think>Hello", "Hm, so", "Hello"),
            ("</think>Hello", "", "Hello"),
            ("Hm[/THINK]Hello", "Hm", "Hello"),
            ("Hm<|end|><|start|>assistant<|channel|>final<|message|>Hello", "Hm", "Hello"),
        ],
    )
    def test_may_begin_inside_the_thinking(self, text: str, thinking: str, answer: str) -> None:
        assert split([text], opens_thinking=True) == split(list(text), opens_thinking=True) == (thinking, answer)


FRAGMENTS = [
    "<think>", "</think>", "<thinking>", "</thinking>", "[THINK]", "[/THINK]", "<|channel>thought", "<channel|>", "◁think▷", "◁/think▷",
    "<|channel|>",
    "analysis", "final", "<|message|>", "<|start|>", "assistant", "<|end|>", "\n", "\n\n", " ", "a", "Hello", "<", "```", "😀",
]  # fmt: skip


@given(
    text=st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    opens_thinking=st.booleans(),
)
@example(text="<|channel|>" + "x" * 205 + "<|message|>y", cuts=[100, 212, 214], opens_thinking=False)
def test_any_pieces_of_a_text_give_the_same_result(text: str, cuts: list[int], opens_thinking: bool) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert split(pieces, opens_thinking=opens_thinking) == split([text], opens_thinking=opens_thinking)
    assert split(pieces[:-1], opens_thinking=opens_thinking, tail="".join(pieces[-1:])) == split([text], opens_thinking=opens_thinking)


class TestWhileStreaming:
    def test_text_is_handed_out_as_soon_as_it_is_clear(self) -> None:
        parser = ThinkingParser()
        handed_out = [parser.feed(piece) for piece in ["<think>", "\n", "Hm", ", so", "</", "think>", "\n\n", "Hello", " you"]]
        assert [added.thinking for added in handed_out] == ["", "", "Hm", ", so", "", "", "", "", ""]
        assert [added.answer for added in handed_out] == ["", "", "", "", "", "", "", "Hello", " you"]

    def test_it_tells_whether_the_model_is_thinking(self) -> None:
        parser = ThinkingParser()
        told = []
        for piece in ["<think>", "Hm", "</think>", "\n\n", "Hello"]:
            parser.feed(piece)
            told.append(parser.in_thinking)
        assert told == [True, True, False, False, False]

    def test_a_stray_closing_marker_moves_what_was_said_into_the_thinking(self) -> None:
        parser = ThinkingParser()
        assert parser.feed("Hm.").answer == "Hm."
        moved = parser.feed("\n</think>\n\nHello")
        assert (moved.thinking, moved.answer, moved.moved) == ("Hm.", "Hello", True)


class TestMarkersThatAreTokens:
    OWN = ThinkingStyle("[THINK]", "[/THINK]", answer=("<|START|>", "<|END|>"))
    MARKERS = frozenset({"[THINK]", "[/THINK]", "<|START|>", "<|END|>", "</think>"})

    def split(self, *pieces: str, opens_thinking: bool = False) -> tuple[str, str]:
        parser = ThinkingParser(self.OWN, self.MARKERS, opens_thinking=opens_thinking)
        for piece in pieces:
            parser.feed(piece)
        parser.finish()
        return parser.thinking, parser.answer

    def test_end_the_thinking_where_the_token_comes(self) -> None:
        assert self.split("[THINK]", "Hm ", "[/", "THINK", "] so", "[/THINK]", "Hello") == ("Hm [/THINK] so", "Hello")
        assert self.split("Hm", " [/", "THINK", "] so", "[/THINK]", "Hello", opens_thinking=True) == ("Hm [/THINK] so", "Hello")

    def test_count_as_text_where_they_are_alone_on_a_line(self) -> None:
        assert self.split("Hm", "\n</", "think>", "\n", "Hello", opens_thinking=True) == ("Hm", "Hello")

    def test_are_left_out_around_the_answer(self) -> None:
        assert self.split("[THINK]", "Hm", "[/THINK]", "<|START|>", "Hello", "<|END|>") == ("Hm", "Hello")
        assert self.split("<|START|>", "Hello", "<|END|>") == ("", "Hello")

    def test_stay_where_the_answer_quotes_them(self) -> None:
        assert self.split("[THINK]", "a", "[/THINK]", "Use `", "[THINK]", "`") == ("a", "Use `[THINK]`")
        assert self.split("Use `", "[/THINK]", "` well") == ("", "Use `[/THINK]` well")

    def test_that_come_without_an_opening_one_move_what_was_said(self) -> None:
        assert self.split("Hm, ", "so", "[/THINK]", "Hello") == ("Hm, so", "Hello")

    def test_may_have_text_in_front_that_a_stop_string_held_back(self) -> None:
        assert self.split("[THINK]", "Hm", "\n[/THINK]", "Hello") == ("Hm", "Hello")


class TestTokens:
    def fed(self, *pieces: str, opens_thinking: bool = False) -> ThinkingParser:
        parser = ThinkingParser(opens_thinking=opens_thinking)
        for piece in pieces:
            parser.feed(piece)
        parser.finish()
        return parser

    def test_thinking_is_counted_with_its_markers_and_blanks(self) -> None:
        parser = self.fed("<think>", "\n", "Hm", "\n", "</think>", "\n\n", "Hello", " you")
        assert (parser.thinking_tokens, parser.answer_from) == (6, 6)

    def test_an_answer_without_thinking_begins_at_once(self) -> None:
        parser = self.fed("Hel", "lo")
        assert (parser.thinking_tokens, parser.answer_from) == (0, 0)

    def test_thinking_that_never_ended_has_no_answer(self) -> None:
        parser = self.fed("Hm", " so", opens_thinking=True)
        assert (parser.thinking_tokens, parser.answer_from) == (2, None)

    def test_an_answer_that_begins_inside_a_token_can_not_be_reused(self) -> None:
        parser = self.fed("<think>", "Hm", "</think>\n\nHello", " you")
        assert parser.answer_from is None

    def test_tokens_whose_bytes_wait_for_the_next_one_belong_to_its_text(self) -> None:
        parser = self.fed("<think>", "Hm", "</think>", "\n\n", "", "", "😀")
        assert parser.answer_from == 4

    def test_after_a_stray_closing_marker_the_count_is_right(self) -> None:
        parser = self.fed("Hm", "\n", "</think>", "\n", "\n", "Hello")
        assert (parser.thinking_tokens, parser.answer_from) == (5, 5)


class TestTemplates:
    @pytest.mark.parametrize("style", [*STYLES, HARMONY])
    def test_a_prompt_that_opens_a_block_is_recognised(self, style: object) -> None:
        assert isinstance(style, type(HARMONY))
        assert open_style(f"<|im_start|>assistant\n{style.opening}\n") is style
        assert open_style(f"{style.opening}{style.line}{style.closing}{style.gap}") is None

    def test_an_ordinary_prompt_opens_none(self) -> None:
        assert open_style("<|im_start|>assistant\n") is None

    def test_the_style_is_read_off_the_template(self) -> None:
        assert style_of("{{ content.split('</think>')[-1] }}").opening == "<think>"
        assert style_of("{{ '[THINK]' }}").closing == "[/THINK]"
        assert style_of("<|start|>assistant<|channel|>final") is HARMONY
        assert style_of("nothing of the kind") is STYLES[0]
