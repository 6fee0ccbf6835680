"""`xchat sessions`: find saved conversations, read them, rename and delete them."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from engine.config import load_config
from engine.errors import StoreError, UsageError
from engine.paths import database_path
from engine.records import Message, SessionInfo, TurnRecord
from engine.store.profile import Profile
from engine.store.queries import Reader, SessionFilter
from engine.store.search import HIT_END, HIT_START
from engine.store.store import Store
from tui.cli.output import confirmed, write_json
from tui.sanitize import visible

EXAMPLES = """\
examples:
  xchat sessions list --search "kv cache"
  xchat sessions show 12
  xchat sessions show last --json | jq '.turns[].predicted_per_second'
  xchat sessions delete 12
"""

LAST = "last"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `sessions` to the command line."""
    parser = subparsers.add_parser(
        "sessions", help="saved conversations", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|search|rename|delete")
    listing = verbs.add_parser("list", help="the newest first")
    add_filter(listing)
    listing.add_argument("--search", default="", metavar="WORDS", help="only those in which the words occur")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (50)")
    listing.add_argument("--json", action="store_true", help="print one array")
    listing.set_defaults(run=runner(list_sessions))
    showing = verbs.add_parser("show", help="one conversation")
    showing.add_argument("id", metavar="ID", help="its number, or `last`")
    showing.add_argument("--json", action="store_true", help="print one object, with the timings of every turn")
    showing.set_defaults(run=runner(show_session))
    searching = verbs.add_parser("search", help="the messages that match best")
    searching.add_argument("words", nargs="+", metavar="WORDS")
    add_filter(searching)
    searching.add_argument("--limit", type=int, default=20, metavar="N", help="at most N (20)")
    searching.add_argument("--json", action="store_true", help="print one array")
    searching.set_defaults(run=runner(search))
    renaming = verbs.add_parser("rename", help="give it another title")
    renaming.add_argument("id", metavar="ID")
    renaming.add_argument("title", metavar="TITLE")
    renaming.set_defaults(run=runner(rename))
    deleting = verbs.add_parser("delete", help="delete for good: messages, turns, samples and search index")
    deleting.add_argument("id", metavar="ID")
    deleting.add_argument("--yes", action="store_true", help="do not ask")
    deleting.set_defaults(run=runner(delete))


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Options that narrow a list."""
    parser.add_argument("--model", metavar="NAME", help="only sessions with a turn of this model")
    parser.add_argument("--quant", metavar="QUANT", help="only sessions with a turn of this quant")
    parser.add_argument("--preset", metavar="NAME", help="only sessions with a turn of this preset")
    parser.add_argument("--since", type=date_ms, metavar="DATE", help="only those changed on this day or later (2026-11-20)")
    parser.add_argument("--until", type=date_ms, metavar="DATE", help="only those changed before this day")


def date_ms(text: str) -> int:
    """A day of the local calendar as Unix milliseconds."""
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no date such as 2026-11-20") from error


def runner(command: Callable[[argparse.Namespace], Awaitable[int]]) -> Callable[[argparse.Namespace], int]:
    """A coroutine as what argparse calls."""

    def run(options: argparse.Namespace) -> int:
        return asyncio.run(_await(command(options)))

    return run


async def _await(work: Awaitable[int]) -> int:
    return await work


def filter_of(options: argparse.Namespace, words: str) -> SessionFilter:
    """What the filter options say."""
    return SessionFilter(words, options.model, options.quant, options.preset, options.since, options.until)


async def list_sessions(options: argparse.Namespace) -> int:
    """Print a line, or an object, for each session."""
    reader = await Reader.open(database_path())
    try:
        sessions = await reader.sessions(filter_of(options, options.search), limit=options.limit)
    finally:
        await reader.close()
    if options.json:
        write_json(sessions)
    elif not sessions:
        sys.stdout.write("no sessions\n")
    else:
        sys.stdout.writelines(line_of(session) for session in sessions)
    return 0


def line_of(session: SessionInfo) -> str:
    """A session in a line."""
    when = datetime.fromtimestamp(session.updated_ms / 1000).astimezone()
    model = " ".join(filter(None, (session.model, session.quant)))
    marks = "".join((" (pinned)" if session.pinned else "", " (interrupted)" if session.interrupted else ""))
    return f"{session.id:>5}  {when:%Y-%m-%d %H:%M}  {session.n_turns:>3} turns  {visible(session.title)}{marks}  {visible(model)}\n"


async def session_id_of(reader: Reader, text: str) -> int:
    """The number that the person means.

    Raises:
        UsageError: It is no number.
        StoreError: `last` was asked for and there is no session.
    """
    if text == LAST:
        newest = await reader.last()
        if newest is None:
            raise StoreError("There are no sessions yet", "", "Start one with `xchat`.")
        return newest.id
    if not text.isdecimal():
        raise UsageError(f"{text} is not a session", "sessions have numbers", "`xchat sessions list` shows them.")
    return int(text)


async def show_session(options: argparse.Namespace) -> int:
    """Print a conversation: the branch that was looked at last as text, or all of it as JSON."""
    reader = await Reader.open(database_path())
    try:
        stored = await reader.session(await session_id_of(reader, options.id))
        branch = await reader.page(stored.info.id, stored.info.head_id, limit=len(stored.messages) or 1)
    finally:
        await reader.close()
    if options.json:
        write_json(
            {
                "session": stored.info,
                "messages": [as_object(message) for message in stored.messages],
                "turns": [*map(turn_object, stored.turns)],
            }
        )
        return 0
    turns = {turn.id: turn for turn in stored.turns}
    sys.stdout.write(line_of(stored.info))
    for message in branch:
        sys.stdout.write(f"\n{message.role.capitalize()}{status_of(message)}:\n{visible(message.text)}\n")
        if message.id in turns:
            sys.stdout.write(f"[{figures_of(turns[message.id])}]\n")
    return 0


def as_object(message: Message) -> dict[str, Any]:
    """A message for JSON; its token ids are of no use outside."""
    built: dict[str, Any] = msgspec.to_builtins(message)
    del built["tokens"], built["tokens_of"]
    return built


def turn_object(turn: TurnRecord) -> dict[str, Any]:
    """A turn for JSON: flat, under llama-server's names."""
    built: dict[str, Any] = msgspec.to_builtins(turn)
    del built["timings"], built["token_ns"], built["preset_json"]
    return built | turn.timings.as_dict()


def status_of(message: Message) -> str:
    """How whole a message is, if it isn't."""
    return "" if message.status == "complete" else f" ({message.status})"


def figures_of(turn: TurnRecord) -> str:
    """The speed of a turn in llama.cpp's words."""
    timings = turn.timings
    parts = [f"{timings.predicted_n} tokens"]
    if timings.predicted_per_second is not None:
        parts.append(f"{timings.predicted_per_second:.1f} tokens/s")
    if timings.ttft_ms is not None:
        parts.append(f"TTFT {timings.ttft_ms:.0f} ms")
    parts.append(f"prompt {timings.prompt_n} + {timings.cache_n} reused")
    return ", ".join(parts)


async def search(options: argparse.Namespace) -> int:
    """Print the messages that match best."""
    reader = await Reader.open(database_path())
    try:
        hits = await reader.search(filter_of(options, " ".join(options.words)), limit=options.limit)
    finally:
        await reader.close()
    if options.json:
        write_json(hits)
        return 0
    bold, plain = ("\x1b[1m", "\x1b[22m") if sys.stdout.isatty() else ("", "")
    for hit in hits:
        marks = {HIT_START: bold, HIT_END: plain}
        parts = re.split(f"([{HIT_START}{HIT_END}])", " ".join(hit.snippet.split()))
        shown = "".join(marks.get(part, visible(part)) for part in parts)
        sys.stdout.write(f"{hit.session.id:>5}  {visible(hit.session.title)}\n       {shown}\n")
    if not hits:
        sys.stdout.write("no messages match\n")
    return 0


async def rename(options: argparse.Namespace) -> int:
    """Give a session another title."""
    return await change(options.id, lambda store, session_id: store.rename(session_id, options.title))


async def delete(options: argparse.Namespace) -> int:
    """Delete a session after saying what goes."""
    reader = await Reader.open(database_path())
    try:
        stored = await reader.session(await session_id_of(reader, options.id))
    finally:
        await reader.close()
    what = f"{len(stored.messages)} messages and {len(stored.turns)} turns"
    if not options.yes and not confirmed(f"Delete session {stored.info.id}, {stored.info.title} ({what}) for good?"):
        return 1
    return await change(str(stored.info.id), lambda store, session_id: store.delete_session(session_id))


async def change(session: str, job: Callable[[Store, int], Awaitable[None]]) -> int:
    """Do something to one stored session."""
    config = load_config()
    reader = await Reader.open(database_path())
    try:
        info = await reader.info(await session_id_of(reader, session))
    finally:
        await reader.close()
    store = await Store.open(database_path(), Profile.of(config.database.profile, config.database.pragmas))
    try:
        await job(store, info.id)
    finally:
        await store.close()
    return 0
