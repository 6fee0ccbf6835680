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

from engine.demo.corpus.dialogues import Dialogue, Writer
from engine.demo.tokens import END, SPECIAL, START, THINK, THINK_END

POOL = 1024
"""Dialogues that are sorted by length together, with the brief ones."""
BRIEF_EACH = 2
"""Brief dialogues for each whole one: telling questions apart is learned last, and these teach little else."""
BRIEF_TOKENS = 14
"""What is kept of a brief dialogue's last answer: its beginning shows whether the question was understood, the rest is known by then."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences; `taught` marks the positions whose next token the guide is to learn."""

    tokens: Tensor
    taught: Tensor


def encode(dialogue: Dialogue, tokenizer: Tokenizer, longest: int, *, last_answer: int | None = None) -> tuple[list[int], list[bool]]:
    """The ids of a dialogue as the chat template writes it, and which of them the guide says itself.

    `last_answer` leaves out what the last answer says after so many tokens.
    """
    special = {name: int(tokenizer.token_to_id(name)) for name in SPECIAL}
    newline = tokenizer.encode("\n").ids
    ids: list[int] = []
    said: list[bool] = []

    def add(tokens: list[int], *, by_guide: bool) -> None:
        ids.extend(tokens)
        said.extend([by_guide] * len(tokens))

    def text(words: str) -> list[int]:
        return list(tokenizer.encode(words).ids)

    if dialogue.system is not None:
        add([special[START], *text(f"system\n{dialogue.system}"), special[END], *newline], by_guide=False)
    last = len(dialogue.turns) - 1
    for number, ((question, answer), thought) in enumerate(zip(dialogue.turns, dialogue.thoughts, strict=True)):
        add([special[START], *text(f"user\n{question}"), special[END], *newline, special[START], *text("assistant\n")], by_guide=False)
        if thought is not None and number == last:
            add([special[THINK], *newline], by_guide=False)
            add([*text(f"{thought}\n"), special[THINK_END], *text("\n\n")], by_guide=True)
        words = [*text(answer), special[END]]
        if number == last and last_answer is not None:
            add(words[:last_answer], by_guide=True)
            break
        add(words, by_guide=True)
        add(newline, by_guide=False)
    return ids[:longest], said[:longest]


def batches(writer: Writer, tokenizer: Tokenizer, *, seed: int, pool: int, batch_tokens: int, longest: int) -> Iterator[Batch]:
    """The batches of one pool, in an order that mixes long and short."""
    rng = Random(f"{seed}:pool:{pool}")
    numbers = range(pool * POOL, (pool + 1) * POOL)
    encoded = [encode(writer.dialogue(seed, number), tokenizer, longest) for number in numbers]
    brief = range(pool * POOL * BRIEF_EACH, (pool + 1) * POOL * BRIEF_EACH)
    encoded += [encode(writer.brief(seed, number), tokenizer, longest, last_answer=BRIEF_TOKENS) for number in brief]
    encoded.sort(key=lambda entry: len(entry[0]))
    groups: list[list[tuple[list[int], list[bool]]]] = [[]]
    for entry in encoded:
        if groups[-1] and (len(groups[-1]) + 1) * len(entry[0]) > batch_tokens:
            groups.append([])
        groups[-1].append(entry)
    rng.shuffle(groups)
    for group in groups:
        longest_here = len(group[-1][0])
        tokens = torch.zeros(len(group), longest_here, dtype=torch.long)
        taught = torch.zeros(len(group), longest_here, dtype=torch.bool)
        for row, (ids, said) in enumerate(group):
            tokens[row, : len(ids)] = torch.tensor(ids)
            taught[row, : len(ids) - 1] = torch.tensor(said[1:])
        yield Batch(tokens, taught)
