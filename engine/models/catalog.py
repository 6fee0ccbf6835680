"""Lists the model files of this machine, each once, grouped into families; broken ones with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError
from engine.models.check import assess, parts_of, whole_parts
from engine.models.facts import FileKind, ModelFacts
from engine.models.facts_cache import FactsCache
from engine.models.locations import Found, Place, Unreadable, models_in, places
from engine.text import file_name


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or the parts of a split model as one."""

    parts: tuple[Path, ...]
    place: Place
    label: str
    """The file name, or the name that another program gave it."""
    facts: ModelFacts

    @property
    def path(self) -> Path:
        """The path for the engine."""
        return self.parts[0]

    @property
    def shown(self) -> str:
        """The path, or the name for Ollama's files, whose paths are not readable."""
        return self.label if self.place is Place.OLLAMA else str(self.path)

    @property
    def purpose(self) -> str:
        """Purpose of a file that is not a chat model, for lists."""
        return f"not a chat model ({self.facts.kind})"

    @property
    def removable(self) -> bool:
        """Whether xchat may delete it: only in its own folder."""
        return self.place is Place.OWN


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that can't be used, with the reason."""

    path: Path
    place: Place
    label: str
    error: ModelError

    @property
    def parts(self) -> tuple[Path, ...]:
        """The file, as `Entry.parts`."""
        return (self.path,)


@dataclass(frozen=True, slots=True)
class Family:
    """Files of one model that differ in quant, the largest first."""

    key: str
    name: str
    entries: tuple[Entry, ...]

    def neighbour(self, path: Path, step: int) -> Entry | None:
        """Return the entry `step` places after the one at `path` (smaller quants come after larger ones); None beyond the ends."""
        at = next((i for i, entry in enumerate(self.entries) if path in entry.parts), None)
        return self.entries[at + step] if at is not None and 0 <= at + step < len(self.entries) else None

    def quant(self, name: str) -> Entry | None:
        """Return the first entry of that quant, ignoring case."""
        return next((entry for entry in self.entries if entry.facts.quant.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models that were found."""

    families: tuple[Family, ...]
    """By name."""
    companions: tuple[Entry, ...]
    """Files that are not chat models: mmproj, imatrix, adapters, drafts, vocabularies, embedders, encoders, merged vision models."""
    broken: tuple[Broken, ...]
    unreadable: tuple[Unreadable, ...]
    """Folders that could not be read, with the reason."""

    def family_of(self, path: Path) -> Family | None:
        """Return the family that a file belongs to, by path or by being the same file."""
        for family in self.families:
            if any(path in entry.parts for entry in family.entries):
                return family
        same = [family for family in self.families if any(_same_file(path, entry.path) for entry in family.entries)]
        return same[0] if same else None

    def find(self, name: str) -> Family | None:
        """Return the family called `name`, ignoring case, by its files or metadata; else the only one with that prefix."""
        wanted = name.lower()
        names = [(family, {family.name.lower(), *(entry.facts.said_name.lower() for entry in family.entries)}) for family in self.families]
        exact = [family for family, known in names if wanted in known]
        begins = [family for family, known in names if any(one.startswith(wanted) for one in known)]
        return exact[0] if exact else begins[0] if len(begins) == 1 else None

    def tagged(self, name: str) -> Entry | None:
        """Return Ollama's model of a name such as `llama3.2:1b`; the default tag is `latest`."""
        wanted = name.lower() if ":" in name else f"{name.lower()}:latest"
        entries = (entry for family in self.families for entry in family.entries)
        return next((entry for entry in entries if entry.place is Place.OLLAMA and entry.label.lower() == wanted), None)


def list_models(
    configured: Sequence[str | Path] = (), *, environ: Mapping[str, str] = os.environ, cache: FactsCache | None = None
) -> Catalog:
    """Find the models in every place. Never fails: the catalog lists what can't be read."""
    cache = cache if cache is not None else FactsCache()
    files, unreadable = _each_once(places(configured, environ))
    entries: list[Entry] = []
    companions: list[Entry] = []
    broken: list[Broken] = []
    for found in files:
        try:
            parts = whole_parts(found.path)
            entry = Entry(parts, found.place, found.label, cache.facts(parts))
            if entry.facts.kind is FileKind.MODEL:
                assess(found.path, parts, entry.facts)
                entries.append(entry)
            else:
                companions.append(entry)
        except ModelError as error:
            broken.append(Broken(found.path, found.place, found.label, error))
    cache.save()
    return Catalog(_families(entries), tuple(companions), tuple(broken), tuple(unreadable))


def _each_once(where: Iterable[tuple[Place, Path]]) -> tuple[list[Found], list[Unreadable]]:
    """Keep each file once, by inode, and of a split model only the first existing part."""
    files: list[Found] = []
    unreadable: list[Unreadable] = []
    inodes, splits = set[tuple[int, int]](), set[Path]()
    for place, folder in where:
        for found in models_in(place, folder):
            if isinstance(found, Unreadable):
                unreadable.append(found)
                continue
            try:
                status = found.path.stat()
                inode = (status.st_dev, status.st_ino)
            except OSError:
                inode = None
            if inode is not None and inode in inodes:
                continue
            if inode is not None:
                inodes.add(inode)
            first = parts_of(found.path)[0]
            if first in splits:
                continue
            splits.add(first)
            files.append(found)
    return files, unreadable


def _families(entries: Iterable[Entry]) -> tuple[Family, ...]:
    by_key: dict[str, list[Entry]] = {}
    for entry in entries:
        by_key.setdefault(entry.facts.family_key, []).append(entry)
    families = []
    for key, members in by_key.items():
        members.sort(key=lambda entry: (-entry.facts.weight_bytes, entry.facts.quant, entry.label))
        name = members[0].facts.name or file_name(members[0].path)
        families.append(Family(key, members[0].label if name.startswith("sha256-") else name, tuple(members)))
    return tuple(sorted(families, key=lambda family: (family.name.lower(), family.key)))


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
