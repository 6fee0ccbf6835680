"""What a person waits for in the session browser, on a database at its intended size, in the whole program without a terminal.

    python -m tests.bench.bench_sessions [--database FILE] [--scale 1.0] [--repeats 5]

Makes the database of `bench_store` unless one is given. Every figure runs from the key to the first frame that shows what was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from textual.widgets import Input, OptionList

from engine.store.queries.sessions import page_of_branch
from tests.bench.bench_store import Words, make
from tests.tui.host import screen_text
from tests.tui.program import Running, program
from tui.chat.screen import ChatScreen
from tui.library.sessions import SessionsScreen

LONG = 1
"""The session of the most messages, and how many it has at least."""
LENGTH = 1_000


def report(name: str, times: list[float], target: float | None = None) -> None:
    verdict = "" if target is None else f"  target {target:g} ms{'' if median(times) <= target else '  MISSED'}"
    print(f"{name:48} first {times[0]:7.1f} ms, median {median(times):7.1f} ms{verdict}", flush=True)


async def shown(run: Running, holds: Callable[[], bool]) -> None:
    """Return when this holds and the frame that shows it is out."""
    deadline = time.perf_counter() + 60
    while not holds():
        if time.perf_counter() > deadline:
            raise TimeoutError(screen_text(run.app))
        await asyncio.sleep(0.001)
    painted = asyncio.Event()
    run.app.screen.call_after_refresh(painted.set)
    await painted.wait()


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return (time.perf_counter() - began) * 1e3


def options(run: Running) -> int:
    screen = run.app.screen
    return screen.query_one(OptionList).option_count if isinstance(screen, SessionsScreen) and screen.is_mounted else 0


async def measure(database: Path, size: tuple[int, int], repeats: int) -> None:
    words = Words()
    async with program(database=database, size=size) as run:

        async def browse() -> None:
            run.app.do("sessions")
            await shown(run, lambda: options(run) > 0)

        async def close() -> None:
            await run.pilot.press("escape")
            await shown(run, lambda: isinstance(run.app.screen, ChatScreen))

        opened = []
        for _ in range(repeats + 1):
            opened.append(await timed(browse))
            await close()
        report(f"{size[0]}x{size[1]}: the browser opens", opened, 200)

        await browse()
        screen = run.app.screen
        assert isinstance(screen, SessionsScreen)

        async def typed(text: str, *, hits: bool) -> None:
            screen.query_one(Input).value = text
            await shown(run, lambda: any(entry.hit for entry in screen._entries) is hits)

        for name, text in (
            ("commonest", words.word(0)),
            ("common", words.word(50)),
            ("rare", words.word(9_000)),
            ("beginning", words.word(300)[:3]),
        ):
            found = []
            for _ in range(repeats + 1):
                found.append(await timed(lambda text=text: typed(text, hits=True)))  # type: ignore[misc]
                await typed("", hits=False)
            report(f"{size[0]}x{size[1]}: a search, {name} word", found, 150)
        await close()

        session = run.session
        last = (await session.library.reader.read(page_of_branch, LONG, limit=1))[-1].text.split()[-1]
        resumed = []
        for _ in range(repeats + 1):
            session.new_session()
            await shown(run, lambda: not session.branch)

            async def resume() -> None:
                await run.chat.library.resume(LONG)
                await shown(run, lambda: len(session.branch) >= LENGTH)

            resumed.append(await timed(resume))
            assert last in screen_text(run.app)
        report(f"{size[0]}x{size[1]}: 2,000 messages, their end", resumed, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = chosen.database or Path(folder) / "xchat.db"
        if chosen.database is None:
            make(database, chosen.scale)
        for size in ((80, 24), (200, 50)):
            asyncio.run(measure(database, size, chosen.repeats))


if __name__ == "__main__":
    main()
