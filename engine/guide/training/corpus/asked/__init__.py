"""What people ask in their own words, as data: one TOML file for each field, in it the wordings by subject.

`topics-*` have whole questions by topic, `keys-*` by action of the registry; `follow-ups`, `stories` and `outside` by kind. All are
patterns of `grammar`. They were written without a look at the held-out questions, which `tests/engine/guide/training` keeps apart from them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def asked(field: str) -> Mapping[str, tuple[str, ...]]:
    """The wordings of a field (`topics`, `keys`, `follow-ups`, `stories`, `outside`) by subject, from all its files in order of their names."""
    merged: dict[str, tuple[str, ...]] = {}
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.startswith(field) and file.name.endswith(".toml"):
            for subject, wordings in tomllib.loads(file.read_text(encoding="utf-8")).items():
                merged[subject] = (*merged.get(subject, ()), *wordings)
    return merged
