"""Trains the guide: from a work folder's checkpoint or from nothing, until the steps or the minutes are used up.

Development only. With `steps` the result depends on the seed and the number of processes; with `minutes` the learning rate follows the
clock.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from engine.guide.training.batches import Batch, batches
from engine.guide.training.corpus.dialogues import Writer
from engine.guide.training.corpus.facts import Facts
from engine.guide.training.muon import Muon
from engine.guide.training.network import Network
from engine.guide.training.peers import Gradients, Peers
from engine.guide.training.picture import loss_curve
from engine.guide.training.shape import Shape
from engine.guide.training.template import heard
from engine.guide.training.tokens import load_tokenizer, train_tokenizer

CHECKPOINT_EVERY_S = 120.0
WARM_UP_STEPS = 40
DECAY_FROM = 0.35
"""Share of the training after which the learning rate falls, straight down to nothing."""
MUON_RATE = 0.015
ADAM_RATE = 0.003
TOKENIZER_DIALOGUES = 24_000
NAMING_SHARE = 0.5
"""Weight of naming the subject of a question where it ends, one layer before the last: it teaches to understand the question before the
answer is begun. What names it is not exported."""
BATCH_TOKENS = 1536
"""Tokens that a process takes in one step, padding included; a dialogue that is longer is alone."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When a training ends; one of the two."""

    minutes: float | None = None
    steps: int | None = None

    def share(self, step: int, seconds: float) -> float:
        """How much is used up, 0 to 1."""
        return step / self.steps if self.steps else seconds / (60 * (self.minutes or 1))


@dataclass(slots=True)
class Progress:
    """Where a training stands; saved with each checkpoint."""

    step: int = 0
    pool: int = 0
    batch: int = 0
    """Batches of the pool that are done."""
    seconds: float = 0.0
    tokens: int = 0


