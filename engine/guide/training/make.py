"""Makes the built-in model from nothing: facts, tokenizer, training, export, checks, evaluation. `just demo-model` runs it.

Development only. Interrupted, it goes on from the last checkpoint in the work folder; a new start is an empty folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from engine.guide import builtin
from engine.guide.training.check import LOGITS_TOLERANCE, Native, different_tokenizations, largest_logit_difference
from engine.guide.training.corpus.dialogues import Writer
from engine.guide.training.corpus.facts import load_facts
from engine.guide.training.export import export, load_network
from engine.guide.training.tokens import load_tokenizer
from engine.guide.training.train import Budget, train

HERE = Path(__file__).parent


def main() -> int:
    """Make it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, default=HERE.parent / "taught.json", help="made by `python -m tests.facts`")
    parser.add_argument("--work", type=Path, default=Path("build/demo-model"), help="checkpoints and the loss curve")
    parser.add_argument("--target", type=Path, default=HERE.parent / builtin.FILE)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--processes", type=int, choices=(1, 2, 4), default=2, help="one for each core; the result depends on it")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="train this long; the result depends on the machine's speed")
    budget.add_argument(
        "--steps",
        type=int,
        default=8_600,
        help="train this many steps, of 1,536 tokens for each process; the result depends on the seed and the processes",
    )
    options = parser.parse_args()
    os.nice(19 - os.nice(0))

    writer = Writer(load_facts(options.facts.read_text(encoding="utf-8")))
    limit = Budget(minutes=options.minutes) if options.minutes else Budget(steps=options.steps)
    train(writer, options.work, limit, seed=options.seed, processes=options.processes)

    network, tokenizer = load_network(options.work / "checkpoint.pt"), load_tokenizer(options.work / "tokenizer.json")
    export(network, tokenizer, options.target)
    native = Native(options.target)
    different = different_tokenizations(native, tokenizer, writer)
    difference = largest_logit_difference(native, network, tokenizer, writer)
    sys.stdout.write(
        f"texts tokenized differently by llama.cpp: {len(different)} of 10,000\nlargest difference of a logit: {difference:.4f}\n"
    )
    if different or difference > LOGITS_TOLERANCE:
        sys.stderr.write("The export does not say what was trained.\n")
        return 1
    digest = hashlib.sha256(options.target.read_bytes()).hexdigest()
    options.target.with_name(f"{options.target.name}.sha256").write_text(f"{digest}  {options.target.name}\n", encoding="ascii")
    return subprocess.run([sys.executable, "-m", "engine.guide.training.evaluate", str(options.target)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
