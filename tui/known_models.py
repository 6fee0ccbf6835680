"""The models screen's list, from the catalog of model files."""

from __future__ import annotations

from collections.abc import Sequence

from tui.options import KnownModel


def known_models(folders: Sequence[str]) -> list[KnownModel]:
    """Every usable model of this machine; `folders` are the config's own. Reads files, so it belongs on a thread."""
    from engine.models.catalog import list_models

    return [
        KnownModel(entry.path, family.name, f"{entry.facts.quant}  {entry.facts.file_bytes / 1e6:,.0f} MB  {entry.place.value}")
        for family in list_models(folders).families
        for entry in family.entries
    ]
