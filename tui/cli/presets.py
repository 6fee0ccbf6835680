"""`xchat presets`: named settings of the engine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.last_used import recall, remember
from engine.presets.folder import PresetFolder, Shelf
from engine.presets.foreign import VARIABLE_PREFIX, Imported, command_lines, from_command, from_variables, is_program
from engine.presets.preset import SETTINGS, Preset, value_of
from engine.presets.settings import KEYS, allowed, difference, parse_assignments, shown, with_text
from engine.presets.sharing import export, left_out, read, to_text
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
  xchat presets export all.toml      your presets in one file, to share
  xchat presets import all.toml --replace
  xchat presets import models.ini    every preset of a llama-server INI file
  xchat presets import               the LLAMA_ARG_* variables of this shell
  xchat presets import --name big -- llama-server -m big.gguf -c 16384 -ctk q8_0
"""


class WordsAnywhere(argparse.ArgumentParser):
    """Accepts positional arguments before and after options, as in `new NAME --from OTHER KEY=VALUE`; a command line follows `--`."""

    _within = False

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """Parse intermixed arguments, for which argparse calls this method again."""
        if self._within:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            words = list(args or ())
            if "--" not in words or not any(action.dest == "words" for action in self._actions):
                return self.parse_known_intermixed_args(words, namespace)
            end = words.index("--")
            parsed, unknown = self.parse_known_intermixed_args(words[:end], namespace)
            parsed.words = [*parsed.words, *words[end + 1 :]]
            return parsed, unknown
        finally:
            self._within = False


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `presets` to the command line."""
    parser = subparsers.add_parser(
        "presets", help="named settings of the engine", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(
        required=True, metavar="list|show|new|set|rename|delete|use|diff|export|import|keys", parser_class=WordsAnywhere
    )
    listing = verbs.add_parser("list", help="all presets")
    listing.set_defaults(run=list_all)
    showing = verbs.add_parser("show", help="every setting, and the cost of changing it")
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
    renaming = verbs.add_parser("rename", help="give a preset of your own another name")
    renaming.add_argument("name", metavar="NAME")
    renaming.add_argument("to", metavar="NEW")
    renaming.set_defaults(run=rename)
    deleting = verbs.add_parser("delete", help="delete a preset of your own")
    deleting.add_argument("name", metavar="NAME")
    deleting.set_defaults(run=delete)
    using = verbs.add_parser("use", help="use this preset from the next start on")
    using.add_argument("name", metavar="NAME")
    using.set_defaults(run=use)
    comparing = verbs.add_parser("diff", help="compare two presets")
    comparing.add_argument("before", metavar="A")
    comparing.add_argument("after", metavar="B")
    comparing.set_defaults(run=diff)
    exporting = verbs.add_parser("export", help="write presets to one file, to share")
    exporting.add_argument("path", metavar="FILE", help="the file; - is standard output")
    exporting.add_argument("names", nargs="*", metavar="NAME", help="the presets; without names, all of your own")
    exporting.add_argument("--replace", action="store_true", help="replace the file")
    exporting.set_defaults(run=export_all)
    importing = verbs.add_parser(
        "import",
        help="import presets of a file, or settings of llama.cpp's programs",
        description="Make presets of a file of `xchat presets export`, of llama-server's INI file (one for each section), of a file with "
        f"{VARIABLE_PREFIX}* lines or with llama-server command lines, of a command line after --, or of the {VARIABLE_PREFIX}* variables "
        "of this shell. Unknown settings are left out, counted and named.",
    )
    importing.add_argument("words", nargs="*", metavar="FILE", help="the file, or a whole command line; without it, the variables")
    importing.add_argument("--name", default="", metavar="NAME", help="name of a preset that has none of its own (the file's, or imported)")
    importing.add_argument("--replace", action="store_true", help="replace presets of the same name")
    importing.set_defaults(run=import_foreign)
    naming = verbs.add_parser("keys", help="every setting: meaning, values, cost and flags")
    naming.add_argument("--markdown", action="store_true", help="print the table as in docs/settings.md")
    naming.set_defaults(run=keys)
    for verb in (listing, showing, making, setting, renaming, deleting, using, comparing, exporting, importing, naming):
        verb.add_argument("--json", action="store_true", help="print JSON")


def shelf() -> Shelf:
    """Open all presets; report unreadable files on standard error."""
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


def rename(options: argparse.Namespace) -> int:
    """Give a preset another name."""
    PresetFolder().rename(options.name, options.to)
    if options.json:
        write_json({"renamed": options.name, "to": options.to})
    return 0


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


def export_all(options: argparse.Namespace) -> int:
    """Write presets to one file."""
    found = shelf()
    presets = [found.get(name) for name in options.names or [name for name in found.presets if name in found.own]]
    if not presets:
        raise UsageError("There is no preset of your own", "", "Name the presets to export, such as `daily`.")
    if options.path == "-":
        sys.stdout.write(to_text(presets))
    else:
        export(presets, Path(options.path).expanduser(), replace=options.replace)
        if options.json:
            write_json({"path": options.path, "presets": [preset.name for preset in presets]})
    return 0


def import_foreign(options: argparse.Namespace) -> int:
    """Import presets from a file or from another program's settings, all or none; report unknown settings."""
    found = shelf()
    imported = meant(options.words, options.name)
    for one in imported:
        if one.preset.name in found.presets and not options.replace:
            name = one.preset.name
            raise UsageError(f"There is a preset {name!r} already", "", "Add --replace, or use another name for the imported one.")
    save([one.preset for one in imported], as_json=options.json)
    if unknown := left_out(imported):
        sys.stderr.write(f"xchat: {unknown}\n")
    return 0


def meant(words: Sequence[str], name: str) -> tuple[Imported, ...]:
    """Return the presets of a file, of a command line in one word or in many, or of this shell's variables.

    Raises UsageError when there are none.
    """
    if not words:
        if not any(key.startswith(VARIABLE_PREFIX) for key in os.environ):
            raise UsageError(f"There are no {VARIABLE_PREFIX}* variables here", "", "Give a file, or a llama-server command line.")
        return (from_variables(os.environ, name or "imported"),)
    if any(map(is_program, words)):
        return (from_command(words, name or "imported"),)
    if len(words) == 1 and (lines := command_lines(words[0])):
        return (from_command(lines[0], name or "imported"),)
    if len(words) > 1:
        raise UsageError("One file is imported at a time", "", "A command line begins with llama-server, or another of its programs.")
    return read(Path(words[0]).expanduser(), name)


KEY_COLUMNS = ("key", "meaning", "values", "default", "cost", "KV state", "flags", "llama.cpp", "other names")


def key_rows() -> list[dict[str, str]]:
    """Return the registry of settings as rows of text by column."""
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
    """Return the table of `docs/settings.md`."""
    lines = [KEY_COLUMNS, ("---",) * len(KEY_COLUMNS), *(tuple(row[column] for column in KEY_COLUMNS) for row in key_rows())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
