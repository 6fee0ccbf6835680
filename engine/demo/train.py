"""Trains the guide: from a work folder's checkpoint or from nothing, until the steps or the minutes are used up.

Development only. With `steps` the result depends on the seed alone; with `minutes` the learning rate follows the clock.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from engine.demo.batches import batches
from engine.demo.corpus.dialogues import Writer
from engine.demo.muon import Muon
from engine.demo.network import Network, Shape
from engine.demo.picture import loss_curve
from engine.demo.tokens import load_tokenizer, train_tokenizer

CHECKPOINT_EVERY_S = 120.0
WARM_UP_STEPS = 40
DECAY_FROM = 0.35
"""Share of the training after which the learning rate falls, straight down to nothing."""
MUON_RATE = 0.02
ADAM_RATE = 0.004
TOKENIZER_DIALOGUES = 24_000


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
    seconds: float = 0.0
    tokens: int = 0


def train(
    writer: Writer, work: Path, budget: Budget, *, seed: int = 20, batch_tokens: int = 4096, threads: int = 2, fused: bool = True
) -> None:
    """Train in `work`, which then holds `tokenizer.json`, `checkpoint.pt`, `loss.jsonl` and `loss.svg`."""
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    tokenizer_path, checkpoint_path = work / "tokenizer.json", work / "checkpoint.pt"
    if not tokenizer_path.exists():
        texts = (text for number in range(TOKENIZER_DIALOGUES) for turn in writer.dialogue(seed, number).turns for text in turn)
        train_tokenizer(texts).save(str(tokenizer_path))
    tokenizer = load_tokenizer(tokenizer_path)
    network = Network(Shape())
    matrices = [weight for name, weight in network.named_parameters() if weight.ndim == 2 and "embd" not in name]
    others = [weight for name, weight in network.named_parameters() if weight.ndim == 1 or "embd" in name]
    muon, adam = Muon(matrices), torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    hidden_of = torch.compile(network.hidden, dynamic=True) if fused else network.hidden
    loss_of = torch.compile(_loss, dynamic=True) if fused else _loss
    progress = Progress()
    if checkpoint_path.exists():
        saved = torch.load(checkpoint_path, weights_only=True)
        network.load_state_dict(saved["network"])
        adam.load_state_dict(saved["adam"])
        muon.velocity = {tuple(shape): velocity for shape, velocity in saved["muon"]}
        progress = Progress(**saved["progress"])

    def save() -> None:
        state = {
            "network": network.state_dict(),
            "adam": adam.state_dict(),
            "muon": [(list(shape), velocity) for shape, velocity in muon.velocity.items()],
            "progress": asdict(progress),
        }
        torch.save(state, checkpoint_path.with_suffix(".part"))
        checkpoint_path.with_suffix(".part").replace(checkpoint_path)
        loss_curve(work / "loss.jsonl", work / "loss.svg")

    last_save = time.monotonic()
    with (work / "loss.jsonl").open("a", encoding="utf-8") as log:
        for pool in count(progress.pool):
            for batch in batches(writer, tokenizer, seed=seed, pool=pool, batch_tokens=batch_tokens, longest=network.shape.context):
                began = time.monotonic()
                share = budget.share(progress.step, progress.seconds)
                if share >= 1:
                    save()
                    sys.stderr.write("\n")
                    return
                scale = min(1.0, (progress.step + 1) / WARM_UP_STEPS) * min(1.0, (1 - share) / (1 - DECAY_FROM))
                with torch.autocast("cpu", torch.bfloat16):
                    hidden = hidden_of(batch.tokens)[batch.taught]
                    loss = loss_of(hidden, network.token_embd.weight, batch.tokens.roll(-1, dims=1)[batch.taught])
                loss.backward()
                for group in adam.param_groups:
                    group["lr"] = ADAM_RATE * scale
                torch.nn.utils.clip_grad_norm_(others, 1.0)
                adam.step()
                adam.zero_grad()
                muon.step(MUON_RATE * scale)
                progress.step += 1
                progress.tokens += int(batch.tokens.numel())
                progress.seconds += time.monotonic() - began
                log.write(json.dumps({"step": progress.step, "tokens": progress.tokens, "loss": round(loss.item(), 4)}) + "\n")
                _show(share, progress, loss.item())
                if time.monotonic() - last_save > CHECKPOINT_EVERY_S:
                    log.flush()
                    save()
                    last_save = time.monotonic()
            progress.pool = pool + 1


def _loss(hidden: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the next tokens."""
    return functional.cross_entropy(functional.linear(hidden, embedding).float(), targets)


def _show(share: float, progress: Progress, loss: float) -> None:
    """The progress bar, on one line of standard error."""
    if progress.step % 10:
        return
    done = int(share * 30)
    speed = progress.tokens / max(progress.seconds, 1e-9)
    sys.stderr.write(
        f"\r[{'#' * done}{'.' * (30 - done)}] {share:6.1%}  step {progress.step}  {progress.tokens / 1e6:.2f} M tokens  {speed:,.0f} tokens/s  loss {loss:.3f} "
    )
    sys.stderr.flush()
