"""A scripted load that is killed at random moments, over and over, on one database: `python -m tests.engine.store.kill_rounds FILE 20`.

Each round forks a child that chats as fast as it can and tells through a pipe what it was promised: `T id` after a turn was saved, `S n`
after sample n was queued. It gets SIGKILL at a random moment. Then the file must be whole and hold every turn that was promised.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.records import new_message_id
from engine.store.batch import BATCH_ROWS
from engine.store.sqlite.connect import open_writer
from engine.store.writer import Store
from tests.engine.store.records import answer, sample, turn, user

LONGEST_ROUND_S = 0.15


@dataclass
class Outcome:
    """What the rounds showed."""

    rounds: int = 0
    turns_promised: int = 0
    turns_lost: int = 0
    samples_queued: int = 0
    most_samples_lost: int = 0
    damaged: int = 0
    crashes_noticed: int = 0


async def _chat(path: Path, pipe: int) -> None:
    store = await Store.open(path)
    session_id = await store.create_session("load", 1)
    queued = 0
    while True:
        asked = replace(user("a question " * 20), id=new_message_id(None))
        said = replace(answer("an answer " * 200, asked.id), id=new_message_id(asked.id))
        await store.save_message(session_id, asked)
        await store.mark_answering(session_id, True)
        for _ in range(3):
            store.put_sample(sample(session_id))
            queued += 1
        os.write(pipe, f"S {queued}\n".encode())
        await store.save_turn(turn(session_id, said, asked=asked, tokens=200), said)
        os.write(pipe, f"T {said.id}\n".encode())


def _round(path: Path, moment_s: float) -> tuple[list[int], int]:
    """Run the load for a while and kill it; returns the turns it was promised and the number of samples it queued."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        asyncio.run(_chat(path, write_end))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as told:
        first = told.readline()
        time.sleep(moment_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = [first, *told]
    words = [line.split() for line in lines if line.endswith(b"\n")]
    return [int(value) for kind, value in words if kind == b"T"], max(int(value) for kind, value in words if kind == b"S")


def run(path: Path, rounds: int, seed: int = 1) -> Outcome:
    """All rounds."""
    choose = random.Random(seed)
    outcome = Outcome()
    for _ in range(rounds):
        before = _samples(path)
        promised, queued = _round(path, choose.uniform(0, LONGEST_ROUND_S))
        db = open_writer(path)
        saved = {identity for (identity,) in db.execute("SELECT t.id FROM turns AS t JOIN messages AS m ON m.id = t.id")}
        outcome.rounds += 1
        outcome.turns_promised += len(promised)
        outcome.turns_lost += len(set(promised) - saved)
        outcome.samples_queued += queued
        outcome.most_samples_lost = max(outcome.most_samples_lost, queued - (_samples(path) - before))
        outcome.damaged += db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
        db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
        db.close()
        outcome.crashes_noticed += asyncio.run(_notices_a_crash(path))
    return outcome


def _samples(path: Path) -> int:
    db = open_writer(path)
    (count,) = db.execute("SELECT count(*) FROM samples").fetchone()
    db.close()
    return int(count)


async def _notices_a_crash(path: Path) -> bool:
    store = await Store.open(path)
    await store.close()
    return store.unclean_end


ACCEPTABLE_LOSS = 2 * BATCH_ROWS
"""Samples of one batch that was waiting and of one that was on its way."""

if __name__ == "__main__":
    print(json.dumps(asdict(run(Path(sys.argv[1]), int(sys.argv[2])))))  # noqa: T201
