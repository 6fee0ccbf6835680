"""Finds model files: in xchat's own folder, configured folders, and the caches of other programs (never written to)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.errors import UsageError
from engine.paths import NO_HOME, expanded, models_dir
from engine.regular_file import read_regular, read_written
from engine.text import printable

MOST_DEPTH = 8
"""Most levels of folders searched."""
MOST_FILES = 20_000
"""Most files searched in one place."""
_MOST_NAME_BYTES = 1 << 10
_MOST_MANIFEST_BYTES = 1 << 20
_BLOB = re.compile(r"sha256[:-]([0-9a-f]{64})")
_OLLAMA_KINDS = {
    "application/vnd.ollama.image.model": "",
    "application/vnd.ollama.image.projector": " (mmproj)",
    "application/vnd.ollama.image.adapter": " (adapter)",
}


class Place(StrEnum):
    """Owner of a folder."""

    BUILT_IN = "comes with xchat"
    OWN = "xchat"
    FOLDER = "folder"
    HUGGING_FACE = "hugging face"
    LLAMA_CPP = "llama.cpp"
    LM_STUDIO = "lm studio"
    OLLAMA = "ollama"


@dataclass(frozen=True, slots=True)
class Found:
    """A file with a model's name."""

    path: Path
    place: Place
    label: str
    """The file name, or the name that another program gave it."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder that could not be read."""

    path: Path
    reason: str


def places(configured: Sequence[str | Path] = (), environ: Mapping[str, str] = os.environ) -> list[tuple[Place, Path]]:
    """List the folders to search, xchat's own first; a file in several counts for the first."""
    home = expanded("~", environ)
    home = home if home.is_absolute() else NO_HOME

    def named(variable: str) -> Path | None:
        """Return the folder that a variable names, with `~` and variables expanded."""
        text = environ.get(variable)
        return expanded(text, {**environ, "HOME": str(home)}) if text else None

    cache = named("XDG_CACHE_HOME") or home / ".cache"
    hub_home = named("HF_HOME") or cache / "huggingface"
    found = [
        (Place.OWN, models_dir()),
        *((Place.FOLDER, expanded(str(folder), environ)) for folder in configured),
        (Place.HUGGING_FACE, named("HF_HUB_CACHE") or named("HUGGINGFACE_HUB_CACHE") or hub_home / "hub"),
        (Place.LLAMA_CPP, named("LLAMA_CACHE") or cache / "llama.cpp"),
        (Place.LLAMA_CPP, home / "Library/Caches/llama.cpp"),
        *((Place.LM_STUDIO, folder) for folder in _lm_studio(home, cache)),
        (Place.OLLAMA, named("OLLAMA_MODELS") or home / ".ollama/models"),
        (Place.OLLAMA, Path("/usr/share/ollama/.ollama/models")),
    ]
    return list(dict.fromkeys(found))


def _lm_studio(home: Path, cache: Path) -> Iterator[Path]:
    """Yield LM Studio's folders: those of its settings, then the default ones."""
    homes = [home / ".lmstudio", cache / "lm-studio"]
    with suppress(OSError, ValueError, UsageError):
        homes.insert(0, Path(read_written(home / ".lmstudio-home-pointer").strip()))
    for folder in homes:
        with suppress(OSError, ValueError, RecursionError, UsageError):
            settings = json.loads(read_written(folder / "settings.json"))
            chosen = settings.get("downloadsFolder") if isinstance(settings, dict) else None
            if isinstance(chosen, str) and chosen.strip():
                yield expanded(chosen.strip(), {"HOME": str(home)})
        yield folder / "models"


def models_in(place: Place, folder: Path) -> Iterator[Found | Unreadable]:
    """Yield the model files of one place; nothing when the folder does not exist."""
    if place is Place.OLLAMA:
        yield from _ollama(folder)
        return
    looks_like_hub = False
    if place in {Place.HUGGING_FACE, Place.LLAMA_CPP}:
        try:
            repositories = sorted(entry.path for entry in os.scandir(folder) if entry.name.startswith("models--"))
        except FileNotFoundError:
            return
        except OSError as error:
            yield Unreadable(folder, _reason(error))
            return
        looks_like_hub = bool(repositories)
        for repository in repositories:
            yield from _hub_repository(place, Path(repository))
    if place is not Place.HUGGING_FACE:
        yield from _walk(place, folder, skip_hub=looks_like_hub)


def _walk(place: Place, top: Path, *, skip_hub: bool = False) -> Iterator[Found | Unreadable]:
    """Yield the GGUF files below a folder by name; follows links, except cycles."""
    waiting, seen, count = [(top, 0)], set[tuple[int, int]](), 0
    while waiting:
        folder, depth = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            yield Unreadable(folder, _reason(error))
            continue
        for entry in inside:
            count += 1
            if count > MOST_FILES:
                yield Unreadable(top, f"It has more than {MOST_FILES:,} files; only the first ones are listed")
                return
            if entry.name.lower().endswith(".gguf"):
                yield Found(Path(entry.path), place, printable(entry.name))
                continue
            of_hub = skip_hub and depth == 0 and entry.name.startswith("models--")
            if depth < MOST_DEPTH and not of_hub and not entry.name.startswith(".") and _is_folder(entry):
                waiting.append((Path(entry.path), depth + 1))


def _hub_repository(place: Place, repository: Path) -> Iterator[Found | Unreadable]:
    """Yield the files of the revision in `refs/main`, or of all revisions when that one is not here."""
    try:
        main = read_regular(repository / "refs/main", _MOST_NAME_BYTES).decode("ascii", "replace").strip()
    except OSError:
        main = ""
    revision = repository / "snapshots" / main
    single = re.fullmatch(r"[0-9A-Za-z._-]+", main) and revision.is_dir()
    yield from _walk(place, revision if single else repository / "snapshots")


def _ollama(folder: Path) -> Iterator[Found | Unreadable]:
    """Yield the blobs that Ollama's manifests name."""
    manifests = folder / "manifests"
    try:
        if not manifests.is_dir():
            return
        for path in sorted(manifests.rglob("*")):
            if path.is_file():
                yield from _ollama_manifest(folder, path, path.relative_to(manifests).parts)
    except OSError as error:
        yield Unreadable(folder, _reason(error))


def _ollama_manifest(folder: Path, path: Path, names: tuple[str, ...]) -> Iterator[Found | Unreadable]:
    try:
        manifest = json.loads(read_regular(path, _MOST_MANIFEST_BYTES))
        layers = [(layer["mediaType"], layer["digest"]) for layer in manifest["layers"]]
    except OSError as error:
        yield Unreadable(path, _reason(error))
        return
    except (ValueError, KeyError, TypeError, RecursionError):
        yield Unreadable(path, "It is not an Ollama manifest")
        return
    name = "/".join(part for part in names[:-1] if part not in {"registry.ollama.ai", "library"})
    for kind, digest in layers:
        blob = _BLOB.fullmatch(digest) if isinstance(digest, str) else None
        if isinstance(kind, str) and kind in _OLLAMA_KINDS and blob is not None:
            label = printable(f"{name}:{names[-1]}{_OLLAMA_KINDS[kind]}")
            yield Found(folder / "blobs" / f"sha256-{blob[1]}", Place.OLLAMA, label)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason(error: OSError | ValueError) -> str:
    return "No permission" if isinstance(error, PermissionError) else printable(getattr(error, "strerror", None) or str(error))
