"""Adds files to xchat's own folder, and deletes files that xchat may delete."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from engine.errors import ModelError, UsageError
from engine.models.catalog import Broken, Entry
from engine.models.check import CheckedModel
from engine.models.locations import Place
from engine.paths import models_dir
from engine.text import file_name, printable


def add(model: CheckedModel, *, copy: bool = False) -> tuple[Path, ...]:
    """Link a model (all its parts) into xchat's own folder, or copy it there; the original stays.

    Raises:
        UsageError: A file of that name exists already, or the model is there.
        ModelError: The folder can't be written.
    """
    folder = models_dir()
    links = tuple(folder / part.name for part in model.parts)
    for part, link in zip(model.parts, links, strict=True):
        if part.absolute().parent == folder:
            raise UsageError(f"{file_name(part)} is already in xchat's own folder", "", "`xchat models list` shows it")
        if link.is_symlink() or link.exists():
            raise UsageError(f"{file_name(link)} exists already", f"In {printable(str(folder), 300)}", "Remove it first")
    made: list[Path] = []
    try:
        for part, link in zip(model.parts, links, strict=True):
            if copy:
                _copy(part, link)
            else:
                link.symlink_to(part.resolve())
            made.append(link)
    except OSError as error:
        for link in made:
            link.unlink(missing_ok=True)
        raise ModelError(f"{file_name(model.path)} can't be added", printable(str(error)), f"Check the permissions of {folder}") from error
    return links


def removal(entry: Entry | Broken) -> tuple[Path, ...]:
    """List the files that removing a model deletes: its links and, in the Hugging Face cache, blobs without another link.

    Raises UsageError when it belongs to another program.
    """
    if entry.place is Place.OWN:
        return entry.parts
    if entry.place is not Place.HUGGING_FACE:
        where = printable(str(entry.path.parent), 300)
        raise UsageError(f"xchat can't delete {entry.label}", f"It belongs to {entry.place}, in {where}", "Delete it with that program")
    return tuple(path for part in entry.parts for path in (part, *_lonely_blob(part)))


def remove(entry: Entry | Broken) -> int:
    """Delete the files of `removal`; returns the freed bytes. Raises its UsageError, and ModelError when deleting fails."""
    freed = 0
    for path in removal(entry):
        try:
            status = path.lstat()
            path.unlink()
            freed += status.st_size if status.st_nlink == 1 else 0
        except OSError as error:
            raise ModelError(f"{file_name(path)} can't be deleted", printable(str(error)), "Check the permissions") from error
    return freed


def _copy(source: Path, target: Path) -> None:
    """Copy a file atomically."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _lonely_blob(link: Path) -> tuple[Path, ...]:
    """Return the blob of a link in the hub's cache, if no other revision links to it."""
    if not link.is_symlink():
        return ()
    blob = link.resolve()
    snapshots = next((folder for folder in link.parents if folder.name == "snapshots"), None)
    if snapshots is None or blob.parent != (snapshots.parent / "blobs").resolve():
        return ()
    for folder, _, names in os.walk(snapshots):
        for name in names:
            other = Path(folder, name)
            with suppress(OSError):
                if other != link and other.is_symlink() and other.resolve() == blob:
                    return ()
    return (blob,)
