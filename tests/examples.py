"""How many examples a property is tried with: its own number, scaled by the profile that was asked for."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

NORMAL = 100
"""What Hypothesis tries unless a profile says otherwise."""


def examples(count: int, **options: Any) -> settings:
    """Settings for `count` examples: a fifth of them with the profile `fast`, five times as many with `long`."""
    return settings(max_examples=max(1, count * settings().max_examples // NORMAL), deadline=None, **options)