class Training:
    """A network, its optimizers and where they stand, in a work folder. All peers have the same, each its own batches."""

    def __init__(self, work: Path, subjects: int, peers: Peers, *, fused: bool) -> None:
        """Begin, or take up the checkpoint; questions are about one of so many `subjects`.

        `fused` compiles the network: it takes a C++ compiler and a minute, and is a third faster.
        """
        self._checkpoint = work / "checkpoint.pt"
        self._log = work / "loss.jsonl"
        self._picture = work / "loss.svg"
        self._peers = peers
        self.network = Network(Shape())
        self._naming = torch.nn.Linear(self.network.shape.width, subjects)
        weights = dict(self.network.named_parameters())
        hidden_matrices = [name for name, weight in weights.items() if weight.ndim == 2 and "embd" not in name]
        self._others = [weight for name, weight in weights.items() if name not in hidden_matrices]
        self._others += self._naming.parameters()
        self._gradients = Gradients([*weights.values(), *self._naming.parameters()])
        self._muon = Muon(weights[name] for name in hidden_matrices)
        self._adam = torch.optim.AdamW(self._others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self._states = torch.compile(self.network.states, dynamic=True) if fused else self.network.states
        self._loss = torch.compile(_loss, dynamic=True) if fused else _loss
        self.progress = Progress()
        if self._checkpoint.exists():
            self._resume()

    def step(self, batch: Batch, rate: float) -> float:
        """Learn from a batch and those of the peers, at this share of the full learning rate; returns the batch's loss."""
        with torch.autocast("cpu", torch.bfloat16):
            before, last = self._states(batch.tokens)
            loss = self._loss(last[batch.taught], self.network.token_embd.weight, batch.tokens.roll(-1, dims=1)[batch.taught])
            understood = functional.rms_norm(before.flatten(0, 1)[batch.asked].float(), (before.shape[-1],))
            named = functional.cross_entropy(self._naming(understood).float(), batch.subjects)
        (loss + NAMING_SHARE * named).backward()
        self._gradients.average(self._peers)
        torch.nn.utils.clip_grad_norm_(self._others, 1.0)
        for group in self._adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        self._adam.step()
        self._muon.step(MUON_RATE * rate, self._peers)
        self._gradients.clear()
        return float(loss.item())

    def record(self, loss: float, batch: Batch, seconds: float) -> float:
        """Count a step that was done, the same at all peers; returns the mean of their losses."""
        progress = self.progress
        loss, tokens, seconds = self._peers.averaged(torch.tensor([loss, batch.tokens.numel(), seconds], dtype=torch.float64)).tolist()
        progress.step += 1
        progress.batch += 1
        progress.tokens += round(tokens * self._peers.count)
        progress.seconds += seconds
        if self._peers.rank == 0:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({"step": progress.step, "tokens": progress.tokens, "loss": round(loss, 4)}) + "\n")
        return loss

    def save(self) -> None:
        """Write the checkpoint and the picture; a checkpoint is replaced when the new one is whole."""
        state = {
            "network": self.network.state_dict(),
            "naming": self._naming.state_dict(),
            "adam": self._adam.state_dict(),
            "muon": [(list(shape), velocity) for shape, velocity in self._muon.velocity.items()],
            "progress": asdict(self.progress),
        }
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)
        loss_curve(self._log, self._picture)

    def _resume(self) -> None:
        saved = torch.load(self._checkpoint, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self._naming.load_state_dict(saved["naming"])
        self._adam.load_state_dict(saved["adam"])
        self._muon.velocity = {tuple(shape): velocity for shape, velocity in saved["muon"]}
        self.progress = Progress(**saved["progress"])
        if self._peers.rank == 0:
            lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
            self._log.write_text("".join(lines[: self.progress.step]), encoding="utf-8")


def train(writer: Writer, work: Path, budget: Budget, *, seed: int = 20, processes: int = 2, fused: bool = True) -> None:
    """Train in `work`, which then holds `tokenizer.json`, `checkpoint.pt`, `loss.jsonl` and `loss.svg`."""
    work.mkdir(parents=True, exist_ok=True)
    _tokenizer(writer, work / "tokenizer.json", seed)
    with tempfile.TemporaryDirectory() as meeting:
        torch.multiprocessing.spawn(
            _train_among_peers, (processes, Path(meeting, "peers"), writer.facts, work, budget, seed, fused), nprocs=processes
        )


def _train_among_peers(rank: int, count: int, meeting: Path, facts: Facts, work: Path, budget: Budget, seed: int, fused: bool) -> None:
    """What each process does."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    writer, tokenizer = Writer(facts), load_tokenizer(work / "tokenizer.json")
    peers = Peers.met(rank, count, meeting)
    training = Training(work, len(writer.subjects), peers, fused=fused)
    progress = training.progress
    saved_at = time.monotonic()
    while budget.share(progress.step, progress.seconds) < 1:
        longest = training.network.shape.context
        pool = batches(writer, tokenizer, seed=seed, pool=progress.pool, batch_tokens=BATCH_TOKENS, longest=longest, peers=peers)
        for batch in islice(pool, progress.batch, None):
            began = time.monotonic()
            share = budget.share(progress.step, progress.seconds)
            if share >= 1:
                break
            loss = training.step(batch, _rate(progress.step, share))
            loss = training.record(loss, batch, time.monotonic() - began)
            if rank == 0:
                _show(share, progress, loss)
            if rank == 0 and time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
                training.save()
                saved_at = time.monotonic()
        else:
            progress.pool, progress.batch = progress.pool + 1, 0
    if rank == 0:
        training.save()
        sys.stderr.write("\n")
    peers.part()


def _tokenizer(writer: Writer, path: Path, seed: int) -> Tokenizer:
    """The work folder's tokenizer, trained when it isn't there yet."""
    if not path.exists():
        texts = (
            text
            for number in range(TOKENIZER_DIALOGUES)
            for question, answer in writer.dialogue(seed, number).turns
            for text in (heard(question), answer)
        )
        train_tokenizer(texts).save(str(path))
    return load_tokenizer(path)


def _rate(step: int, share: float) -> float:
    """The learning rate's share of its maximum: up in the first steps, level, then straight down to nothing."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * min(1.0, (1 - share) / (1 - DECAY_FROM))


def _loss(hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the next tokens."""
    return functional.cross_entropy(functional.linear(hidden, embedding).float(), targets)


def _show(share: float, progress: Progress, loss: float) -> None:
    """The progress bar, on one line of standard error."""
    if progress.step % 10:
        return
    done = int(share * 30)
    speed = progress.tokens / max(progress.seconds, 1e-9)
    bar = f"[{'#' * done}{'.' * (30 - done)}] {share:6.1%}"
    sys.stderr.write(f"\r{bar}  step {progress.step}  {progress.tokens / 1e6:.2f} M tokens  {speed:,.0f} tokens/s  loss {loss:.3f} ")
    sys.stderr.flush()
