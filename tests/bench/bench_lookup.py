"""What guessing from earlier text gains where an answer copies, and costs where it does not.

    python -m tests.bench.bench_lookup --model FILE.gguf

Answers with and without guesses are made in turns, so that a busy neighbour meets both; the ratio of tokens per CPU second is the figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import msgspec

import engine.llama.text
from engine.llama.backend import LlamaBackend
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.presets.preset import Preset, Sampling
from engine.timings import Timings
from tests.engine.llama.driver import Driver

CODE = Path(engine.llama.text.__file__).read_text("utf-8")[:2_500]
TASKS = {
    "rewrite this code": f"Rewrite this code with the class PieceTable renamed to Pieces, and change nothing else.\n```python\n{CODE}\n```",
    "free text": "Tell a long story about a fox and a raven who travel to the sea. Every sentence brings something new.",
}


def measure(driver: Driver, text: str, sampling: Sampling, tokens: int) -> tuple[float, Timings]:
    """Tokens per CPU second of the process, and the timings; the prompt is in the KV cache already."""
    prompt = ChatPrompt((ChatMessage(Role.USER, text),))
    driver.ask(prompt, sampling=sampling, max_tokens=1)
    begin = time.process_time()
    timings = driver.ask(prompt, sampling=sampling, max_tokens=tokens).finished.timings
    return timings.predicted_n / (time.process_time() - begin), timings


def main() -> None:
    """Measure both tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0.0)
    options = parser.parse_args()
    backend = LlamaBackend(trusted=lambda _path: True)
    driver = Driver(backend)
    preset = Preset(n_ctx=4096, threads=1, threads_batch=1)
    for task, text in TASKS.items():
        ratios = []
        for round_number in range(options.rounds):
            sampling = Sampling(temperature=options.temperature, seed=round_number, repeat_penalty=1.0 if "code" in task else 1.1)
            speeds = {}
            for lookup in ("off", "auto"):
                backend.load(options.model, msgspec.structs.replace(preset, lookup=lookup), lambda _event: None).result()
                speeds[lookup], timings = measure(driver, text, sampling, options.tokens)
            ratios.append(speeds["auto"] / speeds["off"])
            gain = f"{timings.draft_gain:.2f}" if timings.draft_gain else "-"
            sys.stdout.write(
                f"{task}: {speeds['off']:.1f} -> {speeds['auto']:.1f} tokens per CPU s, x{ratios[-1]:.2f}; "
                f"{timings.draft_n_accepted} of {timings.draft_n} guessed tokens came, gain by the clock {gain}\n"
            )
        sys.stdout.write(f"{task}: median x{statistics.median(ratios):.2f}\n")
    backend.close()


if __name__ == "__main__":
    main()
