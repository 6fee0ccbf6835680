"""The `xchat` command: opens the screen, or runs a subcommand without it."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engine import __version__
from engine.errors import UsageError, XchatError, of_memory
from engine.paths import HINT, is_own
from tui.cli.output import guarded_output

COMMANDS: dict[str, tuple[str, str]] = {
    "ask": ("tui.cli.ask", "answer one prompt on standard output"),
    "batch": ("tui.cli.batch", "answer a file of prompts in parallel"),
    "serve": ("tui.cli.serving.serve", "serve the model over HTTP: the APIs of OpenAI, Anthropic, Ollama and llama-server"),
    "sessions": ("tui.cli.sessions", "list, show, search, compare, rename, pin, delete and import saved conversations"),
    "models": ("tui.cli.models", "list, show, pull, quantize, add and remove model files"),
    "presets": ("tui.cli.presets", "list, show, make, change, compare and choose presets"),
    "stats": ("tui.cli.stats", "print the numbers of the running xchat, or of the last session"),
    "profile": ("tui.cli.profile", "record a run; list, show, compare, export and delete captures"),
    "bench": ("tui.cli.lab.bench", "measure prefill and decode speed, as llama-bench does"),
    "load": ("tui.cli.lab.load", "load-test an OpenAI-compatible server: latency and throughput as its clients see them"),
    "race": ("tui.cli.lab.race", "compare the speed of settings, presets and quants, with a verdict"),
    "tune": ("tui.cli.lab.tune", "find the fastest settings for a model, and verify the gain"),
    "runs": ("tui.cli.lab.runs", "list, show, compare and delete the results of bench, race and tune"),
    "export": ("tui.cli.export", "write performance logs as csv, json, jsonl, md, html or llama-bench rows"),
    "cache": ("tui.cli.cache", "look after the result cache: stats, clear, warm"),
    "db": ("tui.cli.db", "look after the database: stats, check, backup, vacuum, repair, retain, bench"),
    "quality": ("tui.cli.lab.quality", "perplexity and KL divergence of quants and KV types"),
    "doctor": ("tui.cli.lab.doctor", "find what slows the engine on this machine, and how to fix it"),
    "devices": ("tui.cli.lab.devices", "list what the native library can compute on: CPU, GPUs"),
    "keys": ("tui.cli.keys", "show what this terminal delivers for each key, or list the actions"),
    "config": ("tui.cli.config", "show, edit and check config.toml"),
    "locate": ("tui.cli.locate", "print where xchat keeps its files"),
}
"""Subcommand, its module and its purpose. A module is imported only when its command is used."""

EXIT_INTERRUPTED = 130
CLOSE = 0.75
"""Least similarity to a command (ratio of `difflib`) for a word to count as a typo and not as a model."""

EPILOG = """\
commands:
{commands}

examples:
  xchat                              chat with the model used last, or the built-in guide
  xchat ~/models/qwen3-4b-q4_k_m.gguf
  xchat --resume                     resume the newest session
  git diff | xchat ask "Review this change" -n 400
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `xchat ARGV`; returns the exit code: 0, 1 other errors, 2 usage, 3 model, 4 engine, 130 interrupted."""
    arguments, debug = without_debug(list(sys.argv[1:] if argv is None else argv))
    open_closed_streams()
    with guarded_output():
        return run(arguments, debug=debug)


def run(arguments: list[str], *, debug: bool) -> int:
    """Run a command, print its errors, and return an exit code."""
    try:
        options = parse(arguments)
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has ended (`xchat … | head`).
        discard_output()
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost handler: unexpected errors are reported as a sentence
        if debug:
            traceback.print_exc()
        reported = in_words(error)
        discard_output()
        sys.stderr.write(f"xchat: {reported}\n")
        return reported.exit_code


def without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Remove `--debug` from anywhere among the flags; returns the rest and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [argument for argument in arguments[:end] if argument != "--debug"]
    return flags + arguments[end:], len(flags) < end


def in_words(error: Exception) -> XchatError:
    """Convert an error to one with a readable message."""
    if isinstance(error, XchatError):
        return error
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        hint = HINT if _no_own_folder(error) else "`--debug` shows where it happened."
        return XchatError(f"{error.strerror}{where}", "", hint)
    if (refused := of_memory(error)) is not None:
        return refused
    return XchatError(f"Internal error: {type(error).__name__}", str(error), "`--debug` shows where it happened.")


def _no_own_folder(error: OSError) -> bool:
    """Return whether one of xchat's own folders can't be created or written; another XDG folder would help then."""
    unusable = error.errno in {errno.EACCES, errno.EROFS, errno.ENOENT}
    return unusable and isinstance(error.filename, str) and is_own(Path(error.filename))


def discard_output() -> None:
    """Flush standard output, or redirect it to the null device so that the interpreter does not fail at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_closed_streams() -> None:
    """Open the null device for standard streams that were closed before the start.

    Otherwise the next opened file, such as the database, would get the stream's descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


class Parser(argparse.ArgumentParser):
    """Reports errors of the command line as UsageError."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage, which can be longer than a screen."""
        raise UsageError(message, "", f"Run `{self.prog} --help` for usage.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; `run` of the result is the function to call. Exits on `--help`.

    Raises:
        UsageError: The command line is invalid.
    """
    command = arguments[0] if arguments else None
    if command in COMMANDS:
        parser = Parser(prog=f"xchat {command}", allow_abbrev=False)
        subparsers = parser.add_subparsers(required=True, prog="xchat")
        importlib.import_module(COMMANDS[command][0]).add_parser(subparsers)
        return parser.parse_args(arguments)
    if command and command.isalpha() and not os.path.exists(command) and (meant := nearest_command(command)):
        raise UsageError(f"There is no command {command}, and no such file", "", f"Did you mean `xchat {meant}`?")
    return screen_parser(preset_flags=any(word.startswith("-") for word in arguments)).parse_args(arguments)


def nearest_command(word: str) -> str | None:
    """Return the command most similar to a word; None if none is close."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, COMMANDS, n=1, cutoff=CLOSE)), None)


def screen_parser(*, preset_flags: bool = True) -> argparse.ArgumentParser:
    """Return the options of `xchat` without a subcommand."""
    from tui.cli import screen

    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items())
    parser = Parser(
        prog="xchat",
        allow_abbrev=False,
        description="Chat with a local language model in the terminal, with the engine's instrument panel beside it.",
        epilog=EPILOG.format(commands=commands),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks; works with every command")
    parser.add_argument("--version", action="version", version=f"xchat {__version__}")
    screen.add_arguments(parser, preset_flags=preset_flags)
    return parser


if __name__ == "__main__":
    sys.exit(main())
