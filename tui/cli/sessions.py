"""`xchat sessions`: find, read, compare, change and import saved conversations."""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from textwrap import wrap
from typing import Any

import msgspec

from engine.chat.importing import read_conversations
from engine.chat.outline import OutlineRow, outline
from engine.config import load_config
from engine.errors import StoreError, UsageError
from engine.metrics.side_by_side import Side, side_by_side
from engine.models.kv_files import KvFolder
from engine.numbers import milliseconds, significant
from engine.paths import database_path
from engine.records import Message, SessionInfo, TurnRecord
from engine.session.explained import explain
from engine.session.kv_states import forget_states
from engine.store.erase import contents_of
from engine.store.queries.regression import find_regressions
from engine.store.queries.search import HIT_END, HIT_START, search_messages
from engine.store.queries.sessions import (
    SessionFilter,
    count_sessions,
    find_sessions,
    newest_session,
    page_of_branch,
    read_session,
    session_info,
)
from engine.store.queries.turns import turns_of
from engine.store.reader import Reader
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store
from engine.text import one_line
from tui.cli.output import Progress, confirmed, write_json, write_sequence
from tui.cli.reading import open_reader
from tui.text.table import heading, table_row
from tui.text.turn_table import advice, columns_for, difference_row, side_heading, side_layout
from tui.text.wording import count, what_goes

EXAMPLES = """\
examples:
  xchat sessions list --search "kv cache"
  xchat sessions show 12
  xchat sessions show last --json | jq '.turns[].predicted_per_second'
  xchat sessions performance last --beside 12
  xchat sessions import conversations.json
  xchat sessions delete 12
"""

IMPORTED = """\
Makes sessions of the conversations in FILE. xchat reads its own chat exports (`export --what chat` as json or jsonl, `sessions show
--json`, and the Markdown of `export --what chat --format md`), the exports of the llama.cpp web UI (json, jsonl, zip),
ChatGPT, Claude, LM Studio and Open WebUI, `llm logs --json`, and lists of messages. Tool results and images are left out and
counted.
"""

LAST = "last"

