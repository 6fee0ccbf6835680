"""`xchat models`: the model files of this machine, what is in them, and whether they fit."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from engine.config import load_config
from engine.errors import ModelError, UsageError
from engine.models.catalog import Catalog, Entry, Family, list_models
from engine.models.check import check_model
from engine.models.facts import size_label
from engine.models.fit import Fit, fit, gib
from engine.paths import models_dir
from engine.presets.preset import Preset
from engine.presets.topology import cpu_features, read_room
from tui.cli.models_make import add_pull, add_quantize
from tui.cli.output import confirmed, write_json
from tui.sanitize import visible

EXAMPLES = """\
examples:
  xchat models list
  xchat models show qwen3-4b
  xchat models pull
  xchat models pull hf:Qwen/Qwen3-4B-GGUF:Q4_K_M
  xchat models quantize builtin Q4_K_M
  xchat models add ~/Downloads/model-Q4_K_M.gguf
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` to the command line."""
    parser = subparsers.add_parser(
        "models", help="model files of this machine", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|pull|quantize|add|remove")
    listing = verbs.add_parser("list", help="families and their quants, with what each needs in memory")
    listing.add_argument("--json", action="store_true", help="print one object")
    listing.set_defaults(run=list_all)
    showing = verbs.add_parser("show", help="one file, or one family")
    showing.add_argument("model", metavar="MODEL", help="a path, or the name of a family")
    showing.add_argument("--json", action="store_true", help="print one object")
    showing.set_defaults(run=show)
    add_pull(verbs)
    add_quantize(verbs)
    adding = verbs.add_parser("add", help="link a file into xchat's own folder")
    adding.add_argument("path", type=Path, metavar="PATH")
    adding.add_argument("--copy", action="store_true", help="copy it instead")
    adding.set_defaults(run=add)
    removing = verbs.add_parser("remove", help="delete a file from xchat's own folder")
    removing.add_argument("path", type=Path, metavar="PATH")
    removing.add_argument("--yes", action="store_true", help="do not ask")
    removing.set_defaults(run=remove)


def catalog() -> Catalog:
    """What is on this machine."""
    return list_models(load_config().models.folders)


def fit_of(entry: Entry, family: Family | None = None) -> Fit:
    """What an entry needs under the default preset, beside what is free."""
    siblings = {other.facts.quant: other.facts for other in family.entries} if family else None
    return fit(entry.facts, Preset(), read_room(), features=cpu_features(), siblings=siblings)


def list_all(options: argparse.Namespace) -> int:
    """Print every family with its quants; what can't be used comes last, with its reason."""
    found = catalog()
    if options.json:
        write_json(
            {
                "families": [
                    {"name": family.name, "quants": [entry_object(entry) for entry in family.entries]} for family in found.families
                ],
                "companions": [str(entry.path) for entry in found.companions],
                "broken": [{"path": str(broken.path), "reason": str(broken.error)} for broken in found.broken],
                "unreadable": [{"path": str(folder.path), "reason": folder.reason} for folder in found.unreadable],
            }
        )
        return 0
    for family in found.families:
        sys.stdout.write(f"{visible(family.name)}\n")
        sys.stdout.writelines(f"  {line_of(entry)}\n" for entry in family.entries)
    if not found.families:
        sys.stdout.write("no models here; `xchat` brings a small one of its own\n")
    for broken in found.broken:
        sys.stdout.write(f"broken: {visible(str(broken.error))}\n")
    for folder in found.unreadable:
        sys.stdout.write(f"not readable: {visible(str(folder.path))}: {visible(folder.reason)}\n")
    return 0


def line_of(entry: Entry) -> str:
    """A file in a line: quant, size, real bits per weight, what it needs."""
    facts = entry.facts
    fitting = fit_of(entry)
    verdict = "" if fitting.fits else "  does not fit"
    return (
        f"{facts.quant:<10}{gib(facts.file_bytes):>10}{facts.bits_per_weight:>6.2f} bpw  needs {gib(fitting.estimate.needed):>9}{verdict}"
        f"  {entry.place}  {visible(str(entry.path))}"
    )


def entry_object(entry: Entry) -> dict[str, Any]:
    """A file for JSON."""
    facts = entry.facts
    fitting = fit_of(entry)
    return {
        "path": str(entry.path),
        "place": entry.place,
        "name": facts.name,
        "architecture": facts.architecture,
        "quant": facts.quant,
        "size_bytes": facts.file_bytes,
        "n_params": facts.n_params,
        "bits_per_weight": round(facts.bits_per_weight, 3),
        "n_ctx_train": facts.n_ctx_train,
        "licence": facts.licence,
        "chat_template": facts.has_template,
        "needed_bytes": fitting.estimate.needed,
        "fits": fitting.fits,
    }


def show(options: argparse.Namespace) -> int:
    """Print all that is known of a file or a family."""
    path = Path(options.model).expanduser()
    found = catalog()
    if path.exists():
        check_model(path)
        family = found.family_of(path.resolve()) or found.family_of(path)
        entries = [entry for entry in family.entries if path.samefile(entry.path)] if family else []
        if family is None or not entries:
            found = list_models([path.parent])
            family = found.family_of(path)
            entries = [entry for entry in family.entries if path.samefile(entry.path)] if family else []
    else:
        family = found.find(options.model)
        entries = list(family.entries) if family else []
    if family is None or not entries:
        raise ModelError(f"There is no model {options.model}", "", "`xchat models list` shows what is here.")
    if options.json:
        write_json([entry_object(entry) for entry in entries])
        return 0
    for entry in entries:
        write_facts(entry, family)
    return 0


def write_facts(entry: Entry, family: Family) -> None:
    """A file as a block of lines."""
    facts = entry.facts
    fitting = fit_of(entry, family)
    lines = {
        "file": str(entry.path),
        "name": facts.name,
        "architecture": facts.architecture,
        "parameters": size_label(facts.n_params),
        "quant": f"{facts.quant}, {facts.bits_per_weight:.2f} bits per weight",
        "size": gib(facts.file_bytes),
        "context": f"{facts.n_ctx_train:,} tokens",
        "template": "yes" if facts.has_template else "none; a plain format is used",
        "licence": facts.licence or "not said",
        "memory": fitting.sentence,
    }
    sys.stdout.writelines(f"{name:<14}{visible(value)}\n" for name, value in lines.items())
    sys.stdout.writelines(f"{'':<14}{remedy.sentence}\n" for remedy in fitting.remedies)
    sys.stdout.write("\n")


def add(options: argparse.Namespace) -> int:
    """Link or copy a file (all parts of a split one) into xchat's own folder, after looking whether it is a model."""
    checked = check_model(options.path.expanduser())
    for part in checked.parts:
        target = models_dir() / part.name
        if target.exists() or target.is_symlink():
            raise UsageError(f"{target} is there already", "", "Remove it first, or rename the file.")
        if options.copy:
            shutil.copyfile(part, target)
        else:
            os.symlink(part.resolve(), target)
        sys.stdout.write(f"{target}\n")
    return 0


def remove(options: argparse.Namespace) -> int:
    """Delete a file of xchat's own folder; files of others are never touched."""
    path = options.path.expanduser()
    path = path if path.is_absolute() or path.exists() else models_dir() / path
    if path.parent.resolve() != models_dir().resolve():
        raise UsageError(
            f"{path} is not in xchat's own folder", "xchat deletes only there", "Delete it with the program that put it there."
        )
    if not path.is_symlink() and not path.exists():
        raise ModelError(f"There is no file {path}", "", "`xchat models list` shows what is here.")
    if not options.yes and not confirmed(f"Delete {'the link ' if path.is_symlink() else ''}{path}?"):
        return 1
    path.unlink()
    return 0
