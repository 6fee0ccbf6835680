"""`xchat locate`: paths of xchat's files."""

from __future__ import annotations

import argparse
import sys

from engine import paths
from engine.config import config_path

PLACES = {
    "config": config_path,
    "data": paths.data_dir,
    "db": paths.database_path,
    "logs": paths.log_path,
    "models": paths.models_dir,
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `locate` to the command line."""
    parser = subparsers.add_parser("locate", help="print where xchat keeps its files", epilog="example: sqlite3 $(xchat locate db)")
    parser.add_argument("what", choices=[*PLACES], nargs="?", help="print one path; without it, all")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print one path, or all."""
    if options.what:
        sys.stdout.write(f"{PLACES[options.what]()}\n")
    else:
        for name, place in PLACES.items():
            sys.stdout.write(f"{name:<8}{place()}\n")
    return 0
