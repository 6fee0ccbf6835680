"""Turns dialogues into training batches: token ids, a mask of what the guide says, and batches of neighbours in length.

Development only. Each dialogue is a sequence of its own, so attention never crosses from one into another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.guide.training.corpus.dialogues import Dialogue, Writer
from engine.guide.training.peers import ALONE, Peers
from engine.guide.training.template import heard
from engine.guide.training.tokens import END, SPECIAL, START, THINK, THINK_END

LATE_POOL = 79
"""Pools from which on the dialogues are late ones: what to leave to a real model is learned last."""
POOL = 1024
"""Dialogues that are sorted by length together, with the brief ones."""
BRIEF_EACH = 5
"""Brief dialogues for each whole one: telling questions apart is learned last, and these teach little else."""
BRIEF_TOKENS = 8
"""What is kept of a brief dialogue's last answer: its beginning shows whether the question was understood, the rest is known by then."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences; `taught` marks the positions whose next token the guide is to learn."""

    tokens: Tensor
    taught: Tensor
    asked: Tensor
    """Where a question ends, as indices into the flattened tokens."""
    subjects: Tensor
    """What each of these questions is about, as indices into `Writer.subjects`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A dialogue in tokens."""

    ids: list[int]
    said: list[bool]
    """Which of them the guide says itself."""
    asked: list[tuple[int, str]]
    """Where each question ends, and what it is about."""


def encode(dialogue: Dialogue, tokenizer: Tokenizer, longest: int, *, last_answer: int | None = None) -> Encoded:
    """A dialogue as the chat template writes it.

    `last_answer` leaves out what the last answer says after so many tokens.
    """
    special = {name: int(tokenizer.token_to_id(name)) for name in SPECIAL}
    newline = tokenizer.encode("\n").ids
    ids: list[int] = []
    said: list[bool] = []
    asked: list[tuple[int, str]] = []

    def add(tokens: list[int], *, by_guide: bool) -> None:
        ids.extend(tokens)
        said.extend([by_guide] * len(tokens))

    def text(words: str) -> list[int]:
        return list(tokenizer.encode(words).ids)

    if dialogue.system is not None:
        add([special[START], *text(f"system\n{dialogue.system}"), special[END], *newline], by_guide=False)
    last = len(dialogue.turns) - 1
    for number, ((question, answer), thought) in enumerate(zip(dialogue.turns, dialogue.thoughts, strict=True)):
        add(
            [special[START], *text(f"user\n{heard(question)}"), special[END], *newline, special[START], *text("assistant\n")],
            by_guide=False,
        )
        if dialogue.subjects and len(ids) <= longest:
            asked.append((len(ids) - 1, dialogue.subjects[number]))
        if thought is not None and number == last:
            add([special[THINK], *newline], by_guide=False)
            add([*text(f"{thought}\n"), special[THINK_END], *text("\n\n")], by_guide=True)
        words = [*text(answer), special[END]]
        if number == last and last_answer is not None:
            add(words[:last_answer], by_guide=True)
            break
        add(words, by_guide=True)
        add(newline, by_guide=False)
    return Encoded(ids[:longest], said[:longest], asked)


def batches(
    writer: Writer, tokenizer: Tokenizer, *, seed: int, pool: int, batch_tokens: int, longest: int, peers: Peers = ALONE
) -> Iterator[Batch]:
    """The batches of one pool, in an order that mixes long and short; among peers those of this process, as many as each of them has."""
    rng = Random(f"{seed}:pool:{pool}")
    late = pool >= LATE_POOL
    numbers = range(pool * POOL, (pool + 1) * POOL)
    encoded = [encode(writer.dialogue(seed, number, late=late), tokenizer, longest) for number in numbers]
    brief = range(pool * POOL * BRIEF_EACH, (pool + 1) * POOL * BRIEF_EACH)
    encoded += [encode(writer.brief(seed, number, late=late), tokenizer, longest, last_answer=BRIEF_TOKENS) for number in brief]
    encoded.sort(key=lambda entry: len(entry.ids))
    groups: list[list[Encoded]] = [[]]
    for entry in encoded:
        if groups[-1] and (len(groups[-1]) + 1) * len(entry.ids) > batch_tokens:
            groups.append([])
        groups[-1].append(entry)
    rng.shuffle(groups)
    groups = groups[: len(groups) // peers.count * peers.count][peers.rank :: peers.count]
    number_of = {subject: number for number, subject in enumerate(writer.subjects)}
    for group in groups:
        longest_here = len(group[-1].ids)
        tokens = torch.zeros(len(group), longest_here, dtype=torch.long)
        taught = torch.zeros(len(group), longest_here, dtype=torch.bool)
        asked: list[tuple[int, int]] = []
        for row, entry in enumerate(group):
            tokens[row, : len(entry.ids)] = torch.tensor(entry.ids)
            taught[row, : len(entry.ids) - 1] = torch.tensor(entry.said[1:])
            asked += [(row * longest_here + at, number_of[subject]) for at, subject in entry.asked]
        places, subjects = torch.tensor(asked, dtype=torch.long).view(-1, 2).unbind(1)
        yield Batch(tokens, taught, places, subjects)
