"""`xchat models`: the model files of this machine, their properties, and whether they fit into memory."""

from __future__ import annotations

import argparse
import shutil
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.config import load_config
from engine.errors import ModelError, StoreError, UsageError
from engine.guide import builtin
from engine.host.topology import cpu_features, read_room
from engine.model_ref import BUILTIN
from engine.models.catalog import Broken, Catalog, Entry, Family, list_models
from engine.models.check import check_model
from engine.models.facts import size_label
from engine.models.fit import Fit, fit
from engine.models.local import add as add_model
from engine.models.local import removal
from engine.models.local import remove as remove_model
from engine.models.locations import Place
from engine.numbers import byte_size, significant
from engine.paths import models_dir
from engine.presets.preset import Preset
from engine.session.model_finder import built_in_family
from engine.store.queries.speeds import MeasuredSpeeds, measured_speeds
from tui.choices import OtherQuant
from tui.cli.models_make import add_compare, add_pull, add_quantize
from tui.cli.output import confirmed, write_json
from tui.models.known_models import remote_rows, rows_of
from tui.models.table import Section, Sort, in_sections, model_table

if TYPE_CHECKING:
    from engine.remote.known import Listing

EXAMPLES = """\
examples:
  xchat models list
  xchat models show qwen3-4b
  xchat models pull
  xchat models pull hf:Qwen/Qwen3-4B-GGUF:Q4_K_M
  xchat models quantize builtin Q4_K_M
  xchat models compare builtin
  xchat models add ~/Downloads/model-Q4_K_M.gguf
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` to the command line."""
    parser = subparsers.add_parser(
        "models", help="model files of this machine", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|pull|quantize|add|remove")
    listing = verbs.add_parser("list", help="families and their quants, with the memory each needs; models of other engines")
    listing.add_argument("--sort", type=Sort, choices=[*Sort], default=Sort.FOUND, help="order of the rows (family)")
    listing.add_argument("--json", action="store_true", help="print one object")
    listing.set_defaults(run=list_all)
    showing = verbs.add_parser("show", help="one file, or one family")
    showing.add_argument("model", metavar="MODEL", help="a path, or the name of a family")
    showing.add_argument("--json", action="store_true", help="print one object")
    showing.set_defaults(run=show)
    add_pull(verbs)
    add_quantize(verbs)
    add_compare(verbs)
    adding = verbs.add_parser("add", help="link a file into xchat's own folder")
    adding.add_argument("path", type=Path, metavar="PATH")
    adding.add_argument("--copy", action="store_true", help="copy it instead")
    adding.add_argument("--json", action="store_true", help="print one object")
    adding.set_defaults(run=add)
    removing = verbs.add_parser("remove", help="delete a model from xchat's own folder or the Hugging Face cache")
    removing.add_argument("path", type=Path, metavar="PATH")
    removing.add_argument("--yes", action="store_true", help="do not ask")
    removing.add_argument("--json", action="store_true", help="print one object")
    removing.set_defaults(run=remove)


def catalog() -> Catalog:
    """Return the models of this machine."""
    return list_models(load_config().models.folders)


def speeds() -> MeasuredSpeeds:
    """Speeds measured on this host; empty, with a message on standard error, when the database can't be read."""
    try:
        return measured_speeds()
    except StoreError as error:
        sys.stderr.write(f"xchat: measured speeds are unavailable: {error}\n")
        return MeasuredSpeeds({})


def families(found: Catalog) -> tuple[Family, ...]:
    """Return the built-in model and the models found; a broken built-in model is reported on standard error."""
    try:
        return built_in_family(), *found.families
    except ModelError as error:
        sys.stderr.write(f"xchat: {error}\n")
        return found.families


def not_made(family: Family) -> list[str]:
    """Quants of the built-in model that are made on first use."""
    if family.entries[0].place is not Place.BUILT_IN:
        return []
    return [quant for quant in builtin.QUANTS if family.quant(quant) is None]


def fit_of(entry: Entry, family: Family | None = None) -> Fit:
    """Memory of an entry under the default preset, compared with what is available."""
    siblings = {other.facts.quant: other.facts for other in family.entries} if family else None
    return fit(entry.facts, Preset(), read_room(), features=cpu_features(), siblings=siblings)


def list_all(options: argparse.Namespace) -> int:
    """Print the models as a table: local ones, files that can't be loaded with the reason, and recommended ones."""
    asking = asked_engines()
    found, measured = catalog(), speeds()
    if options.json:
        write_json(
            {
                "engines": [msgspec.to_builtins(listing) for listing in listed(asking)],
                "families": [
                    {
                        "name": family.name,
                        "quants": [entry_object(entry, measured) for entry in family.entries],
                        "made_when_asked_for": not_made(family),
                    }
                    for family in families(found)
                ],
                "companions": [str(entry.path) for entry in found.companions],
                "broken": [{"path": str(broken.path), "reason": str(broken.error)} for broken in found.broken],
                "unreadable": [{"path": str(folder.path), "reason": folder.reason} for folder in found.unreadable],
            }
        )
        return 0
    rows = [model for model in rows_of(found, measured) if not isinstance(model.instead, OtherQuant)]
    table = model_table(shutil.get_terminal_size().columns, rows)
    sys.stdout.write(f"{table.heading(options.sort)}\n")
    for section, models in in_sections(rows, options.sort):
        if section is not Section.HERE:
            sys.stdout.write(f"{table.rule(section)}\n")
        sys.stdout.writelines(f"{table.row(model)}\n" for model in models)
    for folder in found.unreadable:
        sys.stdout.write(f"not readable: {folder.path}: {folder.reason}\n")
    sys.stdout.flush()  # what is here does not wait for other engines
    elsewhere = sorted(remote_rows(listed(asking)), key=lambda model: bool(model.problem))
    if elsewhere:
        sys.stdout.write(f"{table.rule(Section.REMOTE)}\n")
        sys.stdout.writelines(f"{table.row(model)}\n" for model in elsewhere)
    return 0


def asked_engines() -> Future[tuple[Listing, ...]] | None:
    """The lists of the configured engines, which arrive within seconds; None without any."""
    engines = load_config().engines
    if not engines:
        return None
    from engine.remote.listing import refresh

    return refresh(engines)


def listed(asking: Future[tuple[Listing, ...]] | None) -> tuple[Listing, ...]:
    """The lists that were asked for, once they are here."""
    return () if asking is None else asking.result()


def entry_object(entry: Entry, measured: MeasuredSpeeds) -> dict[str, Any]:
    """Return a file as a JSON object; `measured` is null where this host never ran it."""
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
        "measured": measured.of(entry.path),
        "kld": measured.kld(entry.path),
    }


