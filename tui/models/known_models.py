"""The models screen's list, from the catalog of model files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engine.numbers import significant
from tui.choices import BuiltInQuant, Fetch, KnownModel, OtherQuant

if TYPE_CHECKING:
    from pathlib import Path

    from engine.models.catalog import Broken, Catalog, Entry, Family
    from engine.store.queries.speeds import MeasuredSpeeds


def known_models(folders: Sequence[str]) -> list[KnownModel]:
    """Entries of the models screen; `folders` are those of the config. Reads files, so call it on a thread.

    The built-in model in all its quants; every file of this machine by family, with memory and measured speed; files that are
    not chat models, with their kind; broken files with the reason; and models recommended for this machine.
    """
    from engine.models.catalog import list_models

    found, measured = list_models(folders), _measured()
    known = list(_built_in(measured))
    for family in found.families:
        known += [_known(entry, family, measured) for entry in family.entries]
        there = frozenset(entry.facts.quant for entry in family.entries)
        another = OtherQuant(family.entries[0].path, there)
        known.append(KnownModel(None, family.name, "another quant: quantized here when you choose one", instead=another))
    known += [KnownModel(entry.path, entry.label, problem=entry.purpose) for entry in found.companions]
    known += [_broken(broken) for broken in found.broken]
    known += _worth_fetching(found)
    return known


def _measured() -> MeasuredSpeeds:
    from engine.errors import StoreError
    from engine.store.queries.speeds import MeasuredSpeeds, measured_speeds

    try:
        return measured_speeds()
    except StoreError:
        return MeasuredSpeeds({})  # reported when the program started


def _built_in(measured: MeasuredSpeeds) -> Iterator[KnownModel]:
    """The built-in model in all its quants."""
    from engine.errors import ModelError
    from engine.guide import builtin
    from engine.model_ref import BuiltInModel

    shipped: Path | None = None
    try:
        shipped = builtin.path()
        carried = BuiltInModel(builtin.SHIPPED_QUANT)
        yield KnownModel(carried, "xchat guide", f"{builtin.SHIPPED_QUANT}  comes with xchat{_speed(shipped, measured)}")
    except ModelError as error:
        yield KnownModel(None, "xchat guide", problem=str(error))
    for quant in builtin.QUANTS:
        file = builtin.made(quant)
        if file is not None:
            yield KnownModel(BuiltInModel(quant), "xchat guide", f"{quant}  made here{_speed(file, measured)}")
        elif shipped is not None:
            yield KnownModel(None, "xchat guide", f"{quant}  made when it is first chosen", instead=BuiltInQuant(quant))


def _known(entry: Entry, family: Family, measured: MeasuredSpeeds) -> KnownModel:
    from engine.host.topology import cpu_features, read_room
    from engine.models.fit import fit
    from engine.numbers import byte_size
    from engine.presets.preset import Preset

    facts = entry.facts
    fitting = fit(facts, Preset(), read_room(), features=cpu_features())
    needs = f"needs {byte_size(fitting.estimate.needed)}" + ("" if fitting.fits else ", does not fit")
    speed = _speed(entry.path, measured)
    detail = f"{facts.quant}  {byte_size(facts.file_bytes)}  {needs}{speed}  {entry.place.value}"
    return KnownModel(entry.path, family.name, detail, fits=fitting.fits)


def _speed(file: Path, measured: MeasuredSpeeds) -> str:
    """Measured decode speed of a file, and its KL divergence from the best quant, where known."""
    kld = measured.kld(file)
    quality = f"  KLD {kld:.4f}" if kld is not None else ""
    speed = measured.of(file)
    if speed is None or speed.predicted_per_second is None:
        return quality
    return f"  {'~' if speed.disturbed else ''}{significant(speed.predicted_per_second)} tokens/s here{quality}"


def _worth_fetching(found: Catalog) -> Iterator[KnownModel]:
    """Recommended models that are not in the hub's cache."""
    from engine.host.topology import read_room
    from engine.models.recommended import recommended
    from engine.numbers import byte_size

    here = {part for family in found.families for entry in family.entries for part in entry.path.parts if part.startswith("models--")}
    for model in recommended(read_room()):
        if model.cache_folder not in here:
            yield KnownModel(None, model.name, f"fetch {byte_size(model.file_bytes)}: {model.note}", instead=Fetch(model.reference))


def _broken(broken: Broken) -> KnownModel:
    return KnownModel(broken.path, broken.label, problem=broken.error.detail or broken.error.title)
