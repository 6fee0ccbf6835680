"""Input and output of a chat template."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.messages import Role, ThinkingStyle, ToolCall


class PreparationCancelled(Exception):  # noqa: N818
    """The preparation was cancelled."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message for the template: texts with marks."""

    role: Role
    content: str
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()
    result_of: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered conversation."""

    text: str
    """The text with the marks of its contents, ending with the prompt for the next answer."""
    ending: str
    """The template's text after the last content, where the answer begins."""
    source: str
    """The template that was used."""
    notices: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    """Stop strings of a format without an end token."""
    style: ThinkingStyle | None = None
    """The model's markers of thinking."""

    def followed_by(self, text: str) -> Rendered:
        """Return this followed by the beginning of the answer."""
        return replace(self, text=self.text + text)