def show(options: argparse.Namespace) -> int:
    """Print the properties of a file or a family."""
    family, entries = named(options.model)
    measured = speeds()
    if options.json:
        write_json([entry_object(entry, measured) for entry in entries])
        return 0
    for entry in entries:
        write_facts(entry, family, measured)
    return 0


def named(name: str) -> tuple[Family, list[Entry]]:
    """Find the family and the files of a name or a path.

    Raises:
        ModelError: There is no such model, or the file can't be used.
    """
    if name == BUILTIN:
        family = built_in_family()
        return family, list(family.entries)
    path, found = Path(name).expanduser(), catalog()
    if not path.exists():
        tagged = found.tagged(name)
        known = found.find(name) if tagged is None else found.family_of(tagged.path)
        if known is None:
            raise ModelError(f"There is no model {name}", "", "`xchat models list` lists the models.")
        return known, [tagged] if tagged is not None else list(known.entries)
    checked = check_model(path)
    of_file = found.family_of(path.resolve()) or found.family_of(path)
    entries = [entry for entry in of_file.entries if path.samefile(entry.path)] if of_file is not None else []
    if of_file is None or not entries:
        entry = Entry(checked.parts, Place.FOLDER, path.name, checked.facts)
        return Family(checked.facts.family_key, checked.facts.name, (entry,)), [entry]
    return of_file, entries


