"""Input and output of a chat template."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.messages import Role, ThinkingStyle


class PreparationCancelled(Exception):  # noqa: N818
    """Nobody wants the prompt any more; nothing is left behind."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message for the template: texts with marks."""

    role: Role
    content: str
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation after the template."""

    text: str
    """With the marks of its contents, ending with the prompt for the next answer."""
    ending: str
    """What the template printed behind the last content, where the answer begins."""
    source: str
    """The template that was used in the end."""
    notices: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    """Texts that end an answer, because the format has no token for it."""
    style: ThinkingStyle | None = None
    """How the model marks its thinking."""

    def followed_by(self, text: str) -> Rendered:
        """The same with the beginning of the answer behind it."""
        return replace(self, text=self.text + text)
