"""What a topic of the guide is: the names it goes by, how people ask, and what the guide says to each kind of question."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing the guide knows. All texts are patterns of `grammar`."""

    id: str
    say: tuple[str, ...]
    """Answers to the plain question; each carries the facts that matter."""
    terms: tuple[str, ...] = ()
    """Names for "what is …" questions."""
    ask: tuple[str, ...] = ()
    """Whole questions of its own."""
    short: tuple[str, ...] = ()
    """One sentence, for "shorter please"."""
    why: tuple[str, ...] = ()
    """For "why?"."""
    example: tuple[str, ...] = ()
    """For "an example?"."""
    more: tuple[str, ...] = ()
    """For "tell me more"."""
    weight: float = 1.0
    """How often it comes up, 1 for most."""


def topic(  # noqa: PLR0913 - a row of data with named columns
    id: str,
    terms: str = "",
    *,
    ask: tuple[str, ...] = (),
    say: tuple[str, ...],
    short: str = "",
    why: str = "",
    example: str = "",
    more: str = "",
    weight: float = 1.0,
) -> Topic:
    """A topic as the data modules write it: terms separated by semicolons, single texts as plain strings."""

    def one(text: str) -> tuple[str, ...]:
        return (text,) if text else ()

    names = tuple(name.strip() for name in terms.split(";") if name.strip())
    return Topic(id, say, names, ask, one(short), one(why), one(example), one(more), weight)
