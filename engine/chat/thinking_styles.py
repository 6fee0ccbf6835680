"""How families of models mark what they think."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThinkingStyle:
    """How one family of models marks its thinking."""

    opening: str
    closing: str
    line: str = "\n"
    """Stands after the opening and before the closing marker."""
    gap: str = "\n\n"
    """Stands between the closing marker and the answer."""
    reply: str = ""
    """What has to stand before an answer without thinking."""


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
    ThinkingStyle("[THINK]", "[/THINK]"),
    ThinkingStyle("◁think▷", "◁/think▷"),
    ThinkingStyle("<|channel>thought", "<channel|>", gap=""),
)
"""The families with a plain pair of markers."""

MARKERS = frozenset(
    [
        *(style.opening for style in STYLES),
        *(style.closing for style in STYLES),
        *("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>", "<|channel>"),
    ]
)
"""Texts that structure an answer."""


def open_style(prompt_end: str) -> ThinkingStyle | None:
    """The style of the thinking block that a prompt leaves open at its end, if it does."""
    for style in (*STYLES, HARMONY):
        opened = prompt_end.rfind(style.opening)
        if opened >= 0 and prompt_end.find(style.closing, opened) < 0:
            return style
    return None


def style_of(template: str) -> ThinkingStyle:
    """The style a chat template speaks of; `<think>` when it speaks of none."""
    if "<|channel|>" in template:
        return HARMONY
    return next((style for style in STYLES if style.closing in template or style.opening in template), STYLES[0])
