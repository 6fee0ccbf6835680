"""`xchat presets`: named settings of the engine."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.last_used import recall, remember
from engine.presets.folder import PresetFolder, Shelf
from engine.presets.foreign import VARIABLE_PREFIX, Imported, from_ini, from_variables
from engine.presets.preset import SETTINGS, Preset, value_of
from engine.presets.settings import KEYS, allowed, difference, parse_assignments, shown, with_text
from tui.cli.output import write_json
from tui.cli.preset_flags import DEFAULT, OWN_FLAGS, flags_of

EXAMPLES = """\
examples:
  xchat presets list
  xchat presets new mine --from daily threads=3 n_ctx=8k
  xchat presets set mine sampling.temperature=0.2
  xchat presets diff daily mine
  xchat presets keys                 what every setting means
  xchat presets use mine
  xchat presets import models.ini    every preset of a llama-server INI file
  xchat presets import               the LLAMA_ARG_* variables of this shell
"""


class WordsAnywhere(argparse.ArgumentParser):
    """Accepts positional arguments before and after options, as in `new NAME --from OTHER KEY=VALUE`."""

    _within = False

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """Parse intermixed arguments, for which argparse calls this method again."""
        if self._within:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `presets` to the command line."""
    parser = subparsers.add_parser(
        "presets", help="named settings of the engine", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|new|set|delete|use|diff|import|keys", parser_class=WordsAnywhere)
    listing = verbs.add_parser("list", help="all presets")
    listing.set_defaults(run=list_all)
    showing = verbs.add_parser("show", help="every setting, and what changing it costs")
    showing.add_argument("name", metavar="NAME")
    showing.set_defaults(run=show)
    making = verbs.add_parser("new", help="create one from another")
    making.add_argument("name", metavar="NAME")
    making.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    making.add_argument("--from", dest="origin", default=DEFAULT, metavar="OTHER", help=f"copy this one ({DEFAULT})")
    making.set_defaults(run=new)
    setting = verbs.add_parser("set", help="change settings of a preset")
    setting.add_argument("name", metavar="NAME")
    setting.add_argument("settings", nargs="+", metavar="KEY=VALUE")
    setting.set_defaults(run=change)
    deleting = verbs.add_parser("delete", help="delete a preset of your own")
    deleting.add_argument("name", metavar="NAME")
    deleting.set_defaults(run=delete)
    using = verbs.add_parser("use", help="use this preset at the next start")
    using.add_argument("name", metavar="NAME")
    using.set_defaults(run=use)
    comparing = verbs.add_parser("diff", help="compare two presets")
    comparing.add_argument("before", metavar="A")
    comparing.add_argument("after", metavar="B")
    comparing.set_defaults(run=diff)
    importing = verbs.add_parser(
        "import",
        help="import settings of llama.cpp's programs",
        description=f"Make presets of a llama-server INI file, one for each section, or of the {VARIABLE_PREFIX}* variables of this shell.",
    )
    importing.add_argument("path", nargs="?", type=Path, metavar="FILE", help="the INI file; without it, the variables")
    importing.add_argument("--name", default="imported", metavar="NAME", help="name of the preset made of the variables (imported)")
    importing.add_argument("--replace", action="store_true", help="replace presets of the same name")
    importing.set_defaults(run=import_foreign)
    naming = verbs.add_parser("keys", help="every setting: meaning, values, cost and flags")
    naming.add_argument("--markdown", action="store_true", help="print the table as in docs/settings.md")
    naming.set_defaults(run=keys)
    for verb in (listing, showing, making, setting, deleting, using, comparing, importing, naming):
        verb.add_argument("--json", action="store_true", help="print JSON")


def shelf() -> Shelf:
    """All presets; unreadable files are reported on standard error."""
    found = PresetFolder().load()
    sys.stderr.writelines(f"xchat: {problem}\n" for problem in found.problems)
    return found


def list_all(options: argparse.Namespace) -> int:
    """Print a line for each preset; a star marks the one used at the next start."""
    found = shelf()
    current = recall().preset or DEFAULT
    if options.json:
        write_json([{"name": name, "own": name in found.own, "description": preset.description} for name, preset in found.presets.items()])
        return 0
    width = max(map(len, found.presets))
    for name, preset in found.presets.items():
        mark = "*" if name == current else " "
        sys.stdout.write(f"{mark} {name:<{width}}  {'yours  ' if name in found.own else 'shipped'}  {preset.description}\n")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print every setting."""
    preset = shelf().get(options.name)
    if options.json:
        write_json(preset)
        return 0
    width = max(map(len, KEYS))
    for key, setting in SETTINGS.items():
        sys.stdout.write(f"{key:<{width}}  {shown(value_of(preset, key)):<16}  {setting.cost or ''}".rstrip() + "\n")
    return 0


def save(presets: Sequence[Preset], *, as_json: bool) -> int:
    """Save presets and print their paths, with JSON also their contents."""
    folder = PresetFolder()
    paths = [folder.save(preset) for preset in presets]
    if as_json:
        write_json([{"path": str(path), "preset": preset} for path, preset in zip(paths, presets, strict=True)])
    else:
        sys.stdout.writelines(f"{path}\n" for path in paths)
    return 0


def new(options: argparse.Namespace) -> int:
    """Create a preset from another."""
    found = shelf()
    if options.name in found.presets:
        raise UsageError(f"There is a preset {options.name!r} already", "", f"Change it with `xchat presets set {options.name} KEY=VALUE`.")
    origin = msgspec.structs.replace(found.get(options.origin), name=options.name, description="")
    return save([with_text(origin, parse_assignments(options.settings))], as_json=options.json)


def change(options: argparse.Namespace) -> int:
    """Change settings; a shipped preset is copied first."""
    return save([with_text(shelf().get(options.name), parse_assignments(options.settings))], as_json=options.json)


def delete(options: argparse.Namespace) -> int:
    """Delete a preset's file."""
    PresetFolder().delete(options.name)
    if options.json:
        write_json({"deleted": options.name})
    return 0


def use(options: argparse.Namespace) -> int:
    """Use a preset at the next start."""
    chosen = shelf().get(options.name)
    remember(preset=chosen.name)
    if options.json:
        write_json(chosen)
    return 0


def diff(options: argparse.Namespace) -> int:
    """Print the differences of two presets, with the cost of each."""
    found = shelf()
    changes = difference(found.get(options.before), found.get(options.after))
    if options.json:
        write_json([{"key": change.key, "before": change.before, "after": change.after, "cost": change.cost} for change in changes])
        return 0
    sys.stdout.writelines(f"{change}\n" for change in changes)
    if not changes:
        sys.stdout.write("no differences\n")
    return 0


def import_foreign(options: argparse.Namespace) -> int:
    """Import presets from another program's settings, all or none; report unknown settings."""
    found = shelf()
    imported = from_ini(options.path.expanduser()) if options.path is not None else (variables(options.name),)
    names = Counter(one.preset.name for one in imported)
    for name, times in names.items():
        if times > 1:
            raise UsageError(f"Two sections have the name {name!r}", "", "Rename one of them in the file.")
        if name in found.presets and not options.replace:
            raise UsageError(f"There is a preset {name!r} already", "", "Add --replace, or use another name for the imported one.")
    save([one.preset for one in imported], as_json=options.json)
    for one in imported:
        if one.left_out:
            sys.stderr.write(f"xchat: {one.preset.name}: unknown settings ignored: {', '.join(one.left_out)}\n")
    return 0


def variables(name: str) -> Imported:
    """The preset made of this shell's variables. Raises UsageError when there are none."""
    if not any(key.startswith(VARIABLE_PREFIX) for key in os.environ):
        raise UsageError(f"There are no {VARIABLE_PREFIX}* variables here", "", "Give the INI file of llama-server to import.")
    return from_variables(os.environ, name)


KEY_COLUMNS = ("key", "meaning", "values", "default", "cost", "KV state", "flags", "llama.cpp", "other names")


def key_rows() -> list[dict[str, str]]:
    """The registry of settings as rows of text by column."""
    return [
        {
            "key": key,
            "meaning": setting.meaning,
            "values": allowed(key),
            "default": shown(value_of(Preset(), key)),
            "cost": str(setting.cost or "none"),
            "KV state": "kept" if setting.keeps_kv else "prefilled again",
            "flags": " ".join(flags_of(key)) if key not in OWN_FLAGS else "",
            "llama.cpp": setting.llama,
            "other names": setting.others,
        }
        for key, setting in SETTINGS.items()
    ]


def keys(options: argparse.Namespace) -> int:
    """Print the registry of settings."""
    if options.json:
        write_json(key_rows())
    elif options.markdown:
        sys.stdout.write(markdown_table())
    else:
        sys.stdout.writelines(f"{row['key']}: {row['meaning']}\n    {row['values']} ({row['cost']})\n" for row in key_rows())
    return 0


def markdown_table() -> str:
    """The table of `docs/settings.md`."""
    lines = [KEY_COLUMNS, ("---",) * len(KEY_COLUMNS), *(tuple(row[column] for column in KEY_COLUMNS) for row in key_rows())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
