"""`xchat ask`: one prompt, one answer, on standard output."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from engine.attachments.attach import attach
from engine.attachments.read import read_picture
from engine.backend import StopReason
from engine.config import Config, load_config
from engine.errors import EngineError, UsageError, XchatError
from engine.events import AnswerGrew, Event, LoggingChanged, Notice, TurnFinished
from engine.guide.respelling import ActionNames
from engine.llama.redirect import redirect_native_output
from engine.messages import constraint_of
from engine.paths import log_path
from engine.presets.preset import Preset
from engine.session.open import first_model, open_session
from engine.session.session import Session
from engine.store.errors import StoreFullError, StoreLockedError
from tui.actions.registry import action_names
from tui.cli.output import guarded, write_json_text
from tui.cli.preset_flags import add_preset_flags, preset_of

LOCK_NOTICE_S = 0.5
"""A database that is locked for longer is reported."""
LOCK_WAIT_S = 30.0
"""Longest wait for a locked database; after it the answer is not saved."""

EXAMPLES = """\
examples:
  xchat ask "What is a KV cache?"
  xchat ask "Explain @main.py and @src/*.py"
  xchat ask --image screenshot.png "What is wrong here?"
  git log -5 | xchat ask "Summarise these commits" -n 200 --temp 0
  xchat ask "Three colours with their hex codes" --json-schema colours.json | jq
  xchat ask "Say hello" --json | jq .timings.predicted_per_second
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ask` to the command line."""
    parser = subparsers.add_parser(
        "ask", help="answer one prompt on standard output", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "prompt", nargs="*", metavar="PROMPT", help="the prompt, with files as @PATH; piped standard input is appended to it"
    )
    parser.add_argument(
        "--image", metavar="FILE", action="append", default=[], help="send a picture with the prompt; may be given several times"
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help="a GGUF file, or `builtin`")
    parser.add_argument("--json", action="store_true", help="print one object: text, stop_reason, model, timings")
    parser.add_argument("--no-log", action="store_true", help="do not save this as a session")
    add_preset_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answer one prompt; returns the exit code."""
    prompt = read_prompt(options.prompt)
    prompt = "\n\n".join((prompt, *(read_picture(Path(name), name).text for name in options.image)))
    real = redirect_native_output(log_path())
    sys.stdout, sys.stderr = guarded(real.stdout), guarded(real.stderr)
    return asyncio.run(answer(options, prompt))


def read_prompt(words: list[str]) -> str:
    """Join the words of the command line and piped input, in this order.

    Raises:
        UsageError: Both are missing.
    """
    parts = [attached(" ".join(words))] if words else []
    if not sys.stdin.isatty():
        parts.append(sys.stdin.buffer.read().decode("utf-8", "replace"))
    prompt = "\n\n".join(part for part in parts if part.strip())
    if not prompt:
        raise UsageError("There is no prompt", "", 'Use `xchat ask "…"`, or pipe text into it.')
    return prompt


def attached(text: str) -> str:
    """Attach the files that a text names after `@`. Raises UsageError for a file that can't be attached."""
    found = attach(text, Path.cwd())
    if found.left_out:
        raise UsageError("A file can't be attached", found.left_out[0], "Remove it from the prompt, or name other files.")
    return found.whole


async def answer(options: argparse.Namespace, prompt: str) -> int:
    """Load the model, send the prompt, stream the answer."""
    config = load_config()
    preset = msgspec.structs.replace(preset_of(options, config), stream_batch=1)
    model = first_model(None, config, preset)
    session = await open_session(preset, config, model=model, log=not options.no_log, parallel=1)
    session.turns.action_names = names_of(config)
    session.subscribe(report)
    try:
        await session.load(model, preset, force=options.force)
        return await converse(session, prompt, as_json=options.json)
    finally:
        await wait_for_lock(session)
        await session.close()


async def wait_for_lock(session: Session) -> None:
    """Wait while another program locks the database, at most LOCK_WAIT_S or until a signal; unsaved answers are lost after that."""
    saving = asyncio.ensure_future(session.library.saved())
    await asyncio.wait([saving], timeout=LOCK_NOTICE_S)
    if not saving.done() and isinstance(session.logging_error, StoreLockedError):
        sys.stderr.write(f"xchat: waiting for the database to be unlocked, at most {LOCK_WAIT_S:.0f} s; Ctrl+C ends xchat at once\n")
        on_signals(saving.cancel)
        await asyncio.wait([saving], timeout=LOCK_WAIT_S)
        if saving.cancelled() or not saving.done():
            sys.stderr.write("xchat: the database is still locked: this answer was not saved\n")
    saving.cancel()


def names_of(config: Config) -> dict[str, ActionNames]:
    """Keys and slash commands of each action, with the user's changes."""
    if not config.keys:
        return action_names()
    from tui.actions.bindings import resolve  # imports Textual, so only if needed

    return action_names(resolve(config.keys).keys)


async def converse(session: Session, prompt: str, *, as_json: bool) -> int:
    """Send `prompt` and stream the answer; Ctrl+C stops it and keeps the partial answer.

    So do SIGTERM, SIGHUP and a closed output.

    Raises:
        OSError: The output can't be written: its reader is gone, or the disk is full.
    """
    finished: asyncio.Future[TurnFinished] = asyncio.get_running_loop().create_future()
    unwritten: OSError | None = None
    held = ""

    def on_event(event: Event) -> None:
        nonlocal unwritten, held
        if isinstance(event, AnswerGrew) and not as_json and unwritten is None:
            if event.moved:
                held = "\n\n" if sys.stdout.isatty() else ""
            held += event.text
            if event.may_move and not sys.stdout.isatty():  # output to a pipe can't be withdrawn
                return
            try:
                sys.stdout.write(held)
                sys.stdout.flush()
            except OSError as error:
                unwritten = error
                session.stop()
            held = ""
        elif isinstance(event, TurnFinished):
            finished.set_result(event)

    if session.logging_error is not None:
        report(LoggingChanged(False, session.logging_error))
    session.subscribe(on_event)
    on_signals(session.stop)
    session.send(prompt)
    end = await finished
    if unwritten is not None:
        raise unwritten
    if as_json:
        write_json_text(msgspec.json.encode(as_object(end)).decode() + "\n")
    else:
        sys.stdout.write(held + ("\n" if end.answer.text and not end.answer.text.endswith("\n") else ""))
    sys.stdout.flush()
    return exit_code(end, session.preset)


def on_signals(stop: Callable[[], object]) -> None:
    """Call `stop` on SIGINT, SIGTERM and SIGHUP; except ignored ones, as SIGHUP is under nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stop)


def exit_code(end: TurnFinished, preset: Preset) -> int:
    """Return the exit code of a finished answer; report one that is not all of its form.

    Raises:
        XchatError: The answer failed.
    """
    if end.error is not None:
        raise end.error
    if end.turn.stop_reason is StopReason.ERROR:
        raise EngineError("The answer ended with an error", end.turn.error or "")
    if end.turn.stop_reason is StopReason.LENGTH and constraint_of(preset) is not None:
        sys.stderr.write("xchat: the answer was cut by max_tokens or the context window: it is only a beginning of the form\n")
    return 130 if end.turn.stop_reason is StopReason.CANCELLED else 0


def as_object(end: TurnFinished) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "text": end.answer.text,
        "stop_reason": end.turn.stop_reason,
        "model": end.turn.model,
        "timings": end.turn.timings.as_dict(),
    }


def report(event: Event) -> None:
    """Print notices and logging errors on standard error."""
    if isinstance(event, LoggingChanged):
        if event.error is not None:
            waits = isinstance(event.error, StoreLockedError | StoreFullError)
            state = "" if event.on else "this answer is not saved yet: " if waits else "this answer is not logged: "
            sys.stderr.write(f"xchat: {state}{event.error}\n")
    elif isinstance(event, Notice):
        error = XchatError(event.title, event.detail, event.hint)
        sys.stderr.write(f"xchat: {error}\n")
