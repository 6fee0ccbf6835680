"""The models screen's list, from the catalog of model files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tui.options import KnownModel

if TYPE_CHECKING:
    from engine.models.catalog import Broken, Entry, Family


def known_models(folders: Sequence[str]) -> list[KnownModel]:
    """The built-in model, every file of this machine by family, with what it needs in memory, and last the broken ones with their reason.

    `folders` are the config's own. Reads files, so it belongs on a thread.
    """
    from engine.models.catalog import list_models

    found = list_models(folders)
    known = list(_built_in())
    known += [_known(entry, family) for family in found.families for entry in family.entries]
    known += [_broken(broken) for broken in found.broken]
    return known


def _built_in() -> Iterator[KnownModel]:
    """The model that xchat carries, in the quants that are there."""
    from engine.demo import builtin
    from engine.errors import ModelError

    try:
        yield KnownModel(builtin.path(), "xchat guide", f"{builtin.SHIPPED_QUANT}  comes with xchat")
    except ModelError as error:
        yield KnownModel(None, "xchat guide", problem=str(error))
    for quant in builtin.QUANTS:
        file = builtin.made(quant)
        if file is not None:
            yield KnownModel(file, "xchat guide", f"{quant}  made here")


def _known(entry: Entry, family: Family) -> KnownModel:
    from engine.models.fit import fit, gib
    from engine.presets.preset import Preset
    from engine.presets.topology import cpu_features, read_room

    facts = entry.facts
    fitting = fit(facts, Preset(), read_room(), features=cpu_features())
    needs = f"needs {gib(fitting.estimate.needed)}" + ("" if fitting.fits else ", does not fit")
    return KnownModel(entry.path, family.name, f"{facts.quant}  {gib(facts.file_bytes)}  {needs}  {entry.place.value}", fits=fitting.fits)


def _broken(broken: Broken) -> KnownModel:
    return KnownModel(broken.path, broken.label, problem=broken.error.detail or broken.error.title)
