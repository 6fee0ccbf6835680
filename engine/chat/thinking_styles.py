"""The markers of thinking of each model family."""

from __future__ import annotations

import re

from engine.chat.markers import CLOSE, opening
from engine.messages import ThinkingStyle

HARMONY = ThinkingStyle(
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    line="",
    gap="",
    reply="<|channel|>final<|message|>",
)
"""Messages in channels: `analysis` is thinking, every other channel is meant for the reader."""

STYLES = (
    ThinkingStyle("<think>", "</think>"),
    ThinkingStyle("<thinking>", "</thinking>"),
    ThinkingStyle("<thought>", "</thought>"),
    ThinkingStyle("<|START_THINKING|>", "<|END_THINKING|>", "", "", answer=("<|START_RESPONSE|>", "<|END_RESPONSE|>")),
    ThinkingStyle("[THINK]", "[/THINK]"),
    ThinkingStyle("◁think▷", "◁/think▷"),
    ThinkingStyle("<|channel>thought", "<channel|>", gap=""),
)
"""The families with a plain pair of markers."""

_NAMED = (
    ThinkingStyle("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    ThinkingStyle("<think>", "</think>", answer=("<response>", "</response>")),
)
"""Families recognized only if the chat template contains the texts around the answer."""

WRAPPERS = tuple(style.answer for style in (*STYLES, *_NAMED) if style.answer[0])
"""Texts around an answer that follows thinking."""

MARKERS = frozenset(
    [
        *(style.opening for style in STYLES),
        *(style.closing for style in STYLES),
        *("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>", "<|channel>"),
    ]
)
"""Texts that structure an answer."""


def open_style(prompt_end: str, own: ThinkingStyle | None = None) -> ThinkingStyle | None:
    """Return the style of the thinking block left open at a prompt's end, if any; `own` is the model's."""
    styles = (*STYLES, HARMONY)
    for style in (own, *styles) if own else styles:
        opened = prompt_end.rfind(style.opening)
        if opened >= 0 and prompt_end.find(style.closing, opened) < 0:
            return style
    return None


def marker_texts(own: ThinkingStyle | None, special_texts: frozenset[str]) -> frozenset[str]:
    """Return the texts of special tokens in markers of thinking; `own` is the model's style."""
    if own is HARMONY:
        return frozenset()
    styles = (*STYLES, *([own] if own else ()))
    markers = [text for style in styles for text in (style.opening, style.closing, *style.answer) if text]
    return frozenset(special for special in special_texts if special.strip() and any(special in marker for marker in markers))


def style_of(template: str) -> ThinkingStyle:
    """Return the style whose markers a chat template contains; `<think>` when it contains none."""
    if "<|channel|>" in template:
        return HARMONY
    for style in _NAMED:
        if (style.answer[0] or style.closing) in template and style.closing in template:
            return style
    return next((style for style in STYLES if style.closing in template or style.opening in template), STYLES[0])


_LAST_TAG = re.compile(r"(?:<[^<>\n]{1,40}>|\[[^\[\]\n]{1,40}\]|◁[^◁▷\n]{1,40}▷)\w*\s*$")
_LAST_NAME = re.compile(r"<[^<>\n]{1,40}>\w*think\w*<[^<>\n]{1,40}>$")
_TWO_TAGS = re.compile(r"(<[^<>\n]+>)\s*(<[^<>\n]+>)")
_FIRST_TAG = re.compile(r"\s*(<[^<>\n]+>)")


def learned_style(history: str, prompt: str) -> ThinkingStyle | None:
    """Return the style around the thinking of an answer in a rendered conversation, if the template prints it.

    `history` holds a message (content 1) and its answer (content 2) with its thinking (content 0), `prompt` the message alone with the
    prompt for its answer.
    """
    head, _, tail = history.partition(opening(0))
    between, found, rest = tail.partition(CLOSE)[2].partition(opening(2))
    closing = between.strip()
    if not found or not closing or "type" in closing:
        return None
    before, ending = head.rpartition(CLOSE)[2], prompt.rpartition(CLOSE)[2]
    opened = ending.removeprefix(before).strip()
    if len(before) > len(ending) and before.startswith(ending):
        begin = before.removeprefix(ending)
    elif ending.startswith(before) and opened and closing not in opened:
        begin = opened
    else:
        tag = _LAST_NAME.search(before) or _LAST_TAG.search(before)
        begin = tag[0] if tag else ""
    if not begin.strip():
        return None
    gap = between[len(between.rstrip()) :]
    answer = ("", "")
    if tags := _TWO_TAGS.fullmatch(closing):
        end = _FIRST_TAG.match(rest.partition(CLOSE)[2])
        closing, answer = tags[1], (tags[2], end[1] if end else "")
        gap = ""
    return ThinkingStyle(begin.strip(), closing, between[: len(between) - len(between.lstrip())], gap, answer=answer)