OUTLINE_CHARACTERS = 200
"""Characters of a message in an outline."""
SLOWEST = 3
"""Number of slow turns whose causes are printed."""
TURNS_COMPARED = 20
"""Number of newest turns compared with this host's history; each takes a query."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `sessions` to the command line."""
    parser = subparsers.add_parser(
        "sessions", help="saved conversations", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|search|performance|rename|pin|unpin|delete|import")
    listing = verbs.add_parser("list", help="the newest first")
    add_filter(listing)
    listing.add_argument("--search", default="", metavar="WORDS", help="only sessions that contain the words")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="list at most N (50)")
    listing.add_argument("--json", action="store_true", help="print one array")
    listing.set_defaults(run=runner(list_sessions))
    showing = verbs.add_parser("show", help="one conversation")
    showing.add_argument("id", metavar="ID", help="its number, or `last`")
    showing.add_argument("--branches", action="store_true", help="print an outline of all branches instead of the texts")
    showing.add_argument("--json", action="store_true", help="print one object, with the timings of every turn")
    showing.set_defaults(run=runner(show_session))
    searching = verbs.add_parser("search", help="sessions by title, and the messages that match best")
    searching.add_argument("words", nargs="+", metavar="WORDS")
    add_filter(searching)
    searching.add_argument("--limit", type=int, default=20, metavar="N", help="at most N messages (20)")
    searching.add_argument("--json", action="store_true", help="print one array; those found by title have no message_id")
    searching.set_defaults(run=runner(search))
    measuring = verbs.add_parser("performance", help="the turns of a session as a table, with regressions against this host's history")
    measuring.add_argument("id", metavar="ID", help="its number, or `last`")
    measuring.add_argument("--beside", metavar="ID", help="compare it with this session")
    measuring.set_defaults(run=runner(performance))
    renaming = verbs.add_parser("rename", help="rename a session")
    renaming.add_argument("id", metavar="ID")
    renaming.add_argument("title", metavar="TITLE")
    renaming.set_defaults(run=runner(rename))
    for name, pinned in (("pin", True), ("unpin", False)):
        pinning = verbs.add_parser(name, help="pin a session to the top of the list" if pinned else "unpin a session")
        pinning.add_argument("id", metavar="ID")
        pinning.set_defaults(run=runner(pin), pinned=pinned)
    importing = verbs.add_parser("import", help="conversations from a file", description=IMPORTED)
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.set_defaults(run=runner(import_sessions))
    deleting = verbs.add_parser("delete", help="delete for good: messages, turns, samples and search index")
    deleting.add_argument("id", metavar="ID")
    deleting.add_argument("--yes", action="store_true", help="do not ask")
    deleting.set_defaults(run=runner(delete))


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Add the options that filter a list."""
    parser.add_argument("--model", metavar="NAME", help="only sessions with a turn of this model")
    parser.add_argument("--quant", metavar="QUANT", help="only sessions with a turn of this quant")
    parser.add_argument("--preset", metavar="NAME", help="only sessions with a turn of this preset")
    parser.add_argument("--since", type=date_ms, metavar="DATE", help="only sessions changed on this day or later (2026-11-20)")
    parser.add_argument("--until", type=date_ms, metavar="DATE", help="only sessions changed before this day")


def date_ms(text: str) -> int:
    """Parse a local date to Unix milliseconds."""
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a date such as 2026-11-20") from error


def runner(command: Callable[[argparse.Namespace], Awaitable[int]]) -> Callable[[argparse.Namespace], int]:
    """Wrap a coroutine function as a command."""

    def run(options: argparse.Namespace) -> int:
        return asyncio.run(_await(command(options)))

    return run


async def _await(work: Awaitable[int]) -> int:
    return await work


def filter_of(options: argparse.Namespace, words: str) -> SessionFilter:
    """Return the filter of the options."""
    return SessionFilter(words, options.model, options.quant, options.preset, options.since, options.until)


async def list_sessions(options: argparse.Namespace) -> int:
    """Print a line, or an object, for each session."""
    async with open_reader() as reader:
        wanted = filter_of(options, options.search)
        sessions, total = await reader.read(find_sessions, wanted, limit=options.limit), await reader.read(count_sessions, wanted)
    if options.json:
        write_json(sessions)
    elif not sessions:
        sys.stdout.write("no sessions\n")
    else:
        sys.stdout.writelines(line_of(session) for session in sessions)
        if len(sessions) < total:
            sys.stdout.write(f"{len(sessions):,} of {count(total, 'session')}; --limit {total} lists all\n")
    return 0


def line_of(session: SessionInfo) -> str:
    """Format a session as one row."""
    when = datetime.fromtimestamp(session.updated_ms / 1000).astimezone()
    model = " ".join(filter(None, (session.model, session.quant)))
    marks = "".join((" (pinned)" if session.pinned else "", " (interrupted)" if session.interrupted else ""))
    return f"{session.id:>5}  {when:%Y-%m-%d %H:%M}  {count(session.n_turns, 'turn'):>9}  {session.title}{marks}  {model}\n"


async def session_id_of(reader: Reader, text: str) -> int:
    """Parse the id of a session.

    Raises:
        UsageError: It is not a number.
        StoreError: It is `last` and there is no session.
    """
    if text == LAST:
        newest = await reader.read(newest_session)
        if newest is None:
            raise StoreError("There are no sessions yet", "", "Start one with `xchat`.")
        return newest.id
    if not text.isdecimal():
        raise UsageError(f"{text} is not a session", "sessions have numbers", "`xchat sessions list` shows them.")
    return int(text)


async def show_session(options: argparse.Namespace) -> int:
    """Print the open branch of a session as text, or all of it as JSON."""
    async with open_reader() as reader:
        stored = await reader.read(read_session, await session_id_of(reader, options.id))
        branch = await reader.read(page_of_branch, stored.info.id, stored.info.head_id, limit=len(stored.messages) or 1)
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
    if options.branches:
        sys.stdout.writelines(outline_line(row, turns) for row in outline(stored.messages, stored.info.head_id))
        return 0
    for message in branch:
        sys.stdout.write(f"\n{message.role.capitalize()}{status_of(message)}:\n{message.text}\n")
        if message.id in turns:
            sys.stdout.write(f"[{figures_of(turns[message.id])}]\n")
    return 0


def outline_line(row: OutlineRow, turns: Mapping[int, TurnRecord]) -> str:
    """Format a message, or a folded run of them, as a row; `*` marks the open branch."""
    indent = f"{'*' if row.shown else ' '} {'  ' * row.depth}"
    if row.folded:
        return f"{indent}… {len(row.messages):,} messages\n"
    version = f" {row.version}/{row.versions}" if row.versions > 1 else ""
    turn = turns.get(row.message.id)
    speed = turn.timings.predicted_per_second if turn is not None else None
    text = one_line((row.message.text or row.message.thinking)[:OUTLINE_CHARACTERS])
    return f"{indent}{row.message.role.capitalize()}{version}{f' [{significant(speed)} tokens/s]' if speed else ''}: {text}\n"


def as_object(message: Message) -> dict[str, Any]:
    """Return a message as a JSON object, without token ids."""
    built: dict[str, Any] = msgspec.to_builtins(message)
    del built["tokens"], built["tokens_of"]
    return built


def turn_object(turn: TurnRecord) -> dict[str, Any]:
    """Return a turn as a flat JSON object with llama-server's names."""
    built: dict[str, Any] = msgspec.to_builtins(turn)
    del built["timings"], built["token_ns"], built["preset_json"]
    return built | turn.timings.as_dict()


