"""`xchat keys`: the actions with their keys, and the input that this terminal sends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tui.actions.registry import ACTIONS, Action, Group, Scope, display_key

INTRODUCTION = """\
Every action with its keys and slash commands. Each key can be changed in `config.toml` (`xchat locate config`): under `[keys]` an action's
id, which `xchat keys --list` shows, gets a key or a list of keys, or `""` for none."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys` to the command line."""
    parser = subparsers.add_parser(
        "keys", help="show what this terminal sends for each key", epilog="example: xchat keys --list | grep -i session"
    )
    parser.add_argument("--list", action="store_true", help="list the actions with their keys and slash commands instead")
    parser.add_argument("--markdown", action="store_true", help="print the list as in docs/keys.md")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table, or read the keyboard."""
    if options.markdown:
        sys.stdout.write(markdown_page())
    elif options.list:
        for action in ACTIONS:
            sys.stdout.write(f"{action.id:<20}{keys_of(action):<26}{slashes_of(action):<28}{action.sentence}\n")
    else:
        from tui.cli.key_probe import watch

        watch()
    return 0


def markdown_page() -> str:
    """Return the page docs/keys.md."""
    return f"# Keys\n\n{INTRODUCTION}\n\n{markdown_table()}"


def markdown_table() -> str:
    """Return a Markdown table per group."""
    return "\n".join(table(group.value, (action for action in ACTIONS if action.group is group)) for group in Group)


def table(title: str, actions: Iterable[Action]) -> str:
    """One Markdown table of keys."""
    rows = (f"| {action.sentence}{where(action)} | {keys_of(action)} | {slashes_of(action)} |\n" for action in actions)
    return f"| {title} | key | or type |\n| --- | --- | --- |\n{''.join(rows)}"


def where(action: Action) -> str:
    """Where the keys of an action work, if not everywhere."""
    return "" if action.scope is Scope.APP else f" ({action.scope.value})"


def keys_of(action: Action) -> str:
    """Keys of an action for display."""
    return ", ".join(map(display_key, action.keys))


def slashes_of(action: Action) -> str:
    """Slash commands of an action, followed by the argument."""
    argument = action.argument if action.needs_argument or not action.argument else f"[{action.argument}]"
    return f"{', '.join(f'/{name}' for name in action.slash)} {argument}".strip()