def write_facts(entry: Entry, family: Family, measured: MeasuredSpeeds) -> None:
    """Print a file as a block of lines."""
    facts = entry.facts
    fitting = fit_of(entry, family)
    lines = {
        "file": str(entry.path),
        "name": facts.name,
        "architecture": facts.architecture,
        "parameters": size_label(facts.n_params),
        "quant": f"{facts.quant}, {facts.bits_per_weight:.2f} bits per weight",
        "size": byte_size(facts.file_bytes),
        "context": f"{facts.n_ctx_train:,} tokens",
        "template": "yes" if facts.has_template else "none, a plain format is used",
        "licence": facts.licence or "unknown",
        "memory": fitting.sentence,
        "speed": speed_sentence(entry, measured),
    }
    sys.stdout.writelines(f"{name:<14}{value}\n" for name, value in lines.items())
    sys.stdout.writelines(f"{'':<14}{remedy.sentence}\n" for remedy in fitting.remedies)
    sys.stdout.write("\n")


def speed_sentence(entry: Entry, measured: MeasuredSpeeds) -> str:
    """Measured speed of a file on this host."""
    speed = measured.of(entry.path)
    if speed is None:
        return "not measured on this host yet"
    figures = {"decoding": speed.predicted_per_second, "prefilling": speed.prompt_per_second}
    speeds = ", ".join(f"{significant(value)} tokens/s {what}" for what, value in figures.items() if value is not None)
    if speed.disturbed:
        return f"~ {speeds} at least (no clean turn on this host yet)"
    return f"{speeds} (median of {speed.turns} clean turns on this host)" if speed.turns > 1 else f"{speeds} (one clean turn on this host)"


def add(options: argparse.Namespace) -> int:
    """Check a model file (all parts of a split one), and link or copy it into xchat's own folder."""
    links = add_model(check_model(options.path.expanduser()), copy=options.copy)
    if options.json:
        write_json({"paths": [str(link) for link in links]})
    else:
        sys.stdout.writelines(f"{link}\n" for link in links)
    return 0


def remove(options: argparse.Namespace) -> int:
    """Delete a model from xchat's own folder or the Hugging Face cache, never from elsewhere."""
    path = options.path.expanduser()
    path = path if path.is_absolute() or path.exists() else models_dir() / path
    if not path.is_symlink() and not path.exists():
        raise ModelError(f"There is no file {path}", "", "`xchat models list` lists the models.")
    entry = entry_at(path)
    going = removal(entry)
    if not options.yes and not confirmed(f"Delete {', '.join(f'the link {one}' if one.is_symlink() else str(one) for one in going)}?"):
        return 1
    freed = remove_model(entry)
    if options.json:
        write_json({"removed": [str(one) for one in going], "freed_bytes": freed})
    elif freed:
        sys.stderr.write(f"{byte_size(freed)} freed\n")
    return 0


def entry_at(path: Path) -> Entry | Broken:
    """Return the catalog entry of a file, broken ones too.

    Raises:
        UsageError: The file is not in a folder of models.
    """
    found = catalog()
    where = path.parent.resolve() / path.name
    models = (entry for family in found.families for entry in family.entries)
    known: tuple[Entry | Broken, ...] = (*models, *found.companions, *found.broken)
    for entry in known:
        if where in places_of(entry):
            return entry
    raise UsageError(
        f"{path} is not in xchat's own folder", "xchat deletes only files there", "Delete it with the program that created it."
    )


def places_of(entry: Entry | Broken) -> set[Path]:
    """Paths of its files; for a link its own path, not its target."""
    return {part.parent.resolve() / part.name for part in entry.parts}