def status_of(message: Message) -> str:
    """Return the status of an incomplete message."""
    return "" if message.status == "complete" else f" ({message.status})"


def figures_of(turn: TurnRecord) -> str:
    """Return the speed of a turn in llama.cpp's terms."""
    timings = turn.timings
    parts = [f"{timings.predicted_n} tokens"]
    if timings.predicted_per_second is not None:
        parts.append(f"{significant(timings.predicted_per_second)} tokens/s")
    if timings.ttft_ms is not None:
        parts.append(f"TTFT {milliseconds(timings.ttft_ms)}")
    parts.append(f"prompt {timings.prompt_n} + {timings.cache_n} reused")
    return ", ".join(parts)


async def search(options: argparse.Namespace) -> int:
    """Print sessions with matching titles, and the best matching messages."""
    async with open_reader() as reader:
        words = " ".join(options.words)
        by_title = replace(filter_of(options, ""), title=words)
        titled = await reader.read(find_sessions, by_title, limit=await reader.read(count_sessions, by_title))
        hits = await reader.read(search_messages, filter_of(options, words), limit=options.limit)
    if options.json:
        write_json([*({"session": session, "message_id": None, "snippet": session.title} for session in titled), *hits])
        return 0
    sys.stdout.writelines(line_of(session) for session in titled)
    marks = {HIT_START: "\x1b[1m", HIT_END: "\x1b[22m"}
    for hit in hits:
        sys.stdout.write(f"{hit.session.id:>5}  {hit.session.title}\n       ")
        for part in re.split(f"([{HIT_START}{HIT_END}])", " ".join(hit.snippet.split())):
            if part in marks:
                write_sequence(marks[part], sys.stdout)
            else:
                sys.stdout.write(part)
        sys.stdout.write("\n")
    more = "+" if len(hits) == options.limit > 0 else ""
    found = f"{count(len(titled), 'title')}, {len(hits):,}{more} in messages"
    sys.stdout.write(f"{found if titled or hits else 'no matches'}\n")
    return 0


