"""The parts of the documents that are made from the program: `python -m tests.documents` writes them, a test compares.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

from engine.config import settings
from engine.doctor.finding import Group
from engine.doctor.registry import CHECKS
from engine.metrics.alerts import THRESHOLDS
from tui.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
PART = re.compile(r"(<!-- made: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def commands() -> str:
    """Every command with its purpose and its examples."""
    return "\n".join(
        f"## `xchat {name}`\n\n{purpose[0].upper()}{purpose[1:]}.\n{examples(name)}" for name, (_, purpose) in COMMANDS.items()
    )


def examples(command: str) -> str:
    """The examples of a command's help, as a block of code; nothing where its help has none."""
    subparsers = argparse.ArgumentParser(prog="xchat").add_subparsers()
    importlib.import_module(COMMANDS[command][0]).add_parser(subparsers)
    lines = (subparsers.choices[command].epilog or "").splitlines()
    shown = [line.strip() for line in lines if line.strip().startswith("xchat ")]
    return f"\n```sh\n{chr(10).join(shown)}\n```\n" if shown else ""


def config_keys() -> str:
    """Every key of config.toml."""
    rows = (f"| `{one.key}` | `{'none' if one.default is None else one.default}` | {one.description} |\n" for one in settings().values())
    return f"| key | default | meaning |\n| --- | --- | --- |\n{''.join(rows)}"


def alerts() -> str:
    """Every alert with its default limit."""
    rows = (f"| `{one.id}` | {one.default:g} | {one.sentence.format(value=0, limit=one.default)} | {one.advice} |\n" for one in THRESHOLDS)
    return f"| key | default | alert | what helps |\n| --- | --- | --- | --- |\n{''.join(rows)}"


def checks() -> str:
    """Every check of the doctor by its group."""
    rows = (f"| {group} | {', '.join(f'{one.title} (`{one.id}`)' for one in CHECKS if one.group is group)} |\n" for group in Group)
    return f"| of the | checks |\n| --- | --- |\n{''.join(rows)}"


PARTS: dict[str, Callable[[], str]] = {"commands": commands, "config": config_keys, "alerts": alerts, "checks": checks}


def made(text: str) -> str:
    """A document with its parts as they should be."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[4]}", text)


def documents() -> list[Path]:
    """All documents that a person reads."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> int:
    """Write the parts."""
    for path in documents():
        path.write_text(made(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
