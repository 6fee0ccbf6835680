"""Finds the model of a preset, and the other quants of a model.

Everything here may read files, and make a quant of the built-in model: call it on a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.config import EngineConfig
from engine.errors import ModelError
from engine.guide import builtin
from engine.host.topology import cpu_features, read_room
from engine.model_ref import BUILTIN, REMOTE, BuiltInModel, ModelRef, RemoteModel, parse_ref, short_name
from engine.models.catalog import Catalog, Entry, Family, list_models
from engine.models.check import check_model
from engine.models.fit import TooLargeError, fit
from engine.models.locations import Place
from engine.models.references import HubReference, cache_folder, looks_like_path, parse_reference
from engine.paths import expanded
from engine.presets.preset import Preset
from engine.text import file_name, printable

HUB_PREFIX = "hf:"
"""Prefix of the name of a model of the hub."""

BEST_START = "Q4_K_M"
"""The default quant of a family."""


@dataclass(frozen=True, slots=True)
class QuantChoice:
    """A quant of a family."""

    quant: str
    ref: ModelRef | None
    """The model in it; None when it is made on request."""


def remote_named(name: str, engines: Sequence[EngineConfig]) -> RemoteModel | None:
    """The model that `ENGINE` or `ENGINE/MODEL` names, with `remote:` before it or not; None when it names no configured engine.

    Without MODEL it is the default one of the engine; its name is empty where the engine's own list decides.
    """
    head, _, model = name.removeprefix(REMOTE).partition("/")
    engine = next((engine for engine in engines if engine.name == head), None)
    return RemoteModel(head, model or engine.model or "") if engine is not None else None


def built_in_family() -> Family:
    """Return the built-in model, in the quants that exist; `builtin.QUANTS` are made on request.

    Raises ModelError when it is missing from the installation, or damaged.
    """
    files = (builtin.path(), *(file for quant in builtin.QUANTS if (file := builtin.made(quant)) is not None))
    entries = tuple(Entry((file,), Place.BUILT_IN, file_name(file), check_model(file).facts) for file in files)
    return Family(entries[0].facts.family_key, entries[0].facts.name, entries)


class ModelFinder:
    """Finds models by preset, family and quant."""

    def __init__(self, catalog: Callable[[], Catalog] = list_models, engines: Sequence[EngineConfig] = ()) -> None:
        """`catalog` lists the models of this machine; called each time, since files change. `engines` are those of the config."""
        self._catalog = catalog
        self._engines = engines

    def find(self, preset: Preset, current: ModelRef | None) -> ModelRef | None:
        """Find the model of a preset while `current` is loaded; None when it names none and none is loaded.

        Raises ModelError when there is no such file, family or quant here; the error says which there are.
        """
        named, quant = preset.model, preset.quant
        if named is None:
            return current if quant is None or current is None else self.quant(current, quant)
        if named == BUILTIN:
            return _built_in(quant or (current.quant if isinstance(current, BuiltInModel) else builtin.SHIPPED_QUANT))
        if named.startswith(HUB_PREFIX):
            return self._of_hub(named, quant)
        ref = remote_named(named, self._engines) or parse_ref(named)
        if not isinstance(ref, Path):
            return self.quant(ref, quant or ref.quant) if isinstance(ref, BuiltInModel) else ref
        path = expanded(named)
        if looks_like_path(named) or path.is_file():
            return builtin.ref_of(path) if quant is None else self.quant(builtin.ref_of(path), quant)
        return self._of_family(named, quant, current)

    def quants(self, ref: ModelRef) -> tuple[QuantChoice, ...]:
        """Return the quants of a model's family, the largest first, each once; only the model itself when its family is unknown."""
        if isinstance(ref, BuiltInModel):
            quants = (builtin.SHIPPED_QUANT, *builtin.QUANTS)
            return tuple(QuantChoice(quant, BuiltInModel(quant) if builtin.made(quant) else None) for quant in quants)
        family = self._family(ref) if isinstance(ref, Path) else None
        if family is None:
            return (QuantChoice(_quant_of(ref), ref),)
        own = next((entry for entry in family.entries if _same(entry.path, ref)), None)
        first = {entry.facts.quant: entry for entry in reversed(family.entries)}
        kept = first if own is None else {**first, own.facts.quant: own}
        return tuple(QuantChoice(entry.facts.quant, entry.path) for entry in family.entries if kept[entry.facts.quant] is entry)

    def quant(self, ref: ModelRef, name: str) -> ModelRef:
        """Find another quant of a model's family; one of the built-in model is made when missing.

        Raises ModelError when there is none; the error names those that are there.
        """
        if isinstance(ref, BuiltInModel):
            return _built_in(name.upper())
        family = self._family(ref) if isinstance(ref, Path) else None
        entry = family.quant(name) if family is not None else None
        if entry is None and _quant_of(ref).lower() == name.lower():
            return ref
        return entry.path if entry is not None else _no_quant(name, label(ref), family)

    def neighbour(self, ref: ModelRef, step: int) -> tuple[str, ModelRef]:
        """Find the quant `step` places after a model's own (smaller ones follow larger ones), and the model in it.

        Raises ModelError when there is none in that direction.
        """
        choices = self.quants(ref)
        at = next((i for i, choice in enumerate(choices) if _same(choice.ref, ref)), 0)
        if not 0 <= at + step < len(choices):
            which = "smaller" if step > 0 else "larger"
            there = ", ".join(choice.quant for choice in choices)
            raise ModelError(f"There is no {which} quant of {label(ref)}", f"Local quants: {there}", "`xchat models quantize` makes more.")
        chosen = choices[at + step]
        return chosen.quant, chosen.ref if chosen.ref is not None else self.quant(ref, chosen.quant)

    def with_smaller_quants(self, error: TooLargeError, ref: ModelRef, preset: Preset) -> TooLargeError:
        """Return the error with the family's other quants among its remedies."""
        family = self._family(ref) if isinstance(ref, Path) else None
        if family is None or not isinstance(ref, Path):
            return error
        facts = check_model(ref).facts
        siblings = {entry.facts.quant: entry.facts for entry in family.entries}
        return TooLargeError(file_name(ref), fit(facts, preset, error.verdict.room, features=cpu_features(), siblings=siblings))

    def _of_family(self, name: str, quant: str | None, current: ModelRef | None) -> Path:
        catalog = self._catalog()
        tagged = catalog.tagged(name)
        if tagged is not None and quant is None:
            return tagged.path
        family = catalog.find(name)
        if family is None:
            known = ", ".join(printable(family.name, 40) for family in catalog.families[:8])
            raise ModelError(
                f"There is no model {printable(name)!r} on this machine",
                f"Local models: {known}" if known else "",
                "`xchat models list` shows all.",
            )
        if quant is not None:
            entry = family.quant(quant)
            return entry.path if entry is not None else _no_quant(quant, printable(family.name), family)
        if isinstance(current, Path) and any(_same(entry.path, current) for entry in family.entries):
            return current
        return _usual(family).path

    def _of_hub(self, named: str, quant: str | None) -> Path:
        reference = parse_reference(named)
        assert isinstance(reference, HubReference)
        folder = cache_folder(reference.repository)
        wanted = quant or reference.wanted
        here = [family for family in self._catalog().families if any(folder in entry.path.parts for entry in family.entries)]
        for family in here:
            fetched = replace(family, entries=tuple(entry for entry in family.entries if folder in entry.path.parts))
            entry = next((entry for entry in fetched.entries if entry.path.name == wanted), None) or fetched.quant(wanted or BEST_START)
            if entry is not None or not wanted:
                return entry.path if entry is not None else _usual(fetched).path
        asked = replace(reference, wanted=wanted)
        raise ModelError(f"{printable(str(asked))} is not on this machine", "", f"`xchat models pull {printable(str(asked))}` fetches it.")

    def _family(self, path: Path) -> Family | None:
        return self._catalog().family_of(path)


