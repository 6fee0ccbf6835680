"""What the registry of settings says of each: meaning, cost of a change, other names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Cost(StrEnum):
    """Cost class of a changed setting; cheapest first."""

    HOT = "hot"
    """Applies to the next token."""
    REBUILD = "rebuild"
    """Needs a new context on the loaded model; the KV state is carried over where it is compatible."""
    RELOAD = "reload"
    """Needs another file; the conversation is prefilled again."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Metadata of a setting in addition to its type, bounds and default."""

    meaning: str
    """One sentence without a full stop."""
    cost: Cost | None
    """Cost of a change; None for a key that the engine does not read."""
    llama: str = ""
    """llama.cpp's flags, the short one first."""
    others: str = ""
    """Other names accepted in `KEY=VALUE` and in imported presets."""
    flags: str = ""
    """Additional flags of xchat to the one made from the key."""
    off: str = ""
    """llama.cpp's flags that switch it off, in addition to `--no-…`."""
    default_words: str = ""
    """Values that stand for llama.cpp's own choice."""
    kv_layout: Callable[[str], str] | None = None
    """How the value shapes the KV state; a state only fits settings of equal shape. None for a setting that does not."""

    @property
    def keeps_kv(self) -> bool:
        """Whether the KV state survives any change of the value."""
        return self.cost is not Cost.RELOAD and self.kv_layout is None

    @property
    def names(self) -> frozenset[str]:
        """All other spellings of the key, with underscores and without leading hyphens; not those that switch it off."""
        words = f"{self.llama} {self.others} {self.flags}".split()
        return frozenset(word.lstrip("-").replace("-", "_") for word in words if not word.startswith("--no-"))