async def performance(options: argparse.Namespace) -> int:
    """Print the turns of a session, or two sessions side by side."""
    async with open_reader() as reader:
        one = await side_of(reader, options.id)
        if options.beside is not None:
            write_comparison(one, await side_of(reader, options.beside))
            return 0
        explained = await explain(reader, one.turns)
        slow = {turn.id: found for turn in one.turns[-TURNS_COMPARED:] if (found := await reader.read(find_regressions, turn))}
    width = shutil.get_terminal_size().columns
    columns = columns_for(width)
    sys.stdout.write(f"{one.name}\n{heading(columns)}\n")
    sys.stdout.writelines(f"{table_row(columns, number, turn)}\n" for number, turn in enumerate(one.turns, start=1))
    numbers = {turn.id: number for number, turn in enumerate(one.turns, start=1)}
    sentences = [f"turn {numbers[turn]:,}: {found.sentence}" for turn, regressions in slow.items() for found in regressions]
    for each in sorted(explained, key=lambda each: -each.seconds)[:SLOWEST]:
        sentences += [f"turn {numbers[each.turn.id]:,}, {each.seconds:.1f} s: {cause.words}" for cause in each.causes]
    for sentence in sentences:
        sys.stdout.writelines(f"{line}\n" for line in wrap(sentence, width, subsequent_indent="  "))
    return 0


async def side_of(reader: Reader, session: str) -> Side:
    """Return the turns of a session as a side of a comparison."""
    info = await reader.read(session_info, await session_id_of(reader, session))
    return Side(f"{info.id}: {one_line(info.title)}", await reader.read(turns_of, info.id))


def write_comparison(left: Side, right: Side) -> None:
    """Print the medians of both sides."""
    layout = side_layout(shutil.get_terminal_size().columns)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in side_heading(left, right, layout))
    sys.stdout.writelines(f"{difference_row(row, layout)}\n" for row in side_by_side(left, right))
    sys.stdout.writelines(f"{sentence}\n" for sentence in advice(left, right))


async def rename(options: argparse.Namespace) -> int:
    """Rename a session."""
    return await change(options.id, lambda store, session_id: store.rename(session_id, options.title))


async def pin(options: argparse.Namespace) -> int:
    """Pin or unpin a session."""
    return await change(options.id, lambda store, session_id: store.pin(session_id, options.pinned))


async def import_sessions(options: argparse.Namespace) -> int:
    """Import the conversations of a file and print a line for each."""
    sessions = await asyncio.to_thread(read_conversations, options.file.expanduser())
    store = await open_store()
    try:
        with Progress("importing", "sessions") as progress:
            for number, session in enumerate(sessions, start=1):
                session_id = await store.import_session(session.title, session.created_ms, session.messages)
                left_out = named(session.left_out)
                count = f"{len(session.messages):,} message{'s' if len(session.messages) > 1 else ''}"
                sys.stdout.write(f"{session_id:>5}  {one_line(session.title)}  {count}{left_out}\n")
                progress.show(number, len(sessions))
    finally:
        await store.close()
    return 0


def named(left_out: Mapping[str, int]) -> str:
    """Count and name the parts that an import left out; empty when there are none."""
    if not left_out:
        return ""
    kinds = ", ".join(f"{times:,} {one_line(kind)}" for kind, times in left_out.items())
    return f", {sum(left_out.values()):,} left out: {kinds}"


async def delete(options: argparse.Namespace) -> int:
    """Ask for confirmation and delete a session."""
    async with open_reader() as reader:
        info = await reader.read(session_info, await session_id_of(reader, options.id))
        contents = await reader.read(contents_of, info.id)
    if not options.yes and not confirmed(f"{what_goes(info, contents)} Delete session {info.id}?"):
        return 1
    done = await change(str(info.id), lambda store, session_id: store.delete_session(session_id))
    forget_states(info.id, KvFolder())
    return done


async def change(session: str, job: Callable[[Store, int], Awaitable[None]]) -> int:
    """Run `job` on one stored session."""
    async with open_reader() as reader:
        info = await reader.read(session_info, await session_id_of(reader, session))
    store = await open_store()
    try:
        await job(store, info.id)
    finally:
        await store.close()
    return 0


async def open_store() -> Store:
    """Open the database with the config's tuning profile."""
    config = load_config().database
    return await Store.open(database_path(), Profile.of(config.profile, config.pragmas))