def _usual(family: Family) -> Entry:
    """Return the default quant of a family: the usual one, else the largest that fits, else the smallest."""
    usual = family.quant(BEST_START)
    if usual is not None:
        return usual
    room, features = read_room(), cpu_features()
    fitting = (entry for entry in family.entries if fit(entry.facts, Preset(), room, features=features).fits)
    return next(fitting, family.entries[-1])


def label(ref: ModelRef) -> str:
    """Return a short name of a model, for messages."""
    return printable(short_name(ref))


def _built_in(quant: str) -> BuiltInModel:
    """Return the built-in model in a quant; makes a missing one."""
    builtin.quant_path(quant)
    return BuiltInModel(quant)


def _quant_of(ref: ModelRef) -> str:
    try:
        return check_model(ref).facts.quant if isinstance(ref, Path) else ""
    except ModelError:
        return ""


def _same(one: ModelRef | None, other: ModelRef) -> bool:
    try:
        return one == other or (isinstance(one, Path) and isinstance(other, Path) and one.samefile(other))
    except OSError:
        return False


def _no_quant(quant: str, of: str, family: Family | None) -> Path:
    there = ", ".join(dict.fromkeys(entry.facts.quant for entry in family.entries)) if family is not None else ""
    raise ModelError(
        f"There is no quant {printable(quant)} of {of} here",
        f"Local quants: {there}" if there else "",
        "`xchat models quantize` makes more.",
    )
