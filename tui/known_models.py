"""The models screen's list, from the catalog of model files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from tui.options import KnownModel


def known_models(folders: Sequence[str]) -> list[KnownModel]:
    """The built-in model and every usable one of this machine; `folders` are the config's own. Reads files, so it belongs on a thread."""
    from engine.demo import builtin
    from engine.errors import ModelError
    from engine.models.catalog import list_models

    known: list[KnownModel] = []
    with contextlib.suppress(ModelError):  # the installation has lost it, which the start has told
        known.append(KnownModel(builtin.path(), "xchat guide", "comes with xchat"))
    known += [
        KnownModel(entry.path, family.name, f"{entry.facts.quant}  {entry.facts.file_bytes / 1e6:,.0f} MB  {entry.place.value}")
        for family in list_models(folders).families
        for entry in family.entries
    ]
    return known
