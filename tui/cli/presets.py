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
    """Takes its words before and after its options, as in `new NAME --from OTHER KEY=VALUE`."""

    _within = False

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """What a parser of subcommands calls; argparse's own way to mix words and options calls it again for each."""
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
    making = verbs.add_parser("new", help="make one from another")
    making.add_argument("name", metavar="NAME")
    making.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    making.add_argument("--from", dest="origin", default=DEFAULT, metavar="OTHER", help=f"start from this one ({DEFAULT})")
    making.set_defaults(run=new)
    setting = verbs.add_parser("set", help="change settings of a preset")
    setting.add_argument("name", metavar="NAME")
    setting.add_argument("settings", nargs="+", metavar="KEY=VALUE")
    setting.set_defaults(run=change)
    deleting = verbs.add_parser("delete", help="delete a preset of your own")
    deleting.add_argument("name", metavar="NAME")
    deleting.set_defaults(run=delete)
    using = verbs.add_parser("use", help="start with this preset from now on")
    using.add_argument("name", metavar="NAME")
    using.set_defaults(run=use)
    comparing = verbs.add_parser("diff", help="what differs between two presets")
    comparing.add_argument("before", metavar="A")
    comparing.add_argument("after", metavar="B")
    comparing.set_defaults(run=diff)
    importing = verbs.add_parser(
        "import",
        help="make presets of what llama.cpp's programs are set up with",
        description=f"Make presets of a llama-server INI file, one for each section, or of the {VARIABLE_PREFIX}* variables of this shell.",
    )
    importing.add_argument("path", nargs="?", type=Path, metavar="FILE", help="the INI file; without one, the variables")
    importing.add_argument("--name", default="imported", metavar="NAME", help="what the preset of the variables is called (imported)")
    importing.add_argument("--replace", action="store_true", help="replace presets of the same name")
    importing.set_defaults(run=import_foreign)
    naming = verbs.add_parser("keys", help="every setting: what it means, may be and costs, and its flags")
    naming.add_argument("--markdown", action="store_true", help="the tables as docs/settings.md has them")
    naming.set_defaults(run=keys)
    for verb in (listing, showing, making, setting, deleting, using, comparing, importing, naming):
        verb.add_argument("--json", action="store_true", help="print JSON")


def shelf() -> Shelf:
    """All presets; files that can't be read are told on standard error."""
    found = PresetFolder().load()
    sys.stderr.writelines(f"xchat: {problem}\n" for problem in found.problems)
    return found


def list_all(options: argparse.Namespace) -> int:
    """Print a line for each preset; a star marks the one that xchat starts with."""
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
    """Write presets and say where; as JSON, what they are now."""
    folder = PresetFolder()
    paths = [folder.save(preset) for preset in presets]
    if as_json:
        write_json([{"path": str(path), "preset": preset} for path, preset in zip(paths, presets, strict=True)])
    else:
        sys.stdout.writelines(f"{path}\n" for path in paths)
    return 0


def new(options: argparse.Namespace) -> int:
    """Make a preset from another."""
    found = shelf()
    if options.name in found.presets:
        raise UsageError(f"There is a preset {options.name!r} already", "", f"Change it with `xchat presets set {options.name} KEY=VALUE`.")
    origin = msgspec.structs.replace(found.get(options.origin), name=options.name, description="")
    return save([with_text(origin, parse_assignments(options.settings))], as_json=options.json)


def change(options: argparse.Namespace) -> int:
    """Change settings; of a shipped preset an own copy is made."""
    return save([with_text(shelf().get(options.name), parse_assignments(options.settings))], as_json=options.json)


def delete(options: argparse.Namespace) -> int:
    """Delete a preset's file."""
    PresetFolder().delete(options.name)
    if options.json:
        write_json({"deleted": options.name})
    return 0


def use(options: argparse.Namespace) -> int:
    """Remember a preset for the next start."""
    chosen = shelf().get(options.name)
    remember(preset=chosen.name)
    if options.json:
        write_json(chosen)
    return 0


def diff(options: argparse.Namespace) -> int:
    """Print what differs, with what each change costs."""
    found = shelf()
    changes = difference(found.get(options.before), found.get(options.after))
    if options.json:
        write_json([{"key": change.key, "before": change.before, "after": change.after, "cost": change.cost} for change in changes])
        return 0
    sys.stdout.writelines(f"{change}\n" for change in changes)
    if not changes:
        sys.stdout.write("nothing differs\n")
    return 0


def import_foreign(options: argparse.Namespace) -> int:
    """Make presets of another program's settings: all of them, or none when one can't be; what means nothing here is told."""
    found = shelf()
    imported = from_ini(options.path.expanduser()) if options.path is not None else (variables(options.name),)
    names = Counter(one.preset.name for one in imported)
    for name, times in names.items():
        if times > 1:
            raise UsageError(f"Two sections would both be called {name!r}", "", "Rename one of them in the file.")
        if name in found.presets and not options.replace:
            raise UsageError(f"There is a preset {name!r} already", "", "Say --replace, or give the imported one another name.")
    save([one.preset for one in imported], as_json=options.json)
    for one in imported:
        if one.left_out:
            sys.stderr.write(f"xchat: {one.preset.name}: there is no such setting here: {', '.join(one.left_out)}\n")
    return 0


def variables(name: str) -> Imported:
    """The preset of this shell's variables. Raises UsageError when there are none."""
    if not any(key.startswith(VARIABLE_PREFIX) for key in os.environ):
        raise UsageError(f"There are no {VARIABLE_PREFIX}* variables here", "", "Name the INI file of llama-server that is to be imported.")
    return from_variables(os.environ, name)


KEY_COLUMNS = ("key", "meaning", "values", "default", "cost", "KV state", "flags", "llama.cpp", "other names")


def key_rows() -> list[dict[str, str]]:
    """What the registry says of each setting, as text by column."""
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
    """Print what the registry says of every setting."""
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
