"""The variables of chat templates that switch thinking on and off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.messages import Thinking

Switch = Mapping[Thinking, Mapping[str, object]]

THINKING_SET: Final[tuple[Thinking, Thinking]] = ("on", "off")

SWITCHES: Final[tuple[Switch, ...]] = (
    {"on": {"enable_thinking": True, "thinking": True}, "off": {"enable_thinking": False, "thinking": False}},
    {"on": {"thinking_mode": "enabled"}, "off": {"thinking_mode": "disabled"}},
    {"on": {"thinking_budget": -1}, "off": {"thinking_budget": 0}},
    {"on": {"reasoning_effort": "high"}, "off": {"reasoning_effort": "none"}},
    {"on": {"reasoning_effort": "high"}, "off": {"reasoning_effort": "no_think"}},
    {"on": {"reasoning_effort": "high"}, "off": {"reasoning_effort": "minimal"}},
    {"on": {}, "off": {}},
)
"""The switches, in the order in which they are tried; the empty one is `/think` and `/no_think` in the system message."""

LEAST_EFFORT: Final[Switch] = {"on": {"reasoning_effort": "high"}, "off": {"reasoning_effort": "low"}}
"""The switch of templates that can only reduce thinking."""

NO_SWITCH: Final = "The chat template has no switch for thinking, so this model thinks by default."


def is_known(switch: Switch, source: str) -> bool:
    """Return whether a template contains a variable of this switch, and the word that turns thinking off."""
    off = switch["off"]
    if not off:
        return "/no_think" in source
    if switch is LEAST_EFFORT:
        return "reasoning_effort" in source
    words = [value for value in off.values() if isinstance(value, str)]
    return any(name in source for name in off) and all(f"'{word}'" in source or f'"{word}"' in source for word in words)
