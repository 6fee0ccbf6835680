"""Makes the models screen's list from the catalog of model files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui.choices import BuiltInQuant, Fetch, KnownModel, OtherQuant

if TYPE_CHECKING:
    from engine.config import EngineConfig
    from engine.models.catalog import Catalog, Entry
    from engine.remote.known import Listing
    from engine.store.queries.speeds import MeasuredSpeeds

GUIDE = "xchat guide"
BUILT_IN = "built in"
MADE_HERE = "made here"


def known_models(folders: Sequence[str], engines: Sequence[EngineConfig] = ()) -> list[KnownModel]:
    """Entries of the models screen; `folders` and `engines` are those of the config. Reads files, so call it on a thread."""
    from engine.models.catalog import list_models
    from engine.remote.known import known

    return [*rows_of(list_models(folders), _measured()), *remote_rows(known(engines))]


def remote_rows(listings: Iterable[Listing]) -> Iterator[KnownModel]:
    """Yield the rows of the models of other engines, and of engines that can't be asked."""
    from engine.model_ref import RemoteModel

    for listing in listings:
        for model in listing.models:
            row = KnownModel(RemoteModel(listing.engine, model.name), f"{listing.engine}/{model.name}", place=listing.engine)
            yield replace(row, quant=model.quant, size_bytes=model.size_bytes or None)
        if listing.problem:
            yield KnownModel(None, listing.engine, problem=listing.problem)
        elif not listing.models:
            yield KnownModel(RemoteModel(listing.engine, ""), listing.engine, "its default model; its list is not known yet")


def with_file(known: Sequence[KnownModel], file: Path) -> Sequence[KnownModel]:
    """Put an entry for a file outside all folders first; unchanged where the file is listed already or can't be used."""
    from engine.errors import ModelError
    from engine.models.catalog import Entry
    from engine.models.check import check_model
    from engine.models.locations import Place

    if any(isinstance(model.ref, Path) and os.path.realpath(model.ref) == os.path.realpath(file) for model in known):
        return known
    try:
        checked = check_model(file)
    except ModelError:
        return known
    place = Place.FOLDER
    row = KnownModel(file, checked.facts.name, place=place.value)
    return [_known(row, Entry(checked.parts, place, file.name, checked.facts), _measured()), *known]


def _measured() -> MeasuredSpeeds:
    from engine.errors import StoreError
    from engine.store.queries.speeds import MeasuredSpeeds, measured_speeds

    try:
        return measured_speeds()
    except StoreError:
        return MeasuredSpeeds({})  # already reported at the start


def rows_of(found: Catalog, measured: MeasuredSpeeds) -> list[KnownModel]:
    """Make the rows of the list of models.

    The built-in model in all its quants; every file of this machine by family, with memory and measured speed; files that are not chat
    models, with their kind; broken files with the reason; and models recommended for this machine.
    """
    known = list(_built_in(measured))
    for family in found.families:
        known += [_known(KnownModel(entry.path, family.name, place=entry.place.value), entry, measured) for entry in family.entries]
        there = frozenset(entry.facts.quant for entry in family.entries)
        another = OtherQuant(family.entries[0].path, there)
        known.append(KnownModel(None, family.name, "another quant, made on this machine when chosen", instead=another))
    known += [KnownModel(entry.path, entry.label, problem=entry.purpose) for entry in found.companions]
    known += [KnownModel(broken.path, broken.label, problem=broken.error.detail or broken.error.title) for broken in found.broken]
    known += _worth_fetching(found)
    return known


def _built_in(measured: MeasuredSpeeds) -> Iterator[KnownModel]:
    """Yield the built-in model in all its quants."""
    from engine.errors import ModelError
    from engine.guide import builtin
    from engine.model_ref import BuiltInModel
    from engine.session.model_finder import built_in_family

    try:
        family = built_in_family()
    except ModelError as error:
        yield KnownModel(None, GUIDE, problem=str(error))
        return
    for entry in family.entries:
        place = BUILT_IN if entry.facts.quant == builtin.SHIPPED_QUANT else MADE_HERE
        yield _known(KnownModel(BuiltInModel(entry.facts.quant), GUIDE, place=place), entry, measured)
    for quant in builtin.QUANTS:
        if family.quant(quant) is None:
            yield KnownModel(None, GUIDE, "made when it is first chosen", quant=quant, instead=BuiltInQuant(quant))


def _known(row: KnownModel, entry: Entry, measured: MeasuredSpeeds) -> KnownModel:
    """Make the row of a file, with its figures."""
    from engine.host.topology import cpu_features, read_room
    from engine.models.fit import fit
    from engine.presets.preset import Preset

    fitting, speed = fit(entry.facts, Preset(), read_room(), features=cpu_features()), measured.of(entry.path)
    return replace(
        row,
        quant=entry.facts.quant,
        size_bytes=entry.facts.file_bytes,
        needed_bytes=fitting.estimate.needed,
        fits=fitting.fits,
        speed=speed.predicted_per_second if speed is not None else None,
        disturbed=speed is not None and speed.disturbed,
        kld=measured.kld(entry.path),
    )


def _worth_fetching(found: Catalog) -> Iterator[KnownModel]:
    """Yield recommended models that are not in the hub's cache."""
    from engine.host.topology import read_room
    from engine.models.recommended import recommended

    here = {part for family in found.families for entry in family.entries for part in entry.path.parts if part.startswith("models--")}
    for model in recommended(read_room()):
        if model.cache_folder not in here:
            quant = model.reference.rpartition(":")[2]
            yield KnownModel(None, model.name, model.note, quant=quant, size_bytes=model.file_bytes, instead=Fetch(model.reference))
